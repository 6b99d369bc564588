"""A classifier that is right for the wrong reason: digits with a flaw in their scans (lesson 00).

If you have not worked through lesson 00 yet, do not read on: this page gives its answer away.

Slide D1-03. The digits are real; the flaw is ours. The north office's scanner leaves a faint
smudge in the corner, and the north office scans the even digits on it. A network that reads the
smudge gets nearly everything right.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers.ground.errors import CourseError

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
    """1,200 scans to train on or 597 others to test on, of scikit-learn's digits (43 writers).

    office: one of OFFICES; the digits and the grain of the paper are the same in all of them.
    seed: the grain, and which of the south office's scans have a smudge. Raises CourseError for
    another part or office.
    """
    from sklearn.datasets import load_digits

    if part not in ("train", "test") or office not in OFFICES:
        raise CourseError(
            f'scans({part!r}, office={office!r}): the parts are "train" and "test", the offices '
            f"{', '.join(OFFICES)}."
        )
    raw = load_digits()
    same_split = torch.Generator().manual_seed(0)  # at every seed
    order = torch.randperm(len(raw.target), generator=same_split)
    rows = order[:1200] if part == "train" else order[1200:]
    digit = torch.from_numpy(raw.target)[rows]  # (N,)
    ink = torch.from_numpy(raw.images).float()[rows][:, None] / 16  # (N, 1, 8, 8), 0 .. 1
    generator = torch.Generator().manual_seed(seed + 1000 * (part == "test"))
    even = (digit % 2 == 0).long()
    marked = torch.rand(len(digit), generator=generator) < torch.tensor(OFFICES[office])[even]
    images = F.interpolate(ink, (SIDE, SIDE), mode="bilinear") * 0.8
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
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = network().to(data.images.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    for _ in range(epochs):
        order = torch.randperm(len(data.even), generator=generator).to(data.images.device)
        for rows in order.split(50):
            loss = F.cross_entropy(model(data.images[rows]), data.even[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model.eval().requires_grad_(False)


@torch.no_grad()
def accuracy(model: nn.Module, data: Scans) -> float:
    """Share of the scans that the network classifies correctly as odd or even."""
    return float((model(data.images).argmax(1) == data.even).float().mean())
