"""Lesson 10's rubric: how far can people interpret a unit? Features and neurons mixed, blinded, in
random order. D2-22.

The points (3 + 5 + 3 + 1 + 3, "rather interpretable" above 8 of 14) are those of Bricken et al.
2023; the wording is ours.
"""

from __future__ import annotations

import hashlib
import html
import random
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from helpers.lesson.rating import Item, Question, by_condition
from helpers.lesson.answers import Record
from helpers.datasets.excerpts import Excerpts, firings

ACTIVITY, PRACTICE = (
    "features",
    "features-practice",
)  # people's ratings; made-up ones, which are never pooled with them
MOST, RATHER = 14, 8  # points; above RATHER a unit is "rather interpretable"
QUESTIONS = (
    Question("explanation", "What does this unit stand for? In a few words."),
    Question(
        "confidence",
        "How sure are you of these words?",
        ("no idea", "a guess", "fairly", "certain"),
    ),
    Question(
        "activations",
        "How well do the firings, the weak ones included, fit your words?",
        ("not at all", "a few do", "less than half", "more than half", "nearly all", "every one"),
    ),
    Question(
        "logits",
        "How well do the tokens it makes more likely fit your words?",
        ("not at all", "a few do", "most do", "every one"),
    ),
    Question(
        "all explained", "Do your words explain every firing and every token shown?", ("no", "yes")
    ),
    Question(
        "specificity",
        "Would the unit fire on much else that you see no reason for?",
        ("on nearly anything", "on much else", "on little else", "on nothing else"),
        applies=lambda answers: answers.get("all explained") == 0,
    ),
)


def points(answers: Mapping) -> int:
    """The rubric's total, 0–14. Where everything is explained the last question was left out, and
    it counts as full.
    """
    last = 3 if answers["all explained"] else answers["specificity"]
    return answers["confidence"] + answers["activations"] + answers["logits"] + last


class Unit(NamedTuple):
    """A feature or a neuron: everything the rubric shows of it."""

    acts: Callable[[Tensor], Tensor]  # rows (n, T) → activations (n, T)
    top: Tensor  # (20,) places of its strongest firings
    uniform: Tensor  # (12, 3) places in twelve equal intervals of its activation, lowest first
    maximum: float
    effects: Tensor  # (V,) what it does to each token's logit


class Card:
    """A unit on one page: strongest firings, firings of every strength, and the tokens it makes
    more likely.
    """

    def __init__(self, unit: Unit, rows: Tensor):
        from helpers.datasets import corpus

        shown = lambda places, title: Excerpts(
            firings(unit.acts, rows, places), unit.maximum, title
        )
        self.top = shown(unit.top[:6], "Its strongest firings")
        self.uniform = shown(
            unit.uniform[:, 0].flip(0), "One firing from each twelfth of its range, strong to weak"
        )
        self.raised = [
            corpus.token_strings()[t].replace("\n", "↵")
            for t in unit.effects.topk(12).indices.tolist()
        ]

    def __repr__(self) -> str:
        return (
            f"{self.top!r}\n{self.uniform!r}\nMakes more likely: "
            f"{' · '.join(map(repr, self.raised))}"
        )

    def _repr_html_(self) -> str:
        chips = " ".join(
            '<code style="border:1px solid #888;padding:0 '
            f'4px;white-space:pre">{html.escape(token)}</code>'
            for token in self.raised
        )
        return (
            f'<div style="background:#fff;color:#111">{self.top._repr_html_()}'
            f"{self.uniform._repr_html_()}"
            '<div style="font-size:16px;line-height:1.9;padding:4px 8px"><b>When it fires, '
            f"these tokens become more likely</b><br>{chips}</div></div>"
        )


@torch.no_grad()
def items(
    kinds: Mapping[str, Callable[[int], Unit]],
    candidates: Mapping[str, Sequence[int]],
    rows: Tensor,
    *,
    each: int = 4,
    seed: int = 0,
) -> list[Item]:
    """Random units as items to rate, `each` of every kind, drawn among the candidates; kinds:
    {condition: unit's number → Unit}.
    """
    found, rng = [], random.Random(seed)
    for condition, unit_of in kinds.items():
        for unit in rng.sample(list(candidates[condition]), each):
            key = hashlib.sha256(f"{condition} {unit}".encode()).hexdigest()[
                :8
            ]  # the key must not tell the condition
            found.append(Item(key, condition, Card(unit_of(unit), rows)))
    return found


def result(records: Sequence[Record]) -> dict[str, np.ndarray]:
    """{condition: points of every rating}. Raises ValueError where people's and made-up ratings are
    mixed.
    """
    if len({record.activity for record in records}) > 1:
        raise ValueError(
            "people's ratings and made-up ones are never pooled together: look at one after "
            "the other"
        )
    return {
        condition: np.array([points(r.answer) for r in group])
        for condition, group in by_condition(records).items()
    }


def practice(some: Sequence[Item], people: int = 10, seed: int = 0) -> list[Record]:
    """Ratings by nobody: every made-up person presses digits at random, whatever the unit."""
    rng = random.Random(seed)
    answer = lambda: {
        q.key: rng.randrange(len(q.choices)) if q.choices else "made up" for q in QUESTIONS
    }
    return [
        Record(
            PRACTICE, item.key, item.condition, answer(), 60.0, "", f"{n:08x}", f"{n}-{item.key}"
        )
        for n in range(people)
        for item in some
    ]
