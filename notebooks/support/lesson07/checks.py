"""Lesson 07: a toy model, a feature's share of a dimension, the border of superposition."""

from __future__ import annotations

import torch

from helpers.lesson.checks import compare, exercise


@exercise
def toy(batch, forward, loss) -> str | None:
    """batch(S, count, n, generator), forward(x, W, b), loss(x, out, importance), in this order."""

    def sampled(S=0.8, seed=0):
        return torch.as_tensor(batch(S, 20_000, 3, torch.Generator().manual_seed(seed)))

    x = sampled()
    if x.shape != (20_000, 3):
        return f"batch: (count, n) is expected, (20000, 3) here; yours has shape {tuple(x.shape)}"
    absent, there = (x == 0).double().mean().item(), x[x != 0]
    if abs(absent - 0.8) > 0.02:
        if abs(absent - 0.2) < 0.02:
            return "batch: S is the probability of being absent; yours are present with it"
        return f"batch: at S = 0.8 four of five values are 0; of yours {absent:.0%} are"
    if abs((sampled(0.5) == 0).double().mean() - 0.5) > 0.02:
        return "batch: yours is right for S = 0.8 only: S is an argument"
    if not torch.equal(x, sampled()) or torch.equal(x, sampled(seed=1)):
        return "batch: every draw takes its numbers from `generator=generator`"
    if (torch.corrcoef((x != 0).double().T).nan_to_num(1) - torch.eye(3)).abs().max() > 0.05:
        return "batch: each feature is absent by itself; yours are absent together"
    if there.min() > 0.7:
        return (
            "batch: one draw for both leaves only values above S; draw the values and the "
            "absences apart"
        )
    moments = torch.stack([there.mean(), there.std()])
    if there.min() < 0 or not torch.allclose(moments, torch.tensor([0.5, 12**-0.5]), atol=0.01):
        return "batch: what is there is uniform in [0, 1]: `torch.rand`"
    for pair in ([0, 1], [0, 2], [1, 2]):
        both = x[(x[:, pair] != 0).all(1)][:, pair]
        if torch.corrcoef(both.T)[0, 1].abs() > 0.2:
            return "batch: each feature has a value of its own; in yours those of a row are alike"
    W = torch.tensor([[1.0, -0.5, 0.3], [0.4, 0.8, -0.6]])
    b, importance = torch.tensor([-0.1, 0.2, 0.05]), torch.tensor([1.0, 0.5, 0.2])
    x = torch.tensor([[0.9, 0.0, 0.4], [0.0, 0.7, 0.8], [0.2, 0.0, 0.0], [0.5, 0.6, 0.1]])
    h = x @ W.T
    out = (h @ W + b).relu()
    mistakes = {
        "forward: the ReLU is missing": h @ W + b,
        "forward: the bias is missing": (h @ W).relu(),
        "forward: the bias belongs inside the ReLU": (h @ W).relu() + b,
        "forward: nothing happens to h: one ReLU, at the end": (h.relu() @ W + b).relu(),
    }
    if wrong := compare(forward(x, W, b), out, mistakes):
        return wrong if wrong.startswith("forward") else f"forward: {wrong}"
    off = x - out
    mistakes = {
        "loss: add up the features, then take the mean over samples": [
            (importance * off**2).mean(),
            (importance * off**2).sum(),
        ],
        "loss: the importance is missing": (off**2).sum(1).mean(),
        "loss: the difference is squared": (importance * off.abs()).sum(1).mean(),
        "loss: only the difference is squared, not the importance": (
            ((importance * off) ** 2).sum(1).mean()
        ),
    }
    wrong = compare(loss(x, out, importance), (importance * off**2).sum(1).mean(), mistakes)
    return f"loss: {wrong}" if wrong and not wrong.startswith("loss") else wrong


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
