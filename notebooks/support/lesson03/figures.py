"""Lesson 03: maps without signs, a check's curves, a table, and what a drawing depends on."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from torch import Tensor

from helpers.datasets import photos
from helpers.lesson.plots import as_picture, curves, maps
from helpers.nets.digits import LAYERS
from notebooks.support.lesson03.scores import PAPER


def red_maps(rows: Mapping, *, caption: str, **look) -> Figure:
    """Pictures and maps without signs, from white (nothing) to red; what else `maps` takes."""
    return maps(rows, caption=caption, signed=False, cmap="Reds", bar=False, **look)


def two_stores(found: Mapping) -> Figure:
    """One digit's maps in two ways of storing it. found: {method: ((B, ...), (B, ...))}."""
    two = {name: [m[1] for m in pair] for name, pair in found.items()}
    rows = {
        "0 … 1": {name: pair[0] for name, pair in two.items()},
        "−1 … 0": {name: pair[1] for name, pair in two.items()},
    }
    return maps(rows, signed=True, caption="One digit and one function, stored in two ways.")


def photographs(pictures: Mapping, slopes: Mapping, size: float) -> Figure:
    """Photographs as the network takes them, each beside its map; size: of the change, 0 … 1."""
    panels = {}
    for name, x in pictures.items():
        panels |= {name: photos.as_image(x), f"gradient, {name}": slopes[name]}
    caption = f"A cat, the same changed by {size:.1%} of the range, and with as much noise."
    return red_maps(panels, cols=2, caption=caption)


def falling(digit: Tensor, cascades: Mapping) -> Figure:
    """A digit, and its maps as layers fall. cascades: {method: (1 + layers, 1, H, W)}."""
    rows = {"digit": {"": as_picture(1 - digit)}}
    for name, (trained, top, *_, every) in cascades.items():
        rows[name] = {"trained": trained, "softmax random": top, "all random": every}
    return red_maps(rows, caption="One digit: maps without signs, as layers become random.")


def falls(rho: Mapping, ssim: Mapping) -> Figure:
    """Likeness to the trained map; rho, ssim: {method: (networks, layers)}, rho without signs."""
    here = {"here, ρ without signs": rho, "here, SSIM": ssim}
    caption = "Likeness to the trained map as layers fall (mean and range of five networks)."
    panels = {"the paper, ρ without signs": PAPER} | here
    return curves(LAYERS, panels, ylabel="likeness", caption=caption)


def on_the_thing(energy: Mapping, area: float) -> Figure:
    """{cascade: (1 + layers,)}: relevance in the box; area: the box's share of the picture."""
    steps = ["trained", "head", "block 3", "block 2", "block 1", "block 0", "input"]
    caption = "Share of relevance on the thing; dotted: the thing's share of the picture."
    return curves(steps, energy, ylabel="share on the thing", chance=area, caption=caption)


def write(table: Mapping[str, Tensor], names: Sequence[str]) -> None:
    """Prints {measure: (methods, scenes)}: the mean over the scenes, a line a method."""
    print(f"{'':20}", *(f"{measure:>11}" for measure in table))
    for i, name in enumerate(names):
        print(f"{name:20}", *(f"{values[i].mean():11.3f}" for values in table.values()))


def drawing(steps: Sequence[Tensor], slopes: Mapping, box) -> Figure:
    """Signed maps of the ink in the framed region, and below how the drawing comes about.

    steps: (1, 1, 16, 16) each; ink is 1, paper -1. slopes: each scaled by its largest value.
    """
    ink = [as_picture((1 - step.detach().clamp(-1, 1)) / 2) for step in steps]
    table = {
        "map": {f"by the {name}": m for name, m in slopes.items()},
        "drawing": {f"step {k}": ink[k] for k in (0, len(ink) // 2, len(ink) - 1)},
    }
    look = {"signed": True, "top": 1.0, "bar": ("less ink", "0", "more ink")}
    caption = "A drawing, and what the ink in the frame depends on."
    return maps(table, boxes=box, caption=caption, **look)
