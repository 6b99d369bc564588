"""The course's look, captions, and the figures that more than one lesson draws.

`maps` pictures and maps in rows · `heat` tables · `heat_words` texts · `bars` · `curves` · `dots`
marks with intervals · `scatter` · `hist` · `violins`. Each shows the figure with its caption and
returns it. A figure of one lesson is a function under `@figure` that begins with `canvas` and
returns its Figure.
"""

from helpers.lesson.plots.charts import bars, curves, dots, hist, scatter, violins
from helpers.lesson.plots.core import (
    COLOURS,
    MARKERS,
    PAPER,
    SIGNED,
    UNSIGNED,
    WIDTH,
    as_array,
    canvas,
    caption,
    figure,
    legend,
    look,
    plain_log,
    png,
    printable,
    show,
)
from helpers.lesson.plots.pictures import (
    as_map,
    as_picture,
    draw_words,
    heat,
    heat_words,
    maps,
    show_maps,
    write_numbers,
)

__all__ = [
    "COLOURS",
    "MARKERS",
    "PAPER",
    "SIGNED",
    "UNSIGNED",
    "WIDTH",
    "as_array",
    "as_map",
    "as_picture",
    "bars",
    "canvas",
    "caption",
    "curves",
    "dots",
    "draw_words",
    "figure",
    "heat",
    "heat_words",
    "hist",
    "legend",
    "look",
    "maps",
    "plain_log",
    "png",
    "printable",
    "scatter",
    "show",
    "show_maps",
    "violins",
    "write_numbers",
]
