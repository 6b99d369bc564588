"""Lesson 01: maps from white to red, as in the deck."""

from __future__ import annotations

from functools import partial

import matplotlib as mpl
import torch

from helpers.lesson.plots import as_picture, maps
from helpers.pretrained import dinov2
from helpers.pretrained.hooks import hooked

# Channels added without signs; the darkest red is a map's own 99th percentile and above. Sixteen
# reds: grain needs no more, and a stored lesson stays small. A smooth map takes cmap="Reds".
red_maps = partial(maps, signed=False, cmap=mpl.colormaps["Reds"].resampled(16), bar=False)


def beside_attention(vit, x, gradient, credit: str):
    """A picture x (1, 3, 224, 224), its gradient, and DINOv2's attention in its last layer."""
    with torch.no_grad(), hooked(vit, {("attention", 11): None}) as kept:
        vit(dinov2.preprocess((x * 128 + 127) / 255))
    read = kept["attention", 11][0, :, 0, 1:].mean(0).view(16, 16)
    shown = {"picture": as_picture(x[0]), "gradient": gradient[0], "DINOv2's attention": read}
    text = "The gradient of the first guess; and what the class token reads in the last layer. "
    return red_maps(shown, cmap="Reds", caption=text + f"{credit}.")
