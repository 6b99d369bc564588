"""Lesson 05's checks: every solution passes, every known mistake gets its own sentence. And what
its figures draw.

The bounds of its claims lie outside the lowest and highest of five seeds in the stored tables, but
for the guide that leaks (LEAKSEEDS).
"""

import pytest
import torch
from sklearn.metrics import f1_score

from helpers.attention import faithfulness
from helpers.attention.faithfulness import kl
from helpers.attention.model import uniform
from helpers.attention.tables import load
from helpers.datasets import clinical_notes
from helpers.lesson.checks import RIGHT
from notebooks.support.lesson05 import checks as check
from notebooks.support.lesson05 import figures
from tests.notebook_cells import solved


@pytest.mark.parametrize(
    ("weights", "hint"),
    [
        (lambda c: c / c.sum(-1, keepdim=True), RIGHT),
        (lambda c: torch.ones(c.shape) / c.shape[1], "special tokens and padding get weight"),
        (lambda c: c.float(), "divide each row by its sum"),
        (lambda c: c / c.shape[1], "the width of the batch"),
        (lambda c: c / c.sum(), "all texts together"),
        (lambda c: c.float().softmax(-1), "a softmax over 0 and 1"),
        (
            lambda c: (c + 0.5) / (c + 0.5).sum(-1, keepdim=True),
            "special tokens or padding have weight",
        ),
        (lambda c: c[0] / c[0].sum(), "shape (2, 6) is expected"),
        (lambda c: 2 * c / c.sum(-1, keepdim=True), "yours gives"),
    ],
)
def test_uniform_weights(weights, hint):
    assert hint in check.uniform_weights.verdict(weights)


def tv(p, b):
    return (p - b).abs()


@pytest.mark.parametrize(
    ("loss", "hint"),
    [
        (lambda p, b, x, y, lam: (tv(p, b) - lam * kl(x, y)).mean(), RIGHT),
        (lambda p, b, x, y, lam: (tv(p, b) + lam * kl(x, y)).mean(), "LIKE the base model's"),
        (lambda p, b, x, y, lam: (tv(p, b) - lam * kl(y, x)).mean(), "wrong way round"),
        (lambda p, b, x, y, lam: (tv(p, b) - lam * kl(x, y)).sum(), "take the mean"),
        (lambda p, b, x, y, lam: (tv(p, b) - kl(x, y)).mean(), "λ is missing"),
        (lambda p, b, x, y, lam: tv(p, b).mean(), "where is the attention"),
        (lambda p, b, x, y, lam: -lam * kl(x, y).mean(), "nothing keeps the output"),
        (lambda p, b, x, y, lam: (tv(p, b) / 2 - lam * kl(x, y)).mean(), "halved once too often"),
        (lambda p, b, x, y, lam: (tv(p, b) * 2 - lam * kl(x, y)).mean(), "twice too large"),
        (lambda p, b, x, y, lam: (lam * kl(x, y) - tv(p, b)).mean(), "all signs are turned round"),
        (lambda p, b, x, y, lam: tv(p, b) - lam * kl(x, y), "one number is expected"),
        (lambda p, b, x, y, lam: 7.0, "yours gives 7"),
    ],
)
def test_adversary_loss(loss, hint):
    assert hint in check.adversary_loss.verdict(loss)


@pytest.mark.parametrize(
    ("guide", "hint"),
    [
        (check.first_or_last, RIGHT),
        (lambda c, p: torch.where(p[:, None] > 0.5, uniform(c), check.first_or_last(c, p)), RIGHT),
        (lambda c, p: uniform(c), "nothing leaks"),
        (lambda c, p: check.first_or_last(c, 0 * p), "nothing leaks"),
        (lambda c, p: torch.eye(9)[torch.where(p > 0.5, 1, 8)], "before the end token"),
        (lambda c, p: c * p[:, None], "must sum to 1"),
        (lambda c, p: torch.where(p > 0.5, 1, -1)[:, None] * uniform(c), "below 0"),
        (lambda c, p: 0.3 * check.first_or_last(c, p) + 0.7 * uniform(c), "at least half"),
        (lambda c, p: check.first_or_last(c, 1 * (p > 0.8)), "the same answer"),
        (lambda c, p: p, "shape (5, 9) is expected"),
    ],
)
def test_leaky_guide(guide, hint):
    assert hint in check.leaky_guide.verdict(guide)


# ---- the lesson's own folded solutions
def test_the_folded_solutions_are_right():
    space = solved("05", faithfulness=faithfulness, torch=torch)
    assert check.uniform_weights.verdict(space["uniform_weights"]) == RIGHT
    assert check.adversary_loss.verdict(space["adversary_loss"]) == RIGHT
    assert check.leaky_guide.verdict(space["leaky_guide"]) == RIGHT
    content, p = torch.tensor([[False, True, True, False]] * 2), torch.tensor([0.9, 0.1])
    assert torch.equal(space["leaky_guide"](content, p), check.first_or_last(content, p))


# ---- figures: what they draw, not how it looks
def test_strips_share_one_scale():
    weights = torch.tensor([[0.0, 0.5, 0.5], [0.0, 1.0, 0.0]])
    fig = figures.strips(weights, ["<start>", "good", "film"], caption="Strips.")
    (image,) = fig.axes[0].images
    assert image.get_clim() == (0, 1)
    assert image.get_array().shape == (2, 3)


def test_scores_show_ours_above_the_papers():
    (ax,) = figures.scores({"ours": {"x": 0.9}}, {"theirs": {"x": 0.8}}, "Scores.").axes
    assert [t.get_text() for t in ax.get_yticklabels()] == ["ours (here)", "theirs (paper)"]


# ---- what the lesson says in words of the stored notes, and prints no claim of
@pytest.fixture(scope="module")
def notes():
    return load("findings")


@pytest.fixture(scope="module")
def near(notes):  # (N, T): 1 within two words of a finding
    mask = torch.zeros_like(notes.alpha["base"])
    fillers = clinical_notes.talk()
    for n, one in enumerate(clinical_notes.load(500, seed=1, history=(0, 0), fillers=fillers)):
        for m in one.mentions:
            mask[n, max(m.position - 1, 1) : m.position + 4] = 1
    return mask


def share(notes, near, weights, label):
    return float((weights * near).sum(1)[notes.label == label].mean())


def test_two_honest_seeds_look_at_findings_less_than_uniform_weights_do(notes, near):
    even = share(notes, near, uniform(notes.alpha["base"] > 0), 1)
    shares = [share(notes, near, notes.alpha[name], 1) for name in notes.starts()]
    assert sum(value < even for value in shares) == 2
    assert sum(value > 0.9 for value in shares) == 4


def test_an_adversary_of_a_model_that_looks_elsewhere_looks_at_the_findings(notes, near):
    assert share(notes, near, notes.alpha["adversary 0.0001"], 1) > 0.9


def test_the_guide_s_order_holds_in_every_seed(notes):
    def f1(name):
        return f1_score(notes.label, notes.p[name] > 0.5)

    for more, than in (("own", "uniform"), ("base LSTM", "own"), ("adversary", "uniform")):
        pairs = zip(notes.starts(f"MLP {more}"), notes.starts(f"MLP {than}"), strict=True)
        assert all(f1(a) > f1(b) for a, b in pairs)
