"""Blinded rating: items in random order, their condition hidden, a few questions each, by keyboard, to be resumed at will."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from helpers.ground.errors import CourseError
from helpers.lesson.answers import Pooled, Record, Store


@dataclass(frozen=True)
class Question:
    """One question about an item. Without choices the answer is free text."""

    key: str  # under which the answer is stored
    text: str  # what the rater reads
    choices: tuple[str, ...] = ()  # what each number means, smallest first
    first: int = 0  # the first choice's number, which is also the digit to press
    applies: Callable[[dict], bool] = lambda answers: (
        True
    )  # whether it is asked, given this item's answers so far


@dataclass(frozen=True)
class Item:
    """Something to rate. The rater sees `content` only."""

    key: str  # names it in the store
    condition: str  # what the rating must not know, such as "SoLU"
    content: Any  # what the view's `show` function draws


class Rating:
    """Where a rater stands: the item, the question, the answers so far. `tools.rating_view` shows it.

    The order is random and fixed for a class folder, so a rating broken off goes on at the first item without an
    answer. limit: seconds meant for an item; later answers count, and their record says how long they took.
    """

    def __init__(
        self,
        activity: str,
        items: Iterable[Item],
        questions: Sequence[Question],
        folder=None,
        *,
        limit: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.store, self.questions, self.limit, self._clock = (
            Store(activity, folder),
            tuple(questions),
            limit,
            clock,
        )
        self.items = sorted(
            items, key=lambda item: item.key
        )  # whatever order they came in must not show
        if len({item.key for item in self.items}) < len(self.items):
            raise ValueError("two items have the same key; each needs its own")
        if not self.questions or any(q.first + len(q.choices) > 10 for q in self.questions):
            raise ValueError(
                "a rating needs a question, and the numbers of its choices have to be single digits"
            )
        random.Random(f"{activity} {self.store.person}").shuffle(self.items)
        known = {item.key for item in self.items}
        self.given = {
            record.item: record.answer for record in self.store.records() if record.item in known
        }
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
        open_ones = (
            q for q in self.questions if q.key not in self.answers and q.applies(self.answers)
        )
        return next(open_ones, None) if self.item else None

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
        """Answer the question. The last one stores the item and moves on. Raises CourseError for what is no answer."""
        question = self._asked()
        numbers = range(question.first, question.first + len(question.choices))
        if question.choices and value not in numbers:
            raise CourseError(
                f"The answer is a number from {numbers[0]} to {numbers[-1]}, not {value!r}."
            )
        if not question.choices and not str(value).strip():
            raise CourseError("Write a few words first, or pass this one over.")
        self.answers[question.key] = int(value) if question.choices else str(value).strip()
        if self.question is None:
            self._finish(dict(self.answers))

    def press(self, key: str) -> None:
        """One key: a digit answers, "b" goes back, "s" passes the item over. Raises CourseError for any other."""
        if key.lower() == "b":
            self.back()
        elif key.lower() == "s":
            self.skip()
        elif self._asked().choices and len(key) == 1 and key in "0123456789":
            self.give(int(key))
        else:
            raise CourseError(
                f"{key!r} means nothing here: press a digit, b to go back or s to pass this one over."
            )

    def skip(self) -> None:
        """Pass the item over: it counts as seen and has no rating."""
        self._asked()
        self._finish(None)

    def back(self) -> None:
        """Take back the last answer, or return to the item before and rate it anew (its later record counts)."""
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
        self.answers, self._index = {}, self._next()
        self.start()

    def _next(self) -> int:
        return next(
            (i for i, item in enumerate(self.items) if item.key not in self.given), len(self.items)
        )


def accepted(pooled: Pooled, questions: Sequence[Question]) -> Pooled:
    """Everybody's ratings that answer these questions, and those passed over; whose do not is named in `skipped`."""
    return pooled.only(lambda record: record.answer is None or _answers(record.answer, questions))


def _answers(given: Any, questions: Sequence[Question]) -> bool:
    """Whether an answer out of a file is what `Rating` would have stored (somebody else's file may hold anything)."""
    if not isinstance(given, dict):
        return False
    so_far: dict[str, Any] = {}
    for question in (q for q in questions if q.applies(so_far)):
        value = given.get(question.key)
        if not (
            type(value) is int and 0 <= value - question.first < len(question.choices)
            if question.choices
            else isinstance(value, str)
        ):
            return False
        so_far[question.key] = value
    return True


def by_condition(records: Iterable[Record]) -> dict[str, list[Record]]:
    """Unblind: each person's last rating of each item, by condition; items passed over are left out."""
    last = {(record.person, record.item): record for record in records}
    groups: dict[str, list[Record]] = {}
    for record in last.values():
        if record.answer is not None:
            groups.setdefault(record.condition, []).append(record)
    return dict(sorted(groups.items()))


def counterbalanced(
    keys: Sequence[str], conditions: Sequence[str], person: str
) -> list[tuple[str, str]]:
    """Give every item one condition so that each condition comes equally often, and over people with every item.

    person: a `Store.person`; it chooses one row of the Latin square. Returns (key, condition) pairs.
    """
    row = int(person, 16) % len(conditions)
    return [(key, conditions[(place + row) % len(conditions)]) for place, key in enumerate(keys)]
