"""The course's look, captions, and the figures that more than one lesson draws.

`maps` pictures and maps in rows · `heat` tables · `heat_words` texts · `bars` · `curves` · `dots`
marks with intervals · `scatter` · `hist` · `violins`. Each shows the figure with its caption and
returns it. A figure of one lesson is a function under `@figure` that begins with `canvas` and
returns its Figure.
"""

from helpers.lesson.plots.charts import bars, curves, dots, draw_violin, hist, scatter, violins
from helpers.lesson.plots.core import (
    COLOURS,
    DOTS,
    MARKERS,
    PAPER,
    SIGNED,
    UNSIGNED,
    WIDTH,
    Picture,
    as_array,
    canvas,
    caption,
    figure,
    is_tensor,
    legend,
    look,
    plain_log,
    png,
    show,
)
from helpers.lesson.plots.pictures import (
    PAGE,
    as_map,
    as_picture,
    draw_map,
    draw_picture,
    draw_words,
    frame,
    heat,
    heat_words,
    maps,
    show_maps,
    write_numbers,
)

__all__ = [
    "COLOURS",
    "DOTS",
    "MARKERS",
    "PAGE",
    "PAPER",
    "Picture",
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
    "draw_map",
    "draw_picture",
    "draw_violin",
    "draw_words",
    "figure",
    "frame",
    "heat",
    "heat_words",
    "hist",
    "is_tensor",
    "legend",
    "look",
    "maps",
    "plain_log",
    "png",
    "scatter",
    "show",
    "show_maps",
    "violins",
    "write_numbers",
]
