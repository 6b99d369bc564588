"""Lesson 07's checks: solutions pass, every known mistake gets its sentence. And its figures.

Bounds of the claims on models trained live, seen over five seeds (six for the symptom network):
* symptom network: six units of the path bring back .99 to 1 of the blood tests, six random ones .03
  to .12 (claimed: more than .5 between them). With four units, 25 seeds: six have a unit that
  answers to several findings, three of them one for fever and another.
* five features in two dimensions: 2 and 5 kept at S 0 and .9 by every seed, 4 or 5 at .8; the
  linear control 2.
* partners that come together at a right angle in .9 to 1 of the pairs, those that never do in .1 to
  .25: .70 to .90 between them, six runs (claimed > .4). Phase diagram: .93 to .98, six runs on two
  grids (> .85).
* twelve in three: .57 to .72 of the D lie within .01 of a fraction, evenly spread ones .19 to .22.
* directions in 32 dimensions below .5: 813 and 845, two seeds (> 400). Features behind ten loudest
  inputs: .8 to 1.6 more at sparsity .9 than at .5 (> .3).
* residual streams across their axes: DINOv2's blocks 0, 3, 7 and 11 have 1.4 to 2.2 of the kurtosis
  of rotated axes (> 1.2), random weights 1.0; ours behind the MLP 1.3, in six smaller ones and two
  that saw a quarter of the text 1.0.
"""

import math

import pytest
import torch

from helpers.lesson.checks import RIGHT
from helpers.transformer.model import OneLayerTransformer, Settings
from notebooks.support.lesson07 import checks as check
from notebooks.support.lesson07 import figures, spaces
from tests.notebook_cells import solved


def batch(S, count, n, generator, absent=torch.ge, same=False, once=False, alike=False):
    values, chance = torch.rand(2, count, n, generator=generator)
    chance = values if once else chance[:, :1] if same else chance
    return (values[:, :1] if alike else values) * absent(chance, S)


def forward(x, W, b):
    return (x @ W.T @ W + b).relu()


def loss(x, out, importance):
    return (importance * (x - out) ** 2).sum(1).mean()


@pytest.mark.parametrize(
    ("yours", "said"),
    [
        ({}, RIGHT),
        ({"batch": lambda *a: batch(*a).T}, "batch: (count, n) is expected"),
        ({"batch": lambda *a: batch(*a, absent=torch.lt)}, "the probability of being absent"),
        ({"batch": lambda S, *a: batch(S / 2, *a)}, "four of five values are 0"),
        ({"batch": lambda *a: batch(*a, same=True)}, "absent by itself"),
        ({"batch": lambda *a: batch(*a)[:, [0, 0, 2]]}, "absent by itself"),
        ({"batch": lambda *a: batch(*a, alike=True)}, "a value of its own"),
        ({"batch": lambda S, *a: batch(0.8, *a)}, "S is an argument"),
        ({"batch": lambda S, count, n, g: batch(S, count, n, None)}, "every draw"),
        ({"batch": lambda S, *a: batch(S, *a[:2], torch.Generator())}, "every draw"),
        ({"batch": lambda *a: batch(*a, once=True)}, "one draw for both"),
        ({"batch": lambda *a: batch(*a) ** 2}, "uniform in [0, 1]"),
        ({"forward": lambda x, W, b: x @ W.T @ W + b}, "forward: the ReLU is missing"),
        ({"forward": lambda x, W, b: (x @ W.T @ W).relu()}, "forward: the bias is missing"),
        ({"forward": lambda x, W, b: (x @ W.T @ W).relu() + b}, "inside the ReLU"),
        ({"forward": lambda x, W, b: ((x @ W.T).relu() @ W + b).relu()}, "nothing happens to h"),
        ({"forward": lambda x, W, b: x @ W.T}, "forward: the shape (4, 3) is expected"),
        ({"loss": lambda x, out, i: (i * (x - out) ** 2).mean()}, "loss: add up the features"),
        ({"loss": lambda x, out, i: ((x - out) ** 2).sum(1).mean()}, "importance is missing"),
        ({"loss": lambda x, out, i: (i * (x - out).abs()).sum(1).mean()}, "difference is squared"),
        ({"loss": lambda x, out, i: ((i * (x - out)) ** 2).sum(1).mean()}, "not the importance"),
        ({"loss": lambda x, out, i: (i * (x - out) ** 2).sum(1)}, "loss: one number is expected"),
    ],
)
def test_toy(yours, said):
    parts = {"batch": batch, "forward": forward, "loss": loss} | yours
    assert said in check.toy.verdict(*parts.values())


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


# ---- the lesson's own folded solutions
def test_the_folded_solutions_are_right():
    space = solved("07", torch=torch)
    assert check.toy.verdict(space["batch"], space["forward"], space["loss"]) == RIGHT
    assert check.dimensionality.verdict(space["dimensionality_of"]) == RIGHT
    assert check.cheapest.verdict(space["cheapest"]) == RIGHT


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
def test_figures_show_what_is_kept():
    W = torch.tensor([[1.0, -1.0, 0.0, 0.1], [0.0, 0.0, 1.0, 0.0]])
    fig = figures.toy(W, torch.tensor([0.5, 0.5, 1.0, 0.01]), "a toy")
    assert "3 of 4 features" in fig.caption_text
    assert [round(bar.get_height(), 3) for bar in fig.axes[1].patches] == [0.5, 0.5, 1.0, 0.0]
    kept = torch.tensor([[True, True], [True, False]])
    D = torch.tensor([[0.5, 0.5], [0.4, 0.0]])
    fig = figures.plateaus(torch.tensor([0.5, 0.1]), D, kept, "Dots.")
    assert fig.axes[0].lines[-1].get_xdata().tolist() == pytest.approx([2, 2, 10])


# ---- directions and spaces
def test_directions_are_spread_to_near_the_bound():
    v = spaces.random_directions(5, 2)
    torch.testing.assert_close(v.norm(dim=1), torch.ones(5))
    largest = spaces.overlaps(spaces.spread(v)).max().item()
    assert largest == pytest.approx(math.cos(math.pi / 5), abs=0.01)  # lines 36° apart


def test_random_directions_are_picked_one_by_one():
    assert spaces.picked(1, 0.5, tries=20) == 1  # all on one line
    assert spaces.picked(2, 1e-9, tries=20) == 1  # none is orthogonal to the first
    assert spaces.picked(3, 1.1, tries=20) == 20


def test_a_relu_on_rotated_axes_has_the_old_moments_before_it():
    lm = OneLayerTransformer(Settings(d_model=8, d_mlp=16, heads=2, context=8, vocabulary=30))
    tokens = torch.randint(30, (20, 8), generator=torch.Generator().manual_seed(0))
    found = spaces.of_transformer(lm, tokens)
    assert torch.equal(found["MLP after ReLU"], found["MLP before ReLU"].relu())
    assert found["ReLU on rotated axes"].shape == (160, 16)
    x = found["MLP before ReLU"]
    torch.testing.assert_close(spaces.rotate(x).norm(dim=1), (x - x.mean(0)).norm(dim=1))
