"""Figures of numbers: bars, curves, marks with intervals, points, histograms.

All take, beside their own arguments, `colours` ({series: its place in COLOURS}, so that one thing
keeps its colour throughout a lesson), `chance` (a dotted line: a number, or {title: number}),
`zero` (if True, a dotted line at 0), `height` in inches, and whatever `Axes.set` knows: xlabel,
ylim, xticks, ..., one value for all panels or {title: value}.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from helpers.lesson.plots import core
from helpers.lesson.plots.core import COLOURS, PAPER, as_array, canvas, figure, look, printable

HATCHES = ("", "//", "..", "xx")
LINES = ("-", "--", "-.")
DOTTED = {"color": "0.4", "linestyle": ":", "linewidth": 1.3}


class Chart:
    """A row of panels, {title: panel}, and what all charts do before and after drawing in them."""

    def __init__(self, panels: Mapping, series, *, height=3.4, colours=None, share=False, **axes):
        self.panels = panels
        known = colours or {}
        self.place = {name: known.get(name, i) for i, name in enumerate(dict.fromkeys(series))}
        self.fig, cells = canvas(1, len(panels), height=height, sharey=share, squeeze=False)
        self.cells, self.axes = list(cells[0]), axes

    def __iter__(self) -> Iterator[tuple[Axes, str, Mapping]]:
        return zip(self.cells, self.panels, self.panels.values(), strict=True)

    def finish(self, *, paper=None, log: str = "", upright: bool = True) -> Figure:
        """Chance, scales, titles, settings and one legend; upright: chance is a value of y."""
        scales = {f"{way}scale": "log" for way in log}
        for ax, title, _ in self:
            given = self.axes.items()
            settings = {k: v.get(title) if isinstance(v, Mapping) else v for k, v in given}
            if (at := settings.pop("chance", None)) is not None:
                (ax.axhline if upright else ax.axvline)(at, **DOTTED, label="chance")
            if settings.pop("zero", False):
                (ax.axhline if upright else ax.axvline)(0, **DOTTED)
            ax.set(**{"title": printable(title)} | scales | settings)
            for way in log:
                if f"{way}ticks" not in settings:
                    core.plain_log(getattr(ax, f"{way}axis"))
            if ax is not self.cells[0] and not isinstance(self.axes.get("ylabel"), Mapping):
                ax.set_ylabel("")
        if paper:
            self.cells[-1].plot([], [], **PAPER, markeredgecolor="black", label="paper")
        core.legend(self.fig)
        return self.fig


def _depth(table) -> int:
    return 1 + _depth(next(iter(table.values()))) if isinstance(table, Mapping) and table else 0


def _panels(table: Mapping, depth: int) -> Mapping:
    """{title: panel}. depth: of the mappings in one another then; one panel has no title."""
    return table if _depth(table) >= depth else {"": table}


def _series(panels: Mapping) -> list[str]:
    return [name for panel in panels.values() for name in panel]


def _turned(turn: bool, along, across) -> tuple:
    return (across, along) if turn else (along, across)


def _turn_long(ax: Axes, names: Sequence[str], panels: int = 1, angle: int = 25) -> None:
    if sum(map(len, names)) * panels > 60:
        ax.tick_params(axis="x", rotation=angle)


@figure
def bars(values: Mapping, *, caption, height=3.2, **options) -> Figure:
    """Bars, {group: number} or {group: {series: number}}."""
    groups = {g: v if isinstance(v, Mapping) else {"": v} for g, v in values.items()}
    names = list(groups)
    spare = max(0, 3 - len(names)) / 2  # few bars are no wider than those of three
    limits = {"xlim": (-0.5 - spare, len(names) - 0.5 + spare)}
    chart = Chart({"": groups}, _series(groups), height=height, **limits | options)
    (ax,) = chart.cells
    step = 0.8 / len(chart.place)
    for i, (series, place) in enumerate(chart.place.items()):
        here = [group for group in names if series in groups[group]]
        shift = (i - (len(chart.place) - 1) / 2) * step
        at = [names.index(group) + shift for group in here]
        sizes = [float(as_array(groups[group][series])) for group in here]
        style = {"color": COLOURS[place % 7], "hatch": HATCHES[i % 4], "edgecolor": "white"}
        ax.bar(at, sizes, step * 0.92, label=series or None, **style)
    ax.axhline(0, color="black", linewidth=0.8)
    turned = max(map(len, names)) * len(names) > 70
    ax.set_xticks(range(len(names)), map(printable, names), rotation=20 if turned else 0)
    return chart.finish()


@figure
def curves(x: Sequence, lines: Mapping, *, caption, log="", **options) -> Figure:
    """Curves over x, in one panel or several with the same axes.

    x: (n,) numbers, or names. lines: {name: (n,)} or {name: (runs, n)}, drawn as the mean and the
    range of the runs; or {title: lines}. log: "x", "y" or "xy".
    """
    panels = _panels(lines, 2)
    chart = Chart(panels, _series(panels), share=True, **options)
    names = [] if np.issubdtype(as_array(x).dtype, np.number) else list(x)
    x = np.arange(len(x)) if names else as_array(x)
    for ax, _, panel in chart:
        for name, runs in panel.items():
            runs = np.atleast_2d(as_array(runs)).astype(float)  # (runs, n)
            style = look(chart.place[name]) | {"markersize": 5, "label": name}
            style |= {"linestyle": LINES[chart.place[name] // 7 % 3]}
            ax.plot(x, runs.mean(0), **style, markevery=max(1, len(x) // 12))
            if len(runs) > 1:
                shade = {"color": style["color"], "alpha": 0.18, "linewidth": 0}
                ax.fill_between(x, runs.min(0), runs.max(0), **shade)
        if names:
            ax.set_xticks(x, map(printable, names))
            _turn_long(ax, names, len(panels), 30)
    return chart.finish(log=log)


@figure
def dots(
    panels, *, caption, paper=None, hollow=(), span=False, upright=False, log=False, **options
) -> Figure:
    """A line of marks for each row, in one panel or several with the same rows.

    panels: {row: value} or {row: {series: value}} for one panel, {title: {row: {series: value}}}
    for several; a series "" has no name. value: a number; a tuple (mean, low, high), drawn with its
    interval; or many numbers, drawn as small dots with their median. paper: keyed like `panels`,
    hollow diamonds. hollow: rows or series drawn hollow. span: a grey line from a row's first
    series to its last. upright: rows stand along x and values go up. log: of the values.
    """
    several = _depth(panels) == 3
    paper = (paper if several else {"": paper}) if paper else {}
    table = {
        title: {r: v if isinstance(v, Mapping) else {"": v} for r, v in panel.items()}
        for title, panel in (panels if several else {"": panels}).items()
    }
    rows = list(dict.fromkeys(_series(table)))
    ends = (-0.5, len(rows) - 0.5)
    limits = {"xlim": ends} if upright else {"ylim": ends[::-1]}
    limits["height"] = 3.0 if upright else 1.0 + 0.33 * len(rows)
    series = [name for panel in table.values() for name in _series(panel)]
    chart = Chart(table, series, share=not upright, **limits | options)
    known = options.get("colours") or {}
    flat = not upright
    for ax, title, panel in chart:
        for row, values in panel.items():
            at = rows.index(row)
            values = {name: _value(value) for name, value in values.items()}
            apart = 0.32 if len(values) > 1 and any(map(np.ndim, values.values())) else 0
            if span:
                middles = [value[0] if np.ndim(value) else value for value in values.values()]
                line = _turned(flat, [at] * len(middles), middles)
                ax.plot(*line, color="0.78", lw=1.5, zorder=0)
            for i, (name, value) in enumerate(values.items()):
                place = at + apart * (i / (len(values) - 1) - 0.5) if apart else at
                colour = chart.place[name] if name else known.get(row, 0)
                style = look(colour, hollow=row in hollow or name in hollow)
                _marks(ax, place, value, style | {"label": name or None}, flat)
                number = paper.get(title, {}).get(row)
                number = number.get(name) if isinstance(number, Mapping) else number
                if number is not None:
                    beside = place + 0.33 if isinstance(value, np.ndarray) else place
                    point = _turned(flat, [beside], [number])
                    ax.plot(*point, **PAPER, markeredgecolor="black", zorder=4)
        if upright:
            ax.set_xticks(range(len(rows)), map(printable, rows))
            _turn_long(ax, rows, len(table))
        else:
            ax.set_yticks(range(len(rows)), map(printable, rows))
    axis = ("y" if upright else "x") if log else ""
    return chart.finish(paper=paper, log=axis, upright=upright)


def _value(value) -> float | tuple | np.ndarray:
    """A number, (mean, low, high), or a sample (n,)."""
    if isinstance(value, tuple) and len(value) == 3:
        return tuple(float(v) for v in value)
    value = as_array(value)
    return value.astype(float) if value.ndim else float(value)


def _marks(ax: Axes, at: float, value, style: dict, flat: bool) -> None:
    """One value of `dots` at its place."""
    if isinstance(value, np.ndarray):
        jitter = np.random.default_rng(0).uniform(-0.18, 0.18, len(value))
        small = style | {"linestyle": "none", "markersize": 4, "alpha": 0.6}
        ax.plot(*_turned(flat, at + jitter, value), **small)
        if len(value):
            median = _turned(flat, [at - 0.28, at + 0.28], [np.median(value)] * 2)
            ax.plot(*median, color="black", lw=2.5, label="median")
        return
    if isinstance(value, tuple):
        ax.plot(*_turned(flat, [at, at], value[1:]), color=style["color"], lw=2)
        value = value[0]
    ax.plot(*_turned(flat, [at], [value]), **style, linestyle="none", markersize=7)


@figure
def scatter(panels, *, caption, lines=(), size=5, **options) -> Figure:
    """Points in the plane, in one panel or several.

    panels: {series: (x, y)} or {title: {series: (x, y)}}. lines: the series joined by a line.
    """
    panels = _panels(panels, 2)
    chart = Chart(panels, _series(panels), **options)
    for ax, _, panel in chart:
        for name, (x, y) in panel.items():
            style = look(chart.place[name]) | {"label": name or None, "markersize": size}
            joined = {"linestyle": "-"} if name in lines else {"linestyle": "none", "alpha": 0.7}
            ax.plot(as_array(x), as_array(y), **style | joined)
    return chart.finish()


@figure
def hist(panels, bins, *, caption, medians=False, density=False, **options) -> Figure:
    """Histograms: one series as bars, more as steps, which do not hide each other.

    panels: {series: values}, or these by title. bins: as `np.histogram` takes them. medians: lines.
    """
    panels = _panels(panels, 2)
    chart = Chart(panels, _series(panels), share=not density, **{"height": 2.9} | options)
    for ax, _, panel in chart:
        for name, values in panel.items():
            place, values = chart.place[name], as_array(values)
            line = {"color": COLOURS[place % 7], "linestyle": LINES[place % 3]}
            style = line | {"histtype": "step", "linewidth": 1.8}
            if len(panel) == 1:
                style = {"color": line["color"], "edgecolor": "white"}
            ax.hist(values, bins, density=density, label=name or None, **style)
            if medians and len(values):
                ax.axvline(np.median(values), **line, linewidth=1.2)
    return chart.finish()
