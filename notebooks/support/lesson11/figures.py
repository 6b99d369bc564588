"""Lesson 11: the splitting graph, families, the map of directions, the toy world, takeaways."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from torch import Tensor

from helpers.lesson import plots
from helpers.lesson.plots import COLOURS, MARKERS, as_array, canvas, figure, legend

L0_TICKS = [2, 5, 10, 20, 50, 100]


class Node(NamedTuple):
    """A feature in the splitting graph, with those that it became."""

    label: str
    closeness: float  # masked cosine similarity with the one above; of no meaning at the root
    children: list[Node]


def plain(text: str) -> str:
    """Text that the figures' font has letters for: East Asian ones become …"""
    return "".join("…" if ord(c) > 0x2FFF else c for c in text).replace("……", "…")


@figure
def splitting(root: Node, levels: Sequence[str]):
    """The graph as the paper draws it: narrow on the left, edges as wide as the similarity."""
    leaves = _leaves(root)
    fig, ax = canvas(height=max(2.6, 0.52 * leaves + 0.5))
    ax.set(xlim=(-0.3, len(levels) - 1 + 0.46), ylim=(leaves - 0.4, -1.2))
    ax.set_axis_off()
    for x, name in enumerate(levels):
        ax.text(x, -0.9, name, ha="center", fontweight="bold")
    _branch(ax, root, 0, 0)
    return fig, (
        "One mathematics feature of the narrow dictionary and what became of it in the wider ones. "
        "A number on an edge, and the edge's width, is the similarity of the two features' "
        "activations; the percentage is the share of its parent's activation that a child meets."
    )


def _leaves(node: Node) -> int:
    return sum(map(_leaves, node.children)) or 1


def _branch(ax, node: Node, depth: int, first: float) -> float:
    """Draw a node and all below it, in rows from `first` on; returns the node's own row."""
    rows, at = [], first
    for child in node.children:
        rows.append(_branch(ax, child, depth + 1, at))
        at += _leaves(child)
    mine = float(np.mean(rows)) if rows else first
    middle = {"ha": "center", "va": "center"}
    for child, row in zip(node.children, rows, strict=True):
        wide = 1 + 7 * max(child.closeness - 0.35, 0)
        edge = {"linewidth": wide, "zorder": 0, "solid_capstyle": "butt"}
        ax.plot([depth, depth + 1], [mine, row], color="0.6", **edge)
        number, box = f"{child.closeness:.2f}", {"facecolor": "white", "edgecolor": "none"}
        place = depth + 0.6, mine + (row - mine) * 0.6
        ax.text(*place, number, fontsize=8, **middle, bbox=box | {"pad": 0.8})
    box = {"facecolor": "white", "edgecolor": COLOURS[depth % 7], "boxstyle": "round,pad=0.3"}
    ax.text(depth, mine, plain(node.label), fontsize=8.5, **middle, bbox=box)
    return mine


@figure
def families(kind: Tensor, tokens: Tensor, covered: Tensor, control: Tensor):
    """Differences child − parent a family, (P,) each; what its children and others cover."""
    fig, axes = canvas(1, 3, height=2.9)
    for ax, values, name in (
        (axes[0], kind, "share of firings in one kind of text,\nchildren minus parent"),
        (axes[1], tokens, "different tokens among 20 strongest,\nchildren minus parent"),
    ):
        ax.hist(as_array(values), 25, color=COLOURS[0], edgecolor="white")
        ax.axvline(0, color="black", linewidth=1)
        ax.axvline(float(values.mean()), color=COLOURS[1], linestyle="--")
        ax.set_xlabel(name)
    axes[0].set_ylabel("families")
    bins = np.linspace(0, 1, 21)
    style = {"color": COLOURS[1], "histtype": "step", "linewidth": 1.6, "linestyle": "--"}
    axes[2].hist(as_array(covered), bins, color=COLOURS[0], edgecolor="white", label="its children")
    axes[2].hist(as_array(control), bins, **style, label="as many others,\nas frequent")
    axes[2].set_xlabel("share of the parent's activation\non tokens where one of them fires")
    axes[2].legend(loc="upper left", fontsize=8)
    return fig, (
        "Every family with two children or more. Left and middle, how much narrower the children "
        "are than their parent (dashed: the mean); right, how much of the parent's work falls "
        "where a child fires, beside as many unrelated features that fire as often."
    )


@figure
def direction_map(narrow: Tensor, wide: Tensor, kinds: Sequence[str], names: list[tuple]):
    """The plane of directions: narrow (n, 2) as rings, wide (m, 2) signed by kind of text.

    names: (x, y, text) each.
    """
    fig, ax = canvas(height=6.2)
    common = sorted(set(kinds), key=lambda k: -list(kinds).count(k))[:6]
    kinds = np.array([k if k in common else "other" for k in kinds])
    wide, narrow = as_array(wide), as_array(narrow)
    for i, kind in enumerate([*common, "other"]):
        style = {"color": COLOURS[i] if i < 6 else "0.6", "linestyle": "none"}
        ax.plot(*wide[kinds == kind].T, MARKERS[i], **style, markersize=3.5, label=kind)
    ring = {"markerfacecolor": "none", "markeredgecolor": "black", "markeredgewidth": 0.6}
    ax.plot(*narrow.T, "o", **ring, markersize=6.5, linestyle="none", label="A/0 (rings)")
    box = {"facecolor": "white", "alpha": 0.8, "edgecolor": "0.5", "linewidth": 0.5, "pad": 1.2}
    style = {"fontsize": 7.5, "ha": "center", "va": "center", "in_layout": False, "bbox": box}
    for x, y, name in names:
        ax.text(x, y, plain(name), **style)
    ax.set_axis_off()
    legend(fig, markerscale=1.6)
    return fig, (
        "Decoder directions of A/0 (rings) and A/1 (signs by kind of text), laid out by t-SNE: "
        "neighbours here were neighbours in 512 dimensions; how far apart two groups lie, and how "
        "large they are, means nothing. Boxes: the commonest top tokens of the largest groups."
    )


@figure
def toy(
    found: Sequence[int],
    alive: Sequence[int],
    widths: Sequence[int],
    shares: dict[str, tuple[float, float]],
    true: int,
):
    """Directions in use by width, (3,), the first of each true feature, and families that split."""
    fig, (a, b) = canvas(1, 2, height=3.1)
    places, more = range(len(widths)), np.subtract(alive, found)
    first, further = "first direction of a true feature", "one more for the same true feature"
    a.bar(places, found, color=COLOURS[0], edgecolor="white", label=first)
    style = {"color": COLOURS[1], "hatch": "//", "edgecolor": "white"}
    a.bar(places, more, bottom=found, **style, label=further)
    a.axhline(true, color="black", linestyle=":", label=f"true features: {true}")
    a.set_xticks(places, [f"{w} wide" for w in widths])
    a.set(ylabel="directions in use", ylim=(0, 1.45 * max(alive)))
    a.legend(loc="upper left", fontsize=8)
    for i, (name, values) in enumerate(shares.items()):
        style = {"color": COLOURS[2 + i], "hatch": ("", "..")[i], "edgecolor": "white"}
        bars = b.bar(np.arange(2) + 0.4 * i - 0.2, values, 0.36, **style, label=name)
        b.bar_label(bars, [f"{v:.2f}" for v in values], fontsize=8)
    b.set_xticks([0, 1], [f"{widths[0]} → {widths[1]}", f"{widths[1]} → {widths[2]}"])
    b.set(ylabel="families whose children are\none and the same true feature", ylim=(0, 1.3))
    b.legend(loc="upper left", fontsize=8, ncols=2)
    return fig, (
        "A world with known features. Left, the wider dictionary first finds more of what is "
        "there, then it only finds the same things in more pieces. Right, the share of families "
        "that are pure splitting: none of a cluster's at first, nearly all of them once there is "
        "nothing left to discover."
    )


def from_outside(similarity: dict[str, Sequence[float]]):
    """What the graph shows of discovering and splitting families: mean similarity, a dot each."""
    rows = {f"{name} (n = {len(values)})": values for name, values in similarity.items()}
    return plots.dots(
        {name: values for name, values in rows.items() if len(values)},
        colours={name: i for i, name in enumerate(rows)},
        height=1.9,
        xlabel="mean similarity of a parent and its children, all that the splitting graph shows",
        xlim=(0.7, 1.02),
        caption="The same edges, with the truth known. Families that cut one true feature to "
        "pieces are a little closer on the whole than families that found new ones, and between "
        "the two extremes stand both sorts.",
    )


@figure
def cyclic(dense: dict[str, tuple[float, float]], sweep: list[dict]):
    """Features that fire on a token, (dense, all) a dictionary, and the λ sweep's price."""
    fig, (a, b) = canvas(1, 2, height=2.9)
    names, style = list(dense), {"edgecolor": "white"}
    often, rare = np.array([(part, whole - part) for part, whole in dense.values()]).T
    label = "fire on more than 1 % of tokens"
    a.barh(names, often, color=COLOURS[1], hatch="//", **style, label=label)
    a.barh(names, rare, left=often, color=COLOURS[0], **style, label="rarer ones")
    a.set(xlabel="features that fire on a token", ylim=(len(names) - 0.4, -1.2))
    a.legend(loc="upper left", fontsize=8)
    b.plot([r["L0"] for r in sweep], [r["loss_recovered"] for r in sweep], marker="o")
    for r in sweep:
        at = {"xytext": (5, -10), "textcoords": "offset points", "fontsize": 8}
        b.annotate(f"λ {r['l1']:g}", (r["L0"], r["loss_recovered"]), **at)
    b.set(xscale="log", xlabel="L0: features that fire on a token")
    b.set(ylabel="loss recovered", ylim=(0, 1.02))
    b.set_xticks(L0_TICKS, map(str, L0_TICKS))
    b.minorticks_off()
    return fig, (
        "The circle of D2-28. Left, wider dictionaries still explain most of a token with dense "
        "features (hatched). Right, asking for more sparsity instead costs the loss: small "
        "dictionaries of one size, λ swept."
    )


def units(names: Sequence[str], feature: Sequence[float], neuron: Sequence[float]):
    """For each kind of text the specificity of the best feature and of the best neuron."""
    rows = zip(names, feature, neuron, strict=True)
    return plots.dots(
        {name: {"best feature of A/1": f, "best neuron": n} for name, f, n in rows},
        span=True,
        xlabel="share of its firings that lie in this kind of text",
        xlim=(0, 1.02),
        caption="For each kind of text, the unit whose activation follows it most closely, and how "
        "much of that unit's firing lies there.",
    )
