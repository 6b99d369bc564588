"""A small diffusion model that draws handwritten digits of 16 pixels (D1-10).

A picture x0 is mixed with noise e by an angle a between 0 (all picture) and π/2 (all noise):
x = cos a · x0 + sin a · e. The network sees x, the angle and the class, and predicts
v = cos a · e - sin a · x0, from which both parts follow. Sampling turns the angle down in a few
steps, without new noise (DDIM): the drawing is a differentiable function of its first noise.
data/recipes/diffusion.py trains it.
"""

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers.ground.artifacts import load_artifact

SIDE, NO_CLASS = 16, 10


class Block(nn.Module):
    """x + convolutions of x, told about angle and class in between. (B, C, h, w) -> the same."""

    def __init__(self, channels: int, condition: int):
        super().__init__()
        self.norm1 = nn.GroupNorm(4, channels)
        self.norm2 = nn.GroupNorm(4, channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.tell = nn.Linear(condition, channels)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x))) + self.tell(condition)[:, :, None, None]
        return x + self.conv2(F.silu(self.norm2(h)))


class Denoiser(nn.Module):
    """Predicts v from x (B, 1, 16, 16), angle (B,) and class (B,), 10 for none. (B, 1, 16, 16)."""

    def __init__(self, width: int = 32):
        super().__init__()
        d = 4 * width  # of what the blocks are told
        self.angle = nn.Sequential(nn.Linear(16, d), nn.SiLU(), nn.Linear(d, d))
        self.classes = nn.Embedding(11, d)
        self.stem = nn.Conv2d(4, width, 3, padding=1)
        self.out = nn.Conv2d(width, 4, 3, padding=1)
        self.down = nn.Conv2d(width, 2 * width, 2, stride=2)
        self.up = nn.ConvTranspose2d(2 * width, width, 2, stride=2)
        self.blocks = nn.ModuleList(Block(c * width, d) for c in (1, 2, 2, 1))
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor, angle: Tensor, label: Tensor) -> Tensor:
        waves = angle[:, None] * 2 ** torch.arange(8, device=x.device)  # (B, 8)
        waves = torch.cat((waves.sin(), waves.cos()), 1)
        condition = F.silu(self.angle(waves) + self.classes(label))  # (B, d)
        a = self.blocks[0](self.stem(F.pixel_unshuffle(x, 2)), condition)  # (B, w, 8, 8)
        b = self.blocks[1](self.down(a), condition)  # (B, 2w, 4, 4)
        b = self.blocks[2](b, condition)
        c = self.blocks[3](a + self.up(b), condition)  # (B, w, 8, 8)
        return F.pixel_shuffle(self.out(F.silu(c)), 2)


def velocity(
    model: nn.Module, x: Tensor, angle: float, label: Tensor, guidance: float | Tensor
) -> Tensor:
    """v without a class, plus guidance · (v with the class - v without).

    guidance: a number, or one a pixel, (B, 1, 16, 16). 1 follows the class as trained, more
    exaggerates it, 0 ignores it. Source: Ho & Salimans 2022 (classifier-free guidance).
    """
    angles = x.new_full((2 * len(x),), angle)
    labels = torch.cat((label, torch.full_like(label, NO_CLASS)))
    given, free = model(torch.cat((x, x)), angles, labels).chunk(2)
    return free + guidance * (given - free)


def path(
    model: nn.Module,
    noise: Tensor,
    label: Tensor,
    *,
    steps: int = 12,
    guidance: float | Tensor = 2.0,
    start: int = 0,
) -> list[Tensor]:
    """From noise (B, 1, 16, 16) to drawings in -1 (paper) … 1 (ink): [noise, ..., drawing].

    start: begin at this step, `noise` being the picture there; the last entry is then the same
    function of that picture. Source: Song et al. 2021 (DDIM), in the angles of Salimans & Ho 2022.
    """
    x = noise
    pictures = [x]
    for k in range(start, steps):
        now = (1 - k / steps) * math.pi / 2
        then = (1 - (k + 1) / steps) * math.pi / 2
        v = velocity(model, x, now, label, guidance)
        x0 = math.cos(now) * x - math.sin(now) * v
        e = math.sin(now) * x + math.cos(now) * v
        x = math.cos(then) * x0 + math.sin(then) * e
        pictures.append(x)
    return pictures


def enlarged(drawings: Tensor) -> Tensor:
    """Drawings (B, 1, 16, 16) as lesson 03's digits are: (B, 1, 28, 28), ink 1 on 0."""
    ink = drawings.detach().clamp(-1, 1) / 2 + 0.5
    return F.interpolate(ink, (28, 28), mode="bilinear")


def load(folder: Path | str = "diffusion", *, device: torch.device | str = "cpu") -> Denoiser:
    """The shipped model, evaluation mode, frozen. CourseError where a file is damaged."""
    tensors, meta = load_artifact(folder, version=1)
    with torch.random.fork_rng(devices=[]):  # its first weights are drawn, and overwritten
        model = Denoiser(meta["width"])
    model.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    return model.eval().requires_grad_(False).to(device)
