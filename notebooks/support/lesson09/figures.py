"""Lesson 09: one neuron's choices, the opened transformer, a sum of features, and its price."""

from __future__ import annotations

import numpy as np
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from torch import Tensor

from helpers.lesson import plots
from helpers.lesson.plots import COLOURS, PAPER, as_array, canvas, figure, look

L0_TICKS = [2, 5, 10, 20, 50, 100]


@figure
def one_neuron(cross_entropy: list[float], squared: list[float]):
    """Loss against how many of four features make the neuron fire, (5,) each."""
    fig, axes = canvas(1, 2, height=2.7)
    panels = {"cross-entropy, nats": (cross_entropy, ""), "mean squared error": (squared, "//")}
    for i, (ax, (name, (values, hatch))) in enumerate(zip(axes, panels.items(), strict=True)):
        bars = ax.bar(range(5), values, color=COLOURS[i], hatch=hatch, edgecolor="white")
        ax.bar_label(bars, [f"{v:.3f}" for v in values], fontsize=9)
        ax.set(ylabel=name, ylim=(0, 1.18 * max(values)))
        ax.set_xlabel("features that make the neuron fire, of four")
    return fig, (
        "What the reader of one neuron loses at best. Cross-entropy is lowest where the neuron "
        "stands for two features at once; the squared error does not care whether it stands for "
        "one, two or three."
    )


@figure
def unequal(p_first: np.ndarray, one: np.ndarray, two: np.ndarray, chosen: float):
    """Cross-entropy over P(A) for the neuron that means A alone and one that means A or B."""
    fig, ax = canvas(height=2.8)
    ax.plot(p_first, one, label="fires on A alone")
    ax.plot(p_first, two, "--", label="fires on A or B")
    ax.axvline(chosen, color="0.4", linestyle=":")
    ax.set(xlabel="P(A); the other three share the rest", ylabel="cross-entropy, nats")
    ax.legend()
    return fig, (
        "The two neurons' losses over how common A is, with a dotted line at the chosen P(A): left "
        "of the crossing the neuron that mixes two features is better, right of it the pure one."
    )


@figure
def opened(words: list[str], acts: Tensor, features: Tensor):
    """Slide D2-18 with real numbers: neurons (T, n) and features that fire (T, m) on T tokens."""
    fig = canvas(height=5.2)[0]
    fig.clear()
    rows = [["flow", "flow"], ["acts", "features"]]
    top, left, right = fig.subplot_mosaic(rows, height_ratios=[1, 2.6]).values()
    _flow(top)
    for ax, values, title in (
        (left, acts, f"{acts.shape[1]} of the 512 neurons"),
        (right, features, f"the {features.shape[1]} features that fire, of 4,096"),
    ):
        values = as_array(values)
        most = np.quantile(values, 0.995)
        ax.imshow(values, aspect="auto", cmap="Greys", vmin=0, vmax=most)
        names = words if ax is left else [""] * len(words)
        ax.set_yticks(range(len(words)), names, fontsize=8, family="monospace")
        ax.set(xlabel=title, xticks=[])
    return fig, (
        "Above, the one-layer transformer; the dictionary reads where the blue box ends. Below, "
        "the same tokens as neurons (left; a tenth of them) and as the features that fire (right, "
        "ordered by where each is strongest: a few a row, and each row has its own)."
    )


def _flow(ax) -> None:
    """The one-layer transformer as boxes, the MLP in blue."""
    ax.set(xlim=(0, 10), ylim=(0, 1))
    ax.set_axis_off()
    names = ("tokens", "embed", "4 heads", "+", "MLP (ReLU)", "+", "unembed")
    for i, name in enumerate(names):
        x = 0.3 + 1.4 * i
        colour = COLOURS[5] if name.startswith("MLP") else "0.92"
        style = {"boxstyle": "round,pad=0.05", "facecolor": colour, "edgecolor": "black"}
        ax.add_patch(FancyBboxPatch((x, 0.3), 1.0, 0.4, **style))
        ax.text(x + 0.5, 0.5, name, ha="center", va="center", fontsize=9)
        if i:
            ends = (x - 0.34, 0.5), (x - 0.06, 0.5)
            ax.add_patch(FancyArrowPatch(*ends, arrowstyle="->", mutation_scale=9))


@figure
def piece_by_piece(left: list[float], labels: list[str], sizes: list[float]):
    """What is missing of one activation after each feature, (k + 1,), and the largest features."""
    fig, (a, b) = canvas(1, 2, height=3.2, width_ratios=[1, 1.25])
    a.plot(range(len(left)), left, marker="o", markersize=3)
    a.set(xlabel="features added, the largest first", ylim=(0, 1.05))
    a.set_ylabel("length of what is missing,\nshare of |x − b|")
    b.barh(range(len(sizes)), sizes, color=COLOURS[2])
    b.set_yticks(range(len(labels)), labels, fontsize=8, family="monospace")
    b.invert_yaxis()
    b.set(xlabel="f, the feature's strength")
    return fig, (
        "One activation put together from its features. Left, what is still missing after each; "
        "it does not reach zero. Right, the strongest features, each named by its number and the "
        "tokens whose logits it raises most."
    )


@figure
def density(share: Tensor, step: int, steps: int, l0: float):
    """The histogram of log10 of how often each feature fired lately, (M,); apart, those never."""
    fig, ax = canvas(height=2.6)
    share = as_array(share)
    bins = np.arange(-5, 0.01, 0.2)
    ax.hist(np.log10(share[share > 0]), bins, color=COLOURS[0], edgecolor="white")
    ax.bar(-5.4, (share == 0).sum(), 0.3, color=COLOURS[1], hatch="//", edgecolor="white")
    ax.set(xlim=(-5.7, 0.1), xlabel="share of tokens on which a feature fires", ylabel="features")
    ax.set_title(f"step {step} of {steps} · {l0:.0f} features a token")
    names = ["never", "1 in 10,000", "1 in 1,000", "1 %", "10 %", "always"]
    ax.set_xticks([-5.4, -4, -3, -2, -1, 0], names, fontsize=8)
    return fig, (
        "How often the features fire, while the dictionary learns. They start near one half, as "
        "random directions do; the penalty drives them to the left, to rarer and rarer firing."
    )


@figure
def tradeoff(rows: list[dict], shipped: dict[str, dict], paper: tuple[float, float]):
    """Loss recovered against L0: the λ sweep as a curve, shipped dictionaries as points."""
    fig, ax = canvas(height=3.2)
    curve = [row["L0"] for row in rows], [row["loss_recovered"] for row in rows]
    ax.plot(*curve, marker="o", label="1,024 features, λ swept")
    for row in rows:
        at = {"xytext": (4, -11), "textcoords": "offset points", "fontsize": 8}
        ax.annotate(f"λ {row['l1']:g}", (row["L0"], row["loss_recovered"]), **at)
    for i, (name, row) in enumerate(shipped.items(), start=1):
        point = row["L0"], row["loss_recovered"]
        ax.plot(*point, **look(i), markersize=8, linestyle="none", label=name)
    ax.plot(*paper, **PAPER, markeredgecolor="black", label="paper's A/1 (L0 below 20)")
    ax.set(xscale="log", xlabel="L0: features that fire on a token")
    ax.set(ylabel="loss recovered", ylim=(0.3, 1.02))
    ax.set_xticks(L0_TICKS, map(str, L0_TICKS))
    ax.minorticks_off()
    ax.legend(loc="lower right")
    return fig, (
        "Sparser is worse: each step to a larger λ leaves fewer features on a token and less of "
        "what the MLP does for the loss. A dictionary with more features and more training lies "
        "above the curve."
    )


@figure
def ingredients(rows: dict[str, dict]):
    """Two bars for each small dictionary: loss recovered, and L0."""
    fig, (a, b) = canvas(1, 2, height=2.9, sharey=True)
    others = len(rows) - 1
    style = {"color": [COLOURS[0]] + [COLOURS[1]] * others, "hatch": [""] + ["//"] * others}
    for ax, key, form in ((a, "loss_recovered", "{:.2f}"), (b, "L0", "{:.0f}")):
        values = [row[key] for row in rows.values()]
        bars = ax.barh(range(len(rows)), values, **style, edgecolor="white")
        ax.bar_label(bars, [form.format(v) for v in values], fontsize=8, padding=2)
    a.set(xlabel="loss recovered")
    a.set_xlim(0, 1.2 * max(row["loss_recovered"] for row in rows.values()))
    b.set(xlabel="L0, features a token", xscale="symlog", xlim=(0, 3000))
    a.set_yticks(range(len(rows)), list(rows))
    a.invert_yaxis()
    return fig, (
        "The same small dictionary with one ingredient taken away at a time (hatched). Read both "
        "panels: without the L1 penalty all is recovered, by nearly all features on every token."
    )


@figure
def pinned(values: list[float], negative: np.ndarray, control: np.ndarray):
    """P(negative words) over a pinned feature (reviews, values), and others (features, values)."""
    fig, ax = canvas(height=3.0)
    middle = negative.mean(axis=0)
    spread = 1.96 * negative.std(axis=0) / len(negative) ** 0.5
    ax.plot(values, middle, marker="o", color=COLOURS[0], label="the feature", zorder=3)
    low, high = middle - spread, middle + spread
    ax.fill_between(values, low, high, color=COLOURS[0], alpha=0.2, linewidth=0)
    grey = {"color": "0.7", "linestyle": "--"}
    ax.plot(values, control.T, linewidth=0.8, **grey)
    ax.plot([], [], label="20 other features, one line each", **grey)
    ax.set_xlabel("feature pinned at, share of its largest firing")
    ax.set_ylabel("negative words' share of P(negative)\n+ P(positive), mean over reviews")
    ax.legend()
    return fig, (
        "Slide D2-20 run on reviews: the feature is held at a value at the end of each review, and "
        "the model is asked for the next word. The band is a 95 % interval over reviews."
    )


def units(shares: dict[str, float], intervals: dict[str, tuple[float, float]]):
    """The share of units that stand for one rare kind of text."""
    return plots.dots(
        {name: (share, *intervals[name]) for name, share in shares.items()},
        colours={name: 1 if "neurons" in name else 0 for name in shares},
        xlabel="share of units whose strong firings lie at least 80 % in one rare kind of text",
        xlim=(0, 1),
        caption="Neurons and features, each judged by where its strong firings lie. Only kinds of "
        "text that make up a tenth of the corpus or less count, so that a unit cannot pass by "
        "chance. Lines: 95 % intervals over units.",
    )


def strongest(words: list[str], values: list[float]) -> str:
    """One line of text with the token that fires in brackets, for printing."""
    best = int(np.argmax(values))
    return "".join(f"⟦{w}⟧" if i == best else w for i, w in enumerate(words)).replace("\n", "↵")
