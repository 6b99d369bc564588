"""Randomising layers: what falls, what is restored, and the four similarity measures."""

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from helpers import saliency
from helpers.ground.errors import CourseError
from helpers.nets import digits
from helpers.saliency import sanity
from tests.saliency.conftest import make_net


def weights(net):
    return {name: value.clone() for name, value in net.state_dict().items()}


def changed(before, net):
    return {
        name.rsplit(".", 1)[0]
        for name, value in net.state_dict().items()
        if not torch.equal(value, before[name])
    }


@pytest.mark.parametrize("initialise", [sanity.reset, sanity.shuffle])
def test_only_the_named_layers_fall_and_all_come_back(net, initialise):
    before, layers = weights(net), sanity.layers_of(net)
    with sanity.randomised(net, ["head", ("last", "second")], initialise=initialise):
        assert changed(before, net) == {"head", "last", "second"}
    assert not changed(before, net)
    with pytest.raises(ZeroDivisionError), sanity.randomised(net, layers):
        assert changed(before, net) == set(layers)
        _ = 1 / 0
    assert not changed(before, net)


def test_frozen_and_batch_norm_layers_fall_too_and_the_generator_is_left_alone():
    net = make_net("batch norm").requires_grad_(False)
    before = weights(net)
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    with sanity.randomised(net, ["norm"]):
        assert changed(before, net) == {"norm"} and not any(
            p.requires_grad for p in net.parameters()
        )
    assert torch.equal(torch.rand(3), expected) and not changed(before, net)


def test_shuffle_keeps_the_values():
    net = digits.network()
    with sanity.randomised(net, ["fc1"], initialise=sanity.shuffle):
        there = net.fc1.weight.detach().clone()
    assert not torch.equal(there, net.fc1.weight)
    assert torch.equal(
        there.flatten().sort().values, net.fc1.weight.detach().flatten().sort().values
    )


def test_cascading_and_independent(x):
    net, seen = make_net("plain"), []
    before = weights(net)

    def method(model, inputs, target):
        seen.append((changed(before, model), weights(model)))
        return saliency.gradient(model, inputs, target)

    layers = list(reversed(sanity.layers_of(net)))
    maps = sanity.cascade(net, layers, method, x, 1, seed=4)
    assert maps.shape == (len(layers) + 1, *x.shape) and torch.equal(
        maps[0], saliency.gradient(net, x, 1)
    )
    assert [names for names, _ in seen] == [set(layers[:k]) for k in range(len(layers) + 1)]
    cascading, seen = seen, []
    alone = sanity.cascade(net, layers, method, x, 1, seed=4, independent=True)
    assert [names for names, _ in seen] == [set(), *({layer} for layer in layers)]
    assert torch.equal(alone[1], maps[1]) and not torch.equal(alone[2], maps[2])
    for depth, layer in enumerate(
        layers, start=1
    ):  # one layer's random weights are the same in both
        assert all(
            torch.equal(value, cascading[-1][1][name])
            for name, value in seen[depth][1].items()
            if name.startswith(layer)
        )
    other = sanity.cascade(net, layers[:1], saliency.gradient, x, 1, seed=5)
    assert not torch.equal(other[1], maps[1])


def test_a_layer_without_weights_or_a_wrong_name_is_named():
    net = digits.network()
    with (
        pytest.raises(CourseError, match="no weights to randomise"),
        sanity.randomised(net, ["relu1"]),
    ):
        pass
    with pytest.raises(CourseError, match="fc1"), sanity.randomised(net, ["fc2"]):
        pass
    assert (
        sanity.layers_of(net)
        == ["hidden1", "hidden2", "fc1", "softmax"]
        == list(reversed(digits.LAYERS))
    )


def test_rank_correlations_are_scipys():
    generator = torch.Generator().manual_seed(0)
    a, b = (
        torch.randn(3, 2, 9, 9, generator=generator).round(decimals=1) for _ in range(2)
    )  # rounded: with ties
    a[0, :, :5] = b[0, :, :5] = 0
    for ours, flat in (
        (sanity.rank_correlation, lambda m: m.abs().sum(0)),
        (sanity.signed_correlation, lambda m: m.sum(0)),
    ):
        expected = [
            spearmanr(flat(p).flatten(), flat(q).flatten()).statistic
            for p, q in zip(a, b, strict=True)
        ]
        np.testing.assert_allclose(ours(a, b), expected, rtol=1e-12)
    assert (
        sanity.rank_correlation(a, -a).sub(1).abs().max() < 1e-12
        and sanity.signed_correlation(a, -a).add(1).abs().max() < 1e-12
    )
    assert sanity.rank_correlation(a, a * 0).isnan().all()


@pytest.mark.parametrize("measure", [sanity.structural, sanity.edges])
def test_pictures_of_maps(measure):
    m = torch.randn(3, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    m = nn.functional.avg_pool2d(m, 3, 1, 1)
    assert (
        measure(m, m).sub(1).abs().max() < 1e-9 and measure(m, 7 * m).sub(1).abs().max() < 1e-4
    )  # scale does not count
    assert measure(m, m.roll(1, 0)).abs().max() < 0.35


def test_hog_cells_are_the_papers_on_photographs_and_smaller_on_digits():
    m = torch.rand(1, 1, 224, 224)
    assert torch.equal(sanity.edges(m, m.flip(3)), sanity.edges(m, m.flip(3), cell=16))
    d = torch.rand(1, 1, 28, 28)
    assert torch.equal(sanity.edges(d, d.flip(3)), sanity.edges(d, d.flip(3), cell=7))
