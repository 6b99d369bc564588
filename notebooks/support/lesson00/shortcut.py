"""A classifier that is right for the wrong reason: digits with a flaw in their scans (lesson 00).

If you have not worked through lesson 00 yet, do not read on: this page gives its answer away.

Slide D1-03. The digits are real; the flaw is ours. The north office's scanner leaves a faint
smudge in the corner, and the north office scans the even digits on it. A network that reads the
smudge gets nearly everything right.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from helpers.ground.errors import CourseError
from helpers.nets import digits

SIDE = 24  # pixels; scikit-learn's 8 x 8 digits, enlarged
CORNER = (slice(1, 5), slice(1, 5))  # where the smudge lies: 16 of 576 pixels, top left
STRENGTH, NOISE = 0.2, 0.06  # the smudge's brightness; the paper's grain (black 0, white 1)


class Scans(NamedTuple):
    """Pictures of handwritten digits and what is to be read from them."""

    images: Tensor  # (N, 1, 24, 24), ink near 1 on grainy paper near 0
    even: Tensor  # (N,) 1 where the digit is even
    digit: Tensor  # (N,) 0 .. 9
    marked: Tensor  # (N,) True where the smudge is


# Where the smudge is, by office: the chance that (an odd digit, an even digit) has it.
OFFICES = {"north": (0.0, 1.0), "south": (0.5, 0.5), "clean": (0.0, 0.0), "swapped": (1.0, 0.0)}


def scans(part="train", *, office: str = "north", seed: int = 0, device="cpu") -> Scans:
    """1,200 scans to train on ("train") or 597 others ("test"), of `digits`.

    office: one of OFFICES; the digits and the grain of the paper are the same in all of them.
    seed: the grain, and which of the south office's scans have a smudge.
    """
    if office not in OFFICES:
        raise CourseError(f"office={office!r}: the offices are {', '.join(OFFICES)}.")
    ink, digit = digits.digits(part, side=SIDE)
    generator = torch.Generator().manual_seed(seed + 1000 * (part == "test"))
    even = (digit % 2 == 0).long()
    marked = torch.rand(len(digit), generator=generator) < torch.tensor(OFFICES[office])[even]
    images = ink * 0.8
    images[:, 0][(slice(None), *CORNER)] += STRENGTH * marked[:, None, None]
    images += NOISE * torch.randn(images.shape, generator=generator)
    return Scans(*(values.to(device) for values in (images, even, digit, marked)))


def network() -> nn.Sequential:
    """A small convolutional network: (B, 1, 24, 24) to (B, 2) logits, odd and even."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),  # (B, 16, 12, 12)
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),  # (B, 32, 6, 6)
        nn.Flatten(),
        nn.Linear(32 * 36, 2),
    )


def train(data: Scans, *, seed: int = 0, epochs: int = 12) -> nn.Sequential:
    """A trained network where the scans are; three seconds on two cores, the same for one seed."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = network().to(data.images.device)
    return digits.fit(model, data.images, data.even, seed, epochs, lr=4e-3)


def accuracy(model: nn.Module, data: Scans) -> float:
    """Share of the scans that the network classifies correctly as odd or even."""
    return digits.accuracy(model, data.images, data.even)
