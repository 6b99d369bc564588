"""Lesson 02: maps over pictures."""

from __future__ import annotations

import random

from helpers.lesson import plots


def overlays(image, maps: dict, caption: str, boxes: dict | None = None, cols: int | None = None):
    """The picture, then {title: map (H, W)} over its greys: red for, blue against, at zero grey.

    Titles may be anything that a learner types. boxes: {title: box}, framed on that map: where the
    answer is.
    """
    panels = {"the picture": plots.as_array(image)} | maps
    bar = ("against", "0", "for")
    return plots.maps(
        panels, over=image, signed=True, boxes=boxes, cols=cols, bar=bar, caption=caption
    )


def square_round(box, size: int = 96) -> tuple[int, int, int, int]:
    """The smallest square on a picture of this size that holds the box."""
    left, top, right, bottom = box
    side = max(right - left, bottom - top)
    left, top = min(left, size - side), min(top, size - side)
    return left, top, left + side, top + side


def empty_square(boxes, side: int = 24, size: int = 96) -> tuple[int, int, int, int]:
    """A square, drawn with seed 0, that touches none of the boxes on a picture of this size."""
    free = [
        (x, y)
        for x in range(size - side + 1)
        for y in range(size - side + 1)
        if not any(
            x < right and left < x + side and y < bottom and top < y + side
            for left, top, right, bottom in boxes
        )
    ]
    x, y = random.Random(0).choice(free)
    return x, y, x + side, y + side
