"""Lesson 07: directions in the plane, dimensionalities, phases."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import ListedColormap
from torch import Tensor

from helpers.lesson.plots import COLOURS, as_array, canvas, figure, legend

FRACTIONS = {
    "1 · a dimension of its own": 1,
    "3/4 · tetrahedron": 3 / 4,
    "2/3 · triangle": 2 / 3,
    "1/2 · antipodal pair": 1 / 2,
    "2/5 · pentagon": 2 / 5,
    "3/8 · square antiprism": 3 / 8,
}


def _plane(ax, W: Tensor, reach: float = 1.45) -> None:
    """The n columns of W (2, n) as arrows, numbered by importance, with the unit circle."""
    turn = np.linspace(0, 2 * np.pi, 200)
    ax.plot(np.cos(turn), np.sin(turn), color="0.8", lw=0.8)
    for i, (x, y) in enumerate(W.T.tolist()):
        colour = COLOURS[i % 7]
        ax.annotate("", (x, y), (0, 0), arrowprops={"arrowstyle": "->", "color": colour, "lw": 2.2})
        length = np.hypot(x, y)
        if length > 0.3:
            out = 1 + 0.17 / length
            ax.text(x * out, y * out, str(i + 1), ha="center", va="center", color=colour)
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), xticks=[], yticks=[], aspect="equal")
    ax.spines[:].set_visible(False)


@figure
def arrows(rows: dict[str, tuple[Tensor, Sequence[str]]], text: str):
    """{row name: (W (I, 2, n), I titles)}: every model's directions in its two dimensions."""
    width = max(len(titles) for _, titles in rows.values())
    fig, axes = canvas(len(rows), width, height=2.1 * len(rows), squeeze=False)
    for line, (name, (W, titles)) in zip(axes, rows.items(), strict=True):
        for ax in line[len(titles) :]:
            ax.set_axis_off()
        for ax, one, title in zip(line, W, titles, strict=False):
            _plane(ax, one)
            ax.set_title(title, fontsize=9)
        line[0].set_ylabel(name)
    return fig


@figure
def toy(W: Tensor, D: Tensor, title: str):
    """One toy model (2, n): its directions, and the share of a dimension (n,) of each feature."""
    fig, (left, right) = canvas(1, 2, height=3, width_ratios=(1, 1.4))
    _plane(left, W)
    left.set_title(title)
    kept = W.pow(2).sum(0) > 0.5
    names = [f"feature {i + 1}" for i in range(len(D))]
    right.bar(names, (D * kept).tolist(), color=[COLOURS[i % 7] for i in range(len(D))])
    for name, at in (("alone", 1), ("pair", 1 / 2), ("pentagon", 2 / 5)):
        right.axhline(at, color="0.6", lw=0.8, ls=":")
        right.text(len(D) - 0.45, at, name, va="bottom", fontsize=8, color="0.4")
    right.set(ylim=(0, 1.08), ylabel="dimensionality D", xlim=(-0.6, len(D) + 0.3))
    right.tick_params(axis="x", rotation=30)
    return fig, (
        "The five directions in two dimensions, and each feature's share of a dimension: "
        f"{int(kept.sum())} of {len(D)} features are kept."
    )


@figure
def plateaus(density: Tensor, D: Tensor, kept: Tensor, text: str):
    """D (I, n) of features that are kept (I, n), over the density 1 − S (I,)."""
    fig, ax = canvas(height=3.8)
    for name, at in FRACTIONS.items():
        ax.axhline(at, color="0.75", lw=0.9)
        side = "top" if at == 3 / 8 else "bottom"
        ax.text(1.005, at, name, transform=ax.get_yaxis_transform(), va=side, fontsize=8.5)
    x = (1 / density)[:, None].expand_as(D)
    ax.plot(as_array(x[kept]), as_array(D[kept]), "o", color=COLOURS[0], alpha=0.35, markersize=5)
    ax.set(xscale="log", xlabel="1 / (1 − S): how rare each feature is", ylim=(0.2, 1.05))
    ax.set_ylabel("dimensionality D of a feature")
    ax.set_xticks([1, 2, 3, 5, 8], ["1", "2", "3", "5", "8"])
    ax.minorticks_off()
    return fig


PHASES = (
    ("$1$", "feature 2 is ignored"),
    ("$2$", "feature 1 is ignored"),
    ("$\\pm$", "both, as opposites"),
)


@figure
def phase(panels: dict[str, Tensor], density: Tensor, ratio: Tensor, text: str):
    """{title: outcomes (P, R)} over density (P,) and importance ratio (R,).

    0: the first feature only, 1: the second only, 2: both.
    """
    fig, axes = canvas(1, len(panels), height=3.4, sharey=True, squeeze=False)
    three = ListedColormap([COLOURS[0], COLOURS[2], COLOURS[1]])
    density, ratio = as_array(density), as_array(ratio)
    grid = {"shading": "nearest", "edgecolors": "white", "linewidth": 0.5}
    for ax, (title, outcome) in zip(axes[0], panels.items(), strict=True):
        outcome = as_array(outcome)
        ax.pcolormesh(ratio, density, outcome, cmap=three, vmin=0, vmax=2, **grid)
        for kind, (sign, _) in enumerate(PHASES):  # no region rests on colour
            rows, columns = np.nonzero(outcome == kind)
            style = {"marker": sign, "color": "white", "markeredgewidth": 0.2}
            size = 9 if kind == 2 else 5
            ax.plot(ratio[columns], density[rows], " ", **style, markersize=size)
        ax.set(xscale="log", yscale="log", title=title)
        ax.set_xlabel("importance of feature 2, relative to 1")
    axes[0, 0].set_ylabel("density 1 − S")
    for kind, (sign, name) in enumerate(PHASES):
        size = 13 if kind == 2 else 7
        axes[0, -1].plot([], [], " ", marker=sign, color=three(kind), label=name, markersize=size)
    legend(fig)
    return fig
