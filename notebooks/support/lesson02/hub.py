"""The demo's own model, from the hub."""

import open_clip
import torch

from helpers.clip.model import Clip


def openai_clip(*, device: torch.device | str = "cpu") -> Clip:
    """OpenAI's CLIP ViT-B/16, 150 million weights. Radford et al. 2021."""
    settings = {"pretrained": "openai", "force_quick_gelu": True}
    model, _, preprocess = open_clip.create_model_and_transforms("ViT-B-16", **settings)
    return Clip(model.eval().to(device), preprocess, open_clip.get_tokenizer("ViT-B-16"))
