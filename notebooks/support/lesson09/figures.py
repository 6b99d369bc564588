"""Lesson 09: arrows in the plane, one neuron's choices, the opened transformer, a sum of parts."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from torch import Tensor

from helpers.datasets.excerpts import Excerpt, Excerpts
from helpers.lesson import plots
from helpers.lesson.plots import COLOURS, as_array, canvas, figure, printable

ARROW = {"angles": "xy", "scale_units": "xy", "scale": 1}
NEVER = -5.4  # where a histogram of log10 densities puts the features that never fired


@figure
def arrows(world: Tensor, learned: Mapping[str, Tensor], caption: str):
    """True directions (n, 2) in grey, and directions (M, 2) at each of several times, by title."""
    fig, axes = canvas(1, len(learned), height=2.9, squeeze=False)
    for ax, (title, directions) in zip(axes[0], learned.items(), strict=True):
        truth, found = as_array(world), as_array(directions)
        for vectors, style in (
            (truth, {"color": "0.75", "width": 0.035, "label": "feature of the world"}),
            (found, {"color": COLOURS[0], "width": 0.012, "label": "direction learned"}),
        ):
            ax.quiver(*np.zeros_like(vectors).T, *vectors.T, **ARROW, **style)
        ax.set(title=title, xlim=(-1.3, 1.3), ylim=(-1.3, 1.3), aspect="equal")
        ax.set(xticks=[-1, 0, 1], yticks=[-1, 0, 1], xlabel="neuron 1")
    axes[0][0].set_ylabel("neuron 2")
    plots.legend(fig)
    return fig


def one_neuron(losses: Mapping[str, Sequence[float]], caption: str):
    """A judge's losses against how many of four features make the neuron fire, (5,) each."""
    panels = {judge: {"": values} for judge, values in losses.items()}
    look = {"xlabel": "features that make it fire, of four", "ylabel": "loss of its reader"}
    return plots.curves(range(5), panels, caption=caption, height=2.8, **look)


@figure
def opened(words: Sequence[str], parts: Mapping[str, Tensor], caption: str):
    """Slide D2-18 with real numbers: activations (T, n) by title, each sorted in the same way."""
    fig = canvas(height=5.4)[0]
    fig.clear()
    top, *panels = fig.subplot_mosaic([["f", "f"], ["a", "b"]], height_ratios=[1, 2.6]).values()
    _flow(top)
    for ax, (title, values) in zip(panels, parts.items(), strict=True):
        values = as_array(values[:, values.argmax(dim=0).argsort()])  # by their strongest token
        scaled = values / values.max(axis=0)
        ax.imshow(scaled, aspect="auto", cmap="Greys", interpolation="nearest")
        names = words if ax is panels[0] else [""] * len(words)
        names = [printable(name, "monospace") for name in names]
        ax.set_yticks(range(len(words)), names, fontsize=8, family="monospace")
        ax.set(xlabel=f"the {values.shape[1]} {title} that fire", xticks=[])
    return fig


def _flow(ax) -> None:
    """The one-layer transformer as boxes, the neurons in blue; each + adds what went round."""
    ax.set(xlim=(0, 10), ylim=(-0.1, 1))
    ax.set_axis_off()
    names = ("tokens", "embed", "4 heads", "+", "MLP (ReLU)", "+", "unembed")
    arrow = {"arrowstyle": "->", "mutation_scale": 9}
    for i, name in enumerate(names):
        x = 0.3 + 1.4 * i
        colour = COLOURS[5] if name.startswith("MLP") else "0.92"
        style = {"boxstyle": "round,pad=0.05", "facecolor": colour, "edgecolor": "black"}
        ax.add_patch(FancyBboxPatch((x, 0.3), 1.0, 0.4, **style))
        ax.text(x + 0.5, 0.5, name, ha="center", va="center", fontsize=9)
        if i:
            ax.add_patch(FancyArrowPatch((x - 0.34, 0.5), (x - 0.06, 0.5), **arrow))
        if name == "+":  # the stream goes past the heads, and past the MLP
            ends = (x - 1.6, 0.28), (x + 0.5, 0.24)
            ax.add_patch(FancyArrowPatch(*ends, connectionstyle="arc3,rad=0.25", **arrow))


@figure
def piece_by_piece(left: Sequence[float], labels: Sequence[str], sizes: Tensor, caption: str):
    """What is missing of one activation after each feature, (k + 1,), and the largest features."""
    fig, (a, b) = canvas(1, 2, height=3.2, width_ratios=[1, 1.25])
    a.plot(range(len(left)), as_array(left), marker="o", markersize=3)
    a.set(xlabel="features added, the largest first", ylim=(0, 1.05))
    a.set_ylabel("length of what is missing,\nshare of |x − b|")
    b.barh(range(len(labels)), as_array(sizes), color=COLOURS[2])
    names = [printable(label, "monospace") for label in labels]
    b.set_yticks(range(len(labels)), names, fontsize=8, family="monospace")
    b.invert_yaxis()
    b.set(xlabel="f, the feature's strength")
    return fig


def densities(share: Mapping[str, Tensor], caption: str):
    """Histograms of how often features fire, a share of tokens (M,) by title."""
    logs = {
        title: {"": torch.where(values > 0, values.log10(), NEVER)}
        for title, values in share.items()
    }
    ticks = {"xticks": [NEVER, -4, -2, 0], "xticklabels": ["never", ".0001", ".01", "1"]}
    look = {"xlabel": "share of tokens on which it fires", "ylabel": "features"}
    bins = np.arange(-5.6, 0.21, 0.2)
    return plots.hist(logs, bins, caption=caption, **ticks, **look)


def plane(curve: list[dict], points: Mapping[str, tuple], caption: str):
    """Loss recovered over L0: the λ sweep as a curve, named dictionaries as points (x, y)."""
    sweep = [row["L0"] for row in curve], [row["loss_recovered"] for row in curve]
    series = {"1,024 features, λ swept": sweep, "paper's A/1": ([10, 20], [0.79, 0.79])} | points
    names = [(row["L0"], row["loss_recovered"], f"λ {row['l1']:g}") for row in curve]
    look = {"xlabel": "L0: features that fire on a token", "ylabel": "loss recovered"}
    ticks = {"xticks": [2, 5, 10, 20, 50, 100], "xticklabels": ["2", "5", "10", "20", "50", "100"]}
    look |= {"xscale": "log", "height": 3.8, "lines": list(series)[:2], "names": names}
    return plots.scatter(series, caption=caption, size=7, **look, **ticks)


def where(strengths: Callable, feature: int, parts: Sequence[tuple], words: list[str]) -> Excerpts:
    """The six reviews in which a feature is strongest; parts: batches and their states.

    strengths(batch, states): features (B, T, M). words: the vocabulary.
    """
    peaks = []
    for batch, states in parts:
        f = strengths(batch, states)[..., feature].cpu()  # (B, T)
        rows = zip(batch.words.tolist(), f.tolist(), f.argmax(dim=1).tolist(), strict=True)
        peaks += [(row[at], at, ids, row) for ids, row, at in rows]
    shown = []
    for _, at, ids, row in sorted(peaks, reverse=True)[:6]:
        part = slice(max(at - 9, 1), at + 4)
        pieces = tuple(f"{words[i]} " for i in ids[part])
        shown.append(Excerpt(pieces, tuple(row[part]), at - part.start))
    return Excerpts(shown, max(peaks)[0], f"feature {feature}, where it is strongest")
