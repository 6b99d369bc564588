"""Lesson 03: maps as layers fall, rankings that disagree, and what a drawing depends on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure

from helpers.lesson.plots import as_array, as_picture, heat, maps

REDS = {"signed": False, "cmap": "Reds", "bar": False}  # without signs, white (nothing) to red


def rows_of_maps(picture, rows: Mapping, columns: Sequence[str], *, caption: str) -> Figure:
    """The picture, then a row of maps for each method: {method: (n, C, H, W)}, n column titles."""
    table = {
        name: {"picture": as_picture(picture), **dict(zip(columns, row, strict=True))}
        for name, row in rows.items()
    }
    return maps(table, caption=caption, **REDS)


def boxed(picture, drawn: Mapping[str, torch.Tensor], box, *, caption: str) -> Figure:
    """The picture and maps, each with the same box framed: left, top, right, bottom."""
    return maps({"picture": as_picture(picture), **drawn}, boxes=box, caption=caption, **REDS)


def rankings(methods, measures, places, values, *, caption: str) -> Figure:
    """Each method's place by each measure (methods, measures) as shade and number.

    Its value stands in brackets.
    """
    places, values = as_array(places), as_array(values)
    pairs = zip(places.flat, values.flat, strict=True)
    texts = np.array([f"{place:.0f}.  ({value:.2g})" for place, value in pairs])
    texts = texts.reshape(places.shape)
    look = {"cmap": "Blues_r", "label": "place"}
    return heat(places, methods, measures, numbers=texts, caption=caption, **look)


def drawing(steps: Mapping, slopes: Mapping, box, *, caption: str) -> Figure:
    """Above, how a drawing comes about; below, signed maps of the ink in the framed region.

    steps: ink is 1, paper -1. slopes: each scaled by its largest value.
    """
    ink = {title: as_picture((1 - step.clamp(-1, 1)) / 2) for title, step in steps.items()}
    table = {"drawing": ink, "map": dict(slopes)}
    return maps(table, boxes=box, signed=True, top=1.0, bar=("less", "0", "more"), caption=caption)
