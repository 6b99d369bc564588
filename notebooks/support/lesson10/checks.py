"""Lesson 10: specificity and sensitivity of a unit, pinning, activations as digits, and the best
match in another dictionary.
"""

from __future__ import annotations

import torch

from helpers.lesson.checks import close, exercise


@exercise
def rates(f) -> str | None:
    """f(acts, inside) -> (specificity, sensitivity) of a unit for a kind of text; acts (N,) >= 0,
    inside (N,) bool.
    """
    acts = torch.tensor([0.1, 2, 3, 1, 0, 0, 0, 0, 4, 0.5, 0, 0])
    inside = torch.tensor(
        [1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0], dtype=torch.bool
    )  # 6 firings, 4 of them inside; 8 inside, 4 of them fired on
    yours = tuple(float(v) for v in f(acts, inside))
    named = {
        (4 / 6, 4 / 8): None,
        (
            4 / 8,
            4 / 6,
        ): (
            "the two are swapped: specificity divides by the firings, sensitivity by the tokens of "
            "that kind"
        ),
        (
            4 / 12,
            4 / 12,
        ): "you divide by all tokens; divide by the firings, and by the tokens of that kind",
        (
            2 / 4,
            4 / 8,
        ): (
            "specificity here is the share of firings that lie inside; yours is the share of "
            "outside tokens that stay silent"
        ),
        (6.1 / 10.6, 4 / 8): "you weigh firings by their size; every firing counts once",
        (2 / 3, 2 / 8): "you count only strong firings; every activation above 0 is a firing",
        (
            1.0,
            1.0,
        ): "nothing was compared: a firing is acts > 0, and the question is whether it is inside",
    }
    for pair, mistake in named.items():
        if close(yours, pair):
            return mistake
    return (
        "with 4 of 6 firings inside and 4 of 8 inside tokens fired on the answer is (0.667, 0.5); "
        f"yours is {tuple(round(v, 3) for v in yours)}"
    )


@exercise
def pinned(f) -> str | None:
    """f(x, f_i, d_i, value): activations x (B, N) with the feature's activation f_i (B,) replaced
    by value, along d_i (N,).
    """
    x = torch.tensor([[1.0, 2, 3, 4], [0, 1, 0, 5]])
    f_i, d_i, value = torch.tensor([2.0, 0.5]), torch.tensor([0.6, 0.0, -0.8, 0.0]), 3.0
    yours = torch.as_tensor(f(x, f_i, d_i, value))
    if yours.shape != x.shape:
        return (
            f"one vector for each token is expected, shape {tuple(x.shape)}; yours has "
            f"{tuple(yours.shape)}"
        )
    right = x + (value - f_i)[:, None] * d_i
    named = [
        (right, None),
        (
            x + value * d_i,
            "you add the value on top of what the feature already does: add only the "
            "difference, value − f_i",
        ),
        (
            x + (f_i - value)[:, None] * d_i,
            "the sign is turned: the feature's own part goes out, the value comes in",
        ),
        (
            x - f_i[:, None] * d_i,
            "this takes the feature out, which is pinning to 0; then the value has to come in",
        ),
        (
            (value * d_i).expand_as(x),
            "only the feature is left: everything else in x, the dictionary's error included, "
            "has to stay",
        ),
        (
            x * (value / f_i)[:, None],
            "you scale the whole vector; only the part along d_i may change",
        ),
    ]
    for answer, mistake in named:
        if close(yours, answer):
            return mistake
    return (
        f"the first token should become {[round(v, 2) for v in right[0].tolist()]}; yours is "
        f"{[round(v, 2) for v in yours[0].tolist()]}"
    )


@exercise
def quantise(f) -> str | None:
    """f(acts, largest): activations as whole numbers 0–9, ten equal intervals between 0 and
    largest.
    """
    acts = torch.tensor([0.0, 0.39, 0.41, 1.9, 2.0, 3.59, 3.61, 4.0])
    right = torch.tensor([0, 0, 1, 4, 5, 8, 9, 9])
    yours = torch.as_tensor(f(acts, 4.0)).double()
    if yours.shape != acts.shape:
        return f"one digit for each activation is expected; yours has shape {tuple(yours.shape)}"
    if close(yours, right.double()):
        alone = torch.as_tensor(f(torch.tensor([1.0]), 4.0)).double()
        return (
            None
            if close(alone, torch.tensor([2.0]).double())
            else "you divide by the largest number given; `largest` is the unit's maximum over all "
            "text"
        )
    scaled = acts.double() / 4
    named = [
        (
            (scaled * 10).floor(),
            "the maximum itself becomes 10: it belongs to the last interval, 9",
        ),
        (
            (scaled * 9).round(),
            "rounding makes the first and the last interval half as wide as the others: take "
            "ten equal intervals",
        ),
        (
            (scaled * 10).round(),
            "eleven digits, 0 to 10: take ten equal intervals, and the maximum into the last",
        ),
        (
            (scaled * 10).round().clamp(max=9),
            "you round: 0.41 of 4 lies in the second interval, and so does all up to 0.8; cut "
            "off instead",
        ),
        (
            (scaled * 9).floor(),
            "nine intervals and a point: multiply by ten, and put the maximum into the last "
            "interval",
        ),
        ((scaled * 10).clamp(max=9), "whole numbers are asked: a person has to type them"),
        (
            acts.double().floor().clamp(max=9),
            "divide by `largest` first: 4.0 is this unit's maximum",
        ),
    ]
    for answer, mistake in named:
        if close(yours, answer.double()):
            return mistake
    return (
        f"with a maximum of 4 these become {right.tolist()}; yours are "
        f"{[round(v, 2) for v in yours.tolist()]}"
    )


@exercise
def best_match(f) -> str | None:
    """f(a, b): for each column of a (T, M) the largest Pearson correlation with a column of b (T,
    K), (M,); a silent unit gets 0.
    """
    generator = torch.Generator().manual_seed(0)
    a = torch.rand(200, 3, generator=generator, dtype=torch.float64) + 3.0
    b = torch.stack(
        [
            -a[:, 0],
            a[:, 1] ** 3,
            a[:, 2] + 0.3 * torch.rand(200, generator=generator, dtype=torch.float64),
            torch.rand(200, generator=generator, dtype=torch.float64),
        ],
        dim=1,
    )
    right = torch.corrcoef(torch.cat([a, b], dim=1).T)[:3, 3:]
    yours = torch.as_tensor(f(a, b)).double()
    if tuple(yours.shape) != (3,):
        return (
            f"one number for each unit of a is expected, shape (3,); yours has {tuple(yours.shape)}"
            + (": that is one for each unit of b" if tuple(yours.shape) == (4,) else "")
        )
    cosine = torch.nn.functional.normalize(a, dim=0).T @ torch.nn.functional.normalize(b, dim=0)
    ranks = lambda x: x.argsort(dim=0).argsort(dim=0).double()
    named = [
        (
            right.abs().amax(1),
            "a unit that falls when the other rises is no match: leave the sign in",
        ),
        (
            cosine.amax(1),
            "this is the cosine: take each unit's mean off first, or two units that are always "
            "on look alike",
        ),
        (
            torch.corrcoef(torch.cat([ranks(a), ranks(b)], dim=1).T)[:3, 3:].amax(1),
            "this is Spearman's: the paper's .72 is Pearson's, of the activations themselves",
        ),
        (right.mean(1), "you average over the units of b: the best one counts"),
    ]
    for answer, mistake in named:
        if close(yours, answer):
            return mistake
    if not close(yours, right.amax(1)):
        return f"the first number should be {right[0].max():.3f}; yours is {yours[0]:.3f}"
    silent = torch.as_tensor(
        f(torch.cat([a, torch.zeros(200, 1, dtype=torch.float64)], dim=1), b)
    ).double()[-1]
    return (
        None
        if close(silent, torch.zeros((), dtype=torch.float64))
        else f"a unit that never fires has no match and counts as 0; yours gives {silent:.3g}"
    )
