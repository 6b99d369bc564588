"""Lesson 02's checks: each known mistake gets its own sentence. And what its figures draw."""

import warnings

import numpy as np
import pytest
import torch

from helpers.clip import model as clip
from helpers.lesson import plots
from helpers.lesson.checks import RIGHT, UNANSWERED
from notebooks.support.lesson02 import checks as check
from notebooks.support.lesson02 import figures as draw


def adding(by=1, edge=0, rows_first=True, divide=None, put=False):
    def deck_map(gains, boxes, size):
        S, count = torch.zeros(size, size), torch.zeros(size, size)
        for gain, (left, top, right, bottom) in zip(gains, boxes.tolist(), strict=True):
            where = (slice(top, bottom + edge), slice(left, right + edge))
            where = where if rows_first else where[::-1]
            S[where] = gain if put else S[where] + (gain if by else 1)
            count[where] += 1
        return S / (count.clamp(min=1) if divide == "count" else divide or 1)

    return deck_map


@pytest.mark.parametrize(
    ("deck_map", "said"),
    [
        (adding(), RIGHT),
        (adding(rows_first=False), "rows and columns are swapped"),
        (adding(put=True), "do not set"),
        (adding(divide="count"), "nothing is divided"),
        (adding(divide=3), "nothing is divided"),
        (adding(edge=1), "no + 1"),
        (adding(by=None), "counts the crops"),
        (lambda gains, boxes, size: torch.zeros(size), "the shape (5, 5)"),
        (lambda gains, boxes, size: ..., UNANSWERED),
    ],
)
def test_deck_map(deck_map, said):
    assert said in check.deck_map.verdict(deck_map)


def in_place(R, A, dA):
    R += (A * dA).clamp(min=0).mean(0) @ R
    return R


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (in_place, RIGHT),
        (lambda R, A, dA: R + (A * dA).clamp(min=0).mean(0) @ R, RIGHT),
        (lambda R, A, dA: (A * dA).relu().mean(0) @ R, "R stays"),
        (lambda R, A, dA: R + (A * dA).mean(0) @ R, "nothing is clamped"),
        (lambda R, A, dA: R + (A * dA).mean(0).clamp(min=0) @ R, "clamp each head first"),
        (lambda R, A, dA: R + R @ (A * dA).clamp(min=0).mean(0), "not R @ cam"),
        (lambda R, A, dA: R + (A + dA).clamp(min=0).mean(0) @ R, "clamp the product"),
        (lambda R, A, dA: R + A.mean(0) @ R, "attention rollout"),
        (lambda R, A, dA: R + (A * dA).clamp(min=0).sum(0) @ R, "yours is their sum"),
        (lambda R, A, dA: R + (A * dA).clamp(min=0) @ R, "one matrix for all heads"),
        (lambda R, A, dA: R, "one by one"),
    ],
)
def test_relevance_step(step, said):
    assert said in check.relevance_step.verdict(step)


# ---- combine: one scene; a large crop gains in the wrong half, three small ones in the box
def small_only(gains, boxes, size):
    small = (boxes[:, 2] - boxes[:, 0] < 40).to(gains)
    return check.deck(gains * small, boxes, size)


def without_their_mean(gains, boxes, size):
    gains -= gains.mean()  # changes what it was given
    return check.deck(gains, boxes, size)


@pytest.fixture
def crops():
    boxes = torch.tensor([[0, 0, 60, 60], [70, 70, 90, 90], [72, 72, 92, 92], [68, 68, 88, 88]])
    return [(torch.tensor([[0.9], [0.2], [0.2], [0.2]]), boxes, [(70, 70, 90, 90)])]


@pytest.mark.parametrize(
    ("combine", "said"),
    [
        (small_only, RIGHT),
        (check.by_area, RIGHT),
        (lambda g, b, size: check.deck(g, b, size) * 2, "as the deck's sum does"),
        (check.eighth_power, "as the deck's sum does"),
        (lambda g, b, size: -check.deck(g, b, size), "hits 0.00"),
        (lambda g, b, size: check.deck(g, b, size)[0], "the shape (96, 96)"),
        (lambda g, b, size: check.deck(g, b, size) / 0, "divided by 0"),
        (lambda g, b, size: ..., UNANSWERED),
    ],
)
def test_combine(combine, said, crops):
    assert said in check.combine.verdict(combine, crops)


def by(share, form):
    def combine(gains, boxes, size):
        S = check.deck(gains, boxes, size)
        return form(S, share * S.max())

    return combine


@pytest.mark.parametrize(
    ("combine", "said"),
    [
        (without_their_mean, RIGHT),
        (by(0.8, lambda S, bar: S * (bar < S)), "as the deck's sum does"),
        (by(0.5, lambda S, bar: (S - bar).clamp(min=0)), "as the deck's sum does"),
        (by(1, lambda S, bar: (bar <= S).float()), "as the deck's sum does"),
        (by(0.1, lambda S, bar: (S / bar).floor()), "as the deck's sum does"),
    ],
)
def test_a_threshold_of_the_sum_is_refused_and_the_gains_stay_as_they_are(combine, said):
    gains, boxes, things = check.made_up()
    before = gains.clone()
    assert said in check.combine.verdict(combine, [(gains, boxes, things)])
    assert torch.equal(gains, before)


def test_peaks_say_what_is_hit_and_how_many_crops_lie_there(crops):
    hit, under = check.peaks(check.deck, crops)
    assert (hit.tolist(), under.tolist()) == ([False], [1])
    hit, under = check.peaks(small_only, crops)
    assert (hit.tolist(), under.tolist()) == ([True], [3])


def test_the_standings_hold_what_is_written(crops):
    known = check.standings(lambda g, b, size: ..., crops)
    assert list(known) == ["the deck's sum", "its eighth power", "shrunk, by 1/area"]
    assert known["the deck's sum"][0] == 0  # the hit
    assert known["the deck's sum"][1] == pytest.approx(
        0.6 * 400 / (0.9 * 3600 + 1200 * 0.2), rel=0.3
    )
    assert check.standings(small_only, crops)["yours"][0] == 1


# ---- figures: what they draw, not how it looks
IMAGE = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)


def test_maps_lie_over_the_picture_and_boxes_on_their_maps():
    values = torch.zeros(20, 30)
    values[5, 7], values[10, 3] = 2.0, -2.0
    maps = {"a cat": values, "nothing": values * 0}
    fig = draw.overlays(IMAGE, maps, "Two maps.", boxes={"a cat": (6, 4, 9, 8)})
    shown = fig.axes[1].images[1].get_array()
    assert shown[5, 7] == 1  # red for, blue against, at zero the grey picture
    assert shown[10, 3] == -1
    assert shown[0, 0] == 0
    frame = fig.axes[1].patches[0]
    assert (*frame.get_xy(), frame.get_width(), frame.get_height()) == (5.5, 3.5, 3, 4)
    assert not fig.axes[2].patches
    assert fig.caption_text == "Two maps."


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("a cat", "a cat"),
        ("costs $5 or $6", "costs $5 or $6"),
        (r"$\frac$", r"$\frac$"),
        ("x_1^2 {y} % #", "x_1^2 {y} % #"),
        ("naïve Ürümqi Где кот?", "naïve Ürümqi Где кот?"),
        ("東京", "U+6771 U+4EAC"),
        ("a 🦖\u200d here", "a U+1F996 here"),
        ("two\nlines\t\x07", "two lines"),
        ("\ud83d half", "half"),
    ],
)
def test_any_query_can_be_a_title(query, shown):
    fig = draw.overlays(IMAGE, {query: torch.rand(20, 30)}, "One map.")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # "Glyph … missing from font"
        plots.png(fig)
    title = fig.axes[1].title
    text, is_formula = title._preprocess_math(title.get_text())
    assert not is_formula
    assert " ".join(text.split()) == shown


def test_a_square_holds_its_box_and_stays_on_the_picture():
    for box in ((10, 26, 42, 56), (80, 0, 96, 40), (0, 90, 50, 96)):
        left, top, right, bottom = draw.square_round(box)
        assert right - left == bottom - top == max(box[2] - box[0], box[3] - box[1])
        assert 0 <= left <= box[0] < box[2] <= right <= 96
        assert 0 <= top <= box[1] < box[3] <= bottom <= 96


def test_an_empty_square_touches_nothing():
    boxes = [(10, 26, 42, 56), (64, 55, 90, 87)]
    left, top, right, bottom = draw.empty_square(boxes)
    assert right - left == bottom - top == 24
    image = torch.zeros(96, 96)
    for x0, y0, x1, y1 in boxes:
        image[y0:y1, x0:x1] = 1
    assert image[top:bottom, left:right].shape == (24, 24)
    assert not image[top:bottom, left:right].any()


def test_the_playground_asks_what_is_typed_and_no_blanks(monkeypatch):
    model, _, tokenizer = clip.load()
    monkeypatch.setattr(draw, "overlays", lambda image, maps, caption: (maps, caption))
    shelf = {"grey": np.full((96, 96, 3), 99, np.uint8)}
    ask = draw.asker(model, tokenizer, {"mine": lambda model, x, texts: texts}, shelf, "Art.")
    drawn, caption = ask("a dog", " ", "a cat", "grey", "", "mine")
    assert [title.partition(" (cosine")[0] for title in drawn] == ["a dog", "a cat"]
    assert caption == "mine; the cosine is the whole picture's. Art."
