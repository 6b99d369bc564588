"""Lesson 00: a sheet of scans, and the path from words to orders."""

from __future__ import annotations

from collections.abc import Sequence

from helpers.lesson.plots import SIGNED, as_array, canvas, figure, write_numbers


@figure
def sheet(images, titles: Sequence[str], text: str):
    """Scans (B, 1, H, W) in two rows, a title over each."""
    fig, axes = canvas(2, -(-len(titles) // 2), height=2.9)
    for ax, image, title in zip(axes.flat, as_array(images), titles, strict=False):
        ax.imshow(image[0], cmap="gray", vmin=0, vmax=1)
        ax.set_title(title)
    for ax in axes.flat:
        ax.set_axis_off()
    return fig


@figure
def path(words, windows, votes, units: Sequence[int], orders: Sequence[str], text: str):
    """Words -> units -> orders for one note.

    windows (T, U): what each unit says at each word. votes (orders, U): what its largest value adds
    to each order.
    """
    windows = as_array(windows).T  # (U, T)
    votes = as_array(votes).T  # (U, orders)
    widths = [len(words) + 4, 2.2 * len(orders)]
    fig, (left, right) = canvas(1, 2, height=1.6 + 0.28 * len(units), width_ratios=widths)
    top = max(abs(votes).max(), 1e-6)
    seen = left.imshow(windows, cmap="viridis", vmin=0, aspect="auto")
    added = right.imshow(votes, cmap=SIGNED, vmin=-top, vmax=top, aspect="auto")
    write_numbers(right, added, "{:+.0f}")
    for ax, drawn, names in ((left, seen, words), (right, added, orders)):
        ax.set_xticks(range(len(names)), names, rotation=60, ha="right")
        ax.set_yticks([])
        fig.colorbar(drawn, ax=ax, shrink=0.8, aspect=14)
    left.set_yticks(range(len(units)), [f"unit {unit}" for unit in units])
    left.set_title("what each unit says at each word")
    right.set_title("what it adds to each order")
    return fig
