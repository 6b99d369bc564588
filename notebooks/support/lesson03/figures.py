"""Lesson 03: maps without signs, and what a drawing depends on."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from helpers.lesson.plots import as_picture, maps


def red_maps(rows: Mapping, *, caption: str, **look) -> Figure:
    """Pictures and maps without signs, from white (nothing) to red; what else `maps` takes."""
    return maps(rows, caption=caption, signed=False, cmap="Reds", bar=False, **look)


def drawing(steps: Mapping, slopes: Mapping, box, *, caption: str) -> Figure:
    """Above, how a drawing comes about; below, signed maps of the ink in the framed region.

    steps: ink is 1, paper -1. slopes: each scaled by its largest value.
    """
    ink = {title: as_picture((1 - step.clamp(-1, 1)) / 2) for title, step in steps.items()}
    labels = ("less ink", "0", "more ink")
    table = {"drawing": ink, "map": dict(slopes)}
    return maps(table, boxes=box, signed=True, top=1.0, bar=labels, caption=caption)
