"""Gradient, Integrated Gradients and exact Shapley values of a plain function of d features.

Everywhere in this room `f` maps points (..., N, d) to outputs (..., N), and item n of the result depends on item n of
the points alone. So `f` may be one function at N points, or N different networks, each at its own point.
"""

from math import factorial

import torch
from torch import Tensor


def gradient(f, x: Tensor) -> Tensor:
    """The slope of f along every feature. x (..., N, d) -> (..., N, d)."""
    x = x.detach().requires_grad_()
    return torch.autograd.grad(f(x).sum(), x)[
        0
    ]  # items do not mix, so the sum's gradient is each item's own


def integrated_gradients(f, x: Tensor, baseline: Tensor, *, steps: int = 60) -> Tensor:
    """(x - x') times the mean gradient on the straight line from baseline x' to x, at `steps` midpoints.

    x and baseline (N, d) -> (N, d). Exact for piecewise linear f when every kink falls between two of the equal
    pieces of the line: 60 pieces fit kinks at halves, thirds, quarters and fifths. Sundararajan et al. 2017, eq. 1.
    """
    alpha = (torch.arange(steps, dtype=x.dtype, device=x.device) + 0.5) / steps
    path = baseline + alpha[:, None, None] * (x - baseline)  # (steps, N, d)
    return (x - baseline) * gradient(f, path).mean(0)


def shapley_weights(features: int) -> tuple[Tensor, Tensor]:
    """All coalitions (2^d, d), and the weight (2^d, d) of f(coalition) in each feature's Shapley value.

    With feature i inside a coalition of s the weight is (s-1)! (d-s)! / d!, outside it -s! (d-s-1)! / d!.
    """
    inside = ((torch.arange(2**features)[:, None] >> torch.arange(features)) & 1).bool()
    s, d = inside.sum(1).tolist(), features
    joined = torch.tensor(
        [factorial(max(k - 1, 0)) * factorial(d - k) / factorial(d) for k in s], dtype=torch.float64
    )
    absent = torch.tensor(
        [factorial(k) * factorial(max(d - k - 1, 0)) / factorial(d) for k in s], dtype=torch.float64
    )
    return inside, torch.where(inside, joined[:, None], -absent[:, None])


def shapley(f, x: Tensor, baseline: Tensor) -> Tensor:
    """Exact Shapley values: all 2^d coalitions in one call; a feature outside the coalition has its baseline value.

    x (N, d), baseline (N, d) or, for an average over M baselines, (M, 1, d) -> (N, d). Shapley 1953; as an
    attribution with a baseline: Lundberg and Lee 2017, Sundararajan and Najmi 2020. ValueError above 16 features.
    """
    d = x.shape[-1]
    if d > 16:
        raise ValueError(
            f"exact Shapley values need 2^d evaluations: {d} features are too many, 16 is the limit"
        )
    inside, weights = (t.to(x.device) for t in shapley_weights(d))
    many = inside.reshape(2**d, *[1] * (max(x.dim(), baseline.dim()) - 1), d)
    values = f(torch.where(many, x, baseline))  # (2^d, [M,] N)
    return torch.einsum("s...,sd->...d", values, weights.to(x.dtype)).reshape(-1, *x.shape).mean(0)
