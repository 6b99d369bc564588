"""Measures of a map: of its texture, and of whether it finds what the score depends on.

attribution: (B, C, H, W) with signs. heat: (B, H, W), more is more important, such as
`magnitude(attribution)`. Sums are made in float32 at least.
"""

import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import Tensor

from helpers.ground.boxes import boxes_on
from helpers.ground.errors import CourseError, checked
from helpers.saliency import core
from helpers.saliency.core import Method, check, for_copies, forward_scores, wide


def magnitude(attribution: ArrayLike) -> Tensor:
    """A map without signs, the channels summed: (B, C, H, W) -> (B, H, W)."""
    return core.as_tensor(attribution, 4).abs().sum(dim=1)


@checked
def total_variation(attribution: ArrayLike, *, block=1) -> Tensor:
    """Mean step between neighbouring blocks of pixels, in units of the mean magnitude: (B,)."""
    m = magnitude(attribution)
    if min(m.shape[1:]) < 2 * block:
        size = f"{m.shape[1]} x {m.shape[2]}"
        raise CourseError(f"Maps {size} have no neighbours in blocks of {block} x {block} pixels.")
    m = F.avg_pool2d(m, block)
    steps = m.diff(dim=1).abs().mean(dim=(1, 2)) + m.diff(dim=2).abs().mean(dim=(1, 2))
    return steps / m.mean(dim=(1, 2))


def concentration(attribution: Tensor) -> Tensor:
    """Gini index of the magnitude, (B,): 0 equal pixels, 1 one alone. Hurley & Rickard 2009."""
    m = magnitude(attribution).flatten(1).sort(dim=1).values  # (B, N), rising
    rank = torch.arange(1, m.shape[1] + 1, device=m.device)
    return ((2 * rank - m.shape[1] - 1) * m).sum(dim=1) / (m.shape[1] * m.sum(dim=1))


# ---- hide the important pixels, or show them first ----
def places(heat: ArrayLike, images: Tensor) -> Tensor:
    """Each pixel's place in the order of importance, 0 the most, ties as read: (B, 1, H, W)."""
    shape = (len(images), *images.shape[2:])
    if (heat := core.as_tensor(heat, 3)).shape != shape:
        given = f"{tuple(heat.shape)}; magnitude(attribution) makes it"
        raise CourseError(f"heat should be {shape}, one value a pixel, not {given}.")
    if missing := int(heat.isnan().sum()):
        n = heat.numel()
        raise CourseError(f"{missing} of the heat map's {n} values are NaN: see nan_to_num().")
    order = heat.flatten(1).argsort(dim=1, descending=True, stable=True)  # (B, H W)
    return order.argsort(dim=1).view_as(heat).to(images.device)[:, None]


@checked
def perturbation_curve(model, before: Tensor, after: Tensor, target, heat, steps=28) -> Tensor:
    """The class's probability while pixels turn from `before` to `after`: (B, steps + 1)."""
    place = places(heat, before)  # (B, 1, H, W)
    curve = []
    with core.frozen_eval(model):
        for some in core.groups(range(steps + 1), before):
            done = [k * place[0].numel() / steps for k in some]  # pixels exchanged by step k
            copies = torch.stack([torch.where(place < n, after, before) for n in done])
            curve.append(for_copies(forward_scores, model, copies, target, softmax=True))  # (k, B)
    return core.finite(torch.cat(curve)).T


def deletion(model, inputs, target, heat: Tensor, *, steps=28, baseline=0.0) -> Tensor:
    """The probability while the baseline hides pixels, important ones first: (B, steps + 1).

    A good map falls fast. Source: Petsiuk et al. 2018, section 4; `area` makes their score of it.
    """
    x, target = check(model, inputs, target, images=True)
    return perturbation_curve(model, x, core.as_baseline(baseline, x), target, heat, steps)


def insertion(model, inputs, target, heat: Tensor, *, steps=28, start=0.0) -> Tensor:
    """The same while pixels appear on `start`, in the paper a blurred picture; good: rises fast."""
    x, target = check(model, inputs, target, images=True)
    return perturbation_curve(model, core.as_baseline(start, x), x, target, heat, steps)


def area(curve: Tensor) -> Tensor:
    """The area under each curve, its width being 1, by trapezoids: (B, n) -> (B,)."""
    curve = core.as_tensor(curve, 2)
    if curve.shape[1] < 2:
        raise CourseError(f"A curve has two points or more; these are {tuple(curve.shape)}.")
    return torch.trapezoid(curve, dim=1) / (curve.shape[1] - 1)


# ---- does it lie where the thing is? ----
def in_boxes(boxes: ArrayLike, heat: Tensor) -> Tensor:
    """Boxes (B, 4) or (4,): left, top, right, bottom, exclusive -> True inside, (B, H, W)."""
    boxes = torch.as_tensor(boxes_on(boxes, *heat.shape[1:]), device=heat.device)
    if len(boxes) not in (1, len(heat)):
        needs = f"{len(heat)} heat maps need boxes ({len(heat)}, 4), or one (4,) for all"
        raise CourseError(f"{needs}, not {tuple(boxes.shape)}.")
    boxes = boxes.expand(len(heat), 4)
    left, top, right, bottom = boxes[:, :, None].unbind(dim=1)  # (B, 1) each
    y, x = (torch.arange(side, device=heat.device) for side in heat.shape[1:])
    return ((y >= top) & (y < bottom))[:, :, None] & ((x >= left) & (x < right))[:, None, :]


def pointing_game(heat: Tensor, boxes: Tensor) -> Tensor:
    """1 where the highest pixel lies in the box, else 0: (B,). Zhang et al. 2016, no tolerance.

    nan for an empty map: one that is the same everywhere, or holds nan, points nowhere.
    """
    heat = core.as_tensor(heat, 3)
    flat = heat.flatten(1)
    hit = in_boxes(boxes, heat).flatten(1).gather(1, flat.argmax(dim=1, keepdim=True))[:, 0]
    points = flat.amax(dim=1) > flat.amin(dim=1)  # False with nan
    return torch.where(points, hit.to(flat), torch.nan)


def energy_in_box(heat: Tensor, boxes: Tensor) -> Tensor:
    """The share of the map's positive part in the box, (B,); nan without one. Wang et al. 2020."""
    positive = core.as_tensor(heat, 3).clamp(min=0)
    return (positive * in_boxes(boxes, positive)).sum(dim=(1, 2)) / positive.sum(dim=(1, 2))


# ---- does it predict what small changes do, and stay as it is under smaller ones? ----
@checked
def infidelity(
    model, inputs, target, attribution, *, noise=0.2, samples=50, normalise=False, seed=0
) -> Tensor:
    """mean over Gaussian changes I of (I·φ - (S(x) - S(x - I)))²: (B,). 0: each is predicted.

    noise: the deviation of I. normalise: multiply φ by the one number a picture that fits best, so
    that a map's scale does not matter. Source: Yeh et al. 2019, definition 2.1 and section 4.
    """
    x, target = check(model, inputs, target)
    change = noise * core.noises(x, samples, seed)  # (n, B, C, H, W)
    with core.frozen_eval(model):
        after = for_copies(forward_scores, model, x - change, target)  # (n, B)
        drop = forward_scores(model, x, target) - after  # (n, B)
    core.finite(drop)
    shares = wide(change) * core.each_ones(attribution, drop[0], x)
    predicted = shares.flatten(2).sum(dim=2)  # (n, B)
    if normalise:
        predicted = predicted * (predicted * drop).mean(0) / (predicted**2).mean(0)
    return ((predicted - drop) ** 2).mean(dim=0)


@checked
def sensitivity_max(
    method: Method, model, inputs, target, *, radius=0.02, samples=10, seed=0
) -> Tensor:
    """max of |φ(x + r) - φ(x)| / |φ(x)| over uniform draws r, |r| <= radius in each pixel: (B,).

    How far a map moves when the eye sees no change. Source: Yeh et al. 2019, definition 3.1.
    """
    x, target = check(model, inputs, target)
    map0 = wide(method(model, x, target)).flatten(1)
    distances = [
        (wide(method(model, x + r, target)).flatten(1) - map0).norm(dim=1)
        for r in radius * core.noises(x, samples, seed, uniform=True)
    ]
    return torch.stack(distances).amax(dim=0) / map0.norm(dim=1)
