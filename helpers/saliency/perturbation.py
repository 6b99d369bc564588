"""Maps made by hiding, without a gradient: occlusion one window after the other, RISE halves."""

import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.ground.errors import CourseError, checked
from helpers.saliency import core
from helpers.saliency.core import Baseline, check, for_copies, forward_scores, frozen_eval


@checked
def occlusion(model, inputs, target, *, window=32, stride=16, baseline: Baseline = 0.0) -> Tensor:
    """How far the logit falls when a window is hidden, the mean over the windows on a pixel.

    window, stride: pixels. baseline: what hides. (B, 1, H, W). Source: Zeiler & Fergus 2014.
    """
    x, target = check(model, inputs, target, images=True)
    if not 1 <= stride <= window <= min(x.shape[2:]):
        wanted = f"1 <= stride <= window <= {min(x.shape[2:])}, the picture's smaller side"
        raise CourseError(f"stride {stride} and window {window} should satisfy {wanted}.")
    x0 = core.as_baseline(baseline, x)
    rows = windows(x.shape[2], window, stride).to(x.device)  # (R, H), True = hidden
    cols = windows(x.shape[3], window, stride).to(x.device)  # (Q, W)
    places = [(r, q) for r in range(len(rows)) for q in range(len(cols))]
    after = []
    with frozen_eval(model):
        before = forward_scores(model, x, target)  # (B,)
        for some in core.groups(places, x):
            hidden = torch.stack([rows[r][:, None] & cols[q] for r, q in some])  # (k, H, W)
            copies = torch.where(hidden[:, None, None], x0, x)  # (k, B, C, H, W)
            after.append(for_copies(forward_scores, model, copies, target))  # (k, B)
    drop = (before - torch.cat(after)).unflatten(0, (len(rows), len(cols)))  # (R, Q, B)
    rows, cols = rows.to(drop.dtype), cols.to(drop.dtype)
    total = torch.einsum("rqb,rh,qw->bhw", drop, rows, cols)
    return core.finite(total / torch.outer(rows.sum(0), cols.sum(0))).unsqueeze(1)


def windows(side: int, window: int, stride: int) -> Tensor:
    """(R, side) bool: a window every `stride` pixels, until one reaches the border (cut there)."""
    starts = torch.arange(-(-(side - window) // stride) + 1) * stride
    pixels = torch.arange(side)
    return (pixels >= starts[:, None]) & (pixels < starts[:, None] + window)


@checked
def rise(
    model, inputs, target, *, masks=1000, cells=7, keep=0.5, softmax=True, centred=False, seed=0
) -> Tensor:
    """Σ p(x · M_i) M_i / (N · keep) over random soft masks M_i: the mean score of a seen pixel.

    cells: the masks' coarse grid. keep: the share of cells that stay. softmax: explain the
    probability, as the paper does, or the raw score. centred: take off the mean score first, which
    says nothing about places but adds the masks' noise to the map. Returns (B, 1, H, W).
    Source: Petsiuk et al. 2018, eq. 6 and section 3.2.
    """
    if not 0 < keep <= 1:
        raise CourseError(f"keep is the share of cells that stay, above 0 up to 1, not {keep}.")
    x, target = check(model, inputs, target, images=True)
    generator = torch.Generator().manual_seed(seed)
    kept = torch.rand(masks, 1, cells, cells, generator=generator) < keep
    grids = kept.to(x.device, core.wide(x).dtype)  # small: drawn at once, whatever the chunks
    shifts = torch.rand(masks, 2, generator=generator).to(x.device)
    room = core.copies_at_once(x)
    with frozen_eval(model):
        maps = grids.new_zeros(len(x), *x.shape[2:])  # (B, H, W)
        cover = grids.new_zeros(x.shape[2:])  # how often each pixel was seen
        total = grids.new_zeros(len(x))  # of the scores
        for some, shift in zip(grids.split(room), shifts.split(room), strict=True):
            M = soft_masks(some, shift, x.shape[2:])  # (k, H, W)
            seen = (M[:, None, None] * x).to(x.dtype)  # (k, B, C, H, W)
            p = for_copies(forward_scores, model, seen, target, softmax=softmax)  # (k, B)
            maps += torch.einsum("kb,khw->bhw", p, M)
            cover += M.sum(dim=0)
            total += p.sum(dim=0)
    if centred:
        maps = maps - total[:, None, None] / masks * cover
    return core.finite(maps.unsqueeze(1) / (masks * keep))


def soft_masks(grids: Tensor, shifts: Tensor, size: tuple[int, int]) -> Tensor:
    """Coarse grids (k, 1, s, s), enlarged and cropped at shifts (k, 2) in [0, 1): (k, H, W)."""
    s = grids.shape[-1]
    cell = [-(-side // s) for side in size]  # pixels a cell, rounded up
    large = F.interpolate(grids, [(s + 1) * c for c in cell], mode="bilinear", align_corners=False)
    top, left = ((shifts[:, i] * c).long() for i, c in enumerate(cell))  # (k,) each, below a cell
    rows = top[:, None] + torch.arange(size[0], device=grids.device)  # (k, H)
    cols = left[:, None] + torch.arange(size[1], device=grids.device)  # (k, W)
    k = torch.arange(len(grids), device=grids.device)
    return large[k[:, None, None], 0, rows[:, :, None], cols[:, None, :]]
