"""Lesson 02: how often crops cover a pixel, the mean that is shrunk, the energy in a box, one step of relevance."""

from __future__ import annotations

import torch

from helpers.lesson.checks import close, exercise

BOXES = [
    (0, 0, 2, 2),
    (1, 0, 4, 3),
    (1, 1, 3, 3),
]  # left, top, right, bottom; a picture of 3 rows, 5 columns


@exercise
def coverage(count_map) -> str | None:
    """count_map(boxes, height, width) -> (height, width): how many crops cover each pixel."""
    yours = torch.as_tensor(count_map(torch.tensor(BOXES), 3, 5)).double()
    right = _count(BOXES)
    if close(yours, right):
        return None
    if yours.shape == (5, 3):
        return (
            "rows and columns are swapped: the map is (height, width), and `top:bottom` comes first"
        )
    if close(yours, right.clamp(max=1)):
        return "a pixel under two crops counts 2: add 1, do not set it to 1"
    if close(yours, right / len(BOXES)):
        return "this is the share of the crops; the sum needs their number"
    if close(yours, _count([(a, b, c + 1, d + 1) for a, b, c, d in BOXES])):
        return "right and bottom are exclusive, as in Python's slices: no + 1"
    if yours.shape == right.shape and close(yours, _count([(b, a, d, c) for a, b, c, d in BOXES])):
        return "a box is left, top, right, bottom; you read it as top, left, bottom, right"
    return f"three crops on a picture of 3 x 5 give {right.int().tolist()}, yours gives {yours.tolist()}"


def _count(boxes) -> torch.Tensor:
    count = torch.zeros(3, 5, dtype=torch.double)
    for left, top, right, bottom in boxes:
        count[top:bottom, left:right] += 1
    return count


@exercise
def shrunk_mean(shrink) -> str | None:
    """shrink(total, count, k) -> total / (count + k), for maps of any shape."""
    total, count = torch.tensor([[9.0, -3.0, 0.0]]), torch.tensor([[5.0, 1.0, 0.0]])
    yours, right = (
        torch.as_tensor(shrink(total, count, 4.0)).float(),
        torch.tensor([[1.0, -0.6, 0.0]]),
    )
    if close(yours, right):
        return None
    if not yours.isfinite().all():
        return "a pixel that no crop covers gives 0 / 0: with k in the denominator it is 0 / k"
    named = {
        "this is the plain mean: nothing is drawn towards zero; where does k come in?": total
        / count.clamp(min=1e-9),
        "you divide, then add k; k crops that gained nothing belong into the denominator": total
        / count.clamp(min=1e-9)
        + 4,
        "you take k out of the count; add it: as if k more crops had gained nothing": total
        / (count - 4),
        "every pixel is divided by the same number: that is the sum again, with smaller numbers": total
        / (count.mean() + 4),
    }
    for mistake, value in named.items():
        if close(yours.nan_to_num(), value.nan_to_num()):
            return mistake
    return f"sums 9, −3, 0 over 5, 1, 0 crops with k = 4 give 1, −0.6, 0; yours gives {[round(v, 3) for v in yours.flatten().tolist()]}"


@exercise
def energy_in_box(energy) -> str | None:
    """energy(values, box) -> the share of the positive part inside the box."""
    values = torch.tensor([[1.0, 0, -4, 0], [0, 6, 2, 0], [0, 1, 0, 1]])
    yours = float(torch.as_tensor(energy(values, (1, 0, 3, 2))))
    named = {
        8 / 11: None,
        4
        / 7: "negative values count too in yours, and a map that sums to 0 would have no energy at all: keep the positive part",
        12
        / 15: "sizes without signs are counted: blue is energy *against* the query; keep the positive part",
        6
        / 11: "right is exclusive already: `values[top:bottom, left:right]`, no − 1; a column is missing",
        7 / 11: "rows and columns are swapped: values[top:bottom, left:right]",
        8
        / 4: "this is the mean over the box; the question is which share of all the positive energy lies in it",
        10 / 11: "your box is a pixel too large: right and bottom are exclusive",
    }
    for value, mistake in named.items():
        if close(yours, value):
            return mistake
    return f"inside the box are 6 and 2, outside three times 1: the share is 8 / 11 = 0.727, yours is {yours:.3g}"


@exercise
def relevance_step(step) -> str | None:
    """step(R, A, dA) -> R + mean over heads of (A * dA)+ @ R; A, dA (heads, T, T)."""
    generator = torch.Generator().manual_seed(0)
    A = torch.rand(2, 4, 4, generator=generator).softmax(-1)
    dA = torch.randn(2, 4, 4, generator=generator)
    R = torch.eye(4) + 0.3 * torch.rand(4, 4, generator=generator)
    yours, cam = torch.as_tensor(step(R, A, dA)), (A * dA).clamp(min=0).mean(0)
    named = {
        None: R + cam @ R,
        "the step is added to what was there: R stays, as the residual connection keeps the tokens": cam
        @ R,
        "nothing is clamped: negative products would cancel positive ones between the heads": R
        + (A * dA).mean(0) @ R,
        "clamp each head first, then take the mean: in yours heads cancel each other": R
        + (A * dA).mean(0).clamp(min=0) @ R,
        "the new layer comes from the left: cam @ R, not R @ cam": R + R @ cam,
        "clamp the product A · dA, not the slope alone or the weights alone": R
        + (A + dA).clamp(min=0).mean(0) @ R,
        "you forgot the slopes: A alone says where a head looks, not what for (attention rollout)": R
        + A.mean(0) @ R,
        "the mean over heads is asked, yours is their sum": R + 2 * cam @ R,
    }
    for mistake, value in named.items():
        if close(yours, value):
            return mistake
    if yours.ndim == 3:
        return f"R is one matrix for all heads: take the mean over the heads before you multiply; yours has shape {tuple(yours.shape)}"
    return "not R + mean over heads of (A · dA)⁺ times R: compare the steps with the formula one by one"
