"""Lesson 06: counterexamples, twins, tests of explanations, and the experiment's figures."""

from __future__ import annotations

import numpy as np
import torch

from helpers.lesson.plots import COLOURS, MARKERS, SIGNED, canvas, caption

UP, DOWN = COLOURS[1], COLOURS[0]  # vermilion rises, blue falls; every use says it in words too


def _curve(ax, curve, x: float, top: float = 3.0) -> None:
    """A function of one feature: the chord that an attribution sees and the slope that a step feels."""
    z = torch.linspace(0, top, 301)
    y, (y0, yx) = curve(z), curve(torch.tensor([0.0, x])).tolist()
    slope = ((curve(torch.tensor(x + 1e-3)) - yx) / 1e-3).item()
    ax.plot(z, y, color="0.35")
    ax.plot([0, x], [y0, yx], "--", color=COLOURS[2])
    ax.plot([0], [y0], "s", color="black")
    ax.plot([x], [yx], "o", color="black")
    run = 0.5 / np.hypot(1, slope / 2)
    ax.annotate(
        "",
        (x + run, yx + slope * run),
        (x, yx),
        arrowprops={"arrowstyle": "->", "color": UP if slope > 0 else DOWN, "lw": 2.5},
    )
    ax.set(
        xlabel="feature", ylabel="output", title=f"attribution {yx - y0:+.2f} · slope {slope:+.0f}"
    )


def counterexamples(cases, text: str):
    """Four panels: functions of one feature as curves, of two as maps; `text` is the caption."""
    fig, axes = canvas(2, 2, height=5.6)
    for ax, (name, case) in zip(axes.T.flat, cases.items(), strict=True):
        if len(case.point) == 1:
            _curve(ax, case.curve, case.point[0])
        else:
            _map(ax, case)
            ax.set_title(f"each: attribution {case.attribution:+.2f} · slope {case.slope:+.0f}")
    caption(fig, text)
    return fig


def _map(ax, case) -> None:
    """A function of two features: the line of Integrated Gradients, the corners of Shapley, the step."""
    z = torch.linspace(0, 2, 161)
    values = case.f(torch.stack(torch.meshgrid(z, z, indexing="xy"), -1))  # (161, 161)
    (a, b), size = case.point, values.abs().max()
    drawn = ax.contourf(z, z, values, 15, cmap=SIGNED, vmin=-size, vmax=size)
    ax.figure.colorbar(drawn, ax=ax, label="output")
    ax.plot([0, a], [0, b], "--", color=COLOURS[2])
    ax.plot([0, 0, a], [0, b, 0], "s", color="black")
    ax.plot(a, b, "o", color="black")
    ax.annotate(
        "",
        (a + 0.45, b),
        (a, b),
        arrowprops={"arrowstyle": "->", "color": UP if case.slope > 0 else DOWN, "lw": 2.5},
    )
    ax.set(xlabel="feature 1", ylabel="feature 2", aspect="equal")


def parting(curve, x: float):
    """The curve at a point the learner chooses, and beside it the attribution and the slope as bars."""
    fig, (left, right) = canvas(1, 2, height=3, width_ratios=(3, 1))
    _curve(left, curve, x)
    yx = curve(torch.tensor(x))
    values = [
        (yx - curve(torch.tensor(0.0))).item(),
        ((curve(torch.tensor(x + 1e-3)) - yx) / 1e-3).item(),
    ]
    right.bar(["attribution", "slope"], values, color=[UP if v > 0 else DOWN for v in values])
    right.axhline(0, color="black", lw=0.8)
    right.set(
        ylim=(-3.3, 3.3), title="they agree" if values[0] * values[1] > 0 else "they disagree"
    )
    caption(
        fig,
        "Square: the baseline. Dot: your point. The dashed chord is all that a complete attribution of one feature sees; "
        "the arrow is what a small step upwards does.",
    )
    return fig


def twins(pair: dict, x, feature: int, reach: float, text: str):
    """Functions {name: f} of one network at x (1, d), along one feature: where attributions look, and where the step goes."""
    fig, ax = canvas(height=3)
    here = x[0, feature].item()
    z = torch.linspace(0, here + reach, 241)
    points = x.repeat(241, 1, 1)  # (241, 1, d)
    points[:, 0, feature] = z
    for (name, f), colour, line in zip(
        pair.items(), (UP, DOWN, "0.35"), ("-", "--", ":"), strict=False
    ):
        ax.plot(z, f(points)[:, 0], line, color=colour, label=name)
    ax.axvspan(0, here, color=COLOURS[2], alpha=0.12, label="all that attributions see")
    ax.axvline(here, color="black", lw=1)
    ax.set(xlabel="the feature (the line marks its value now)", ylabel="output")
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    caption(fig, text)
    return fig


def hits_and_alarms(cards: dict, text: str):
    """{class: {method: [score cards]}}: the mean sensitivity and specificity of every method, a panel a class."""
    fig, axes = canvas(1, len(cards), height=3.3, sharey=True, squeeze=False)
    for ax, (title, methods) in zip(axes[0], cards.items(), strict=True):
        for i, (name, rows) in enumerate(methods.items()):
            place = [
                1 - np.mean([row["specificity"] for row in rows]),
                np.mean([row["sensitivity"] for row in rows]),
            ]
            ax.plot(
                *place,
                MARKERS[i % 7],
                color=COLOURS[i % 7],
                label=name,
                markersize=8,
                clip_on=False,
            )
        ax.plot([0, 1], [0, 1], ":", color="0.4", label="chance")
        ax.set(xlim=(0, 1), ylim=(0, 1), title=title, xlabel="1 − specificity", aspect="equal")
    axes[0, 0].set_ylabel("sensitivity")
    axes[0, -1].legend(loc="upper left", bbox_to_anchor=(1, 1))
    caption(fig, text)
    return fig


def effects(panels: dict, text: str, xlabel: str = "attribution"):
    """{title: (attributions, falls after removal)}: each part as a dot; right means upper right or lower left."""
    fig, axes = canvas(1, len(panels), height=3.2, squeeze=False)
    for ax, (title, (score, fall)) in zip(axes[0], panels.items(), strict=True):
        score, fall = np.asarray(score), np.asarray(fall)
        wide, high = np.quantile(np.abs(score), 0.98), np.quantile(np.abs(fall), 0.98)
        right = (score > 0) == (fall > 0)
        for hit, colour, name in (
            (right, COLOURS[2], "the sign is right"),
            (~right, COLOURS[1], "the sign is wrong"),
        ):
            ax.plot(score[hit], fall[hit], ".", color=colour, alpha=0.5, markersize=4, label=name)
        ax.axhline(0, color="black", lw=0.8)
        ax.axvline(0, color="black", lw=0.8)
        ax.set(xlim=(-wide, wide), ylim=(-high, high), title=title, xlabel=xlabel)
    axes[0, 0].set_ylabel("fall of the output when removed")
    axes[0, -1].legend(loc="upper left", bbox_to_anchor=(1, 1), markerscale=3)
    caption(fig, text)
    return fig


# ---------------------------------------------------------------- the experiment


def question(item, condition: str, tried: list):
    """What a person sees of one network: the dials, and what the condition adds."""
    fig, (left, right) = canvas(1, 2, height=2.6, width_ratios=(1, 1.4))
    names = ["A", "B", "C"]
    left.barh(names, item.dials, color="0.6")
    left.annotate(
        "", (item.dials[0] + 1, 0), (item.dials[0], 0), arrowprops={"arrowstyle": "->", "lw": 2}
    )
    left.set(
        xlim=(0, 2.6),
        title=f"the dials · output {item.output:.2f}",
        xlabel="value; the arrow is how far A may go",
    )
    left.invert_yaxis()
    if condition == "attribution":
        right.barh(names, item.attribution, color=[UP if v > 0 else DOWN for v in item.attribution])
        right.invert_yaxis()
        right.set(
            title="the explanation (Integrated Gradients)",
            xlabel="attribution: left of zero against, right for",
        )
        right.axvline(0, color="black", lw=0.8)
    elif condition == "queries":
        right.plot(
            [0, *(s for s, _ in tried)],
            [0, *(c for _, c in tried)],
            "o",
            color=COLOURS[2],
            markersize=8,
        )
        right.axhline(0, color="black", lw=0.8)
        high = 1.15 * max(0.3, *(abs(c) for _, c in tried)) if tried else 0.3
        right.set(
            xlim=(-0.03, 1.03),
            ylim=(-high, high),
            title="what you tried",
            xlabel="step of A",
            ylabel="change of the output",
        )
    else:
        right.set_axis_off()
        right.text(0.5, 0.5, "nothing more is shown", ha="center", va="center", color="0.4")
    caption(
        fig,
        f"Three dials of {item.key} and its output"
        + {
            "prediction": ".",
            "attribution": ", with an attribution of each dial.",
            "queries": ", with the steps of A tried so far.",
        }[condition],
    )
    return fig


def verdict(results, table: dict):
    """A judged class: accuracy, time, and rated helpfulness against accuracy, a mark a condition."""
    fig, axes = canvas(1, 3, height=3.3)
    names = list(table)
    for ax, what, label in zip(
        axes, ("accuracy", "seconds"), ("share of right answers", "seconds an answer"), strict=False
    ):
        for i, name in enumerate(names):
            mean, low, high = table[name][what]
            ax.plot([i, i], [low, high], color=COLOURS[i])
            ax.plot(i, mean, MARKERS[i], color=COLOURS[i], markersize=9)
        ax.set(
            ylabel=label,
            xlim=(-0.6, len(names) - 0.4),
            ylim=(0, 1.02) if what == "accuracy" else (0, None),
        )
        ax.set_xticks(range(len(names)), names, rotation=25)
    axes[0].axhline(0.5, ls=":", color="0.4")
    shift = np.random.default_rng(0).uniform(-0.13, 0.13, (len(results.rows), 2))
    for i, name in enumerate(names):
        mine = [
            (row.helpful + a, np.mean(row.hits) + b / 4)
            for row, (a, b) in zip(results.rows, shift, strict=True)
            if row.condition == name
        ]
        axes[2].plot(
            *zip(*mine, strict=True), MARKERS[i], color=COLOURS[i], alpha=0.3, markersize=4
        )
        (x, *x_range), (y, *y_range) = table[name]["helpful"], table[name]["accuracy"]
        axes[2].plot(x_range, [y, y], color=COLOURS[i])
        axes[2].plot([x, x], y_range, color=COLOURS[i])
        axes[2].plot(x, y, MARKERS[i], color=COLOURS[i], markersize=9, label=name)
    axes[2].set(
        xlabel="rated helpfulness, 1 to 5",
        ylabel="share of right answers",
        xlim=(0.7, 5.3),
        ylim=(-0.05, 1.05),
        xticks=range(1, 6),
    )
    axes[2].axhline(0.5, ls=":", color="0.4")
    axes[2].legend(loc="lower left", frameon=True)
    who = (
        f"SIMULATED: {results.people} made-up people, no human answer in it"
        if results.simulated
        else f"{results.people} people"
    )
    fig.suptitle(who, fontsize=11)
    out = (
        f" Left out: {'; '.join(results.left_out)}."
        if results.left_out
        else " Nobody was left out."
    )
    caption(
        fig,
        f"{who}. Bars are 95 % intervals over people; the dotted line is guessing; small marks are one person each, "
        f"moved a little so that they do not cover each other.{out}",
    )
    return fig
