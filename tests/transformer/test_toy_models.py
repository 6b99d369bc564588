"""Toy models of superposition: the data, the loss, known geometries, and one short training.

Seen over five seeds with the default settings (lesson 07's): see tests/support/test_lesson07.py.
"""

import math

import pytest
import torch

from helpers.ground.errors import CourseError
from helpers.transformer.toy_models import (
    ToyModels,
    ToySettings,
    alignment,
    dimensionality,
    loss_per_model,
    represented,
    sample,
    train_toys,
)


def circle(n: int, radius: float = 1.0) -> torch.Tensor:
    """n directions spread evenly in the plane, (1, 2, n)."""
    turn = 2 * math.pi * torch.arange(n) / n
    return radius * torch.stack([turn.cos(), turn.sin()])[None]


def test_features_are_absent_with_probability_s_and_uniform_otherwise():
    x = sample(
        torch.tensor([0.0, 0.5, 0.9]), 40_000, 3, generator=torch.Generator().manual_seed(0)
    )  # (3, 40000, 3)
    assert x.shape == (3, 40_000, 3)
    assert x.min() >= 0
    assert x.max() <= 1
    assert torch.allclose((x == 0).float().mean((1, 2)), torch.tensor([0.0, 0.5, 0.9]), atol=0.01)
    for one in x:
        there = one[one > 0]
        assert there.mean().item() == pytest.approx(1 / 2, abs=0.01)
        assert there.var().item() == pytest.approx(1 / 12, abs=0.005)
    present = (x[1] > 0).float()
    assert (
        torch.corrcoef(present.T).fill_diagonal_(0).abs().max() < 0.03
    )  # independent of each other


def by_hand(model: ToyModels, i: int, x: torch.Tensor) -> torch.Tensor:
    """One model and one sample, in plain loops over the definition."""
    W, b = model.W[i].tolist(), model.b[i].tolist()
    h = [sum(w * v for w, v in zip(row, x.tolist(), strict=True)) for row in W]
    h = [max(v, 0.0) for v in h] if model.settings.relu_hidden else h
    out = [sum(W[k][j] * h[k] for k in range(len(h))) + b[j] for j in range(len(b))]
    return torch.tensor([max(v, 0.0) for v in out] if model.settings.relu_out else out)


@pytest.mark.parametrize("relu_out", [True, False])
@pytest.mark.parametrize("relu_hidden", [True, False])
def test_the_batched_models_are_the_formula(relu_out, relu_hidden):
    generator = torch.Generator().manual_seed(1)
    model = ToyModels(
        3,
        ToySettings(features=4, hidden=2, relu_out=relu_out, relu_hidden=relu_hidden),
        generator=generator,
    )
    model.b.data = torch.randn(3, 4, generator=generator) * 0.3
    x = torch.randn(3, 5, 4, generator=generator)
    out = model(x)
    for i in range(3):
        for row in range(5):
            torch.testing.assert_close(out[i, row], by_hand(model, i, x[i, row]))
    importance = torch.tensor([1.0, 0.5, 0.2, 2.0])
    expected = torch.stack([((x[i] - out[i]) ** 2 @ importance).mean() for i in range(3)])
    torch.testing.assert_close(loss_per_model(model, x, importance), expected)
    torch.testing.assert_close(loss_per_model(model, x, importance.repeat(3, 1)), expected)


@pytest.mark.parametrize(
    ("W", "D"),
    [
        (torch.eye(2)[None], [1, 1]),
        (torch.tensor([[[1.0, -1.0]]]), [1 / 2] * 2),
        (circle(3), [2 / 3] * 3),
        (circle(5), [2 / 5] * 5),
        (circle(5, radius=1.3), [2 / 5] * 5),  # the size of all does not matter
        (
            torch.tensor([[[1.0, -1, -1, 1], [1, -1, 1, -1], [1, 1, -1, -1]]]),
            [3 / 4] * 4,
        ),  # a tetrahedron
        (torch.tensor([[[1.0, 0, 0], [0, 1, 0]]]), [1, 1, 0]),  # the third is not represented
    ],
)
def test_dimensionalities_of_known_geometries(W, D):
    torch.testing.assert_close(dimensionality(W)[0], torch.tensor([float(d) for d in D]))
    assert represented(W).item() == sum(d > 0 for d in D)


def test_alignment_is_the_largest_feature_s_share():
    W = torch.tensor([[[3.0, 0, 0], [1, -1, 2], [0, 0, 0]]])
    torch.testing.assert_close(alignment(W)[0], torch.tensor([1.0, 0.5, 0.0]))


@pytest.fixture(scope="module")
def trained() -> ToyModels:
    """Three sparsities in one run."""
    return train_toys(
        ToySettings(steps=800, batch=128),
        torch.tensor([0.0, 0.8, 0.97]),
        0.9 ** torch.arange(5.0),
        tries=3,
        seed=0,
    )


def test_sparse_features_are_superposed_and_dense_ones_are_not(trained):
    kept = represented(trained.W).tolist()
    assert kept[0] == 2
    assert kept[1] == 4
    assert kept[2] >= 4
    assert trained.W.shape == (3, 2, 5)
    assert trained.b.shape == (3, 5)
    assert not trained.W.requires_grad


def test_the_linear_control_keeps_as_many_as_it_has_dimensions():
    settings = ToySettings(steps=600, batch=128, relu_out=False)
    linear = train_toys(settings, torch.tensor([0.5, 0.97]), 0.6 ** torch.arange(5.0))
    assert represented(linear.W).tolist() == [2, 2]
    assert (linear.W.pow(2).sum(1)[:, :2] > 0.9).all()  # and it keeps the two most important


def test_the_best_try_is_kept():
    settings, S, importance = ToySettings(steps=30, batch=64), torch.tensor([0.9]), torch.ones(5)
    x = sample(S, 20_000, 5, generator=torch.Generator().manual_seed(9))
    losses = [
        loss_per_model(
            train_toys(settings, S, importance, tries=tries, seed=0), x, importance
        ).item()
        for tries in (1, 12)
    ]
    assert losses[1] < losses[0]


def test_features_may_come_from_another_draw():
    asked = []

    def draw(sparsity, batch, features, *, generator):
        asked.append((len(sparsity), batch, features))
        return sample(sparsity, batch, features, generator=generator)

    settings, S = ToySettings(steps=3, batch=16), torch.tensor([0.5, 0.9])
    W = train_toys(settings, S, torch.ones(5), tries=2, draw=draw).W
    assert asked == [(4, 16, 5)] * 3 + [(4, 8192, 5)]
    assert torch.equal(W, train_toys(settings, S, torch.ones(5), tries=2).W)


def test_the_learning_rate_falls_along_a_cosine(steps):
    train_toys(ToySettings(steps=6, batch=8), torch.tensor([0.5]), torch.ones(5))
    rates = [rate / ToySettings().rate for rate, _ in steps]
    assert rates == pytest.approx([(1 + math.cos(math.pi * i / 6)) / 2 for i in range(6)])


def test_the_same_seed_gives_the_same_models():
    settings, S = ToySettings(steps=5, batch=16), torch.tensor([0.5, 0.9])
    one, same, other = (train_toys(settings, S, torch.ones(5), seed=seed).W for seed in (3, 3, 4))
    assert torch.equal(one, same)
    assert not torch.allclose(one, other)


def test_a_training_that_breaks_down_is_named():
    with pytest.raises(CourseError, match="broken down"):
        train_toys(ToySettings(steps=3, rate=1e30), torch.tensor([0.5]), torch.ones(5))


@pytest.mark.parametrize(
    ("sparsity", "importance", "said"),
    [
        (torch.tensor([0.5]), torch.ones(4), "4 entries for 5 features"),
        (torch.tensor([1.0]), torch.ones(5), "from 0 to below 1"),
        (torch.tensor([torch.nan]), torch.ones(5), "from 0 to below 1"),
        (torch.tensor([-0.1, 0.5]), torch.ones(5), "got -0.1 to 0.5"),
    ],
)
def test_settings_that_do_not_fit_get_a_sentence(sparsity, importance, said):
    with pytest.raises(CourseError, match=said):
        train_toys(ToySettings(steps=1), sparsity, importance)
