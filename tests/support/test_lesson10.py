"""Lesson 10's checks: solutions pass, every known mistake gets its sentence. Rubric and figures.

All claims of the lesson are about shipped models on held-out text: their bounds leave room for a
bootstrap over contexts, and the kinds of text are measured with a second seed as well.
"""

import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from helpers.datasets import corpus
from helpers.lesson import answers as store_module
from helpers.lesson.answers import pool
from helpers.lesson.checks import RIGHT
from helpers.lesson.rating import Rating
from notebooks.support.lesson10 import checks as check
from notebooks.support.lesson10.feature_rating import (
    ACTIVITY,
    MOST,
    PRACTICE,
    QUESTIONS,
    Unit,
    items,
    points,
    practice,
    result,
)


@pytest.fixture(autouse=True)
def no_memory_of_other_tests():
    store_module._answer_file.cache_clear()


def share(a, b):
    return (a & b).float().sum()


@pytest.mark.parametrize(
    ("f", "said"),
    [
        (lambda a, i: (i[a > 0].float().mean(), (a > 0)[i].float().mean()), RIGHT),
        (lambda a, i: ((a > 0)[i].float().mean(), i[a > 0].float().mean()), "the two are swapped"),
        (lambda a, i: (share(a > 0, i) / len(a), share(a > 0, i) / len(a)), "divide by all tokens"),
        (
            lambda a, i: ((a[~i] == 0).float().mean(), (a > 0)[i].float().mean()),
            "outside tokens that stay silent",
        ),
        (lambda a, i: (a[i].sum() / a.sum(), (a > 0)[i].float().mean()), "weigh firings"),
        (
            lambda a, i: (i[a > a.max() / 3].float().mean(), (a > a.max() / 3)[i].float().mean()),
            "only strong firings",
        ),
        (lambda a, i: (1.0, 1.0), "nothing was compared"),
        (lambda a, i: (0.3, 0.3), "(0.667, 0.5)"),
    ],
)
def test_rates(f, said):
    assert said in check.rates.verdict(f)


@pytest.mark.parametrize(
    ("f", "said"),
    [
        (lambda x, f, d, v: x + (v - f)[:, None] * d, RIGHT),
        (lambda x, f, d, v: x + v * d, "only the difference"),
        (lambda x, f, d, v: x + (f - v)[:, None] * d, "sign is turned"),
        (lambda x, f, d, v: x - f[:, None] * d, "pinning to 0"),
        (lambda x, f, d, v: (v * d).expand_as(x), "only the feature is left"),
        (lambda x, f, d, v: x * (v / f)[:, None], "scale the whole vector"),
        (lambda x, f, d, v: v * d, "one vector for each token"),
        (lambda x, f, d, v: x, "should become"),
    ],
)
def test_pinned(f, said):
    assert said in check.pinned.verdict(f)


@pytest.mark.parametrize(
    ("f", "said"),
    [
        (lambda a, m: (a / m * 10).long().clamp(0, 9), RIGHT),
        (lambda a, m: (a / m * 10).long(), "becomes 10"),
        (lambda a, m: (a / m * 9).round(), "half as wide"),
        (lambda a, m: (a / m * 10).round(), "eleven digits"),
        (lambda a, m: (a / m * 10).round().clamp(max=9), "you round"),
        (lambda a, m: (a / m * 9).floor(), "nine intervals"),
        (lambda a, m: (a / m * 10).clamp(0, 9), "whole numbers"),
        (lambda a, m: a.floor(), "divide by `largest`"),
        (lambda a, m: (a / a.max() * 10).long().clamp(0, 9), "over all text"),
        (lambda a, m: a.sum(), "one digit for each"),
        (lambda a, m: a * 0, "these become"),
    ],
)
def test_quantise(f, said):
    assert said in check.quantise.verdict(f)


def centred(x):
    return F.normalize(x - x.mean(dim=0), dim=0)


def pearson(a, b):
    return centred(a).T @ centred(b)


def ranks(x):
    return x.argsort(dim=0).argsort(dim=0).double()


@pytest.mark.parametrize(
    ("f", "said"),
    [
        (lambda a, b: pearson(a, b).amax(1), RIGHT),
        (
            lambda a, b: torch.corrcoef(torch.cat([a, b], 1).T)[: a.shape[1], a.shape[1] :].amax(1),
            "counts as 0",
        ),
        (lambda a, b: pearson(a, b).abs().amax(1), "leave the sign in"),
        (
            lambda a, b: (F.normalize(a, dim=0).T @ F.normalize(b, dim=0)).amax(1),
            "this is the cosine",
        ),
        (lambda a, b: pearson(ranks(a), ranks(b)).amax(1), "Spearman"),
        (lambda a, b: pearson(a, b).mean(1), "average over the units"),
        (lambda a, b: pearson(a, b).amax(0), "one for each unit of b"),
        (lambda a, b: 0 * a[0], "the first number should be"),
    ],
)
def test_best_match(f, said):
    assert said in check.best_match.verdict(f)


# ---- the rubric
def small_items(each=4):
    rows = corpus.stream("heldout").contexts()[0][:20]

    def unit(n):
        acts = lambda r: (r * (n + 3)) % 17 / 16.0
        places = torch.arange(20) * 128 + n + 5
        return Unit(
            acts,
            places,
            torch.cat([places, places])[:36].view(12, 3),
            1.0,
            torch.arange(corpus.VOCABULARY).float(),
        )

    return items(
        {"features": unit, "neurons": lambda n: unit(n + 50)},
        {"features": range(9), "neurons": range(9)},
        rows,
        each=each,
    )


def test_points_add_up_to_fourteen_and_the_last_question_falls_away():
    full = {"confidence": 3, "activations": 5, "logits": 3}
    assert (
        points(full | {"all explained": 1})
        == points(full | {"all explained": 0, "specificity": 3})
        == MOST
    )
    assert (
        points(
            {"confidence": 0, "activations": 0, "logits": 0, "all explained": 0, "specificity": 0}
        )
        == 0
    )
    last = QUESTIONS[-1]
    assert last.applies({"all explained": 0})
    assert not last.applies({"all explained": 1})
    assert [len(q.choices) - 1 for q in QUESTIONS[1:]] == [3, 5, 3, 1, 3]


def test_items_are_blind():
    found = small_items()
    assert len({item.key for item in found}) == 8
    assert [i.condition for i in found].count("neurons") == 4
    for item in found:
        page = item.content._repr_html_() + repr(item.content)
        assert re.fullmatch("[0-9a-f]{8}", item.key)
        assert not re.search("feature|neuron", page)
        assert len(item.content.top.excerpts) == 6
        assert len(item.content.uniform.excerpts) == 12
        assert len(item.content.raised) == 12


def test_a_whole_rating_by_keys_and_its_result(tmp_path):
    rating = Rating(ACTIVITY, small_items(), QUESTIONS, tmp_path)
    while not rating.done:
        rating.give("some words")
        for key in "3531" if rating.item.condition == "features" else "00000":
            rating.press(key)
    found = result(pool(tmp_path, ACTIVITY).records)
    assert found["features"].tolist() == [14] * 4
    assert found["neurons"].tolist() == [0] * 4
    with pytest.raises(ValueError, match="never pooled"):
        result([*pool(tmp_path, ACTIVITY).records, *practice(small_items())])


def test_practice_data_says_what_it_is_and_prefers_nobody():
    made_up = practice(small_items(), people=300)
    assert {r.activity for r in made_up} == {PRACTICE} != {ACTIVITY}
    assert abs(np.diff([v.mean() for v in result(made_up).values()])[0]) < 0.5


# ---- figures: what they draw, not how it looks
def test_figures_count_ratings_and_take_medians():
    from notebooks.support.lesson10 import figures as plots

    fig = plots.rubric({"features": np.array([14, 14, 9]), "neurons": np.array([0])}, "ours", True)
    assert [sum(p.get_height() for p in ax.patches[:15]) for ax in fig.axes] == [3, 1]
    assert fig.axes[0].patches[14].get_height() == 2
    assert [[line.get_xdata()[0] for line in ax.lines] for ax in fig.axes] == [[14, 12], [0, 0]]
    assert (
        "pressed at random"
        in plots.rubric({"features": np.array([7])}, "PRACTICE", False).caption_text
    )
    values = {"features": [0.1, 0.5, 0.9], "neurons": [0.0, 0.2]}
    fig = plots.scores({"a": values}, {"a": {"features": 0.58}}, {"a": 0.5}, "somebody")
    lines = fig.axes[0].lines
    assert [list(x.get_ydata()) for x in lines if x.get_label() == "median"][0] == [0.5, 0.5]
    assert "somebody" in fig.caption_text
    two = {"t": {"features, all": np.array([0.2, 0.4])}, "u": {"neurons": np.array([0.1])}}
    fig = plots.universality(two, {"t": {"features": 0.72}})
    assert fig.axes[0].lines[0].get_xdata()[0] == pytest.approx(0.3)
