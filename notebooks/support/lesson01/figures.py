"""Lesson 01: maps from white to red as in the deck, and the saturated function."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from matplotlib.figure import Figure

from helpers.lesson.plots import COLOURS, as_array, as_picture, canvas, figure, maps


def red_maps(image, drawn: Mapping[str, torch.Tensor], *, caption: str, **options) -> Figure:
    """The picture, then each map without signs, white (nothing) to red, as in the deck's Figure 2.

    Red is a map's own 99th percentile and above. options: what `plots.maps` takes.
    """
    rows = {"picture": as_picture(image), **drawn}
    return maps(rows, signed=False, cmap="Reds", bar=False, caption=caption, **options)


@figure
def saturation(f, at: float, *, caption: str) -> Figure:
    """A function of one number with the baseline 0 and a point; its slope between these two."""
    fig, (left, right) = canvas(1, 2, height=2.8)
    x = torch.linspace(0, at + 0.5, 301).requires_grad_()
    y = f(x)
    slope = as_array(torch.autograd.grad(y.sum(), x)[0])
    x, y = as_array(x), as_array(y)
    ends = torch.tensor([0.0, at])
    left.plot(x, y, color=COLOURS[0])
    left.plot(as_array(ends), as_array(f(ends)), "o", color="black")
    left.set(xlabel="input x", ylabel="score S(x)", title="the score: flat where the point is")
    right.plot(x, slope, color=COLOURS[1])
    right.fill_between(x[x <= at], slope[x <= at], color=COLOURS[1], alpha=0.25)
    right.plot([at], [0], "o", color="black")
    right.set_title("its slope: the area is Integrated Gradients")
    right.set(xlabel="place on the way from the baseline to x", ylabel="slope dS/dx")
    return fig
