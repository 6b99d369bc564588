"""Is attention explanation? Three experiments of Jain & Wallace (2019): agreement, permutation, adversary.

Every experiment keeps the trained model and its hidden states, and changes at most the attention weights.
"""

import math
from typing import NamedTuple

import torch
from scipy.stats import kendalltau
from torch import Tensor

from helpers.attention.model import PAD, AttentionModel, Batch, probabilities
from helpers.ground.runtime import in_chunks

TINY = 1e-12


def tvd(p: Tensor, q: Tensor) -> Tensor:
    """Total variation distance of two distributions over the last dimension, 0 to 1: half the summed difference."""
    return 0.5 * (p - q).abs().sum(-1)


def kl(p: Tensor, q: Tensor) -> Tensor:
    """Kullback-Leibler divergence over the last dimension in nats; finite, also in its gradient, where p or q is 0."""
    return (p * (p.clamp_min(TINY).log() - q.clamp_min(TINY).log())).sum(-1)


def jsd(p: Tensor, q: Tensor) -> Tensor:
    """Jensen-Shannon divergence over the last dimension in nats, 0 to ln 2 (Jain & Wallace 2019, eq. 2)."""
    middle = 0.5 * (p + q)
    return 0.5 * (kl(p, middle) + kl(q, middle)).clamp(0, 2 * math.log(2))


def gradient_importance(model: AttentionModel, batch: Batch) -> Tensor:
    """(B, T): |sum_e x_e dy/dx_e| for each word, y the probability of the predicted class.

    The attention weights are held fixed: the gradient flows through the words, not through where the model looks
    (Jain & Wallace 2019, algorithm 1). Words of marks and padding are 0.
    """
    training = model.training
    model.eval()
    embedded = model.embedding(batch.words).detach().requires_grad_()
    with torch.enable_grad():
        hidden, query = model.encode(batch, embedded)
        alpha = model.attend(hidden, batch.content, query).detach()
        top = probabilities(model.decode(hidden, alpha, query)).amax(-1)  # (B,)
        (slope,) = torch.autograd.grad(top.sum(), embedded)  # (B, T, E)
    model.train(training)
    return (slope * embedded.detach()).sum(-1).abs() * batch.content


@torch.no_grad()
def leave_one_out(model: AttentionModel, batch: Batch) -> Tensor:
    """(B, T): how far the output moves (TVD) when one word is taken out of the text and the model reads the rest."""
    reference = probabilities(model(batch)[0])  # (B, C)
    rows, places = batch.content.nonzero(as_tuple=True)  # one shortened text a word
    width = torch.arange(batch.words.shape[1] - 1, device=batch.words.device)

    def moved(rows: Tensor, places: Tensor) -> Tensor:
        keep = width + (width >= places[:, None])  # skip the word that is left out
        words, content = batch.words[rows].gather(1, keep), batch.content[rows].gather(1, keep)
        question = None if batch.question is None else batch.question[rows]
        longest = (words != PAD).sum(-1).max()
        shorter = Batch(words[:, :longest], content[:, :longest], batch.label[rows], rows, question)
        logits = model(shorter)[0].masked_fill(
            ~content.any(-1, keepdim=True), 0
        )  # a text of one word: nothing left
        return tvd(probabilities(logits), reference[rows])

    result = torch.zeros(batch.words.shape, device=batch.words.device)
    result[rows, places] = in_chunks(moved, rows, places, chunk=512)
    return result


def kendall(a: Tensor, b: Tensor, content: Tensor) -> list[tuple[float, float]]:
    """Kendall's tau-b and its p-value over the words of each text; (nan, nan) where one side is constant."""
    results = []
    for x, y, words in zip(a.cpu(), b.cpu(), content.cpu()):
        tau, p = kendalltau(x[words], y[words])
        results.append((float(tau), float(p)))
    return results


@torch.no_grad()
def permutation(
    model: AttentionModel, batch: Batch, *, n: int = 100, generator: torch.Generator
) -> Tensor:
    """(B,): the median output change (TVD) over `n` random permutations of each text's attention weights."""
    hidden, query = model.encode(batch)
    alpha = model.attend(hidden, batch.content, query)
    reference, order = probabilities(model.decode(hidden, alpha, query)), (~batch.content).float()
    first = order.argsort(stable=True, dim=-1)  # words first, marks and padding last
    changes = []
    for _ in range(n):
        noise = torch.rand(order.shape, generator=generator).to(order) + 2 * order
        shuffled = torch.zeros_like(alpha).scatter(1, noise.argsort(-1), alpha.gather(1, first))
        changes.append(tvd(probabilities(model.decode(hidden, shuffled, query)), reference))
    return torch.stack(changes).median(0).values


class Adversary(NamedTuple):
    alpha: Tensor  # (B, T) the most different weights that keep the output
    jsd: Tensor  # (B,) their divergence from the model's own
    tvd: (
        Tensor  # (B,) the change of the output they cause, at most epsilon (0 where none was found)
    )


def adversarial_attention(
    model: AttentionModel,
    batch: Batch,
    *,
    epsilon: float = 0.05,
    restarts: int = 5,
    steps: int = 500,
    rate: float = 0.01,
    margin: float = 0.01,
    penalty: float = 500.0,
    generator: torch.Generator,
) -> Adversary:
    """Weights as far from the model's own as possible (JSD) while the output moves by at most `epsilon` (TVD).

    All texts and all restarts are optimised together on hidden states that are computed once; the restarts also push
    one another apart. Source: Jain & Wallace 2019, section 4.2.2, algorithm 3.
    """
    with torch.no_grad():
        hidden, query = model.encode(batch)
        own = model.attend(hidden, batch.content, query)  # (B, T)
        reference = probabilities(model.decode(hidden, own, query))  # (B, C)
    noise = torch.randn((restarts, *own.shape), generator=generator).to(own)
    scores = (3 * noise).requires_grad_()  # (K, B, T)
    optimiser = torch.optim.Adam([scores], lr=rate, amsgrad=True)
    weights = lambda: scores.masked_fill(~batch.content, -torch.inf).softmax(-1)

    def judge(alpha: Tensor) -> tuple[Tensor, Tensor]:
        return jsd(alpha, own), tvd(
            probabilities(model.decode(hidden, alpha, query)), reference
        )  # (K, B) both

    for _ in range(steps):
        alpha = weights()
        away, moved = judge(alpha)
        apart = (
            jsd(alpha[:, None], alpha[None]).sum((0, 1)) / max(restarts * (restarts - 1), 1)
            if restarts > 1
            else 0
        )
        loss = (penalty * (moved - margin).relu() - away).sum() - torch.as_tensor(apart).sum()
        (scores.grad,) = torch.autograd.grad(loss, scores)
        optimiser.step()
    with torch.no_grad():
        alpha = weights()
        away, moved = judge(alpha)
        best = away.masked_fill(moved > epsilon, -1).argmax(0)  # (B,)
        take = lambda t: t.gather(
            0, best.view(1, -1, *[1] * (t.dim() - 2)).expand(1, *t.shape[1:])
        )[0]
        found = take(moved) <= epsilon  # else: no restart kept the output
        return Adversary(
            torch.where(found[:, None], take(alpha), own), take(away) * found, take(moved) * found
        )
