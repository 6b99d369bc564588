"""Lesson 08: SoLU itself, the LayerNorm that forgets the denominator, the 80 % rule."""

from __future__ import annotations

import torch

from helpers.lesson.checks import compare, exercise


@exercise
def solu(f) -> str | None:
    """f(x): (..., F) -> (..., F), x · softmax(x) over the last dimension, for any size of x."""
    x = torch.tensor([[4.0, 1, 4, 1], [4, 0, 0, 0], [-1, 2, 0.5, 0]])
    soft = x.softmax(1)
    wrong = compare(
        f(x.clone()),
        x * soft,
        {
            "this is the softmax alone; multiply it by x": soft,
            "this is x · sigmoid(x): a neuron looks only at itself, so nothing is inhibited": (
                x * x.sigmoid()
            ),
            "this is the approximation of GELU; SoLU divides by the sum over all neurons": (
                x * (1.7 * x).sigmoid()
            ),
            "this is x · exp(x); now divide by the sum of the exponentials": x * x.exp(),
            "your softmax runs over the tokens, the first dimension; it should run over the last": (
                x * x.softmax(0)
            ),
            "your softmax runs over everything at once: tokens inhibit each other; use the last "
            "dimension": x * x.exp() / x.exp().sum(),
            "you multiply by x minus the largest x; the factor is x itself": (
                (x - x.amax(1, keepdim=True)) * soft
            ),
        },
        otherwise="SoLU(4, 0, 0, 0) is (3.792, 0, 0, 0); yours differs",
    )
    if wrong:
        return wrong
    hint = (
        "right, until x is large: exp(1000) is infinite; subtract the largest x of the same token "
        "before exp"
    )
    large = torch.tensor([[1000.0, 0.0], [1.0, 1.0]])
    return compare(f(large), [[1000.0, 0.0], [0.5, 0.5]], otherwise=hint)


@exercise
def without_denominator(f) -> str | None:
    """f(x): LN(SoLU(x)) without eps, for one vector, with no sum over exponentials."""
    x = torch.tensor([4.0, 1, 3, 1, -2, 0], dtype=torch.float64)
    g = x * x.exp()
    normed = lambda v: (v - v.mean()) / v.std(correction=0)
    wrong = compare(
        f(x),
        normed(g),
        {
            "this is x · exp(x); now take off its mean and divide by its standard deviation": g,
            "you take off the mean; now divide by the standard deviation": g - g.mean(),
            "you divide by the standard deviation; take off the mean first": (
                g / g.std(correction=0)
            ),
            "you divide by the variance: take its root": (g - g.mean()) / g.var(correction=0),
            "your standard deviation divides by F − 1; a LayerNorm divides by F (correction=0)": (
                (g - g.mean()) / g.std()
            ),
            "the factor x is missing: normalise x · exp(x), not exp(x)": normed(x.exp()),
            "this is the LayerNorm of x itself; x · exp(x) goes in": normed(x),
        },
    )
    if wrong:
        return wrong
    hint = (
        "right, until x is large: exp(800) is infinite; take the largest x off inside exp, which "
        "the LayerNorm forgets too"
    )
    alone = normed(torch.tensor([0.0] * 6 + [1.0], dtype=torch.float64))
    return compare(f(torch.cat([x, x.new_tensor([800.0])])), alone, otherwise=hint)


@exercise
def eighty_percent(f) -> str | None:
    """f(firings, base) -> whether one rule explains a neuron; firings: a set of rules each; base:
    how often a rule holds at all.
    """
    base = {"is 'ing'": 0.01, "a number": 0.06, "a comma": 0.05, "in English": 0.4, "a letter": 0.1}
    ask = lambda *groups: bool(f([set(g) for g in groups], dict(base)))
    one = [("is 'ing'",)]
    cases = [
        (
            [("in English",)] + [("in English", "is 'ing'")] * 9,
            True,
            "9 of 10 firings follow one rare rule, and yours says no: look at all firings, and "
            "leave common rules out before you count",
        ),
        (one * 7 + [()] * 3, False, "7 of 10 is less than 80 %, and yours says yes"),
        (
            [("in English",)] * 10,
            False,
            "a rule that holds for 40 % of all tokens is no explanation: use only those with a "
            "base rate of at most 10 %",
        ),
        (
            one * 5 + [("a number",)] * 5,
            False,
            "half follow one rule and half another: a single rule has to reach 80 % by itself",
        ),
        (
            one * 8 + [()] * 2,
            True,
            "8 of 10 is 80 %, and at least 80 % is asked: use >= rather than >",
        ),
        ([("a letter",)] * 10, True, "a base rate of exactly 10 % still counts"),
        (
            [("a number", "a comma")] * 5 + [()] * 5,
            False,
            "you add up two rules that hold for the same firings: count each by itself",
        ),
        ([()] * 10, False, "where no rule holds at all, the answer is no"),
        (
            [("a comma",)] * 4 + [("in English",)],
            True,
            "4 of 5 is 80 %: divide by the number of firings, not by a fixed one",
        ),
    ]
    for firings, right, mistake in cases:
        if ask(*firings) != right:
            return mistake
    return None
