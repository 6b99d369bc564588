"""Lesson 04's adversary.

All texts and restarts together, beside the published procedure re-done from its description.
"""

import sys

import torch

from helpers.attention import data as make
from helpers.attention.faithfulness import adversarial_attention, jsd, tvd
from helpers.attention.model import AttentionModel, Batch, collate, probabilities
from helpers.attention.train import batches
from helpers.datasets import reviews
from tests.benchmarks import bench
from tests.benchmarks.bench import Contest

RESTARTS, STEPS, RATE = (
    5,
    20,
    0.2,
)  # the papers take 500 steps of .01: the time a step is what counts here


def contests() -> list[Contest]:
    return [contest("reviews up to 60 words", 60, 48), contest("reviews up to 200 words", 200, 48)]


def contest(name: str, longest: int, texts: int) -> Contest:
    model, vocabulary = make.load("tanh")
    data = make.examples(reviews.load("imdb").test, vocabulary, longest, most=texts)
    batch = collate(data, range(texts))
    together = lambda: adversarial_attention(
        model,
        batch,
        restarts=RESTARTS,
        steps=STEPS,
        rate=RATE,
        generator=torch.Generator().manual_seed(0),
    ).jsd.mean()
    return Contest(
        f"adversarial weights, {texts} {name}",
        together,
        lambda: published(model, data).mean(),
        "per batch and restart",
        0.1,
        texts,
        "example",
    )


def published(
    model: AttentionModel, data: list[tuple], *, epsilon: float = 0.05, size: int = 32
) -> torch.Tensor:
    """One batch at a time, one restart after another, the whole model run again in every step (Jain
    & Wallace 2019, section 4.2.2).

    Restarts that follow one another cannot push one another apart, so the mean divergence is
    compared, within a tenth.
    """
    generator, found = torch.Generator().manual_seed(0), torch.zeros(len(data))
    for batch in batches(data, size):
        reference, own = (t.detach() for t in model(batch))
        best = torch.zeros(len(own))
        for _ in range(RESTARTS):
            best = torch.maximum(
                best, one_restart(model, batch, probabilities(reference), own, epsilon, generator)
            )
        found[batch.index] = best
    return found


def one_restart(
    model: AttentionModel, batch: Batch, reference, own, epsilon: float, generator
) -> torch.Tensor:
    scores = (3 * torch.randn(own.shape, generator=generator)).requires_grad_()
    optimiser = torch.optim.Adam([scores], lr=RATE, amsgrad=True)
    weights = lambda: scores.masked_fill(~batch.content, -torch.inf).softmax(-1)
    for _ in range(STEPS):
        alpha = weights()
        moved = tvd(probabilities(model(batch, alpha)[0]), reference)
        loss = (500 * (moved - 0.01).relu() - jsd(alpha, own)).sum()
        (scores.grad,) = torch.autograd.grad(
            loss, scores
        )  # no slopes for the model's own numbers: nobody needs them
        optimiser.step()
    with torch.no_grad():
        alpha = weights()
        return jsd(alpha, own) * (tvd(probabilities(model(batch, alpha)[0]), reference) <= epsilon)


if __name__ == "__main__":
    sys.exit(bench.run(contests, sys.argv[1:]))
