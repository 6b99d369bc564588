"""Lesson 05: attention as strips, F1 beside the papers', seeds as violins, TVD against JSD, the adversary's reading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.patheffects import withStroke

from helpers.lesson.plots import COLOURS, MARKERS, canvas, caption
from notebooks.support.lesson04.figures import two_readings

LARGEST_JSD = float(np.log(2))


def strips(rows: Mapping[str, torch.Tensor], text: str, words: Sequence[str] | None = None):
    """One-row strips of weights over places, as on D1-16 to D1-18: start mark at 0, the same colours for all rows."""
    fig, axes = canvas(
        len(rows), 1, height=1.15 * len(rows) + (0.5 if words else 0.2), sharex=True, squeeze=False
    )
    high = max(float(values.max()) for values in rows.values())
    for ax, (title, values) in zip(axes[:, 0], rows.items(), strict=True):
        drawn = ax.imshow(
            torch.as_tensor(values).float().numpy()[None],
            cmap="hot",
            vmin=0,
            vmax=high,
            aspect="auto",
        )
        ax.set(title=title, yticks=[])
    if words:
        axes[-1, 0].set_xticks(range(len(words)), words, rotation=60, ha="right", fontsize=8)
    else:
        axes[-1, 0].set_xlabel("place in the text (0 is the start mark)")
    fig.colorbar(drawn, ax=list(axes[:, 0]), label="weight", shrink=0.8)
    caption(fig, text)
    return fig


def scores(
    ours: Mapping[str, Mapping[str, float]],
    paper: Mapping[str, Mapping[str, float]],
    text: str,
    hidden: Sequence[str] = (),
):
    """F1 of several models, a line a data set: filled marks were measured here, hollow ones stand in the paper.

    hidden: series that are left out of the drawing (the slide blanks one).
    """
    rows = {
        **{f"{name} (here)": (values, True) for name, values in ours.items()},
        **{f"{name} (paper)": (values, False) for name, values in paper.items()},
    }
    series = [
        name
        for name in dict.fromkeys(key for values, _ in rows.values() for key in values)
        if name not in hidden
    ]
    fig, ax = canvas(height=0.42 * len(rows) + 0.9)
    for y, (values, filled) in enumerate(rows.values()):
        shown = [values[name] for name in series if name in values]
        ax.plot([min(shown), max(shown)], [y, y], color="0.8", zorder=0)
        for i, name in enumerate(series):
            if name in values:
                ax.plot(
                    values[name],
                    y,
                    MARKERS[i],
                    color=COLOURS[i],
                    markersize=8,
                    markerfacecolor=COLOURS[i] if filled else "white",
                )
    for i, name in enumerate(series):
        ax.plot([], [], MARKERS[i], color=COLOURS[i], markersize=8, label=name)
    ax.set(yticks=range(len(rows)), xlabel="F1 of the positive class")
    ax.set_yticklabels(list(rows))
    ax.invert_yaxis()
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    caption(fig, text)
    return fig


EDGES = (0, 0.25, 0.5, 0.75, 1.0001)


def seed_violins(samples: Mapping[str, tuple], text: str):
    """JSD between seeds by the base model's largest weight and by class. samples: {name: (largest (N,), jsd (N,), label (N,))}."""
    fig, axes = canvas(1, len(samples), height=3.3, sharex=True, sharey=True, squeeze=False)
    for ax, (title, columns) in zip(axes[0], samples.items(), strict=True):
        largest, jsd, label = (np.asarray(values, dtype=float) for values in columns)
        for place in range(4):
            for kind, shift in ((0, 0.2), (1, -0.2)):
                inside = jsd[
                    (largest >= EDGES[place]) & (largest < EDGES[place + 1]) & (label == kind)
                ]
                if len(inside) > 4 and np.ptp(inside) > 1e-6:
                    body = ax.violinplot(
                        [inside],
                        positions=[place + shift],
                        orientation="horizontal",
                        widths=0.38,
                        showextrema=False,
                    )["bodies"][0]
                    body.set(facecolor=COLOURS[kind], alpha=0.5)
                if len(inside):
                    ax.plot(
                        np.median(inside),
                        place + shift,
                        MARKERS[kind],
                        markerfacecolor="white",
                        markeredgecolor=COLOURS[kind],
                        markersize=5,
                    )
        ax.set(
            title=title,
            xlim=(-0.02, 0.72),
            ylim=(-0.6, 3.6),
            yticks=range(4),
            xlabel="JSD to another seed (nats)",
        )
        ax.axvline(LARGEST_JSD, color="0.4", linestyle=":")
        ax.set_yticklabels(["below 0.25", "to 0.5", "to 0.75", "to 1"])
    axes[0, 0].set_ylabel("largest attention weight")
    for kind, name in ((1, "positive"), (0, "negative")):
        axes[0, -1].plot([], [], MARKERS[kind], color=COLOURS[kind], label=name)
    axes[0, -1].legend(loc="upper left", bbox_to_anchor=(1, 1))
    caption(fig, text)
    return fig


def exchange(
    panels: Mapping[str, Mapping[str, tuple[Sequence[float], Sequence[float]]]],
    text: str,
    lams: Mapping[str, Sequence[float]],
):
    """What moving the attention costs: mean TVD (across) against mean JSD (up). panels: {title: {name: (tvd, jsd)}}.

    The series named "trained adversary" is a curve, its points marked with `lams`[title]; all others are points.
    """
    fig, axes = canvas(1, len(panels), height=3.6, sharey=True, squeeze=False)
    for ax, (title, series) in zip(axes[0], panels.items(), strict=True):
        for i, (name, (tvd, jsd)) in enumerate(series.items()):
            curve = name == "trained adversary"
            ax.plot(
                tvd,
                jsd,
                MARKERS[i],
                color=COLOURS[i],
                linestyle="-" if curve else "none",
                label=name,
                markersize=6,
                clip_on=False,
            )
        ax.axhline(LARGEST_JSD, color="0.4", linestyle=":")
        ax.set(title=title, xlabel="mean TVD of the outputs", ylim=(0, 0.74))
        ax.set_xlim(0, 1.35 * ax.dataLim.x1)  # room for the last λ
        tvd, jsd = series["trained adversary"]
        for x, y, lam in zip(tvd, jsd, lams[title]):
            right = (
                x == tvd[-1] or x < ax.get_xlim()[1] / 3
            )  # the others' labels stand on the left, where they do not meet
            ax.annotate(
                f"λ = {lam:g}",
                (x, y),
                textcoords="offset points",
                xytext=(6 if right else -6, -11),
                ha="left" if right else "right",
                fontsize=7,
                zorder=6,
                path_effects=[withStroke(linewidth=2, foreground="white")],
            )
    axes[0, 0].set_ylabel("mean JSD of the weights (nats)")
    axes[0, -1].legend(loc="upper left", bbox_to_anchor=(1, 1))
    caption(fig, text)
    return fig


def readings(
    words: Sequence[str],
    own: tuple[torch.Tensor, float],
    other: tuple[torch.Tensor, float],
    lam: float,
    jsd: float,
):
    """One note under the base model's weights and under an adversary's. own, other: (weights (T,), P(positive))."""
    return two_readings(
        words,
        [
            ("base model", own[0], own[1], "P(positive)"),
            (f"adversary, λ = {lam:g}", other[0], other[1], "P(positive)"),
        ],
        f"The same note, darker where the weight is. JSD {jsd:.2f} of at most 0.69 nats; TVD {abs(own[1] - other[1]):.3f}.",
        width=44,
    )
