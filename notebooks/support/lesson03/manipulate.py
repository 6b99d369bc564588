"""A map of our choice: what the adversary of lesson 03 needs (Dombrowski et al. 2019)."""

from copy import deepcopy
from pathlib import Path

import matplotlib
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, nn

from helpers.ground.stats import pearson
from helpers.saliency.metrics import magnitude


class RoundReLU6(nn.Module):
    """min(max(x, 0), 6) with rounded corners; beta, (): the larger, the sharper."""

    def __init__(self, beta: Tensor):
        super().__init__()
        self.beta = beta

    def forward(self, x: Tensor) -> Tensor:
        return (F.softplus(self.beta * x) - F.softplus(self.beta * (x - 6))) / self.beta


def rounded(model: nn.Module, beta: Tensor) -> nn.Module:
    """A copy of the model whose ReLU6 are rounded; change `beta` in place to sharpen them."""
    model = deepcopy(model)
    for name, part in list(model.named_modules()):
        if isinstance(part, nn.ReLU6):
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, RoundReLU6(beta))
    return model


def share(m: Tensor) -> Tensor:
    """Where a map without signs (1, H, W) lies, in blocks of 4 pixels that sum to 1."""
    m = F.avg_pool2d(m, 4)
    return m / m.sum()


def like(m: Tensor, goal: Tensor) -> float:
    """Correlation of a map with signs (1, C, H, W), signs dropped, with the goal (1, H, W)."""
    return pearson(share(magnitude(m)), share(goal)).item()


def search(network, x: Tensor, c: int, goal: Tensor, *, steps: int, lr=0.008, gamma=0.1) -> Tensor:
    """A picture near x (1, C, H, W) whose gradient for class c is drawn like the goal (1, H, W).

    Adam on |M - T|² / |T|² + gamma · mean (S(moved) - S(x))², on a copy with rounded ReLU6.
    """
    beta, T = x.new_tensor(3.0), share(goal)
    copy = rounded(network, beta)
    delta = torch.zeros_like(x).requires_grad_()
    optimizer = torch.optim.Adam([delta], lr=lr)
    for step in range(steps):
        beta.fill_(3 * 3 ** (step / steps))  # sharper at each step
        moved = (x + delta).clamp(-1, 1)
        S, before = copy(moved), copy(x)  # (1, classes)
        (slope,) = torch.autograd.grad(S[0, c], moved, create_graph=True)
        loss = (share(slope.abs().sum(1)) - T).square().sum() / T.square().sum()
        loss = loss + gamma * (S - before).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return (x + delta).clamp(-1, 1).detach()


def word(text: str, side: int = 224) -> Tensor:
    """The text as large as fits, in the middle of a map (side, side) of 0 … 1."""
    font = Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans-Bold.ttf"
    large = ImageFont.truetype(str(font), round(side / max(2, len(text))))
    canvas = Image.new("L", (side, side))
    ImageDraw.Draw(canvas).text((side / 2, side / 2), text, 255, large, anchor="mm")
    return torch.from_numpy(np.array(canvas)).float() / 255
