"""The course's look, captions, and the figures that more than one lesson draws.

`maps` pictures and maps in rows · `heat` tables · `bars` · `curves` · `dots` marks with intervals ·
`scatter` · `hist` · `violins` · `heat_words` texts. Each shows the figure with its caption and
returns it. Most take one panel or several, {title: panel}; whatever else matplotlib's `Axes.set`
knows (xlim, xticks, …) can be given to all. A figure of one lesson is a function under `@figure`
that begins with `canvas` and returns its Figure.
"""

from __future__ import annotations

import functools
import inspect
import io
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence

import matplotlib as mpl
import numpy as np
from IPython import get_ipython
from IPython.display import publish_display_data
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import LogLocator, NullFormatter

# Okabe and Ito's colours, darkest first, without the yellow: told apart with every kind of colour
# vision, and on white
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")  # a second sign beside the colour
SIGNED, UNSIGNED = "RdBu_r", "viridis"  # diverging: white is zero, red speaks for, blue against
WIDTH = 8.0  # inches; at 90 dots an inch a figure fits a notebook's column
DOTS = 90  # an inch
PAGE = (
    900  # pixels: maps may be wider than other figures, so that panels of 200 fit beside each other
)
PAPER = {"marker": "D", "markerfacecolor": "white", "linestyle": "none"}  # a number from a paper

mpl.rcParams.update(
    {
        "figure.dpi": DOTS,
        "savefig.dpi": DOTS,
        "figure.facecolor": "white",
        "font.size": 10,
        "axes.titlesize": 10,
        "axes.labelsize": 10,
        "legend.fontsize": 9,
        "legend.frameon": False,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.prop_cycle": mpl.cycler(color=COLOURS),
        "axes.grid": False,
        "lines.linewidth": 1.8,
        "image.cmap": UNSIGNED,
        "image.interpolation": "nearest",
        "svg.hashsalt": "course",
    }
)


# ---------------------------------------------------------------- a figure and its caption


class Picture(Figure):
    """A figure that shows itself once: with its caption, not again as the cell's last value."""

    shown_by: str | None = None  # the request of the cell that has shown it
    exact = False  # every pixel has its place: nothing is cropped

    def _ipython_display_(self) -> None:
        if self.shown_by != _request():
            show(self)


def canvas(rows: int = 1, cols: int = 1, *, height: float = 3.0, width: float = WIDTH, **kwargs):
    """A new figure and its axes, as `plt.subplots` gives them; height and width in inches."""
    fig = Picture(figsize=(width, height), layout="constrained")
    return fig, fig.subplots(rows, cols, **kwargs)


def figure(draw: Callable) -> Callable[..., Figure]:
    """A drawing function as a figure: it is shown with its caption, and returned.

    draw: returns (Figure, caption), or the Figure alone; then its argument `caption` (or `text`)
    is the caption.
    """
    signature = inspect.signature(draw)

    @functools.wraps(draw)
    def drawn(*args, **kwargs) -> Figure:
        fig = draw(*args, **kwargs)
        if isinstance(fig, tuple):
            fig, text = fig
        else:
            given = signature.bind(*args, **kwargs).arguments
            text = given["caption"] if "caption" in given else given["text"]
        caption(fig, text)
        return fig

    return drawn


def caption(fig: Figure, text: str) -> None:
    """Show the figure with this sentence under it, which is its alternative text as well.

    Say what is to be seen, with no number that a second run would change. For a pyplot figure too;
    it is closed.
    """
    fig.caption_text = " ".join(text.split())
    show(fig)


def show(fig: Figure) -> None:
    """Publish a figure, its alternative text and caption; outside notebooks print the caption."""
    text = getattr(fig, "caption_text", "")
    if "matplotlib.pyplot" in sys.modules:  # or the inline backend would show it a second time
        sys.modules["matplotlib.pyplot"].close(fig)
    if not _request():
        print(text)
        return
    fig.shown_by = _request()
    data = {"image/png": png(fig), "text/plain": "<figure>"}
    publish_display_data(data, {"image/png": {"alt": text}})
    if text:
        publish_display_data({"text/markdown": f"*{text}*", "text/plain": text})


def png(fig: Figure) -> bytes:
    """The figure as PNG, with nothing in it that differs from run to run."""
    buffer = io.BytesIO()
    exact = getattr(fig, "exact", False)
    crop = {} if exact else {"bbox_inches": "tight", "pad_inches": 0.05}
    fig.savefig(buffer, format="png", metadata={"Software": None}, **crop)
    return buffer.getvalue()


def _request() -> str | None:
    """What identifies the running cell's execution in a notebook; None elsewhere."""
    shell = get_ipython()
    if not hasattr(shell, "kernel"):
        return None
    return shell.get_parent().get("header", {}).get("msg_id", "-")


# ---------------------------------------------------------------- parts of figures


def as_array(values) -> np.ndarray:
    """A tensor on any device, an array, or a list of them, as the array matplotlib is given."""
    if is_tensor(values):
        values = values.detach().cpu()
        return (values.float() if str(values.dtype) == "torch.bfloat16" else values).numpy()
    if isinstance(values, (list, tuple)) and any(map(is_tensor, values)):
        return np.stack([as_array(v) for v in values])
    return np.asarray(values)


def is_tensor(values) -> bool:
    """Whether this is a torch tensor; torch itself is not needed to draw."""
    return hasattr(values, "detach")


def look(place: int, *, hollow: bool = False) -> dict:
    """The colour and the marker of the series at this place, for `Axes.plot`."""
    colour = COLOURS[place % 7]
    face = "white" if hollow else colour
    return {"color": colour, "marker": MARKERS[place % 7], "markerfacecolor": face}


def legend(fig: Figure, **kwargs) -> None:
    """One legend for all axes, to the right of them, each label once; none where nothing has a
    label.
    """
    handles = {}
    for ax in fig.axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    if handles:
        fig.legend(handles.values(), handles.keys(), loc="outside right upper", **kwargs)


def plain_log(*axes: mpl.axis.Axis) -> None:
    """Ticks 0.2, 1, 30 on logarithmic axes rather than 2 × 10⁻¹."""
    for axis in axes:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(NullFormatter())


def frame(ax: Axes, box: Sequence[float]) -> None:
    """A box on a picture: left, top, right, bottom in its pixels; black and white, seen on
    anything.
    """
    left, top, right, bottom = (float(edge) - 0.5 for edge in box)
    outline = Rectangle(
        (left, top), right - left, bottom - top, fill=False, edgecolor="white", lw=1.4
    )
    outline.set_path_effects([withStroke(linewidth=3, foreground="black")])
    ax.add_patch(outline)


def write_numbers(ax: Axes, drawn, numbers: str | Callable | np.ndarray = "{:.2f}") -> None:
    """A number in each cell of an image that `imshow` returned, in black or white, whichever is
    legible.

    numbers: a format, a function from the value to the text, or the texts themselves, (rows,
    columns).
    """
    for (row, column), value in np.ndenumerate(drawn.get_array()):
        if isinstance(numbers, np.ndarray):
            text = numbers[row, column]
        else:
            text = numbers.format(value) if isinstance(numbers, str) else numbers(value)
        light = drawn.to_rgba(value)[:3] @ np.array([0.2126, 0.7152, 0.0722])
        ax.text(
            column,
            row,
            text,
            ha="center",
            va="center",
            fontsize=8,
            color="white" if light < 0.4 else "black",
        )


def _depth(table) -> int:
    return 1 + _depth(next(iter(table.values()))) if isinstance(table, Mapping) and table else 0


def _panels(table: Mapping, depth: int) -> Mapping:
    """{title: panel}; a single panel gets an empty title. depth: how many mappings lie in one
    another then.
    """
    return table if _depth(table) >= depth else {"": table}


def _row_of_axes(panels: Mapping, height: float, **kwargs) -> tuple[Figure, list[tuple]]:
    """A row of axes under their titles: (axes, title, panel) each."""
    fig, axes = canvas(1, len(panels), height=height, squeeze=False, **kwargs)
    for ax, title in zip(axes[0], panels, strict=True):
        ax.set_title(title)
    return fig, list(zip(axes[0], panels, panels.values(), strict=True))


def _places(names, colours: Mapping[str, int] | None) -> dict[str, int]:
    """The place of each series among the colours: as given, else in order of appearance."""
    order = list(dict.fromkeys(names))
    return {name: (colours or {}).get(name, i) for i, name in enumerate(order)}


def _chance(ax: Axes, chance, title: str, *, upright: bool = False) -> None:
    at = chance.get(title) if isinstance(chance, Mapping) else chance
    if at is not None:
        line = ax.axvline if upright else ax.axhline
        line(at, color="0.4", linestyle=":", linewidth=1.3, label="chance")


def _paper_in_legend(ax: Axes, paper) -> None:
    if paper:
        ax.plot([], [], **PAPER, markeredgecolor="black", label="paper")


# ---------------------------------------------------------------- pictures and maps


def as_picture(image) -> np.ndarray:
    """A picture as (H, W, 3) or (H, W) in 0..1; numbers outside that are stretched to it.

    image: (H, W, 3), (3, H, W), (1, H, W) or (1, 3, H, W), numbers or uint8, on any device; or a
    PIL image.
    """
    values = as_array(image)
    values = values.astype(np.float32) / (255 if values.dtype == np.uint8 else 1)
    values = values.reshape(values.shape[-3:]) if values.ndim > 3 else values
    if values.ndim == 3 and values.shape[0] in (1, 3):
        values = values.transpose(1, 2, 0)  # (H, W, channels)
    if values.min() < 0 or values.max() > 1:
        values = (values - values.min()) / max(np.ptp(values), 1e-12)
    return values[..., 0] if values.ndim == 3 and values.shape[2] == 1 else values


def as_map(values, signed: bool | None = None, *, top: float = 0.99) -> tuple[np.ndarray, bool]:
    """One attribution map as (H, W) in -1..1, and whether it is signed.

    values: (H, W), (C, H, W) or (1, C, H, W); channels are added (signed) or their sizes are
    (unsigned).
    signed: by default whether it goes below zero. Divided by the quantile `top` of |value|, and
    clipped.
    """
    values = as_array(values).astype(np.float32)
    signed = bool((values < 0).any()) if signed is None else signed
    channels = values.reshape(-1, *values.shape[-2:])  # (C, H, W)
    flat = channels.sum(0) if signed else np.abs(channels).sum(0)
    return np.clip(flat / max(np.quantile(np.abs(flat), top), 1e-12), -1, 1), signed


@figure
def maps(
    rows: Mapping,
    *,
    caption: str,
    signed: bool | None = None,
    top: float = 0.99,
    over=None,
    boxes=None,
    cols: int | None = None,
    cmap: str = UNSIGNED,
    bar: Sequence[str] | bool = True,
    panel: int = 200,
) -> Figure:
    """Pictures and maps in rows. Whole pixels on the screen for each of the map's, unless there are
    too many.

    rows: {title: item}, as many beside each other as fit (or `cols`), or {row's name: {title:
    item}}.
    item: a tensor is a map (H, W), (C, H, W) or (1, C, H, W), scaled by its own quantile `top` of
    |value| (see `as_map`); an array or a PIL image is a picture (wrap a picture tensor in
    `as_picture`).
    over: a picture that lies under the maps: signed ones tint it, unsigned ones light it.
    boxes: (left, top, right, bottom) in pixels for all panels, or {title: box}.
    cmap: for unsigned maps. bar: False for no colour bar, or its labels. panel: least width in
    pixels, where so many fit.
    """
    named = all(isinstance(row, Mapping) for row in rows.values())
    items = [item for row in rows.values() for item in (row.values() if named else [row])]
    first = items[0]
    size = first.shape[-2:] if is_tensor(first) else as_picture(first).shape[:2]
    left, right = (26 if named else 4), (80 if bar else 6)
    if named:
        cols = max(map(len, rows.values()))
        table = [(name, list(row.items())) for name, row in rows.items()]
    else:
        many = max(1, (PAGE - left - right) // (max(panel, size[1]) + 8))
        cols = cols or min(len(rows), many)
        flat = list(rows.items())
        table = [("", flat[i : i + cols]) for i in range(0, len(flat), cols)]
    cell = (PAGE - left - right) // cols - 8
    zoom = max(1, -(-panel // size[1]))  # screen pixels for one of the map's
    if zoom * size[1] > cell:
        zoom = cell // size[1] or cell / size[1]
    high, wide = (round(zoom * side) for side in size)

    titles = {t: textwrap.fill(t, max(8, wide // 6)) for _, row in table for t, _ in row}
    above, y = [], 0
    for r, (_, row) in enumerate(table):  # a title that stands in the row above is not repeated
        new = [titles[t] for i, (t, _) in enumerate(row) if not r or not _repeats(table, r, i)]
        above.append(14 * max((t.count("\n") + 1 for t in new if t), default=0) + 8)
        y += above[-1] + high
    page = (left + cols * (wide + 8) + right, y + 4)  # pixels
    fig = Picture(figsize=(page[0] / DOTS, page[1] / DOTS))
    fig.exact = True

    def place(x: float, y: float, width: float, height: float) -> Axes:
        return fig.add_axes(
            (x / page[0], 1 - (y + height) / page[1], width / page[0], height / page[1])
        )

    y, kinds = 0, {}
    for r, (name, row) in enumerate(table):
        y += above[r]
        for c, (title, item) in enumerate(row):
            ax = place(left + c * (wide + 8), y, wide, high)
            if is_tensor(item):
                drawn, is_signed = draw_map(ax, item, signed=signed, top=top, over=over, cmap=cmap)
                kinds |= {is_signed: drawn} if drawn else {}
            else:
                draw_picture(ax, item)
            if not r or not _repeats(table, r, c):
                ax.set_title(titles[title], fontsize=9, pad=4)
            box = boxes.get(title) if isinstance(boxes, Mapping) else boxes
            if box is not None:
                frame(ax, box)
            if c == 0:
                ax.set_ylabel(name, fontsize=9)
        y += high
    for i, (is_signed, drawn) in enumerate(kinds.items() if bar else ()):
        length = min(high, 160) if len(kinds) == 1 else high // 2 - 12
        at = above[0] + (high - length) // 2 if len(kinds) == 1 else above[0] + i * (length + 24)
        scale = fig.colorbar(drawn, cax=place(page[0] - right + 4, at, 9, length))
        ends = ["against", "0", "for"] if is_signed else ["0", "much"]
        scale.set_ticks([-1, 0, 1] if is_signed else [0, 1], labels=ends if bar is True else bar)
    return fig


def _repeats(table: list, row: int, column: int) -> bool:
    above = table[row - 1][1]
    return column < len(above) and above[column][0] == table[row][1][column][0]


def draw_map(ax: Axes, values, *, signed=None, top: float = 0.99, over=None, cmap: str = UNSIGNED):
    """One map on an axis, alone or over a picture, as `maps` draws it. Returns the image and
    whether it is signed.
    """
    flat, signed = as_map(values, signed, top=top)
    look = {"cmap": SIGNED if signed else cmap, "vmin": -1 if signed else 0, "vmax": 1}
    if over is None:
        drawn = ax.imshow(flat, **look)
    elif signed:
        picture = as_picture(over)
        grey = picture.mean(2) if picture.ndim == 3 else picture
        ax.imshow(grey, cmap="gray", vmin=-0.6, vmax=1.2)
        drawn = ax.imshow(flat, alpha=0.62, **look)
    else:
        picture = as_picture(over)
        light = 0.15 + 0.85 * flat
        lit = picture * (light[..., None] if picture.ndim == 3 else light)
        ax.imshow(lit, cmap="gray", vmin=0, vmax=1)
        drawn = None  # a picture, which no colour bar explains
    _panel_frame(ax)
    return drawn, signed


def draw_picture(ax: Axes, image) -> None:
    """One picture on an axis, with a thin frame, or a white one could not be seen."""
    ax.imshow(as_picture(image), cmap="gray", vmin=0, vmax=1, interpolation="auto")
    _panel_frame(ax)


def _panel_frame(ax: Axes) -> None:
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set(visible=True, color="0.7", linewidth=0.6)


def show_maps(image, attributions: Mapping, *, caption: str, **kwargs) -> Figure:
    """A photograph and, beside it, attribution maps; whatever `maps` takes."""
    return maps({"input": as_picture(image), **attributions}, caption=caption, **kwargs)


@figure
def heat(
    panels,
    rows: Sequence[str] | Mapping[str, Sequence[str]],
    columns: Sequence[str],
    *,
    caption: str,
    label: str = "",
    numbers: str | Callable | np.ndarray | None = "{:.2f}",
    signed: bool | None = None,
    limits: tuple[float, float] | None = None,
    cmap: str = "Blues",
    bar: bool = True,
    height: float | None = None,
    **axes,
) -> Figure:
    """A table as a heat map with its numbers in legible colours, or several beside each other on
    one scale.

    panels: (rows, columns) or {title: (rows, columns)}. rows: the rows' names, or {title: names}.
    numbers: a format, a function from value to text, texts (rows, columns), or None for none.
    signed: a diverging scale round zero; by default where a value is below zero. label: of the
    colour bar.
    """
    panels = {t: as_array(v) for t, v in _panels(panels, 1).items()}
    values = np.concatenate([table.ravel() for table in panels.values()])
    signed = bool(np.nanmin(values) < 0) if signed is None else signed
    largest = max(float(np.nanmax(np.abs(values))), 1e-12)
    low, high = limits or ((-largest, largest) if signed else (0, largest))
    names = rows if isinstance(rows, Mapping) else dict.fromkeys(panels, rows)
    tallest = max(map(len, names.values()))
    fig, cells = _row_of_axes(panels, height or 1.2 + 0.28 * tallest)
    turned = sum(len(str(c)) + 2 for c in columns) * len(panels) > 80
    for i, (ax, title, table) in enumerate(cells):
        colours = SIGNED if signed else cmap
        drawn = ax.imshow(table, cmap=colours, vmin=low, vmax=high, aspect="auto")
        ax.set_xticks(range(len(columns)), columns)
        if turned:
            ax.tick_params(axis="x", rotation=30)
            for text in ax.get_xticklabels():
                text.set(ha="right", rotation_mode="anchor")
        shared = i and not isinstance(rows, Mapping)
        ax.set_yticks(range(len(table)), [""] * len(table) if shared else names[title])
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        ax.set(**axes)
        if numbers is not None:
            write_numbers(ax, drawn, numbers)
    if bar:
        fig.colorbar(drawn, ax=[ax for ax, _, _ in cells], label=label, shrink=0.8, aspect=18)
    return fig


# ---------------------------------------------------------------- numbers


@figure
def bars(
    values: Mapping[str, float | Mapping[str, float]],
    *,
    caption: str,
    ylabel: str = "",
    intervals: Mapping | None = None,
    paper: Mapping | None = None,
    chance: float | None = None,
    numbers: str = "",
    flat: bool = False,
    stacked: bool = False,
    colours: Mapping[str, int] | None = None,
    height: float | None = None,
    **axes,
) -> Figure:
    """Bars, in groups where a value is a mapping; hollow diamonds are the paper's, a dashed line is
    chance.

    values: {group: number} or {group: {series: number}}. intervals, paper: keyed alike, with (low,
    high) and numbers. numbers: a format for what stands at the bars' ends. flat: bars lie, their
    names are read more easily. stacked: a group's series on top of one another. colours: {series:
    its place in COLOURS}.
    """
    groups = {g: v if isinstance(v, Mapping) else {"": v} for g, v in values.items()}
    places = _places((name for group in groups.values() for name in group), colours)
    fig, ax = canvas(height=height or (1.0 + 0.33 * len(groups) if flat else 3.2))
    step = 0.8 / (1 if stacked else len(places))
    base = dict.fromkeys(groups, 0.0)
    for i, (name, place) in enumerate(places.items()):
        names = [g for g, group in groups.items() if name in group]
        shift = 0 if stacked else (i - (len(places) - 1) / 2) * step
        at = [list(groups).index(g) + shift for g in names]
        sizes = [float(groups[g][name]) for g in names]
        style = {"color": COLOURS[place % 7], "hatch": ("", "//", "..", "xx")[i % 4]}
        style |= {"edgecolor": "white", "label": name or None}
        start = [base[g] for g in names]
        if flat:
            drawn = ax.barh(at, sizes, step * 0.92, left=start, **style)
        else:
            drawn = ax.bar(at, sizes, step * 0.92, bottom=start, **style)
        if numbers:
            ax.bar_label(drawn, [numbers.format(s) for s in sizes], fontsize=8, padding=2)
        for x, g, size in zip(at, names, sizes, strict=True):
            base[g] += size if stacked else 0
            if (interval := _entry(intervals, g, name)) is not None:
                ax.plot(*_turned(flat, [x, x], interval), color="black", linewidth=1.3)
            if (number := _entry(paper, g, name)) is not None:
                ax.plot(*_turned(flat, [x], [number]), **PAPER, markeredgecolor="black")
    _paper_in_legend(ax, paper)
    _chance(ax, chance, "", upright=flat)
    spare = max(0, 3 - len(groups)) / 2
    if flat:
        ax.axvline(0, color="black", linewidth=0.8)
        ax.set(ylim=(len(groups) - 0.5, -0.5), xlabel=ylabel)
        ax.set_yticks(range(len(groups)), list(groups))
    else:
        ax.axhline(0, color="black", linewidth=0.8)
        ax.set(xlim=(-0.5 - spare, len(groups) - 0.5 + spare), ylabel=ylabel)
        turned = max(map(len, groups)) * len(groups) > 70
        ax.set_xticks(range(len(groups)), list(groups), rotation=20 if turned else 0)
    ax.set(**axes)
    legend(fig)
    return fig


@figure
def curves(
    x: Sequence,
    lines: Mapping,
    *,
    caption: str,
    paper: Mapping[str, tuple] | None = None,
    chance: float | Mapping[str, float] | None = None,
    log: str = "",
    colours: Mapping[str, int] | None = None,
    height: float = 3.4,
    **axes,
) -> Figure:
    """Curves over x, one panel or several with the same axes; hollow diamonds are the paper's
    numbers.

    x: (n,) numbers, or names. lines: {name: (n,)} or {name: (runs, n)}, drawn as the mean and the
    range of the runs; or {title: lines}. paper: {name: (x, y)}, in the colour of that curve.
    chance: a dotted line, or {title: one}. log: "x", "y" or "xy". colours: {name: its place in
    COLOURS}.
    """
    panels = _panels(lines, 2)
    places = _places((name for panel in panels.values() for name in panel), colours)
    fig, cells = _row_of_axes(panels, height, sharey=True)
    ticks = None if np.issubdtype(np.asarray(x).dtype, np.number) else list(x)
    x = range(len(x)) if ticks else as_array(x)
    for ax, title, panel in cells:
        for name, runs in panel.items():
            runs = np.atleast_2d(as_array(runs)).astype(float)  # (runs, n)
            style = look(places[name])
            line = ("-", "--", "-.")[places[name] // 7 % 3]
            every = max(1, len(x) // 12)
            ax.plot(x, runs.mean(0), line, **style, markersize=5, label=name, markevery=every)
            if len(runs) > 1:
                colour = style["color"]
                ax.fill_between(x, runs.min(0), runs.max(0), color=colour, alpha=0.18, linewidth=0)
            if paper and name in paper:
                ax.plot(*paper[name], **PAPER, markeredgecolor=style["color"])
        _chance(ax, chance, title)
        if ticks:
            ax.set_xticks(x, ticks)
            if sum(map(len, ticks)) * len(panels) > 70:
                ax.tick_params(axis="x", rotation=30)
        _finish_axes(ax, log, axes)
    _paper_in_legend(cells[-1][0], paper)
    for ax, _, _ in cells[1:]:
        ax.set_ylabel("")
    legend(fig)
    return fig


@figure
def dots(
    panels: Mapping,
    *,
    caption: str,
    paper: Mapping | None = None,
    chance: float | Mapping[str, float] | None = None,
    hollow: Sequence[str] = (),
    span: bool = False,
    upright: bool = False,
    log: bool = False,
    colours: Mapping[str, int] | None = None,
    height: float | None = None,
    **axes,
) -> Figure:
    """A line of marks for each row, one panel or several beside each other with the same rows.

    panels: {row: value} or {row: {series: value}} for one panel, {title: {row: {series: value}}}
    for several; a series "" has no name. value: a number; a tuple (mean, low, high), drawn with its
    interval; or many numbers, drawn as small dots with their median.
    paper: keyed like `panels`, its numbers as hollow diamonds. chance: a dotted line, or {title:
    one}.
    hollow: rows or series drawn hollow. span: a grey line from a row's first series to its last.
    upright: rows stand along x, values go up. log: a logarithmic axis of values. xlabel, ylabel and
    so on are as the axes are drawn; {title: text} gives each panel its own.
    """
    paper = (paper if _depth(panels) == 3 else {"": paper}) if paper else {}
    table = {
        title: {r: v if isinstance(v, Mapping) else {"": v} for r, v in panel.items()}
        for title, panel in _panels(panels, 3).items()
    }
    rows = list(dict.fromkeys(row for panel in table.values() for row in panel))
    series = [name for panel in table.values() for row in panel.values() for name in row]
    places = _places(series, colours)
    tall = height or (3.0 if upright else 1.0 + 0.33 * len(rows))
    fig, cells = _row_of_axes(table, tall, sharey=not upright)
    for ax, title, panel in cells:
        for row, values in panel.items():
            values = {name: _value(v) for name, v in values.items()}
            apart = 0.32 if any(np.ndim(v) for v in values.values()) and len(values) > 1 else 0
            if span:
                ends = [v[0] if np.ndim(v) else v for v in values.values()]
                at = [rows.index(row)] * len(ends)
                ax.plot(*_turned(not upright, at, ends), color="0.78", lw=1.5, zorder=0)
            for i, (name, value) in enumerate(values.items()):
                at = rows.index(row) + apart * (i / max(1, len(values) - 1) - 0.5) * bool(apart)
                place = places[name] if name else (colours or {}).get(row, 0)
                style = look(place, hollow=row in hollow or name in hollow)
                style["label"] = name or None
                _marks(ax, at, value, style, upright)
                number = _entry(paper.get(title), row, name)
                if number is not None:
                    beside = at + 0.33 if isinstance(value, np.ndarray) else at
                    point = _turned(not upright, [beside], [number])
                    ax.plot(*point, **PAPER, markeredgecolor="black", zorder=4)
        _chance(ax, chance, title, upright=not upright)
        settings = {k: v.get(title) if isinstance(v, Mapping) else v for k, v in axes.items()}
        ends = (-0.5, len(rows) - 0.5)
        if upright:
            ax.set_xticks(range(len(rows)), rows)
            if sum(map(len, rows)) * len(table) > 60:
                ax.tick_params(axis="x", rotation=25)
            settings = {"xlim": ends} | settings
        else:
            ax.set_yticks(range(len(rows)), rows)
            settings = {"ylim": ends[::-1]} | settings
        _finish_axes(ax, ("y" if upright else "x") if log else "", settings)
    _paper_in_legend(cells[-1][0], paper)
    legend(fig)
    return fig


def _value(value) -> float | tuple | np.ndarray:
    """A number, (mean, low, high), or a sample (n,)."""
    if isinstance(value, tuple) and len(value) == 3:
        return tuple(float(v) for v in value)
    value = as_array(value)
    return value.astype(float) if value.ndim else float(value)


def _marks(ax: Axes, at: float, value, style: dict, upright: bool) -> None:
    """One value of `dots` at its place."""
    if isinstance(value, np.ndarray):
        jitter = np.random.default_rng(0).uniform(-0.18, 0.18, len(value))
        dots = _turned(not upright, at + jitter, value)
        ax.plot(*dots, **style | {"linestyle": "none", "markersize": 4, "alpha": 0.6})
        if len(value):
            median = _turned(not upright, [at - 0.28, at + 0.28], [np.median(value)] * 2)
            ax.plot(*median, color="black", lw=2.5, label="median")
        return
    if isinstance(value, tuple):
        ax.plot(*_turned(not upright, [at, at], value[1:]), color=style["color"], lw=2)
        value = value[0]
    ax.plot(*_turned(not upright, [at], [value]), **style, linestyle="none", markersize=7)


@figure
def scatter(
    panels: Mapping,
    *,
    caption: str,
    lines: Sequence[str] = (),
    names: Sequence[tuple] = (),
    diagonal: bool = False,
    zero: bool = False,
    colours: Mapping[str, int] | None = None,
    size: float = 5,
    alpha: float = 0.7,
    height: float = 3.4,
    **axes,
) -> Figure:
    """Points in the plane, in one panel or several.

    panels: {series: (x, y)} or {title: {series: (x, y)}}. lines: the series joined by a line.
    names: (x, y, text) each, or {title: them}, written beside their points. diagonal, zero: dotted
    lines x = y, and x = 0 and y = 0. size, alpha: of the marks.
    """
    panels = _panels(panels, 2)
    places = _places((name for panel in panels.values() for name in panel), colours)
    fig, cells = _row_of_axes(panels, height)
    for ax, title, panel in cells:
        for name, (x, y) in panel.items():
            style = look(places[name]) | {"label": name or None, "markersize": size}
            style |= {"linestyle": "-"} if name in lines else {"linestyle": "none", "alpha": alpha}
            ax.plot(as_array(x), as_array(y), **style)
        for x, y, text in names.get(title, ()) if isinstance(names, Mapping) else names:
            beside = {"xytext": (5, -9), "textcoords": "offset points", "fontsize": 8, "zorder": 6}
            halo = [withStroke(linewidth=2, foreground="white")]
            ax.annotate(text, (float(x), float(y)), **beside, path_effects=halo)
        if diagonal:
            ax.axline((0, 0), slope=1, color="0.4", linestyle=":", linewidth=1.3)
        if zero:
            ax.axhline(0, color="0.4", linestyle=":", linewidth=1.3)
            ax.axvline(0, color="0.4", linestyle=":", linewidth=1.3)
        _finish_axes(ax, "", axes)
    for ax, _, _ in cells[1:]:
        ax.set_ylabel("")
    legend(fig)
    return fig


@figure
def hist(
    panels: Mapping,
    bins,
    *,
    caption: str,
    medians: bool = False,
    paper: Mapping | None = None,
    at: Mapping[str, float] | None = None,
    shade: tuple[float, float] | None = None,
    density: bool = False,
    colours: Mapping[str, int] | None = None,
    height: float = 2.9,
    **axes,
) -> Figure:
    """Histograms in one panel or several: one series as bars, more as steps that do not hide each
    other.

    panels: {series: values} or {title: {series: values}}. bins: as `np.histogram` takes them.
    medians: a line in the series' colour. paper: {series: number} or {title: it}, hollow diamonds
    on the axis. at: {label: x}, black dashed lines. shade: a range marked grey. density: areas are
    1.
    """
    panels = _panels(panels, 2)
    paper = _panels(paper, 2) if paper else {}
    places = _places((name for panel in panels.values() for name in panel), colours)
    fig, cells = _row_of_axes(panels, height, sharey=not density)
    for ax, title, panel in cells:
        for name, values in panel.items():
            place, values = places[name], as_array(values)
            line = {"color": COLOURS[place % 7], "linestyle": ("-", "--", "-.")[place % 3]}
            if len(panel) == 1:
                style = {"color": line["color"], "edgecolor": "white"}
            else:
                style = line | {"histtype": "step", "linewidth": 1.8}
            ax.hist(values, bins, density=density, label=name or None, **style)
            if medians and len(values):
                ax.axvline(np.median(values), **line, linewidth=1.2)
            number = _entry(paper, title, name)
            if number is not None:
                edge = {"markeredgecolor": line["color"], "clip_on": False, "zorder": 5}
                ax.plot(number, 0, **PAPER, **edge)
        for label, x in (at or {}).items():
            ax.axvline(float(x), color="black", linestyle="--", linewidth=1.2, label=label)
        if shade:
            ax.axvspan(*shade, color="0.93", zorder=0)
        _finish_axes(ax, "", axes)
    for ax, _, _ in cells[1:]:
        ax.set_ylabel("")
    _paper_in_legend(cells[-1][0], paper)
    legend(fig)
    return fig


@figure
def violins(
    samples: Mapping[str, Sequence[float]],
    *,
    caption: str,
    chance: float | None = None,
    **axes,
) -> Figure:
    """The distribution of each sample: its shape, the quartiles (bar) and the median; points where
    few.
    """
    fig, ax = canvas(height=3.2)
    for i, values in enumerate(samples.values()):
        draw_violin(ax, i, values, COLOURS[i % 7])
    _chance(ax, chance, "")
    names = [f"{name}\nn = {len(values)}" for name, values in samples.items()]
    ax.set_xticks(range(len(samples)), names)
    ax.set(**axes)
    legend(fig)
    return fig


def draw_violin(
    ax: Axes, at: float, values, colour: str, *, width: float = 0.8, flat: bool = False
) -> None:
    """One violin of `violins` on an axis; flat: it lies along x, at this y."""
    values = as_array(values).astype(float)
    if len(values) > 2 and np.ptp(values) > 0:
        way = "horizontal" if flat else "vertical"
        style = {"positions": [at], "widths": width, "showextrema": False, "orientation": way}
        ax.violinplot([values], **style)["bodies"][0].set(facecolor=colour, alpha=0.45)
    if len(values) <= 40:
        places = at + np.linspace(-0.1, 0.1, len(values)) * width
        ax.plot(*_turned(flat, places, values), ".", color=colour, markersize=5)
    if len(values):
        low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
        quartiles = _turned(flat, [at, at], [low, high])
        ax.plot(*quartiles, color="black", linewidth=3, solid_capstyle="butt")
        median = _turned(flat, [at], [middle])
        ax.plot(*median, "o", markerfacecolor="white", markeredgecolor="black", markersize=5)


@figure
def heat_words(
    words: Sequence[str],
    weights,
    *,
    caption: str,
    title: str = "",
    width: int = 88,
    cols: int = 1,
) -> Figure:
    """A text with each word shaded by the size of its weight, relative to the largest; or the same
    text several times.

    weights: (T,), or {title: (T,)}, each text relative to its own largest, `cols` beside each
    other. Positive weights are red; negative ones are blue, framed with dashes and marked −: no
    sign rests on colour alone. width: characters in a line.
    """
    texts = weights if isinstance(weights, Mapping) else {title: weights}
    rows = -(-len(texts) // cols)
    width //= cols
    lines = len(_word_lines(words, width))
    tall = 0.34 * lines + 0.15 + 0.25 * max(name.count("\n") + 1 if name else 0 for name in texts)
    fig, axes = canvas(rows, cols, height=rows * tall, squeeze=False)
    for ax, (name, values) in zip(axes.flat, texts.items(), strict=False):
        draw_words(ax, words, values, width)
        ax.set_title(name, loc="left")
    for ax in axes.flat[len(texts) :]:
        ax.set_axis_off()
    return fig


def draw_words(ax: Axes, words: Sequence[str], weights, width: int) -> None:
    """One text of `heat_words` on an axis, in lines of `width` characters."""
    weights = as_array(weights).astype(float)
    shades = weights / max(np.abs(weights).max(initial=0), 1e-12)
    signs = ["−" if shade <= -0.02 else "" for shade in shades]
    labels = [sign + word for sign, word in zip(signs, words, strict=True)]
    lines = _word_lines(labels, width)
    ax.set(xlim=(-1, width + 1), ylim=(len(lines) - 0.4, -0.6))
    ax.set_axis_off()
    for row, line in enumerate(lines):
        for column, number in line:
            shade, against = shades[number], bool(signs[number])
            style = {"facecolor": mpl.colormaps[SIGNED](0.5 + shade / 2), "pad": 1.6}
            style |= {"edgecolor": "black" if against else "none", "linestyle": "--"}
            colour = "white" if abs(shade) > 0.75 else "black"
            font = {"family": "monospace", "fontsize": 9.4, "va": "center", "color": colour}
            ax.text(column, row, labels[number], bbox=style | {"linewidth": 0.8}, **font)


def _word_lines(words: Sequence[str], width: int) -> list[list[tuple[int, int]]]:
    """Where each word stands in lines of `width` characters: (column, number of the word)."""
    lines, column = [[]], 0
    for number, word in enumerate(words):
        if column + len(word) > width and lines[-1]:
            lines.append([])
            column = 0
        lines[-1].append((column, number))
        column += len(word) + 2
    return lines


# ---------------------------------------------------------------- what the figures above share


def _turned(turn: bool, along, across) -> tuple:
    return (across, along) if turn else (along, across)


def _entry(table: Mapping | None, group: str, name: str):
    entry = (table or {}).get(group)
    return entry.get(name) if isinstance(entry, Mapping) else entry


def _finish_axes(ax: Axes, log: str, settings: Mapping) -> None:
    scales = {f"{way}scale": "log" for way in log}
    ax.set(**scales | dict(settings))
    plain_log(*(getattr(ax, f"{way}axis") for way in log if f"{way}ticks" not in settings))
