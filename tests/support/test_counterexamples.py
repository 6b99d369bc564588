"""The counterexamples of D1-23 to 1e-6, computed from their closed forms and not only from the
library's numbers.
"""

import pytest
import torch

from helpers.ground.errors import CourseError
from helpers.saliency.shapley import shapley
from notebooks.support.lesson06.attributions import (
    gradient,
    integrated_gradients,
    straight_line,
)
from notebooks.support.lesson06.counterexamples import CASES, tent, vee
from notebooks.support.lesson06.simulation import (
    Trial,
    average_change,
    balanced,
    evidence,
    trial,
    twins,
)

EXACT = {"rtol": 0, "atol": 1e-6}


def double(case):
    x = case.x.double()
    return x, torch.zeros_like(x)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("method", [integrated_gradients, shapley])
def test_attributions_and_slopes_by_hand(name, method):
    case = CASES[name]
    x, zero = double(case)
    torch.testing.assert_close(
        method(case.f, x, zero), torch.full_like(x, case.attribution), **EXACT
    )
    torch.testing.assert_close(gradient(case.f, x), torch.full_like(x, case.slope), **EXACT)


@pytest.mark.parametrize("name", CASES)
def test_the_closed_form(name):
    """f depends on the sum s of equal features, so each one's IG and Shapley value is (g(s) - g(0))
    / d.
    """
    case = CASES[name]
    s, d = sum(case.point), len(case.point)
    g = {"tent": lambda z: 2 * z if z <= 1 else 2 - 3 * (z - 1), "vee": lambda z: abs(z - 1) - 1}[
        case.curve.__name__
    ]
    assert case.attribution == pytest.approx((g(s) - g(0)) / d, abs=1e-12)
    assert case.slope == pytest.approx((g(s + 1e-3) - g(s)) / 1e-3, abs=1e-6)
    grid = torch.linspace(0, 3, 301).double()
    torch.testing.assert_close(
        case.curve(grid), torch.tensor([g(z) for z in grid.tolist()]).double(), **EXACT
    )


def test_positive_attribution_and_every_increase_lowers():
    for name in ("tent, 1 feature", "tent, 2 features"):
        x, zero = double(CASES[name])
        for feature in range(x.shape[1]):
            for step in (0.001, 0.1, 1.0, 10.0):
                moved = x.clone()
                moved[:, feature] += step
                assert CASES[name].f(moved) < CASES[name].f(x)
                assert (shapley(CASES[name].f, x, zero) > 0).all()


def test_zero_attribution_and_every_change_upwards_shows():
    for name in ("vee, 1 feature", "vee, 2 features"):
        x, _ = double(CASES[name])
        moved = x.clone()
        moved[:, 0] += 0.25
        torch.testing.assert_close(
            CASES[name].f(moved) - CASES[name].f(x), torch.tensor([0.25]).double(), **EXACT
        )


def test_the_curves_part_when_midpoints_miss_the_kink():
    """With 7 pieces the kink at 2/3 falls inside one: the sum is off by more than the tolerance, so
    1e-6 means something.
    """
    case = CASES["tent, 1 feature"]
    x, zero = double(case)
    assert abs(integrated_gradients(case.f, x, zero, steps=7).item() - case.attribution) > 1e-2


@pytest.mark.parametrize("curve", [tent, vee])
def test_an_additive_partner_changes_nothing(curve):
    """By linearity the counterexample survives inside any additive model."""
    x, zero = torch.tensor([[2.0, 0.7]]).double(), torch.zeros(1, 2).double()
    both = lambda p: curve(p[..., 0]) + p[..., 1] ** 2  # noqa: E731
    want = curve(x[:, 0]) - curve(zero[:, 0])
    torch.testing.assert_close(shapley(both, x, zero)[:, 0], want, **EXACT)
    torch.testing.assert_close(integrated_gradients(both, x, zero)[:, 0], want, **EXACT)


@pytest.mark.parametrize("features", [1, 2, 4])
def test_twins_have_one_explanation_and_opposite_recourse(features):
    """Under a background on both sides, for three methods; another background is not fooled so
    exactly, and the outputs at the point are the same."""
    g = torch.Generator().manual_seed(features)
    f, x = trial(50, roughness=1, generator=g, features=features)
    people, others = 2 * torch.rand(2, 64, 1, features, generator=g)
    assert ((people < x[:, 0:1]).any(0) & (people > x[:, 0:1]).any(0)).all()
    up, down = twins(f, x, 0, people)
    for method in (lambda h: gradient(h, x), lambda h: shapley(h, x, people)):
        assert (method(up) - method(down)).abs().max() < 1e-5  # single precision
        torch.testing.assert_close(method(up), method(f), rtol=0, atol=1e-5)
    gap = (shapley(up, x, others) - shapley(down, x, others)).abs()
    assert gap[:, 0].max() > 1e-3
    assert (up(x) == down(x)).all()
    assert (average_change(up, x, 0, reach=1) > 0).all()
    assert (average_change(down, x, 0, reach=1) < 0).all()


def test_another_background_gives_advice_that_turns_round_when_the_two_change_places():
    """What lesson 06 says of its 64 other people: right with them, wrong the other way about."""
    g = torch.Generator().manual_seed(1)
    f, x = trial(300, roughness=1, generator=g)
    people, others = 2 * torch.rand(2, 64, 1, 3, generator=g)

    def advice(balanced_on, asked):
        up, down = (shapley(h, x, asked)[:, 0] for h in twins(f, x, 0, balanced_on))
        return torch.cat([up > 0, down < 0]).float().mean().item()

    assert advice(people, others) > 0.9
    assert advice(others, people) < 0.1


def test_a_straight_line_does_well_only_on_twins_that_were_not_built_against_it():
    """What lesson 06 says of its line: behind x alone it does as well; a piece whose fitted slope
    is 0 too leaves it a coin."""
    g = torch.Generator().manual_seed(1)
    f, x = trial(300, roughness=1, generator=g)
    people = 2 * torch.rand(64, 1, 3, generator=g)

    def piece(points):  # (..., N, 3): a part beyond x and two below, as the helper has one
        z, at = points[..., 0], x[:, 0]
        return torch.stack([(z - at - 0.1).relu(), *((at - b - z).relu() for b in (0.1, 0.4))])

    means = piece(people).mean(1)  # (3, N)
    slopes = torch.stack([straight_line(lambda p, i=i: piece(p)[i], x)[:, 0] for i in range(3)])
    seen = torch.stack([means, slopes]).permute(2, 0, 1)  # (N, what is seen, part)
    below = torch.linalg.solve(seen[:, :, 1:], -seen[:, :, 0])  # (N, 2): both sums are 0
    parts = torch.cat([torch.ones(len(x), 1), below], 1).T  # (3, N)
    silent = lambda p: (parts.view(3, *[1] * (p.ndim - 2), -1) * piece(p)).sum(0)
    weight = 2 * (average_change(f, x, 0, reach=1).abs() + 0.5)
    weight = weight / average_change(silent, x, 0, reach=1)
    against_both = tuple((lambda p, s=s: f(p) + s * weight * silent(p)) for s in (1, -1))

    def advice(pair, **where):
        up, down = (straight_line(h, x, **where)[:, 0] for h in pair)
        return torch.cat([up > 0, down < 0]).float().mean().item()

    usual = twins(f, x, 0, people)
    assert advice(usual) > 0.95
    assert advice(usual, behind=True) > 0.95
    assert advice(against_both) == pytest.approx(0.5, abs=0.02)
    gap = shapley(against_both[0], x, people) - shapley(against_both[1], x, people)
    assert gap.abs().max() < 1e-3
    assert (average_change(against_both[0], x, 0, reach=1) > 0).all()
    assert (average_change(against_both[1], x, 0, reach=1) < 0).all()


def test_the_piece_is_silent_at_the_point_and_has_mean_zero_on_the_background():
    background = torch.tensor([0.1, 0.4, 1.5, 1.9]).double()
    at = lambda *z: balanced(torch.tensor(z).double(), 1.0, background)
    assert at(0.95, 1.0, 1.05).abs().max() == 0
    assert abs(balanced(background, 1.0, background).mean()) < 1e-12
    assert at(1.6, 2.1).diff().item() == pytest.approx(0.5)


def test_nobody_below_is_said():
    x, all_above = torch.tensor([[1.0, 0.7]]), 1 + torch.rand(5, 1, 2)
    with pytest.raises(CourseError, match="nobody in the background lies below"):
        twins(lambda p: p.sum(-1), x, 0, all_above)


def test_integrated_gradients_averaged_over_the_background_is_fooled_as_well():
    """A piece of one feature has the attribution g(x) - mean g(b), whatever the path."""
    x = torch.tensor([[1.0, 0.7]]).double()
    people = torch.tensor([0.1, 0.4, 1.5, 1.9]).double()
    piece = lambda p: balanced(p[..., 0], 1.0, people)
    total = sum(
        integrated_gradients(piece, x, torch.stack([one, one])[None], steps=6000) for one in people
    )
    assert total.abs().max() < 1e-3


def test_a_line_fitted_round_the_point_finds_a_linear_functions_slopes():
    x, slopes = torch.rand(5, 3).double(), torch.tensor([1.0, -2, 3]).double()
    torch.testing.assert_close(straight_line(lambda p: p @ slopes + 4, x), slopes.expand(5, 3))


def test_on_twins_sensitivity_is_one_minus_specificity():
    """Each network in both versions: a test that sees attributions only is on the diagonal."""
    g = torch.Generator().manual_seed(0)
    f, x = trial(200, roughness=1, generator=g)
    people = 2 * torch.rand(64, 1, 3, generator=g)
    up, down = twins(f, x, 0, people)
    for threshold in (-0.5, 0.0, 0.1):
        one, other = (shapley(h, x, people)[:, 0] for h in (up, down))
        hits, false_alarms = (one > threshold).sum(), (other > threshold).sum()
        assert abs(hits - false_alarms) <= 1  # one may lie on the threshold itself
    for name, score in evidence(Trial(up, x), reach=1, generator=g).items():
        other = evidence(Trial(down, x), reach=1, generator=g)[name]
        if "quer" in name:
            assert (score > 0).float().mean() + (other <= 0).float().mean() > 1.7
