"""Lesson 05: uniform weights, the adversary's loss, and a guide that leaks an answer."""

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
        "special tokens and padding get weight: only where `content` is True are words": (
            torch.full_like(right, 1 / 6)
        ),
        "these sum to the number of words: divide each row by its sum": content.float(),
        "you divide by the width of the batch: a short text's weights then sum to less than 1": (
            content / 6
        ),
        "you divide by the words of all texts together: sum each row, with keepdim=True": (
            content / content.sum()
        ),
        "a softmax over 0 and 1 gives special tokens a weight: divide by the sum": (
            content.float().softmax(-1)
        ),
    }
    mistake = compare(yours, right, mistakes)
    sums_to_1 = mistake and yours.shape == right.shape and close(yours.sum(-1), torch.ones(2))
    if sums_to_1 and mistake not in mistakes and bool((yours[~content] > 0).any()):
        return "the rows sum to 1, but special tokens or padding have weight"
    return mistake


def _kl(p: list[float], q: list[float]) -> float:
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True) if a > 0)


@exercise
def adversary_loss(loss) -> str | None:
    """loss(p, base_p, alpha, base_alpha, lam): the mean of TVD − lam · KL(alpha ‖ base_alpha)."""
    p, base_p, lam = torch.tensor([0.9, 0.3, 0.2]), torch.tensor([0.6, 0.35, 0.3]), 0.1
    a, b = [[0.7, 0.2, 0.1], [0.5, 0.5, 0]], [[0.1, 0.3, 0.6], [0.2, 0.8, 0]]  # 0: padding
    a, b = [*a, [0.3, 0.7, 0]], [*b, [0.6, 0.4, 0]]
    tvd = 0.15  # the mean of 0.3, 0.05, 0.1
    kl = sum(_kl(x, y) for x, y in zip(a, b, strict=True)) / 3
    back = sum(_kl(y, x) for x, y in zip(a, b, strict=True)) / 3
    right = tvd - lam * kl
    mistakes = {
        "the sign of the second term is turned round: it rewards weights LIKE the base model's": (
            tvd + lam * kl
        ),
        "the KL is the wrong way round: in KL(alpha ‖ base_alpha) the adversary's come first": (
            tvd - lam * back
        ),
        "you sum over the texts: take the mean, or λ depends on the size of the batch": [
            3 * right,
            3 * tvd - lam * kl,
            1.5 * tvd - lam * kl,  # faithfulness.tvd(p, base_p) takes the texts for classes
            tvd - lam * 3 * kl,
        ],
        "λ is missing: it says how much looking elsewhere is worth": tvd - kl,
        "this is the output's part alone: where is the attention?": tvd,
        "this is the attention's part alone: nothing keeps the output": -lam * kl,
        "the TVD is halved once too often, as in the published code": tvd / 2 - lam * kl,
        "the TVD is twice too large: for two classes it is |p − base_p|": 2 * tvd - lam * kl,
        "without |…| a rise in one text and a fall in another cancel: take the TVD of each": (
            0.05 - lam * kl
        ),
        "all signs are turned round: training makes this number SMALL": -right,
    }
    yours = torch.as_tensor(loss(p, base_p, torch.tensor(a), torch.tensor(b), lam))
    if bool(yours.isnan().any()):
        return "this gives nan where a weight is 0, as on padding: faithfulness.kl does not"
    return compare(yours, right, mistakes)


def first_or_last(content: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
    """All weight on a text's first word where p > 0.5, else on its last: (B, T), (B,) -> (B, T)."""
    first = content.int().argmax(-1)
    place = torch.where(p > 0.5, first, first + content.sum(-1) - 1)
    return (torch.arange(content.shape[1], device=p.device) == place[:, None]).float()


@exercise
def leaky_guide(guide) -> str | None:
    """guide(content, p): (B, T) bool, P(positive) (B,) -> weights (B, T) that tell the answer."""
    lengths = torch.tensor([4, 4, 4, 7, 7])
    place = torch.arange(9)
    content = (place > 0) & (place <= lengths[:, None])  # (5, 9)
    p = torch.tensor([0.9, 0.1, 0.7, 0.6, 0.05])
    yours = guide(content.clone(), p.clone())
    if tuple(yours.shape) != (5, 9):
        return f"shape (5, 9) is expected, a weight a place; yours has {tuple(yours.shape)}"
    yours = yours.float()
    if bool((yours < 0).any()):
        return "some of your weights are below 0"
    if bool((yours[~content] > 1e-6).any()):
        return "special tokens or padding get weight: the last word stands before the end token"
    if not close(yours.sum(-1), torch.ones(5)):
        return "each row must sum to 1: the answer is told by WHERE the weight lies"
    heaviest = yours.argmax(-1)
    inside = (heaviest > 2) & (heaviest < lengths) & (yours.amax(-1) > 0.5)
    if bool(inside.any()):  # the second word of every note is "in"
        return "a word in the middle is another one in each note: take the first two or the last"
    apart = 0.5 * (yours[0] - yours[1]).abs().sum()
    if apart < 1e-3:
        return "yes and no get the same weights in a text of the same length: nothing leaks"
    if apart < 0.5:
        return "yes and no get nearly the same weights: move at least half of the weight"
    if 0.5 * (yours[0] - yours[2]).abs().sum() > 0.5:
        return "0.9 and 0.7 are the same answer: ask whether p > 0.5"
    if 0.5 * (yours[3] - yours[4]).abs().sum() < 0.5:
        return "0.6 and 0.05 get nearly the same weights in a text of 7 words: ask whether p > 0.5"
    alone = torch.cat([guide(content[i : i + 1].clone(), p[i : i + 1].clone()) for i in range(5)])
    if not close(alone.float(), yours):
        return "a text's weights change with the other texts given: ask whether its own p > 0.5"
    return None
