"""Lesson 07: a patch, a feature's share of a dimension, the border of superposition, and how spiky a basis is."""

from __future__ import annotations

import torch

from helpers.lesson.checks import close, exercise


@exercise
def patch(answer) -> str | None:
    """patch(to, source, units): a copy of `to` (B, H) in which these units have the values that they have in `source`."""
    to, source = torch.arange(12.0).view(3, 4), -10 - torch.arange(12.0).view(3, 4)
    before, expected = to.clone(), to.clone()
    expected[:, [1, 3]] = source[:, [1, 3]]
    yours = torch.as_tensor(answer(to, source, [1, 3]))
    if not torch.equal(to, before):
        return "you changed the tensor you were given: the next patch would start from this one; begin with `to.clone()`"
    if close(yours, expected):
        return None
    swapped = source.clone()
    swapped[:, [1, 3]] = to[:, [1, 3]]
    if close(yours, swapped):
        return "the other way round: keep `to`, and take only the named units from `source`"
    if close(yours, to):
        return "nothing is patched: what comes back equals `to`"
    zero = to.clone()
    zero[:, [1, 3]] = 0
    if close(yours, zero):
        return "this ablates: it sets the units to zero; a patch gives them the values of the other note"
    if close(yours, source[:, [1, 3]]):
        return "only the patched units come back: the next layer needs all of them, (B, H)"
    return "units are columns, rows are notes: `[:, units]` names these units in every note"


@exercise
def dimensionality(answer) -> str | None:
    """answer(W) for one W (m, n): the n numbers |W_i|^2 / sum_j (unit W_i · W_j)^2."""
    W = torch.tensor([[2.0, -2.0, 0.0, 0.6], [0.0, 0.0, 0.5, 0.8]])
    norm = W.norm(dim=0)
    overlap = (W / norm).T @ W  # (n, n): row i projects all features on direction i
    right = norm**2 / (overlap**2).sum(1)
    yours = torch.as_tensor(answer(W)).double()
    if close(yours, right):
        return None
    if yours.shape != (4,):
        return f"one number a feature is expected, 4 for this W of shape (2, 4); yours has shape {tuple(yours.shape)}: features are columns"
    if close(yours, norm**2 / ((W.T @ W) ** 2).sum(1)):
        return "the direction that you project on has to have length 1: divide W_i by its length, inside the sum only"
    if close(yours, norm**2 / (((W / norm).T @ (W / norm)) ** 2).sum(1)):
        return "here the others are scaled to length 1 too: a short W_j disturbs less, so leave it as long as it is"
    if close(yours, norm**2 / ((overlap**2).sum(1) - norm**2)) or not torch.isfinite(yours).all():
        return "the sum runs over all j, i itself included: a feature on its own has D = 1"
    if close(yours, norm**2 / overlap.sum(1)) or close(yours, norm**2 / overlap.abs().sum(1)):
        return "square each projection before you add them up"
    if close(yours, norm / (overlap**2).sum(1)):
        return "the numerator is the squared length of W_i"
    return f"for this W the answer is {[round(v, 3) for v in right.tolist()]}, yours is {[round(v, 3) for v in yours.tolist()]}"


@exercise
def cheapest(answer) -> str | None:
    """answer(p, r) -> 0 (drop feature 2), 1 (drop feature 1) or 2 (both, as opposites): the smallest of three losses."""

    def losses(p, r):
        spread = p / 3 - p * p / 4  # the variance of a feature
        return [r * spread, spread, p * p * (1 + r) / 6]

    wrong = {
        "no feature's mean": lambda p, r: [r * p / 3, p / 3, p * p * (1 + r) / 6],
        "one density": lambda p, r: [r * (p / 3 - p * p / 4), p / 3 - p * p / 4, p * (1 + r) / 6],
        "importance": lambda p, r: [r * (p / 3 - p * p / 4), p / 3 - p * p / 4, p * p / 6],
    }
    grid = [
        (p, r)
        for p in (0.02, 0.1, 0.3, 0.45, 0.5, 0.55, 0.58, 0.65, 0.8, 0.95, 1.0)
        for r in (0.15, 0.3, 0.5, 0.8, 1.25, 2.0, 5.0)
    ]
    yours = [float(answer(p, r)) for p, r in grid]

    def choice(rule):
        return [float(min(range(3), key=lambda i: rule(p, r)[i])) for p, r in grid]

    if yours == choice(losses):
        return None
    if any(value not in (0, 1, 2) for value in yours):
        return "0, 1 or 2 is expected: the number of the solution with the smallest loss"
    if yours == [float(max(range(3), key=lambda i: losses(p, r)[i])) for p, r in grid]:
        return "you chose the largest loss; training looks for the smallest"
    if yours == [(1.0, 0.0, 2.0)[int(value)] for value in choice(losses)]:
        return "0 and 1 are exchanged: 0 ignores feature 2 and pays r times its variance"
    if yours == choice(wrong["no feature's mean"]):
        return "an ignored feature is replaced by its mean: what is lost is the variance p/3 − p²/4, not the mean square p/3"
    if yours == choice(wrong["one density"]):
        return "as opposites they disturb each other only where both are present, which happens with probability p², not p"
    if yours == choice(wrong["importance"]):
        return (
            "where they collide both are wrong: the loss counts 1 for feature 1 and r for feature 2"
        )
    p, r = next(
        pair
        for pair, mine, theirs in zip(grid, yours, choice(losses), strict=True)
        if mine != theirs
    )
    return f"at p = {p}, r = {r} the three losses are {[round(v, 4) for v in losses(p, r)]}; you chose another than the smallest"


@exercise
def kurtosis(answer) -> str | None:
    """answer(x) for x (N, d): the fourth moment about the mean over the squared variance, a number a column."""
    x = torch.tensor([[0.0, 1.0], [0.0, 3.0], [0.0, 3.0], [8.0, 5.0]], dtype=torch.float64)
    centred = x - x.mean(0)
    right = (centred**4).mean(0) / (centred**2).mean(0) ** 2
    yours = torch.as_tensor(answer(x)).double()
    if close(yours, right):
        return None
    if yours.shape != (2,):
        return f"one number a column is expected, 2 for x of shape (4, 2); yours has shape {tuple(yours.shape)}: average over dim 0"
    if close(yours, right - 3):
        return "this is the excess over a Gaussian's 3; here the plain kurtosis is asked, 3 for a Gaussian"
    if close(yours, (x**4).mean(0) / (x**2).mean(0) ** 2):
        return "subtract each column's mean first"
    if close(yours, (centred**4).mean(0) / x.var(0) ** 2):
        return "`var` divides by N − 1; take the mean of the squares, as for the fourth powers"
    if close(yours, (centred**4).mean(0) / (centred**2).mean(0)):
        return "square the variance: otherwise the answer depends on the unit of measurement"
    if close(yours, (centred**3).mean(0) / (centred**2).mean(0) ** 1.5):
        return "this is the skewness; the kurtosis takes the fourth power"
    return f"for this x the answer is {[round(v, 3) for v in right.tolist()]}, yours is {[round(v, 3) for v in yours.tolist()]}"
