"""Lesson 10: the rubric's points."""

from collections.abc import Mapping

import numpy as np

from helpers.lesson import plots
from helpers.lesson.plots import canvas, figure, look
from notebooks.support.lesson10.feature_rating import MOST, RATHER

PAPER_RUBRIC = {"features": 12, "neurons": 0}  # D2-22's medians; its bars are not public
COLOUR = {"features": 0, "neurons": 1}  # of a kind of unit, throughout the lesson


@figure
def rubric(scores: Mapping[str, np.ndarray], title: str, left_out: str = ""):
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
    return fig, (
        f"Points for features and neurons: {title}. Shaded: more than 8 points, which is called "
        f"rather interpretable. {left_out}"
    )
