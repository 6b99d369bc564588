"""Lesson 01: right answers pass, each known mistake gets its own sentence; figures draw the
maps."""

import numpy as np
import pytest
import torch

from notebooks.support.lesson01 import checks as check
from notebooks.support.lesson01 import figures


def mean_map(ig, x, baselines):
    return torch.stack([ig(x, b) for b in baselines]).mean(0)


def falling(values):
    return values.flatten().sort(descending=True).values


def held(values, part):
    return values[: int(part * len(values))].sum() / values.sum()


def sizes(m):
    return falling(m.abs().sum(0))


ANSWERS = {  # {check: {what it says: answer}}
    check.guided_relu6: {
        "✓": lambda x, g: g * (x > 0) * (x < 6) * (g > 0),
        "not answered yet": lambda x, g: ...,
        "right for ReLU": lambda x, g: g * (x > 0) * (g > 0),
        "ordinary gradient": lambda x, g: g * (x > 0) * (x < 6),
        "deconvolution": lambda x, g: g.clamp(min=0),
        "not turned round": lambda x, g: (g * (x > 0) * (x < 6)).abs(),
        "forward pass": lambda x, g: x.clamp(0, 6),
        "exactly 0 and 6": lambda x, g: g.clamp(min=0) * (x >= 0) * (x <= 6),
        "the shape (9,) is expected": lambda x, g: g.sum(),
        "for x = ": lambda x, g: g * 2,
    },
    check.several_baselines: {
        "✓": mean_map,
        "not answered yet": lambda ig, x, bs: None,
        "another path": lambda ig, x, bs: ig(x, torch.stack(bs).mean(0)),
        "you add the maps": lambda ig, x, bs: sum(ig(x, b) for b in bs),
        "one baseline alone": lambda ig, x, bs: ig(x, bs[0]),
        "keep the signs": lambda ig, x, bs: torch.stack([ig(x, b).abs() for b in bs]).mean(0),
        "the median": lambda ig, x, bs: torch.stack([ig(x, b) for b in bs]).median(0).values,
        "the shape (1, 3) is expected": lambda ig, x, bs: torch.stack([ig(x, b) for b in bs]),
        "the mean of the three maps is": lambda ig, x, bs: mean_map(ig, x, bs) + 1,
    },
    check.top_share: {
        "✓": lambda m, part: held(sizes(m), part),
        "not answered yet": lambda m, part: None,
        "channels cancel": lambda m, part: held(falling(m.sum(0).abs()), part),
        "one by one": lambda m, part: held(falling(m.abs()), part),
        "weakest": lambda m, part: held(sizes(m).flip(0), part),
        "divide by the magnitude": lambda m, part: sizes(m)[:10].mean() * part,
        "above a tenth": lambda m, part: (sizes(m) >= part * sizes(m).max()).float().mean(),
        "add up their magnitudes": lambda m, part: part,
        "not per cent": lambda m, part: 100 * held(sizes(m), part),
        "top tenth of the test map": lambda m, part: 0.123,
    },
}
CASES = [(exercise, line) for exercise, answers in ANSWERS.items() for line in answers]


@pytest.mark.parametrize(("exercise", "line"), CASES, ids=lambda v: getattr(v, "__name__", v))
def test_each_answer_gets_its_sentence(exercise, line):
    assert line in exercise.verdict(ANSWERS[exercise][line])


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        (check.guided_relu6, lambda x, g: torch.where((x > 0) & (x < 6), g.clamp(min=0), 0.0)),
        (check.several_baselines, lambda ig, x, bs: sum(ig(x, b) for b in bs) / len(bs)),
    ],
)
def test_another_right_answer_passes(exercise, answer):
    assert exercise.verdict(answer) == "✓"


# ---- figures ----
def test_red_maps_ignore_signs_and_start_at_white():
    m = torch.zeros(1, 3, 8, 8)
    m[0, 0, 2, 3], m[0, 1, 5, 5] = -1, 1
    picture = np.full((8, 8, 3), 200, np.uint8)
    fig = figures.red_maps(picture, {"a": m, "b": -m}, caption="two maps")
    one, other = (ax.images[0] for ax in fig.axes[1:])
    assert np.array_equal(one.get_array(), other.get_array())
    assert one.get_array()[2, 3] == one.get_array()[5, 5] == 1
    assert one.get_array().sum() == 2
    assert one.cmap(0.0)[:3] == pytest.approx((1, 0.96, 0.94), abs=0.01)


def test_saturation_draws_the_slope():
    fig = figures.saturation(lambda x: 1 - torch.relu(1 - x), 2.0, caption="x")
    slope = fig.axes[1].lines[0].get_ydata()
    assert slope[0] == 1
    assert slope[-1] == 0
