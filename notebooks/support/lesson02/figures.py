"""Lesson 02: maps over pictures, crops, how a map grows, and scores with intervals."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np

from helpers.lesson import plots
from helpers.lesson.plots import (
    COLOURS,
    UNSIGNED,
    as_array,
    as_picture,
    canvas,
    figure,
    look,
    printable,
)


def overlays(image, maps: dict, text: str, boxes: dict | None = None, cols: int | None = None):
    """The picture, then {title: map (H, W)} over it: red for, blue against, white nothing.

    Titles may be anything that a learner types. boxes: {title: box}, framed on that map: where the
    answer is.
    """
    panels = {"the picture": as_array(image)} | maps
    bar = ("against", "0", "for")
    return plots.maps(
        panels, over=image, signed=True, boxes=boxes, cols=cols, bar=bar, caption=text
    )


@figure
def crops(image, boxes, gains, text: str):
    """The picture with crops on it: solid red closer to the text than the picture, dashed blue not.

    boxes (N, 4), gains (N,).
    """
    fig, (left, right) = canvas(1, 2, height=3.2, width_ratios=(1, 1.3))
    left.imshow(as_picture(image))
    left.set_axis_off()
    gains = as_array(gains)
    colours = np.where(gains > 0, COLOURS[1], COLOURS[0])
    for (x0, y0, x1, y1), gain, colour in zip(as_array(boxes), gains, colours, strict=True):
        style = {"fill": False, "edgecolor": colour, "linestyle": "-" if gain > 0 else "--"}
        frame = mpl.patches.Rectangle((x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0, lw=1.6, **style)
        left.add_patch(frame)
    order = gains.argsort()
    right.barh(range(len(order)), gains[order], color=colours[order])
    right.axvline(0, color="black", lw=0.8)
    right.set(xlabel="gain: cos(text, crop) − cos(text, picture)", ylabel="the crops, in order")
    right.set_yticks([])
    return fig


@figure
def coverage(count, text: str):
    """A map of counts (H, W), and its middle row."""
    count = as_array(count)
    fig, (left, right) = canvas(1, 2, height=3.0)
    fig.colorbar(left.imshow(count, cmap=UNSIGNED, vmin=0), ax=left, shrink=0.8, label="crops")
    left.set_axis_off()
    left.set_title("how many crops cover a pixel")
    right.plot(count[len(count) // 2], color=COLOURS[0])
    right.set(xlabel="column, pixels", ylabel="crops", ylim=(0, None))
    right.set_title("the same, along the middle row")
    return fig


def noise(count, spreads: dict, text: str):
    """How much maps of other crops differ at a pixel, against how many crops cover it.

    count (H, W); spreads {name: (H, W)}.
    """
    count = as_array(count).ravel()
    edges = np.quantile(count, np.linspace(0, 1, 13))
    groups = [(count >= a) & (count <= b) for a, b in zip(edges, edges[1:], strict=False)]
    lines = {}
    for name, spread in spreads.items():
        values = as_array(spread).ravel()
        lines[name] = [values[group].mean() / values.mean() for group in groups]
    return plots.curves(
        (edges[1:] + edges[:-1]) / 2,
        lines,
        xlabel="crops that cover the pixel",
        ylabel="spread over seeds\n(1: the map's mean)",
        ylim=(0, None),
        caption=text,
    )


@figure
def tight(sides, gains: dict, text: str):
    """Mean gain of crops by their side, in eight groups: {query: gains (N,)}."""
    fig, ax = canvas(height=3.0)
    sides = as_array(sides)
    groups = np.array_split(np.argsort(sides), 8)
    x = [sides[group].mean() for group in groups]
    for i, (name, values) in enumerate(gains.items()):
        means = [as_array(values)[group].mean() for group in groups]
        ax.plot(x, means, **look(i), markersize=5, label=printable(name))
    ax.axhline(0, color="black", lw=0.8)
    ax.set(xlabel="side of the crop, pixels", ylabel="mean gain, cosine")
    plots.legend(fig)
    return fig


def scoreboard(rows: dict, panels: tuple[str, ...], text: str, live: dict | None = None):
    """{map: [(mean, low, high) a panel]}: dots with 95 % intervals; hollow is what ran just now."""
    now = "live, 20 scenes"
    table = {
        panel: {
            name: {"table": tuple(values[p])}
            | ({now: live[name][p]} if name in (live or {}) else {})
            for name, values in rows.items()
        }
        for p, panel in enumerate(panels)
    }
    ticks = (0, 0.5, 1)
    return plots.dots(table, hollow=[now], xlim=(-0.03, 1.03), xticks=ticks, caption=text)
