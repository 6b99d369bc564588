"""Lesson 08: activation functions, four mechanisms, sizes and tasks, fractions of neurons, and what the LayerNorm brings back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.ticker import LogLocator, NullFormatter

from helpers.lesson.plots import COLOURS, MARKERS, canvas, caption

LAYERS = (1, 16, 24, 40, 64)
PAPER = {
    "SoLU": (0.57, 0.62, 0.57, 0.635, 0.42),
    "baseline": (0.315, 0.315, 0.40, 0.335, 0.335),
}  # D2-13
PAPER_LN_ONLY = 0.47  # 16 layers, a baseline with the extra LayerNorm
_PLACE = {"SoLU": 0, "SoLU + LN": 0, "GELU": 1, "baseline": 1, "GELU + LN": 2}


def _look(name: str) -> dict:
    """One colour and one marker for a kind of model, wherever it comes up."""
    place = _PLACE.get(name, 3)
    return {"color": COLOURS[place], "marker": MARKERS[place] if name != "SoLU" else MARKERS[5]}


def approximation(x, curves: Mapping, errors: Mapping, text: str):
    """Activation functions, and beside them how far approximations are from GELU."""
    fig, (left, right) = canvas(1, 2, height=2.9)
    for ax, lines in ((left, curves), (right, errors)):
        for (name, y), colour, style in zip(lines.items(), COLOURS, ("-", "--", ":"), strict=False):
            ax.plot(x, y, style, color=colour, label=name)
        ax.axhline(0, color="0.6", lw=0.8)
        ax.set(xlabel="x")
        ax.legend()
    left.set(ylabel="output")
    right.set(ylabel="approximation − GELU")
    caption(fig, text)
    return fig


def four(x, outputs: Mapping, text: str):
    """A vector of four numbers, and what each function makes of it."""
    fig, axes = canvas(1, len(outputs) + 1, height=2.6, sharey=True)
    for ax, (name, values), colour in zip(
        axes, {"input x": x, **outputs}.items(), ("0.6", *COLOURS), strict=False
    ):
        values = torch.as_tensor(values).tolist()
        ax.bar(range(1, 5), values, color=colour)
        for place, value in enumerate(values, 1):
            ax.text(place, max(value, 0) + 0.1, f"{value:.2f}", ha="center", fontsize=9)
        ax.set(title=name, xticks=range(1, 5), ylim=(-1.3, 6.6))
        ax.axhline(0, color="black", lw=0.8)
    caption(fig, text)
    return fig


def mechanisms(panels: Sequence[tuple[str, str, Mapping]], text: str):
    """(title, y label, {name: values}) a panel: medians with the middle 90 % of tokens, on logarithmic axes."""
    fig, axes = canvas(1, len(panels), height=3.0)
    for ax, (title, ylabel, samples) in zip(axes, panels, strict=True):
        for i, (name, values) in enumerate(samples.items()):
            low, middle, high = np.quantile(np.asarray(values), [0.05, 0.5, 0.95])
            ax.plot([i, i], [low, high], color=_look(name)["color"], lw=3)
            ax.plot(i, middle, **_look(name), markersize=9)
        ax.set(title=title, ylabel=ylabel, xlim=(-0.6, len(samples) - 0.4), yscale="log")
        ax.set_xticks(range(len(samples)), list(samples))
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter(NullFormatter())
    caption(fig, text)
    return fig


def sizes(widths, losses: Mapping, gap, text: str):
    """Losses of two kinds of model over widths, and their paired difference with its interval; gap: (mean, low, high) a width."""
    fig, (left, right) = canvas(1, 2, height=3.0)
    for name, values in losses.items():
        left.plot(widths, values, **_look(name), label=name)
    mean, low, high = np.asarray(gap).T
    right.errorbar(
        range(len(widths)), mean, [mean - low, high - mean], fmt="o", color="black", capsize=4
    )
    right.axhline(0, color="0.5", lw=0.8)
    left.set(
        xlabel="width of the residual stream", ylabel="held-out loss, nats a token", xscale="log"
    )
    left.set_xticks(widths, [str(w) for w in widths], minor=False)
    left.minorticks_off()
    left.legend()
    right.set(
        xlabel="width of the residual stream",
        ylabel="SoLU + LN − GELU, nats",
        xlim=(-0.5, len(widths) - 0.5),
    )
    right.set_xticks(range(len(widths)), [str(w) for w in widths])
    caption(fig, text)
    return fig


def tasks(
    widths,
    scores: Mapping[str, Mapping[str, Sequence[float]]],
    chance: Mapping[str, float],
    text: str,
):
    """{model: {task: scores}}: one panel a task, one line a kind of model, chance dotted."""
    names = list(chance)
    fig, axes = canvas(2, -(-len(names) // 2), height=4.4, sharex=True, sharey=True, squeeze=False)
    for ax, task in zip(axes.flat, names, strict=False):
        for kind, by_task in scores.items():
            ax.plot(range(len(widths)), by_task[task], **_look(kind), label=kind)
        ax.axhline(chance[task], ls=":", color="0.4", label="chance")
        ax.set(title=task, ylim=(0, 1.03))
        ax.set_xticks(range(len(widths)), [str(w) for w in widths])
    for ax in axes[:, 0]:
        ax.set_ylabel("share right")
    for ax in axes[-1]:
        ax.set_xlabel("width")
    axes.flat[0].legend(fontsize=8, loc="lower right")
    caption(fig, text)
    return fig


def fractions(
    ours: Mapping[str, tuple[float, float, float]],
    title: str,
    text: str,
    controls: Mapping[str, float] | None = None,
):
    """Left the paper's fractions of interpretable neurons by depth; right ours: (share, low, high) by condition, controls as lines."""
    fig, (left, right) = canvas(1, 2, height=3.3, width_ratios=(3, 2), sharey=True)
    for i, (name, values) in enumerate(PAPER.items()):
        left.plot(
            range(5),
            values,
            marker="D",
            markerfacecolor="white",
            color=COLOURS[i],
            label=f"paper: {name}",
        )
    left.plot(
        1,
        PAPER_LN_ONLY,
        "D",
        color=COLOURS[2],
        markerfacecolor="white",
        label="paper: baseline + LayerNorm",
    )
    left.set_xticks(range(5), [str(n) for n in LAYERS])
    left.set(
        xlabel="layers",
        ylabel="share of neurons with one rule",
        ylim=(0, 1),
        title="Elhage et al. 2022, rated by people",
    )
    left.legend(loc="upper left")
    for i, (name, (mean, low, high)) in enumerate(ours.items()):
        right.plot([i, i], [low, high], color=_look(name)["color"], lw=3)
        right.plot(i, mean, **_look(name), markersize=9)
    for (name, value), style in zip((controls or {}).items(), (":", "--", "-."), strict=False):
        right.axhline(value, ls=style, color="0.4", label=name)
    right.set_xticks(range(len(ours)), list(ours), rotation=20)
    right.set(xlim=(-0.6, len(ours) - 0.4), title=title)
    if controls:
        right.legend(loc="upper right", fontsize=8)
    caption(fig, text)
    return fig


def unlike(
    edges,
    panels: Mapping[str, Mapping[str, Sequence[float]]],
    paper: Mapping[str, tuple[float, float]],
    text: str,
):
    """{title: {stage: share of firings that do not follow the rule, by bin}}; the paper's first and last points as diamonds."""
    fig, axes = canvas(1, len(panels), height=3.1, sharey=True, squeeze=False)
    axes, middle = axes[0], (np.asarray(edges)[1:] + np.asarray(edges)[:-1]) / 2
    for ax, (title, stages) in zip(axes, panels.items(), strict=True):
        for (name, values), colour, marker in zip(
            stages.items(), (COLOURS[0], COLOURS[1]), MARKERS, strict=False
        ):
            ax.plot(middle, values, marker=marker, color=colour, label=name)
            if name in paper:
                ax.plot(
                    middle[[0, -1]],
                    paper[name],
                    "D",
                    markerfacecolor="white",
                    color=colour,
                    label=f"paper, {name}",
                )
        ax.set(title=title, xlabel="activation, relative to the largest", ylim=(-0.03, 1))
    axes[0].set_ylabel("share that does not follow the rule")
    axes[0].legend(fontsize=8)
    caption(fig, text)
    return fig
