"""Lesson 11's checks, the explorer's atlas, and what its figures draw.

Bounds of what trains live, over six worlds: true features found with 64 directions 37 to 40
(claimed >= 35), of 192 directions the share that is a further one .63 to .67 (claimed > .5),
clusters' families of pure splitting from 16 to 64: 0 in each (claimed < .2), all families' from 64
to 192: .86 to .95 (claimed > .7). All else is about shipped dictionaries.
"""

import re

import pytest
import torch
import torch.nn.functional as F

from helpers.ground.errors import CourseError
from helpers.lesson.checks import RIGHT
from helpers.sae.features import examples
from helpers.sae.model import Dictionary, Settings, SparseAutoencoder
from helpers.sae.splitting import edges
from helpers.transformer import model as transformer
from notebooks.support.lesson11 import checks as check
from notebooks.support.lesson11 import figures as draw
from notebooks.support.lesson11.feature_browser import Atlas, shown
from notebooks.support.lesson11.feature_widget import feature_view


def masks(a, b):
    return [F.cosine_similarity(a[m], b[m], dim=0) for m in (a > 0, b > 0)]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda a, b: max(masks(a, b)), RIGHT),
        (lambda a, b: min(masks(a, b)), "the smaller of the two"),
        (lambda a, b: F.cosine_similarity(a, b, dim=0), "over all tokens"),
        (lambda a, b: masks(a * (b > 0), b * (a > 0))[0], "where both fire"),
        (lambda a, b: torch.corrcoef(torch.stack([a, b]))[0, 1], "Pearson's"),
        (lambda a, b: masks(a, b)[0], "exchange parent and child"),
        (lambda a, b: 0.5, "yours gives 0.500"),
    ],
)
def test_masked_cosine(answer, said):
    assert said in check.masked_cosine.verdict(answer)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda p, c: p[(c > 0).any(dim=1)].sum() / p.sum(), RIGHT),
        (lambda p, c: ((c > 0) * p[:, None]).sum() / p.sum(), "counted twice"),
        (lambda p, c: ((p > 0) & (c > 0).any(dim=1)).sum() / (p > 0).sum(), "you count tokens"),
        (lambda p, c: p[(c > 0).all(dim=1)].sum() / p.sum(), "one is enough"),
        (lambda p, c: c[p > 0].sum() / c.sum(), "the other way"),
        (lambda p, c: 0.1, "yours gives 0.100"),
    ],
)
def test_covered(answer, said):
    assert said in check.covered.verdict(answer)


def counted(owner, dead=False, more_dead=False, all_of_them=False):
    alive = owner if dead else owner[owner >= 0]
    first = len(alive.unique())
    return first, (
        len(owner) - first if more_dead else len(alive) if all_of_them else len(alive) - first
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, RIGHT),
        ({"dead": True}, "no true feature"),
        ({"more_dead": True}, "among your further ones"),
        ({"all_of_them": True}, "all living directions"),
    ],
)
def test_first_and_more(options, said):
    assert said in check.first_and_more.verdict(lambda owner: counted(owner, **options))
    assert "yours gives (1, 2)" in check.first_and_more.verdict(lambda owner: (1, 2))


# ---- the explorer, on small random dictionaries of the real model ----
@pytest.fixture(scope="module")
def atlas():
    from helpers.datasets import corpus
    from helpers.sae.features import sparse_activations

    model, (rows, domains) = transformer.load("lm_relu"), corpus.stream("heldout").contexts()
    rows, domains = rows[:24], domains[:24]
    places = torch.arange(rows.numel())
    found, fired, dictionaries = {}, {}, {}
    for name, width in (("a0", 8), ("a1", 24)):
        dictionaries[name] = Dictionary(
            SparseAutoencoder(Settings(features=width, seed=width)), 1.0
        )
        fired[name] = sparse_activations(dictionaries[name].features, model, rows)
        found[name] = examples(fired[name], rows, domains, places)
    return Atlas(model, dictionaries, found, {("a0", "a1"): edges(fired["a0"], fired["a1"])})


def test_an_address_that_does_not_exist_is_a_sentence(atlas):
    assert atlas.called("a1", 23) == "A/1/23"
    for where, number in (("a1", 24), ("a1", -1), ("a7", 0)):
        with pytest.raises(
            CourseError, match=r"the dictionaries here are a0 \(0 to 7\), a1 \(0 to 23\)"
        ):
            atlas.called(where, number)


def test_one_encoder_row_gives_what_the_whole_dictionary_gives(atlas):
    rows = atlas.rows[:2]
    whole = atlas.dictionaries["a1"].features(atlas.model.activations(rows))[..., 5]
    torch.testing.assert_close(atlas.acts("a1", 5, rows), whole.detach(), rtol=1e-4, atol=1e-4)


def test_relatives_go_both_ways_and_neighbours_are_the_closest_directions(atlas):
    of_parent = [r for r in atlas.relatives("a0", 0, most=99) if r.relation == "child"]
    assert of_parent
    assert all(
        any(
            r.relation == "parent" and r.number == 0
            for r in atlas.relatives("a1", c.number, most=99)
        )
        for c in of_parent
    )
    assert [c.closeness for c in of_parent] == sorted(
        (c.closeness for c in of_parent), reverse=True
    )
    d = atlas.dictionaries["a0"].directions
    best = int((d @ d[3]).masked_fill(torch.arange(8) == 3, -2).argmax())
    assert next(r for r in atlas.relatives("a0", 3) if r.relation == "neighbour").number == best


def test_a_text_is_read_token_by_token(atlas):
    lines = atlas.read("a1", "Let x be a prime.")
    assert [piece for piece, _ in lines][:2] == ["Let", "x"]
    assert all(
        values == sorted(values, reverse=True) and min(values, default=1) > 0
        for values in ([v for _, v in fired] for _, fired in lines)
    )
    with pytest.raises(CourseError, match="give 1 to 127"):
        atlas.read("a1", "word " * 300)


def test_a_page_has_everything_and_no_markup_from_the_text(atlas):
    page = atlas.page("a0", 2)._repr_html_()
    for part in (
        "A/0/2",
        "Where it fires",
        "How often",
        "What it makes likelier",
        "less likely",
        "Relatives",
        "neighbour",
        "Strongest firings",
        "Firings from all strengths",
    ):
        assert part in page
    assert "<end>" not in page
    assert not re.search(
        r"<(?!/?(div|b|br|small|svg|rect|path|text|table|tr|th|td|span|code)\b)", page
    )
    assert "fires on" in repr(atlas.page("a0", 2))
    assert shown(" \n") == "↵"
    assert shown("  ") == "␣"


def test_the_explorer_walks_and_comes_back(atlas):
    view = feature_view(atlas, "a0", 0)
    assert view.value == ("a0", 0)
    assert view.back.disabled
    view.feature.value = 3  # as the arrow keys do
    assert view.value == ("a0", 3)
    number = next(i for i, b in enumerate(view.relatives) if b.description.startswith("▼ child"))
    view.relatives[number].click()
    assert view.value[0] == "a1"
    assert view.dictionary.value == "a1"
    assert view.feature.value == view.value[1]
    view.back.click()
    assert view.value == ("a0", 3)
    assert not view.back.disabled
    view.back.click()
    assert view.value == ("a0", 0)
    assert view.back.disabled
    view.kind.value = "code"
    assert view.value == ("a0", atlas.best("a0", "code"))
    assert view.kind.value == ""
    view.dictionary.value = "a1"
    assert view.value == ("a1", atlas.best("a1", "mathematics"))


def test_the_explorer_answers_mistakes_and_texts(atlas):
    view = feature_view(atlas, "a0", 1)
    view.feature.value = 99
    assert "There is no feature 99 in a0" in view.sentence
    assert view.value == ("a0", 1)
    assert view.feature.value == 1
    view.text.value = "a prime number"
    assert "prime" in view.tokens.value
    assert len(view.firing.options) > 3
    view.firing.value = next(
        value for _, value in view.firing.options if value and value != view.value
    )
    assert view.value == view.firing.value
    view.text.value = "word " * 300
    assert "give 1 to 127" in view.sentence


# ---- figures ----
def test_the_tree_shows_each_edge_with_its_similarity():
    tree = draw.Node(
        "root",
        1.0,
        [draw.Node("left", 0.5, []), draw.Node("right", 0.9, [draw.Node("leaf 日本", 0.6, [])])],
    )
    ax = draw.splitting(tree, ["A/0", "A/1", "A/2"]).axes[0]
    words = [text.get_text() for text in ax.texts]
    assert {"root", "left", "right", "leaf …", "0.50", "0.90", "0.60", "A/2"} <= set(words)
    assert len(ax.lines) == 3
    assert ax.lines[-1].get_linewidth() > min(line.get_linewidth() for line in ax.lines)
