"""Handwritten digits at 28 pixels, and the small network of the sanity checks (D1-09, lesson 03).

The digits are scikit-learn's (8 x 8 pixels, 13 writers), enlarged; the network has the shape of the
one in Adebayo et al. 2018, at a tenth of its width.
"""

from collections import OrderedDict
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers.ground.artifacts import still_numbers
from helpers.ground.errors import CourseError, checked, same_shape

LAYERS = ("softmax", "fc1", "hidden2", "hidden1")  # with weights, from the output down; the paper's
CAM_LAYER = "relu2"  # the last feature map: (B, 32, 14, 14)


class Digits(NamedTuple):
    """Pictures of handwritten digits and what they show."""

    images: Tensor  # (N, 1, side, side), ink near 1 on 0
    digit: Tensor  # (N,) 0 .. 9


@checked
def digits(part="train", *, side=28, device="cpu") -> Digits:
    """1,200 digits to train on ("train") or 597 others ("test"); CourseError for others."""
    from sklearn.datasets import load_digits

    if part not in ("train", "test"):
        raise CourseError(f'digits({part!r}): the parts are "train" and "test".')
    raw = load_digits()
    order = torch.randperm(len(raw.target), generator=torch.Generator().manual_seed(0))
    rows = order[:1200] if part == "train" else order[1200:]
    ink = torch.from_numpy(raw.images).float()[rows][:, None] / 16  # (N, 1, 8, 8), 0 .. 1
    images = F.interpolate(ink, (side, side), mode="bilinear", align_corners=False)
    return Digits(images.to(device), torch.from_numpy(raw.target)[rows].to(device))


@checked
def network(seed: int = 0, *, device: torch.device | str = "cpu") -> nn.Sequential:
    """Random weights. Maps (B, 1, 28, 28) to (B, 10) logits; its layers with weights are LAYERS."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # the CPU's alone, unlike torch.manual_seed
        layers = OrderedDict(
            hidden1=nn.Conv2d(1, 16, 5, padding=2),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),  # (B, 16, 14, 14)
            hidden2=nn.Conv2d(16, 32, 5, padding=2),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),  # (B, 32, 7, 7)
            flat=nn.Flatten(),
            fc1=nn.Linear(32 * 49, 128),
            relu3=nn.ReLU(),
            softmax=nn.Linear(128, 10),
        )
    return nn.Sequential(layers).to(device)


def shuffled(labels: Tensor, *, seed: int = 0) -> Tensor:
    """The same labels in a random order: learning them has nothing to do with the pictures."""
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    return labels[order.to(labels.device)]


@checked
def train(images: Tensor, labels: Tensor, *, seed=0, epochs=8, lr=2e-3, batch=50) -> nn.Module:
    """A trained network where the pictures are; three seconds on two cores, the same each time."""
    return fit(network(seed, device=images.device), images, labels, seed, epochs, lr, batch)


@checked
def fit(model: nn.Module, images, labels, seed, epochs, lr, batch=50) -> nn.Module:
    """The model trained in place by cross-entropy and Adam, then frozen, in evaluation mode."""
    labels = labels.to(images.device)
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    for _ in range(epochs):
        order = torch.randperm(len(labels), generator=generator).to(images.device)
        for rows in order.split(batch):
            loss = F.cross_entropy(model(images[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    still_numbers(model.parameters(), f"{epochs} epochs")
    return model.eval().requires_grad_(False)


@checked
@torch.no_grad()
def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Share of the pictures whose highest logit is their label's."""
    device = next(model.parameters()).device
    best = model(images.to(device)).argmax(1)
    return float((best == same_shape(labels, best, "labels").to(device)).float().mean())
