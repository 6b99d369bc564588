"""Lesson 08: four neurons, shares of neurons with one rule, firings off the rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from helpers.lesson import plots
from helpers.lesson.plots import COLOURS, PAPER, as_array, canvas, figure, legend

LAYERS = ("1", "16", "24", "40", "64")
PAPERS = {  # D2-13
    "SoLU + LN": (0.57, 0.62, 0.57, 0.635, 0.42),
    "GELU": (0.315, 0.315, 0.40, 0.335, 0.335),
}
PAPER_LN_ONLY = 0.47  # 16 layers, a baseline with the extra LayerNorm
PLACES = {"SoLU": 0, "SoLU + LN": 0, "GELU": 1, "GELU + LN": 1}  # one colour for each function
PLACES |= {f"{name}, random": place for name, place in PLACES.items()}  # its random directions


def _look(name: str) -> dict:
    """A function's colour and marker wherever it comes up; all else is grey."""
    return plots.look(PLACES[name]) if name in PLACES else {"color": "0.6", "marker": "o"}


@figure
def four(x, outputs: Mapping, text: str):
    """A vector of four numbers, and what each function makes of it."""
    panels = {"input x": x, **outputs}
    fig, axes = canvas(1, len(panels), height=2.6, sharey=True)
    low, high = min(-1.0, float(min(x))), max(1.0, float(max(x)))
    for ax, (name, values) in zip(axes, panels.items(), strict=True):
        values = as_array(values)
        bars = ax.bar(range(1, 5), values, color=_look(name)["color"])
        ax.bar_label(bars, [f"{value:.2f}" for value in values], fontsize=9)
        ax.set(title=name, xticks=range(1, 5), ylim=(low - 0.5, high + 0.7))
        ax.axhline(0, color="black", lw=0.8)
    return fig


def middles(samples: Mapping) -> dict[str, dict[str, tuple]]:
    """{name: values (n,)} for `plots.dots`: the median and the middle 90 % of each."""
    spread = lambda values: np.quantile(as_array(values), [0.5, 0.05, 0.95])
    return {name: {"": tuple(spread(values))} for name, values in samples.items()}


@figure
def fractions(ours: Mapping, title: str, text: str):
    """Left the paper's shares of neurons with one rule by depth; right ours.

    ours: {condition: (share, low, high)}.
    """
    fig, (left, right) = canvas(1, 2, height=3.3, width_ratios=(3, 2), sharey=True)
    for name, values in PAPERS.items():
        line = PAPER | {"linestyle": "-", "color": _look(name)["color"]}
        left.plot(range(5), values, **line, label=f"paper: {name}")
    extra = {"color": COLOURS[1], "markerfacecolor": COLOURS[1], "label": "paper: GELU + LN"}
    left.plot(1, PAPER_LN_ONLY, **PAPER | extra)
    left.set_xticks(range(5), LAYERS)
    left.set(xlabel="layers", ylabel="share of neurons with one rule", ylim=(0, 1))
    left.set_title("Elhage et al. 2022, rated by people")
    for i, (name, (mean, low, high)) in enumerate(ours.items()):
        right.plot([i, i], [low, high], color=_look(name)["color"], lw=3)
        right.plot(i, mean, **_look(name), markersize=9)
    right.set_xticks(range(len(ours)), list(ours))
    right.set(xlim=(-0.6, len(ours) - 0.4), title=title.replace(", ", ",\n"))
    legend(fig)
    return fig


@figure
def unlike(edges, stages: Mapping[str, Sequence], paper: Mapping[str, tuple], text: str):
    """{stage: share of firings that do not follow the rule, by bin}, the first stage hollow.

    paper: {stage: its first and last point}, as diamonds.
    """
    fig, ax = canvas(height=3.1, width=6.5)
    edges = as_array(edges)
    middle = (edges[1:] + edges[:-1]) / 2
    for i, (name, values) in enumerate(stages.items()):
        style = plots.look(0, hollow=i == 0) | {"linestyle": ("--", "-")[i]}
        ax.plot(middle, as_array(values), **style, label=name)
        diamonds = PAPER | {"markeredgecolor": "black", "markerfacecolor": ("white", "black")[i]}
        ax.plot(middle[[0, -1]], paper[name], **diamonds, label=f"paper, {name}")
    ax.set(xlabel="activation, relative to the largest", ylim=(-0.03, 1))
    ax.set_ylabel("share that breaks the rule")
    legend(fig)
    return fig
