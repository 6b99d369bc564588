"""Lesson 13: six detectors of a kind of text, learned from few labels.

Shapes: T tokens, N neurons, M features, n labels.
"""

from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.datasets import corpus
from helpers.ground.stats import mean_ranks

PARTS = {"learn": 10, "test": 6}  # contexts of each kind, from either half of the stream


class Tokens(NamedTuple):
    """As many tokens of each kind of text."""

    neurons: Tensor  # (T, N)
    features: Tensor  # (T, M)
    kind: Tensor  # (T,) place in corpus.DOMAINS


def rich(domains: Tensor) -> dict[str, Tensor]:
    """Contexts richest in each kind of text, to "learn" from one half of the stream and to "test"
    on the other; domains (R, T)."""
    share = F.one_hot(domains.long(), len(corpus.DOMAINS)).float().mean(1)  # (R, kinds)
    half = len(domains) // 2
    return {
        name: begin + share[begin : begin + half].topk(count, dim=0).indices.flatten()
        for begin, (name, count) in zip((0, half), PARTS.items(), strict=True)
    }


@torch.no_grad()
def pools(lm, dictionary, alive: Tensor, device) -> dict[str, Tokens]:
    """Tokens to "learn" on, and of the other half to "test" on; features: those of `alive`."""
    rows, domains = corpus.stream("heldout").contexts()
    found = {}
    for name, picked in rich(domains).items():
        acts = [lm.activations(part.to(device)).flatten(0, 1) for part in rows[picked].split(16)]
        features = [dictionary.features(part)[:, alive] for part in acts]
        kind = domains[picked].flatten().to(device)
        found[name] = Tokens(torch.cat(acts), torch.cat(features), kind)
    return found


def labels(kind: Tensor, wanted: int, count: int, seed: int) -> Tensor:
    """Places (count,) of tokens, half of the wanted kind and half of others."""
    draw = torch.Generator().manual_seed(seed)
    halves = [(kind == wanted).nonzero().flatten(), (kind != wanted).nonzero().flatten()]
    picks = [torch.randperm(len(half), generator=draw)[: count // 2] for half in halves]
    return torch.cat([half[p.to(half.device)] for half, p in zip(halves, picks, strict=True)])


def difference(x: Tensor, y: Tensor) -> Tensor:
    """Mean of the tokens with label 1 minus mean of the others: x (n, N), y (n,) → (N,)."""
    return x[y].mean(0) - x[~y].mean(0)


def probe(x: Tensor, y: Tensor) -> Tensor:
    """Ridge regression on ±1: w = (X'X + λ I)⁻¹ X' y with centred X, λ a tenth of X'X's mean."""
    x = x - x.mean(0)
    gram = x.T @ x
    ridge = 0.1 * gram.trace() / len(gram) + 1e-6
    sign = 2.0 * y - 1
    eye = torch.eye(len(gram), device=x.device)
    return torch.linalg.solve(gram + ridge * eye, x.T @ (sign - sign.mean()))


def best_units(x: Tensor, y: Tensor, count: int = 1) -> Tensor:
    """The units that tell the labels apart best, weighed by difference over spread; 0 elsewhere."""
    gap = difference(x, y) / (x[y].var(0) + x[~y].var(0) + 1e-3).sqrt()
    best = gap.abs().topk(min(count, len(gap))).indices
    return torch.zeros_like(gap).index_copy(0, best, gap[best])


def auc(score: Tensor, y: Tensor) -> Tensor:
    """The chance that a token with label 1 has the higher score; ties count half."""
    ranks = mean_ranks(score[None].float())[0]
    positive = y.sum()
    below = ranks[y].sum() - positive * (positive + 1) / 2
    return below / (positive * (~y).sum())


DETECTORS = {
    "probe": ("neurons", probe),
    "difference of means": ("neurons", difference),
    "best neuron": ("neurons", best_units),
    "best feature": ("features", best_units),
    "20 best features": ("features", partial(best_units, count=20)),
    "all features": ("features", difference),
}


def compare(pools: dict[str, Tokens], count: int, samples: int = 5) -> dict[str, Tensor]:
    """{detector: AUC (kinds, samples)} on the test tokens, from so many labels each time."""
    learn, test = pools["learn"], pools["test"]
    found = {name: [] for name in DETECTORS}
    for wanted in range(len(corpus.DOMAINS)):
        for sample in range(samples):
            at = labels(learn.kind, wanted, count, seed=100 * wanted + sample)
            y = learn.kind[at] == wanted
            for name, (units, fit) in DETECTORS.items():
                w = fit(getattr(learn, units)[at], y).float()
                score = getattr(test, units) @ w
                found[name].append(auc(score, test.kind == wanted))
    shape = len(corpus.DOMAINS), samples
    return {name: torch.stack(values).view(shape) for name, values in found.items()}
