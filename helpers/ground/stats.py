"""Statistics that more than one lesson uses: one bootstrap, one Pearson, one Spearman."""

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from helpers.ground.errors import CourseError, checked


def wide(values: ArrayLike) -> Tensor:
    """What sums are made in: float32 instead of half precision; float32 and float64 as they are."""
    values = torch.as_tensor(values)
    return values.to(torch.promote_types(values.dtype, torch.float32))


@checked
def clustered_mean(values, clusters, *, draws=2000, seed=0) -> tuple[float, float, float]:
    """The mean of `values` and its 95 % interval: a cluster bootstrap, percentiles.

    Whole clusters (reviews, pictures, people) are drawn again, because answers from one of them
    resemble each other. values, clusters: sequences of one length, on any device. With fewer than
    about ten clusters the interval is too narrow. CourseError for fewer than two clusters.
    """
    values = torch.as_tensor(values, dtype=torch.float64).cpu().numpy()
    clusters = clusters.cpu().numpy() if isinstance(clusters, Tensor) else clusters
    member = np.unique(clusters, return_inverse=True)[1]
    total = np.bincount(member, values)  # of each cluster
    size = np.bincount(member)
    if len(size) < 2:
        raise CourseError(f"An interval over clusters needs at least two of them, not {len(size)}.")
    pick = np.random.default_rng(seed).integers(len(size), size=(draws, len(size)))
    means = total[pick].sum(1) / size[pick].sum(1)  # (draws,)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(values.mean()), float(low), float(high)


@checked
def interval(values: ArrayLike) -> list[float]:
    """The mean of independent values and its 95 % bootstrap interval, four digits each.

    Where all are 1, drawing again shows no error: the lower end is 1 - 3 / n (rule of three).
    """
    mean, low, high = clustered_mean(values, range(len(values)), draws=4000)
    low = min(low, 1 - 3 / len(values)) if min(values) == 1 else low
    return [round(float(x), 4) for x in (mean, low, high)]


@checked
def pearson(a: ArrayLike, b: ArrayLike) -> Tensor:
    """Pearson's correlation of two stacks, (B, ...) -> (B,); nan where one is constant."""
    a, b = (wide(values).flatten(1) for values in (a, b))
    a, b = (values - values.mean(dim=1, keepdim=True) for values in (a, b))
    return (a * b).sum(dim=1) / (a.norm(dim=1) * b.norm(dim=1))


@checked
def spearman(a: ArrayLike, b: ArrayLike) -> Tensor:
    """Spearman's ρ: `pearson` of the ranks, (B, ...) -> (B,); nan where constant or holding nan."""
    return pearson(*(mean_ranks(wide(values).detach().flatten(1)) for values in (a, b)))


def mean_ranks(values: Tensor) -> Tensor:
    """Ranks 1 to N in each row, ties sharing their mean rank: (B, N) -> (B, N); nan stays."""
    rising = values.sort(dim=1).values
    below = torch.searchsorted(rising, values)  # how many are smaller
    up_to = torch.searchsorted(rising, values, right=True)  # how many are smaller or equal
    exact = torch.float32 if values.device.type == "mps" else torch.float64
    return ((below + up_to + 1).to(exact) / 2).masked_fill(values.isnan(), torch.nan)
