"""Lesson 08: activation functions, four mechanisms, sizes and tasks, fractions of neurons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from helpers.lesson import plots
from helpers.lesson.plots import COLOURS, PAPER, as_array, canvas, figure, legend, plain_log

LAYERS = ("1", "16", "24", "40", "64")
PAPERS = {  # D2-13
    "paper: SoLU": (0.57, 0.62, 0.57, 0.635, 0.42),
    "paper: baseline": (0.315, 0.315, 0.40, 0.335, 0.335),
}
PAPER_LN_ONLY = 0.47  # 16 layers, a baseline with the extra LayerNorm
KINDS = {"SoLU": 0, "SoLU + LN": 0, "GELU": 1, "baseline": 1, "GELU + LN": 2}  # their colours


def _look(name: str) -> dict:
    """One colour and one marker for a kind of model, wherever it comes up."""
    return plots.look(KINDS.get(name, 3)) | ({"marker": "X"} if name == "SoLU" else {})


@figure
def approximation(x, curves: Mapping, errors: Mapping, text: str):
    """Activation functions, and beside them how far approximations are from GELU."""
    fig, (left, right) = canvas(1, 2, height=2.9)
    for ax, lines in ((left, curves), (right, errors)):
        for (name, y), colour, style in zip(lines.items(), COLOURS, ("-", "--", ":"), strict=False):
            ax.plot(as_array(x), as_array(y), style, color=colour, label=name)
        ax.axhline(0, color="0.6", lw=0.8)
        ax.set_xlabel("x")
        ax.legend()
    left.set_ylabel("output")
    right.set_ylabel("approximation − GELU")
    return fig


@figure
def four(x, outputs: Mapping, text: str):
    """A vector of four numbers, and what each function makes of it."""
    panels = {"input x": x, **outputs}
    fig, axes = canvas(1, len(panels), height=2.6, sharey=True)
    for ax, (name, values), colour in zip(axes, panels.items(), ("0.6", *COLOURS), strict=False):
        values = as_array(values)
        bars = ax.bar(range(1, 5), values, color=colour)
        ax.bar_label(bars, [f"{value:.2f}" for value in values], fontsize=9)
        ax.set(title=name, xticks=range(1, 5), ylim=(-1.3, 6.6))
        ax.axhline(0, color="black", lw=0.8)
    return fig


@figure
def mechanisms(panels: Sequence[tuple[str, str, Mapping]], text: str):
    """(title, y label, {name: values}) a panel: medians with the middle 90 % of tokens."""
    fig, axes = canvas(1, len(panels), height=3.0)
    for ax, (title, ylabel, samples) in zip(axes, panels, strict=True):
        for i, (name, values) in enumerate(samples.items()):
            low, middle, high = np.quantile(as_array(values), [0.05, 0.5, 0.95])
            ax.plot([i, i], [low, high], color=_look(name)["color"], lw=3)
            ax.plot(i, middle, **_look(name), markersize=9)
        ax.set(title=title, ylabel=ylabel, xlim=(-0.6, len(samples) - 0.4), yscale="log")
        ax.set_xticks(range(len(samples)), list(samples))
        plain_log(ax.yaxis)
    return fig


@figure
def sizes(widths, losses: Mapping, gap, text: str):
    """Losses of two kinds of model over widths, and their paired difference.

    gap: (mean, low, high) a width.
    """
    fig, (left, right) = canvas(1, 2, height=3.0)
    for name, values in losses.items():
        left.plot(widths, values, **_look(name), label=name)
    mean, low, high = np.asarray(gap).T
    error = [mean - low, high - mean]
    right.errorbar(range(len(widths)), mean, error, fmt="o", color="black", capsize=4)
    right.axhline(0, color="0.5", lw=0.8)
    left.set(ylabel="held-out loss, nats a token", xscale="log")
    left.minorticks_off()
    left.legend()
    right.set(ylabel="SoLU + LN − GELU, nats", xlim=(-0.5, len(widths) - 0.5))
    for ax, places in ((left, widths), (right, range(len(widths)))):
        ax.set_xlabel("width of the residual stream")
        ax.set_xticks(places, [str(width) for width in widths])
    return fig


@figure
def tasks(widths, scores: Mapping[str, Mapping], chance: Mapping[str, float], text: str):
    """{model: {task: scores}}: one panel a task, one line a kind of model, chance dotted."""
    columns = -(-len(chance) // 2)
    fig, axes = canvas(2, columns, height=4.4, sharex=True, sharey=True, squeeze=False)
    for ax, (task, level) in zip(axes.flat, chance.items(), strict=False):
        for kind, by_task in scores.items():
            ax.plot(range(len(widths)), by_task[task], **_look(kind), label=kind)
        ax.axhline(level, ls=":", color="0.4", label="chance")
        ax.set(title=task, ylim=(0, 1.03))
        ax.set_xticks(range(len(widths)), [str(width) for width in widths])
    for ax in axes[:, 0]:
        ax.set_ylabel("share right")
    for ax in axes[-1]:
        ax.set_xlabel("width")
    legend(fig)
    return fig


@figure
def fractions(ours: Mapping, title: str, text: str, controls: Mapping[str, float] | None = None):
    """Left the paper's fractions of interpretable neurons by depth; right ours.

    ours: {condition: (share, low, high)}; controls: {name: share}, as lines.
    """
    fig, (left, right) = canvas(1, 2, height=3.3, width_ratios=(3, 2), sharey=True)
    for i, (name, values) in enumerate(PAPERS.items()):
        left.plot(range(5), values, color=COLOURS[i], **PAPER | {"linestyle": "-"}, label=name)
    extra = {"markeredgecolor": COLOURS[2], "label": "paper: baseline + LayerNorm"}
    left.plot(1, PAPER_LN_ONLY, **PAPER, **extra)
    left.set_xticks(range(5), LAYERS)
    left.set(xlabel="layers", ylabel="share of neurons with one rule", ylim=(0, 1))
    left.set_title("Elhage et al. 2022, rated by people")
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
    return fig


@figure
def unlike(edges, panels: Mapping[str, Mapping], paper: Mapping[str, tuple], text: str):
    """{title: {stage: share of firings that do not follow the rule, by bin}}.

    paper: {stage: its first and last point}, as diamonds.
    """
    fig, axes = canvas(1, len(panels), height=3.1, sharey=True, squeeze=False)
    edges = as_array(edges)
    middle = (edges[1:] + edges[:-1]) / 2
    for ax, (title, stages) in zip(axes[0], panels.items(), strict=True):
        for i, (name, values) in enumerate(stages.items()):
            ax.plot(middle, as_array(values), **plots.look(i), label=name)
            if name in paper:
                edge = {"markeredgecolor": COLOURS[i], "label": f"paper, {name}"}
                ax.plot(middle[[0, -1]], paper[name], **PAPER, **edge)
        ax.set(title=title, xlabel="activation, relative to the largest", ylim=(-0.03, 1))
    axes[0, 0].set_ylabel("share that does not follow the rule")
    legend(fig)
    return fig
