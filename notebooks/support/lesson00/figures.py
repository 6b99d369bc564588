"""Lesson 00: a sheet of scans, where the labelled notes lie, and the path from words to orders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.patches import Rectangle
from torch import Tensor

from helpers.lesson.plots import COLOURS, MARKERS, SIGNED, as_map, canvas, caption


def sheet(images: Tensor, titles: Sequence[str], text: str):
    """Scans (B, 1, H, W) in two rows, a title over each."""
    fig, axes = canvas(2, -(-len(titles) // 2), height=2.9)
    for ax, image, title in zip(axes.flat, images, titles, strict=False):
        ax.imshow(image[0], cmap="gray", vmin=0, vmax=1)
        ax.set_title(title)
    for ax in axes.flat:
        ax.set_axis_off()
    caption(fig, text)
    return fig


def side_by_side(maps: Mapping[str, Tensor], text: str, *, box: tuple[slice, slice] | None = None):
    """Maps (H, W), each divided by its own largest values; box: rows and columns to frame."""
    fig, axes = canvas(1, len(maps), height=2.9, squeeze=False)
    for ax, (name, values) in zip(axes.flat, maps.items(), strict=True):
        flat, signed = as_map(values)
        drawn = ax.imshow(
            flat, cmap=SIGNED if signed else "viridis", vmin=-1 if signed else 0, vmax=1
        )
        ax.set(title=name, xticks=[], yticks=[])
        if box is not None:
            (top, bottom), (left, right) = ((side.start, side.stop) for side in box)
            ax.add_patch(
                Rectangle(
                    (left - 0.5, top - 0.5),
                    right - left,
                    bottom - top,
                    fill=False,
                    edgecolor="white",
                    linewidth=2,
                )
            )
    bar = fig.colorbar(drawn, ax=list(axes.flat), shrink=0.8, aspect=18)
    bar.set_ticks(
        [-1, 0, 1] if signed else [0, 1],
        labels=["darker", "0", "brighter"] if signed else ["0", "much"],
    )
    caption(fig, text)
    return fig


def two_directions(
    x: Tensor, y: Tensor, groups: Mapping[str, Tensor], names: tuple[str, str], text: str
):
    """Notes as dots: how far each lies along two directions, (N,) each. groups: {name: (N,) bool}."""
    fig, ax = canvas(height=3.6)
    for i, (name, members) in enumerate(groups.items()):
        ax.plot(
            x[members],
            y[members],
            MARKERS[i],
            color=COLOURS[i],
            markersize=4,
            alpha=0.6,
            label=name,
        )
    ax.axvline(0, color="0.4", linestyle=":", linewidth=1.3)
    ax.axhline(0, color="0.4", linestyle=":", linewidth=1.3)
    ax.set(xlabel=f"along the direction of {names[0]}", ylabel=f"along the direction of {names[1]}")
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    caption(fig, text)
    return fig


def path(
    words: Sequence[str],
    windows: Tensor,
    votes: Tensor,
    units: Sequence[int],
    orders: Sequence[str],
    text: str,
):
    """Words -> units -> orders for one note.

    windows (T, U): what each unit says at each word. votes (orders, U): what its largest value adds to each order.
    """
    fig, (left, right) = canvas(
        1, 2, height=1.6 + 0.28 * len(units), width_ratios=[len(words) + 4, 2.2 * len(orders)]
    )
    names = [f"unit {unit}" for unit in units]
    seen = left.imshow(windows.T.numpy(), cmap="viridis", vmin=0, aspect="auto")
    left.set_xticks(range(len(words)), words, rotation=60, ha="right")
    left.set_yticks(range(len(units)), names)
    left.set_title("what each unit says at each word")
    top = max(float(votes.abs().max()), 1e-6)
    added = right.imshow(votes.T.numpy(), cmap=SIGNED, vmin=-top, vmax=top, aspect="auto")
    right.set_xticks(range(len(orders)), orders, rotation=60, ha="right")
    right.set_yticks([])
    right.set_title("what it adds to each order")
    for (row, column), value in np.ndenumerate(votes.T.numpy()):
        right.text(
            column,
            row,
            f"{value:+.0f}",
            ha="center",
            va="center",
            fontsize=8,
            color="white" if abs(value) > 0.6 * top else "black",
        )
    fig.colorbar(seen, ax=left, shrink=0.8, aspect=14)
    fig.colorbar(added, ax=right, shrink=0.8, aspect=14)
    caption(fig, text)
    return fig
