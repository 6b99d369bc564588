"""Gradient and Integrated Gradients of a plain function of d features, as small as they can be.

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
