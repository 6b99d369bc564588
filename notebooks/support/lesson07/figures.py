"""Lesson 07: patches, directions in the plane, dimensionalities, phases, weights of neurons."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import ListedColormap
from torch import Tensor

from helpers.lesson import plots
from helpers.lesson.plots import COLOURS, as_array, canvas, figure, legend

FRACTIONS = {
    "1 · a dimension of its own": 1,
    "3/4 · tetrahedron": 3 / 4,
    "2/3 · triangle": 2 / 3,
    "1/2 · antipodal pair": 1 / 2,
    "2/5 · pentagon": 2 / 5,
    "3/8 · square antiprism": 3 / 8,
}


def patch_map(effects: dict[str, tuple[Tensor, Sequence[str]]], columns: Sequence[str], text: str):
    """{title: (effects (rows, columns), row names)}: signed heat maps with their numbers."""
    return plots.heat(
        {title: values for title, (values, _) in effects.items()},
        {title: names for title, (_, names) in effects.items()},
        columns,
        signed=True,
        label="change of the logit",
        numbers=lambda value: f"{value:+.0f}" if abs(value) >= 0.5 else "",
        caption=text,
    )


def two_views(gap: Tensor, effect: Tensor, text: str, named: int = 4):
    """A dot a unit: how far it differs with the concept (U,), and what patching it does (U,)."""
    largest = {int(i) for values in (gap, effect) for i in values.topk(named).indices}
    return plots.scatter(
        {"": (gap, effect)},
        names=[(gap[unit], effect[unit], f"unit {unit}") for unit in sorted(largest)],
        xlabel="concept-based: difference with and without fever, in standard deviations",
        ylabel="mechanistic: effect of the patch\non swab or blood test, in logits",
        caption=text,
    )


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


SHARING = {  # what the others add in a feature's direction: (colour, hatch)
    "under 0.1: alone": (COLOURS[0], ""),
    "0.1 to 0.6": (COLOURS[5], "///"),
    "0.6 to 1.2: a pair": (COLOURS[4], "xxx"),
    "more": (COLOURS[1], "|||"),
}


@figure
def norms(W: Tensor, titles: Sequence[str], text: str):
    """A panel a model (I, m, n): a bar a feature, |W_i|² long, with how much others share it."""
    fig, axes = canvas(1, len(W), height=3.6, sharey=True, squeeze=False)
    size = W.pow(2).sum(1)  # (I, n)
    unit = W / W.norm(dim=1, keepdim=True).clamp_min(1e-9)
    others = ((unit.transpose(1, 2) @ W) ** 2).sum(-1) - size  # (I, n), along its direction
    looks = [
        {"color": colour, "hatch": hatch, "edgecolor": "white"}
        for colour, hatch in SHARING.values()
    ]
    for ax, long, share, title in zip(axes[0], size, others, titles, strict=True):
        levels = np.digitize(as_array(share), (0.1, 0.6, 1.2))
        for feature, (length, level) in enumerate(zip(long.tolist(), levels, strict=True), 1):
            ax.barh(feature, length, **looks[level])
        ax.set(title=title, xlim=(0, 1.4), xlabel="$|W_i|^2$")
    for name, style in zip(SHARING, looks, strict=True):
        axes[0, -1].barh([0], [0], label=name, **style)
    legend(fig, title="others in its direction")
    n = W.shape[-1]
    axes[0, 0].set(ylabel="feature, the most important on top", ylim=(n + 0.6, 0.4))
    axes[0, 0].set_yticks([1, *range(5, n + 1, 5)])
    return fig


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


@figure
def neuron_weights(panels: dict[str, Tensor], text: str):
    """{title: W (m, n)}: the weights of each hidden dimension, stacked, the largest in blue."""
    fig, axes = canvas(1, len(panels), height=3, sharey=True, squeeze=False)
    for ax, (title, W) in zip(axes[0], panels.items(), strict=True):
        shares = as_array(W.abs() / W.abs().sum(1, keepdim=True).clamp_min(1e-9))  # (m, n)
        for neuron, weights in enumerate(shares, 1):
            bottom = 0.0
            for rank, feature in enumerate(np.argsort(-weights)):
                share = weights[feature]
                colour = COLOURS[0] if rank == 0 else str(0.55 + 0.08 * (rank % 5))
                bar = ax.bar(neuron, share, bottom=bottom, color=colour, edgecolor="white")
                number = str(feature + 1) if share > 0.09 else ""
                ax.bar_label(bar, [number], label_type="center", fontsize=8, color="white")
                bottom += share
        ax.set(title=title, xlabel="hidden dimension")
    axes[0, 0].set_ylabel("share of its weights, by feature")
    return fig


def spikiness(table: dict[str, tuple[float, float]], text: str):
    """{place: (median kurtosis along its own axes, after a rotation)}; dotted: a Gaussian's 3."""
    return plots.dots(
        {name: {"own axes": own, "rotated": other} for name, (own, other) in table.items()},
        hollow=["rotated"],
        span=True,
        chance=3,
        log=True,
        xlabel="median kurtosis; dotted: a Gaussian's 3",
        caption=text,
    )
