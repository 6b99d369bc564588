"""Lesson 08's question to people: do 80 % of a neuron's strongest firings follow a single rule?
Blinded, in random order.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from helpers.lesson.rating import Item, Question, by_condition
from helpers.lesson.answers import Record
from helpers.datasets.excerpts import Excerpts, firings

ACTIVITY, PRACTICE = (
    "neurons",
    "neurons-practice",
)  # people's ratings; made-up ones, which are never pooled with them
QUESTION = Question(
    "one rule",
    "Can at least 80 % of these strongest firings be explained by a single rule or category?",
    ("no", "yes"),
)
SHOWN = 15  # firings a neuron: 12 of 15 are 80 %


@torch.no_grad()
def strongest(model, unit: int, rows: Tensor, places: Tensor, count: int = SHOWN) -> Excerpts:
    """A neuron's strongest firings at places (n,) in rows of tokens (R, T), shaded relative to the
    strongest.
    """
    found = firings(lambda r: model.activations(r)[..., unit], rows, places[:count].long())
    return Excerpts(found, max((e.values[e.at] for e in found), default=1.0))


def items(models: Mapping[str, tuple], rows: Tensor, each: int = 6, seed: int = 0) -> list[Item]:
    """Random neurons as items to rate, `each` of every condition, drawn among those that fire at
    SHOWN places at least.

    models: {condition: (model, places (F, count) of each neuron's strongest firings in rows (R,
    T))}.
    """
    found, generator = [], torch.Generator().manual_seed(seed)
    for condition, (model, places) in models.items():
        alive = torch.nonzero((places[:, :SHOWN] >= 0).all(dim=1)).flatten()
        for unit in alive[torch.randperm(len(alive), generator=generator)[:each]].tolist():
            key = hashlib.sha256(f"{condition} {unit}".encode()).hexdigest()[
                :8
            ]  # the key must not tell the condition
            found.append(Item(key, condition, strongest(model, unit, rows, places[unit])))
    return found


def result(records: Sequence[Record]) -> dict[str, tuple[float, float, float, int]]:
    """{condition: (share of neurons called explainable, low, high, ratings)}: 95 %, whole neurons
    are drawn again.

    Raises ValueError where people's and made-up ratings are mixed, or a condition has fewer than
    two neurons.
    """
    from helpers.ground.stats import clustered_mean

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
