"""A board: one question, the answers kept and shown together, exported as Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from helpers.ground.errors import CourseError
from helpers.lesson.answers import Pooled, Record, Store, pool

ACTIVITY = "board"
_ENTITIES = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    "$": "&#36;",
}  # also where a backslash would not help


class Answer(NamedTuple):
    """One answer on a board."""

    text: str
    seat: str  # "" where the board has no seats
    time: str  # UTC, ISO 8601
    person: str  # the random id of the folder it came from
    id: str


class Board:
    """A question to a room. Answers lie in the class folder, so they are still there tomorrow.

    key: names the board for good, such as "00.right-for-the-wrong-reason". question: Markdown.
    seats: the groups or points of view that answer, such as ("the clinician", "the engineer"); none by default.
    Files of other people put into the class folder are shown too.
    """

    def __init__(
        self,
        key: str,
        question: str,
        seats: Sequence[str] | None = None,
        folder: str | Path | None = None,
    ):
        self.key, self.question, self.seats = key, question, tuple(seats or ())
        self.store = Store(ACTIVITY, folder)

    def answer(self, text: str, seat: str | None = None) -> None:
        """Put an answer on the board. Raises CourseError for an empty one or a seat that is not at this board."""
        text, seat = text.strip(), seat or (self.seats[0] if self.seats else "")
        if not text:
            raise CourseError("The answer is empty. Write a sentence and send it again.")
        if seat and seat not in self.seats:
            raise CourseError(
                f"There is no seat {seat!r} at this board; choose one of: {', '.join(self.seats) or 'none'}."
            )
        self.store.add(self.key, seat, text)

    def take_back(self) -> None:
        """Take your own last answer off the board (the record stays in the file). Raises CourseError without one."""
        mine = [answer for answer in self.answers() if answer.person == self.store.person]
        if not mine:
            raise CourseError("There is no answer of yours to take back.")
        self.store.add(self.key, "", {"takes back": mine[-1].id})

    def answers(self) -> list[Answer]:
        """Everybody's answers, oldest first, without those taken back."""
        own = self.store.records()  # first: it also writes what was waiting
        return on_the_board(
            {record.id: record for record in [*self._pooled().records, *own]}.values(), self.key
        )

    @property
    def left_out(self) -> str:
        """What of the class folder could not be read, in a sentence; "" where everything counts."""
        return self._pooled().left_out

    def _pooled(self) -> Pooled:
        there = self.store.folder.is_dir()
        return pool(self.store.folder, ACTIVITY).only(_is_answer) if there else Pooled([], 0, [])

    def export(self) -> str:
        """Question and answers as Markdown. Whatever people typed is shown as they typed it, never as markup."""
        answers, parts = self.answers(), [f"### {self.question}"]
        for seat in self.seats or ("",):
            parts += [f"**{as_typed(seat)}**"] if seat else []
            parts += [
                "\n".join(f"- {as_typed(a.text)}" for a in answers if a.seat == seat)
                or "*no answer yet*"
            ]
        parts += [as_typed(self.left_out)] if self.left_out else []
        return "\n\n".join(parts) + "\n"

    def save(self) -> Path:
        """Write the export into the class folder and return its path. Raises CourseError where that is impossible."""
        name = re.sub(r"[^a-z0-9]+", "-", self.key.lower()).strip("-")
        path = self.store.folder / f"board-{name}.md"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.export(), encoding="utf-8", errors="replace")
        except OSError as error:
            raise CourseError(
                f"{path} cannot be written ({error.strerror or error}). The answers are kept; make room "
                "or the folder writable, and save again."
            ) from error
        return path


def on_the_board(records: Sequence[Record], key: str) -> list[Answer]:
    """The answers to one board among (pooled) records, oldest first."""
    here = [record for record in records if record.item == key]
    gone = {record.answer.get("takes back") for record in here if isinstance(record.answer, dict)}
    kept = [record for record in here if isinstance(record.answer, str) and record.id not in gone]
    return [
        Answer(r.answer, r.condition, r.time, r.person, r.id)
        for r in sorted(kept, key=lambda r: r.time)
    ]


def _is_answer(record: Record) -> bool:
    """Whether a record is what a board stores: a text, or the taking back of one."""
    return isinstance(record.answer, str) or (
        isinstance(record.answer, dict) and "takes back" in record.answer
    )


def as_typed(text: str) -> str:
    """Escape text for a Markdown list item: no markup, HTML or formula in it takes effect; line breaks stay."""
    lines = [_escape(line.strip()) for line in text.strip().splitlines() if line.strip()]
    return "<br>".join(lines)


def _escape(line: str) -> str:
    line = re.sub(r"[&<>$]", lambda match: _ENTITIES[match[0]], line)
    line = re.sub(r"([\\`*_\[\]|~])", r"\\\1", line)
    line = re.sub(r"^([-+=#])", r"\\\1", line)  # what starts a list, a heading or a rule
    return re.sub(r"^(\d+)([.)])", r"\1\\\2", line)
