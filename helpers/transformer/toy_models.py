"""Toy models of superposition (Elhage et al. 2022): more features than dimensions. D2-04, D2-06.

h = W x squeezes n features into m dimensions, x' = ReLU(W^T h + b) reads them out again. Whether a
feature gets a dimension of its own, shares one, or is dropped depends on how sparse and how
important the features are.
Shapes: I models trained side by side, B samples, n features, m hidden dimensions.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers.ground.artifacts import still_numbers
from helpers.ground.errors import CourseError, checked


@checked
@dataclass(frozen=True)
class ToySettings:
    """One family of toy models, trained side by side."""

    features: int = 5  # n, what the world has
    hidden: int = 2  # m, what the model has room for
    steps: int = 1500  # of training
    batch: int = 256  # fresh samples a step and model
    rate: float = 1e-2  # Adam's learning rate, falling to zero along a cosine
    relu_out: bool = True  # False: the linear control
    relu_hidden: bool = False  # True: h = ReLU(W x), a privileged basis


class ToyModels(nn.Module):
    """I independent toy models as one batched module: many seeds or settings train in one run."""

    def __init__(self, instances: int, settings: ToySettings, *, generator: torch.Generator):
        super().__init__()
        self.settings = settings
        m, n, device = settings.hidden, settings.features, generator.device
        drawn = torch.randn(instances, m, n, generator=generator, device=device)
        self.W = nn.Parameter(drawn * (2 / (m + n)) ** 0.5)  # (I, m, n)
        self.b = nn.Parameter(torch.zeros(instances, n, device=device))  # (I, n)

    def forward(self, x: Tensor) -> Tensor:
        """Reconstructions (I, B, n) of x (I, B, n)."""
        h = torch.einsum("imn,ibn->ibm", self.W, x)
        h = F.relu(h) if self.settings.relu_hidden else h
        out = torch.einsum("imn,ibm->ibn", self.W, h) + self.b[:, None]
        return F.relu(out) if self.settings.relu_out else out


@checked
def sample(sparsity: Tensor, batch: int, features: int, *, generator: torch.Generator) -> Tensor:
    """(I, B, n): each feature is 0 with probability S, else uniform in [0, 1]; sparsity: (I,)."""
    u = torch.rand((len(sparsity), batch, features), generator=generator, device=sparsity.device)
    s = sparsity[:, None, None]
    # one draw does both: what lies above S is uniform once it is stretched
    return ((u - s) / (1 - s)).clamp_min(0)


def loss_per_model(model: ToyModels, x: Tensor, importance: Tensor) -> Tensor:
    """(I,): Σ_i importance_i (x_i − x'_i)², mean over samples; importance: (n,) or (I, n)."""
    weight = importance.expand(len(x), -1)[:, None]  # (I, 1, n)
    return (weight * (x - model(x)) ** 2).sum(-1).mean(-1)


@checked
def train_toys(
    settings: ToySettings, sparsity: Tensor, importance: Tensor, *, tries=1, seed=0, draw=sample
) -> ToyModels:
    """Trains one model a sparsity, `tries` times each, and keeps the try with the lowest loss.

    sparsity: (I,), 0 (always present) to below 1; importance: (n,) or (I, n). Small m gets stuck
    in poor minima: take several tries, as the authors did. Runs on the device of `sparsity`.
    draw: called like `sample`; another one gives features that depend on each other.
    """
    if importance.shape[-1] != (n := settings.features):
        raise CourseError(f"importance has {importance.shape[-1]} entries for {n} features.")
    if not ((sparsity >= 0) & (sparsity < 1)).all():  # nor nan
        given = f"{sparsity.min():.3g} to {sparsity.max():.3g}"
        raise CourseError(f"a sparsity is a probability, from 0 to below 1; got {given}.")
    device = sparsity.device
    generator = torch.Generator(device).manual_seed(seed)
    each = sparsity.repeat_interleave(tries)  # (I * tries,)
    weight = importance.to(device).expand(len(sparsity), -1).repeat_interleave(tries, 0)
    model = ToyModels(len(each), settings, generator=generator)
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.steps)
    for _ in range(settings.steps):
        x = draw(each, settings.batch, settings.features, generator=generator)
        optimizer.zero_grad()
        loss_per_model(model, x, weight).sum().backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        x = draw(each, 8192, settings.features, generator=generator)
        loss = loss_per_model(model, x, weight).view(-1, tries)
        still_numbers([loss], f"{settings.steps} steps")
        best = loss.argmin(1) + torch.arange(len(sparsity), device=device) * tries
        model.W, model.b = nn.Parameter(model.W[best]), nn.Parameter(model.b[best])
    return model.requires_grad_(False)


def of_models(W: Tensor) -> Tensor:
    """Weights (I, m, n) as they are; CourseError for those of one model."""
    if W.ndim != 3:
        raise CourseError(f"W is (models, m, n), not {tuple(W.shape)}: W[None] is that of one.")
    return W


@checked
def represented(W: Tensor, threshold: float = 0.5) -> Tensor:
    """(I,): how many features a model keeps, |W_i|² above the threshold; W: (I, m, n)."""
    return (of_models(W).pow(2).sum(1) > threshold).sum(-1)


@checked
def dimensionality(W: Tensor) -> Tensor:
    """(I, n): D_i = |W_i|² / Σ_j (W_i/|W_i| · W_j)²: the share of a dimension that i has.

    1: alone; 1/2: one of an antipodal pair; 2/5: one corner of a pentagon; 0: not represented.
    Where features are packed well the D_i of a model sum to m.
    """
    norm = of_models(W).norm(dim=1)  # (I, n)
    overlap = torch.einsum("imn,imk->ink", W / norm.clamp_min(1e-9)[:, None], W)  # (I, n, n)
    return norm**2 / overlap.pow(2).sum(-1).clamp_min(1e-9)


@checked
def alignment(W: Tensor) -> Tensor:
    """(I, m): of each hidden dimension's weights |W|, the share of its largest; 1: one meaning."""
    return of_models(W).abs().amax(-1) / W.abs().sum(-1).clamp_min(1e-9)
