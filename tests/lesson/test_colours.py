"""Colours by computation: what people with each kind of colour vision see, after Machado, Oliveira and Fernandes (2009), and how far apart it is.

Distances are CIE Lab's (1976): 2 or 3 is just seen side by side, 10 is plain. Where lines or bars are told apart, a marker, a hatch or a
word stands beside the colour as well: the last tests look for that.
"""

from itertools import combinations

import matplotlib as mpl
import numpy as np
import pytest
import torch
from skimage.color import rgb2lab

from helpers.lesson import plots
from helpers.lesson import plots as core
from helpers.lesson.widgets import view
from notebooks.support.lesson04 import attention_editor as weigh
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
    return seen([mpl.colors.to_rgb(colour) for colour in core.COLOURS], sight)


def scale(name, sight, steps=65):
    return seen(mpl.colormaps[name](np.linspace(0, 1, steps))[:, :3], sight)


@pytest.mark.parametrize("sight", list(SIGHT)[1:])
def test_the_simulation_leaves_grey_grey_and_confuses_what_it_should(sight):
    grey = seen([[g, g, g] for g in (0.1, 0.5, 0.9)], sight)
    assert np.abs(grey[:, 1:]).max() < 0.5
    red, green, blue = (
        seen([colour], sight)[0] for colour in ((0.8, 0.3, 0.3), (0.45, 0.45, 0.2), (0.2, 0.4, 0.9))
    )
    normal = [
        seen([colour], "all three cones")[0] for colour in ((0.8, 0.3, 0.3), (0.45, 0.45, 0.2))
    ]
    if sight != "tritanopia":
        assert np.linalg.norm((red - green)[1:]) < 0.5 * np.linalg.norm(
            (normal[0] - normal[1])[1:]
        )  # red and green draw together
        assert np.linalg.norm(red - blue) > 40


@every_sight
def test_every_two_colours_of_the_palette_are_told_apart_and_stand_out_from_white(sight):
    colours = palette(sight)
    near = min(
        (np.linalg.norm(a - b), pair)
        for (a, b), pair in zip(
            combinations(colours, 2), combinations(core.COLOURS, 2), strict=True
        )
    )
    assert near[0] > 12, near
    first = min(
        np.linalg.norm(a - b) for a, b in combinations(colours[:3], 2)
    )  # most figures have two or three
    assert first > 15
    assert min(np.linalg.norm(colour - [100, 0, 0]) for colour in colours) > 30


def test_a_palette_that_is_not_blind_safe_would_be_noticed():
    red_and_green = [mpl.colors.to_rgb(colour) for colour in ("#b5651d", "#5a8f00")]
    assert np.linalg.norm(np.subtract(*seen(red_and_green, "all three cones"))) > 40
    assert np.linalg.norm(np.subtract(*seen(red_and_green, "deuteranopia"))) < 20
    jet = np.diff(scale("jet", "all three cones")[:, 0])
    assert jet.min() < -1 < 1 < jet.max()  # neither up nor down


@every_sight
@pytest.mark.parametrize("name", [core.UNSIGNED, "Reds", "Blues", "Greys", "hot"])
def test_scales_of_amounts_get_steadily_lighter_or_darker(name, sight):
    steps = np.diff(scale(name, sight)[:, 0])
    assert (steps > -0.3).all() or (steps < 0.3).all()
    assert abs(steps.sum()) > 50


@every_sight
def test_the_signed_scale_is_lightest_at_zero_and_its_ends_differ(sight):
    lab = scale(core.SIGNED, sight)
    steps, middle = np.diff(lab[:, 0]), len(lab) // 2
    assert (steps[: middle - 1] > -0.3).all()
    assert (steps[middle + 1 :] < 0.3).all()
    assert abs(lab[:, 0].argmax() - middle) <= 1
    for place in (0, 8, 16):  # at full, three quarters and half of the size
        assert np.linalg.norm(lab[place] - lab[-1 - place]) > 25


# ---- no information by colour alone
def test_lines_have_markers_bars_have_hatches_and_words_have_signs(capsys):
    fig = plots.curves(
        [1, 2], {name: [1, 2] for name in "abcdefg"}, xlabel="x", ylabel="y", caption="c"
    )
    assert len({line.get_marker() for line in fig.axes[0].lines}) == 7
    fig = plots.bars({"g": dict.fromkeys("abcd", 1.0)}, ylabel="y", caption="c")
    assert len({bar.get_hatch() for bar in fig.axes[0].patches}) == 4
    fig = plots.heat_words(["a", "b"], [1.0, -1.0], caption="c")
    assert [text.get_text() for text in fig.axes[0].texts] == ["a", "−b"]


def test_regions_and_levels_of_lesson_07_are_marked(capsys):
    from notebooks.support.lesson07 import figures as lesson07

    fig = lesson07.phase(
        {"a": torch.tensor([[0, 1], [2, 2]])},
        torch.tensor([0.1, 1.0]),
        torch.tensor([0.5, 2.0]),
        "Three.",
    )
    signs = [line.get_marker() for line in fig.axes[0].lines if len(line.get_xdata())]
    assert len(signs) == 4
    assert len(set(signs)) == 3
    W = torch.tensor([[[1.0, -1.0, 0.0, 0.5], [0.0, 0.0, 1.0, 0.5]]])
    bars = lesson07.norms(W, ["one"], "Bars.").axes[0].patches[:4]
    by_colour = {bar.get_facecolor(): bar.get_hatch() for bar in bars}
    assert len(by_colour) == len(set(by_colour.values())) > 1


def test_the_tools_say_it_in_words_too(monkeypatch):
    shown = rule.coloured(["I am {A:running} to {B:sentient} {?:others}"])
    assert "running</b><sup>A</sup>" in shown._repr_html_()
    assert repr(shown).startswith("I am running[A] to sentient[B]")
    monkeypatch.setattr(view, "publish", lambda *_: None)
    heavy = weigh.weigh_view(["a", "b"], [0.9, 0.1], lambda weights: None).buttons[0]
    assert heavy.description == "a · 90 %"
