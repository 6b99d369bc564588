"""Dictionaries: sparse autoencoders on a transformer's neurons, and what their features mean."""

from helpers.sae.model import Dictionary, Settings, SparseAutoencoder
from helpers.sae.store import load, load_examples, load_numbers, load_tables, load_trials

__all__ = ["Dictionary", "Settings", "SparseAutoencoder"]
__all__ += ["load", "load_examples", "load_numbers", "load_tables", "load_trials"]
