"""Maps made by hiding: occlusion hides one window after the other, RISE hides random halves. No gradient is needed."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers.ground.errors import CourseError
from helpers.saliency.core import Target, as_baseline, check, chunk_size, scores


def occlusion(
    model: nn.Module,
    inputs: Tensor,
    target: Target,
    *,
    window: int = 32,
    stride: int = 16,
    baseline: float | Tensor = 0.0,
) -> Tensor:
    """How far the logit falls when a window is hidden, averaged over the windows that cover a pixel. (B, 1, H, W), logits.

    window, stride: pixels. baseline: what hides, a number or a tensor that broadcasts. Source: Zeiler & Fergus 2014.
    """
    x, target = check(inputs, target, images=True)
    if not 1 <= stride <= window <= min(x.shape[2:]):
        raise CourseError(
            f"stride {stride} and window {window} should satisfy 1 <= stride <= window <= "
            f"{min(x.shape[2:])}, the picture's smaller side."
        )
    base = as_baseline(baseline, x)
    rows, cols = (
        windows(side, window, stride).to(x.device) for side in x.shape[2:]
    )  # (R, H), (Q, W) True = hidden
    places = torch.cartesian_prod(torch.arange(len(rows)), torch.arange(len(cols))).to(
        x.device
    )  # (R Q, 2)

    def score_without(rq):
        hidden = (
            rows[rq[:, 0]][:, None, None, :, None] & cols[rq[:, 1]][:, None, None, None, :]
        )  # (k, 1, 1, H, W)
        pictures = torch.where(hidden, base, x)  # (k, B, C, H, W)
        return scores(model, pictures.flatten(0, 1), target.repeat(len(rq))).view(len(rq), len(x))

    room = max(1, chunk_size(x) // len(x))
    drop = scores(model, x, target) - torch.cat(
        [score_without(rq) for rq in places.split(room)]
    )  # (R Q, B)
    rows, cols = rows.to(x.dtype), cols.to(x.dtype)
    total = torch.einsum("rqb,rh,qw->bhw", drop.view(len(rows), len(cols), -1), rows, cols)
    return (total / torch.outer(rows.sum(0), cols.sum(0))).unsqueeze(1)


def windows(side: int, window: int, stride: int) -> Tensor:
    """(R, side) bool: windows every `stride` pixels until the last one reaches the border (and is cut there)."""
    starts = torch.arange(-(-(side - window) // stride) + 1) * stride
    pixels = torch.arange(side)
    return (pixels >= starts[:, None]) & (pixels < starts[:, None] + window)


def rise(
    model: nn.Module,
    inputs: Tensor,
    target: Target,
    *,
    masks: int = 1000,
    cells: int = 7,
    keep: float = 0.5,
    softmax: bool = True,
    until: float | None = None,
    seed: int = 0,
) -> Tensor:
    """Σ p(x · M_i) M_i / (N · keep) over random soft masks M_i: the mean score while a pixel is seen. (B, 1, H, W).

    cells: the masks' coarse grid. keep: the share of cells that stay. softmax: explain the probability, as the paper
    does, or the raw score. until: stop early once the maps from the even and the odd masks correlate that well (after
    64 masks at the earliest). Source: Petsiuk et al. 2018, eq. 6 and section 3.2.
    """
    x, target = check(inputs, target, images=True)
    generator = torch.Generator().manual_seed(seed)
    grids = (torch.rand(masks, 1, cells, cells, generator=generator) < keep).to(
        x
    )  # small: drawn at once,
    shifts = torch.rand(masks, 2, generator=generator).to(x.device)  # whatever the chunks
    halves = x.new_zeros(2, len(x), *x.shape[2:])  # maps of the even and odd masks
    room, done = max(2, chunk_size(x) // len(x) // 2 * 2), 0
    for part_grids, part_shifts in zip(grids.split(room), shifts.split(room), strict=True):
        M = soft_masks(part_grids, part_shifts, x.shape[2:])  # (k, H, W)
        seen = (M[:, None, None] * x).flatten(0, 1)  # (k B, C, H, W)
        p = scores(model, seen, target.repeat(len(M)), softmax=softmax).view(len(M), -1)  # (k, B)
        for half in (0, 1):
            halves[half] += torch.einsum("kb,khw->bhw", p[half::2], M[half::2])
        done += len(M)
        if until and done >= 64 and correlation(*halves).min() >= until:
            break
    return halves.sum(dim=0).unsqueeze(1) / (done * keep)


def soft_masks(grids: Tensor, shifts: Tensor, size: tuple[int, int]) -> Tensor:
    """Coarse grids (k, 1, s, s), enlarged bilinearly past the picture and cropped at shifts (k, 2) in [0, 1): (k, H, W)."""
    k, s = len(grids), grids.shape[-1]
    cell = torch.tensor(
        [-(-side // s) for side in size], device=grids.device
    )  # pixels a cell, rounded up
    large = F.interpolate(
        grids, [(s + 1) * c for c in cell.tolist()], mode="bilinear", align_corners=False
    )
    top, left = (shifts * cell).long().unbind(dim=1)  # (k,) each, below one cell
    rows = top[:, None] + torch.arange(size[0], device=grids.device)  # (k, H)
    cols = left[:, None] + torch.arange(size[1], device=grids.device)  # (k, W)
    return large[
        torch.arange(k, device=grids.device)[:, None, None], 0, rows[:, :, None], cols[:, None, :]
    ]


def correlation(a: Tensor, b: Tensor) -> Tensor:
    """Pearson's correlation of two stacks of maps (B, H, W): (B,)."""
    a, b = (m.flatten(1) - m.flatten(1).mean(dim=1, keepdim=True) for m in (a, b))
    return F.cosine_similarity(a, b, dim=1)
