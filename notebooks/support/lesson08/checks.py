"""Lesson 08: SoLU itself, the LayerNorm that forgets the denominator, and the 80 % rule as a
program.
"""

from __future__ import annotations

import torch

from helpers.lesson.checks import close, exercise


@exercise
def solu(f) -> str | None:
    """f(x): (..., F) -> (..., F), x · softmax(x) over the last dimension."""
    x = torch.tensor([[4.0, 1, 4, 1], [4, 0, 0, 0], [-1, 2, 0.5, 0]])
    yours, soft = torch.as_tensor(f(x)), x.exp() / x.exp().sum(1, keepdim=True)
    named = [
        (x * soft, None),
        (soft, "this is the softmax alone; multiply it by x"),
        (
            x * torch.sigmoid(x),
            "this is x · sigmoid(x): a neuron looks only at itself, so nothing is inhibited",
        ),
        (
            x * torch.sigmoid(1.7 * x),
            "this is the approximation of GELU; SoLU divides by the sum over all neurons",
        ),
        (
            x * x.exp() / x.exp().sum(0),
            "your softmax runs over the tokens, the first dimension; it should run over the last",
        ),
        (
            x * x.exp() / x.exp().sum(),
            "your softmax runs over everything at once: tokens inhibit each other; use the "
            "last dimension",
        ),
        (soft * soft, "this is softmax squared; one of the two factors should be x itself"),
    ]
    for values, mistake in named:
        if close(yours, values):
            if mistake:
                return mistake
            big = torch.as_tensor(f(torch.tensor([1000.0, 0.0])))
            return (
                None
                if close(big, [1000.0, 0.0])
                else "right, until x is large: exp(1000) is infinite; torch.softmax takes care of "
                "that"
            )
    return (
        "SoLU(4, 0, 0, 0) is (3.792, 0, 0, 0); yours is "
        f"{tuple(round(v, 3) for v in yours[1].flatten().tolist())}"
    )


@exercise
def without_denominator(f) -> str | None:
    """f(x): LN(SoLU(x)) without eps, for one vector, with neither softmax nor a sum over
    exponentials.
    """
    x = torch.tensor([4.0, 1, 3, 1, -2, 0], dtype=torch.float64)
    g = x * x.exp()
    right = (g - g.mean()) / g.var(correction=0).sqrt()
    yours = torch.as_tensor(f(x)).double()
    if close(yours, right):
        big = torch.as_tensor(
            f(torch.cat([x, torch.tensor([800.0], dtype=torch.float64)]))
        ).double()
        want = torch.full((7,), -1 / 6**0.5, dtype=torch.float64)
        want[-1] = 6**0.5
        return (
            None
            if close(big, want)
            else (
                "right, until x is large: exp(800) is infinite; take the largest x off inside exp, "
                "which the LayerNorm forgets too"
            )
        )
    named = [
        (g, "this is x · exp(x); now take off its mean and divide by its standard deviation"),
        (g - g.mean(), "you take off the mean; now divide by the standard deviation"),
        (
            g / g.var(correction=0).sqrt(),
            "you divide by the standard deviation; take off the mean first",
        ),
        ((g - g.mean()) / g.var(correction=0), "you divide by the variance: take its root"),
        (
            (g - g.mean()) / g.std(),
            "your standard deviation divides by F − 1; a LayerNorm divides by F (correction=0)",
        ),
        (
            (x.exp() - x.exp().mean()) / x.exp().var(correction=0).sqrt(),
            "the factor x is missing: normalise x · exp(x), not exp(x)",
        ),
        (
            (x - x.mean()) / x.var(correction=0).sqrt(),
            "this is the LayerNorm of x itself; x · exp(x) goes in",
        ),
    ]
    for values, mistake in named:
        if close(yours, values):
            return mistake
    return (
        f"for (4, 1, 3, 1, −2, 0) the first number is {right[0].item():.3f}; yours is "
        f"{yours.flatten()[0].item():.3g}"
    )


@exercise
def eighty_percent(f) -> str | None:
    """f(firings, base) -> whether one rule explains a neuron; firings: a set of rules each; base:
    how often a rule holds at all.
    """
    base = {"is 'ing'": 0.01, "a number": 0.06, "a comma": 0.05, "in English": 0.4, "a letter": 0.1}
    ask = lambda *groups: bool(f([set(g) for g in groups], dict(base)))
    one = [("is 'ing'",)]
    cases = [
        (one * 9 + [()], True, "9 of 10 firings follow one rule, and yours says no"),
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


@exercise
def share_unlike(f) -> str | None:
    """f(acts, follows, low, high): of the firings between two shares of the largest activation, the
    share that breaks the rule.
    """
    acts = torch.tensor([8.0, 7, 5, 4, 3.5, 3, 2, 1, 0, -1, -2])
    follows = torch.tensor([1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 0], dtype=torch.bool)
    yours = float(
        f(acts, follows, 0.25, 0.5)
    )  # in (2, 4] lie 4, which breaks the rule, and 3.5 and 3, which follow it
    if close(yours, 1 / 3):
        strong = float(f(acts, follows, 0.5, 1.0))
        return (
            None
            if close(strong, 0.0)
            else "between a half and the largest all three firings follow the rule; yours says "
            f"{strong:.3g} do not"
        )
    edge = (
        "the bin is open below and closed above: an activation of exactly `low` · max is out, one "
        "of `high` · max is in"
    )
    named = {
        2 / 3: "this is the share that follows the rule; asked is the share that does not",
        1 / 4: edge,
        0.0: edge,
        1 / 11: "you divide by all tokens: divide by those in the bin",
        1 / 5: "you divide by all tokens that break the rule: divide by those in the bin",
        1.0: "this counts tokens rather than giving a share: divide by how many lie in the bin",
    }
    for value, mistake in named.items():
        if close(yours, value):
            return mistake
    if yours != yours:
        return "your bin is empty: `low` and `high` are shares of acts.max(), not activations"
    return (
        "between a quarter and a half of the largest lie three firings, one of which breaks the "
        f"rule: 0.333; yours is {yours:.3g}"
    )
