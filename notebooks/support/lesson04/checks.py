"""Lesson 04: additive attention, the Jensen-Shannon divergence and its bound, and the permutation test."""

from __future__ import annotations

import math

import torch

from helpers.lesson.checks import close, exercise


@exercise
def additive_attention(attend) -> str | None:
    """attend(h, W1, v, content): weights (T,) of one text; h (T, H), W1 (K, H), v (K,), content (T,) bool."""
    g = torch.Generator().manual_seed(0)
    h, W1, v = (torch.randn(*shape, generator=g) for shape in ((5, 3), (4, 3), (4,)))
    content = torch.tensor([False, True, True, True, False])
    scores = [
        sum(v[k] * math.tanh(sum(W1[k, j] * h[t, j] for j in range(3))) for k in range(4))
        for t in range(5)
    ]
    raw = torch.tensor([float(score) for score in scores])
    right = torch.zeros(5)
    right[1:4] = raw[1:4].exp() / raw[1:4].exp().sum()
    yours = torch.as_tensor(attend(h, W1, v, content))
    if yours.shape != (5,):
        return f"one weight a word is expected, shape (5,); yours has shape {tuple(yours.shape)}"
    if close(yours, right):
        return None
    if close(yours, raw.softmax(0)):
        return "the marks at both ends get weight: set their scores to minus infinity before the softmax"
    if close(yours, raw.softmax(0) * content):
        return "you zero the marks after the softmax: then the words' weights no longer sum to 1"
    if close(yours, (raw * content).softmax(0)):
        return "a score of 0 is not a weight of 0: give the marks minus infinity before the softmax"
    if close(yours, torch.where(content, h @ W1.T @ v, torch.tensor(-torch.inf)).softmax(0)):
        return "the tanh is missing: without it, W1 and v are one linear map"
    if close(yours, raw) or close(yours, raw.masked_fill(~content, -torch.inf)):
        return "these are the scores; a softmax makes them weights"
    return f"the weights of the check's text are {[round(a, 3) for a in right.tolist()]}, yours are {[round(a, 3) for a in yours.tolist()]}"


def _kl(p: list[float], q: list[float]) -> float:
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True) if a > 0)


@exercise
def jensen_shannon(jsd) -> str | None:
    """jsd(p, q) of two distributions (T,), in nats."""
    p, q = [0.7, 0.2, 0.1], [0.1, 0.3, 0.6]
    m = [(a + b) / 2 for a, b in zip(p, q, strict=True)]
    right, apart = (_kl(p, m) + _kl(q, m)) / 2, math.log(2)
    of = lambda a, b: float(jsd(torch.tensor(a), torch.tensor(b)))
    yours = of(p, q)
    named = {
        2 * right: "you add the two divergences and forget to halve: then the bound is 2 ln 2",
        right
        / math.log(2): "your logarithm is to base 2: the bound would be 1; in nats it is ln 2",
        math.sqrt(
            right
        ): "this is the Jensen–Shannon distance, the root of the divergence (SciPy's `jensenshannon` gives it)",
        _kl(
            p, q
        ): "this is KL(p‖q): it is not symmetric and has no bound; compare both with their middle",
        _kl(
            q, p
        ): "this is KL(q‖p): it is not symmetric and has no bound; compare both with their middle",
        (_kl(p, q) + _kl(q, p))
        / 2: "you average KL(p‖q) and KL(q‖p), which has no bound; compare both with their middle",
        (_kl(m, p) + _kl(m, q)) / 2: "the middle comes second in each KL: KL(p‖m), not KL(m‖p)",
        -right: "the sign is turned round: a divergence is never negative",
    }
    for value, mistake in named.items():
        if close(yours, value):
            return mistake
    if not close(yours, right):
        return f"for (.7, .2, .1) and (.1, .3, .6) it is {right:.4f}, yours is {yours:.4f}"
    if not math.isfinite(both := of([1.0, 0.0], [0.0, 1.0])):
        return "where a weight is 0 yours gives nan: 0 · log 0 counts as 0; put a tiny number below the logarithm, as with `clamp_min(1e-12)`"
    return (
        None
        if close(both, apart, atol=1e-4)
        else f"two distributions with nothing in common are ln 2 = {apart:.4f} apart, yours says {both:.4f}"
    )


@exercise
def permutation_test(change) -> str | None:
    """change(alpha, output, n): the median |output - original| over n permutations of alpha (T,)."""
    alpha, seen = torch.tensor([0.7, 0.2, 0.1]), []

    def output(weights):
        seen.append(torch.as_tensor(weights).detach().clone())
        return torch.as_tensor(weights)[0]  # the model looks at the first weight: .7, .2 or .1

    yours = float(change(alpha, output, 600))
    tried = [w for w in seen if not torch.equal(w, alpha)]
    if not tried:
        return "the output is never asked with other weights: permute them with `alpha[torch.randperm(len(alpha))]`"
    if any(not close(w.sort().values, alpha.sort().values) for w in tried):
        return "what you try are not permutations of the weights: keep the three numbers and change their places"
    if len(seen) < 600:
        return f"the output was asked {len(seen)} times; try n = 600 permutations, each a new one"
    if len({tuple(w.tolist()) for w in tried}) < 4:
        return "you try the same permutation again and again: draw a new one each time"
    if yours < 0:
        return "your change has a sign: take the absolute value before the median"
    if 0.42 > yours > 0.3:
        return "this looks like the mean; the paper's measure is the median"
    return (
        None
        if close(yours, 0.5)
        else f"with outputs .7, .2 and .1 equally often the median change is 0.5, yours is {yours:.3g}"
    )
