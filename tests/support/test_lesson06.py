"""Lesson 06's checks: every solution passes, every known mistake has its sentence. Its figures.

Bounds of the lesson's claims on models trained live, over six seeds of the reviews network: right
on new sentences .71 to .75 (claimed > .68), accuracy of the attributions' sign minus the base rate
.33 to .38 (claimed > .25).
"""

import pytest
import torch

from helpers.datasets.reviews import Split
from helpers.ground.errors import CourseError
from helpers.lesson.checks import RIGHT
from notebooks.support.lesson06 import checks as check
from notebooks.support.lesson06 import figures, reader, simulation
from notebooks.support.lesson06.counterexamples import CASES, tent
from tests.notebook_cells import solved


def orders(first, last):
    """A Shapley value that weighs a feature's two places in an order as given."""

    def shapley(f, x, baseline):
        (a, b), (a0, b0) = x, baseline
        one = first * (f(a, b0) - f(a0, b0)) + last * (f(a, b) - f(a0, b))
        two = first * (f(a0, b) - f(a0, b0)) + last * (f(a, b) - f(a, b0))
        return one, two

    return shapley


def halfway(f, x, baseline):
    """Feature 2's effect with feature 1 half way: not the mean of both where f bends."""
    (a, b), (a0, b0) = x, baseline
    half = (a + a0) / 2
    return orders(0.5, 0.5)(f, x, baseline)[0], f(half, b) - f(half, b0)


@pytest.mark.parametrize(
    ("shapley", "hint"),
    [
        (orders(0.5, 0.5), RIGHT),
        (lambda *args: torch.tensor(orders(0.5, 0.5)(*args)), RIGHT),
        (orders(1, 1), "forget to halve"),
        (orders(1, 0), "when it comes first"),
        (orders(0, 1), "when it comes last"),
        (lambda *args: orders(0.5, 0.5)(*args)[::-1], "wrong order"),
        (lambda f, x, baseline: orders(0.5, 0.5)(f, x, (0.0, 0.0)), "never used `baseline`"),
        (lambda f, x, baseline: 1.0, "shape (2,) is expected"),
        (lambda f, x, baseline: (1.0, 2.0), "is expected; yours gives"),
        (lambda f, x, baseline: (15.75, 12.75), "is expected; yours gives"),  # the first input's
        (halfway, "is expected; yours gives"),
    ],
)
def test_shapley_two(shapley, hint):
    assert hint in check.shapley_two.verdict(shapley)


def pieces(beyond=1.0, below=1.0, *, ratio=True, shift=False, gap=0.1):
    """A piece with some of its parts wrong."""

    def piece(z, x, background):
        up, down = (lambda z: (z - x - gap).relu()), (lambda z: (x - gap - z).relu())
        size = up(background).mean() / down(background).mean() if ratio else 1
        moved = up(background).mean() if shift else 0
        return beyond * up(z) - below * size * down(z) - moved

    return piece


def upside_down(z, x, background):
    up, down = (lambda z: (z - x - 0.1).relu()), (lambda z: (x - 0.1 - z).relu())
    return up(z) - down(background).mean() / up(background).mean() * down(z)


def ahead(shape):
    """Another shape ahead of x, balanced below as it should be."""

    def piece(z, x, background):
        up, down = (lambda z: shape((z - x - 0.1).relu())), (lambda z: (x - 0.1 - z).relu())
        return up(z) - up(background).mean() / down(background).mean() * down(z)

    return piece


def two_bends_below(z, x, background):
    """What it does below x - 0.1 is the learner's choice."""
    up, down = (lambda z: (z - x - 0.1).relu()), (lambda z: (x - 0.1 - z).relu())
    twice = lambda z: down(z) + down(z + 0.1)
    return up(z) - up(background).mean() / twice(background).mean() * twice(z)


def below_is(value):
    """Right ahead of x, and this value below x - 0.1."""
    return lambda z, x, background: (z - x - 0.1).relu().masked_fill(z < x - 0.1, value)


@pytest.mark.parametrize(
    ("piece", "hint"),
    [
        (pieces(), RIGHT),
        (lambda z, x, background: simulation.balanced(z, x, background), RIGHT),
        (lambda z, x, background: two_bends_below(z, x, background), RIGHT),
        (lambda z, x, background: 2 * simulation.balanced(z, x, background), "with slope 1"),
        (lambda z, x, background: simulation.balanced(z, x, background) / 50, "with slope 1"),
        (pieces(gap=0.3), "with slope 1"),
        (pieces(gap=0.05), "within 0.1 of x"),
        (ahead(lambda up: up**2), "with slope 1"),
        (ahead(lambda up: (up > 0) * 0.5), "with slope 1"),
        (ahead(lambda up: up - 2 * (up - 0.4).relu()), "with slope 1"),
        (lambda z, x, background: simulation.balanced(z, 1.0, background), "0.1 of x"),
        (pieces(below=0), "its mean over the background is not 0"),
        (pieces(below=0, shift=True), "no longer silent at x"),
        (pieces(below=-1), "the wrong sign"),
        (upside_down, "the ratio is upside down"),
        (pieces(ratio=False), "only by luck"),
        (pieces(-1, -1), "turned round"),
        (pieces(gap=0.0), "within 0.1 of x"),
        (lambda z, x, background: pieces()(z, x, z), "the rest of z"),
        (below_is(float("nan")), "not finite"),
        (below_is(float("inf")), "not finite"),
        (pieces(below=0.5), "its mean over the background is 0.0"),
    ],
)
def test_piece(piece, hint):
    assert hint in check.piece.verdict(piece)


@pytest.mark.parametrize(
    ("falls", "hint"),
    [
        (lambda e, s: (e - e.mean(0)) @ s / (len(e) - 1), RIGHT),
        (lambda e, s: e @ s / len(e), "this is gradient × input"),
        (lambda e, s: (e - e.mean(0)) @ s / len(e), "not by n"),
        (lambda e, s: (e - e.mean(0)) @ s, "how far does the mean move"),
        (lambda e, s: (e - (e.sum(0) - e) / (len(e) - 1)) @ s, "mean of the rest by n"),
        (lambda e, s: (e - (e.sum(0) - e) / (len(e) - 1)) @ s / len(e), RIGHT),
        (lambda e, s: (e.mean(0) - e) @ s / (len(e) - 1), "turned round"),
        (lambda e, s: torch.zeros(4), "is expected; yours gives"),
        (lambda e, s: torch.tensor([-0.5, 3.5, -3, 0]).double() / 3, "shape (3,) is expected"),
    ],
)
def test_deletion(falls, hint):
    assert hint in check.deletion.verdict(falls)


# ---- the lesson's own folded solutions
def test_the_folded_solutions_are_right():
    space = solved("06")
    assert check.shapley_two.verdict(space["shapley_two"]) == RIGHT
    assert check.piece.verdict(space["silent_piece"]) == RIGHT
    assert check.deletion.verdict(space["falls_by_gradient"]) == RIGHT


# ---- the network that reads reviews
@pytest.fixture(scope="module")
def small():
    texts = ["a good film", "a bad film", "good and warm", "bad and cold"] * 8
    return reader.train_reader(Split(texts, [1, 0, 1, 0] * 8), epochs=12)


def test_the_reader_learns_and_reads_words_it_knows(small):
    assert reader.accuracy(small, Split(["a good warm film", "cold bad film"], [1, 0])) == 1
    assert small.encode("unheard").tolist() == [reader.RARE] == small.encode("").tolist()
    assert reader.tokens("Isn't it, well, GOOD?") == ["isn't", "it", ",", "well", ",", "good", "?"]


def test_a_fall_is_the_output_before_minus_after(small):
    words = small.encode("a good film")
    by_hand = [
        small(words[None]) - small(small.encode(t)[None]) for t in ("good film", "a film", "a good")
    ]
    torch.testing.assert_close(reader.fall_without(small, words), torch.cat(by_hand))


def test_one_word_cannot_be_deleted(small):
    with pytest.raises(CourseError, match="at least two words"):
        reader.fall_without(small, small.encode("good"))


def test_training_leaves_the_global_stream_alone():
    before = torch.get_rng_state()
    reader.train_reader(Split(["a b", "a c"] * 4, [1, 0] * 4), epochs=1)
    assert torch.equal(before, torch.get_rng_state())


# ---- figures: what they draw, not how it looks
def test_the_counterexamples_are_drawn_with_their_numbers():
    fig = figures.counterexamples(CASES, "Four cases.")
    assert {ax.get_title() for ax in fig.axes} - {""} == {
        "attribution +0.50 · slope -3",
        "each: attribution +0.25 · slope -3",
        "attribution 0 · slope +1",
        "each: attribution 0 · slope +1",
    }


@pytest.mark.parametrize(
    ("x", "title"), [(0.5, "same sign"), (1.2, "signs differ"), (2.5, "same sign")]
)
def test_attribution_and_slope_agree_or_part(x, title):
    assert figures.parting(tent, x).axes[1].get_title() == title


def test_dots_are_right_where_the_signs_agree():
    dots = figures.effects({"words": ([1.0, -1, 2], [0.5, -0.5, -1])}, "Dots.").axes[0].lines[:2]
    assert [len(line.get_xdata()) for line in dots] == [2, 1]
