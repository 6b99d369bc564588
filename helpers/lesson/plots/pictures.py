"""Pictures, maps, tables as heat maps, and texts with their weights."""

import textwrap
from collections.abc import Callable, Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from helpers.ground.boxes import boxes_on
from helpers.ground.errors import CourseError, checked
from helpers.lesson.plots import core
from helpers.lesson.plots.core import SIGNED, as_array, canvas, figure, is_tensor, printable

PAGE = 940  # pixels: wider than other figures; four maps of 224 pixels fit beside each other
GAP = 8  # pixels between panels


# ---------------------------------------------------------------- pictures and maps
def as_picture(image) -> np.ndarray:
    """A picture as (H, W, 3) or (H, W) in 0..1; numbers outside that are stretched to it.

    image: (H, W, 3), (3, H, W), (1, H, W) or (1, 3, H, W), on any device; or a PIL image.
    """
    values = as_array(image)
    values = _finite(values) / np.float32(255 if values.dtype == np.uint8 else 1)
    values = values.reshape(values.shape[-3:]) if values.ndim > 3 else values
    if values.ndim == 3 and values.shape[0] in (1, 3):
        values = values.transpose(1, 2, 0)  # (H, W, channels)
    if values.min() < 0 or values.max() > 1:
        values = (values - values.min()) / max(np.ptp(values), 1e-12)
    return values[..., 0] if values.ndim == 3 and values.shape[2] == 1 else values


def _finite(values: np.ndarray) -> np.ndarray:
    """Values in float32; CourseError where some are no numbers: one nan would blank all."""
    values = values.astype(np.float32)
    if not np.isfinite(values).all():
        raise CourseError("A map or picture here holds NaN or infinite values.")
    return values


def as_map(values, signed: bool | None = None, *, top: float = 0.99) -> tuple[np.ndarray, bool]:
    """One attribution map as (H, W) in -1..1, and whether it is signed.

    values: (H, W), (C, H, W) or (1, C, H, W); channels are added (signed) or their sizes are.
    signed: by default whether it goes below zero. Divided by the quantile `top` of |value|.
    """
    values = _finite(as_array(values))
    signed = bool((values < 0).any()) if signed is None else signed
    channels = values.reshape(-1, *values.shape[-2:])  # (C, H, W)
    flat = channels.sum(0) if signed else np.abs(channels).sum(0)
    return np.clip(flat / max(np.quantile(np.abs(flat), top), 1e-12), -1, 1), signed


@figure
def maps(rows: Mapping, *, caption, boxes=None, cols=None, bar=True, panel=200, **look) -> Figure:
    """Pictures and maps in rows, each pixel of a map a square of whole pixels where it fits.

    rows: {title: item}, as many beside each other as fit (or `cols`), or {row's name: {title:
    item}}; a title that repeats the one above is left out. item: a tensor is a map, an array or a
    PIL image a picture (`as_picture` makes one of a tensor). boxes: (left, top, right, bottom) in
    pixels for all panels, or {title: box}. bar: False for no colour bar, or its labels. panel: the
    least width in screen pixels, where so many fit. look: `signed`, `top`, `over` and `cmap`, as
    `draw_map` takes them.
    """
    named = all(isinstance(row, Mapping) for row in rows.values())
    first = next(iter(rows.values()))
    first = next(iter(first.values())) if named else first
    tall, wide = first.shape[-2:] if is_tensor(first) else as_picture(first).shape[:2]
    left, right = (26 if named else 4), (80 if bar else 6)
    space = PAGE - left - right
    zoom = max(1, -(-panel // wide))  # screen pixels for one of the map's
    if named:
        lines = [(name, list(row.items())) for name, row in rows.items()]
        cols = max(map(len, rows.values()))
    else:
        cols = cols or min(len(rows), max(1, space // (zoom * wide + GAP)))
        items = list(rows.items())
        lines = [("", items[i : i + cols]) for i in range(0, len(items), cols)]
    cell = space // cols - GAP
    if zoom * wide > cell:
        zoom = cell // wide or cell / wide
    tall, wide = round(zoom * tall), round(zoom * wide)

    titles = []  # a line each, "" where the title above is the same
    for number, (_, items) in enumerate(lines):
        above = [title for title, _ in lines[number - 1][1]] if number else []
        names = [title for title, _ in items]
        new = [name if above[i : i + 1] != [name] else "" for i, name in enumerate(names)]
        titles.append([textwrap.fill(printable(name), max(8, wide // 6)) for name in new])
    heads = [14 * max(t.count("\n") + 1 if t else 0 for t in line) + GAP for line in titles]
    width = left + cols * (wide + GAP) + right
    height = sum(heads) + len(lines) * tall + 4
    fig = core.Picture(figsize=(width / core.DOTS, height / core.DOTS))
    fig.exact = True

    def axes_at(x: int, y: int, w: int, h: int) -> Axes:  # pixels from the upper left
        return fig.add_axes((x / width, 1 - (y + h) / height, w / width, h / height))

    y, bars = 0, {}
    for (name, items), line, head in zip(lines, titles, heads, strict=True):
        y += head
        for i, (title, item) in enumerate(items):
            ax = axes_at(left + i * (wide + GAP), y, wide, tall)
            if is_tensor(item):
                drawn, signed = draw_map(ax, item, **look)
                bars[signed] = drawn
            else:
                ax.imshow(as_picture(item), cmap="gray", vmin=0, vmax=1, interpolation="auto")
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set(visible=True, color="0.7", linewidth=0.6)  # or white had no edge
            ax.set_title(line[i], fontsize=9, pad=4)
            ax.set_ylabel(name if i == 0 else "", fontsize=9)
            box = boxes.get(title) if isinstance(boxes, Mapping) else boxes
            if box is not None:
                frame(ax, box)
        y += tall
    length = min(tall, 160) // len(bars) - 12 if bars else 0
    for i, (signed, drawn) in enumerate(bars.items() if bar else ()):
        at = heads[0] + 6 + i * (length + 24)
        scale = fig.colorbar(drawn, cax=axes_at(width - right + 4, at, 9, length))
        if look.get("over") is not None:  # zero on the bar looks as it does on the map
            scale.ax.set_facecolor(str(_faded(as_picture(look["over"])).mean()))
        ends = ["against", "0", "for"] if signed else ["0", "much"]
        scale.set_ticks([-1, 0, 1] if signed else [0, 1], labels=ends if bar is True else bar)
    return fig


def draw_map(ax: Axes, values, *, signed=None, top=0.99, over=None, cmap=core.UNSIGNED):
    """One map on an axis, as `maps` draws it. Returns the image for a colour bar, and `signed`.

    signed, top: as `as_map` takes them. over: a picture that it tints, in grey. cmap: of unsigned
    maps.
    """
    flat, signed = as_map(values, signed, top=top)
    colours = {"cmap": SIGNED if signed else cmap, "vmin": -1 if signed else 0, "vmax": 1}
    if over is not None:
        picture = as_picture(over)
        ax.imshow(_faded(picture), cmap="gray", vmin=0, vmax=1)
    drawn = ax.imshow(flat, alpha=None if over is None else 0.62, **colours)
    return drawn, signed


def _faded(picture: np.ndarray) -> np.ndarray:
    """A picture in light greys, (H, W) in 1/3..8/9, for colours to lie on."""
    grey = picture.mean(2) if picture.ndim == 3 else picture
    return (grey + 0.6) / 1.8


def frame(ax: Axes, box: Sequence[float]) -> None:
    """A box on a picture: left, top, right, bottom in its pixels; black and white."""
    ((left, top, right, bottom),) = boxes_on(box, *ax.images[0].get_size()) - 0.5
    style = {"fill": False, "edgecolor": "white", "lw": 1.4}
    style["path_effects"] = [withStroke(linewidth=3, foreground="black")]
    ax.add_patch(Rectangle((left, top), right - left, bottom - top, **style))


# ---------------------------------------------------------------- tables
@figure
def heat(panels, rows, columns, *, caption, label="", numbers="{:.2f}", cmap="Blues", **axes):
    """A table with its numbers in legible colours, or several beside each other on one scale.

    panels: (rows, columns) or {title: (rows, columns)}. rows, columns: their names.
    numbers: as `write_numbers` takes them, or None. A value below zero: a diverging scale round it.
    label: of the colour bar. axes: what `Axes.set` takes.
    """
    panels = panels if isinstance(panels, Mapping) else {"": panels}
    tables = {title: as_array(table) for title, table in panels.items()}
    rows, columns = ([printable(str(name)) for name in names] for names in (rows, columns))
    values = np.concatenate([table.ravel() for table in tables.values()])
    signed = bool(np.nanmin(values) < 0)
    largest = max(float(np.nanmax(np.abs(values))), 1e-12)
    tall = 1.2 + 0.28 * len(rows)
    fig, cells = canvas(1, len(tables), height=tall, squeeze=False)
    turned = sum(len(str(c)) + 2 for c in columns) * len(tables) > 80
    for ax, (title, table) in zip(cells[0], tables.items(), strict=True):
        scale = {"cmap": SIGNED if signed else cmap, "vmin": -largest if signed else 0}
        drawn = ax.imshow(table, **scale, vmax=largest, aspect="auto")
        ax.set_xticks(range(len(columns)), columns)
        for text in ax.get_xticklabels() if turned else ():
            text.set(rotation=30, ha="right", rotation_mode="anchor")
        ax.set_yticks(range(len(rows)), rows if ax is cells[0, 0] else [""] * len(rows))
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        ax.set(**{"title": printable(title)} | axes)
        if numbers is not None:
            write_numbers(ax, drawn, numbers)
    fig.colorbar(drawn, ax=list(cells[0]), label=label, shrink=0.8, aspect=18)
    return fig


def write_numbers(ax: Axes, drawn, numbers: str | Callable = "{:.2f}") -> None:
    """A number, by its format or a function, in black or white in each cell of `imshow`'s image."""
    for (row, column), value in np.ndenumerate(drawn.get_array()):
        text = numbers.format(value) if isinstance(numbers, str) else numbers(value)
        light = drawn.to_rgba(value)[:3] @ np.array([0.2126, 0.7152, 0.0722])
        ink = "white" if light < 0.4 else "black"
        ax.text(column, row, text, ha="center", va="center", fontsize=8, color=ink)


# ---------------------------------------------------------------- texts
@figure
@checked
def heat_words(words: Sequence[str], weights, *, caption, width=88, cols=1) -> Figure:
    """A text, or several times the same, each word shaded by its weight relative to the largest.

    weights: (T,), or {title: (T,)}, `cols` beside each other. Positive weights are red; negative
    ones are blue, framed with dashes and marked −. width: characters in a line.
    """
    texts = weights if isinstance(weights, Mapping) else {"": weights}
    rows = -(-len(texts) // cols)
    width //= cols
    lines = len(_word_lines(words, width))
    tall = 0.34 * lines + 0.15 + 0.25 * max(name.count("\n") + 1 if name else 0 for name in texts)
    fig, axes = canvas(rows, cols, height=rows * tall, squeeze=False)
    for ax, (name, values) in zip(axes.flat, texts.items(), strict=False):
        draw_words(ax, words, values, width)
        ax.set_title(printable(name), loc="left")
    for ax in axes.flat[len(texts) :]:
        ax.set_axis_off()
    return fig


def draw_words(ax: Axes, words: Sequence[str], weights, width: int) -> None:
    """One text of `heat_words` on an axis, in lines of `width` characters."""
    weights = as_array(weights).astype(float)
    shades = weights / max(np.abs(weights).max(initial=0), 1e-12)
    signs = ["−" if shade <= -0.02 else "" for shade in shades]
    labels = [sign + printable(word, "monospace") for sign, word in zip(signs, words, strict=True)]
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
