"""Maps (B, C, H, W) made of gradients: plain, times the input, smoothed, integrated along a path.

S_c is the class's logit, x the pictures. `check` and `frozen_eval` keep the model as it was;
`groups` and `for_copies` send as many versions of the pictures through it at once as there is room.
"""

from functools import partial

import torch
from torch import Tensor, nn

from helpers.ground.errors import checked
from helpers.saliency import core
from helpers.saliency.core import Baseline, Method, Target, check, for_copies, frozen_eval, wide


def gradient(model: nn.Module, inputs: Tensor, target: Target) -> Tensor:
    """dS_c/dx, logits per unit of input. Source: Simonyan et al. 2014, section 3; slide D1-05."""
    x, target = check(model, inputs, target)
    with frozen_eval(model):
        return core.finite(input_gradient(model, x, target))


def input_gradient(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    """`gradient` of a frozen model at inputs that were checked."""

    def one_batch(x, target):
        x = x.clone().requires_grad_()
        return wide(core.derivative(core.class_score(model, x, target), at=x))

    return core.in_batches(one_batch, x, target)


def gradient_x_input(model: nn.Module, inputs: Tensor, target: Target) -> Tensor:
    """x · dS_c/dx: each pixel's share of the score, in logits, were the network linear.

    For a ReLU network without biases the shares sum to S_c. Source: Shrikumar et al. 2017; D1-05.
    """
    x, target = check(model, inputs, target)
    return x * gradient(model, x, target)


@checked
def smoothgrad(
    model, inputs, target, *, samples=25, noise=0.15, squared=False, of: Method = gradient, seed=0
) -> Tensor:
    """The mean map over noisy copies of the picture, mean of M(x + N(0, σ²)); squared: of M².

    noise: σ as a share of each picture's own range, max(x) - min(x). of: the map that is smoothed,
    any method. Returns what `of` returns. Source: Smilkov et al. 2017, eq. 1; slide D1-05.
    """
    x, target = check(model, inputs, target)
    pixels = tuple(range(1, x.ndim))
    sigma = noise * (x.amax(pixels, keepdim=True) - x.amin(pixels, keepdim=True))  # (B, 1, 1, 1)
    # a seed for every draw: the noise is the same in chunks of any size
    seeds = torch.randint(2**62, (samples,), generator=torch.Generator().manual_seed(seed)).tolist()
    total = 0.0
    for some in core.groups(seeds, x):
        noisy = torch.stack([x + sigma * core.noises(x, 1, s)[0] for s in some])  # (k, B, C, H, W)
        maps = wide(for_copies(of, model, noisy, target))  # (k, B, C, H, W)
        total = total + (maps**2 if squared else maps).sum(dim=0)
    return total / samples


@checked
def integrated_gradients(
    model, inputs, target: Target, *, steps=64, baseline: Baseline = 0.0, power=1
) -> Tensor:
    """(x - x') · ∫₀¹ dS_c/dx(x' + a (x - x')) da, the integral as a sum over midpoints.

    baseline: x', a number or a tensor that broadcasts. power: the steps lie at a = u^power, u even,
    da = power · u^(power-1) du; 3 crowds them near x', where EfficientNet's logit leaps: there 64
    steps miss 2 % of the score (`completeness_error`, five photographs), and 22 % with power 1. The
    map, in logits, sums to S_c(x) - S_c(x') but for that. Sundararajan et al. 2017, eq. 1; D1-05.
    """
    x, target = check(model, inputs, target)
    x0 = core.as_baseline(baseline, x)
    with frozen_eval(model):
        total = torch.zeros_like(wide(x))
        for some in core.groups([(k + 0.5) / steps for k in range(steps)], x):
            points = torch.stack([x0 + u**power * (x - x0) for u in some])  # (k, B, C, H, W)
            slopes = for_copies(input_gradient, model, points, target)
            shares = [
                power * u ** (power - 1) * slope for u, slope in zip(some, slopes, strict=True)
            ]
            total += torch.stack(shares).sum(dim=0)
    return core.finite((x - x0) * (total / steps))


def completeness_error(model, inputs, target, attribution: Tensor, *, baseline=0.0) -> Tensor:
    """|sum of the map - (S(x) - S(x'))| / |S(x) - S(x')|, (B,): 0 where all is accounted for.

    nan or inf where both scores are equal. Source: Sundararajan et al. 2017, proposition 1.
    """
    x, target = check(model, inputs, target)
    with frozen_eval(model):
        before = core.forward_scores(model, core.as_baseline(baseline, x), target)
        difference = core.finite(core.forward_scores(model, x, target) - before)  # (B,)
    accounted = core.each_ones(attribution, difference, x).flatten(1).sum(1)  # (B,)
    return (accounted - difference).abs() / difference.abs()


def ig_smoothgrad(
    model, inputs, target, *, samples=12, steps=16, noise=0.15, baseline: Baseline = 0.0, seed=0
) -> Tensor:
    """SmoothGrad of Integrated Gradients, samples · steps gradients. Adebayo et al. 2018; D1-06."""
    integrated = partial(integrated_gradients, steps=steps, baseline=baseline)
    return smoothgrad(model, inputs, target, samples=samples, noise=noise, of=integrated, seed=seed)
