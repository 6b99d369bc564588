"""Lesson 00: the path from words to orders."""

from collections.abc import Sequence

import numpy as np

from helpers.lesson.plots import SIGNED, as_array, canvas, figure, write_numbers
from helpers.nets.order_net import ORDERS


@figure
def path(trace, units: Sequence[int], text: str, *, minus=None):
    """Words -> units -> orders for one note; minus: the trace of another note, taken away.

    trace: the T words; said (>= T, U), what each unit says at each word; added (U + 3, orders): the
    units' votes, those of the other units, the threshold, and their sum.
    """
    words, said, added = trace[0], as_array(trace[1]), as_array(trace[2])
    if minus:
        said, added = said - as_array(minus[1]), added - as_array(minus[2])
    blank = np.full((3, len(words)), np.nan)
    said = np.vstack([said[: len(words)].T, blank])  # (U + 3, T)
    widths = [len(words) + 4, 9]
    fig, (left, right) = canvas(1, 2, height=1.6 + 0.27 * len(added), width_ratios=widths)
    loud, top = max(np.nanmax(abs(said)), 1e-6), max(abs(added).max(), 1e-6)
    look = {"cmap": SIGNED, "vmin": -loud} if minus else {"cmap": "viridis", "vmin": 0}
    speaking = left.imshow(said, vmax=loud, aspect="auto", **look)
    adding = right.imshow(added, cmap=SIGNED, vmin=-top, vmax=top, aspect="auto")
    write_numbers(right, adding, lambda value: f"{value:+.1f}" if abs(value) >= 0.05 else "0")
    verdicts = ["" if minus else ": yes" if total > 0 else ": no" for total in added[-1]]
    orders = [name + verdict for name, verdict in zip(ORDERS, verdicts, strict=True)]
    for ax, drawn, names in ((left, speaking, words), (right, adding, orders)):
        ax.set_xticks(range(len(names)), names, rotation=60, ha="right", rotation_mode="anchor")
        ax.set_yticks([])
        for edge in (len(units) - 0.5, len(units) + 1.5):  # units | other terms | sum
            ax.axhline(edge, color="black", linewidth=0.8)
        fig.colorbar(drawn, ax=ax, shrink=0.8, aspect=14)
    names = [*(f"unit {unit}" for unit in units), "other units", "threshold", "sum"]
    left.set_yticks(range(len(names)), names)
    left.set_title("what each unit says")
    right.set_title("what is added to each order")
    return fig
