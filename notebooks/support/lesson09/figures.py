"""Lesson 09's figures: one neuron's choices, the opened transformer, a sum of features, densities, and the price of sparsity."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from torch import Tensor

from helpers.lesson.plots import COLOURS, MARKERS, canvas, caption


def one_neuron(cross_entropy: list[float], squared: list[float]):
    """Loss against how many of four features make the neuron fire, (5,) each."""
    fig, axes = canvas(1, 2, height=2.7)
    for ax, values, name, colour in zip(
        axes,
        (cross_entropy, squared),
        ("cross-entropy, nats", "mean squared error"),
        COLOURS,
        strict=False,
    ):
        bars = ax.bar(
            range(5),
            values,
            color=colour,
            hatch="//" if colour == COLOURS[1] else "",
            edgecolor="white",
        )
        ax.bar_label(bars, [f"{v:.3f}" for v in values], fontsize=9)
        ax.set(
            xlabel="features that make the neuron fire, of four",
            ylabel=name,
            ylim=(0, 1.18 * max(values)),
        )
    caption(
        fig,
        "What the reader of one neuron loses at best. Cross-entropy is lowest where the neuron stands for two features at once; the squared "
        "error does not care whether it stands for one, two or three.",
    )
    return fig


def unequal(p_first: np.ndarray, one: np.ndarray, two: np.ndarray, chosen: float):
    """Cross-entropy over P(A) for the neuron that means A alone and the one that means A or B."""
    fig, ax = canvas(height=2.8)
    ax.plot(p_first, one, label="fires on A alone")
    ax.plot(p_first, two, "--", label="fires on A or B")
    ax.axvline(chosen, color="0.4", linestyle=":")
    ax.set(xlabel="P(A); the other three share the rest", ylabel="cross-entropy, nats")
    ax.legend()
    caption(
        fig,
        "The two neurons' losses over how common A is, with a dotted line at the chosen P(A): left of the crossing the neuron that mixes two "
        "features is better, right of it the pure one.",
    )
    return fig


def opened(words: list[str], acts: Tensor, features: Tensor):
    """Slide D2-18 with real numbers. acts (T, n): some neurons on T tokens; features (T, m): those of the dictionary that fire."""
    fig = canvas(height=5.2)[0]
    fig.clear()
    top, left, right = fig.subplot_mosaic(
        [["flow", "flow"], ["acts", "features"]], height_ratios=[1, 2.6]
    ).values()
    top.set(xlim=(0, 10), ylim=(0, 1))
    top.set_axis_off()
    names = ("tokens", "embed", "4 heads", "+", "MLP (ReLU)", "+", "unembed")
    for i, name in enumerate(names):
        x = 0.3 + 1.4 * i
        marked = name.startswith("MLP")
        top.add_patch(
            FancyBboxPatch(
                (x, 0.3),
                1.0,
                0.4,
                boxstyle="round,pad=0.05",
                facecolor=COLOURS[5] if marked else "0.92",
                edgecolor="black",
            )
        )
        top.text(x + 0.5, 0.5, name, ha="center", va="center", fontsize=9)
        if i:
            top.add_patch(
                FancyArrowPatch((x - 0.34, 0.5), (x - 0.06, 0.5), arrowstyle="->", mutation_scale=9)
            )
    for ax, values, title in (
        (left, acts, f"{acts.shape[1]} of the 512 neurons"),
        (right, features, f"the {features.shape[1]} features that fire, of 4,096"),
    ):
        ax.imshow(
            values.clamp(max=float(values.quantile(0.995))).numpy(),
            aspect="auto",
            cmap="Greys",
            vmin=0,
        )
        ax.set_yticks(
            range(len(words)), words if ax is left else [], fontsize=8, family="monospace"
        )
        ax.set(xlabel=title, xticks=[])
    caption(
        fig,
        "Above, the one-layer transformer; the dictionary reads where the blue box ends. Below, the same tokens as neurons (left; a tenth "
        "of them) and as the features that fire (right, ordered by where each is strongest: a few a row, and each row has its own).",
    )
    return fig


def piece_by_piece(left: list[float], labels: list[str], sizes: list[float]):
    """What remains of one activation after adding its features from the largest on, (k + 1,), and the largest features' names."""
    fig, (a, b) = canvas(1, 2, height=3.2, width_ratios=[1, 1.25])
    a.plot(range(len(left)), left, marker="o", markersize=3)
    a.set(
        xlabel="features added, the largest first",
        ylabel="length of what is missing,\nshare of |x − b|",
        ylim=(0, 1.05),
    )
    b.barh(range(len(sizes)), sizes, color=COLOURS[2])
    b.set_yticks(range(len(labels)), labels, fontsize=8, family="monospace")
    b.invert_yaxis()
    b.set(xlabel="f, the feature's strength")
    caption(
        fig,
        "One activation put together from its features. Left, what is still missing after each; it does not reach zero. Right, the strongest "
        "features, each named by its number and the tokens whose logits it raises most.",
    )
    return fig


def density(share: Tensor, step: int, steps: int, l0: float):
    """The histogram of log10 of how often each feature fired lately, (M,), and how many never did."""
    fig, ax = canvas(height=2.6)
    never = int((share == 0).sum())
    ax.hist(
        share[share > 0].log10().numpy(),
        bins=np.arange(-5, 0.01, 0.2),
        color=COLOURS[0],
        edgecolor="white",
    )
    ax.bar(-5.4, never, 0.3, color=COLOURS[1], hatch="//", edgecolor="white")
    ax.set(
        xlim=(-5.7, 0.1),
        xlabel="share of tokens on which a feature fires",
        ylabel="features",
        title=f"step {step} of {steps} · {l0:.0f} features a token",
    )
    ax.set_xticks(
        [-5.4, -4, -3, -2, -1, 0],
        ["never", "1 in 10,000", "1 in 1,000", "1 %", "10 %", "always"],
        fontsize=8,
    )
    caption(
        fig,
        "How often the features fire, while the dictionary learns. They start near one half, as random directions do; the penalty drives them "
        "to the left, to rarer and rarer firing.",
    )
    return fig


def tradeoff(rows: list[dict], shipped: dict[str, dict], paper: tuple[float, float]):
    """Loss recovered against L0: the λ sweep as a curve, shipped dictionaries as points, the paper's as a hollow diamond."""
    fig, ax = canvas(height=3.2)
    ax.plot(
        [r["L0"] for r in rows],
        [r["loss_recovered"] for r in rows],
        marker="o",
        label="1,024 features, λ swept",
    )
    for r in rows:
        ax.annotate(
            f"λ {r['l1']:g}",
            (r["L0"], r["loss_recovered"]),
            textcoords="offset points",
            xytext=(4, -11),
            fontsize=8,
        )
    for i, (name, r) in enumerate(shipped.items(), start=1):
        ax.plot(
            r["L0"],
            r["loss_recovered"],
            MARKERS[i],
            color=COLOURS[i],
            markersize=8,
            linestyle="none",
            label=name,
        )
    ax.plot(
        *paper,
        "D",
        markerfacecolor="white",
        markeredgecolor="black",
        linestyle="none",
        label="paper's A/1 (L0 below 20)",
    )
    ax.set(
        xscale="log",
        xlabel="L0: features that fire on a token",
        ylabel="loss recovered",
        ylim=(0.3, 1.02),
    )
    ax.set_xticks([2, 5, 10, 20, 50, 100], ["2", "5", "10", "20", "50", "100"])
    ax.xaxis.set_minor_formatter(mpl.ticker.NullFormatter())
    ax.legend(loc="lower right")
    caption(
        fig,
        "Sparser is worse: each step to a larger λ leaves fewer features on a token and less of what the MLP does for the loss. A dictionary "
        "with more features and more training lies above the curve.",
    )
    return fig


def ingredients(rows: dict[str, dict]):
    """Two bars for each small dictionary: loss recovered, and L0."""
    fig, (a, b) = canvas(1, 2, height=2.9, sharey=True)
    for ax, key, name in (
        (a, "loss_recovered", "loss recovered"),
        (b, "L0", "L0, features a token"),
    ):
        values = [row[key] for row in rows.values()]
        bars = ax.barh(
            range(len(rows)), values, color=[COLOURS[0]] + [COLOURS[1]] * (len(rows) - 1)
        )
        for bar, hatch in zip(bars, [""] + ["//"] * (len(rows) - 1), strict=True):
            bar.set(hatch=hatch, edgecolor="white")
        ax.bar_label(
            bars, [f"{v:.2f}" if key != "L0" else f"{v:.0f}" for v in values], fontsize=8, padding=2
        )
        ax.set(
            xlabel=name,
            xlim=(0, 1.2 * max(values) if key != "L0" else 3000),
            xscale="linear" if key != "L0" else "symlog",
        )
    a.set_yticks(range(len(rows)), list(rows))
    a.invert_yaxis()
    caption(
        fig,
        "The same small dictionary with one ingredient taken away at a time (hatched). Read both panels: without the L1 penalty all is "
        "recovered, by nearly all features on every token.",
    )
    return fig


def pinned(values: list[float], negative: np.ndarray, control: np.ndarray):
    """P(negative words) over a pinned feature: (reviews, values) for the feature and (features, values) for random ones."""
    fig, ax = canvas(height=3.0)
    for i, (rows, name) in enumerate(
        ((negative, "the feature"), (control, "20 other features, one line each"))
    ):
        middle = rows.mean(axis=0)
        if i:
            ax.plot(values, rows.T, color="0.7", linewidth=0.8, linestyle="--")
            ax.plot([], [], color="0.7", linestyle="--", label=name)
        else:
            spread = 1.96 * rows.std(axis=0) / len(rows) ** 0.5
            ax.plot(values, middle, marker="o", color=COLOURS[0], label=name, zorder=3)
            ax.fill_between(
                values, middle - spread, middle + spread, color=COLOURS[0], alpha=0.2, linewidth=0
            )
    ax.set(
        xlabel="feature pinned at, share of its largest firing",
        ylabel="negative words' share of P(negative)\n+ P(positive), mean over reviews",
    )
    ax.legend()
    caption(
        fig,
        "Slide D2-20 run on reviews: the feature is held at a value at the end of each review, and the model is asked for the next word. The "
        "band is a 95 % interval over reviews.",
    )
    return fig


def units(shares: dict[str, float], intervals: dict[str, tuple[float, float]]):
    """The share of units that stand for one rare kind of text."""
    fig, ax = canvas(height=2.4)
    names = list(shares)
    bars = ax.barh(
        range(len(names)),
        list(shares.values()),
        color=[COLOURS[1]] * (len(names) - 1) + [COLOURS[0]],
    )
    for bar, hatch in zip(bars, ["//"] * (len(names) - 1) + [""], strict=True):
        bar.set(hatch=hatch, edgecolor="white")
    for i, name in enumerate(names):
        ax.plot(intervals[name], [i, i], color="black", linewidth=1.4)
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
    ax.set(
        xlabel="share of units whose strong firings lie at least 80 % in one rare kind of text",
        xlim=(0, 1),
    )
    caption(
        fig,
        "Neurons (hatched) and features, each judged by where its strong firings lie. Only kinds of text that make up a tenth of the corpus or "
        "less count, so that a unit cannot pass by chance. Lines: 95 % intervals over units.",
    )
    return fig


def strongest(words: list[str], values: list[float]) -> str:
    """One line of text with the token that fires in brackets, for printing."""
    best = int(torch.tensor(values).argmax())
    return "".join(f"⟦{w}⟧" if i == best else w for i, w in enumerate(words)).replace("\n", "↵")
