"""Is attention explanation? Agreement, permutation and adversary, after Jain & Wallace (2019).

Every experiment keeps the trained model and its hidden states, and changes at most the weights.
"""

import math
from typing import NamedTuple

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from helpers.attention.model import PAD, AttentionModel, Batch, probabilities
from helpers.ground.artifacts import still_numbers
from helpers.ground.errors import checked, same_shape
from helpers.ground.runtime import in_chunks
from helpers.ground.stats import wide

TINY = 1e-12


@checked
def tvd(p: ArrayLike, q: ArrayLike) -> Tensor:
    """Total variation distance over the last dimension, 0 to 1: half the summed difference."""
    return 0.5 * (wide(p) - wide(q)).abs().sum(-1)


@checked
def kl(p: ArrayLike, q: ArrayLike) -> Tensor:
    """Kullback-Leibler divergence KL(p || q) in nats; finite, and its gradient, where one is 0."""
    p, q = wide(p), wide(q)  # half precision has no TINY
    return (p * (p.clamp_min(TINY).log() - q.clamp_min(TINY).log())).sum(-1)


@checked
def jsd(p: ArrayLike, q: ArrayLike) -> Tensor:
    """Jensen-Shannon divergence over the last dimension in nats, 0 to ln 2 (J & W, eq. 2)."""
    middle = 0.5 * (wide(p) + wide(q))
    return 0.5 * (kl(p, middle) + kl(q, middle)).clamp(0, 2 * math.log(2))


@checked
@torch.inference_mode(False)
@torch.enable_grad()
def gradient_importance(model: AttentionModel, batch: Batch) -> Tensor:
    """(B, T): |sum_e x_e dy/dx_e| of each word; y is the probability of the predicted class.

    The weights are held fixed: the gradient flows through the words alone (J & W, algorithm 1).
    """
    training = model.training
    model.eval()
    x = model.embedding(batch.words).detach().requires_grad_()  # (B, T, E)
    # cuDNN's LSTM has no gradient in eval mode; torch's own has
    with torch.backends.cudnn.flags(enabled=False):
        hidden, query = model.encode(batch, x)
        alpha = model.attend(hidden, batch.content, query).detach()
        y = probabilities(model.decode(hidden, alpha, query)).amax(-1)  # (B,)
        (slope,) = torch.autograd.grad(y.sum(), x)  # (B, T, E)
    model.train(training)
    still_numbers([slope], "its training")
    return (slope * x.detach()).sum(-1).abs() * batch.content


@checked
@torch.no_grad()
def leave_one_out(model: AttentionModel, batch: Batch) -> Tensor:
    """(B, T): how far the output moves (TVD) when one word is left out and the rest is read."""
    output = probabilities(model(batch)[0])  # (B, C)
    texts, places = batch.content.nonzero(as_tuple=True)  # one shortened text a word
    width = torch.arange(batch.words.shape[1] - 1, device=batch.words.device)

    def change(texts: Tensor, places: Tensor) -> Tensor:
        keep = width + (width >= places[:, None])  # (N, T - 1): all places but the one left out
        words = batch.words[texts].gather(1, keep)
        content = batch.content[texts].gather(1, keep)
        longest = (words != PAD).sum(-1).max()
        question = None if batch.question is None else batch.question[texts]
        label = batch.label[texts]
        shorter = Batch(words[:, :longest], content[:, :longest], label, texts, question)
        nothing_left = ~content.any(-1, keepdim=True)  # the text had one word
        logits = model(shorter)[0].masked_fill(nothing_left, 0)
        return tvd(probabilities(logits), output[texts])

    importance = torch.zeros(batch.words.shape, device=batch.words.device)
    importance[texts, places] = in_chunks(change, texts, places, chunk=512).to(importance)
    still_numbers([importance], "its training")
    return importance


@checked
def kendall(a: Tensor, b: Tensor, content: Tensor) -> list[tuple[float, float]]:
    """Kendall's tau-b and p-value over the words of each text; nan where one side is constant."""
    from scipy.stats import kendalltau  # here: it takes memory from who only looks

    b, content = same_shape(b, a, "b"), same_shape(content, a, "content").bool()
    rows = zip(wide(a.detach()).cpu(), wide(b.detach()).cpu(), content.cpu(), strict=True)
    pairs = [kendalltau(x[words], y[words]) for x, y, words in rows]
    return [(float(tau), float(p)) for tau, p in pairs]


@checked
@torch.no_grad()
def permutation(model: AttentionModel, batch: Batch, *, n=100, generator) -> Tensor:
    """(B,): median output change (TVD) over `n` random orders of the weights (J & W, alg. 2)."""
    hidden, query = model.encode(batch)
    alpha = model.attend(hidden, batch.content, query)  # (B, T)
    output = probabilities(model.decode(hidden, alpha, query))  # (B, C)
    behind = 2.0 * ~batch.content  # 0 for words, 2 for padding: sorted by it, the words come first
    noise = torch.rand((n, *alpha.shape), generator=generator).to(alpha)
    places = (noise + behind).argsort(-1)  # (n, B, T) the words in random order, then the rest
    weights = alpha.gather(1, behind.argsort(stable=True, dim=-1))  # (B, T) as the words stand
    shuffled = torch.zeros_like(noise).scatter(-1, places, weights.expand_as(noise))
    changes = tvd(probabilities(model.decode(hidden, shuffled, query)), output)  # (n, B)
    still_numbers([changes], "its training")
    return changes.median(0).values


class Adversary(NamedTuple):
    """For each text the most different weights that keep the output; the model's own if none."""

    alpha: Tensor  # (B, T)
    jsd: Tensor  # (B,) their divergence from the model's own
    tvd: Tensor  # (B,) the change of the output they cause, at most epsilon


@checked
@torch.inference_mode(False)
@torch.enable_grad()
def adversarial_attention(
    model, batch: Batch, *, generator, epsilon=0.05, restarts=5, steps=500, rate=0.01, margin=0.01
) -> Adversary:
    """Weights as far from the model's own as possible (JSD), the output within `epsilon` (TVD).

    1. compute hidden states, own weights and output once;
    2. begin K `restarts` at random weights (generator: on the CPU);
    3. climb the JSD to the own weights, and a little that between the restarts; a change of the
       output beyond `margin` costs 500 times as much;
    4. keep the farthest restart of each text. Source: J & W, section 4.2.2, algorithm 3.
    """
    with torch.no_grad():
        hidden, query = model.encode(batch)
        own = model.attend(hidden, batch.content, query)  # (B, T)
        output = probabilities(model.decode(hidden, own, query))  # (B, C)
    still_numbers([output], "its training")
    noise = torch.randn((restarts, *own.shape), generator=generator)
    scores = (3 * noise).to(wide(own)).requires_grad_()  # (K, B, T)
    optimizer = torch.optim.Adam([scores], lr=rate, amsgrad=True)
    pairs = max(restarts * (restarts - 1), 1)

    def measure() -> tuple[Tensor, Tensor, Tensor]:
        alpha = scores.masked_fill(~batch.content, -torch.inf).softmax(-1)  # (K, B, T)
        change = tvd(probabilities(model.decode(hidden, alpha.to(hidden), query)), output)
        return alpha, jsd(alpha, own), change  # the last two (K, B)

    for _ in range(steps):
        alpha, distance, change = measure()
        among = jsd(alpha[:, None], alpha[None]).sum() / pairs  # between the restarts
        loss = (500 * (change - margin).relu() - distance).sum() - among
        (scores.grad,) = torch.autograd.grad(loss, scores)
        optimizer.step()
    with torch.no_grad():
        alpha, distance, change = measure()
        best = distance.masked_fill(change > epsilon, -1).argmax(0)  # (B,) the restart to keep
        text = torch.arange(len(own), device=own.device)
        alpha, distance, change = (values[best, text] for values in (alpha, distance, change))
        kept = change <= epsilon  # False: no restart kept the output
        return Adversary(torch.where(kept[:, None], alpha, own), distance * kept, change * kept)
