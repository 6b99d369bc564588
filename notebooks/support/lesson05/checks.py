"""Lesson 05: uniform weights that respect marks and padding, the TVD, and the adversary's loss."""

import math

import torch

from helpers.lesson.checks import close, compare, exercise


@exercise
def uniform_weights(weights) -> str | None:
    """weights(content): (B, T) bool -> (B, T), 1/n on the n words of each text, 0 elsewhere."""
    rows = [[False, True, True, True, True, False], [False, True, True, True, False, False]]
    content = torch.tensor(rows)
    right = torch.tensor([[0, 0.25, 0.25, 0.25, 0.25, 0], [0, 1 / 3, 1 / 3, 1 / 3, 0, 0]])
    yours = torch.as_tensor(weights(content.clone())).float()
    mistakes = {
        "marks and padding get weight in your version: only where `content` is True are words": (
            torch.full_like(right, 1 / 6)
        ),
        "these sum to the number of words: divide each row by its sum": content.float(),
        "you divide by the width of the batch: a short text's weights then sum to less than 1": (
            content / 6
        ),
        "you divide by the words of all texts together: sum each row, with keepdim=True": (
            content / content.sum()
        ),
        "a softmax over 0 and 1 still gives marks a weight: divide True and False by their sum": (
            content.float().softmax(-1)
        ),
    }
    mistake = compare(yours, right, mistakes)
    sums_to_1 = mistake and yours.shape == right.shape and close(yours.sum(-1), torch.ones(2))
    if sums_to_1 and mistake not in mistakes and bool((yours[~content] > 0).any()):
        return "the rows sum to 1, but marks or padding have weight"
    return mistake


@exercise
def total_variation(tvd) -> str | None:
    """tvd(p, q) of two P(positive) tensors (N,): the TVD of the two two-class outputs, (N,)."""
    p, q = torch.tensor([0.9, 0.2, 0.5]), torch.tensor([0.6, 0.7, 0.5])
    right = torch.tensor([0.3, 0.5, 0.0])
    halved = (
        "halved once too often: the other class moves by as much, so the sum over both is "
        "2|p − q|, and half of it |p − q| (the published code has this very slip)"
    )
    mistakes = {
        halved: right / 2,
        "you sum over both classes and forget the half: the largest distance would be 2": 2 * right,
        "the sign is turned round, and a distance has none: take .abs()": -right,
        "signs count in your version: 0.9 → 0.6 and 0.2 → 0.7 are both changes": [p - q, q - p],
        "this is the squared difference: a change of 0.3 should count 0.3": right**2,
    }
    return compare(torch.as_tensor(tvd(p, q)).float(), right, mistakes)


def _kl(p: list[float], q: list[float]) -> float:
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


@exercise
def adversary_loss(loss) -> str | None:
    """loss(p, base_p, alpha, base_alpha, lam): the mean of TVD − lam · KL(alpha ‖ base_alpha)."""
    p, base_p, lam = torch.tensor([0.9, 0.3]), torch.tensor([0.6, 0.4]), 0.1  # TVD 0.3 and 0.1
    a, b = [[0.7, 0.2, 0.1], [0.5, 0.25, 0.25]], [[0.1, 0.3, 0.6], [0.2, 0.4, 0.4]]
    tvd = 0.2
    kl = sum(_kl(x, y) for x, y in zip(a, b, strict=True)) / 2
    back = sum(_kl(y, x) for x, y in zip(a, b, strict=True)) / 2
    right = tvd - lam * kl
    mistakes = {
        "the sign of the second term is turned round: it rewards weights LIKE the base model's": (
            tvd + lam * kl
        ),
        "the KL is the wrong way round: in KL(alpha ‖ base_alpha) the adversary's come first": (
            tvd - lam * back
        ),
        "you sum over the texts: take the mean, or λ depends on the size of the batch": 2 * right,
        "λ is missing: it says how much looking elsewhere is worth": tvd - kl,
        "this is the output's part alone: where is the attention?": tvd,
        "this is the attention's part alone: nothing keeps the output": -lam * kl,
        "the TVD is halved once too often, as in the published code": tvd / 2 - lam * kl,
        "the TVD is twice too large: for two classes it is |p − base_p|": 2 * tvd - lam * kl,
        "all signs are turned round: training makes this number SMALL": -right,
    }
    return compare(loss(p, base_p, torch.tensor(a), torch.tensor(b), lam), right, mistakes)
