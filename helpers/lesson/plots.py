"""The house style, captions, and the figures that more than one lesson draws. Each returns the Figure it shows."""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

# Okabe and Ito's colours, darkest first, without the yellow: told apart with every kind of colour vision, and on white
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")  # a second sign beside the colour
SIGNED, UNSIGNED = "RdBu_r", "viridis"  # diverging: white is zero, red speaks for, blue against
WIDTH = 8.0  # inches; at 90 dots an inch a figure fits a notebook's column


def style() -> None:
    """Apply the course's look to all figures, pyplot's included. `setup()` calls it."""
    mpl.rcParams.update(
        {
            "figure.dpi": 90,
            "savefig.dpi": 90,
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


class Picture(Figure):
    """A figure that shows itself once: at `caption`, and not again as the value of the cell's last line."""

    shown_by: str | None = None  # the request of the cell that has shown it

    def _ipython_display_(self) -> None:
        if self.shown_by != _request():
            show(self)


def canvas(rows: int = 1, cols: int = 1, *, height: float = 3.0, width: float = WIDTH, **kwargs):
    """A new figure and its axes, as `plt.subplots` gives them, in inches; finish it with `caption(fig, text)`."""
    fig = Picture(figsize=(width, height), layout="constrained")
    return fig, fig.subplots(rows, cols, **kwargs)


def caption(fig: Figure, text: str) -> None:
    """Show the figure with this sentence under it, which is its alternative text as well.

    Say what is to be seen, with no number that a second run would change. For a pyplot figure too; it is closed.
    """
    fig.caption_text = " ".join(text.split())
    show(fig)


def show(fig: Figure) -> None:
    """Publish a figure as a PNG with its alternative text, then its caption; outside notebooks only the caption is printed."""
    text = getattr(fig, "caption_text", "")
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close(
            fig
        )  # or the inline backend would show it a second time
    if not _request():
        print(text)
        return
    from IPython.display import publish_display_data

    fig.shown_by = _request()
    publish_display_data(
        {"image/png": png(fig), "text/plain": "<figure>"}, {"image/png": {"alt": text}}
    )
    if text:
        publish_display_data({"text/markdown": f"*{text}*", "text/plain": text})


def png(fig: Figure) -> bytes:
    """The figure as PNG, with nothing in it that differs from run to run."""
    fig.savefig(
        buffer := io.BytesIO(),
        format="png",
        metadata={"Software": None},
        bbox_inches="tight",
        pad_inches=0.05,
    )
    return buffer.getvalue()


def _request() -> str | None:
    """What identifies the running cell's execution in a notebook; None elsewhere."""
    from IPython import get_ipython

    shell = get_ipython()
    return (
        shell.get_parent().get("header", {}).get("msg_id", "-")
        if hasattr(shell, "kernel")
        else None
    )


# ---------------------------------------------------------------- pictures and maps


def show_maps(
    image,
    maps: Mapping[str, torch.Tensor],
    *,
    signed: bool | None = None,
    cols: int | None = None,
    caption: str,
) -> Figure:
    """A photograph and, beside it, attribution maps, each divided by its own 99th percentile of |value|.

    image: (H, W, 3), (3, H, W) or (1, 3, H, W), numbers or uint8. maps: (H, W), (C, H, W) or (1, C, H, W); channels are
    added (signed) or their sizes are (unsigned). signed: by default decided for each map by whether it goes below zero.
    """
    cols = cols or min(len(maps) + 1, 5)
    rows = -(-(len(maps) + 1) // cols)
    fig, axes = canvas(rows, cols, height=rows * ((WIDTH - 0.9) / cols + 0.25), squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    axes.flat[0].imshow(as_picture(image))
    axes.flat[0].set_title("input")
    drawn = {}
    for ax, (name, values) in zip(axes.flat[1:], maps.items(), strict=False):
        flat, is_signed = as_map(values, signed)
        drawn[is_signed] = ax.imshow(
            flat, cmap=SIGNED if is_signed else UNSIGNED, vmin=-1 if is_signed else 0, vmax=1
        )
        ax.set_title(name)
    for is_signed, mappable in drawn.items():
        bar = fig.colorbar(mappable, ax=list(axes[:, -1]), shrink=0.7, aspect=18, pad=0.03)
        bar.set_ticks(
            [-1, 0, 1] if is_signed else [0, 1],
            labels=["against", "0", "for"] if is_signed else ["0", "much"],
        )
    _finish(fig, caption)
    return fig


def as_picture(image) -> np.ndarray:
    """Any of the layouts above as (H, W, 3) or (H, W) in 0..1; numbers outside that are stretched to it."""
    values = torch.as_tensor(image).detach().cpu()
    values = values.float() / 255 if values.dtype == torch.uint8 else values.float()
    values = values.reshape(values.shape[-3:]) if values.ndim > 3 else values
    if values.ndim == 3 and values.shape[0] in (1, 3):
        values = values.permute(1, 2, 0)  # (H, W, 3)
    if values.min() < 0 or values.max() > 1:
        values = (values - values.min()) / (values.max() - values.min()).clamp_min(1e-12)
    return values.squeeze(-1).numpy() if values.ndim == 3 else values.numpy()


def as_map(values: torch.Tensor, signed: bool | None = None) -> tuple[np.ndarray, bool]:
    """One attribution map as (H, W), scaled to its 99th percentile of |value| and clipped, and whether it is signed."""
    values = torch.as_tensor(values).detach().float().cpu()
    signed = bool((values < 0).any()) if signed is None else signed
    flat = values.reshape(-1, *values.shape[-2:])
    flat = flat.sum(0) if signed else flat.abs().sum(0)
    flat = flat / flat.abs().flatten().quantile(0.99).clamp_min(1e-12)
    return flat.clamp(-1, 1).numpy(), signed


# ---------------------------------------------------------------- numbers


def bars(
    values: Mapping[str, float | Mapping[str, float]],
    *,
    ylabel: str,
    caption: str,
    intervals: Mapping | None = None,
    paper: Mapping | None = None,
    chance: float | None = None,
) -> Figure:
    """Bars, in groups where a value is itself a mapping; hollow diamonds are the paper's numbers, a dashed line is chance.

    values: {group: number} or {group: {series: number}}. intervals, paper: keyed alike, with (low, high) and numbers.
    """
    groups = {g: v if isinstance(v, Mapping) else {"": v} for g, v in values.items()}
    series = list(dict.fromkeys(name for group in groups.values() for name in group))
    fig, ax = canvas(height=3.2)
    step = 0.8 / len(series)
    for i, name in enumerate(series):
        places = [
            g + (i - (len(series) - 1) / 2) * step
            for g, group in enumerate(groups.values())
            if name in group
        ]
        names = [g for g, group in groups.items() if name in group]
        ax.bar(
            places,
            [groups[g][name] for g in names],
            step * 0.92,
            color=COLOURS[i % 7],
            label=name or None,
            hatch=("", "//", "..", "xx")[i % 4],
            edgecolor="white",
        )
        for x, g in zip(places, names, strict=True):
            if (interval := _entry(intervals, g, name)) is not None:
                ax.plot([x, x], interval, color="black", linewidth=1.3)
            if (number := _entry(paper, g, name)) is not None:
                ax.plot(
                    x,
                    number,
                    marker="D",
                    markerfacecolor="white",
                    markeredgecolor="black",
                    linestyle="none",
                )
    _paper_and_chance(ax, paper, chance)
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set_xlim(-0.5 - max(0, 3 - len(groups)) / 2, len(groups) - 0.5 + max(0, 3 - len(groups)) / 2)
    ax.set_xticks(
        range(len(groups)),
        list(groups),
        rotation=20 if max(map(len, groups)) * len(groups) > 70 else 0,
    )
    ax.set_ylabel(ylabel)
    if series != [""] or paper or chance is not None:
        ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    _finish(fig, caption)
    return fig


def curves(
    x: Sequence[float],
    lines: Mapping[str, Sequence],
    *,
    xlabel: str,
    ylabel: str,
    caption: str,
    paper: Mapping[str, tuple] | None = None,
    chance: float | None = None,
    log: str = "",
) -> Figure:
    """Curves over x with intervals; hollow diamonds are the paper's numbers.

    lines: {name: (n,)} or {name: (runs, n)}, which is drawn as the mean and the range of the runs.
    paper: {name: (x, y)}, in the colour of the curve of that name. log: "x", "y" or "xy".
    """
    fig, ax = canvas(height=3.4)
    for i, (name, values) in enumerate(lines.items()):
        values = np.atleast_2d(np.asarray(values, dtype=float))  # (runs, n)
        ax.plot(
            x,
            values.mean(0),
            color=COLOURS[i % 7],
            marker=MARKERS[i % 7],
            markersize=5,
            label=name,
            linestyle=("-", "--", "-.")[i // 7 % 3],
            markevery=max(1, len(x) // 12),
        )
        if len(values) > 1:
            ax.fill_between(
                x, values.min(0), values.max(0), color=COLOURS[i % 7], alpha=0.18, linewidth=0
            )
        if paper and name in paper:
            ax.plot(
                *paper[name],
                marker="D",
                markerfacecolor="white",
                markeredgecolor=COLOURS[i % 7],
                linestyle="none",
            )
    _paper_and_chance(ax, paper, chance)
    ax.set(
        xlabel=xlabel,
        ylabel=ylabel,
        xscale="log" if "x" in log else "linear",
        yscale="log" if "y" in log else "linear",
    )
    for axis in (ax.xaxis if "x" in log else None, ax.yaxis if "y" in log else None):
        if axis is not None:  # 0.2, 1, 30 rather than 2 × 10⁻¹
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_formatter(NullFormatter())
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    _finish(fig, caption)
    return fig


def violins(
    samples: Mapping[str, Sequence[float]],
    *,
    ylabel: str,
    caption: str,
    chance: float | None = None,
) -> Figure:
    """The distribution of each sample: its shape, the quartiles (bar) and the median (white dot); points where few."""
    fig, ax = canvas(height=3.2)
    for i, values in enumerate(samples.values()):
        values = np.asarray(values, dtype=float)
        if len(values) > 2 and np.ptp(values) > 0:
            body = ax.violinplot([values], positions=[i], widths=0.8, showextrema=False)["bodies"][
                0
            ]
            body.set(facecolor=COLOURS[i % 7], alpha=0.45)
        if len(values) <= 40:
            ax.plot(
                np.full(len(values), i) + np.linspace(-0.08, 0.08, len(values)),
                values,
                ".",
                color=COLOURS[i % 7],
                markersize=5,
            )
        low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
        ax.plot([i, i], [low, high], color="black", linewidth=3, solid_capstyle="butt")
        ax.plot(i, middle, "o", markerfacecolor="white", markeredgecolor="black", markersize=5)
    _paper_and_chance(ax, None, chance)
    ax.set_xticks(
        range(len(samples)), [f"{name}\nn = {len(values)}" for name, values in samples.items()]
    )
    ax.set_ylabel(ylabel)
    if chance is not None:
        ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    _finish(fig, caption)
    return fig


def heat_words(
    words: Sequence[str],
    weights: Sequence[float],
    *,
    caption: str,
    title: str = "",
    width: int = 88,
) -> Figure:
    """A text with each word shaded by the size of its weight, relative to the largest.

    Positive weights are red; negative ones are blue, framed with dashes and marked −: no sign rests on colour alone.
    width: characters in a line.
    """
    weights = torch.as_tensor(weights).detach().double().cpu().numpy()
    shades = weights / max(np.abs(weights).max(initial=0), 1e-12)
    lines, column = [[]], 0
    for word, shade in zip(words, shades, strict=True):
        label = f"−{word}" if shade < 0 and abs(shade) >= 0.02 else word
        if column + len(label) > width and lines[-1]:
            lines, column = [*lines, []], 0
        lines[-1].append((column, label, shade))
        column += len(label) + 2
    fig, ax = canvas(height=0.34 * len(lines) + (0.4 if title else 0.15))
    ax.set(xlim=(-1, width + 1), ylim=(len(lines) - 0.4, -0.6))
    ax.set_axis_off()
    ax.set_title(title, loc="left")
    for row, line in enumerate(lines):
        for place, label, shade in line:
            ax.text(
                place,
                row,
                label,
                family="monospace",
                fontsize=9.4,
                va="center",
                color="white" if abs(shade) > 0.75 else "black",
                bbox={
                    "facecolor": mpl.colormaps[SIGNED](0.5 + shade / 2),
                    "pad": 1.6,
                    "linewidth": 0.8,
                    "edgecolor": "black" if shade <= -0.02 else "none",
                    "linestyle": "--",
                },
            )
    _finish(fig, caption)
    return fig


def _finish(fig: Figure, text: str) -> None:
    """`caption`, under a name that the figures' own argument `caption` does not hide."""
    caption(fig, text)


def _entry(table: Mapping | None, group: str, name: str):
    entry = (table or {}).get(group)
    return entry.get(name) if isinstance(entry, Mapping) else entry


def _paper_and_chance(ax, paper, chance: float | None) -> None:
    """Legend entries for what is not measured here."""
    if paper:
        ax.plot(
            [],
            [],
            marker="D",
            markerfacecolor="white",
            markeredgecolor="black",
            linestyle="none",
            label="paper",
        )
    if chance is not None:
        ax.axhline(chance, color="0.4", linestyle=":", linewidth=1.3, label="chance")
