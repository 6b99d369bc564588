"""Maps made of gradients: plain, times the input, smoothed, and integrated along a path. S is the class's logit."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from helpers.ground.runtime import in_chunks
from helpers.saliency.core import (
    Target,
    as_baseline,
    check,
    chunk_size,
    class_score,
    derivative,
    mean_over,
    scores,
    undisturbed,
)


def gradient(model: nn.Module, inputs: Tensor, target: Target) -> Tensor:
    """dS_c/dx: how fast the score changes with each pixel. (B, C, H, W), logit per unit of input.

    Source: Simonyan et al. 2014, section 3; slide D1-05.
    """
    x, target = check(inputs, target)

    def one_chunk(x, target):
        x = x.clone().requires_grad_()
        return derivative(class_score(model, x, target), at=x)

    with undisturbed(model):
        return in_chunks(one_chunk, x, target, chunk=chunk_size(x))


def gradient_x_input(model: nn.Module, inputs: Tensor, target: Target) -> Tensor:
    """x · dS_c/dx: each pixel's share of the score, were the network linear. (B, C, H, W), logits.

    For a ReLU network without biases the shares sum to S_c. Source: Shrikumar et al. 2017; slide D1-05.
    """
    return inputs * gradient(model, inputs, target)


def smoothgrad(
    model: nn.Module,
    inputs: Tensor,
    target: Target,
    *,
    samples: int = 25,
    noise: float = 0.15,
    squared: bool = False,
    of: Callable[..., Tensor] = gradient,
    seed: int = 0,
) -> Tensor:
    """The mean map over noisy copies of the picture, mean of M(x + N(0, σ²)); squared: the mean of M².

    noise: σ as a share of each picture's own range, max(x) - min(x). of: the map that is smoothed, any method.
    Returns what `of` returns. Source: Smilkov et al. 2017, eq. 1; slide D1-05.
    """
    x, target = check(inputs, target)
    flat = x.flatten(1)
    sigma = (noise * (flat.amax(1) - flat.amin(1))).view(-1, *[1] * (x.ndim - 1))  # (B, 1, 1, 1)
    # a seed for every draw: neither the size of a chunk nor memory running out changes the noise
    seeds = torch.randint(2**62, (samples,), generator=torch.Generator().manual_seed(seed))

    def normal(seed):
        return torch.randn(
            x.shape,
            dtype=x.dtype,
            device=x.device,
            generator=torch.Generator(x.device).manual_seed(seed),
        )

    def maps(ks):
        noisy = torch.stack(
            [x + sigma * normal(s) for s in seeds[ks.cpu()].tolist()]
        )  # (k, B, C, H, W)
        m = of(model, noisy.flatten(0, 1), target.repeat(len(ks)))
        m = m.view(len(ks), len(x), *m.shape[1:])
        return m**2 if squared else m

    return mean_over(samples, x, maps)


def integrated_gradients(
    model: nn.Module,
    inputs: Tensor,
    target: Target,
    *,
    steps: int = 64,
    baseline: float | Tensor = 0.0,
) -> Tensor:
    """(x - x') · ∫₀¹ dS_c/dx(x' + a (x - x')) da, the integral as a mean over midpoints. (B, C, H, W), logits.

    baseline: x', a number or a tensor that broadcasts against the inputs. The map sums to S_c(x) - S_c(x'), up to
    `completeness_error`. Source: Sundararajan et al. 2017, eq. 1; slide D1-05.
    """
    x, target = check(inputs, target)
    base = as_baseline(baseline, x)

    def gradients_on_path(ks):
        a = ((ks.to(x) + 0.5) / steps).view(-1, *[1] * x.ndim)  # (k, 1, 1, 1, 1)
        points = base + a * (x - base)  # (k, B, C, H, W)
        return gradient(model, points.flatten(0, 1), target.repeat(len(ks))).view_as(points)

    return (x - base) * mean_over(steps, x, gradients_on_path)


def completeness_error(
    model: nn.Module,
    inputs: Tensor,
    target: Target,
    attribution: Tensor,
    *,
    baseline: float | Tensor = 0.0,
) -> Tensor:
    """|sum of the map - (S(x) - S(x'))| / |S(x) - S(x')|, (B,): 0 where the map accounts for the whole difference.

    Source: Sundararajan et al. 2017, proposition 1.
    """
    difference = scores(model, inputs, target) - scores(
        model, as_baseline(baseline, inputs), target
    )
    return (attribution.flatten(1).sum(1) - difference).abs() / difference.abs()


def ig_smoothgrad(
    model: nn.Module,
    inputs: Tensor,
    target: Target,
    *,
    samples: int = 12,
    steps: int = 16,
    noise: float = 0.15,
    baseline: float | Tensor = 0.0,
    seed: int = 0,
) -> Tensor:
    """SmoothGrad around Integrated Gradients: samples · steps gradients a picture. (B, C, H, W), logits.

    baseline: as above, the same for all pictures. Source: Adebayo et al. 2018; slide D1-06.
    """
    integrated = partial(integrated_gradients, steps=steps, baseline=baseline)
    return smoothgrad(model, inputs, target, samples=samples, noise=noise, of=integrated, seed=seed)
