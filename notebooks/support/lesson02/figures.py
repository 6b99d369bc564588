"""Lesson 02: maps over pictures, crops, how a map grows, and scores with intervals."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.patches import Rectangle

from helpers.lesson.plots import (
    COLOURS,
    MARKERS,
    SIGNED,
    UNSIGNED,
    WIDTH,
    as_picture,
    canvas,
    caption,
)


def _frame(ax, box, colour: str = "black", style: str = "-") -> None:
    left, top, right, bottom = (float(v) - 0.5 for v in box)
    ax.add_patch(
        Rectangle(
            (left, top),
            right - left,
            bottom - top,
            fill=False,
            edgecolor=colour,
            linestyle=style,
            linewidth=1.6,
        )
    )


def _over(ax, image, values, grey: np.ndarray):
    """One map over the grey picture: red for, blue against, white nothing; scaled by its own 99th percentile."""
    values = torch.as_tensor(values).detach().float().cpu()
    scale = float(values.abs().flatten().quantile(0.99).clamp_min(1e-12))
    ax.imshow(grey, cmap="gray", vmin=-0.6, vmax=1.2)
    return ax.imshow(
        (values / scale).clamp(-1, 1).numpy(), cmap=SIGNED, vmin=-1, vmax=1, alpha=0.62
    )


def overlays(image, maps: dict, text: str, boxes: dict | None = None, cols: int | None = None):
    """The picture, then {title: map (H, W)} over it. boxes: {title: box}, framed on that map: where the answer is."""
    cols = cols or min(len(maps) + 1, 5)
    rows = -(-(len(maps) + 1) // cols)
    picture = as_picture(np.array(image))
    grey, shape = picture.mean(2), picture.shape[0] / picture.shape[1]
    fig, axes = canvas(
        rows, cols, height=rows * ((WIDTH - 0.8) / cols * shape + 0.42), squeeze=False
    )
    for ax in axes.flat:
        ax.set_axis_off()
    axes.flat[0].imshow(picture)
    axes.flat[0].set_title("the picture", fontsize=9)
    for ax, (title, values) in zip(axes.flat[1:], maps.items(), strict=False):
        mappable = _over(ax, picture, values, grey)
        ax.set_title("\n".join(_wrapped(title, 108 // cols)), fontsize=9)
        if boxes and title in boxes:
            _frame(ax, boxes[title])
    bar = fig.colorbar(mappable, ax=list(axes[:, -1]), shrink=0.7, aspect=18, pad=0.03)
    bar.set_ticks([-1, 0, 1], labels=["against", "0", "for"])
    caption(fig, text)
    return fig


def _wrapped(title: str, width: int) -> list[str]:
    import textwrap

    return textwrap.wrap(title, width) or [""]


def crops(image, boxes, gains, text: str):
    """The picture with crops drawn on it: solid red closer to the text than the whole picture, dashed blue farther."""
    fig, (left, right) = canvas(1, 2, height=3.2, width_ratios=(1, 1.3))
    left.imshow(as_picture(np.array(image)))
    left.set_axis_off()
    for box, gain in zip(boxes.tolist(), gains.tolist(), strict=True):
        _frame(left, box, COLOURS[1] if gain > 0 else COLOURS[0], "-" if gain > 0 else "--")
    order = gains.argsort()
    colours = [COLOURS[1] if gains[i] > 0 else COLOURS[0] for i in order]
    right.barh(range(len(order)), gains[order].numpy(), color=colours)
    right.axvline(0, color="black", lw=0.8)
    right.set(
        xlabel="gain: cos(text, crop) − cos(text, picture)", ylabel="the crops, in order", yticks=[]
    )
    caption(fig, text)
    return fig


def coverage(
    count, text: str, titles=("how many crops cover a pixel", "the same, along the middle row")
):
    """A map of counts, and its middle row."""
    fig, (left, right) = canvas(1, 2, height=3.0)
    fig.colorbar(left.imshow(count, cmap=UNSIGNED, vmin=0), ax=left, shrink=0.8, label="crops")
    left.set_axis_off()
    left.set_title(titles[0])
    right.plot(np.asarray(count)[len(count) // 2], color=COLOURS[0])
    right.set(xlabel="column, pixels", ylabel="crops", title=titles[1], ylim=(0, None))
    caption(fig, text)
    return fig


def noise(count, spreads: dict, text: str):
    """How much maps of other random crops differ at a pixel, against how many crops cover it: {name: spread (H, W)}."""
    fig, ax = canvas(height=3.2)
    count = np.asarray(count).ravel()
    edges = np.quantile(count, np.linspace(0, 1, 13))
    middle = (edges[1:] + edges[:-1]) / 2
    for i, (name, spread) in enumerate(spreads.items()):
        values = np.asarray(spread).ravel() / np.asarray(spread).mean()
        means = [
            values[(count >= a) & (count <= b)].mean()
            for a, b in zip(edges, edges[1:], strict=False)
        ]
        ax.plot(middle, means, color=COLOURS[i], marker=MARKERS[i], markersize=5, label=name)
    ax.set(
        xlabel="crops that cover the pixel",
        ylabel="spread over seeds\n(1: the map's mean)",
        ylim=(0, None),
    )
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    caption(fig, text)
    return fig


def tight(sides, gains: dict, text: str):
    """Mean gain of crops by their side, in eight groups: {query: gains (N,)}."""
    fig, ax = canvas(height=3.0)
    groups = np.array_split(np.argsort(np.asarray(sides)), 8)
    x = [np.asarray(sides)[g].mean() for g in groups]
    for i, (name, values) in enumerate(gains.items()):
        ax.plot(
            x,
            [np.asarray(values)[g].mean() for g in groups],
            color=COLOURS[i],
            marker=MARKERS[i],
            markersize=5,
            label=name,
        )
    ax.axhline(0, color="black", lw=0.8)
    ax.set(xlabel="side of the crop, pixels", ylabel="mean gain, cosine")
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    caption(fig, text)
    return fig


def scoreboard(rows: dict, panels: tuple[str, ...], text: str, live: dict | None = None):
    """{map: [(mean, low, high) a panel]}: a dot with its 95 % interval each; hollow squares are what ran just now."""
    fig, axes = canvas(1, len(panels), height=0.29 * len(rows) + 1.0, sharey=True)
    names = list(rows)
    for p, (ax, panel) in enumerate(zip(axes, panels, strict=True)):
        for y, name in enumerate(names):
            mean, low, high = rows[name][p]
            ax.plot([low, high], [y, y], color=COLOURS[0])
            ax.plot(mean, y, "o", color=COLOURS[0], label="table" if y == 0 else None)
            if live and name in live:
                ax.plot(
                    live[name][p],
                    y,
                    "s",
                    markerfacecolor="none",
                    markeredgecolor=COLOURS[1],
                    label="live, 20 scenes" if y == 0 else None,
                )
        ax.set(xlim=(-0.03, 1.03), title=panel)
        ax.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"])
        ax.grid(axis="x", color=".9")
    axes[0].set_yticks(range(len(names)), names)
    axes[0].invert_yaxis()
    if live:
        axes[-1].legend(loc="upper left", bbox_to_anchor=(1, 1))
    caption(fig, text)
    return fig
