"""Lesson 10's figures: firings by strength, the rubric's histogram, kinds of text, logit effects, scores of speakers, universality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from notebooks.support.lesson10.feature_rating import MOST, RATHER
from helpers.lesson.plots import COLOURS, MARKERS, canvas, caption

PAPER_RUBRIC = {
    "features": 12,
    "neurons": 0,
}  # medians of D2-22's histogram; its bars are not public as numbers
ON_WHITE = {
    "frameon": True,
    "facecolor": "white",
    "edgecolor": "none",
    "framealpha": 1,
}  # a legend that a line runs behind
_PLACE = {"features": 0, "feature": 0, "neurons": 1, "neuron": 1}


def _look(name: str) -> dict:
    place = _PLACE.get(name.split()[0].rstrip(","), 2)
    return {"color": COLOURS[place], "marker": MARKERS[place]}


def by_strength(
    shares: Mapping[str, Sequence[float]], counts: Mapping[str, Sequence[int]], kind: str
):
    """Share of firings that lie in a kind of text, and how many firings there are, by twelfths of the maximum: (12,) each."""
    fig, (left, right) = canvas(1, 2, height=3.0)
    x = (np.arange(12) + 0.5) / 12
    for name in shares:
        left.plot(x, shares[name], **_look(name), label=name)
        right.plot(x, np.maximum(counts[name], 0.5), **_look(name), label=name)
    left.set(
        xlabel="activation, share of the unit's maximum",
        ylabel=f"share of firings in {kind}",
        ylim=(-0.03, 1.05),
    )
    right.set(xlabel="activation, share of the unit's maximum", ylabel="firings", yscale="log")
    left.legend(loc="lower right")
    caption(
        fig,
        f"Left: how many of a unit's firings lie in {kind}, from its weakest firings to its strongest. At the right end, where top examples are "
        "taken, the neuron looks as clean as the feature. Right: most firings are weak; the end that top examples show is the rarest.",
    )
    return fig


def rubric(scores: Mapping[str, np.ndarray], title: str, real: bool, left_out: str = ""):
    """A histogram of the rubric's points for features and neurons, the paper's medians as dashed lines; whose files were left out."""
    fig, axes = canvas(1, 2, height=2.8, sharey=True)
    for ax, name in zip(axes, PAPER_RUBRIC, strict=True):
        ax.hist(
            scores.get(name, []),
            bins=np.arange(-0.5, MOST + 1),
            color=_look(name)["color"],
            edgecolor="white",
            label=title,
        )
        if len(scores.get(name, [])):
            ax.axvline(np.median(scores[name]), color="black", label="its median")
        ax.axvline(PAPER_RUBRIC[name], color="black", linestyle="--", label="the paper's median")
        ax.axvspan(RATHER + 0.5, MOST + 0.5, color="0.93", zorder=0)
        ax.set(title=name, xlabel="points of 14", xlim=(-0.7, MOST + 0.7))
    axes[0].set_ylabel("ratings")
    axes[0].set_ylim(top=1.5 * axes[0].get_ylim()[1])
    axes[0].legend(loc="upper left", fontsize=8, **ON_WHITE)
    caption(
        fig,
        f"Points for features and neurons: {title}. Dashed, the paper's medians, 12 and 0; shaded, more than 8 points, which is called rather "
        f"interpretable.{'' if real else ' These bars are digits pressed at random and say nothing about features or neurons.'} {left_out}",
    )
    return fig


def kinds(table: Mapping[str, Mapping[str, Mapping[str, tuple[float, float, float]]]]):
    """{measure: {kind of text: {unit: (value, low, high)}}}: a panel for each measure."""
    fig, axes = canvas(1, len(table), height=3.0, sharey=True)
    for ax, (measure, rows) in zip(axes, table.items(), strict=True):
        for y, (kind, units) in enumerate(rows.items()):
            for offset, (name, (value, low, high)) in zip(
                (-0.16, 0.16), units.items(), strict=True
            ):
                ax.plot([low, high], [y + offset] * 2, color=_look(name)["color"], lw=2)
                ax.plot(
                    value,
                    y + offset,
                    **_look(name),
                    linestyle="none",
                    label=name if y == 0 else None,
                )
        ax.set(title=measure, xlim=(-0.04, 1.06))
        ax.set_yticks(range(len(rows)), list(rows))
    axes[0].invert_yaxis()
    axes[-1].legend(loc="upper left", fontsize=8)
    caption(
        fig,
        "The feature and the neuron that follow each kind of text best, with 95 % intervals over contexts. Features keep to their kind of text "
        "also when they fire weakly; neurons reach more of it, and most of what they fire on lies elsewhere.",
    )
    return fig


def effects(panels: Mapping[str, tuple[np.ndarray, np.ndarray]]):
    """{title: (predicted, measured)}: each token's predicted logit effect against what ablation takes away."""
    fig, axes = canvas(1, len(panels), height=2.6)
    for ax, (title, (predicted, measured)) in zip(axes, panels.items(), strict=True):
        ax.plot(predicted, measured, ".", color=COLOURS[0], markersize=3, alpha=0.5)
        ax.set(
            title=f"{title}\nr = {np.corrcoef(predicted, measured)[0, 1]:.2f}",
            xlabel="read off the weights",
        )
    axes[0].set_ylabel("lost by ablation")
    caption(
        fig,
        "Every dot is a token. Across, what the feature should do to its logit by the weights alone; up, what goes from its logit when the feature "
        "is taken out, where it fires most.",
    )
    return fig


def scores(
    panels: Mapping[str, Mapping[str, Sequence[float]]],
    paper: Mapping[str, Mapping[str, float]],
    chance: Mapping[str, float],
    who: str,
):
    """{measure: {features / neurons: scores}}: dots, medians, the paper's medians as hollow diamonds."""
    fig, axes = canvas(1, len(panels), height=3.0)
    rng = np.random.default_rng(0)
    for ax, (measure, groups) in zip(np.atleast_1d(axes), panels.items(), strict=True):
        for x, (name, values) in enumerate(groups.items()):
            ax.plot(
                x + rng.uniform(-0.18, 0.18, len(values)),
                values,
                linestyle="none",
                markersize=4,
                alpha=0.6,
                **_look(name),
            )
            ax.plot(
                [x - 0.28, x + 0.28],
                [np.median(values)] * 2,
                color="black",
                lw=2.5,
                label="median here" if x == 0 else None,
            )
            if name in paper.get(measure, {}):
                ax.plot(
                    x + 0.33,
                    paper[measure][name],
                    "D",
                    markerfacecolor="white",
                    markeredgecolor="black",
                    label="paper's median" if x == 0 else None,
                )
        if measure in chance:
            ax.axhline(chance[measure], color="0.4", linestyle=":", label="chance")
        ax.set(
            title=measure,
            xlim=(-0.6, len(groups) - 0.4),
            ylim=(min(-0.05, *(min(v) for v in groups.values())) - 0.03, 1.05),
        )
        ax.set_xticks(
            range(len(groups)), [f"{name}\nn = {len(values)}" for name, values in groups.items()]
        )
    np.atleast_1d(axes)[-1].legend(loc="lower left", fontsize=8)
    caption(fig, f"Scores of explanations by {who}: a dot for each unit.")
    return fig


def universality(
    panels: Mapping[str, Mapping[str, np.ndarray]], paper: Mapping[str, Mapping[str, float]]
):
    """{comparison: {what: best correlation of each unit}}: histograms as steps, medians as lines, the paper's as diamonds on the axis."""
    fig, axes = canvas(1, len(panels), height=3.0)
    for ax, (title, groups) in zip(axes, panels.items(), strict=True):
        for i, (name, values) in enumerate(groups.items()):
            style = {"color": _look(name)["color"], "linestyle": ("-", "--", "-.")[i % 3]}
            ax.hist(
                values,
                bins=np.linspace(0, 1, 26),
                density=True,
                histtype="step",
                lw=1.8,
                label=name,
                **style,
            )
            ax.axvline(np.median(values), lw=1, **style)
        for name, value in paper.get(title, {}).items():
            ax.plot(
                value,
                0,
                "D",
                markerfacecolor="white",
                markeredgecolor=_look(name)["color"],
                clip_on=False,
                zorder=5,
            )
        ax.set(title=title, xlabel="correlation with the best match", xlim=(-0.02, 1.02))
        ax.legend(fontsize=8, loc="upper center", **ON_WHITE)
    axes[0].set_ylabel("density of units")
    caption(
        fig,
        "How well each unit is matched in the other dictionary or network. Vertical lines are medians; hollow diamonds on the axis are the paper's, "
        ".72 for features and .46 for neurons of two transformers.",
    )
    return fig
