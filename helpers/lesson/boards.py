"""A board: one question, the answers kept and shown together, exported as Markdown."""

import heapq
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from helpers.ground.errors import CourseError, checked
from helpers.lesson.answers import Record, Store

ACTIVITY = "board"
FEEDBACK = ("What I can do now", "What stayed unclear", "What I would change")
# also where a backslash would not help
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "$": "&#36;"})


@checked
class Board:
    """A question to a class. Answers lie in the class folder, so they are still there tomorrow.

    key: names the board for good, such as "00.right-for-the-wrong-reason". question: Markdown.
    seats: the groups or points of view that answer, such as ("the clinician", "the engineer").
    """

    def __init__(self, key: str, question: str, seats: Sequence[str] | None = None, folder=None):
        self.key, self.question, self.seats = key, question, tuple(seats or ())
        self.speaks = "speaking as"  # what stands before the choice of a seat
        self.store = Store(ACTIVITY, folder)

    def answer(self, text: str, seat: str | None = None) -> None:
        """Put an answer on the board. Raises CourseError for an empty one or an unknown seat."""
        text = text.strip()
        seat = seat or (self.seats[0] if self.seats else "")
        if not text:
            raise CourseError("The answer is empty. Write a sentence and send it again.")
        if seat and seat not in self.seats:
            raise CourseError(f"There is no seat {seat!r} here, only {', '.join(self.seats)}.")
        self.store.add(self.key, seat, text)

    def take_back(self) -> None:
        """Take your own last answer off the board; the record stays in the file."""
        mine = {record.id for record in self.store.records()}
        own = [answer for answer in self.answers() if answer.id in mine]
        if not own:
            raise CourseError("There is no answer of yours to take back.")
        self.store.add(self.key, "", {"takes back": own[-1].id})

    def answers(self) -> list[Record]:
        """Everybody's answers (condition: the seat), in the order of `on_the_board`."""
        everybody = self.store.everybody(_is_answer).records
        records = {record.id: record for record in [*everybody, *self.store.records()]}
        return on_the_board(records.values(), self.key)

    @property
    def left_out(self) -> str:
        """What of the class folder could not be read or is unsure; "" where all counts."""
        return self.store.everybody(_is_answer).left_out

    def export(self) -> str:
        """Question and answers as Markdown; what people typed is never markup."""
        answers, parts = self.answers(), [f"### {self.question}"]
        for seat in self.seats or ("",):
            parts += [f"**{as_typed(seat)}**"] if seat else []
            lines = [f"- {as_typed(r.answer)}" for r in answers if r.condition == seat]
            parts.append("\n".join(lines) or "*no answer yet*")
        parts += [as_typed(self.left_out)] if self.left_out else []
        return "\n\n".join(parts) + "\n"

    def save(self) -> Path:
        """Write the export into the class folder and return its path, or raise CourseError."""
        name = re.sub(r"[^a-z0-9]+", "-", self.key.lower()).strip("-")
        path = self.store.folder / f"board-{name}.md"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.export(), encoding="utf-8", errors="replace")
        except OSError as error:
            why = f"{path} cannot be written ({error.strerror or error})"
            raise CourseError(f"{why}. The answers are kept: mend it and save again.") from error
        return path


def feedback(lesson: str, folder=None) -> Board:
    """The board each lesson ends with: three questions; lesson: its number, such as "07"."""
    board = Board(f"{lesson}.feedback", "Before you go: three questions", FEEDBACK, folder)
    board.speaks = "about"
    return board


def on_the_board(records: Iterable[Record], key: str) -> list[Record]:
    """The answers to one board among (pooled) records, without those taken back, by the clock."""
    here = [record for record in records if record.item == key]
    gone = {record.answer.get("takes back") for record in here if isinstance(record.answer, dict)}
    kept = [record for record in here if isinstance(record.answer, str) and record.id not in gone]
    by_person: dict[str, list[Record]] = {}  # each in their file's order: clocks are set back
    for record in kept:
        by_person.setdefault(record.person, []).append(record)
    return list(heapq.merge(*by_person.values(), key=lambda record: record.time))


def _is_answer(record: Record) -> bool:
    """Whether a record is what a board stores: a text, or the taking back of one."""
    answer = record.answer
    return isinstance(answer, str) or (isinstance(answer, dict) and "takes back" in answer)


def as_typed(text: str) -> str:
    """Text for a Markdown list item: no markup, HTML or formula in it takes effect."""
    lines = []
    for line in text.translate(_ENTITIES).splitlines():
        line = re.sub(r"([\\`*_\[\]|~])", r"\\\1", line.strip())
        line = re.sub(r"^([-+=#])", r"\\\1", line)  # what starts a list, a heading or a rule
        lines.append(re.sub(r"^(\d+)([.)])", r"\1\\\2", line))
    return "<br>".join(line for line in lines if line)
