"""Lesson 04's checks: every solution passes, every known mistake gets its own sentence. What its
figures and its game do.

Bounds of the lesson's claims on models trained live (additive attention; fewer starts than five
where a line says so).
Rotten Tomatoes, five starts: F1 .69 to .77 (claimed > .62); gradient and leave one out name the
same word .39 to .50 (< .65); lower end of the gap's interval .04 to .09 (> 0); median change under
shuffling .060 to .119 (< .25); adversary's median divergence .50 to .64 (> .4).
Findings, five starts: F1 1.00 (> .95), lower end of the gap .08 to .35 (> 0). Their change under
shuffling is .17, .87, .04, .95, .61, and what additive scoring adds to tau .20, .17, .44, (not
measured), -.08: no claim.
Stories, five starts: right answers 1.00 (> .9); weight on the last garden .96 to .99 (> .5); names
swapped 1.00 (> .9), names' weight .0002 to .006 (< .1); change under shuffling .84 to .89 (> .4);
divergence .51 to .58 (> .4).
IMDb is shipped: 40 reviews, smallest gap of five starts .15 (> 0); gap .15 (.12 to .19), change .11
(< .2), divergence .59 (> .4), the same word .33 (< .65).
"""

import pytest
import torch

from helpers.lesson.checks import RIGHT
from notebooks.support.lesson04 import checks as check
from notebooks.support.lesson04 import figures
from notebooks.support.lesson04.attention_editor import shift, weigh_view
from tests.notebook_cells import solved


def scores(h, W1, v):
    return torch.tanh(h @ W1.T) @ v


@pytest.mark.parametrize(
    ("attend", "hint"),
    [
        (lambda h, W1, v, c: scores(h, W1, v).masked_fill(~c, -torch.inf).softmax(0), RIGHT),
        (lambda h, W1, v, c: scores(h, W1, v).softmax(0), "the marks at both ends get weight"),
        (lambda h, W1, v, c: scores(h, W1, v).softmax(0) * c, "no longer sum to 1"),
        (
            lambda h, W1, v, c: (scores(h, W1, v) * c).softmax(0),
            "a score of 0 is not a weight of 0",
        ),
        (
            lambda h, W1, v, c: (h @ W1.T @ v).masked_fill(~c, -torch.inf).softmax(0),
            "the tanh is missing",
        ),
        (lambda h, W1, v, c: scores(h, W1, v), "these are the scores"),
        (lambda h, W1, v, c: scores(h, W1, v).masked_fill(~c, -torch.inf), "these are the scores"),
        (
            lambda h, W1, v, c: torch.tanh(h @ W1.T).softmax(0),
            "shape (5,) is expected; yours has the shape (5, 4)",
        ),
        (lambda h, W1, v, c: c / c.sum(), "yours gives [0, 0.3333"),
    ],
)
def test_additive_attention(attend, hint):
    assert hint in check.additive_attention.verdict(attend)


def kl(p, q, tiny=1e-12):
    return (p * (p.clamp_min(tiny).log() - q.clamp_min(tiny).log())).sum()


def js(p, q, tiny=1e-12):
    return (kl(p, (p + q) / 2, tiny) + kl(q, (p + q) / 2, tiny)) / 2


@pytest.mark.parametrize(
    ("jsd", "hint"),
    [
        (js, RIGHT),
        (lambda p, q: 2 * js(p, q), "forget to halve"),
        (lambda p, q: js(p, q) / torch.tensor(2.0).log(), "to base 2"),
        (lambda p, q: js(p, q).sqrt(), "the Jensen–Shannon distance"),
        (kl, "this is KL(p‖q)"),
        (lambda p, q: kl(q, p), "this is KL(q‖p)"),
        (lambda p, q: (kl(p, q) + kl(q, p)) / 2, "you average KL(p‖q) and KL(q‖p)"),
        (lambda p, q: (kl((p + q) / 2, p) + kl((p + q) / 2, q)) / 2, "the middle comes second"),
        (lambda p, q: -js(p, q), "the sign is turned round"),
        (lambda p, q: js(p, q, tiny=0.0), "0 · log 0 counts as 0"),
        (lambda p, q: (p - q).abs().sum() / 2, "yours gives 0.6"),
    ],
)
def test_jensen_shannon(jsd, hint):
    assert hint in check.jensen_shannon.verdict(jsd)


def permuted(alpha, output, n, how="median", signed=False, same=False, weights=None):
    g = torch.Generator().manual_seed(0)
    before, moved = output(alpha), []
    order = torch.tensor([1, 0, 2])
    for _ in range(n):
        order = order if same else torch.randperm(len(alpha), generator=g)
        moved.append(output(alpha[order] if weights is None else weights(g)) - before)
    moved = torch.stack(moved)
    return getattr(moved if signed else moved.abs(), how)()


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        (permuted, RIGHT),
        (lambda a, f, n: permuted(a, f, n, how="mean"), "this looks like the mean"),
        (lambda a, f, n: permuted(a, f, n, signed=True), "your change has a sign"),
        (lambda a, f, n: permuted(a, f, n, same=True), "the same permutation again and again"),
        (lambda a, f, n: permuted(a, f, 10), "asked 11 times"),
        (
            lambda a, f, n: permuted(
                a, f, n, weights=lambda g: torch.rand(3, generator=g).softmax(0)
            ),
            "not permutations",
        ),
        (lambda a, f, n: 0.5, "never asked with other weights"),
        (lambda a, f, n: 2 * permuted(a, f, n), "yours gives 1"),
    ],
)
def test_permutation_test(change, hint):
    assert hint in check.permutation_test.verdict(change)


# ---- the lesson's own folded solutions
def test_the_folded_solutions_are_right():
    space = solved("04", torch=torch)
    assert check.additive_attention.verdict(space["attend"]) == RIGHT
    assert check.permutation_test.verdict(space["change"]) == RIGHT
    assert check.jensen_shannon.verdict(space["divergence"]) == RIGHT


# ---- the game
def test_weights_that_are_moved_stay_a_distribution():
    assert shift([0.5, 0.3, 0.2], 2, 0.5) == pytest.approx([0.25, 0.15, 0.6])
    assert shift([0.5, 0.3, 0.2], 0, 1) == [1, 0, 0]


def test_a_click_moves_weight_and_there_is_a_way_back():
    seen = []
    view = weigh_view(["a", "good", "film"], [0.5, 0.25, 0.25], seen.append)
    view.share.value = 0.6
    view.buttons[1].click()
    assert view.value == pytest.approx([0.2, 0.7, 0.1])
    assert view.buttons[1].description == "good · 70 %"
    view.even.click()
    assert seen[-1] == pytest.approx([1 / 3] * 3)
    view.undo.click()
    view.undo.click()
    view.undo.click()  # nothing is left to take back
    assert view.value == [0.5, 0.25, 0.25]
    view.move(0)
    view.back.click()
    assert view.value == [0.5, 0.25, 0.25]
    assert sum(seen[-2]) == pytest.approx(1)
    colours = {button.style.button_color for button in view.buttons}
    assert len(colours) == 2
    with pytest.raises(ValueError, match="3 words and 2 weights"):
        weigh_view(["a", "b", "c"], [0.5, 0.5], print)


def test_the_game_draws_both_outputs():
    own, now = torch.tensor([0.1, 0.1, 0.8]), torch.tensor([0.9, 0.05, 0.05])
    fig = figures.weighing(["what", "a", "waste"], own, now, (0.012, 0.3), 0.5)
    text, bars = fig.axes
    shade = lambda i: text.texts[i].get_bbox_patch().get_facecolor()
    assert [word.get_text() for word in text.texts] == ["what", "a", "waste"]
    assert shade(1) == shade(2) != shade(0)
    assert bars.get_title() == "moved by 0.288"
    assert [bar.get_width() for bar in bars.patches] == [0.3, 0.012]
