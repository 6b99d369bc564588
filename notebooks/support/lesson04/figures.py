"""Lesson 04: a text with its weights, as the slide draws it; output changes over the largest weight; the weighing game."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
import torch

from helpers.lesson.plots import COLOURS, SIGNED, canvas, caption


def _lines(words: Sequence[str], width: int) -> list[list[tuple[int, int]]]:
    """Where each word stands, in lines of at most `width` characters: (column, number of the word)."""
    lines, column = [[]], 0
    for number, word in enumerate(words):
        if column + len(word) > width and lines[-1]:
            lines, column = [*lines, []], 0
        lines[-1].append((column, number))
        column += len(word) + 2
    return lines


def _write(ax, words: Sequence[str], weights, width: int) -> None:
    """The words on their lines, each shaded by its weight relative to the largest."""
    weights = torch.as_tensor(weights).detach().double().cpu().numpy()
    shades, lines = weights / max(weights.max(), 1e-12), _lines(words, width)
    ax.set(xlim=(-1, width + 1), ylim=(len(lines) - 0.4, -0.6))
    ax.set_axis_off()
    for row, line in enumerate(lines):
        for column, number in line:
            ax.text(
                column,
                row,
                words[number],
                family="monospace",
                fontsize=9,
                va="center",
                color="white" if shades[number] > 0.75 else "black",
                bbox={
                    "facecolor": mpl.colormaps[SIGNED](0.5 + shades[number] / 2),
                    "pad": 1.4,
                    "edgecolor": "none",
                },
            )


def two_readings(
    words: Sequence[str],
    readings: Sequence[tuple[str, torch.Tensor, float, str]],
    text: str,
    width: int = 46,
):
    """The same text twice, side by side, as on D1-14. readings: (title, weights (T,), output, how the output is written)."""
    fig, axes = canvas(1, len(readings), height=0.3 * len(_lines(words, width)) + 0.9)
    for ax, (title, weights, output, formula) in zip(np.atleast_1d(axes), readings, strict=True):
        _write(ax, words, weights, width)
        ax.set_title(title)
        ax.text(
            0.5,
            -0.02,
            f"{formula} = {output:.3f}",
            transform=ax.transAxes,
            ha="center",
            va="top",
            fontsize=11,
        )
    caption(fig, text)
    return fig


def weighing(words: Sequence[str], own, now, outputs: tuple[float, float], apart: float):
    """The game: the text under the weights of now, and two bars, the output with the model's own weights and with these."""
    width = 72
    fig, (left, right) = canvas(
        1, 2, height=max(2.4, 0.32 * len(_lines(words, width)) + 0.7), width_ratios=(3.2, 1)
    )
    _write(left, words, now, width)
    left.set_title(f"{apart:.2f} nats from the model's own weights (at most 0.69)", loc="left")
    right.barh(["now", "own"], outputs[::-1], color=[COLOURS[1], COLOURS[0]])
    for place, output in enumerate(outputs[::-1]):
        right.text(min(output + 0.03, 0.7), place, f"{output:.3f}", va="center")
    right.axvline(0.5, color="0.4", linestyle=":")
    right.set(
        xlim=(0, 1), xlabel="P(positive)", title=f"moved by {abs(outputs[1] - outputs[0]):.3f}"
    )
    caption(
        fig,
        "Left, the text, darker where the weight is. Right, the output with the model's own weights and with those of now.",
    )
    return fig


def permutation_violins(samples: Mapping[str, tuple[Sequence[float], Sequence[float]]], text: str):
    """Median output change under permutation, by the largest weight in four bins. samples: {name: (largest (N,), change (N,))}."""
    fig, axes = canvas(1, len(samples), height=2.9, sharex=True, sharey=True)
    edges = np.array([0, 0.25, 0.5, 0.75, 1.0001])
    for ax, (name, pair), colour in zip(np.atleast_1d(axes), samples.items(), COLOURS):
        largest, change = (np.asarray(values, dtype=float) for values in pair)
        for place in range(4):
            inside = change[(largest >= edges[place]) & (largest < edges[place + 1])]
            if len(inside) > 4 and np.ptp(inside) > 1e-6:
                body = ax.violinplot(
                    [inside],
                    positions=[place],
                    orientation="horizontal",
                    widths=0.8,
                    showextrema=False,
                )["bodies"][0]
                body.set(facecolor=colour, alpha=0.45)
            if len(inside):
                ax.plot(
                    np.median(inside),
                    place,
                    "o",
                    markerfacecolor="white",
                    markeredgecolor="black",
                    markersize=5,
                )
            ax.text(
                1.36, place, f"n = {len(inside)}", ha="right", va="center", fontsize=8, color="0.35"
            )
        ax.set(
            title=name,
            xlim=(-0.02, 1.38),
            xticks=(0, 0.5, 1),
            ylim=(-0.6, 3.7),
            yticks=range(4),
            xlabel="median output change",
        )
        ax.set_yticklabels(["below 0.25", "to 0.5", "to 0.75", "to 1"])
    np.atleast_1d(axes)[0].set_ylabel("largest attention weight")
    caption(fig, text)
    return fig


def weights_in_rows(
    words: Sequence[str], rows: Mapping[str, torch.Tensor], text: str, width: int = 88
):
    """One text several times, one below the other, each shaded relative to its own largest. rows: {name: weights (T,)}."""
    fig, axes = canvas(
        len(rows), 1, height=len(rows) * (0.3 * len(_lines(words, width)) + 0.35), squeeze=False
    )
    for ax, (name, weights) in zip(axes[:, 0], rows.items(), strict=True):
        _write(ax, words, weights, width)
        ax.set_title(name, loc="left")
    caption(fig, text)
    return fig
