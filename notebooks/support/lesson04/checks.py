"""Lesson 04: additive attention, the Jensen-Shannon divergence, and the permutation test."""

import math

import torch

from helpers.lesson.checks import close, compare, exercise


@exercise
def additive_attention(attend) -> str | None:
    """attend(h, W1, v, content): weights (T,); h (T, H), W1 (K, H), v (K,), content (T,) bool."""
    g = torch.Generator().manual_seed(0)
    h, W1, v = (torch.randn(*shape, generator=g) for shape in ((5, 3), (4, 3), (4,)))
    content = torch.tensor([False, True, True, True, False])
    by_hand = [
        sum(v[k] * math.tanh(sum(W1[k, j] * h[t, j] for j in range(3))) for k in range(4))
        for t in range(5)
    ]
    scores = torch.tensor(by_hand)
    right = torch.zeros(5)
    right[1:4] = scores[1:4].exp() / scores[1:4].exp().sum()
    zeroed_late = scores.softmax(0) * content
    zero_scores = (scores * content).softmax(0)
    linear = (h @ W1.T @ v).masked_fill(~content, -torch.inf).softmax(0)
    no_softmax = [scores, scores.masked_fill(~content, -torch.inf)]
    mistakes = {
        "the marks at both ends get weight: set their scores to -inf first": scores.softmax(0),
        "you zero the marks after the softmax: the weights no longer sum to 1": zeroed_late,
        "a score of 0 is not a weight of 0: give the marks minus infinity": zero_scores,
        "the tanh is missing: without it, W1 and v are one linear map": linear,
        "these are the scores; a softmax makes them weights": no_softmax,
    }
    return compare(attend(h, W1, v, content), right, mistakes)


def _kl(p, q) -> float:
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True) if a > 0)


@exercise
def jensen_shannon(jsd) -> str | None:
    """jsd(p, q) of two distributions (T,), in nats."""
    p, q = [0.7, 0.2, 0.1], [0.1, 0.3, 0.6]
    m = [(a + b) / 2 for a, b in zip(p, q, strict=True)]
    right = (_kl(p, m) + _kl(q, m)) / 2
    mean_kl = (_kl(p, q) + _kl(q, p)) / 2
    turned = (_kl(m, p) + _kl(m, q)) / 2
    no_bound = "has no bound; compare both with their middle"
    mistakes = {
        "you add the two divergences and forget to halve: then the bound is 2 ln 2": 2 * right,
        "your logarithm is to base 2: the bound is 1; in nats it is ln 2": right / math.log(2),
        "this is the Jensen–Shannon distance, the root of the divergence": math.sqrt(right),
        f"this is KL(p‖q): it is not symmetric and {no_bound}": _kl(p, q),
        f"this is KL(q‖p): it is not symmetric and {no_bound}": _kl(q, p),
        f"you average KL(p‖q) and KL(q‖p), which {no_bound}": mean_kl,
        "the middle comes second in each KL: KL(p‖m), not KL(m‖p)": turned,
        "the sign is turned round: a divergence is never negative": -right,
    }
    mistake = compare(jsd(torch.tensor(p), torch.tensor(q)), right, mistakes)
    if mistake:
        return mistake
    nothing_in_common = jsd(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]))
    zero = (
        "where a weight is 0 yours gives nan: 0 · log 0 counts as 0; put a tiny number below the "
        "logarithm, as with `clamp_min(1e-12)`"
    )
    return compare(nothing_in_common, math.log(2), {zero: [math.nan, math.inf]}, atol=1e-4)


@exercise
def permutation_test(change) -> str | None:
    """change(alpha, output, n): median |output - original| over n permutations of alpha (T,)."""
    alpha, asked = torch.tensor([0.7, 0.2, 0.1]), []

    def output(weights):
        asked.append(torch.as_tensor(weights).detach().clone())
        return torch.as_tensor(weights)[0]  # the model looks at the first weight: .7, .2 or .1

    yours = float(change(alpha, output, 600))
    tried = [w for w in asked if not torch.equal(w, alpha)]
    if not tried:
        return (
            "the output is never asked with other weights: permute them with "
            "`alpha[torch.randperm(len(alpha))]`"
        )
    if any(not close(w.sort().values, alpha.sort().values) for w in tried):
        return (
            "what you try are not permutations of the weights: keep the three numbers and change "
            "their places"
        )
    if len(asked) < 600:
        return f"the output was asked {len(asked)} times; try n = 600 permutations, each a new one"
    if len({tuple(w.tolist()) for w in tried}) < 4:
        return "you try the same permutation again and again: draw a new one each time"
    if yours < 0:
        return "your change has a sign: take the absolute value before the median"
    if 0.3 < yours < 0.42:
        return "this looks like the mean; the paper's measure is the median"
    return compare(yours, 0.5)
