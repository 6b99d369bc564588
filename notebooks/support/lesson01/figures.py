"""Lesson 01: photographs, rows of maps from white to red as in the deck, the saturated function, measures with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.figure import Figure

from helpers.lesson.plots import COLOURS, MARKERS, WIDTH, as_map, as_picture, canvas
from helpers.lesson.plots import caption as finish

REDS = colormaps["Reds"].resampled(
    10
)  # ten steps look like the full scale here, in a third of the bytes
PANEL = 1.6  # inches: a panel is no wider, however few there are


def gallery(pictures: Mapping[str, object], *, caption: str) -> Figure:
    """Pictures in a row, each under its title."""
    side = min(1.4, WIDTH / len(pictures))
    fig, axes = canvas(
        1, len(pictures), height=side + 0.45, width=side * len(pictures), squeeze=False
    )
    for ax, (title, image) in zip(axes.flat, pictures.items(), strict=True):
        _picture(ax, image, title)
    finish(fig, caption)
    return fig


def red_maps(
    image,
    maps: Mapping[str, torch.Tensor],
    *,
    caption: str,
    titles: Sequence = (),
    panel: float = PANEL,
) -> Figure:
    """A row: the picture, then each map without signs, white (nothing) to red (its 99th percentile and above), as in Figure 2.

    titles: other titles than the maps' names, for two lines. panel: inches, at most.
    """
    side = min(panel, WIDTH / (len(maps) + 1))
    fig, axes = canvas(
        1, len(maps) + 1, height=side + 0.35, width=side * (len(maps) + 1), squeeze=False
    )
    _picture(axes.flat[0], image, "picture")
    for ax, (_name, values), title in zip(
        axes.flat[1:], maps.items(), titles or maps, strict=False
    ):
        red(ax, values, title)
    finish(fig, caption)
    return fig


def red(ax, values: torch.Tensor, title: str) -> None:
    """One map without signs on an axis, with a thin frame, as white is its zero."""
    ax.imshow(as_map(values, signed=False)[0], cmap=REDS, vmin=0, vmax=1)
    ax.set_title(title, fontsize=8 if len(title) > 12 else 9)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set(visible=True, color="0.7", linewidth=0.6)


def over(image, maps: Mapping[str, torch.Tensor], *, caption: str) -> Figure:
    """Coarse maps over the darkened picture: where a map is strong, the picture shines through."""
    side = min(1.4, WIDTH / (len(maps) + 1))
    fig, axes = canvas(
        1, len(maps) + 1, height=side + 0.35, width=side * (len(maps) + 1), squeeze=False
    )
    picture = as_picture(image)
    _picture(axes.flat[0], picture, "picture")
    for ax, (name, values) in zip(axes.flat[1:], maps.items(), strict=True):
        light = as_map(values, signed=False)[0][..., None]
        _picture(ax, picture * (0.15 + 0.85 * light), name)
    finish(fig, caption)
    return fig


def grid(rows: Mapping[str, Mapping[str, object]], *, caption: str) -> Figure:
    """{row: {title: picture (H, W, 3) uint8 or map tensor}}, all rows of one length; maps are drawn white to red."""
    cols = max(map(len, rows.values()))
    fig, axes = canvas(
        len(rows), cols, height=len(rows) * (PANEL + 0.3), width=cols * PANEL + 0.3, squeeze=False
    )
    for axes_row, (name, parts) in zip(axes, rows.items(), strict=True):
        for ax, (title, part) in zip(axes_row, parts.items(), strict=True):
            if isinstance(part, torch.Tensor):
                red(ax, part, title)
            else:
                _picture(ax, part, title)
                ax.set_axis_on()  # a frame, or a white picture could not be seen
                ax.set(xticks=[], yticks=[])
                ax.spines[:].set(visible=True, color="0.7", linewidth=0.6)
        axes_row[0].set_ylabel(name)
    finish(fig, caption)
    return fig


def saturation(f, at: float, *, caption: str) -> Figure:
    """A function of one number: the curve with the point and the baseline 0, and its slope along the way with the area under it."""
    fig, (left, right) = canvas(1, 2, height=2.8)
    x = torch.linspace(0, at + 0.5, 301).requires_grad_()
    y = f(x)
    slope = torch.autograd.grad(y.sum(), x)[0]
    left.plot(x.detach(), y.detach(), color=COLOURS[0])
    left.plot([0, at], f(torch.tensor([0.0, at])), "o", color="black")
    left.set(xlabel="input x", ylabel="score S(x)", title="the score: flat where the point is")
    path = x.detach() <= at
    right.plot(x.detach(), slope, color=COLOURS[1])
    right.fill_between(x.detach()[path], slope[path], color=COLOURS[1], alpha=0.25)
    right.plot([at], [0], "o", color="black")
    right.set(
        xlabel="place on the way from the baseline to x",
        ylabel="slope dS/dx",
        title="its slope: the area is Integrated Gradients",
    )
    finish(fig, caption)
    return fig


def measures(
    values: Mapping[str, Mapping[str, Sequence[float]]],
    intervals: Mapping[str, Mapping[str, tuple]],
    *,
    pictures: Sequence[str],
    caption: str,
) -> Figure:
    """{measure: {method: a ratio a picture}} as points, with {measure: {method: (low, high)}}; 1 is the plain gradient."""
    fig, axes = canvas(1, len(values), height=3.4, sharey=True, squeeze=False)
    for ax, (measure, methods) in zip(axes.flat, values.items(), strict=True):
        for y, (method, ratios) in enumerate(methods.items()):
            ax.plot(intervals[measure][method], [y, y], color="black", linewidth=1.6)
            for i, (ratio, picture) in enumerate(
                zip(ratios, pictures, strict=True)
            ):  # a sign and a colour a picture
                ax.plot(
                    ratio,
                    y,
                    MARKERS[i % 7],
                    color=COLOURS[i % 7],
                    markersize=5,
                    alpha=0.85,
                    label="" if y else picture,
                )
        ax.axvline(1, color="0.4", linestyle=":")
        ax.set_yticks(range(len(methods)), list(methods))
        ax.set(xlabel=measure, xscale="log", ylim=(len(methods) - 0.5, -0.5))
        ax.minorticks_off()
        low, high = ax.get_xlim()
        ticks = [
            t
            for t in (0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.4, 2, 3)
            if low <= t <= high
        ]
        ticks = [
            t for t in ticks if t not in (0.8, 0.9, 1.1, 1.2) or high < 1.5 * low
        ]  # near 1 only where there is room
        ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
    fig.legend(
        *axes.flat[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(pictures)
    )
    finish(fig, caption)
    return fig


def agreement(names: Sequence[str], table: torch.Tensor, *, caption: str) -> Figure:
    """A square table (methods x methods) of correlations as a heat map with the numbers in it."""
    fig, ax = canvas(height=3.6, width=5.4)
    drawn = ax.imshow(table, vmin=0, vmax=1, cmap="Blues")
    for i, j in np.ndindex(*table.shape):
        ax.text(
            j,
            i,
            f"{table[i, j]:.2f}",
            ha="center",
            va="center",
            color="white" if table[i, j] > 0.6 else "black",
            fontsize=7.5,
        )
    ax.set_xticks(range(len(names)), names, rotation=30, ha="right")
    ax.set_yticks(range(len(names)), names)
    fig.colorbar(drawn, ax=ax, label="rank correlation of the magnitudes", shrink=0.8)
    finish(fig, caption)
    return fig


def _picture(ax, image, title: str) -> None:
    ax.imshow(as_picture(image), cmap="gray")
    ax.set_title(title, fontsize=8 if max(map(len, title.split("\n"))) > 14 else 9)
    ax.set_axis_off()
