"""Lesson 09: a dictionary of a toy world, step by step, and the hidden states of film reviews."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from helpers.attention import data
from helpers.attention.model import AttentionModel, Batch, collate, probabilities
from helpers.datasets import reviews
from helpers.sae.model import Settings, SparseAutoencoder
from helpers.sae.train import update
from helpers.transformer.toy_models import sample


def train_toy(
    step: Callable, world: Tensor, settings: Settings, *, absent: float = 0.97, steps: int = 2500
) -> tuple[SparseAutoencoder, dict[int, Tensor]]:
    """A dictionary of what few neurons show of a world (N, n), and its directions on the way.

    step(x, W_enc, b_enc, W_dec, optimizer, λ) trains; the helpers do where it returns None.
    Each feature of the world is absent with probability `absent`.
    """
    sae = SparseAutoencoder(settings).to(world.device)
    optimizer = torch.optim.Adam(sae.parameters(), lr=1e-2)
    generator = torch.Generator(world.device).manual_seed(settings.seed)
    sparsity = torch.full((1,), absent, device=world.device)
    learned = {0: sae.W_dec.detach().clone()}
    for number in range(1, steps + 1):
        x = sample(sparsity, 256, world.shape[1], generator=generator)[0] @ world.T  # (B, N)
        if step(x, sae.W_enc, sae.b_enc, sae.W_dec, optimizer, settings.l1) is None:
            sae.loss(x, sae.encode(x)).total.backward()
            update([sae], optimizer)
        if number % 100 == 0 or number == steps:
            learned[number] = sae.W_dec.detach().clone()
    return sae, learned


class Films(NamedTuple):
    """Lesson 04's classifier with additive attention, and reviews as it reads them."""

    reader: AttentionModel
    words: list[str]  # of its vocabulary
    parts: dict[str, list[tuple[Batch, Tensor]]]  # "learn", …: batches of 100, states (B, T, 128)


@torch.no_grad()
def films(device: torch.device, samples: int = 1000) -> Films:
    """The classifier and the hidden states of so many reviews, a fifth as many to test on."""
    reader, vocabulary = data.load("tanh", device=device)
    sizes = {"learn": samples, "choose": samples, "test": max(1, samples // 5)}
    parts = {name: [] for name in sizes}
    for (name, size), split in zip(sizes.items(), reviews.load("imdb"), strict=True):
        examples = data.examples(split, vocabulary, 200, size)
        for i in range(0, size, 100):
            batch = collate(examples[i : i + 100], device=device)
            parts[name].append((batch, reader.encode(batch)[0]))
    return Films(reader, vocabulary.words, parts)


def shuffled(states: Tensor, size: int = 1024) -> Iterator[Tensor]:
    """Random batches (size, N) of states (n, N), for ever."""
    generator = torch.Generator().manual_seed(0)
    while True:
        yield states[torch.randint(len(states), (size,), generator=generator).to(states.device)]


@torch.no_grad()
def p_negative(films: Films, edit: Callable[..., Tensor], *more) -> Tensor:
    """P(negative) of the test reviews, (n,), with edit(states, *more) for states (B, T, 128)."""
    p = []
    for batch, states in films.parts["test"]:
        states = edit(states, *more)
        alpha = films.reader.attend(states, batch.content, None)
        p.append(probabilities(films.reader.decode(states, alpha, None))[:, 0])
    return torch.cat(p)
