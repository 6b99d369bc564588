"""Boxes on a picture: left, top, right, bottom in its pixels; right and bottom exclusive."""

import numpy as np

from helpers.ground.errors import CourseError


def boxes_on(boxes, height: int, width: int) -> np.ndarray:
    """One box (4,) or several (N, 4) as (N, 4) float32; CourseError for what is none there."""
    try:
        given = np.asarray(boxes.tolist() if hasattr(boxes, "tolist") else boxes)
        values = given.astype(np.float32 if given.dtype.kind in "iuf" else None)
    except (TypeError, ValueError):  # a text, None, rows of different lengths
        values = np.empty(0)
    if values.ndim not in (1, 2) or values.shape[-1] != 4:
        given = f"an array {values.shape}" if values.ndim > 1 else f"{boxes!r:.80}"
        raise CourseError(f"A box is four numbers: left, top, right, bottom, not {given}.")
    values = values.reshape(-1, 4)
    left, top, right, bottom = values.T
    inside = (left >= 0) & (left < right) & (right <= width) & (top >= 0) & (top < bottom)
    inside &= bottom <= height
    shares = given.dtype.kind == "f" and (values <= 1).all()
    if shares or not inside.all():
        given = "shares" if shares else values[~inside][0].tolist()
        wanted = f"left, top, right, bottom in pixels of a picture {width} x {height}"
        raise CourseError(f"A box is {wanted}, the first two below the others, not {given}.")
    return values
