"""Shapley values: beside captum, beside a sum over orders, and the properties that define them."""

from itertools import permutations

import pytest
import torch
from captum.attr import ShapleyValues

from helpers.ground.errors import CourseError
from helpers.saliency.shapley import shapley


def network(features: int, seed: int = 0):
    """A small network in double precision, one output a row; points and baselines (7, d)."""
    torch.manual_seed(seed)
    layers = torch.nn.Sequential(
        torch.nn.Linear(features, 16),
        torch.nn.ReLU(),
        torch.nn.Linear(16, 16),
        torch.nn.Tanh(),
        torch.nn.Linear(16, 1),
    ).double()
    x, baseline = torch.randn(7, features).double(), torch.randn(7, features).double()
    return (lambda p: layers(p).squeeze(-1)), x, baseline


def test_shapley_agrees_with_captum():
    f, x, baseline = network(4)
    theirs = ShapleyValues(f).attribute(x, baseline).double()
    torch.testing.assert_close(shapley(f, x, baseline), theirs, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("features", [1, 2, 3, 5])
def test_shapley_is_the_mean_over_all_orders(features):
    f, x, baseline = network(features, seed=features)
    orders = list(permutations(range(features)))
    want = torch.zeros_like(x)
    for order in orders:
        now = baseline.clone()
        for feature in order:
            before = f(now)
            now[:, feature] = x[:, feature]
            want[:, feature] += (f(now) - before) / len(orders)
    torch.testing.assert_close(shapley(f, x, baseline), want.detach())


def test_number_types():
    """Weights such as 1/3 are no whole numbers: all values of an integer table came out as 0."""
    x, f = torch.tensor([[1, 2, 3]]), lambda p: p[..., 0] * p[..., 1] + p[..., 2]
    for kind in (torch.int64, torch.float16, torch.float32):
        values = shapley(f, x.to(kind), torch.zeros(1, 3, dtype=kind))
        torch.testing.assert_close(values, torch.tensor([[1.0, 1, 3]]))


def test_complete_and_linear():
    f, x, baseline = network(3, seed=1)
    g, _, _ = network(3, seed=2)
    values = shapley(f, x, baseline)
    torch.testing.assert_close(values.sum(-1), f(x) - f(baseline))
    mixed = shapley(lambda p: 2 * f(p) - 3 * g(p), x, baseline)
    torch.testing.assert_close(mixed, 2 * values - 3 * shapley(g, x, baseline))


def test_a_feature_that_is_not_used_gets_zero_and_equals_share_equally():
    def f(p):
        return (p[..., 0] + p[..., 1]).relu() ** 2  # feature 2 is never read

    x, baseline = torch.tensor([[1.0, 1.0, 5.0]]).double(), torch.zeros(1, 3).double()
    want = torch.tensor([[2.0, 2.0, 0.0]]).double()
    torch.testing.assert_close(shapley(f, x, baseline), want)


def test_several_baselines_are_averaged():
    f, x, _ = network(3)
    many = torch.randn(5, 1, 3).double()
    want = torch.stack([shapley(f, x, b.expand_as(x)) for b in many]).mean(0)
    torch.testing.assert_close(shapley(f, x, many), want)


def test_too_many_features_are_refused_in_words():
    with pytest.raises(CourseError, match="17 features are too many"):
        shapley(lambda p: p.sum(-1), torch.zeros(1, 17), torch.zeros(1, 17))
