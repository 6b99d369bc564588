"""Lesson 08's checks: solutions pass, every known mistake gets its sentence. Ratings and figures.

All claims of the lesson are about shipped models on held-out text; their intervals are bootstraps
over contexts or neurons.
"""

import re

import pytest
import torch

from helpers.datasets import corpus
from helpers.lesson import answers as store_module
from helpers.lesson.answers import pool
from helpers.lesson.checks import RIGHT
from helpers.lesson.rating import Rating
from helpers.transformer.model import OneLayerTransformer, Settings, initialise
from notebooks.support.lesson08 import checks as check
from notebooks.support.lesson08.neuron_rating import (
    ACTIVITY,
    PRACTICE,
    QUESTION,
    items,
    practice,
    result,
)

CHECKS = [check.solu, check.without_denominator, check.eighty_percent, check.share_unlike]


@pytest.fixture(autouse=True)
def no_memory_of_other_tests():
    store_module._answer_file.cache_clear()


@pytest.mark.parametrize(
    ("f", "said"),
    [
        (lambda x: x * x.softmax(-1), RIGHT),
        (lambda x: x * x.exp() / x.exp().sum(-1, keepdim=True), "until x is large"),
        (lambda x: x.softmax(-1), "softmax alone"),
        (lambda x: x * x.sigmoid(), "looks only at itself"),
        (lambda x: x * (1.7 * x).sigmoid(), "approximation of GELU"),
        (lambda x: x * x.softmax(0), "over the tokens, the first"),
        (lambda x: x * x.exp() / x.exp().sum(), "everything at once"),
        (lambda x: x.softmax(-1) ** 2, "softmax squared"),
        (lambda x: 0 * x, "is (3.792, 0, 0, 0)"),
    ],
)
def test_solu(f, said):
    assert said in check.solu.verdict(f)


def normed(g, *, correction=0, power=1.0, mean=True):
    return (g - g.mean() * mean) / g.std(correction=correction) ** power


@pytest.mark.parametrize(
    ("f", "said"),
    [
        (lambda x: normed(x * (x - x.max()).exp()), RIGHT),
        (lambda x: normed(x * x.exp()), "exp(800) is infinite"),
        (lambda x: x * x.exp(), "now take off its mean and divide"),
        (lambda x: normed(x * x.exp(), power=0), "now divide by the standard deviation"),
        (lambda x: normed(x * x.exp(), mean=False), "take off the mean first"),
        (lambda x: normed(x * x.exp(), power=2), "take its root"),
        (lambda x: normed(x * x.exp(), correction=1), "divides by F − 1"),
        (lambda x: normed(x.exp()), "the factor x is missing"),
        (lambda x: normed(x), "LayerNorm of x itself"),
        (lambda x: 0 * x, "the first number is"),
    ],
)
def test_without_denominator(f, said):
    assert said in check.without_denominator.verdict(f)


def judge(firings, base, share=0.8, most=0.1, at_least=True, add=False, number=None):
    counts = {}
    for rule in (r for firing in firings for r in firing if base[r] <= most):
        counts[rule] = counts.get(rule, 0) + 1
    best, need = (
        sum(counts.values()) if add else max(counts.values(), default=0),
        share * (number or len(firings)),
    )
    return best >= need - 1e-9 if at_least else best > need + 1e-9


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, RIGHT),
        ({"share": 0.95}, "9 of 10 firings follow"),
        ({"share": 0.6}, "7 of 10 is less"),
        ({"most": 1.0}, "a base rate of at most 10 %"),
        ({"most": 0.05}, "exactly 10 % still counts"),
        ({"add": True}, "by itself"),
        ({"at_least": False}, ">= rather than >"),
        ({"number": 10}, "not by a fixed one"),
    ],
)
def test_eighty_percent(options, said):
    assert said in check.eighty_percent.verdict(
        lambda firings, base: judge(firings, base, **options)
    )


def test_eighty_percent_without_any_rule():
    assert "the answer is no" in check.eighty_percent.verdict(
        lambda f, b: judge(f, b) if any(f) else True
    )


def unlike(acts, follows, low, high, relative=True, closed=(False, True), keep=None):
    a = acts / acts.max() if relative else acts
    inside = ((a >= low) if closed[0] else (a > low)) & ((a <= high) if closed[1] else (a < high))
    return keep(inside, follows) if keep else (~follows[inside]).float().mean()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, RIGHT),
        ({"closed": (True, True)}, "open below"),
        ({"closed": (True, False)}, "open below"),
        ({"relative": False}, "your bin is empty"),
        ({"keep": lambda inside, f: f[inside].float().mean()}, "asked is the share that does not"),
        ({"keep": lambda inside, f: (inside & ~f).float().mean()}, "divide by all tokens: divide"),
        (
            {"keep": lambda inside, f: (inside & ~f).sum() / (~f).sum()},
            "all tokens that break the rule",
        ),
        ({"keep": lambda inside, f: (inside & ~f).sum()}, "counts tokens"),
        ({"keep": lambda inside, f: torch.tensor(0.7)}, "yours is 0.7"),
        ({"keep": lambda inside, f: torch.tensor(1 / 3)}, "all three firings follow"),
    ],
)
def test_share_unlike(options, said):
    assert said in check.share_unlike.verdict(lambda *args: unlike(*args, **options))


# ---- rating neurons
def small_items(each=4):
    model = OneLayerTransformer(Settings(d_model=16, d_mlp=32))
    initialise(model, 0)
    rows = corpus.stream("heldout").contexts()[0][:20]
    places = torch.arange(20)[None] * 128 + torch.arange(32)[:, None] + 5  # (32 neurons, 20)
    places[:10, 3:] = -1  # neurons that hardly fire
    return items({"SoLU": (model, places), "GELU": (model, places)}, rows, each=each)


def test_items_are_blind_and_leave_out_silent_neurons():
    found = small_items()
    assert len({item.key for item in found}) == 8
    assert {item.condition for item in found} == {
        "SoLU",
        "GELU",
    }
    for item in found:
        assert re.fullmatch("[0-9a-f]{8}", item.key)
        assert len(item.content.excerpts) == 15
        page = item.content._repr_html_() + repr(item.content)
        assert "SoLU" not in page
        assert "GELU" not in page
        assert item.content.largest == max(e.values[e.at] for e in item.content.excerpts)


def test_a_whole_rating_by_keys_and_its_result(tmp_path):
    rating = Rating(ACTIVITY, small_items(), [QUESTION], tmp_path)
    while not rating.done:
        rating.press("1" if rating.item.condition == "SoLU" else "0")
    shares = result(pool(tmp_path, ACTIVITY).records)
    assert shares == {"GELU": (0, 0, 0, 4), "SoLU": (1, 1, 1, 4)}
    with pytest.raises(ValueError, match="never pooled"):
        result([*pool(tmp_path, ACTIVITY).records, *practice(small_items())])


def test_practice_data_says_what_it_is_and_prefers_nobody():
    made_up = practice(small_items(), people=200)
    assert {r.activity for r in made_up} == {PRACTICE} != {ACTIVITY}
    shares = result(made_up)
    assert all(abs(share - 0.5) < 0.06 for share, *_ in shares.values())
