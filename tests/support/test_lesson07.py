"""Lesson 07's checks: solutions pass, every known mistake gets its sentence. And its figures.

Bounds of the claims on models trained live, seen over five seeds (six for the symptom network):
* symptom network: six units of the path bring back .99 to 1 of the blood tests (claimed > .7), five
  random units .03 to .12 (six: < .5); fever silenced in its windows leaves 0 to .01 of swabs and
  blood tests (< .2) and all scans and drips (> .85).
* five features in two dimensions: 2, 4, 5, 5 kept at S 0, .7, .9, .97 by every seed; the linear
  control 2 at every S, its third largest |W_i|² below .01; opposites at .7: cosine below -.9999
  (< -.9); largest distance of a D from 2/5 at .97: .005 to .006 (< .03).
* twenty in five: 5 kept at S 0, 10 to 11 at .97 (>= 8). Plateaus: .96 to 1, four seeds (> .8).
  Phase diagram: .93 to .98, six runs on two grids of the settings (> .85).
* ReLU on the hidden layer, S .5: .81 to .90 of a dimension's weights (> .7), without it .36 to .52
  (< .6); its fall from S .5 to .9 .43 to .65 (> .2).
"""

import pytest
import torch

from helpers.lesson.checks import RIGHT
from notebooks.support.lesson07 import checks as check
from notebooks.support.lesson07 import figures

CHECKS = [check.patch, check.dimensionality, check.cheapest, check.kurtosis]


def patched(to, source, units):
    to = to.clone()
    to[:, units] = source[:, units]
    return to


def in_place(to, source, units):
    to[:, units] = source[:, units]
    return to


def zeroed(to, source, units):
    return patched(to, torch.zeros_like(to), units)


def rows(to, source, units):
    to = to.clone()
    to[units[:1]] = source[units[:1]]
    return to


@pytest.mark.parametrize(
    ("patch", "said"),
    [
        (patched, RIGHT),
        (in_place, "you changed the tensor"),
        (lambda to, source, units: patched(source, to, units), "the other way round"),
        (lambda to, source, units: to.clone(), "nothing is patched"),
        (zeroed, "this ablates"),
        (lambda to, source, units: source[:, units], "only the patched units come back"),
        (rows, "units are columns"),
    ],
)
def test_patch(patch, said):
    assert said in check.patch.verdict(patch)


def dims(W, scale_i=True, scale_j=False, own=True, power=2, top=2):
    norm = W.norm(dim=0)
    overlap = ((W / norm if scale_i else W).T @ (W / norm if scale_j else W)).abs() ** power
    return norm**top / (overlap if own else overlap - overlap.diag().diag()).sum(1)


@pytest.mark.parametrize(
    ("D", "said"),
    [
        (dims, RIGHT),
        (lambda W: dims(W, scale_i=False), "has to have length 1"),
        (lambda W: dims(W, scale_j=True), "leave it as long as it is"),
        (lambda W: dims(W, own=False), "i itself included"),
        (lambda W: dims(W, power=1), "square each projection"),
        (lambda W: dims(W, top=1), "squared length"),
        (lambda W: dims(W.T), "features are columns"),
        (lambda W: dims(W) + 1, "yours is"),
    ],
)
def test_dimensionality(D, said):
    assert said in check.dimensionality.verdict(D)


def losses(p, r):
    variance = p / 3 - p**2 / 4
    return [r * variance, variance, p**2 * (1 + r) / 6]


def least(rule, pick=min):
    def cheapest(p, r):
        three = rule(p, r)
        return three.index(pick(three))

    return cheapest


@pytest.mark.parametrize(
    ("cheapest", "said"),
    [
        (least(losses), RIGHT),
        (least(losses, max), "the largest loss"),
        (lambda p, r: (1, 0, 2)[least(losses)(p, r)], "0 and 1 are exchanged"),
        (least(lambda p, r: [r * p / 3, p / 3, p**2 * (1 + r) / 6]), "replaced by its mean"),
        (least(lambda p, r: [*losses(p, r)[:2], p * (1 + r) / 6]), "probability p², not p"),
        (least(lambda p, r: [*losses(p, r)[:2], p**2 / 6]), "1 for feature 1 and r for feature 2"),
        (lambda p, r: 3, "0, 1 or 2 is expected"),
        (lambda p, r: 2, "the three losses are"),
    ],
)
def test_cheapest(cheapest, said):
    assert said in check.cheapest.verdict(cheapest)


def moments(x, power=4, centre=True, over=2.0):
    c = x - x.mean(0) if centre else x
    return (c**power).mean(0) / (c**2).mean(0) ** over


@pytest.mark.parametrize(
    ("kurtosis", "said"),
    [
        (moments, RIGHT),
        (lambda x: moments(x) - 3, "the excess"),
        (lambda x: moments(x, centre=False), "subtract each column's mean"),
        (lambda x: ((x - x.mean(0)) ** 4).mean(0) / x.var(0) ** 2, "divides by N − 1"),
        (lambda x: moments(x, over=1), "square the variance"),
        (lambda x: moments(x, power=3, over=1.5), "skewness"),
        (lambda x: moments(x.T), "average over dim 0"),
        (lambda x: moments(x) + 7, "yours is"),
    ],
)
def test_kurtosis(kurtosis, said):
    assert said in check.kurtosis.verdict(kurtosis)


# ---- the formulas of section 4, against the numbers they stand for
def test_the_three_losses_are_the_expectations():
    p, r = 0.4, 0.7
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(400_000, 2, generator=generator) * (
        torch.rand(400_000, 2, generator=generator) < p
    )
    importance, mean = torch.tensor([1.0, r]), x.mean(0)
    line = x[:, 0] - x[:, 1]  # W = (1, -1)
    out = {
        0: torch.stack([x[:, 0], mean[1].expand(len(x))], 1),
        1: torch.stack([mean[0].expand(len(x)), x[:, 1]], 1),
        2: torch.stack([line, -line], 1).relu(),
    }
    for number, prediction in out.items():
        assert ((x - prediction) ** 2 @ importance).mean().item() == pytest.approx(
            losses(p, r)[number], rel=0.02
        )


# ---- figures: what they draw, not how it looks
def test_figures_of_toy_models_show_lengths_and_what_shares_a_direction():
    W = torch.tensor([[[1.0, -1.0, 0.0, 0.1], [0.0, 0.0, 1.0, 0.0]]])
    fig = figures.toy(W[0], torch.tensor([0.5, 0.5, 1.0, 0.01]), "a toy")
    assert "3 of 4 features" in fig.caption_text
    assert [round(bar.get_height(), 3) for bar in fig.axes[1].patches] == [0.5, 0.5, 1.0, 0.0]
    bars = figures.norms(W, ["one"], "Bars.").axes[0].patches
    assert [round(bar.get_width(), 2) for bar in bars][:4] == [1.0, 1.0, 1.0, 0.01]
    pair, other, alone = (bar.get_facecolor() for bar in bars[:3])
    assert pair == other != alone
    kept = torch.tensor([[True, True], [True, False]])
    D = torch.tensor([[0.5, 0.5], [0.4, 0.0]])
    fig = figures.plateaus(torch.tensor([0.5, 0.1]), D, kept, "Dots.")
    assert fig.axes[0].lines[-1].get_xdata().tolist() == pytest.approx([2, 2, 10])
    weights = {"a": torch.tensor([[3.0, 1.0], [0.0, 2.0]])}
    bars = figures.neuron_weights(weights, "Stacks.").axes[0].patches
    assert [bar.get_height() for bar in bars] == pytest.approx([0.75, 0.25, 1.0, 0.0])


def test_figures_of_networks_name_what_stands_out():
    effects = torch.tensor([[1.2, 0.1], [-3.0, 0.0]])
    ax = figures.patch_map({"a": (effects, ["x", "y"])}, ["one", "two"], "A map.").axes[0]
    assert [text.get_text() for text in ax.texts if text.get_text()] == ["+1", "-3"]
    gap, effect = torch.tensor([2.0, 0.1, 0.0]), torch.tensor([0.0, 9.0, 0.1])
    texts = figures.two_views(gap, effect, "Units.", named=1).axes[0].texts
    assert sorted(text.get_text() for text in texts) == ["unit 0", "unit 1"]
