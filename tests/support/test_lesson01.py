"""Lesson 01: right answers pass, each known mistake gets its own sentence, figures show what was given."""

import numpy as np
import pytest
import torch

from helpers.lesson import plots
from notebooks.support.lesson01 import checks as check

# ---- exercise: the guided backward pass through ReLU6

GUIDED = {
    "right for ReLU": lambda x, g: g * (x > 0) * (g > 0),
    "ordinary gradient": lambda x, g: g * (x > 0) * (x < 6),
    "deconvolution": lambda x, g: g.clamp(min=0),
    "not turned round": lambda x, g: (g * (x > 0) * (x < 6)).abs(),
    "forward pass": lambda x, g: x.clamp(0, 6),
    "exactly 0 and 6": lambda x, g: g.clamp(min=0) * (x >= 0) * (x <= 6),
    "keeps its shape": lambda x, g: g.sum(),
    "for x = ": lambda x, g: g * 2,
}


def test_guided_relu6():
    assert check.guided_relu6.verdict(lambda x, g: g * (x > 0) * (x < 6) * (g > 0)) == "✓"
    assert (
        check.guided_relu6.verdict(lambda x, g: torch.where((x > 0) & (x < 6), g.clamp(min=0), 0.0))
        == "✓"
    )
    assert check.guided_relu6.verdict(lambda x, g: ...) == "not answered yet"


@pytest.mark.parametrize("hint", GUIDED)
def test_guided_relu6_names_the_mistake(hint):
    assert hint in check.guided_relu6.verdict(GUIDED[hint])


# ---- exercise: several baselines


def mean_map(ig, x, baselines):
    return torch.stack([ig(x, b) for b in baselines]).mean(0)


BASELINES = {
    "another path": lambda ig, x, bs: ig(x, torch.stack(bs).mean(0)),
    "you add the maps": lambda ig, x, bs: sum(ig(x, b) for b in bs),
    "one baseline alone": lambda ig, x, bs: ig(x, bs[0]),
    "keep the signs": lambda ig, x, bs: torch.stack([ig(x, b).abs() for b in bs]).mean(0),
    "the median": lambda ig, x, bs: torch.stack([ig(x, b) for b in bs]).median(0).values,
    "one map of the shape": lambda ig, x, bs: torch.stack([ig(x, b) for b in bs]),
    "the mean of the three maps is": lambda ig, x, bs: mean_map(ig, x, bs) + 1,
}


def test_several_baselines():
    assert check.several_baselines.verdict(mean_map) == "✓"
    assert (
        check.several_baselines.verdict(lambda ig, x, bs: sum(ig(x, b) for b in bs) / len(bs))
        == "✓"
    )
    assert check.several_baselines.verdict(lambda ig, x, bs: None) == "not answered yet"


@pytest.mark.parametrize("hint", BASELINES)
def test_several_baselines_names_the_mistake(hint):
    assert hint in check.several_baselines.verdict(BASELINES[hint])


# ---- exercise: what the strongest pixels hold


def sizes(m):
    return m.abs().sum(0).flatten().sort(descending=True).values


SHARE = {
    "channels cancel": lambda m, part: (
        (s := m.sum(0).abs().flatten().sort(descending=True).values)[: int(part * len(s))].sum()
        / s.sum()
    ),
    "one by one": lambda m, part: (
        (s := m.abs().flatten().sort(descending=True).values)[: int(part * len(s))].sum() / s.sum()
    ),
    "weakest": lambda m, part: (s := sizes(m))[-int(part * len(s)) :].sum() / s.sum(),
    "divide by the magnitude": lambda m, part: (s := sizes(m))[: int(part * len(s))].mean() * part,
    "above a tenth": lambda m, part: (sizes(m) >= part * sizes(m).max()).float().mean(),
    "add up their magnitudes": lambda m, part: part,
    "not per cent": lambda m, part: 100 * (s := sizes(m))[: int(part * len(s))].sum() / s.sum(),
    "top tenth of the test map": lambda m, part: 0.123,
}


def test_top_share():
    assert (
        check.top_share.verdict(
            lambda m, part: (s := sizes(m))[: int(part * len(s))].sum() / s.sum()
        )
        == "✓"
    )
    assert check.top_share.verdict(lambda m, part: None) == "not answered yet"


@pytest.mark.parametrize("hint", SHARE)
def test_top_share_names_the_mistake(hint):
    assert hint in check.top_share.verdict(SHARE[hint])


# ---- figures

PICTURE = np.full((8, 8, 3), 200, np.uint8)


def test_red_maps_ignore_signs_and_start_at_white():
    m = torch.zeros(1, 3, 8, 8)
    m[0, 0, 2, 3], m[0, 1, 5, 5] = -1, 1
    fig = plots.red_maps(PICTURE, {"a": m, "b": -m}, caption="two maps")
    drawn = [ax.images[0].get_array() for ax in fig.axes[1:]]
    assert np.array_equal(*drawn)
    assert drawn[0][2, 3] == drawn[0][5, 5] == 1
    assert drawn[0].sum() == 2
    assert fig.axes[1].images[0].cmap(0.0)[:3] == pytest.approx((1, 0.96, 0.94), abs=0.01)


def test_the_other_figures():
    m = torch.rand(1, 1, 8, 8)
    assert len(plots.gallery({"a": PICTURE, "b": PICTURE}, caption="x").axes) == 2
    shade = (
        plots.over(PICTURE, {"cam": torch.zeros(1, 1, 8, 8)}, caption="x")
        .axes[1]
        .images[0]
        .get_array()
    )
    assert shade.max() < 0.2  # nothing in the map: the picture is dark
    assert (
        len(
            plots.grid(
                {"pictures": {"a": PICTURE, "b": PICTURE}, "maps": {"a": m, "b": m}}, caption="x"
            ).axes
        )
        == 4
    )
    slope = (
        plots.saturation(lambda x: 1 - torch.relu(1 - x), 2.0, caption="x")
        .axes[1]
        .lines[0]
        .get_ydata()
    )
    assert slope[0] == 1
    assert slope[-1] == 0
    fig = plots.measures(
        {"noise": {"A": [0.5, 2], "B": [1, 1]}},
        {"noise": {"A": (0.4, 3), "B": (1, 1)}},
        pictures=["cat", "cup"],
        caption="x",
    )
    assert [t.get_text() for t in fig.axes[0].get_yticklabels()] == ["A", "B"]
    assert [t.get_text() for t in fig.legends[0].get_texts()] == ["cat", "cup"]
    table = torch.tensor([[1, 0.25], [0.25, 1]])
    assert {
        t.get_text() for t in plots.agreement(["A", "B"], table, caption="x").axes[0].texts
    } == {"1.00", "0.25"}
    for fig in (plots.grid({"r": {"a": PICTURE}}, caption="what is seen"),):
        assert fig.caption_text == "what is seen"
