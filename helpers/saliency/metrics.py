"""Measures of a map: of its texture, and of whether it finds what the score depends on.

attribution: (B, C, H, W) with signs. heat: (B, H, W), more is more important; `magnitude(attribution)` is the usual one.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers.ground.errors import CourseError
from helpers.saliency.core import Target, as_baseline, check, chunk_size, scores


def magnitude(attribution: Tensor) -> Tensor:
    """A map without signs, the channels summed: (B, C, H, W) -> (B, H, W)."""
    return attribution.abs().sum(dim=1)


def total_variation(attribution: Tensor, *, block: int = 1) -> Tensor:
    """Mean step between neighbours of the magnitude, in units of its mean: (B, C, H, W) -> (B,). Noisy is high.

    block: pixels; neighbours are then block x block averages, which is how a map looks from further away.
    """
    m = F.avg_pool2d(magnitude(attribution), block)
    steps = m.diff(dim=1).abs().mean(dim=(1, 2)) + m.diff(dim=2).abs().mean(dim=(1, 2))
    return steps / m.mean(dim=(1, 2))


def concentration(attribution: Tensor) -> Tensor:
    """Gini index of the magnitude, (B, C, H, W) -> (B,): 0 where all pixels are equal, near 1 where one has all.

    Source: Hurley & Rickard 2009, table I.
    """
    m = magnitude(attribution).flatten(1).sort(dim=1).values  # (B, N), rising
    rank = torch.arange(1, m.shape[1] + 1, device=m.device)
    return ((2 * rank - m.shape[1] - 1) * m).sum(dim=1) / (m.shape[1] * m.sum(dim=1))


# ---- hide the important pixels, or show them first ----------------------------------------------------------------------
def ranks(heat: Tensor) -> Tensor:
    """The place of each pixel in the order of importance, 0 the most important: (B, H, W) -> (B, H, W). Ties: in reading order."""
    return heat.flatten(1).argsort(dim=1, descending=True, stable=True).argsort(dim=1).view_as(heat)


def exchange(
    model: nn.Module, before: Tensor, after: Tensor, target: Target, heat: Tensor, steps: int
) -> Tensor:
    """The target's probability while `before` turns into `after`, the most important pixels first: (B, steps + 1)."""
    x, target = check(before, target, images=True)
    if heat.shape != x.shape[:1] + x.shape[2:]:
        raise CourseError(
            f"heat should have the shape {tuple(x.shape[:1] + x.shape[2:])}, one value a pixel, not "
            f"{tuple(heat.shape)}; magnitude(attribution) makes it."
        )
    place, pixels = ranks(heat)[:, None], heat[0].numel()  # (B, 1, H, W)

    def probability(ks):
        done = (ks * pixels / steps).view(-1, 1, 1, 1, 1)  # pixels exchanged by step k
        pictures = torch.where(place < done, after, x)  # (k, B, C, H, W)
        return scores(model, pictures.flatten(0, 1), target.repeat(len(ks)), softmax=True).view(
            len(ks), -1
        )

    room = max(1, chunk_size(x) // len(x))
    return torch.cat(
        [probability(ks) for ks in torch.arange(steps + 1, device=x.device).split(room)]
    ).T


def deletion(
    model: nn.Module,
    inputs: Tensor,
    target: Target,
    heat: Tensor,
    *,
    steps: int = 28,
    baseline: float | Tensor = 0.0,
) -> Tensor:
    """The probability while pixels are hidden by the baseline, important ones first: (B, steps + 1). A good map falls fast.

    Source: Petsiuk et al. 2018, section 4; `area` turns a curve into their score.
    """
    return exchange(model, inputs, as_baseline(baseline, inputs), target, heat, steps)


def insertion(
    model: nn.Module,
    inputs: Tensor,
    target: Target,
    heat: Tensor,
    *,
    steps: int = 28,
    start: float | Tensor = 0.0,
) -> Tensor:
    """The probability while pixels appear on `start` (the paper's is a blurred picture): (B, steps + 1). A good map rises fast."""
    return exchange(model, as_baseline(start, inputs), inputs, target, heat, steps)


def area(curve: Tensor) -> Tensor:
    """The area under each curve, its width being 1: (B, n) -> (B,). Trapezoids: (sum - first / 2 - last / 2) / (n - 1)."""
    return torch.trapezoid(curve, dim=1) / (curve.shape[1] - 1)


def remove(images: Tensor, heat: Tensor, share: float, value: float | Tensor) -> Tensor:
    """The pictures with their most important share of pixels replaced by a value. Source: Hooker et al. 2019 (ROAR), section 3."""
    return torch.where(
        ranks(heat)[:, None] < round(share * heat[0].numel()), as_baseline(value, images), images
    )


# ---- does it lie where the thing is? ------------------------------------------------------------------------------------
def in_boxes(boxes: Tensor, height: int, width: int) -> Tensor:
    """(B, 4) left, top, right, bottom in pixels, right and bottom exclusive -> (B, height, width), True inside."""
    left, top, right, bottom = torch.as_tensor(boxes)[:, :, None].unbind(dim=1)  # (B, 1) each
    y, x = torch.arange(height, device=left.device), torch.arange(width, device=left.device)
    return ((y >= top) & (y < bottom))[:, :, None] & ((x >= left) & (x < right))[:, None, :]


def pointing_game(heat: Tensor, boxes: Tensor, *, tolerance: int = 0) -> Tensor:
    """Whether the highest pixel lies in the box, or at most `tolerance` pixels beside it: (B,) bool. Zhang et al. 2016.

    Their tolerance is 15 pixels, on photographs.
    """
    boxes = torch.as_tensor(boxes) + tolerance * torch.tensor([-1, -1, 1, 1])
    inside = in_boxes(boxes.to(heat.device), *heat.shape[1:]).flatten(1)
    return inside.gather(1, heat.flatten(1).argmax(dim=1, keepdim=True)).squeeze(1)


def energy_in_box(heat: Tensor, boxes: Tensor) -> Tensor:
    """The share of the map's positive part that lies in the box: (B,), nan where there is none. Wang et al. 2020 (Score-CAM)."""
    positive = heat.clamp(min=0)
    return (positive * in_boxes(boxes, *heat.shape[1:]).to(heat)).sum(dim=(1, 2)) / positive.sum(
        dim=(1, 2)
    )


# ---- does it predict what small changes do, and stay as it is under smaller ones? --------------------------------------
def noises(x: Tensor, samples: int, seed: int, *, uniform: bool = False) -> Tensor:
    """Random numbers (samples, B, C, H, W): Gaussian of deviation 1, or uniform in -1 … 1."""
    generator = torch.Generator(x.device).manual_seed(seed)
    draw = torch.rand if uniform else torch.randn
    n = draw(samples, *x.shape, generator=generator, dtype=x.dtype, device=x.device)
    return 2 * n - 1 if uniform else n


def infidelity(
    model: nn.Module,
    inputs: Tensor,
    target: Target,
    attribution: Tensor,
    *,
    noise: float = 0.2,
    samples: int = 50,
    normalise: bool = False,
    seed: int = 0,
) -> Tensor:
    """mean over Gaussian changes I of (I·φ - (S(x) - S(x - I)))²: (B,). 0 where the map predicts each change of the logit.

    noise: the deviation of I. normalise: multiply φ by the one number a picture that fits best, so that a map's scale
    does not matter. Source: Yeh et al. 2019, definition 2.1 and section 4.
    """
    x, target = check(inputs, target)
    change = noise * noises(x, samples, seed)  # (n, B, C, H, W)
    after = scores(model, (x - change).flatten(0, 1), target.repeat(samples)).view(samples, -1)
    drop = scores(model, x, target) - after  # (n, B)
    predicted = (change * attribution).flatten(2).sum(dim=2)  # (n, B)
    if normalise:
        predicted = predicted * (predicted * drop).mean(0) / (predicted**2).mean(0)
    return ((predicted - drop) ** 2).mean(dim=0)


def sensitivity_max(
    method: Callable[..., Tensor],
    model: nn.Module,
    inputs: Tensor,
    target: Target,
    *,
    radius: float = 0.02,
    samples: int = 10,
    seed: int = 0,
) -> Tensor:
    """max over r, |r| <= radius in each pixel, of |φ(x + r) - φ(x)| / |φ(x)|: (B,). How far a map moves when the eye sees no change.

    Source: Yeh et al. 2019, definition 3.1; the maximum is over `samples` uniform draws.
    """
    x, target = check(inputs, target)
    map0 = method(model, x, target).flatten(1)
    moved = [
        (method(model, x + r, target).flatten(1) - map0).norm(dim=1)
        for r in radius * noises(x, samples, seed, uniform=True)
    ]
    return torch.stack(moved).amax(dim=0) / map0.norm(dim=1)
