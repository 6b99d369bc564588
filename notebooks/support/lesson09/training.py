"""Lesson 09: a dictionary of a toy world, refitted strengths, the hidden states of film reviews."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.attention import data
from helpers.attention.model import AttentionModel, Batch, collate, probabilities
from helpers.datasets import reviews
from helpers.sae.model import Dictionary, Settings, SparseAutoencoder
from helpers.sae.store import load_trials
from helpers.sae.train import update
from helpers.transformer.toy_models import ToySettings, sample, train_toys


def pentagon(device: torch.device) -> Tensor:
    """Lesson 07's world: five sparse features in two neurons, as columns (2, 5)."""
    importance, sparsity = 0.9 ** torch.arange(5.0), torch.tensor([0.97], device=device)
    return train_toys(ToySettings(), sparsity, importance, tries=3).W[0]


def train_toy(
    world: Tensor,
    settings: Settings,
    step: Callable = lambda *_: None,
    *,
    choose: Callable[[Tensor], Tensor] = lambda f: f,
    absent: float = 0.97,
    steps: int = 2500,
) -> tuple[SparseAutoencoder, dict[int, Tensor]]:
    """A dictionary of what few neurons show of a world (N, n), and its directions on the way.

    step(x, W_enc, b_enc, W_dec, optimizer, λ) trains; the helpers do where it returns None, with
    the features that `choose` leaves. Each of the world is absent with probability `absent`.
    """
    sae = SparseAutoencoder(settings).to(world.device)
    optimizer = torch.optim.Adam(sae.parameters(), lr=1e-2)
    generator = torch.Generator(world.device).manual_seed(settings.seed)
    sparsity = torch.full((1,), absent, device=world.device)
    learned = {0: sae.W_dec.detach().clone()}
    for number in range(1, steps + 1):
        x = sample(sparsity, 256, world.shape[1], generator=generator)[0] @ world.T  # (B, N)
        if step(x, sae.W_enc, sae.b_enc, sae.W_dec, optimizer, settings.l1) is None:
            sae.loss(x, choose(sae.encode(x))).total.backward()
            update([sae], optimizer)
        if number % 100 == 0 or number == steps:
            learned[number] = sae.W_dec.detach().clone()
    return sae, learned


def worst(world: Tensor, directions: Tensor) -> Tensor:
    """Of a world's directions (2, n) the cosine of the least well found; directions (..., M, 2)."""
    cosine = F.normalize(world.T, dim=1) @ F.normalize(directions, dim=-1).mT  # (..., n, M)
    return cosine.amax(dim=-1).amin(dim=-1)


def three_seeds(world: Tensor, step: Callable, *, features=16, l1=0.1, absent=0.97) -> Tensor:
    """`worst` of three dictionaries that differ by their seed, (3,)."""
    found = []
    for seed in range(3):
        settings = Settings(2, features, l1, input_bias=False, seed=seed)
        sae, _ = train_toy(world, settings, step, absent=absent)
        found.append(worst(world, sae.W_dec.detach()))
    return torch.stack(found)


def alone(world: Tensor, settings: Settings, step: Callable, choose: Callable) -> dict[str, tuple]:
    """Each feature alone, at ten strengths: (true, written back) by an L1 dictionary, by it after
    a refit, and by one without a penalty whose features `choose` selects."""
    l1, _ = train_toy(world, settings, step)
    topk, _ = train_toy(world, replace(settings, l1=0.0), choose=choose)
    x = torch.cat([strength * world.T for strength in torch.linspace(0.1, 1, 10)])  # (10 n, 2)
    with torch.no_grad():
        f = l1.encode(x)
        back = {"L1": l1.decode(f), "L1, refitted": l1.decode(refit(x, f, l1.W_dec))}
        back["TopK"] = topk.decode(choose(topk.encode(x)))
    return {name: (x.norm(dim=1), y.norm(dim=1)) for name, y in back.items()}


def refit(x: Tensor, f: Tensor, W_dec: Tensor) -> Tensor:
    """Strengths (B, M) that write x (B, N) best, with only the features that fire in f (B, M)."""
    k = max(1, int((f > 0).sum(dim=1).max()))
    strongest = f.topk(k, dim=1)
    D = W_dec[strongest.indices] * (strongest.values > 0)[..., None]  # (B, k, N)
    inverse = torch.linalg.pinv(D @ D.mT, hermitian=True)  # (B, k, k)
    g = (inverse @ (D @ x[..., None]))[..., 0]
    return torch.zeros_like(f).scatter(1, strongest.indices, g)


def trials() -> dict[str, np.ndarray]:
    """data/sae_trials by what was changed: L0, loss recovered and the share of dead, (seeds, 3)."""
    found = {}
    for name, row in load_trials().items():
        change = name.removeprefix("seed 1, ").removeprefix("seed 2, ")
        found.setdefault(change, []).append([row[k] for k in ("L0", "loss_recovered", "dead")])
    return {change: np.array(rows) for change, rows in found.items()}


class States:
    """Hidden states (n, N) of words at mean norm √N: random batches for `helpers.sae.train`."""

    def __init__(self, states: Tensor):
        self.scale = (states.shape[1] ** 0.5 / states.norm(dim=1).mean()).item()
        self.states = states * self.scale

    def batches(self, size: int, *, start: int = 0) -> Iterator[Tensor]:
        while True:
            yield self.sample(size, seed=start)
            start += 1

    def sample(self, size: int, *, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        places = torch.randint(len(self.states), (size,), generator=generator)
        return self.states[places.to(self.states.device)]


class Films(NamedTuple):
    """Lesson 04's classifier with additive attention, and reviews as it reads them."""

    reader: AttentionModel
    words: list[str]  # of its vocabulary
    learn: States  # of all words of the reviews to learn from
    parts: dict[str, list[tuple[Batch, Tensor]]]  # "choose", "test": batches, states (B, T, 128)


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
    states = torch.cat([states[batch.content] for batch, states in parts.pop("learn")])
    return Films(reader, vocabulary.words, States(states), parts)


@torch.no_grad()
def firing(films: Films, dictionary: Dictionary) -> tuple[Tensor, Tensor, Tensor]:
    """Of the reviews to choose on: each feature's mean (n, M), its largest (M,), the label (n,)."""
    means, largest = [], []
    for batch, states in films.parts["choose"]:
        f = dictionary.features(states) * batch.content[..., None]  # (B, T, M)
        means.append(f.sum(dim=1) / batch.content.sum(dim=1, keepdim=True))
        largest.append(f.amax(dim=(0, 1)))
    label = torch.cat([batch.label for batch, _ in films.parts["choose"]])
    return torch.cat(means), torch.stack(largest).amax(dim=0), label.float()


@torch.no_grad()
def p_negative(films: Films, edit: Callable[[Tensor], Tensor]) -> Tensor:
    """P(negative) of the test reviews, (n,), with an edit of the hidden states (B, T, 128)."""
    p = []
    for batch, states in films.parts["test"]:
        states = edit(states)
        alpha = films.reader.attend(states, batch.content, None)
        p.append(probabilities(films.reader.decode(states, alpha, None))[:, 0])
    return torch.cat(p)
