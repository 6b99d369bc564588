"""Lesson 08's question to people: do 80 % of a neuron's strongest firings follow a single rule?
Blinded, in random order.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from helpers.datasets.excerpts import Excerpts, firings
from helpers.ground.stats import clustered_mean
from helpers.lesson.answers import Record, pool
from helpers.lesson.rating import Item, Question, Rating, accepted, by_condition
from helpers.sae import features
from helpers.transformer.model import OneLayerTransformer

ACTIVITY = "neurons"  # people's ratings
PRACTICE = "neurons-practice"  # made-up ones, which are never pooled with them
QUESTION = Question(
    "one rule",
    "Can at least 80 % of these strongest firings be explained by a single rule or category?",
    ("no", "yes"),
)
SHOWN = 15  # firings a neuron: 12 of 15 are 80 %


def examples(model: OneLayerTransformer, rows: Tensor, domains: Tensor) -> features.Examples:
    """Where each neuron fires in every sixteenth of the rows (R, T), as places in all of them."""
    read = torch.arange(0, len(rows), 16)
    places = (read[:, None] * rows.shape[1] + torch.arange(rows.shape[1])).flatten()
    fired = features.sparse_activations(None, model, rows[read])
    return features.examples(fired, rows[read], domains[read], places)


@torch.no_grad()
def shown(model, unit: int, rows: Tensor, places: Tensor, title: str = "", largest=None):
    """A neuron's firings at places (n,) in rows (R, T), shaded relative to `largest` or theirs."""
    found = firings(lambda r: model.activations(r)[..., unit], rows, places.long())
    largest = max((e.values[e.at] for e in found), default=1.0) if largest is None else largest
    return Excerpts(found, largest, title)


def items(models: Mapping[str, tuple], rows: Tensor, each: int = 3, seed: int = 0) -> list[Item]:
    """Random neurons as items to rate, `each` of every condition, drawn among those that fire at
    SHOWN places at least.

    models: {condition: (model, places (F, count) of each neuron's strongest firings in rows (R,
    T))}.
    """
    found, generator = [], torch.Generator().manual_seed(seed)
    for condition, (model, places) in models.items():
        alive = torch.nonzero((places[:, :SHOWN] >= 0).all(dim=1)).flatten()
        for unit in alive[torch.randperm(len(alive), generator=generator)[:each]].tolist():
            # the key must not tell the condition
            key = hashlib.sha256(f"{condition} {unit}".encode()).hexdigest()[:8]
            found.append(Item(key, condition, shown(model, unit, rows, places[unit, :SHOWN])))
    return found


def result(records: Sequence[Record]) -> dict[str, tuple[float, float, float, int]]:
    """{condition: (share of neurons called explainable, low, high, ratings)}: 95 %, whole neurons
    are drawn again.

    Raises ValueError where people's and made-up ratings are mixed, or a condition has fewer than
    two neurons.
    """
    if len({record.activity for record in records}) > 1:
        raise ValueError(
            "people's ratings and made-up ones are never pooled together: look at one after "
            "the other"
        )
    return {
        condition: (
            *clustered_mean([r.answer["one rule"] for r in group], [r.item for r in group]),
            len(group),
        )
        for condition, group in by_condition(records).items()
    }


def practice(
    some: Sequence[Item], people: int = 10, chance: float = 0.5, seed: int = 0
) -> list[Record]:
    """Ratings by nobody: every made-up person tosses the same coin for every neuron, whatever its
    condition.
    """
    rng = random.Random(seed)
    return [
        Record(
            PRACTICE,
            item.key,
            item.condition,
            {"one rule": int(rng.random() < chance)},
            30.0,
            "",
            f"{n:08x}",
            f"{n}-{item.key}",
        )
        for n in range(people)
        for item in some
    ]


def outcome(rating: Rating, chosen: Sequence[Item], folder=None) -> tuple[dict, str, str]:
    """{condition: (share, low, high)}, a title and a note: of a class's files, or of practice data.

    Practice data as long as there are fewer than six ratings, or than two neurons of each kind.
    """
    rated = accepted(pool(folder or rating.store.folder, ACTIVITY), rating.questions)
    kinds = Counter(kind for kind, _ in {(r.condition, r.item) for r in rated.records if r.answer})
    real = len(rated.records) > 5 and len(kinds) == 2 and min(kinds.values()) > 1
    crowd = [replace(item, key=f"{item.key} {n}") for item in chosen for n in range(10)]
    found = result(rated.records if real else practice(crowd))
    title = "your class" if real else "PRACTICE DATA, rated by nobody"
    source = f"Ratings of {rated.people} people." if real else "Every answer is a coin."
    shares = {condition: part[:3] for condition, part in found.items()}
    return shares, title, f"{source} {rated.left_out}".strip()
