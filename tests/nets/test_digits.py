"""The digits and their small network: what the sanity checks of lesson 03 take for granted."""

import pytest
import torch

from helpers.ground.errors import CourseError
from helpers.nets import digits
from tests.pretend_gpu import available, pretend_gpu


def test_digits_are_split_once_and_empty_pixels_are_zero():
    train, test = digits.digits(), digits.digits("test")
    assert train.images.shape == (1200, 1, 28, 28)
    assert test.images.shape == (597, 1, 28, 28)
    assert train.images.min() == 0
    assert train.images.max() <= 1
    assert (train.images == 0).float().mean() > 0.25
    assert torch.equal(digits.digits(side=16).digit, train.digit)
    assert digits.digits(side=16).images.shape[2:] == (16, 16)
    with pytest.raises(CourseError, match="the parts are"):
        digits.digits("all")


def test_the_network_learns_and_a_seed_gives_the_same_again():
    train, test = digits.digits(), digits.digits("test")
    state = torch.random.get_rng_state()
    model = digits.train(*train, seed=3, epochs=4)
    assert torch.equal(torch.random.get_rng_state(), state)  # the global generator is left alone
    assert digits.accuracy(model, *test) > 0.85
    assert not model.training
    assert not any(p.requires_grad for p in model.parameters())
    one, two = (
        digits.train(train.images[:100], train.digit[:100], seed=5, epochs=1) for _ in range(2)
    )
    assert all(torch.equal(p, q) for p, q in zip(one.parameters(), two.parameters(), strict=True))
    assert model.get_submodule(digits.CAM_LAYER)(torch.zeros(1, 32, 14, 14)).shape == (
        1,
        32,
        14,
        14,
    )


def test_shuffled_labels_are_the_same_labels_elsewhere():
    labels = digits.digits().digit
    mixed = digits.shuffled(labels, seed=1)
    assert torch.equal(mixed.sort().values, labels.sort().values)
    assert (mixed == labels).float().mean() < 0.2


@pytest.mark.skipif(bool(available()), reason=available() or "here")
def test_a_network_is_trained_where_its_pictures_are():
    test = digits.digits("test")
    with pretend_gpu() as gpu:
        images, labels = test.images[:100].to("cuda"), test.digit[:100].to("cuda")
        gpu.waits.clear()
        model = digits.train(images, digits.shuffled(labels), epochs=2)
        assert next(model.parameters()).device == images.device
        assert gpu.waits.total() <= 1  # no step waits for the device, the check at the end does
        assert 0 <= digits.accuracy(model, test.images[:100], test.digit[:100]) <= 1
        assert digits.digits("test", device="cuda").images.device == images.device
