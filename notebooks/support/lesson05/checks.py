"""Lesson 05: uniform weights that respect marks and padding, the total variation distance, and the adversary's loss."""

from __future__ import annotations

import math

import torch

from helpers.lesson.checks import close, exercise


@exercise
def uniform_weights(weights) -> str | None:
    """weights(content): (B, T) bool -> (B, T), 1/n on the n words of each text, 0 elsewhere."""
    content = torch.tensor(
        [[False, True, True, True, True, False], [False, True, True, True, False, False]]
    )
    right = torch.tensor([[0, 0.25, 0.25, 0.25, 0.25, 0], [0, 1 / 3, 1 / 3, 1 / 3, 0, 0]])
    yours = torch.as_tensor(weights(content.clone())).float()
    if yours.shape != right.shape:
        return f"one row a text is expected, shape (2, 6); yours has shape {tuple(yours.shape)}"
    if close(yours, right):
        return None
    if close(yours, torch.full_like(right, 1 / 6)):
        return "marks and padding get weight in your version: only the places where `content` is True are words"
    if close(yours, content.float()):
        return "these sum to the number of words: divide each row by its sum"
    if close(yours, content / 6):
        return "you divide by the width of the batch: a short text's weights then sum to less than 1; divide by its own number of words"
    if close(yours, content / content.sum()):
        return "you divide by the words of all texts together: sum each row by itself, with sum(-1, keepdim=True)"
    if close(yours, content.float().softmax(-1)):
        return "a softmax over 0 and 1 still gives marks a weight: divide True and False by their sum instead"
    if close(yours.sum(-1), torch.ones(2)) and bool((yours[~content] > 0).any()):
        return "the rows sum to 1, but marks or padding have weight"
    return f"for texts of 4 and 3 words the rows are 1/4 and 1/3 on the words and 0 elsewhere, yours are {[[round(v, 3) for v in row] for row in yours.tolist()]}"


@exercise
def total_variation(tvd) -> str | None:
    """tvd(p, q) of two P(positive) tensors (N,): the TVD of the two two-class outputs, (N,)."""
    p, q = torch.tensor([0.9, 0.2, 0.5]), torch.tensor([0.6, 0.7, 0.5])
    yours = torch.as_tensor(tvd(p, q)).float()
    right = torch.tensor([0.3, 0.5, 0.0])
    if yours.shape != (3,):
        return f"one number a text is expected, shape (3,); yours has shape {tuple(yours.shape)}"
    if close(yours, right):
        return None
    for factor, mistake in {
        0.5: "halved once too often: the other class moves by as much, so the sum over both is 2|p − q|, and half of it |p − q| "
        "(the published code has this very slip)",
        2.0: "you sum over both classes and forget the half: then the largest distance would be 2",
        -1.0: "the sign is turned round, and a distance has none: take .abs()",
    }.items():
        if close(yours, factor * right):
            return mistake
    if close(yours, p - q) or close(yours, q - p):
        return "signs count in your version: 0.9 → 0.6 and 0.2 → 0.7 are both changes; take .abs()"
    if close(yours, right**2):
        return "this is the squared difference: a change of 0.3 should count 0.3"
    return f"for 0.9 → 0.6, 0.2 → 0.7 and 0.5 → 0.5 the distances are 0.3, 0.5 and 0; yours are {[round(v, 3) for v in yours.tolist()]}"


def _kl(p: list[float], q: list[float]) -> float:
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


@exercise
def adversary_loss(loss) -> str | None:
    """loss(p, base_p, alpha, base_alpha, lam): the mean of TVD − lam · KL(alpha ‖ base_alpha); p (B,), alpha (B, T)."""
    p, base_p = torch.tensor([0.9, 0.3]), torch.tensor([0.6, 0.4])
    a, b = [[0.7, 0.2, 0.1], [0.5, 0.25, 0.25]], [[0.1, 0.3, 0.6], [0.2, 0.4, 0.4]]
    yours = torch.as_tensor(loss(p, base_p, torch.tensor(a), torch.tensor(b), 0.1)).float()
    if yours.ndim:
        return (
            f"one number is expected, the mean over the texts; yours has shape {tuple(yours.shape)}"
        )
    tvd, lam = [0.3, 0.1], 0.1
    forward, back = ([_kl(x, y) for x, y in zip(*pair, strict=True)] for pair in ((a, b), (b, a)))
    mean = lambda values: sum(values) / 2
    right = mean(tvd) - lam * mean(forward)
    named = {
        mean(tvd)
        + lam
        * mean(
            forward
        ): "the sign of the second term is turned round: it would reward weights LIKE the base model's",
        mean(tvd)
        - lam
        * mean(
            back
        ): "the KL is the wrong way round: KL(alpha ‖ base_alpha), the adversary's own weights come first",
        2
        * right: "you sum over the texts: take the mean, or λ's meaning would depend on the size of the batch",
        mean(tvd) - mean(forward): "λ is missing: it says how much looking elsewhere is worth",
        mean(tvd): "this is the output's part alone: where is the attention?",
        -lam * mean(forward): "this is the attention's part alone: nothing keeps the output",
        0.5 * mean(tvd)
        - lam
        * mean(
            forward
        ): "the TVD is halved once too often, as in the published code: for two classes it is |p − base_p|",
        2 * mean(tvd)
        - lam * mean(forward): "the TVD is twice too large: for two classes it is |p − base_p|",
        -right: "all signs are turned round: training makes this number SMALL",
    }
    if close(yours, right):
        return None
    for value, mistake in named.items():
        if close(yours, value):
            return mistake
    return f"for the check's two texts and λ = 0.1 the loss is {right:.3f}, yours is {yours.item():.3g}"
