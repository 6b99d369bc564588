"""Lesson 09: arrows in the plane, a sentence as neurons and features, the trade-off."""

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from helpers.datasets.excerpts import Excerpt, Excerpts
from helpers.lesson import plots
from helpers.lesson.plots import COLOURS, as_array, canvas, figure, printable
from helpers.sae.model import Dictionary
from notebooks.support.lesson09.training import Films

ARROW = {"angles": "xy", "scale_units": "xy", "scale": 1}


@figure
def arrows(world: Tensor, learned: Mapping[int, Tensor], step: int):
    """Five directions (5, 2) in grey, and the learned ones (M, 2) before training and at a step."""
    fig, axes = canvas(1, 2, height=3.2)
    for ax, number in zip(axes, (0, step), strict=True):
        truth, found = as_array(world), as_array(learned[number])
        for vectors, style in (
            (truth, {"color": "0.75", "width": 0.035, "label": "feature of the world"}),
            (found, {"color": COLOURS[0], "width": 0.012, "label": "direction learned"}),
        ):
            ax.quiver(*np.zeros_like(vectors).T, *vectors.T, **ARROW, **style)
        ax.set(title=f"step {number}", xlim=(-1.3, 1.3), ylim=(-1.3, 1.3), aspect="equal")
        ax.set(xticks=[-1, 0, 1], yticks=[-1, 0, 1], xlabel="neuron 1")
    axes[0].set_ylabel("neuron 2")
    plots.legend(fig)
    return fig, "Five directions of the world, and eight learned ones, before and during training."


@figure
def opened(words: Sequence[str], parts: Mapping[str, Tensor]):
    """Slide D2-18 with real numbers: activations (T, n) by title, each sorted in the same way."""
    fig, panels = canvas(1, 2, height=4)
    for ax, (title, values) in zip(panels, parts.items(), strict=True):
        values = as_array(values[:, values.argmax(dim=0).argsort()])  # by their strongest token
        scaled = values / values.max(axis=0)
        ax.imshow(scaled, aspect="auto", cmap="Greys", interpolation="nearest")
        names = words if ax is panels[0] else [""] * len(words)
        names = [printable(name, "monospace") for name in names]
        ax.set_yticks(range(len(words)), names, fontsize=8, family="monospace")
        ax.set(xlabel=f"the {values.shape[1]} {title} that fire", xticks=[])
    return fig, "A sentence as neurons of the one-layer transformer, and as features of A/1."


def plane(sweep: np.ndarray, points: Mapping[str, np.ndarray]):
    """Loss recovered over L0, the first two columns: the λ sweep as a curve, others as points."""
    series = {"all ingredients, λ swept": sweep, "the paper's A/1": [(10, 0.79), (20, 0.79)]}
    lines, series = list(series), {k: np.transpose(v)[:2] for k, v in (series | points).items()}
    look = {"xlabel": "L0: features that fire on a token", "ylabel": "loss recovered", "size": 7}
    at = [2, 5, 10, 20, 50, 100, 200, 500, 1000]
    ticks = {"xticks": at, "xticklabels": [str(L0) for L0 in at]}
    look |= {"xscale": "log", "height": 3.8, "lines": lines} | ticks
    caption = "1,024 features; a point a seed. The paper gives L0 as below 20: a bar from 10 to 20."
    return plots.scatter(series, caption=caption, **look)


def where(dictionary: Dictionary, feature: int, films: Films) -> Excerpts:
    """The six reviews to choose on in which a feature of the hidden states is strongest."""
    peaks = []
    for batch, states in films.parts["choose"]:
        f = dictionary.features(states)[..., feature] * batch.content  # (B, T)
        rows = zip(batch.words.tolist(), f.tolist(), f.argmax(dim=1).tolist(), strict=True)
        peaks += [(row[at], at, ids, row) for ids, row, at in rows]
    shown = []
    for _, at, ids, row in sorted(peaks, reverse=True)[:6]:
        part = slice(max(at - 9, 1), at + 4)
        pieces = tuple(f"{films.words[i]} " for i in ids[part])
        shown.append(Excerpt(pieces, tuple(row[part]), at - part.start))
    return Excerpts(shown, max(peaks)[0], f"feature {feature}, where it is strongest")
