"""Lesson 02: crops over a pixel, the shrunk mean, the energy in a box, a step of relevance."""

from __future__ import annotations

import torch

from helpers.lesson.checks import compare, exercise

BOXES = [(0, 0, 2, 2), (1, 0, 4, 3), (1, 1, 3, 3)]  # left, top, right, bottom, on 3 rows, 5 columns


@exercise
def coverage(count_map) -> str | None:
    """count_map(boxes, height, width) -> (height, width): how many crops cover each pixel."""
    yours = torch.as_tensor(count_map(torch.tensor(BOXES), 3, 5)).double()
    right = _count(BOXES)
    if yours.shape == (5, 3):
        return (
            "rows and columns are swapped: the map is (height, width), and `top:bottom` comes first"
        )
    mistakes = {
        "a pixel under two crops counts 2: add 1, do not set it to 1": right.clamp(max=1),
        "this is the share of the crops; the sum needs their number": right / len(BOXES),
        "right and bottom are exclusive, as in Python's slices: no + 1": _count(
            [(a, b, c + 1, d + 1) for a, b, c, d in BOXES]
        ),
        "a box is left, top, right, bottom; you read it as top, left, bottom, right": _count(
            [(b, a, d, c) for a, b, c, d in BOXES]
        ),
    }
    known = f"three crops on a picture of 3 x 5 give {right.int().tolist()}"
    return compare(yours, right, mistakes, otherwise=f"{known}, yours gives {yours.tolist()}")


def _count(boxes) -> torch.Tensor:
    count = torch.zeros(3, 5, dtype=torch.double)
    for left, top, right, bottom in boxes:
        count[top:bottom, left:right] += 1
    return count


@exercise
def shrunk_mean(shrink) -> str | None:
    """shrink(total, count, k) -> total / (count + k), for maps of any shape."""
    total = torch.tensor([[9.0, -3.0, 0.0]])
    count = torch.tensor([[5.0, 1.0, 0.0]])
    yours = torch.as_tensor(shrink(total, count, 4.0)).float()
    if not yours.isfinite().all():
        return "a pixel that no crop covers gives 0 / 0: with k in the denominator it is 0 / k"
    mean = total / count.clamp(min=1e-9)
    mistakes = {
        "this is the plain mean: nothing is drawn towards zero; where does k come in?": mean,
        "you divide, then add k; k crops that gained nothing belong into the denominator": mean + 4,
        "you take k out of the count; add it: as if k more crops had gained nothing": total
        / (count - 4),
        "every pixel is divided by the same number: that is the sum again, with smaller "
        "numbers": total / (count.mean() + 4),
    }
    found = [round(v, 3) for v in yours.flatten().tolist()]
    known = "sums 9, −3, 0 over 5, 1, 0 crops with k = 4 give 1, −0.6, 0"
    right = torch.tensor([[1.0, -0.6, 0.0]])
    return compare(yours, right, mistakes, otherwise=f"{known}; yours gives {found}")


@exercise
def energy_in_box(energy) -> str | None:
    """energy(values, box) -> the share of the positive part inside the box."""
    values = torch.tensor([[1.0, 0, -4, 0], [0, 6, 2, 0], [0, 1, 0, 1]])
    yours = float(torch.as_tensor(energy(values, (1, 0, 3, 2))))
    mistakes = {
        "negative values count too in yours, and a map that sums to 0 would have no energy at all: "
        "keep the positive part": 4 / 7,
        "sizes without signs are counted: blue is energy *against* the query; keep the positive "
        "part": 12 / 15,
        "right is exclusive already: `values[top:bottom, left:right]`, no − 1; a column is "
        "missing": 6 / 11,
        "rows and columns are swapped: values[top:bottom, left:right]": 7 / 11,
        "this is the mean over the box; the question is which share of all the positive energy "
        "lies in it": 8 / 4,
        "your box is a pixel too large: right and bottom are exclusive": 10 / 11,
    }
    known = "inside the box are 6 and 2, outside three times 1: the share is 8 / 11 = 0.727"
    return compare(yours, 8 / 11, mistakes, otherwise=f"{known}, yours is {yours:.3g}")


@exercise
def relevance_step(step) -> str | None:
    """step(R, A, dA) -> R + mean over heads of (A * dA)+ @ R; A, dA (heads, T, T)."""
    generator = torch.Generator().manual_seed(0)
    A = torch.rand(2, 4, 4, generator=generator).softmax(-1)
    dA = torch.randn(2, 4, 4, generator=generator)
    R = torch.eye(4) + 0.3 * torch.rand(4, 4, generator=generator)
    yours = torch.as_tensor(step(R, A, dA))
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
