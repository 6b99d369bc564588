"""Lesson 06: counterexamples, twins, and what a person sees in the experiment."""

import numpy as np
import torch

from helpers.lesson.plots import COLOURS, SIGNED, as_array, canvas, figure, legend, look

UP, DOWN = COLOURS[1], COLOURS[0]  # vermilion rises, blue falls; every use says it in words too
DIALS = ("A", "B", "C")


def _chord_and_slope(curve, x: float) -> tuple[float, float]:
    """What a complete attribution of one feature sees, curve(x) - curve(0), and the slope at x."""
    y = curve(torch.tensor([0.0, x, x + 1e-3])).tolist()
    return y[1] - y[0], (y[2] - y[1]) / 1e-3


def _arrow(ax, start, end, slope: float) -> None:
    style = {"arrowstyle": "->", "color": UP if slope > 0 else DOWN, "lw": 2.5}
    ax.annotate("", end, start, arrowprops=style)


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
    ax.set(xlabel="feature", ylabel="output")
    ax.set_title(f"attribution {chord:+.2f} · slope {slope:+.0f}".replace("+0.00", "0"))


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
    ax.set(xlabel="feature 1", ylabel="feature 2", aspect="equal")
    title = f"each: attribution {case.attribution:+.2f} · slope {case.slope:+.0f}"
    ax.set_title(title.replace("+0.00", "0"))


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
    right.set(ylim=(-4.3, 3.3), title="same sign" if values[0] * values[1] > 0 else "signs differ")
    return fig, (
        "Square: the baseline. Dot: your point. Dashed: the chord, which is the attribution. "
        "Arrow: a small step up."
    )


@figure
def twins(functions: dict, x, background, text: str):
    """{name: f} of one network at x (1, d), along feature 1; the background's values as ticks."""
    fig, ax = canvas(height=3.2)
    z = torch.linspace(0, 2.2, 241, device=x.device)
    points = x.repeat(241, 1, 1)  # (241, 1, d)
    points[:, 0, 0] = z
    style = zip((UP, DOWN, "0.35"), ("-", "--", ":"), strict=True)
    for (name, f), (colour, line) in zip(functions.items(), style, strict=True):
        ax.plot(as_array(z), as_array(f(points)[:, 0]), line, color=colour, label=name)
    ticks = as_array(background[:, 0, 0])
    ax.plot(ticks, np.full(len(ticks), -6.2), "|", color=COLOURS[2], ms=14, label="background")
    ax.axvline(x[0, 0].item(), color="black", lw=1, label="the applicant")
    ax.set(xlabel="feature 1", ylabel="output", ylim=(-6.5, 6.5))
    legend(fig)
    return fig


@figure
def effects(panels: dict, text: str):
    """{title: (attributions, falls after removal)}: each part a dot, its colour says whether the
    signs agree."""
    fig, axes = canvas(1, len(panels), height=3.4, squeeze=False)
    for ax, (title, pair) in zip(axes[0], panels.items(), strict=True):
        score, fall = map(as_array, pair)
        wide, high = np.quantile(np.abs(score), 0.98), np.quantile(np.abs(fall), 0.98)
        agree = (score > 0) == (fall > 0)
        for kind, place, name in ((agree, 2, "signs agree"), (~agree, 1, "signs differ")):
            style = {"color": COLOURS[place], "marker": "o^"[place == 1], "label": name}
            ax.plot(score[kind], fall[kind], ls="", alpha=0.5, markersize=3, **style)
        ax.axhline(0, color="black", lw=0.8)
        ax.axvline(0, color="black", lw=0.8)
        ax.set(xlim=(-wide, wide), ylim=(-high, high), title=title, xlabel="attribution")
    axes[0, 0].set_ylabel("fall of the output when removed")
    legend(fig, markerscale=2)
    return fig


# ---------------------------------------------------------------- the experiment


@figure
def question(content: tuple):
    """What a person sees of one network: the dials, and what the condition adds."""
    item, condition = content
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
        steps, changes = zip((0, 0), *item.tries, strict=True)
        high = 1.15 * max(0.3, *map(abs, changes))
        right.plot(steps, changes, "o", color=COLOURS[2], markersize=8)
        right.axhline(0, color="black", lw=0.8)
        right.set(xlim=(-0.03, 1.03), ylim=(-high, high), title="three steps that were tried")
        right.set(xlabel="step of A", ylabel="change of the output")
        return fig, f"{shown}, with three steps of A that were tried."
    right.set_axis_off()
    right.text(0.5, 0.5, "nothing more is shown", ha="center", va="center", color="0.4")
    return fig, f"{shown}."


@figure
def verdict(results, table: dict):
    """A judged class: accuracy on smooth and rough networks, and against rated helpfulness."""
    fig, (left, right) = canvas(1, 2, height=3.6, sharey=True)
    for i, (condition, row) in enumerate(table.items()):
        for kind, hollow in (("smooth", False), ("rough", True)):
            (mean, *ends), (liked, *range_) = row[kind], row[f"{kind} liked"]
            at, style = i + 0.12 * (2 * hollow - 1), look(i, hollow=hollow)
            for ax, across, band in ((left, at, [at, at]), (right, liked, range_)):
                ax.plot([across, across], ends, color=COLOURS[i], lw=1.5)
                ax.plot(band, [mean, mean], color=COLOURS[i], lw=1.5)
                name = f"{condition}, {kind}" if ax is left else None
                ax.plot(across, mean, **style, ls="", markersize=9, label=name)
    left.set_xticks(range(len(table)), table)
    left.set(ylabel="share of right answers", ylim=(-0.03, 1.03), xlim=(-0.5, len(table) - 0.5))
    right.set(xlabel="rated helpfulness, 1 to 5", xlim=(0.8, 5.2), xticks=range(1, 6))
    for ax in (left, right):
        ax.axhline(0.5, ls=":", color="0.4")
    legend(fig)
    who = f"{results.people} people"
    if results.simulated:
        who = f"SIMULATED: {results.people} made-up people, no human answer in it"
    fig.suptitle(who, fontsize=11)
    out = f" Left out: {'; '.join(results.left_out)}." if results.left_out else ""
    return fig, (
        f"{who}. Filled marks: smooth networks; hollow ones: rough. Bars: 95 % intervals over "
        f"people. Dotted: guessing.{out}"
    )
