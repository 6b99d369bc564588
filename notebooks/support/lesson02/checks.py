"""Lesson 02: the deck's map, a step of relevance, and maps of the learner's own from crops."""

from __future__ import annotations

import torch
from torch import Tensor

from helpers.clip import maps, score
from helpers.ground.stats import spearman
from helpers.lesson.checks import compare, exercise, is_empty

GAINS = torch.tensor([1.0, 2.0, -4.0])
BOXES = [(0, 0, 2, 2), (1, 0, 4, 3), (1, 1, 3, 3)]  # left, top, right, bottom


@exercise
def deck_map(deck_map) -> str | None:
    """deck_map(gains, boxes, size) -> (size, size): each crop adds its gain to its pixels."""
    yours = torch.as_tensor(deck_map(GAINS.clone(), torch.tensor(BOXES), 5)).double()
    right, count = _sum(BOXES), _sum(BOXES, torch.ones(3))
    last = torch.zeros(5, 5, dtype=torch.double)
    for gain, (left, top, right_edge, bottom) in zip(GAINS, BOXES, strict=True):
        last[top:bottom, left:right_edge] = gain
    mistakes = {
        "rows and columns are swapped: a map is [rows, columns], so `top:bottom` comes first": (
            right.T
        ),
        "a pixel under two crops gets both gains: add (`+=`), do not set (`=`)": last,
        "this is the mean: the deck's map is the sum, nothing is divided": [
            right / count.clamp(min=1),
            right / 3,
        ],
        "right and bottom are exclusive, as in Python's slices: no + 1": _sum(
            [(a, b, c + 1, d + 1) for a, b, c, d in BOXES]
        ),
        "each crop adds its gain, not 1: this map counts the crops": count,
    }
    return compare(yours, right, mistakes)


def _sum(boxes, gains=GAINS) -> Tensor:
    total = torch.zeros(5, 5, dtype=torch.double)
    for gain, (left, top, right, bottom) in zip(gains, boxes, strict=True):
        total[top:bottom, left:right] += gain
    return total


@exercise
def relevance_step(step) -> str | None:
    """step(R, A, dA) -> R + mean over heads of (A * dA)+ @ R; A, dA (heads, T, T)."""
    generator = torch.Generator().manual_seed(0)
    A = torch.rand(2, 4, 4, generator=generator).softmax(-1)
    dA = torch.randn(2, 4, 4, generator=generator)
    R = torch.eye(4) + 0.3 * torch.rand(4, 4, generator=generator)
    yours = torch.as_tensor(step(R.clone(), A.clone(), dA.clone()))  # `R += …` is right as well
    if yours.ndim == 3:
        return (
            "R is one matrix for all heads: take the mean over the heads before you multiply; "
            f"yours has shape {tuple(yours.shape)}"
        )
    cam = (A * dA).clamp(min=0).mean(0)
    late = (A * dA).mean(0).clamp(min=0)
    added = (A + dA).clamp(min=0).mean(0)
    mistakes = {
        "the step is added to what was there: R stays, as the residual connection keeps the "
        "tokens": cam @ R,
        "nothing is clamped: negative products would cancel positive ones between the heads": R
        + (A * dA).mean(0) @ R,
        "clamp each head first, then take the mean: in yours heads cancel each other": R + late @ R,
        "the new layer comes from the left: cam @ R, not R @ cam": R + R @ cam,
        "clamp the product A · dA, not the slope alone or the weights alone": R + added @ R,
        "you forgot the slopes: A alone says where a head looks, not what for (attention "
        "rollout)": R + A.mean(0) @ R,
        "the mean over heads is asked, yours is their sum": R + 2 * cam @ R,
    }
    known = "not R + mean over heads of (A · dA)⁺ times R: compare the steps with the formula"
    return compare(yours, R + cam @ R, mistakes, otherwise=f"{known} one by one")


# ---- maps of the learner's own: combine(gains (N,), boxes (N, 4), size) -> (size, size)
def deck(gains: Tensor, boxes: Tensor, size: int) -> Tensor:
    return maps.add_up(gains[:, None], boxes, size, size)[0]


def by_area(gains: Tensor, boxes: Tensor, size: int) -> Tensor:
    return maps.average(gains[:, None], boxes, size, size, k=40, by_area=True)[0]


def eighth_power(gains: Tensor, boxes: Tensor, size: int) -> Tensor:
    return deck(gains, boxes, size).clamp(min=0) ** 8


def drawn_by(combine, gains: Tensor, boxes: Tensor, size: int = 96) -> Tensor:
    """The learner's map, (size, size); what it does to its gains in place stays its own."""
    return torch.as_tensor(combine(gains.clone(), boxes.clone(), size))


def follows(yours: Tensor, known: Tensor) -> bool:
    """Whether yours never orders two pixels against known: a power, a floor, a threshold of it."""
    yours, known = (each / each.abs().max().clamp(min=1e-12) for each in (yours, known))
    order = yours.argsort()
    order = order[known[order].round(decimals=5).argsort(stable=True)]  # ties as yours has them
    rising = yours[order]
    return bool((rising.cummax(0).values - rising).max() < 1e-3)


def standing(combine, crops: list, size: int = 96) -> list[float]:
    """Share of hits and mean energy; crops: (gains (N, Q), crops (N, 4), boxes asked) a scene."""
    rows = []
    for gains, boxes, asked in crops:
        drawn = torch.stack([drawn_by(combine, each, boxes, size) for each in gains.T])
        rows.append(score.score({"": drawn.to(gains)}, asked)[0, :, :2])
    return torch.stack(rows).mean((0, 1)).tolist()


def peaks(combine, crops: list, size: int = 96) -> tuple[Tensor, Tensor]:
    """Of each map's highest pixel: is it in the box asked for, and how many crops lie over it?"""
    hit, under = [], []
    for gains, boxes, asked in crops:
        drawn = torch.stack([drawn_by(combine, each, boxes, size) for each in gains.T])
        count = maps.add_up(torch.ones_like(gains[:, :1]), boxes, size, size).flatten()
        hit.append(score.score({"": drawn}, asked)[0, :, 0] > 0)
        under.append(count[drawn.flatten(1).argmax(1)])
    return torch.cat(hit), torch.cat(under)


def standings(combine, crops: list) -> dict[str, list[float]]:
    """{name: [hits, energy]} of the deck's sum, of two others, and of yours once it is written."""
    known = {"the deck's sum": deck, "its eighth power": eighth_power}
    known |= {"shrunk, by 1/area": by_area}
    gains, boxes, _ = crops[0]
    if not is_empty(combine(gains[:, 0].clone(), boxes.clone(), 96)):
        known["yours"] = combine
    return {name: standing(each, crops) for name, each in known.items()}


def made_up():
    """A scene without a picture: a crop gains by the share of it that a thing fills.

    Gains (300, 2), crops (300, 4), the two things' boxes.
    """
    boxes = maps.crop_boxes(300, 96, 96, 21, torch.Generator().manual_seed(0))
    things = [(10, 20, 40, 50), (55, 50, 90, 85)]
    gains = []
    for box in things:
        left, top, right, bottom = torch.stack([boxes, torch.tensor([box] * 300)]).unbind(-1)
        width = right.amin(0) - left.amax(0)
        height = bottom.amin(0) - top.amax(0)
        area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        gains.append(width.clamp(0) * height.clamp(0) / area - 0.1)
    return torch.stack(gains, 1), boxes, things


@exercise
def combine(combine, crops=()) -> str | None:
    """Has your map another form than the deck's, and more hits or more energy on these scenes?"""
    crops = crops or [made_up()]
    gains, boxes, _ = crops[0]
    yours = drawn_by(combine, gains[:, 0], boxes)
    if yours.shape != (96, 96):
        return f"a map has the shape (96, 96); yours has {tuple(yours.shape)}"
    if not yours.isfinite().all():
        return "your map holds NaN or infinity: is a pixel without crops divided by 0?"
    known = {
        "orders the pixels as the deck's sum does (a power or a threshold of it raises the energy, "
        "and no hit): weigh the crops": deck(gains[:, 0], boxes, 96),
        "orders the pixels as the plain mean does: weigh the crops, or shrink it": maps.average(
            gains[:, :1], boxes, 96, 96
        )[0],
    }
    for what, values in known.items():
        red = values > 0
        own, its = yours.to(values)[red], values[red]
        if red.sum() > 1 and (follows(own, its) or spearman(own[None], its[None]) > 0.9999):
            return f"your map {what}"
    hits, energy = standing(combine, crops)
    old_hits, old_energy = standing(deck, crops)
    if hits > old_hits or (hits == old_hits and energy > old_energy):
        return None
    return (
        f"hits {hits:.2f}, energy {energy:.2f}; the deck's sum has {old_hits:.2f} and "
        f"{old_energy:.2f}: more hits, or as many and more energy"
    )
