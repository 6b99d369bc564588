"""Blinded rating: items in random order, their condition hidden, a few questions each, by keys."""

import random
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from helpers.ground.errors import CourseError, checked
from helpers.lesson.answers import Pooled, Record, Store


@checked
@dataclass(frozen=True)
class Question:
    """One question about an item. Without choices the answer is free text."""

    key: str  # under which the answer is stored
    text: str  # what the rater reads
    choices: tuple[str, ...] = ()  # what each number means, smallest first
    first: int = 0  # the first choice's number, which is also the digit to press
    applies: Callable[[dict], bool] = lambda answers: True  # asked, given the answers so far?

    def accepts(self, value: Any) -> bool:
        """Whether a value is an answer to it: one of its numbers, or text."""
        if not self.choices:
            return isinstance(value, str) and bool(value.strip())
        return type(value) is int and 0 <= value - self.first < len(self.choices)


@checked
@dataclass(frozen=True)
class Item:
    """Something to rate. The rater sees `content` only."""

    key: str  # names it in the store
    condition: str  # what the rating must not know, such as "SoLU"
    content: Any  # what the view's `show` function draws


@checked
class Rating:
    """Where a rater stands: the item, the question, the answers so far. `rating_view` shows it.

    The order is random and fixed for a class folder, so a rating broken off goes on at the first
    item without an answer. limit: seconds meant for an item; later answers count too.
    """

    def __init__(
        self, activity, items, questions: list, folder=None, *, limit=None, clock=time.monotonic
    ):
        self.store = Store(activity, folder)
        self.questions, self.limit, self._clock = tuple(questions), limit, clock
        self.items = sorted(items, key=lambda item: item.key)  # the order they came in is hidden
        if len({item.key for item in self.items}) < len(self.items):
            raise CourseError("two items have the same key; each needs its own")
        if not self.questions or any(q.first + len(q.choices) > 10 for q in self.questions):
            raise CourseError("a rating needs questions whose choices are single digits")
        random.Random(f"{activity} {self.store.person}").shuffle(self.items)
        known = {item.key for item in self.items}
        self.given = {r.item: r.answer for r in self.store.records() if r.item in known}
        self.answers: dict[str, Any] = {}  # to the current item's questions
        self._started: float | None = None
        self._index = self._next()

    @property
    def item(self) -> Item | None:
        """What is being rated; None when all is done."""
        return self.items[self._index] if self._index < len(self.items) else None

    @property
    def question(self) -> Question | None:
        """What is being asked; None when all is done."""
        if self.item is None:
            return None
        left = (q for q in self.questions if q.key not in self.answers)
        return next((q for q in left if q.applies(self.answers)), None)

    @property
    def done(self) -> bool:
        """Whether every item has an answer or was passed over."""
        return self.item is None

    @property
    def seconds(self) -> float | None:
        """Since the item was shown; None before `start`."""
        return None if self._started is None else self._clock() - self._started

    def start(self) -> None:
        """The item is on the screen: its time begins."""
        self._started = self._clock()

    def give(self, value: int | str) -> None:
        """Answer the question; the last one stores the item and moves on."""
        question = self._asked()
        value = str(value).strip()
        value = int(value) if question.choices and value.isdecimal() else value
        if not question.accepts(value):
            last = question.first + len(question.choices) - 1
            numbers = f"The answer is a number from {question.first} to {last}, not {value!r}."
            words = "Write a few words first, or pass this one over."
            raise CourseError(numbers if question.choices else words)
        self.answers[question.key] = value
        if self.question is None:
            self._finish(dict(self.answers))

    def press(self, key: str) -> None:
        """One key: a digit answers, "b" goes back, "s" passes the item over; CourseError else."""
        if key.lower() == "b":
            self.back()
        elif key.lower() == "s":
            self.skip()
        elif self._asked().choices and len(key) == 1 and key in "0123456789":
            self.give(int(key))
        else:
            raise CourseError(f"{key!r} means nothing here: press a digit, b (back) or s (skip).")

    def skip(self) -> None:
        """Pass the item over: it counts as seen and has no rating."""
        self._asked()
        self._finish(None)

    def back(self) -> None:
        """Take back the last answer, or rate the item before anew; its later record counts."""
        if self.answers:
            self.answers.popitem()
        elif self._index > 0:
            self._index -= 1
            self.start()

    def _asked(self) -> Question:
        if self.question is None:
            raise CourseError("Everything is rated; there is nothing left to answer.")
        return self.question

    def _finish(self, answer: dict | None) -> None:
        self.store.add(self.item.key, self.item.condition, answer, self.seconds)
        self.given[self.item.key] = answer
        self.answers = {}
        self._index = self._next()
        self.start()

    def _next(self) -> int:
        left = (i for i, item in enumerate(self.items) if item.key not in self.given)
        return next(left, len(self.items))


def accepted(pooled: Pooled, questions: Sequence[Question]) -> Pooled:
    """Everybody's ratings that answer these questions, and items passed over; others are named."""
    return pooled.only(lambda record: record.answer is None or _answers(record.answer, questions))


def _answers(given: Any, questions: Sequence[Question]) -> bool:
    """Whether an answer out of a file, which may hold anything, is what `Rating` stores."""
    if not isinstance(given, dict):
        return False
    so_far: dict[str, Any] = {}
    for question in questions:
        if question.applies(so_far):
            if not question.accepts(given.get(question.key)):
                return False
            so_far[question.key] = given[question.key]
    return True


def by_condition(records: Iterable[Record]) -> dict[str, list[Record]]:
    """Unblind: each person's last rating of each item, by condition, without those passed over."""
    last = {(record.person, record.item): record for record in records}
    groups: dict[str, list[Record]] = {}
    for record in last.values():
        if record.answer is not None:
            groups.setdefault(record.condition, []).append(record)
    return dict(sorted(groups.items()))


def counterbalanced(keys: Sequence[str], conditions: Sequence[str], person: str) -> list[tuple]:
    """(key, condition) pairs: `person` chooses a row of the Latin square, so all come as often."""
    if not conditions or not re.fullmatch("[0-9a-f]+(-[0-9]+)?", person):
        raise CourseError(f"Give conditions, and a person's number as records have it: {person!r}.")
    row = int(person.partition("-")[0], 16) % len(conditions)
    return [(key, conditions[(place + row) % len(conditions)]) for place, key in enumerate(keys)]
