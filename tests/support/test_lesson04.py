"""Lesson 04's checks: every solution passes, every known mistake gets its own sentence. What its figures and its game do.

Bounds of the lesson's claims on models trained live (additive attention; fewer starts than five where a line says so).
Rotten Tomatoes, five starts: F1 .69 to .77 (claimed > .62); gradient and leave one out name the same word .39 to .50 (< .65);
lower end of the gap's interval .04 to .09 (> 0); median change under shuffling .060 to .119 (< .25); adversary's median divergence .50 to .64 (> .4).
Findings, five starts: F1 1.00 (> .95), lower end of the gap .08 to .35 (> 0). Their change under shuffling is .17, .87, .04, .95, .61, and what additive
scoring adds to tau .20, .17, .44, (not measured), -.08: no claim.
Stories, five starts: right answers 1.00 (> .9); weight on the last garden .96 to .99 (> .5); names swapped 1.00 (> .9), names' weight
.0002 to .006 (< .1); change under shuffling .84 to .89 (> .4); divergence .51 to .58 (> .4).
IMDb is shipped: 40 reviews, smallest gap of five starts .15 (> 0); gap .15 (.12 to .19), change .11 (< .2), divergence .59 (> .4), the same word .33 (< .65).
"""

import json
import re
from pathlib import Path

import pytest
import torch

from helpers.lesson.checks import RIGHT
from notebooks.support.lesson04 import checks as check
from notebooks.support.lesson04 import figures as plots
from notebooks.support.lesson04.attention_editor import shift, weigh_view

LESSON = Path(__file__).resolve().parents[2] / "notebooks" / "04_attention_is_not_explanation.ipynb"
CHECKS = [check.additive_attention, check.permutation_test, check.jensen_shannon]


def scores(h, W1, v):
    return torch.tanh(h @ W1.T) @ v


@pytest.mark.parametrize(
    ("attend", "said"),
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
        (lambda h, W1, v, c: torch.tanh(h @ W1.T).softmax(0), "shape (5,); yours has shape (5, 4)"),
        (lambda h, W1, v, c: c / c.sum(), "yours are [0.0, 0.333"),
    ],
)
def test_additive_attention(attend, said):
    assert said in check.additive_attention.verdict(attend)


def kl(p, q, tiny=1e-12):
    return (p * (p.clamp_min(tiny).log() - q.clamp_min(tiny).log())).sum()


def js(p, q, tiny=1e-12):
    return (kl(p, (p + q) / 2, tiny) + kl(q, (p + q) / 2, tiny)) / 2


@pytest.mark.parametrize(
    ("jsd", "said"),
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
        (lambda p, q: (p - q).abs().sum() / 2, "yours is 0.6000"),
    ],
)
def test_jensen_shannon(jsd, said):
    assert said in check.jensen_shannon.verdict(jsd)


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
    ("change", "said"),
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
        (lambda a, f, n: 2 * permuted(a, f, n), "yours is 1"),
    ],
)
def test_permutation_test(change, said):
    assert said in check.permutation_test.verdict(change)


# ---- the lesson's own folded solutions
def test_the_folded_solutions_are_right():
    space, said = {"torch": torch}, {}
    for cell in json.loads(LESSON.read_text(encoding="utf-8"))["cells"]:
        for block in re.findall(
            r"<summary>Solution.*?```python\n(.*?)```", "".join(cell["source"]), re.S
        ):
            exec(block, space)
    for one, name in zip(CHECKS, ("attend", "change", "divergence"), strict=True):
        said[name] = one.verdict(space[name])
    assert set(said.values()) == {RIGHT}, said


# ---- the game
def test_weights_that_are_moved_stay_a_distribution():
    assert shift([0.5, 0.3, 0.2], 2, 0.5) == pytest.approx([0.25, 0.15, 0.6])
    assert shift([0.5, 0.3, 0.2], 0, 1) == [1, 0, 0]


def test_a_click_moves_weight_and_there_is_a_way_back():
    seen = []
    view = weigh_view(["a", "good", "film"], [0.5, 0.25, 0.25], seen.append)
    view.share.value = 0.6
    view.buttons[1].click()
    assert (
        view.value == pytest.approx([0.2, 0.7, 0.1])
        and view.buttons[1].description == "good · 70 %"
    )
    view.even.click()
    assert seen[-1] == pytest.approx([1 / 3] * 3)
    view.undo.click()
    view.undo.click()
    view.undo.click()  # nothing is left to take back
    assert view.value == [0.5, 0.25, 0.25]
    view.move(0)
    view.back.click()
    assert view.value == [0.5, 0.25, 0.25] and sum(seen[-2]) == pytest.approx(1)
    colours = {button.style.button_color for button in view.buttons}
    assert len(colours) == 2
    with pytest.raises(ValueError, match="3 words and 2 weights"):
        weigh_view(["a", "b", "c"], [0.5, 0.5], print)


# ---- figures: what they draw, not how it looks
def test_figures_draw_what_they_are_given():
    words, own, other = (
        ["what", "a", "waste"],
        torch.tensor([0.1, 0.1, 0.8]),
        torch.tensor([0.9, 0.05, 0.05]),
    )
    fig = plots.two_readings(
        words, [("original", own, 0.012, "f"), ("adversarial", other, 0.013, "g")], "Two."
    )
    assert [ax.get_title() for ax in fig.axes] == ["original", "adversarial"]
    assert [text.get_text() for text in fig.axes[1].texts] == [*words, "g = 0.013"]
    shade = lambda ax, i: ax.texts[i].get_bbox_patch().get_facecolor()
    assert shade(fig.axes[0], 2) == shade(fig.axes[1], 0) != shade(fig.axes[0], 0)
    fig = plots.weighing(words, own, other, (0.012, 0.3), 0.5)
    assert fig.axes[1].get_title() == "moved by 0.288" and [
        b.get_width() for b in fig.axes[1].patches
    ] == [0.3, 0.012]
    largest, change = torch.tensor([0.1] * 6 + [0.9] * 6), torch.arange(12) / 20
    (ax,) = plots.permutation_violins({"one": (largest, change)}, "Violins.").axes
    assert [t.get_text() for t in ax.texts] == ["n = 6", "n = 0", "n = 0", "n = 6"]
    assert [line.get_xdata()[0] for line in ax.lines] == pytest.approx([0.125, 0.425])
    fig = plots.weights_in_rows(
        words * 20, {"one": own.repeat(20), "two": other.repeat(20)}, "Rows."
    )
    assert (
        len(fig.axes[0].texts) == 60 and len({t.get_position()[1] for t in fig.axes[0].texts}) > 3
    )
