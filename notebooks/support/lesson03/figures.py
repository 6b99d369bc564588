"""Lesson 03: maps as layers fall, similarity beside the published numbers, rankings that disagree, maps of a drawing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from helpers.lesson.plots import COLOURS, MARKERS, SIGNED, WIDTH, as_picture, canvas
from helpers.lesson.plots import caption as finish
from notebooks.support.lesson01.figures import red


def rows_of_maps(
    picture,
    rows: Mapping[str, torch.Tensor],
    columns: Sequence[str],
    *,
    caption: str,
    side: float = 1.15,
) -> Figure:
    """The picture, then a row of maps for each method: {method: (n, C, H, W)} under n column titles, white to red."""
    side = min(side, WIDTH / (len(columns) + 1))
    fig, axes = canvas(
        len(rows),
        len(columns) + 1,
        height=len(rows) * (side + 0.12) + 0.3,
        width=side * (len(columns) + 1),
        squeeze=False,
    )
    for r, (name, maps) in enumerate(rows.items()):
        axes[r, 0].imshow(as_picture(picture), cmap="gray")
        axes[r, 0].set(xticks=[], yticks=[])
        axes[r, 0].set_ylabel(name, fontsize=8)
        for ax, m, title in zip(axes[r, 1:], maps, columns, strict=True):
            red(ax, m, "" if r else title)
    axes[0, 0].set_title("picture", fontsize=8)
    finish(fig, caption)
    return fig


def boxed(picture, maps: Mapping[str, torch.Tensor], box, *, caption: str) -> Figure:
    """The picture and maps in a row, each with the same box framed: left, top, right, bottom."""
    side = min(1.35, WIDTH / (len(maps) + 1))
    fig, axes = canvas(
        1, len(maps) + 1, height=side + 0.35, width=side * (len(maps) + 1), squeeze=False
    )
    axes[0, 0].imshow(as_picture(picture), cmap="gray")
    axes[0, 0].set_title("picture", fontsize=9)
    axes[0, 0].set(xticks=[], yticks=[])
    for ax, (name, m) in zip(axes[0, 1:], maps.items(), strict=True):
        red(ax, m, name)
    for ax in axes.flat:
        _frame(ax, box, "#56B4E9")
    finish(fig, caption)
    return fig


def falling(
    panels: Mapping[str, Mapping[str, Sequence]],
    layers: Sequence[str],
    *,
    ylabel: str,
    caption: str,
) -> Figure:
    """Similarity as layers fall, a panel each: {panel: {method: (L,) or (seeds, L)}}; the range of seeds is shaded."""
    fig, axes = canvas(1, len(panels), height=3.2, sharey=True, squeeze=False)
    names = list(dict.fromkeys(name for lines in panels.values() for name in lines))
    for ax, (title, lines) in zip(axes.flat, panels.items(), strict=True):
        for name, values in lines.items():
            i, values = names.index(name), np.atleast_2d(np.asarray(values, dtype=float))
            ax.plot(
                range(values.shape[1]),
                values.mean(0),
                color=COLOURS[i % 7],
                marker=MARKERS[i % 7],
                markersize=5,
                label=name,
                linestyle=("-", "--")[i // 7 % 2],
            )
            ax.fill_between(
                range(values.shape[1]),
                values.min(0),
                values.max(0),
                color=COLOURS[i % 7],
                alpha=0.15,
                linewidth=0,
            )
        ax.axhline(0, color="0.4", linestyle=":", linewidth=1)
        ax.set_xticks(range(len(layers)), layers, rotation=30, ha="right", fontsize=8)
        ax.set_title(title)
    axes[0, 0].set_ylabel(ylabel)
    handles = {h.get_label(): h for ax in axes.flat for h in ax.get_legend_handles_labels()[0]}
    fig.legend(handles.values(), handles.keys(), loc="outside right upper")
    finish(fig, caption)
    return fig


def rankings(
    methods: Sequence[str],
    measures: Sequence[str],
    places: torch.Tensor,
    values: torch.Tensor,
    *,
    caption: str,
) -> Figure:
    """A table (methods, measures): the place of each method by each measure as shade and number, its value in brackets."""
    fig, ax = canvas(height=0.42 * len(methods) + 0.9)
    ax.imshow(places, cmap="Blues_r", vmin=0.2, vmax=len(methods) + 1.5, aspect="auto")
    for i, j in np.ndindex(*places.shape):
        ax.text(
            j,
            i,
            f"{places[i, j]:.0f}.  ({values[i, j]:.2g})",
            ha="center",
            va="center",
            fontsize=8.5,
            color="white" if places[i, j] < 3 else "black",
        )
    ax.set_xticks(range(len(measures)), measures, fontsize=8.5)
    ax.xaxis.tick_top()
    ax.set_yticks(range(len(methods)), methods)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    finish(fig, caption)
    return fig


def drawing(
    steps: Mapping[str, torch.Tensor], maps: Mapping[str, torch.Tensor], box, *, caption: str
) -> Figure:
    """Above, how a drawing comes about; below, signed maps of the ink in the framed region, each scaled to its largest value."""
    cols = max(len(steps), len(maps))
    fig, axes = canvas(2, cols, height=2 * WIDTH / cols * 0.82 + 0.3, squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, (title, picture) in zip(axes[0], steps.items(), strict=False):
        ax.imshow(
            picture.detach().reshape(picture.shape[-2:]).clamp(-1, 1),
            cmap="gray_r",
            vmin=-1,
            vmax=1,
        )
        ax.set_title(title, fontsize=9)
        _frame(ax, box, COLOURS[1])
    for ax, (title, m) in zip(axes[1], maps.items(), strict=False):
        m = m.detach().reshape(m.shape[-2:])
        ax.imshow(m / m.abs().max().clamp_min(1e-12), cmap=SIGNED, vmin=-1, vmax=1)
        ax.set_title(title, fontsize=9)
        _frame(ax, box, "black")
    finish(fig, caption)
    return fig


def _frame(ax, box, colour: str) -> None:
    left, top, right, bottom = (float(v) - 0.5 for v in box)
    ax.add_patch(
        Rectangle(
            (left, top), right - left, bottom - top, fill=False, edgecolor=colour, linewidth=1.4
        )
    )
