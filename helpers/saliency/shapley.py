"""Exact Shapley values of a plain function of d features."""

from collections.abc import Callable
from math import factorial

import torch
from torch import Tensor

from helpers.ground.errors import CourseError, checked, same_shape
from helpers.ground.stats import wide

MOST = 16  # features: 2^16 coalitions


def shapley_weights(features: int) -> tuple[Tensor, Tensor]:
    """All coalitions (2^d, d), and the weight (2^d, d) of f(coalition) in each feature's value.

    With feature i inside a coalition of s the weight is (s-1)! (d-s)! / d!, outside it
    -s! (d-s-1)! / d!.
    """
    d = features
    inside = ((torch.arange(2**d)[:, None] >> torch.arange(d)) & 1).bool()
    joined, absent = torch.zeros(2, 2**d, 1, dtype=torch.float64)
    for row, s in enumerate(inside.sum(1).tolist()):
        joined[row] = factorial(s - 1) * factorial(d - s) / factorial(d) if s > 0 else 0
        absent[row] = factorial(s) * factorial(d - s - 1) / factorial(d) if s < d else 0
    return inside, torch.where(inside, joined, -absent)


@checked
def shapley(f: Callable[[Tensor], Tensor], x: Tensor, baseline: Tensor) -> Tensor:
    """Exact Shapley values; a feature outside the coalition has its baseline value.

    f maps points (..., N, d) to outputs (..., N), item by item: it may be one function at N points,
    or N networks, each at its own; all 2^d coalitions are one call. x (N, d); baseline (N, d) or,
    for an average over M baselines, (M, 1, d). Returns (N, d). CourseError above 16 features.
    Source: Shapley 1953; as an attribution Lundberg & Lee 2017, Sundararajan & Najmi 2020.
    """
    d = x.shape[-1]
    if d > MOST:
        raise CourseError(f"exact Shapley values: {d} features are too many, {MOST} is the limit")
    inside, weights = shapley_weights(d)
    ones = [1] * (max(x.dim(), baseline.dim()) - 1)
    coalitions = inside.to(x.device).reshape(2**d, *ones, d)
    points = torch.where(coalitions, x, baseline)  # (2^d, [M,] N, d)
    values = wide(same_shape(f(points), points[..., 0], "What f returns"))
    return torch.einsum("s...,sd->...d", values, weights.to(values)).reshape(-1, *x.shape).mean(0)
