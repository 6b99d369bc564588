"""Lesson 10's rubric: how far can people interpret a unit? Features and neurons mixed, blinded, in
random order. D2-22.

The points (3 + 5 + 3 + 1 + 3, "rather interpretable" above 8 of 14) are those of Bricken et al.
2023; the wording is ours.
"""

import hashlib
import random
from collections.abc import Mapping, Sequence

import numpy as np

from helpers.lesson.answers import Record
from helpers.lesson.rating import Item, Question, by_condition
from notebooks.support.lesson10.units import Card, Units

ACTIVITY = "features"  # people's ratings
PRACTICE = "features-practice"  # made-up ones, which are never pooled with them
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


def items(kinds: Mapping[str, Units], *, each: int = 2, seed: int = 0) -> list[Item]:
    """Random units as items to rate, `each` of every kind, drawn among those one can read."""
    found, rng = [], random.Random(seed)
    for kind, units in kinds.items():
        for i in rng.sample(units.readable(), each):
            key = hashlib.sha256(f"{kind} {i}".encode()).hexdigest()[:8]  # does not tell the kind
            found.append(Item(key, kind, Card(units, i)))
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
