"""The course's look, a figure with its caption, and small parts of figures."""

import functools
import inspect
import io
import sys
import unicodedata
from collections.abc import Callable

import matplotlib as mpl
import numpy as np
from IPython import get_ipython
from IPython.display import publish_display_data
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from helpers.ground.errors import CourseError, checked, first_line

# Okabe and Ito's colours, darkest first, without the yellow: told apart with every kind of colour
# vision, and on white
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")  # a second sign beside the colour
SIGNED, UNSIGNED = "RdBu_r", "viridis"  # diverging: white is zero, red speaks for, blue against
WIDTH = 8.0  # inches; at 90 dots an inch a figure fits a notebook's column
DOTS = 90  # an inch
PAPER = {"marker": "D", "markerfacecolor": "white", "linestyle": "none"}  # a number from a paper

mpl.rc("figure", dpi=DOTS, facecolor="white")
mpl.rc("savefig", dpi=DOTS)
mpl.rc("font", size=10)
mpl.rc("axes", titlesize=10, labelsize=10, prop_cycle=mpl.cycler(color=COLOURS), grid=False)
mpl.rc("axes.spines", top=False, right=False)
mpl.rc("legend", fontsize=9, frameon=False)
mpl.rc("lines", linewidth=1.8)
mpl.rc("image", cmap=UNSIGNED, interpolation="nearest")
mpl.rc("svg", hashsalt="course")


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

    draw: returns (Figure, caption), or the Figure; then its argument `caption` or `text` is it.
    """
    signature = inspect.signature(draw)

    @functools.wraps(draw)
    def drawn(*args, **kwargs) -> Figure:
        try:
            made = draw(*args, **kwargs)
            given = signature.bind(*args, **kwargs).arguments
            own = given.get("caption", given.get("text"))
            fig, text = made if isinstance(made, tuple) else (made, own)
            caption(fig, text)
        except CourseError:
            raise
        except Exception as error:  # matplotlib and NumPy have many names for it
            what = f"{draw.__name__}() cannot draw this"
            raise CourseError(f"{what} ({first_line(error)}): look at what it is given.") from error
        return fig

    return drawn


@checked
def caption(fig: Figure, text: str) -> None:
    """Show the figure with this sentence under it, which is its alternative text as well."""
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


def printable(text: str, family: str = "sans-serif") -> str:
    """A text as matplotlib prints it literally: no formulas, and no letters its font lacks.

    A `$` is escaped, what is invisible goes, and U+6771 stands for a letter that would be a box.
    """
    file = font_manager.findfont(font_manager.FontProperties(family=[family]))
    font = font_manager.get_font(file)
    lines = []
    for line in str(text).split("\n"):
        shown = []
        for letter in " ".join(line.split()):
            if unicodedata.category(letter) not in ("Cc", "Cf", "Cs"):
                drawn = font.get_char_index(ord(letter))
                shown.append(letter if drawn else f" U+{ord(letter):04X} ")
        lines.append(" ".join("".join(shown).replace("$", r"\$").split()))
    return "\n".join(lines)


def look(place: int, *, hollow: bool = False) -> dict:
    """The colour and the marker of the series at this place, for `Axes.plot`."""
    colour = COLOURS[place % 7]
    face = "white" if hollow else colour
    return {"color": colour, "marker": MARKERS[place % 7], "markerfacecolor": face}


def legend(fig: Figure, **kwargs) -> None:
    """One legend for all axes, to the right of them, each label once."""
    handles = {}
    for ax in fig.axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    if handles:
        names = [printable(label) for label in handles]
        fig.legend(handles.values(), names, loc="outside right upper", **kwargs)


def plain_log(axis: mpl.axis.Axis) -> None:
    """Ticks 0.2, 1, 30 on a logarithmic axis rather than 2 × 10⁻¹."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())
