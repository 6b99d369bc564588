"""Gradient, Integrated Gradients and a fitted line of a function of d features, kept small.

`f` maps points (..., N, d) to outputs (..., N), and item n of the result depends on item n of the
points alone: one function at N points, or N different networks, each at its own point. For pictures
and models there is `helpers.saliency`.
"""

import torch
from torch import Tensor


def gradient(f, x: Tensor) -> Tensor:
    """The slope of f along every feature. x (..., N, d) -> (..., N, d)."""
    x = x.detach().requires_grad_()
    (slope,) = torch.autograd.grad(f(x).sum(), x)  # items do not mix: each gets its own gradient
    return slope


def integrated_gradients(f, x: Tensor, baseline: Tensor, *, steps: int = 60) -> Tensor:
    """(x - x') times the mean gradient at `steps` midpoints of the straight line from x' to x.

    x, baseline x' (N, d) -> (N, d). Exact for piecewise linear f when every kink falls between two
    of the equal pieces: 60 fit kinks at halves, thirds, quarters, fifths. Sundararajan et al. 2017.
    """
    alpha = (torch.arange(steps, dtype=x.dtype, device=x.device) + 0.5) / steps
    path = baseline + alpha[:, None, None] * (x - baseline)  # (steps, N, d)
    return (x - baseline) * gradient(f, path).mean(0)


def straight_line(f, x: Tensor, *, behind=False, width=0.5, points=200, seed=0) -> Tensor:
    """The slopes of a straight line fitted to f at `points` normal draws round x, (N, d).

    LIME without its kernel: least squares, all points weighing the same. Ribeiro et al. 2016.
    behind: no point has more of feature 1 than x.
    """
    generator = torch.Generator().manual_seed(seed)
    steps = (width * torch.randn(points, x.shape[-1], generator=generator)).to(x)
    if behind:
        steps[:, 0] = -steps[:, 0].abs()
    design = torch.cat([torch.ones_like(steps[:, :1]), steps], dim=1)  # (points, 1 + d)
    outputs = f(x + steps[:, None])  # (points, N)
    return torch.linalg.lstsq(design, outputs).solution[1:].T
