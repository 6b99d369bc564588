"""Colours by computation: what people see with each kind of colour vision, and how far apart.

After Machado, Oliveira and Fernandes (2009). Distances are CIE Lab's (1976): 2 or 3 is just seen
side by side, 10 is plain. Where lines or bars are told apart, a marker, a hatch or a word stands
beside the colour as well: the last tests look for that.
"""

from itertools import combinations

import matplotlib as mpl
import numpy as np
import pytest
import torch
from skimage.color import rgb2lab

from helpers.lesson import plots
from helpers.lesson.widgets import view
from notebooks.support.lesson04 import attention_editor as weigh
from notebooks.support.lesson07 import figures as lesson07
from notebooks.support.lesson08 import puzzle_widget as rule

# linear RGB as seen without one kind of cone (severity 1)
SIGHT = {
    "all three cones": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
every_sight = pytest.mark.parametrize("sight", SIGHT)


def seen(rgb, sight: str) -> np.ndarray:
    """Colours (n, 3) in 0..1 as this eye sees them, in CIE Lab (n, 3)."""
    rgb = np.asarray(rgb, dtype=float)
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    there = np.clip(linear @ np.asarray(SIGHT[sight]).T, 0, 1)
    return rgb2lab(
        np.where(there <= 0.0031308, 12.92 * there, 1.055 * there ** (1 / 2.4) - 0.055)[None]
    )[0]


def palette(sight):
    return seen([mpl.colors.to_rgb(colour) for colour in plots.COLOURS], sight)


def scale(name, sight, steps=65):
    return seen(mpl.colormaps[name](np.linspace(0, 1, steps))[:, :3], sight)


def apart(a, b, sight: str) -> float:
    """How far apart two colours are for this eye, their lightness left out."""
    return np.linalg.norm(np.subtract(*seen([a, b], sight))[1:])


@pytest.mark.parametrize("sight", list(SIGHT)[1:])
def test_the_simulation_leaves_grey_grey_and_confuses_what_it_should(sight):
    grey = seen([[g, g, g] for g in (0.1, 0.5, 0.9)], sight)
    assert np.abs(grey[:, 1:]).max() < 0.5
    red, green, blue = (0.8, 0.3, 0.3), (0.45, 0.45, 0.2), (0.2, 0.4, 0.9)
    if sight != "tritanopia":  # red and green draw together
        assert apart(red, green, sight) < 0.5 * apart(red, green, "all three cones")
        assert apart(red, blue, sight) > 40


@every_sight
def test_every_two_colours_of_the_palette_are_told_apart_and_stand_out_from_white(sight):
    colours = palette(sight)
    pairs = zip(combinations(colours, 2), combinations(plots.COLOURS, 2), strict=True)
    nearest = min((np.linalg.norm(a - b), names) for (a, b), names in pairs)
    assert nearest[0] > 12, nearest
    first = [np.linalg.norm(a - b) for a, b in combinations(colours[:3], 2)]
    assert min(first) > 15  # most figures have two or three
    assert min(np.linalg.norm(colour - [100, 0, 0]) for colour in colours) > 30


def test_a_palette_that_is_not_blind_safe_would_be_noticed():
    red_and_green = [mpl.colors.to_rgb(colour) for colour in ("#b5651d", "#5a8f00")]
    assert np.linalg.norm(np.subtract(*seen(red_and_green, "all three cones"))) > 40
    assert np.linalg.norm(np.subtract(*seen(red_and_green, "deuteranopia"))) < 20
    jet = np.diff(scale("jet", "all three cones")[:, 0])
    assert jet.min() < -1 < 1 < jet.max()  # neither up nor down


@every_sight
@pytest.mark.parametrize("name", [plots.UNSIGNED, "Reds", "Blues", "Greys", "hot"])
def test_scales_of_amounts_get_steadily_lighter_or_darker(name, sight):
    steps = np.diff(scale(name, sight)[:, 0])
    assert (steps > -0.3).all() or (steps < 0.3).all()
    assert abs(steps.sum()) > 50


@every_sight
def test_the_signed_scale_is_lightest_at_zero_and_its_ends_differ(sight):
    lab = scale(plots.SIGNED, sight)
    steps, middle = np.diff(lab[:, 0]), len(lab) // 2
    assert (steps[: middle - 1] > -0.3).all()
    assert (steps[middle + 1 :] < 0.3).all()
    assert abs(lab[:, 0].argmax() - middle) <= 1
    for place in (0, 8, 16):  # at full, three quarters and half of the size
        assert np.linalg.norm(lab[place] - lab[-1 - place]) > 25


# ---- no information by colour alone


def test_lines_have_markers_and_bars_have_hatches():
    lines = {name: [1, 2] for name in "abcdefg"}
    fig = plots.curves([1, 2], lines, xlabel="x", ylabel="y", caption="c")
    assert len({line.get_marker() for line in fig.axes[0].lines}) == 7
    fig = plots.bars({"g": dict.fromkeys("abcd", 1.0)}, ylabel="y", caption="c")
    assert len({bar.get_hatch() for bar in fig.axes[0].patches}) == 4


def test_regions_of_lesson_07_are_marked():
    kept = torch.tensor([[0, 1], [2, 2]])
    density, ratio = torch.tensor([0.1, 1.0]), torch.tensor([0.5, 2.0])
    (ax, *_) = lesson07.phase({"a": kept}, density, ratio, "Three.").axes
    markers = {line.get_marker() for line in ax.lines if len(line.get_xdata())}
    assert len(markers) == 3


def test_the_tools_say_it_in_words_too(monkeypatch):
    shown = rule.coloured(["I am {A:running} to {B:sentient} {?:others}"])
    assert "running</b><sup>A</sup>" in shown._repr_html_()
    assert repr(shown).startswith("I am running[A] to sentient[B]")
    monkeypatch.setattr(view, "publish", lambda *_: None)
    heavy = weigh.weigh_view(["a", "b"], [0.9, 0.1], lambda weights: None).buttons[0]
    assert heavy.description == "a · 90 %"
