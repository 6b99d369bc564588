"""Lesson 10: pinning a feature, the score of an explanation, the best match in another run."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import torch
import torch.nn.functional as F
from scipy.stats import spearmanr
from torch import Tensor

from helpers.lesson.checks import close, compare, exercise
from notebooks.support.lesson10.units import Snippet


@exercise
def pinned(f: Callable) -> str | None:
    """f(x, f_i, d_i, v) -> activations x (B, N) whose feature f_i (B,) is v instead, along d_i."""
    x = torch.tensor([[1.0, 2, 3, 4], [0, 1, 0, 5]])
    f_i, d_i, v = torch.tensor([2.0, 0.5]), torch.tensor([0.6, 0.0, -0.8, 0.0]), 3.0
    wrong = {
        "you add v to what the feature already does: add only the difference, v − f_i": x + v * d_i,
        "the sign is turned: f_i goes out, v comes in": x + (f_i - v)[:, None] * d_i,
        "this takes the feature out, which is v = 0; then v has to come in": x - f_i[:, None] * d_i,
        "only the feature is left: all else in x has to stay": (v * d_i).expand_as(x),
        "you scale the whole vector: only the part along d_i may change": x * (v / f_i)[:, None],
    }
    right = x + (v - f_i)[:, None] * d_i
    return compare(f(x.clone(), f_i, d_i, v), right, wrong)


class _Scripted:
    """A speaker with fixed answers: it fires on even tokens, and takes down what it is shown."""

    name = "a script"

    def __init__(self):
        self.explained, self.simulated, self.told = [], [], set()

    def explain(self, shown):
        self.explained.append(list(shown))
        return "even tokens"

    def simulate(self, words, tokens):
        self.told.add(words)
        self.simulated.append(list(tokens))
        return [(token % 2 == 0) * (token % 7) for token in tokens]


@exercise
def score(f: Callable) -> str | None:
    """f(speaker, shown, hidden) -> Spearman's ρ over all hidden tokens of true and simulated."""
    shown = [Snippet([2, 9, 4], [9, 0, 1]), Snippet([5, 5, 8], [0, 0, 4])]
    hidden = [Snippet([6, 3, 1], [9, 0, 0]), Snippet([2, 7, 11], [1, 1, 0])]
    hidden += [Snippet([4, 12, 12], [2, 9, 1])]
    speaker = _Scripted()
    yours = f(speaker, deepcopy(shown), deepcopy(hidden))
    texts = [s.tokens for s in hidden]
    told = speaker.explained[0] if len(speaker.explained) == 1 else hidden
    if any(snippet in told for snippet in hidden):
        return "explain once, from `shown` alone: the hidden snippets would give the answer away"
    if len(told) != len(shown) or any(snippet not in told for snippet in shown):
        return "explain gets the snippets of `shown` as they are: all of them, with their levels"
    if speaker.told != {"even tokens"}:
        return "simulate(words, tokens) gets the words that explain(…) returned"
    if speaker.simulated == [s.tokens for s in shown]:
        return "you score the snippets that the words were written from: simulate `hidden`"
    if any(s.levels in speaker.simulated for s in hidden):
        return "simulate gets a snippet's tokens, never its levels"
    if speaker.simulated != texts:
        return "simulate each hidden snippet once, in order"
    guess = [_Scripted().simulate("", tokens) for tokens in texts]
    true = [s.levels for s in hidden]
    pairs = list(zip(true, guess, strict=True))
    true, guess = sum(true, []), sum(guess, [])
    wrong = {
        "this is Pearson's: the score is of ranks, so use `spearman`": _pearson(true, guess),
        "one ρ over all hidden tokens together, no mean over snippets": sum(
            spearmanr(*pair).statistic for pair in pairs
        )
        / len(pairs),
    }
    return compare(yours, spearmanr(true, guess).statistic, wrong)


def _pearson(true: list[int], guess: list[int]) -> float:
    return torch.corrcoef(torch.tensor([true, guess]).double())[0, 1].item()


@exercise
def best_match(f: Callable) -> str | None:
    """f(a, b) -> for each column of a (T, M) its largest correlation with one of b (T, K), (M,)."""
    generator = torch.Generator().manual_seed(0)
    a = torch.rand(200, 3, generator=generator, dtype=torch.float64) + 3.0
    noise = torch.rand(200, 2, generator=generator, dtype=torch.float64)
    b = [-a[:, 0], a[:, 1] ** 3, a[:, 2] + 0.3 * noise[:, 0], noise[:, 1]]
    b = torch.stack(b, dim=1)
    right = torch.corrcoef(torch.cat([a, b], dim=1).T)[:3, 3:]
    cosine = F.normalize(a, dim=0).T @ F.normalize(b, dim=0)
    wrong = {
        "a unit that falls when the other rises is no match: leave the sign in": right.abs().amax(
            1
        ),
        "this is the cosine: take each unit's mean off first": cosine.amax(1),
        "this is Spearman's: the paper's .72 is Pearson's": _of_ranks(a, b).amax(1),
        "you average over the units of b: the best one counts": right.mean(1),
    }
    yours = torch.as_tensor(f(a.clone(), b.clone()))
    if yours.shape == (4,):
        return "one number for each unit of a is expected, not of b"
    if fault := compare(yours, right.amax(1), wrong):
        return fault
    padded = torch.as_tensor(f(F.pad(a, (0, 1)), F.pad(b, (0, 1)))).double()
    if not close(padded[-1], torch.zeros((), dtype=torch.double)):
        return "a unit that never fires has no match and counts as 0"
    spread = "a silent unit of b takes the others' matches away: set it to 0 before the maximum"
    return None if close(padded[:-1], right.amax(1)) else spread


def _of_ranks(a: Tensor, b: Tensor) -> Tensor:
    ranks = torch.cat([a, b], dim=1).argsort(dim=0).argsort(dim=0).double()
    return torch.corrcoef(ranks.T)[: a.shape[1], a.shape[1] :]
