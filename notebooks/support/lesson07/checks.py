"""Lesson 07: a patch, a feature's share of a dimension, the border of superposition, kurtosis."""

from __future__ import annotations

import torch

from helpers.lesson.checks import close, compare, exercise


@exercise
def patch(answer) -> str | None:
    """patch(to, source, units): a copy of `to` (B, H) with these units' values from `source`."""
    to, source = torch.arange(12.0).view(3, 4), -10 - torch.arange(12.0).view(3, 4)
    before, right, swapped, zero = (x.clone() for x in (to, to, source, to))
    right[:, [1, 3]] = source[:, [1, 3]]
    swapped[:, [1, 3]] = to[:, [1, 3]]
    zero[:, [1, 3]] = 0
    yours = torch.as_tensor(answer(to, source, [1, 3]))
    if not torch.equal(to, before):
        return (
            "you changed the tensor you were given: the next patch would start from this one; "
            "begin with `to.clone()`"
        )
    if close(yours, source[:, [1, 3]]):
        return "only the patched units come back: the next layer needs all of them, (B, H)"
    mistakes = {
        "the other way round: keep `to`, and take only the named units from `source`": swapped,
        "nothing is patched: what comes back equals `to`": to,
        "this ablates: it sets the units to zero; a patch gives them the values of the other "
        "note": zero,
    }
    columns = "units are columns, rows are notes: `[:, units]` names these units in every note"
    return compare(yours, right, mistakes, otherwise=columns)


@exercise
def dimensionality(answer) -> str | None:
    """answer(W) for one W (m, n): the n numbers |W_i|² / Σ_j (unit W_i · W_j)²."""
    W = torch.tensor([[2.0, -2.0, 0.0, 0.6], [0.0, 0.0, 0.5, 0.8]])
    norm = W.norm(dim=0)
    unit = W / norm
    overlap = unit.T @ W  # (n, n): row i projects all features on direction i
    right = norm**2 / (overlap**2).sum(1)
    yours = torch.as_tensor(answer(W)).double()
    if yours.shape != (4,):
        return (
            "one number a feature is expected, 4 for this W of shape (2, 4); yours has shape "
            f"{tuple(yours.shape)}: features are columns"
        )
    alone = "the sum runs over all j, i itself included: a feature on its own has D = 1"
    if not torch.isfinite(yours).all():
        return alone
    mistakes = {
        "the direction that you project on has to have length 1: divide W_i by its length, inside "
        "the sum only": norm**2 / ((W.T @ W) ** 2).sum(1),
        "here the others are scaled to length 1 too: a short W_j disturbs less, so leave it as "
        "long as it is": norm**2 / ((unit.T @ unit) ** 2).sum(1),
        alone: norm**2 / ((overlap**2).sum(1) - norm**2),
        "square each projection before you add them up": [
            norm**2 / overlap.sum(1),
            norm**2 / overlap.abs().sum(1),
        ],
        "the numerator is the squared length of W_i": norm / (overlap**2).sum(1),
    }
    values = [round(v, 3) for v in right.tolist()], [round(v, 3) for v in yours.tolist()]
    told = f"for this W the answer is {values[0]}, yours is {values[1]}"
    return compare(yours, right, mistakes, otherwise=told)


@exercise
def cheapest(answer) -> str | None:
    """answer(p, r) -> 0 (drop feature 2), 1 (drop feature 1), 2 (opposites): the smallest loss."""

    def losses(p, r):
        spread = p / 3 - p * p / 4  # the variance of a feature
        return [r * spread, spread, p * p * (1 + r) / 6]

    def with_mean_square(p, r):
        return [r * p / 3, p / 3, p * p * (1 + r) / 6]

    def with_one_density(p, r):
        return [*losses(p, r)[:2], p * (1 + r) / 6]

    def without_importance(p, r):
        return [*losses(p, r)[:2], p * p / 6]

    densities = (0.02, 0.1, 0.3, 0.45, 0.5, 0.55, 0.58, 0.65, 0.8, 0.95, 1.0)
    grid = [(p, r) for p in densities for r in (0.15, 0.3, 0.5, 0.8, 1.25, 2.0, 5.0)]
    yours = [float(answer(p, r)) for p, r in grid]
    if any(value not in (0, 1, 2) for value in yours):
        return "0, 1 or 2 is expected: the number of the solution with the smallest loss"

    def choice(rule, best=min):
        return [float(best(range(3), key=lambda i: rule(p, r)[i])) for p, r in grid]

    right = choice(losses)
    mistakes = {
        "you chose the largest loss; training looks for the smallest": choice(losses, max),
        "0 and 1 are exchanged: 0 ignores feature 2 and pays r times its variance": [
            (1.0, 0.0, 2.0)[int(value)] for value in right
        ],
        "an ignored feature is replaced by its mean: what is lost is the variance p/3 − p²/4, not "
        "the mean square p/3": choice(with_mean_square),
        "as opposites they disturb each other only where both are present, which happens with "
        "probability p², not p": choice(with_one_density),
        "where they collide both are wrong: the loss counts 1 for feature 1 and r for feature "
        "2": choice(without_importance),
    }
    if yours == right:
        return None
    for hint, wrong in mistakes.items():
        if yours == wrong:
            return hint
    p, r = next(pair for pair, a, b in zip(grid, yours, right, strict=True) if a != b)
    values = [round(v, 4) for v in losses(p, r)]
    return f"at p = {p}, r = {r} the three losses are {values}; you chose another than the smallest"


@exercise
def kurtosis(answer) -> str | None:
    """answer(x) for x (N, d): fourth moment about the mean over squared variance, a column each."""
    x = torch.tensor([[0.0, 1.0], [0.0, 3.0], [0.0, 3.0], [8.0, 5.0]], dtype=torch.float64)
    centred = x - x.mean(0)
    fourth, variance = (centred**4).mean(0), (centred**2).mean(0)
    right = fourth / variance**2
    yours = torch.as_tensor(answer(x)).double()
    if yours.shape != (2,):
        return (
            "one number a column is expected, 2 for x of shape (4, 2); yours has shape "
            f"{tuple(yours.shape)}: average over dim 0"
        )
    mistakes = {
        "this is the excess over a Gaussian's 3; here the plain kurtosis is asked, 3 for a "
        "Gaussian": right - 3,
        "subtract each column's mean first": (x**4).mean(0) / (x**2).mean(0) ** 2,
        "`var` divides by N − 1; take the mean of the squares, as for the fourth powers": fourth
        / x.var(0) ** 2,
        "square the variance: otherwise the answer depends on the unit of measurement": fourth
        / variance,
        "this is the skewness; the kurtosis takes the fourth power": (centred**3).mean(0)
        / variance**1.5,
    }
    values = [round(v, 3) for v in right.tolist()], [round(v, 3) for v in yours.tolist()]
    told = f"for this x the answer is {values[0]}, yours is {values[1]}"
    return compare(yours, right, mistakes, otherwise=told)
