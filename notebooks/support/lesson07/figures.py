"""Lesson 07: patches, directions in the plane, dimensionalities, the phase diagram, weights of neurons."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import ListedColormap
from torch import Tensor

from helpers.lesson.plots import COLOURS, SIGNED, canvas, caption

FRACTIONS = {
    "1 · a dimension of its own": 1,
    "3/4 · tetrahedron": 3 / 4,
    "2/3 · triangle": 2 / 3,
    "1/2 · antipodal pair": 1 / 2,
    "2/5 · pentagon": 2 / 5,
    "3/8 · square antiprism": 3 / 8,
}


def patch_map(effects: dict[str, tuple[Tensor, Sequence[str]]], columns: Sequence[str], text: str):
    """{title: (effects (rows, columns), row names)}: signed heat maps with their numbers, a panel each."""
    rows = max(len(names) for _, names in effects.values())
    fig, axes = canvas(1, len(effects), height=1.3 + 0.26 * rows, squeeze=False)
    top = max(float(values.abs().max()) for values, _ in effects.values())
    for ax, (title, (values, names)) in zip(axes[0], effects.items(), strict=True):
        drawn = ax.imshow(values.numpy(), cmap=SIGNED, vmin=-top, vmax=top, aspect="auto")
        ax.set_xticks(range(len(columns)), columns, rotation=30, ha="right")
        ax.set_yticks(range(len(names)), names)
        ax.set_title(title)
        for (row, column), value in np.ndenumerate(values.numpy()):
            if abs(value) >= 0.5:
                ax.text(
                    column,
                    row,
                    f"{value:+.0f}",
                    ha="center",
                    va="center",
                    fontsize=8,
                    color="white" if abs(value) > 0.6 * top else "black",
                )
    fig.colorbar(drawn, ax=axes[0, -1], label="change of the logit")
    caption(fig, text)
    return fig


def two_views(gap: Tensor, effect: Tensor, text: str, named: int = 4):
    """A dot a unit: how far it differs with the concept (U,), and what patching it does (U,). The largest get their number."""
    fig, ax = canvas(height=3.4)
    ax.plot(gap, effect, "o", color=COLOURS[0], markersize=5)
    for unit in {
        *gap.argsort(descending=True)[:named].tolist(),
        *effect.argsort(descending=True)[:named].tolist(),
    }:
        ax.annotate(f" unit {unit}", (gap[unit], effect[unit]), fontsize=8)
    ax.set(
        xlabel="concept-based: difference with and without fever, in standard deviations",
        ylabel="mechanistic: effect of the patch\non swab or blood test, in logits",
    )
    caption(fig, text)
    return fig


def _plane(ax, W: Tensor, reach: float = 1.45) -> None:
    """The n columns of W (2, n) as arrows, numbered by importance, with the unit circle."""
    turn = np.linspace(0, 2 * np.pi, 200)
    ax.plot(np.cos(turn), np.sin(turn), color="0.8", lw=0.8)
    for i, (x, y) in enumerate(W.T.tolist()):
        ax.annotate(
            "", (x, y), (0, 0), arrowprops={"arrowstyle": "->", "color": COLOURS[i % 7], "lw": 2.2}
        )
        length = max(np.hypot(x, y), 1e-6)
        if length > 0.3:
            ax.text(
                x * (1 + 0.17 / length),
                y * (1 + 0.17 / length),
                str(i + 1),
                ha="center",
                va="center",
                color=COLOURS[i % 7],
            )
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), xticks=[], yticks=[], aspect="equal")
    ax.spines[:].set_visible(False)


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
    caption(fig, text)
    return fig


def toy(W: Tensor, D: Tensor, title: str):
    """One toy model (2, n): its directions, and the share of a dimension (n,) that each feature has."""
    fig, (left, right) = canvas(1, 2, height=3, width_ratios=(1, 1.4))
    _plane(left, W)
    left.set_title(title)
    kept = W.pow(2).sum(0) > 0.5
    right.bar(
        [f"feature {i + 1}" for i in range(len(D))],
        (D * kept).tolist(),
        color=[COLOURS[i % 7] for i in range(len(D))],
    )
    for name, at in (("alone", 1), ("pair", 1 / 2), ("pentagon", 2 / 5)):
        right.axhline(at, color="0.6", lw=0.8, ls=":")
        right.text(len(D) - 0.45, at, name, va="bottom", fontsize=8, color="0.4")
    right.set(ylim=(0, 1.08), ylabel="dimensionality D", xlim=(-0.6, len(D) + 0.3))
    right.tick_params(axis="x", rotation=30)
    caption(
        fig,
        f"The five directions in two dimensions, and each feature's share of a dimension: {int(kept.sum())} of {len(D)} features are kept.",
    )
    return fig


def norms(W: Tensor, titles: Sequence[str], text: str):
    """A panel a model (I, m, n): a bar a feature, as long as |W_i|^2, in a colour and a hatch for how much others share its direction."""
    fig, axes = canvas(1, len(W), height=3.6, sharey=True, squeeze=False)
    size = W.pow(2).sum(1)  # (I, n)
    unit = W / W.norm(dim=1, keepdim=True).clamp_min(1e-9)
    others = ((unit.transpose(1, 2) @ W) ** 2).sum(
        -1
    ) - size  # (I, n), what the others add along it
    looks = [
        {"color": COLOURS[i], "hatch": hatch, "edgecolor": "white"}
        for i, hatch in ((0, ""), (5, "///"), (4, "xxx"), (1, "|||"))
    ]
    for ax, length, share, title in zip(axes[0], size, others, titles, strict=True):
        level = np.digitize(share.numpy(), (0.1, 0.6, 1.2))
        for feature, (long, look) in enumerate(zip(length.tolist(), level, strict=True), 1):
            ax.barh(feature, long, **looks[look])
        ax.set(title=title, xlim=(0, 1.4), xlabel="$|W_i|^2$")
    for i, name in enumerate(("under 0.1: alone", "0.1 to 0.6", "0.6 to 1.2: a pair", "more")):
        axes[0, -1].barh([0], [0], label=name, **looks[i])
    axes[0, -1].legend(title="others in its direction", loc="upper left", bbox_to_anchor=(1, 1))
    axes[0, 0].set(
        ylabel="feature, the most important on top",
        ylim=(W.shape[-1] + 0.6, 0.4),
        yticks=[1, *range(5, W.shape[-1] + 1, 5)],
    )
    caption(fig, text)
    return fig


def plateaus(density: Tensor, D: Tensor, kept: Tensor, text: str):
    """D (I, n) of the features that are kept (I, n), over the density 1 - S (I,); lines at the paper's fractions."""
    fig, ax = canvas(height=3.8)
    for name, at in FRACTIONS.items():
        ax.axhline(at, color="0.75", lw=0.9)
        ax.text(
            1.005,
            at,
            name,
            transform=ax.get_yaxis_transform(),
            va="top" if at == 3 / 8 else "bottom",
            fontsize=8.5,
        )
    x = (1 / density)[:, None].expand_as(D)
    ax.plot(x[kept], D[kept], "o", color=COLOURS[0], alpha=0.35, markersize=5)
    ax.set(
        xscale="log",
        xlabel="1 / (1 − S): how rare each feature is",
        ylabel="dimensionality D of a feature",
        ylim=(0.2, 1.05),
    )
    ax.set_xticks([1, 2, 3, 5, 8], ["1", "2", "3", "5", "8"])
    ax.minorticks_off()
    caption(fig, text)
    return fig


PHASES = (
    ("$1$", "feature 2 is ignored"),
    ("$2$", "feature 1 is ignored"),
    ("$\\pm$", "both, as opposites"),
)


def phase(panels: dict[str, Tensor], density: Tensor, ratio: Tensor, text: str):
    """{title: outcomes (P, R)}: 0 the first feature only, 1 the second only, 2 both, over density (P,) and importance ratio (R,)."""
    fig, axes = canvas(1, len(panels), height=3.4, sharey=True, squeeze=False)
    colours = ListedColormap([COLOURS[0], COLOURS[2], COLOURS[1]])
    for ax, (title, outcome) in zip(axes[0], panels.items(), strict=True):
        ax.pcolormesh(
            ratio,
            density,
            outcome.numpy(),
            cmap=colours,
            vmin=0,
            vmax=2,
            shading="nearest",
            edgecolors="white",
            linewidth=0.5,
        )
        ax.set(
            xscale="log", yscale="log", title=title, xlabel="importance of feature 2, relative to 1"
        )
        for (row, column), kept in np.ndenumerate(
            outcome.numpy()
        ):  # the kept features' numbers: no region rests on colour
            ax.plot(
                ratio[column].item(),
                density[row].item(),
                linestyle="none",
                marker=PHASES[kept][0],
                color="white",
                markersize=9 if kept == 2 else 5,
                markeredgewidth=0.2,
            )
    axes[0, 0].set_ylabel("density 1 − S")
    for i, (sign, name) in enumerate(PHASES):
        axes[0, -1].plot(
            [],
            [],
            linestyle="none",
            marker=sign,
            color=colours.colors[i],
            label=name,
            markersize=13 if i == 2 else 7,
        )
    axes[0, -1].legend(loc="upper left", bbox_to_anchor=(1, 1))
    caption(fig, text)
    return fig


def neuron_weights(panels: dict[str, Tensor], text: str):
    """{title: W (m, n)}: |weights| of every hidden dimension, a bar each, stacked by feature; the largest stands lowest."""
    fig, axes = canvas(1, len(panels), height=3.2, sharey=True, squeeze=False)
    for ax, (title, W) in zip(axes[0], panels.items(), strict=True):
        share = (W.abs() / W.abs().sum(1, keepdim=True).clamp_min(1e-9)).numpy()  # (m, n)
        for neuron, weights in enumerate(share):
            bottom = 0.0
            for rank, feature in enumerate(np.argsort(-weights)):
                ax.bar(
                    neuron + 1,
                    weights[feature],
                    bottom=bottom,
                    color=COLOURS[0] if rank == 0 else str(0.55 + 0.08 * (rank % 5)),
                    edgecolor="white",
                )
                if weights[feature] > 0.09:
                    ax.text(
                        neuron + 1,
                        bottom + weights[feature] / 2,
                        str(feature + 1),
                        ha="center",
                        va="center",
                        fontsize=8,
                        color="white",
                    )
                bottom += weights[feature]
        ax.set(title=title, xlabel="hidden dimension")
    axes[0, 0].set_ylabel("share of its weights, by feature")
    caption(fig, text)
    return fig


def spikiness(table: dict[str, tuple[float, float]], text: str):
    """{place: (median kurtosis along its own axes, after a rotation)}: two marks a row; the dotted line is a Gaussian's 3."""
    fig, ax = canvas(height=1 + 0.33 * len(table))
    for row, (own, other) in enumerate(table.values()):
        ax.plot([own, other], [row, row], color="0.7", lw=1.5, zorder=1)
        ax.plot(
            own, row, "o", color=COLOURS[0], markersize=8, label="own axes" if row == 0 else None
        )
        ax.plot(
            other,
            row,
            "s",
            color=COLOURS[1],
            markersize=6,
            markerfacecolor="none",
            label="rotated" if row == 0 else None,
        )
    ax.axvline(3, color="0.4", ls=":", lw=1.3, label="Gaussian")
    ax.set_yticks(range(len(table)), list(table))
    ax.set(xscale="log", xlabel="median kurtosis", ylim=(len(table) - 0.5, -0.5))
    ax.set_xticks([3, 5, 10, 20], ["3", "5", "10", "20"])
    ax.minorticks_off()
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    caption(fig, text)
    return fig
