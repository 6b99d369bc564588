"""Lesson 11's figures: the splitting graph, families measured, the map of directions, the toy world, and the two takeaways."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from torch import Tensor

from helpers.lesson.plots import COLOURS, MARKERS, canvas, caption


class Node(NamedTuple):
    """A feature in the splitting graph, with those that it became."""

    label: str
    closeness: float  # masked cosine similarity with the one above; of no meaning at the root
    children: list[Node]


def plain(text: str) -> str:
    """Text that the figures' font has letters for: East Asian ones become …"""
    return "".join("…" if ord(c) > 0x2FFF else c for c in text).replace("……", "…")


def splitting(root: Node, levels: Sequence[str]):
    """The graph as the paper draws it: narrow dictionary on the left, an edge as wide as the similarity, which stands on it."""
    leaves = _leaves(root)
    fig, ax = canvas(height=max(2.6, 0.52 * leaves + 0.5))
    columns = [0.0, 1.0, 2.0][: len(levels)]
    ax.set(xlim=(-0.3, columns[-1] + 0.46), ylim=(leaves - 0.4, -1.2))
    ax.set_axis_off()
    for x, name in zip(columns, levels, strict=True):
        ax.text(x, -0.9, name, ha="center", fontweight="bold")
    _branch(ax, root, 0, 0)
    caption(
        fig,
        "One mathematics feature of the narrow dictionary and what became of it in the wider ones. A number on an edge, and the edge's width, is "
        "the similarity of the two features' activations; the percentage is the share of its parent's activation that a child meets.",
    )
    return fig


def _leaves(node: Node) -> int:
    return sum(map(_leaves, node.children)) or 1


def _branch(ax, node: Node, depth: int, first: float) -> float:
    """Draw a node and all below it, in rows from `first` on; returns the node's own row."""
    rows, at = [], first
    for child in node.children:
        rows.append(_branch(ax, child, depth + 1, at))
        at += _leaves(child)
    mine = float(np.mean(rows)) if rows else first
    for child, row in zip(node.children, rows, strict=True):
        ax.plot(
            [depth, depth + 1],
            [mine, row],
            color="0.6",
            linewidth=1 + 7 * max(child.closeness - 0.35, 0),
            zorder=0,
            solid_capstyle="butt",
        )
        ax.text(
            depth + 0.6,
            mine + (row - mine) * 0.6,
            f"{child.closeness:.2f}",
            fontsize=8,
            ha="center",
            va="center",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
        )
    ax.text(
        depth,
        mine,
        plain(node.label),
        fontsize=8.5,
        ha="center",
        va="center",
        bbox={"facecolor": "white", "edgecolor": COLOURS[depth % 7], "boxstyle": "round,pad=0.3"},
    )
    return mine


def families(kind: Tensor, tokens: Tensor, covered: Tensor, control: Tensor):
    """Differences child − parent a family, (P,) each, and the share of the parent's activation that its children and others cover."""
    fig, axes = canvas(1, 3, height=2.9)
    for ax, values, name in (
        (axes[0], kind, "share of firings in one kind of text,\nchildren less parent"),
        (axes[1], tokens, "different tokens among 20 strongest,\nchildren less parent"),
    ):
        ax.hist(values.numpy(), 25, color=COLOURS[0], edgecolor="white")
        ax.axvline(0, color="black", linewidth=1)
        ax.axvline(float(values.mean()), color=COLOURS[1], linestyle="--")
        ax.set(xlabel=name, ylabel="families" if ax is axes[0] else "")
    bins = np.linspace(0, 1, 21)
    axes[2].hist(covered.numpy(), bins, color=COLOURS[0], edgecolor="white", label="its children")
    axes[2].hist(
        control.numpy(),
        bins,
        color=COLOURS[1],
        histtype="step",
        linewidth=1.6,
        linestyle="--",
        label="as many others,\nas frequent",
    )
    axes[2].set(xlabel="share of the parent's activation\non tokens where one of them fires")
    axes[2].legend(loc="upper left", fontsize=8)
    caption(
        fig,
        "Every family with two children or more. Left and middle, how much narrower the children are than their parent (dashed: the mean); right, how "
        "much of the parent's work falls where a child fires, beside as many unrelated features that fire as often.",
    )
    return fig


def direction_map(
    narrow: Tensor, wide: Tensor, kinds: Sequence[str], names: list[tuple[float, float, str]]
):
    """The plane of directions: (n, 2) of the narrow dictionary as rings, (m, 2) of the wide one with a sign for its kind of text."""
    fig, ax = canvas(height=6.2)
    common = sorted(set(kinds), key=lambda k: -list(kinds).count(k))[:6]
    kinds = np.array([k if k in common else "other" for k in kinds])
    for i, kind in enumerate([*common, "other"]):
        mine = wide[kinds == kind]
        ax.plot(
            mine[:, 0],
            mine[:, 1],
            MARKERS[i],
            color=COLOURS[i] if i < 6 else "0.6",
            markersize=3.5,
            linestyle="none",
            label=kind,
        )
    ax.plot(
        narrow[:, 0],
        narrow[:, 1],
        "o",
        markerfacecolor="none",
        markeredgecolor="black",
        markersize=6.5,
        markeredgewidth=0.6,
        linestyle="none",
        label="A/0 (rings)",
    )
    for x, y, name in names:
        ax.text(
            x,
            y,
            plain(name),
            fontsize=7.5,
            ha="center",
            va="center",
            in_layout=False,
            bbox={
                "facecolor": "white",
                "alpha": 0.8,
                "edgecolor": "0.5",
                "linewidth": 0.5,
                "pad": 1.2,
            },
        )
    ax.set_axis_off()
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1), markerscale=1.6)
    caption(
        fig,
        "Decoder directions of A/0 (rings) and A/1 (signs by kind of text), laid out by t-SNE: neighbours here were neighbours in 512 dimensions; "
        "how far apart two groups lie, and how large they are, means nothing. Boxes: the commonest top tokens of the largest groups.",
    )
    return fig


def toy(
    found: Sequence[int],
    alive: Sequence[int],
    widths: Sequence[int],
    shares: dict[str, tuple[float, float]],
    true: int,
):
    """Directions in use by width, (3,), those of them that are the first for their true feature, and the share of families that split."""
    fig, (a, b) = canvas(1, 2, height=3.1)
    places, more = range(len(widths)), np.subtract(alive, found)
    a.bar(
        places,
        found,
        color=COLOURS[0],
        edgecolor="white",
        label="first direction of a true feature",
    )
    a.bar(
        places,
        more,
        bottom=found,
        color=COLOURS[1],
        hatch="//",
        edgecolor="white",
        label="one more for the same true feature",
    )
    a.axhline(true, color="black", linestyle=":", label=f"true features: {true}")
    a.set_xticks(places, [f"{w} wide" for w in widths])
    a.set(ylabel="directions in use", ylim=(0, 1.45 * max(alive)))
    a.legend(loc="upper left", fontsize=8)
    for i, (name, values) in enumerate(shares.items()):
        bars = b.bar(
            np.arange(2) + 0.4 * i - 0.2,
            values,
            0.36,
            color=COLOURS[2 + i],
            hatch=("", "..")[i],
            edgecolor="white",
            label=name,
        )
        b.bar_label(bars, [f"{v:.2f}" for v in values], fontsize=8)
    b.set_xticks([0, 1], [f"{widths[0]} → {widths[1]}", f"{widths[1]} → {widths[2]}"])
    b.set(ylabel="families whose children are\none and the same true feature", ylim=(0, 1.3))
    b.legend(loc="upper left", fontsize=8, ncols=2)
    caption(
        fig,
        "A world with known features. Left, the wider dictionary first finds more of what is there, then it only finds the same things in more pieces. Right, "
        "the share of families that are pure splitting: none of a cluster's at first, nearly all of them once there is nothing left to discover.",
    )
    return fig


def from_outside(similarity: dict[str, Sequence[float]]):
    """What the graph shows of discovering and of splitting families: the mean similarity of parent and children, a dot each."""
    fig, ax = canvas(height=1.9)
    for i, (name, values) in enumerate(similarity.items()):
        ax.plot(
            values,
            np.full(len(values), i) + np.linspace(-0.15, 0.15, max(len(values), 1)),
            MARKERS[i],
            color=COLOURS[i],
            markersize=5,
            linestyle="none",
        )
    ax.set_yticks(
        range(len(similarity)),
        [f"{name} (n = {len(values)})" for name, values in similarity.items()],
    )
    ax.set(
        xlabel="mean similarity of a parent and its children, all that the splitting graph shows",
        xlim=(0.7, 1.02),
        ylim=(-0.5, len(similarity) - 0.5),
    )
    caption(
        fig,
        "The same edges, with the truth known. Families that cut one true feature to pieces are a little closer on the whole than families that found "
        "new ones, and between the two extremes stand both sorts.",
    )
    return fig


def cyclic(dense: dict[str, tuple[float, float]], sweep: list[dict]):
    """For each dictionary the features that fire on a token, dense ones and all, and the λ sweep's loss recovered over L0."""
    fig, (a, b) = canvas(1, 2, height=2.9)
    names = list(dense)
    a.barh(
        range(len(names)),
        [v[0] for v in dense.values()],
        color=COLOURS[1],
        hatch="//",
        edgecolor="white",
        label="fire on more than 1 % of tokens",
    )
    a.barh(
        range(len(names)),
        [v[1] - v[0] for v in dense.values()],
        left=[v[0] for v in dense.values()],
        color=COLOURS[0],
        edgecolor="white",
        label="rarer ones",
    )
    a.set_yticks(range(len(names)), names)
    a.invert_yaxis()
    a.set(xlabel="features that fire on a token", ylim=(len(names) - 0.4, -1.2))
    a.legend(loc="upper left", fontsize=8)
    b.plot([r["L0"] for r in sweep], [r["loss_recovered"] for r in sweep], marker="o")
    for r in sweep:
        b.annotate(
            f"λ {r['l1']:g}",
            (r["L0"], r["loss_recovered"]),
            textcoords="offset points",
            xytext=(5, -10),
            fontsize=8,
        )
    b.set(
        xscale="log",
        xlabel="L0: features that fire on a token",
        ylabel="loss recovered",
        ylim=(0, 1.02),
    )
    b.set_xticks([2, 5, 10, 20, 50, 100], ["2", "5", "10", "20", "50", "100"])
    b.minorticks_off()
    caption(
        fig,
        "The circle of D2-28. Left, wider dictionaries still explain most of a token with dense features (hatched). Right, asking for more sparsity "
        "instead costs the loss: small dictionaries of one size, λ swept.",
    )
    return fig


def units(names: Sequence[str], feature: Sequence[float], neuron: Sequence[float]):
    """For each kind of text the specificity of the best feature and of the best neuron."""
    fig, ax = canvas(height=0.3 * len(names) + 1.0)
    places = np.arange(len(names))
    ax.hlines(places, neuron, feature, color="0.75")
    ax.plot(neuron, places, MARKERS[1], color=COLOURS[1], linestyle="none", label="best neuron")
    ax.plot(
        feature, places, MARKERS[0], color=COLOURS[0], linestyle="none", label="best feature of A/1"
    )
    ax.set_yticks(places, names)
    ax.invert_yaxis()
    ax.set(xlabel="share of its firings that lie in this kind of text", xlim=(0, 1.02))
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    caption(
        fig,
        "For each kind of text, the unit whose activation follows it most closely, and how much of that unit's firing lies there.",
    )
    return fig
