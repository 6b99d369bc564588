"""Lesson 09's checks: solutions pass, every known mistake gets its sentence. And its figures.

Bounds of what trains live, over five seeds of the small dictionary: loss recovered .76 to .77
(claimed > .6), lost without the input bias .080 to .083 (claimed > .04). All else is about shipped
dictionaries.
"""

import math

import pytest
import torch

from helpers.lesson.checks import RIGHT, UNANSWERED
from notebooks.support.lesson09 import checks as check
from notebooks.support.lesson09 import figures as draw


def by_groups(p, fires, *, weigh=True, base=math.e, split=True):
    total = 0.0
    for group in (p[fires], p[~fires]) if split else (p,):
        if len(group):
            guess = group / group.sum()
            total -= float(((group if weigh else guess) * guess.log()).sum())
    return total / math.log(base)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, RIGHT),
        ({"base": 2}, "these are bits"),
        ({"weigh": False}, "weigh each by how often"),
        ({"split": False}, "without any neuron"),
    ],
)
def test_neuron_loss(options, said):
    assert said in check.neuron_loss.verdict(lambda p, fires: by_groups(p, fires, **options))


def test_neuron_loss_in_one_line_and_a_neuron_that_never_fires():
    def solution(p, fires):
        return -(p * (p / torch.where(fires, p[fires].sum(), p[~fires].sum())).log()).sum()

    def careless(p, fires):
        return by_groups(p, fires) if fires.any() else math.nan

    assert check.neuron_loss.verdict(solution) == RIGHT
    assert "never fires" in check.neuron_loss.verdict(careless)


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (lambda i, r, a: (a - r) / (a - i), RIGHT),
        (lambda i, r, a: (r - i) / (a - i), "the share that is lost"),
        (lambda i, r, a: i / r, "a ratio of losses"),
        (lambda i, r, a: r / a, "a ratio of losses"),
        (lambda i, r, a: (r - a) / (a - i), "the sign is turned"),
        (lambda i, r, a: 0.5, ".75; yours gives 0.5"),
    ],
)
def test_recovered(share, said):
    assert said in check.recovered.verdict(share)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda x, f, d, i: x - f[:, i, None] * d[i], RIGHT),
        (lambda x, f, d, i: x + f[:, i, None] * d[i], "you add the feature"),
        (lambda x, f, d, i: x - d[i], "take it f_i times"),
        (lambda x, f, d, i: f @ d - f[:, i, None] * d[i], "this is the reconstruction"),
        (lambda x, f, d, i: f[:, i], "should have the shape"),
        (lambda x, f, d, i: x, "by nothing else"),
    ],
)
def test_without_feature(edit, said):
    assert said in check.without_feature.verdict(edit)


# ---- the slide's code ----
SLIDE = """
import torch.nn as nn
import torch as ch

class SparseAutoEncoder(nn.Module):
    def __init__(self, lambda: float):
        self.lambda = lambda
        input_dim = 128
        hidden_dim = input_dim * 8
        self.bias_d = nn.Parameter(ch.ones(input_dim,))
        self.W_e = nn.Linear(input_dim, hidden_dim)
        self.W_d = nn.Linear(hidden_dim, input_dim, bias=False)

    def forward(self, x):
        x_hat = x - self.bias_d
        f = nn.ReLU(self.W_e(x_hat))
        x_cap = self.W_d(f) + self.bias_d
        return x_cap, f

    def loss(self, x, y):
        y_hat, f = self.forward(x)
        loss = nn.MSELoss()(y, y_hat)
        loss += self.lambda * ch.norm(f, 1)
        return loss
"""
NORMALISE = """    def normalise(self):
        with ch.no_grad():
            self.W_d.weight /= self.W_d.weight.norm(dim=0)

"""
RESAMPLE = """    def resample(self, x):
        with ch.no_grad():
            dead = (self(x)[1] == 0).all(dim=0)
            drawn = x[ch.randint(len(x), (int(dead.sum()),))]
            new = nn.functional.normalize(drawn - self.bias_d, dim=1)
            self.W_e.weight[dead], self.W_e.bias[dead] = 0.2 * new, 0.0
            self.W_d.weight[:, dead] = new.T

"""
RUNGS = [  # (what the text is changed from, to; the rung that says so while it is missing)
    (
        [
            ("lambda: float", "l1: float"),
            ("self.lambda = lambda", "self.l1 = l1"),
            ("self.lambda * ", "self.l1 * "),
        ],
        "not answered yet: 0 of 9",
        "`lambda` is a word",
    ),
    (
        [("        self.l1 = l1", "        super().__init__()\n        self.l1 = l1")],
        "1 of 9",
        "super().__init__()",
    ),
    (
        [("nn.ReLU(self.W_e(x_hat))", "nn.functional.relu(self.W_e(x_hat))")],
        "2 of 9",
        "builds a layer",
    ),
    (
        [
            ("def loss(self, x, y)", "def loss(self, x)"),
            ("nn.MSELoss()(y, y_hat)", "nn.MSELoss()(y_hat, x)"),
        ],
        "3 of 9",
        "take y away",
    ),
    ([("ch.norm(f, 1)", "f.abs().sum(dim=-1).mean()")], "4 of 9", "64 times in one batch"),
    ([("input_dim = 128", "input_dim = 512")], "5 of 9", "residual stream's width"),
    ([("ch.ones(input_dim,)", "ch.zeros(input_dim)")], "6 of 9", "further than 0 does"),
    ([("    def forward", NORMALISE + "    def forward")], "7 of 9", "divided by 10"),
    ([("    def forward", RESAMPLE + "    def forward")], "8 of 9", "stays dead for ever"),
]


def mended(without: int | None = None) -> str:
    text = SLIDE
    for number, (changes, _, _) in enumerate(RUNGS):
        for old, new in changes if number != without else ():
            assert old in text
            text = text.replace(old, new, 1)
    return text


@pytest.fixture(scope="module")
def acts():
    """Stand for activations: never negative, most of them 0, of mean norm √512."""
    x = (torch.randn(2048, 512, generator=torch.Generator().manual_seed(0)) - 1).relu()
    return x * 512**0.5 / x.norm(dim=1).mean()


def test_the_mended_code_passes(acts):
    assert check.mend.verdict(mended(), acts) == RIGHT
    assert check.mend.verdict("  ", acts) == UNANSWERED


@pytest.mark.parametrize("number", range(9))
def test_each_fault_alone_is_named(acts, number):
    text = (
        mended(without=number) if number else SLIDE
    )  # the later repairs hang on the first one's names
    _, count, said = RUNGS[number]
    verdict = check.mend.verdict(text, acts)
    assert verdict.startswith(count), verdict
    assert said in verdict
    assert "\n" not in verdict


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1", "it defines 0"),
        ("import numpyy", "ModuleNotFoundError"),
        (
            mended().replace("return x_cap, f", "return x_cap"),
            "should return the reconstruction and the features",
        ),
        (mended().replace("(x_hat))", "(x_hat)) - 1"), "no feature below 0"),
        (mended().replace("0.2 * new, 0.0", "0.2 * new, -100.0"), "still never fire"),
    ],
)
def test_other_texts_end_in_a_sentence(acts, text, said):
    assert said in check.mend.verdict(text, acts)


def test_columns_kept_at_length_one_inside_forward_are_as_good(acts):
    text = mended(without=7).replace(
        "self.W_d(f) +",
        "nn.functional.linear(f, nn.functional.normalize(self.W_d.weight, dim=0)) +",
    )
    assert check.mend.verdict(text, acts) == RIGHT


def test_checking_leaves_the_readers_random_numbers_alone(acts):
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    check.mend.verdict(mended(), acts)
    assert torch.equal(torch.rand(3), wanted)


# ---- figures ----
def test_densities_are_counted_and_silent_features_stand_apart():
    fig = draw.density(torch.tensor([0.0, 0.0, 0.01, 0.5]), 3, 10, 12.0)
    heights = [patch.get_height() for patch in fig.axes[0].patches]
    assert sum(heights[:-1]) == 2
    assert heights[-1] == 2
    assert draw.strongest(["a", "\n", "b"], [0.0, 2.0, 1.0]) == "a⟦↵⟧b"
