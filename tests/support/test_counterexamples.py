"""The counterexamples of D1-23 to 1e-6, computed from their closed forms and not only from the
library's numbers.
"""

import pytest
import torch

from helpers.saliency.shapley import shapley
from notebooks.support.lesson06.attributions import gradient, integrated_gradients
from notebooks.support.lesson06.counterexamples import CASES, tent, vee
from notebooks.support.lesson06.simulation import Trial, average_change, evidence, trial, twins

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
    for name in ("positive, 1 feature", "positive, 2 features"):
        x, zero = double(CASES[name])
        for feature in range(x.shape[1]):
            for step in (0.001, 0.1, 1.0, 10.0):
                moved = x.clone()
                moved[:, feature] += step
                assert CASES[name].f(moved) < CASES[name].f(x)
                assert (shapley(CASES[name].f, x, zero) > 0).all()


def test_zero_attribution_and_every_change_upwards_shows():
    for name in ("zero, 1 feature", "zero, 2 features"):
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
    case = CASES["positive, 1 feature"]
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
    g = torch.Generator().manual_seed(features)
    f, x = trial(50, roughness=1, generator=g, features=features)
    zero, below = torch.zeros_like(x), torch.rand(8, 1, features, generator=g) * 0.5
    up, down = twins(f, x, 0, reach=1)
    for method in (
        lambda h: gradient(h, x),
        lambda h: integrated_gradients(h, x, zero),
        lambda h: shapley(h, x, zero),
        lambda h: shapley(h, x, below),
    ):
        assert (method(up) - method(down)).abs().max() < 1e-9
        torch.testing.assert_close(method(up), method(f))
    assert (up(x) == down(x)).all()
    assert (average_change(up, x, 0, reach=1) > 0).all()
    assert (average_change(down, x, 0, reach=1) < 0).all()


def test_on_twins_sensitivity_is_one_minus_specificity():
    """Each network in both versions: whatever the threshold, a test that sees attributions only is
    on the diagonal.
    """
    g = torch.Generator().manual_seed(0)
    f, x = trial(200, roughness=1, generator=g)
    up, down = twins(f, x, 0)
    for name, score in evidence(Trial(up, x), reach=1, generator=g).items():
        other = evidence(Trial(down, x), reach=1, generator=g)[name]
        if "quer" not in name:
            for threshold in (-0.5, 0.0, 0.1):
                assert (score > threshold).sum() == len(other) - (
                    other <= threshold
                ).sum()  # hits = false alarms
        else:
            assert (score > 0).float().mean() + (other <= 0).float().mean() > 1.7
