"""`python -m tests.authoring.rehearsal`: do the slots of TEACHING's sessions hold what is in them?

Computed, from the row and from the lesson's sections it names: reading (the sections' prose without
folds and exercises, 200 words a minute), looking (half a minute a figure that the row shows), doing
(the minutes that the row says itself, or else those of activities), asking (a minute a question),
and the machine: *Run All* of a lesson is started when the lesson before it begins, so what its
budget of seconds takes beyond that is waited for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from tests.authoring import teaching_tables
from tests.authoring.lessons import LESSONS, NOTEBOOKS

ROW = re.compile(r"^\| (\d):(\d\d) \|(.*)\|$", re.M)
NUMBER = {"one": 1, "three": 3, "four": 4, "six": 6}
SAID = re.compile(rf"\b({'|'.join(NUMBER)})(?: minutes?\b| with the neighbour)")
DONE = {  # what a row asks the room to do: minutes, the least of TEACHING's table of activities
    r"\bvotes?\b|\bpredict\b": 1.5,  # 2, of which the talk about it is counted already
    r"\bboards?\b": 3.0,  # one sentence each; reading them aloud is asking
    r"\bsliders?\b|\bplayground\b|\bexplorer\b|\btype one\b|\bswap\b|\bhold\b": 2.0,
    r"\bgame\b": 6.0,
    r"\bround of twelve\b": 8.0,
    r"\bround one\b|\bround two\b|\bsimulate\b": 5.0,
    r"\bmend\b": 12.0,
}
FIGURE = (
    r"\b(?:maps?|bars|crops|[Ff]igures?|picture|curves?|strips|seeds|table|tree|network|firings|"
    r"logit|class under|numbers)\b"
)


class Slot(NamedTuple):
    """A row of a session's table, in minutes."""

    at: int
    minutes: int
    lesson: str  # its number; "" for a break
    reading: float
    looking: float
    doing: float
    asking: float
    waiting: float

    @property
    def needs(self) -> float:
        return sum(self[3:])


def prose(number: str) -> dict[int, int]:
    """{section's number: words of prose}, without what is folded and without exercises."""
    lesson = next(lesson for lesson in LESSONS if lesson.number == number)
    section, words = 0, {}
    for _, text in teaching_tables.prose(lesson):
        if heading := re.search(r"^## (?:(\d+) ·)?", text, re.M):
            section = int(heading[1] or 0)
        if "<details" not in text and "**Exercise" not in text:
            words[section] = words.get(section, 0) + len(text.split())
    return words


def seconds(number: str) -> int:
    """A lesson's budget for *Run All* on two quiet cores."""
    return next(lesson.seconds for lesson in LESSONS if lesson.number == number)


def named(where: str) -> Iterator[tuple[str, int]]:
    """(lesson, section) for each that a cell such as "[01](…), sections 1, 3 to 4" names."""
    for part in where.split(";"):
        for number, sections in re.findall(r"\b(\d\d)\b(?:\]\([^)]*\))?, sections? (.*)", part):
            for first, last in re.findall(r"(\d+)(?: to (\d+))?", sections):
                for section in range(int(first), int(last or first) + 1):
                    yield number, section


def slots(session: str, end: int) -> list[Slot]:
    """The slots of the session whose heading starts with this; end: its last minute."""
    text = (NOTEBOOKS / "TEACHING.md").read_text(encoding="utf-8")
    part = text.partition(f"\n## {session}")[2].partition("\n## ")[0]
    rows = [(int(h) * 60 + int(m), rest.split("|")) for h, m, rest in ROW.findall(part)]
    ends = [at for at, _ in rows[1:]] + [end]
    made, began, lesson = [], 0, ""
    for (at, cells), until in zip(rows, ends, strict=True):
        _, where, do, _, ask = (cell.strip() for cell in cells)
        places = list(named(where))
        new = places[-1][0] if places else ""
        ready = began + seconds(new) / 60 if new != lesson and new and at else 0
        if new and new != lesson:
            began, lesson = at, new
        said = sum(NUMBER[number] for number in SAID.findall(do))
        listed = sum(least * len(re.findall(what, do)) for what, least in DONE.items())
        words = sum(prose(number).get(section, 0) for number, section in places)
        made.append(
            Slot(
                at,
                until - at,
                new,
                words / 200,
                len(re.findall(FIGURE, do)) / 2,
                float(said or listed),
                float(ask.count("?")),
                max(0.0, ready - at),
            )
        )
    return made


SESSIONS = {"Session one": 145, "Session two": 150}

if __name__ == "__main__":
    for name, end in SESSIONS.items():
        print(f"{name}\n   at  slot  needs  lesson  read  look    do   ask  wait")
        for slot in slots(name, end):
            parts = "".join(f"{value:6.1f}" for value in slot[3:])
            print(f"{slot.at:5} {slot.minutes:5} {slot.needs:6.1f}  {slot.lesson:>6}{parts}")
