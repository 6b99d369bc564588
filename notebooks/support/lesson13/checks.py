"""Lesson 13: TopK, the matching of MCC, and steering by a difference of means."""

import torch

from helpers.lesson.checks import compare, exercise

ALONE = "this is the vector alone: add it to x"


@exercise
def topk(activate) -> str | None:
    """activate(a, k): the k largest of each row of ReLU(a), all else 0; a (B, M)."""
    a = torch.randn(9, 12, generator=torch.Generator().manual_seed(0)) - 0.2
    a[0] = torch.linspace(-2, 0.2, 12)  # fewer than k are positive
    f = a.relu()

    def kept(values, where):
        return torch.zeros_like(a).scatter(-1, where, values)

    for k in (3, 5):
        best = f.topk(k)
        signed, size = a.topk(k), a.abs().topk(k)
        smallest = f.flatten().topk(k * len(a)).values.min()
        mistakes = {
            "k is given: keep k of each row": kept(*f.topk(3)),
            "a feature is never negative: ReLU first": kept(signed.values, signed.indices),
            "the largest, not the largest by size: a negative number is no feature": [
                kept(a.gather(-1, size.indices), size.indices),
                kept(size.values, size.indices),
            ],
            "these are the k · B largest of the whole batch: that is BatchTopK": f
            * (f >= smallest),
            "the k largest of each row, the last dimension": f * (f >= f.topk(k, 0).values[-1]),
            "how strongly it fires stays: put the values back, not ones": kept(
                torch.ones_like(best.values), best.indices
            ),
            "nothing is taken away yet": [f, a],
            "these are the ones to take away": f - kept(*best),
        }
        yours = torch.as_tensor(activate(a.clone(), k))
        if yours.shape == best.values.shape:
            return (
                "f has a place for each of the M features: put the k values back, zeros elsewhere"
            )
        if said := compare(yours, kept(*best), mistakes):
            return said
    return None


@exercise
def matching(mcc) -> str | None:
    """mcc(cosine): the mean |cosine| of M latents matched one to one; cosine (M, n), M < n."""
    cosine = torch.tensor(
        [
            [0.95, 0.6, 0.1, 0.0, 0.2],
            [0.6, 0.2, -0.15, 0.1, 0.0],
            [0.1, 0.2, 0.3, 0.4, -0.7],
        ]
    )
    mistakes = {
        "two latents share a feature: each feature may be taken once": (0.95 + 0.6 + 0.7) / 3,
        "another pairing has a larger sum of |cosine|: neither one by one, nor by squares": (
            (0.95 + 0.2 + 0.7) / 3
        ),
        "the sign does not count: match by |cosine|": (0.6 + 0.6 + 0.4) / 3,
        "the pairs are right; their |cosine| is the score": (0.6 + 0.6 - 0.7) / 3,
        "scipy looks for the smallest sum unless told: maximize=True": 0.1 / 3,
        "any of the n features may be a partner, not the first M alone": (0.6 + 0.6 + 0.3) / 3,
        "the mean over the pairs: divide by M": [0.6 + 0.6 + 0.7, (0.6 + 0.6 + 0.7) / 5],
    }
    return compare(float(mcc(cosine)), (0.6 + 0.6 + 0.7) / 3, mistakes)


@exercise
def steering(steer) -> str | None:
    """steer(x, yes, no, length): x (T, D) with the difference of means of yes (P, D) and no (Q, D)
    added at this length; x stays as it is."""
    draw = torch.Generator().manual_seed(0)
    x, yes, no = (torch.randn(n, 6, generator=draw) + m for n, m in ((4, 0), (5, 1.0), (7, -0.5)))
    apart = yes.mean(0) - no.mean(0)
    unit = apart / apart.norm()
    summed = yes.sum(0) - no.sum(0)
    for length in (3.0, 1.5):
        last = x.clone()
        last[-1] += length * unit
        mistakes = {
            "how long is given: `length`": x + 3.0 * unit,
            "the other way: the texts you want minus the others": x - length * unit,
            "its length should be `length`: divide the difference by its norm first": [
                x + length * apart,
                x + apart,
            ],
            "means, not sums: there are more texts of one kind": (
                x + length * summed / summed.norm()
            ),
            "subtract the mean of the other texts: what all texts share is no direction": (
                x + length * yes.mean(0) / yes.mean(0).norm()
            ),
            "every token gets it, not the last alone": last,
            "a mean for each of the D numbers: mean(0), over the tokens": [
                x + length * (yes.mean() - no.mean()).sign(),
                x + length * (yes.mean() - no.mean()),
            ],
            ALONE: (length * unit).expand(4, 6),
            "nothing is added yet": x,
        }
        given = x.clone()
        yours = torch.as_tensor(steer(given, yes, no, length))
        if yours.shape == unit.shape:
            return ALONE
        if said := compare(yours, x + length * unit, mistakes):
            return said
        if not torch.equal(given, x):
            return "the x you were given has changed: `x + …` makes a new one, `x += …` does not"
    return None
