"""The course's look, captions, and the figures that more than one lesson draws.

`maps` pictures and maps in rows · `heat` tables · `heat_words` texts · `bars` · `curves` · `dots`
marks with intervals · `scatter` · `hist`. Each shows the figure with its caption and
returns it. A figure of one lesson is a function under `@figure` that begins with `canvas` and
returns its Figure.
"""

from helpers.lesson.plots.charts import bars, curves, dots, hist, scatter
from helpers.lesson.plots.core import (
    COLOURS,
    PAPER,
    SIGNED,
    UNSIGNED,
    as_array,
    canvas,
    caption,
    figure,
    legend,
    look,
    png,
    printable,
)
from helpers.lesson.plots.pictures import (
    as_map,
    as_picture,
    draw_words,
    heat,
    heat_words,
    maps,
    write_numbers,
)

__all__ = ["bars", "curves", "dots", "hist", "scatter"]
__all__ += ["COLOURS", "PAPER", "SIGNED", "UNSIGNED", "as_array", "canvas", "caption", "figure"]
__all__ += ["legend", "look", "png", "printable"]
__all__ += ["as_map", "as_picture", "draw_words", "heat", "heat_words", "maps", "write_numbers"]
