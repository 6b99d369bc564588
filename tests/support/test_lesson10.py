"""Lesson 10's checks: its solutions pass, every known mistake gets its sentence. The rubric.

All claims of the lesson are about shipped models on held-out text. The bound of the explanations'
difference was set before anybody had scored them.
"""

import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import spearmanr

from helpers.datasets import corpus
from helpers.lesson import answers as store_module
from helpers.lesson.answers import pool
from helpers.lesson.checks import RIGHT
from helpers.lesson.rating import Rating
from helpers.sae.features import PROXIES, Examples, examples, proxy_masks, sparse_activations
from helpers.sae.store import load
from helpers.transformer.model import OneLayerTransformer, Settings
from helpers.transformer.model import load as load_transformer
from notebooks.support.lesson10 import checks as check
from notebooks.support.lesson10 import feature_rating as rating
from notebooks.support.lesson10 import figures
from notebooks.support.lesson10.autointerp import spearman
from notebooks.support.lesson10.units import Units, best_match
from tests.notebook_cells import solutions

SOLUTIONS = solutions("10")


@pytest.fixture(autouse=True)
def no_memory_of_other_tests():
    store_module._answer_file.cache_clear()


def answer(code: str, name: str):
    space = {"torch": torch, "spearman": spearman, "spearmanr": spearmanr}
    exec(code, space)
    return space[name]


def in_place(x, f, d, v):
    x += (v - f)[:, None] * d
    return x


@pytest.mark.parametrize(
    ("f", "said"),
    [
        (answer(SOLUTIONS["10.1"], "pinned"), RIGHT),
        (in_place, RIGHT),
        (lambda x, f, d, v: x + v * d, "only the difference"),
        (lambda x, f, d, v: x + (f - v)[:, None] * d, "sign is turned"),
        (lambda x, f, d, v: x - f[:, None] * d, "which is v = 0"),
        (lambda x, f, d, v: (v * d).expand_as(x), "only the feature is left"),
        (lambda x, f, d, v: x * (v / f)[:, None], "scale the whole vector"),
        (lambda x, f, d, v: v * d, "is expected; yours has the shape"),
        (lambda x, f, d, v: x, "is expected; yours gives"),
    ],
)
def test_pinned(f, said):
    assert said in check.pinned.verdict(f)


SCORE = SOLUTIONS["10.2"]
EACH = "sum(spearmanr(s.levels, speaker.simulate(words, s.tokens)).statistic for s in hidden)"


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("", "", RIGHT),
        ("explain(shown)", "explain(shown[::-1])", RIGHT),
        ("explain(shown)", "explain(hidden)", "from `shown` alone"),
        ("explain(shown)", "explain(shown + hidden)", "from `shown` alone"),
        ("explain(shown)", "explain(shown[:1])", "all of them"),
        ("explain(shown)", "explain([s.tokens for s in shown])", "with their levels"),
        ("speaker.explain(shown)", '"my own words"', "from `shown` alone"),
        ("simulate(words,", 'simulate("even",', "gets the words"),
        ("in hidden", "in shown", "written from"),
        ("snippet.tokens)", "snippet.levels)", "never its levels"),
        ("in hidden", "in hidden[:2]", "each hidden snippet once"),
        ("spearman(true", "np.corrcoef(true", "Pearson's"),
        ("spearman(true, guessed)", "mean", "no mean over snippets"),
        ("spearman(true, guessed)", "7.0", "is expected; yours gives"),
    ],
)
def test_score(right, wrong, said):
    assert right in SCORE
    code = "import numpy as np\n" + SCORE.replace(right, wrong, 1)
    code = code.replace("guessed)", "guessed)[0, 1]") if "corrcoef" in code else code
    if wrong == "mean":
        head = "def score(speaker, shown, hidden):\n    words = speaker.explain(shown)\n"
        code = f"{head}    return {EACH} / 3"
    assert said in check.score.verdict(answer(code, "score"))


def centred(x):
    return F.normalize(x - x.mean(dim=0), dim=0)


def pearson(a, b):
    return centred(a).T @ centred(b)


def correlations(a, b):
    return torch.corrcoef(torch.cat([a, b], 1).T)[: a.shape[1], a.shape[1] :]


def ranks(x):
    return x.argsort(dim=0).argsort(dim=0).double()


@pytest.mark.parametrize(
    ("f", "said"),
    [
        (answer(SOLUTIONS["10.3"], "best_match"), RIGHT),
        (best_match, RIGHT),
        (lambda a, b: correlations(a, b).amax(1), "counts as 0"),
        (lambda a, b: correlations(a, b).nan_to_num().amax(1), RIGHT),
        (lambda a, b: correlations(a, b).amax(1).nan_to_num(), "before the maximum"),
        (lambda a, b: pearson(a, b).abs().amax(1), "leave the sign in"),
        (
            lambda a, b: (F.normalize(a, dim=0).T @ F.normalize(b, dim=0)).amax(1),
            "this is the cosine",
        ),
        (lambda a, b: pearson(ranks(a), ranks(b)).amax(1), "Spearman"),
        (lambda a, b: pearson(a, b).mean(1), "average over the units"),
        (lambda a, b: pearson(a, b).amax(0), "not of b"),
        (lambda a, b: 0 * a[0], "is expected; yours gives"),
    ],
)
def test_best_match(f, said):
    assert said in check.best_match.verdict(f)


# ---- section 3's other network
@pytest.mark.long
def test_at_equal_recall_features_are_ahead_in_one_kind_of_five_in_the_second_transformer():
    """Cell "What you should see" of section 3. Chosen on other text than judged on."""
    rows, domains = corpus.stream("heldout").contexts()
    model, b1 = load_transformer("lm_relu_b").requires_grad_(False), load("b1")
    fresh, masks = rows[1::12][:640], proxy_masks(rows[1::12][:640], domains[1::12][:640])
    fired, best = [], []
    for units in (b1.features, None):
        seen = sparse_activations(units, model, rows[::8])
        some = rows[::8].flatten(), domains[::8].flatten(), torch.arange(seen.shape[0])
        best.append(examples(seen, *some).correlation.argmax(dim=0))
        fired.append(sparse_activations(units, model, fresh))
    ahead = 0
    for k in map(PROXIES.index, ("arabic script", "base64", "dna", "latex", "code")):
        feature, neuron = (acts[:, int(i[k])] for acts, i in zip(fired, best, strict=True))
        at = neuron.indices[np.argsort(-neuron.data)]  # strongest first
        goal = masks[k][feature.indices].sum()
        strict = at[: np.searchsorted(masks[k][at].cumsum(), goal) + 1]
        ahead += masks[k][feature.indices].mean() > masks[k][strict].mean()
    assert ahead == 1


# ---- the rubric
@pytest.fixture(scope="module")
def units():
    """Nine units on twenty contexts that fire on every token, and can be read."""
    rows = corpus.stream("heldout").contexts()[0][:20]
    places = (torch.arange(36) * 69 + 10).repeat(9, 1)
    one, top = torch.ones(9), places[:, :20]
    none = torch.zeros(9, 12)
    seen = Examples(one, one, top, top * 0.0, places.view(9, 12, 3), none, none, none, none, none)
    units = Units(OneLayerTransformer(Settings(d_model=16, d_mlp=9, heads=2)), rows, seen)
    units.readable = lambda: list(range(9))
    return units


def dealt(units, each=2):
    return rating.items({"features": units, "neurons": units}, each=each, seed=3)


def test_points_add_up_to_fourteen_and_the_last_question_falls_away():
    full = {"confidence": 3, "activations": 5, "logits": 3}
    last = {"all explained": 0, "specificity": 3}
    assert rating.points(full | {"all explained": 1}) == rating.points(full | last) == rating.MOST
    assert rating.points(dict.fromkeys([*full, *last], 0)) == 0
    asked = rating.QUESTIONS[-1]
    assert asked.applies({"all explained": 0})
    assert not asked.applies({"all explained": 1})
    assert [len(q.choices) - 1 for q in rating.QUESTIONS[1:]] == [3, 5, 3, 1, 3]


def test_items_are_blind(units):
    found = dealt(units)
    assert len({item.key for item in found}) == 4
    assert [i.condition for i in found].count("neurons") == 2
    for item in found:
        page = item.content._repr_html_() + repr(item.content)
        assert re.fullmatch("[0-9a-f]{8}", item.key)
        assert not re.search("feature|neuron", page)
        assert len(item.content.top.excerpts) == 6
        assert len(item.content.uniform.excerpts) == 12
        assert len(item.content.raised) == 12


def test_a_whole_rating_by_keys_and_its_result(units, tmp_path):
    mine = Rating(rating.ACTIVITY, dealt(units), rating.QUESTIONS, tmp_path)
    while not mine.done:
        mine.give("some words")
        for key in "3531" if mine.item.condition == "features" else "00000":
            mine.press(key)
    found = rating.result(pool(tmp_path, rating.ACTIVITY).records)
    assert found["features"].tolist() == [14] * 2
    assert found["neurons"].tolist() == [0] * 2
    made_up = rating.practice(dealt(units))
    with pytest.raises(ValueError, match="never pooled"):
        rating.result([*pool(tmp_path, rating.ACTIVITY).records, *made_up])


def test_practice_data_says_what_it_is_and_prefers_nobody(units):
    made_up = rating.practice(dealt(units), people=600)
    assert {r.activity for r in made_up} == {rating.PRACTICE} != {rating.ACTIVITY}
    assert abs(np.diff([v.mean() for v in rating.result(made_up).values()])[0]) < 0.5


def test_the_figure_counts_ratings_and_takes_medians():
    points = {"features": np.array([14, 14, 9]), "neurons": np.array([0])}
    fig = figures.rubric(points, "ours")
    assert [sum(p.get_height() for p in ax.patches[:15]) for ax in fig.axes] == [3, 1]
    assert fig.axes[0].patches[14].get_height() == 2
    assert [[line.get_xdata()[0] for line in ax.lines] for ax in fig.axes] == [[14, 12], [0, 0]]
