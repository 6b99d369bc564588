"""Lesson 10: firings by strength, the rubric, kinds of text, effects, scores, universality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from helpers.lesson import plots
from helpers.lesson.plots import canvas, figure, look
from notebooks.support.lesson10.feature_rating import MOST, RATHER

PAPER_RUBRIC = {"features": 12, "neurons": 0}  # D2-22's medians; its bars are not public
COLOUR = {"features": 0, "feature": 0, "neurons": 1, "neuron": 1}  # of a kind of unit
COLOUR |= {"features, all": 0, "features that fire": 2}


@figure
def by_strength(shares: Mapping[str, Sequence], counts: Mapping[str, Sequence], kind: str):
    """Share of firings that lie in a kind of text, and how many, by twelfths of the maximum."""
    fig, (left, right) = canvas(1, 2, height=3.0)
    x = (np.arange(12) + 0.5) / 12
    for name in shares:
        left.plot(x, shares[name], **look(COLOUR[name]), label=name)
        right.plot(x, np.maximum(counts[name], 0.5), **look(COLOUR[name]), label=name)
    for ax in (left, right):
        ax.set_xlabel("activation, share of the unit's maximum")
    left.set(ylabel=f"share of firings in {kind}", ylim=(-0.03, 1.05))
    right.set(ylabel="firings", yscale="log")
    left.legend(loc="lower right")
    return fig, (
        f"Left: how many of a unit's firings lie in {kind}, from its weakest firings to its "
        "strongest. At the right end, where top examples are taken, the neuron looks as clean as "
        "the feature. Right: most firings are weak; the end that top examples show is the rarest."
    )


@figure
def rubric(scores: Mapping[str, np.ndarray], title: str, real: bool, left_out: str = ""):
    """A histogram of the rubric's points, the paper's medians dashed; whose files were left out."""
    fig, axes = canvas(1, 2, height=2.8, sharey=True)
    for ax, (name, paper) in zip(axes, PAPER_RUBRIC.items(), strict=True):
        points = scores.get(name, [])
        colour = look(COLOUR[name])["color"]
        ax.hist(points, np.arange(-0.5, MOST + 1), color=colour, edgecolor="white", label=title)
        if len(points):
            ax.axvline(np.median(points), color="black", label="its median")
        ax.axvline(paper, color="black", linestyle="--", label="the paper's median")
        ax.axvspan(RATHER + 0.5, MOST + 0.5, color="0.93", zorder=0)
        ax.set(title=name, xlabel="points of 14", xlim=(-0.7, MOST + 0.7))
    axes[0].set_ylabel("ratings")
    plots.legend(fig)
    made_up = " These bars are digits pressed at random and say nothing about features or neurons."
    return fig, (
        f"Points for features and neurons: {title}. Dashed, the paper's medians, 12 and 0; shaded, "
        "more than 8 points, which is called rather interpretable."
        f"{'' if real else made_up} {left_out}"
    )


def kinds(table: Mapping[str, Mapping[str, Mapping[str, tuple[float, float, float]]]]):
    """{measure: {kind of text: {unit: (value, low, high)}}}: a panel for each measure."""
    return plots.dots(
        table,
        colours=COLOUR,
        xlim=(-0.04, 1.06),
        caption="The feature and the neuron that follow each kind of text best, with 95 % "
        "intervals over contexts. Features keep to their kind of text also when they fire "
        "weakly; neurons "
        "reach more of it, and most of what they fire on lies elsewhere.",
    )


def effects(panels: Mapping[str, tuple[np.ndarray, np.ndarray]]):
    """{title: (predicted, measured)}: a token's logit effect against what ablation takes away."""
    return plots.scatter(
        {f"{t}\nr = {np.corrcoef(*pair)[0, 1]:.2f}": {"": pair} for t, pair in panels.items()},
        size=2,
        alpha=0.5,
        height=2.6,
        xlabel="read off the weights",
        ylabel="lost by ablation",
        caption="Every dot is a token. Across, what the feature should do to its logit by the "
        "weights alone; up, what goes from its logit when the feature is taken out, where it fires "
        "most.",
    )


def scores(panels: Mapping, paper: Mapping, chance: Mapping[str, float], who: str):
    """{measure: {features / neurons: scores}}: dots, medians, the paper's medians as diamonds."""
    rows = {
        name: f"{name}\nn = {len(values)}"
        for groups in panels.values()
        for name, values in groups.items()
    }
    table = {title: {rows[n]: {"": v} for n, v in part.items()} for title, part in panels.items()}
    theirs = {title: {rows[n]: {"": v} for n, v in part.items()} for title, part in paper.items()}
    return plots.dots(
        table,
        paper=theirs,
        chance=chance,
        upright=True,
        colours={row: COLOUR[name] for name, row in rows.items()},
        caption=f"Scores of explanations by {who}: a dot for each unit.",
    )


def universality(panels: Mapping[str, Mapping[str, np.ndarray]], paper: Mapping):
    """{comparison: {what: best correlation of each unit}}: histograms, medians, the paper's."""
    return plots.hist(
        panels,
        np.linspace(0, 1, 26),
        density=True,
        medians=True,
        paper={
            title: {
                name: values[name.split(",")[0]]
                for name in panels[title]
                if name.split(",")[0] in values
            }
            for title, values in paper.items()
        },
        colours=COLOUR,
        height=3.0,
        xlabel="correlation with the best match",
        ylabel="density of units",
        xlim=(-0.02, 1.02),
        caption="How well each unit is matched in the other dictionary or network. Vertical lines "
        "are medians; hollow diamonds on the axis are the paper's, .72 for features and .46 for "
        "neurons of two transformers.",
    )
