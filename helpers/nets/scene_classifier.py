"""A small ReLU network with a score for each concept of the scenes; plain, without norms."""

from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from helpers.datasets import scenes
from helpers.datasets.photos import as_rgb
from helpers.ground.artifacts import load_artifact

PIXELS = 64
NAME = "scene_classifier"


def network(seed: int = 0) -> nn.Sequential:
    """Random weights. (B, 3, 64, 64) -> (B, 162) logits; last maps `features`, (B, 128, 8, 8)."""
    widths = (3, 24, 48, 96, 128, 128)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        features = nn.Sequential()
        for i in range(5):
            size, stride = (5, 2) if i == 0 else (3, 1)
            conv = nn.Conv2d(widths[i], widths[i + 1], size, stride, padding=size // 2)
            features.extend([conv, nn.ReLU()])
            if i in (1, 2):
                features.append(nn.MaxPool2d(2))
        head = nn.Linear(widths[-1], len(scenes.concepts()))
        for layer in features:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)
    nn.init.constant_(head.bias, -4.0)  # two or three of 162 concepts are there: begin with that
    pool = nn.AdaptiveAvgPool2d(1)
    return nn.Sequential(OrderedDict(features=features, pool=pool, flat=nn.Flatten(), head=head))


def load(folder: Path | None = None, *, device: torch.device | str = "cpu") -> nn.Sequential:
    """The shipped network, evaluation mode, frozen. CourseError where a file is damaged."""
    tensors, _ = load_artifact(folder or NAME, version=1, device=device)
    model = network().to(device)
    model.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    return model.eval().requires_grad_(False)


def preprocess(images: list[np.ndarray]) -> Tensor:
    """Pictures of any size and kind as (B, 3, 64, 64) in [-1, 1]."""
    pictures = [Image.fromarray(as_rgb(image)) for image in images]
    small = [p.resize((PIXELS, PIXELS), Image.Resampling.BILINEAR) for p in pictures]
    return torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2) / 127.5 - 1
