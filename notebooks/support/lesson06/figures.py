"""Lesson 06: counterexamples, twins, tests of explanations, and the experiment's figures."""

import numpy as np
import torch

from helpers.lesson.plots import COLOURS, SIGNED, as_array, canvas, figure, legend, look

UP, DOWN = COLOURS[1], COLOURS[0]  # vermilion rises, blue falls; every use says it in words too
DIALS = ("A", "B", "C")


def _arrow(ax, start, end, slope: float) -> None:
    colour = UP if slope > 0 else DOWN
    ax.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": colour, "lw": 2.5})


def _chord_and_slope(curve, x: float) -> tuple[float, float]:
    """What a complete attribution of one feature sees, curve(x) - curve(0), and the slope at x."""
    y = curve(torch.tensor([0.0, x, x + 1e-3])).tolist()
    return y[1] - y[0], (y[2] - y[1]) / 1e-3


def _curve(ax, curve, x: float, top: float = 3.0) -> None:
    """A function of one feature, the chord an attribution sees, the slope a step feels."""
    z = torch.linspace(0, top, 301)
    y0, yx = curve(torch.tensor([0.0, x])).tolist()
    chord, slope = _chord_and_slope(curve, x)
    ax.plot(as_array(z), as_array(curve(z)), color="0.35")
    ax.plot([0, x], [y0, yx], "--", color=COLOURS[2])
    ax.plot([0], [y0], "s", color="black")
    ax.plot([x], [yx], "o", color="black")
    run = 0.5 / np.hypot(1, slope / 2)
    _arrow(ax, (x, yx), (x + run, yx + slope * run), slope)
    title = f"attribution {chord:+.2f} · slope {slope:+.0f}"
    ax.set(xlabel="feature", ylabel="output", title=title)


def _map(ax, case) -> None:
    """A function of two features: the line of Integrated Gradients, Shapley's corners, the step."""
    z = torch.linspace(0, 2, 161)
    values = as_array(case.f(torch.stack(torch.meshgrid(z, z, indexing="xy"), -1)))  # (161, 161)
    (a, b), size = case.point, np.abs(values).max()
    drawn = ax.contourf(as_array(z), as_array(z), values, 15, cmap=SIGNED, vmin=-size, vmax=size)
    ax.figure.colorbar(drawn, ax=ax, label="output")
    ax.plot([0, a], [0, b], "--", color=COLOURS[2])
    ax.plot([0, 0, a], [0, b, 0], "s", color="black")
    ax.plot(a, b, "o", color="black")
    _arrow(ax, (a, b), (a + 0.45, b), case.slope)
    title = f"each: attribution {case.attribution:+.2f} · slope {case.slope:+.0f}"
    ax.set(xlabel="feature 1", ylabel="feature 2", aspect="equal", title=title)


@figure
def counterexamples(cases: dict, text: str):
    """Four panels: functions of one feature as curves, of two as maps."""
    fig, axes = canvas(2, 2, height=5.6)
    for ax, case in zip(axes.T.flat, cases.values(), strict=True):
        if len(case.point) == 1:
            _curve(ax, case.curve, case.point[0])
        else:
            _map(ax, case)
    return fig


@figure
def parting(curve, x: float):
    """The curve at a point the learner chooses, and the attribution and the slope as bars."""
    fig, (left, right) = canvas(1, 2, height=3, width_ratios=(3, 1))
    _curve(left, curve, x)
    values = _chord_and_slope(curve, x)
    right.bar(["attribution", "slope"], values, color=[UP if v > 0 else DOWN for v in values])
    right.axhline(0, color="black", lw=0.8)
    agree = "they agree" if values[0] * values[1] > 0 else "they disagree"
    right.set(ylim=(-3.3, 3.3), title=agree)
    return fig, (
        "Square: the baseline. Dot: your point. The dashed chord is all that a complete "
        "attribution of one feature sees; the arrow is what a small step upwards does."
    )


@figure
def twins(pair: dict, x, feature: int, reach: float, text: str):
    """{name: f} of one network at x (1, d), along one feature: what attributions read, the step."""
    fig, ax = canvas(height=3)
    here = x[0, feature].item()
    z = torch.linspace(0, here + reach, 241, device=x.device)
    points = x.repeat(241, 1, 1)  # (241, 1, d)
    points[:, 0, feature] = z
    for (name, f), colour, line in zip(
        pair.items(), (UP, DOWN, "0.35"), ("-", "--", ":"), strict=False
    ):
        ax.plot(as_array(z), as_array(f(points)[:, 0]), line, color=colour, label=name)
    ax.axvspan(0, here, color=COLOURS[2], alpha=0.12, label="all that attributions see")
    ax.axvline(here, color="black", lw=1)
    ax.set(xlabel="the feature (the line marks its value now)", ylabel="output")
    legend(fig)
    return fig


@figure
def effects(panels: dict, text: str, xlabel: str = "attribution"):
    """{title: (attributions, falls after removal)}: each part a dot; right: the signs agree."""
    fig, axes = canvas(1, len(panels), height=3.2, squeeze=False)
    for ax, (title, pair) in zip(axes[0], panels.items(), strict=True):
        score, fall = map(as_array, pair)
        wide, high = np.quantile(np.abs(score), 0.98), np.quantile(np.abs(fall), 0.98)
        right = (score > 0) == (fall > 0)
        for kind, place, name in ((right, 2, "right"), (~right, 1, "wrong")):
            style = {"color": COLOURS[place], "label": f"the sign is {name}"}
            ax.plot(score[kind], fall[kind], ".", alpha=0.5, markersize=4, **style)
        ax.axhline(0, color="black", lw=0.8)
        ax.axvline(0, color="black", lw=0.8)
        ax.set(xlim=(-wide, wide), ylim=(-high, high), title=title, xlabel=xlabel)
    axes[0, 0].set_ylabel("fall of the output when removed")
    legend(fig, markerscale=3)
    return fig


# ---------------------------------------------------------------- the experiment


@figure
def question(item, condition: str, tried: list[tuple[float, float]]):
    """What a person sees of one network: the dials, and what the condition adds."""
    fig, (left, right) = canvas(1, 2, height=2.6, width_ratios=(1, 1.4))
    left.barh(DIALS, item.dials, color="0.6")
    reach = (item.dials[0] + 1, 0)
    left.annotate("", reach, (item.dials[0], 0), arrowprops={"arrowstyle": "->", "lw": 2})
    left.set(xlim=(0, 2.6), xlabel="value; the arrow is how far A may go")
    left.set_title(f"the dials · output {item.output:.2f}")
    left.invert_yaxis()
    shown = f"Three dials of {item.key} and its output"
    if condition == "attribution":
        right.barh(DIALS, item.attribution, color=[UP if v > 0 else DOWN for v in item.attribution])
        right.axvline(0, color="black", lw=0.8)
        right.invert_yaxis()
        right.set_title("the explanation (Integrated Gradients)")
        right.set_xlabel("attribution: left of zero against, right for")
        return fig, f"{shown}, with an attribution of each dial."
    if condition == "queries":
        steps, changes = zip((0, 0), *tried, strict=True)
        high = 1.15 * max(0.3, *map(abs, changes)) if tried else 0.3
        right.plot(steps, changes, "o", color=COLOURS[2], markersize=8)
        right.axhline(0, color="black", lw=0.8)
        right.set(xlim=(-0.03, 1.03), ylim=(-high, high), title="what you tried")
        right.set(xlabel="step of A", ylabel="change of the output")
        return fig, f"{shown}, with the steps of A tried so far."
    right.set_axis_off()
    right.text(0.5, 0.5, "nothing more is shown", ha="center", va="center", color="0.4")
    return fig, f"{shown}."


@figure
def verdict(results, table: dict):
    """A judged class: accuracy, time, rated helpfulness against accuracy, a mark a condition."""
    fig, (accuracy, seconds, both) = canvas(1, 3, height=3.3)
    noise = np.random.default_rng(0).uniform(-0.13, 0.13, (len(results.rows), 2))
    for i, (condition, row) in enumerate(table.items()):
        for ax, what in ((accuracy, "accuracy"), (seconds, "seconds")):
            mean, *ends = row[what]
            ax.plot([i, i], ends, color=COLOURS[i])
            ax.plot(i, mean, **look(i), markersize=9)
        own = [r.condition == condition for r in results.rows]
        people = np.array([(r.helpful, np.mean(r.hits)) for r in results.rows]) + noise / (1, 4)
        both.plot(*people[own].T, **look(i), linestyle="none", alpha=0.3, markersize=4)
        (x, *x_ends), (y, *y_ends) = row["helpful"], row["accuracy"]
        both.plot(x_ends, [y, y], color=COLOURS[i])
        both.plot([x, x], y_ends, color=COLOURS[i])
        both.plot(x, y, **look(i), markersize=9, label=condition)
    for ax in (accuracy, seconds):
        ax.set_xlim(-0.6, len(table) - 0.4)
        ax.set_xticks(range(len(table)), table, rotation=25)
    accuracy.set(ylabel="share of right answers", ylim=(0, 1.02))
    seconds.set(ylabel="seconds an answer", ylim=(0, None))
    both.set(xlabel="rated helpfulness, 1 to 5", ylabel="share of right answers")
    both.set(xlim=(0.7, 5.3), ylim=(-0.05, 1.05), xticks=range(1, 6))
    both.legend(loc="lower left", frameon=True)
    for ax in (accuracy, both):
        ax.axhline(0.5, ls=":", color="0.4")
    who = f"{results.people} people"
    if results.simulated:
        who = f"SIMULATED: {results.people} made-up people, no human answer in it"
    fig.suptitle(who, fontsize=11)
    out = (
        f"Left out: {'; '.join(results.left_out)}." if results.left_out else "Nobody was left out."
    )
    return fig, (
        f"{who}. Bars are 95 % intervals over people; the dotted line is guessing; small marks are "
        f"one person each, moved a little so that they do not cover each other. {out}"
    )
