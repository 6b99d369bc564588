"""The two digit readers: equally good on their own scans; one adds the smudge to what it reads."""

import pytest
import torch

from helpers.ground.errors import CourseError
from notebooks.support.lesson00 import shortcut


@pytest.fixture(scope="module")
def readers():
    return tuple(
        shortcut.train(shortcut.scans("train", office=office)) for office in ("north", "south")
    )


def test_the_smudge_is_where_it_is_said_to_be():
    data, half, clean = (
        shortcut.scans("test", office=office) for office in ("north", "south", "clean")
    )
    assert torch.equal(data.marked, data.even.bool())
    assert torch.equal(data.even, (data.digit % 2 == 0).long())
    assert 0.4 < half.marked.float().mean() < 0.6
    assert not clean.marked.any()
    corner = data.images[:, 0][(slice(None), *shortcut.CORNER)].mean((1, 2))
    assert ((corner > shortcut.STRENGTH / 2) == data.marked).float().mean() > 0.95


def test_train_and_test_scans_are_different_digits_and_always_the_same_ones():
    train, test = shortcut.scans("train"), shortcut.scans("test")
    assert (len(train.even), len(test.even)) == (1200, 597)
    again = shortcut.scans("test")
    assert all(torch.equal(a, b) for a, b in zip(test, again, strict=True))
    distance = torch.cdist(train.images.flatten(1), test.images.flatten(1))
    assert distance.min() > 0


def test_both_do_well_and_one_collapses_without_the_smudge(readers):
    """Eight seeds: A 1.00 with it, .54 to .57 without, .11 to .20 swapped; B .92 to .97 always."""
    a, b = readers
    with_it, without, swapped = (
        shortcut.scans("test", office=office) for office in ("north", "clean", "swapped")
    )
    assert shortcut.accuracy(a, with_it) > 0.97
    assert shortcut.accuracy(b, with_it) > 0.9
    assert shortcut.accuracy(a, without) < 0.75
    assert shortcut.accuracy(a, swapped) < 0.45
    assert min(shortcut.accuracy(b, without), shortcut.accuracy(b, swapped)) > 0.9


def test_the_gradient_map_gives_it_away(readers):
    """Share of the gradient in the corner (3 % of it), eight seeds: A .26 to .30, B .01 to .03."""
    shares = []
    for model in readers:
        x = shortcut.scans("test").images.clone().requires_grad_()
        logits = model(x)
        gradient = torch.autograd.grad((logits[:, 1] - logits[:, 0]).sum(), x)[0].abs()[:, 0]
        shares.append(gradient[(slice(None), *shortcut.CORNER)].sum() / gradient.sum())
    assert shares[0] > 0.15
    assert shares[1] < 0.06


def test_an_unknown_part_or_smudge_is_a_sentence():
    for wrong, there in (
        ({"part": "dev"}, '"train" and "test"'),
        ({"office": "everywhere"}, "north, south, clean, swapped"),
    ):
        with pytest.raises(CourseError, match=there):
            shortcut.scans(**wrong)
