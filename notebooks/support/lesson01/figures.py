"""Lesson 01: maps from white to red, as in the deck."""

from __future__ import annotations

from functools import partial

import matplotlib as mpl

from helpers.lesson.plots import maps

# Channels added without signs; the darkest red is a map's own 99th percentile and above. Sixteen
# reds: grain needs no more, and a stored lesson stays small. A smooth map takes cmap="Reds".
red_maps = partial(maps, signed=False, cmap=mpl.colormaps["Reds"].resampled(16), bar=False)
