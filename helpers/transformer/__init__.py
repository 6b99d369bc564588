"""One-layer transformers of lessons 07–11: the model, its training, and what its neurons do."""

from helpers.transformer.model import load

__all__ = ["load"]
