"""One answer as a line of JSON, and the reading of many people's files: nobody is counted twice, and what is damaged is named."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from helpers.ground.errors import CourseError

TOO_LARGE = 64 * 2**20  # bytes; a person's answers to one activity take some hundred kilobytes


class Record(NamedTuple):
    """One answer."""

    activity: str  # what was being done, such as "rating-solu"
    item: str  # what the answer is about
    condition: str  # under which condition it was shown ("" where there is none)
    answer: Any  # whatever JSON can hold
    seconds: float | None  # from seeing the item to answering it
    time: str  # when, in UTC (ISO 8601)
    person: str  # the folder's random id: eight hexadecimal digits
    id: str  # this record's own random id, so that copies are counted once


class Pooled(NamedTuple):
    """Many people's answers to one activity."""

    records: list[Record]
    people: int  # how many different ids answered
    skipped: list[str]  # what could not be read, a sentence each
    repeated: int = 0  # answers found again in a copy and not counted

    def __str__(self) -> str:
        lines = [
            f"{len(self.records)} answers from {self.people} people"
            + (f"; {self.repeated} copies counted once" if self.repeated else "")
        ]
        return "\n".join(lines + [f"left out: {sentence}" for sentence in self.skipped])

    @property
    def left_out(self) -> str:
        """What does not count, as a sentence for a figure's caption or a board; "" where everything counts."""
        return f"Left out: {'; '.join(self.skipped)}." if self.skipped else ""

    def only(self, good: Callable[[Record], bool]) -> Pooled:
        """Without the answers that are not what this activity stores; the people they carry are named in `skipped`."""
        bad = Counter(record.person for record in self.records if not good(record))
        kept = [record for record in self.records if good(record)]
        named = [
            f"person {person}: {count} answer{'s' * (count > 1)} of another kind"
            for person, count in sorted(bad.items())
        ]
        return Pooled(
            kept, len({record.person for record in kept}), [*self.skipped, *named], self.repeated
        )


def pool(folder_or_files: str | Path | Iterable[str | Path], activity: str) -> Pooled:
    """All answers to an activity from a folder (and the folders in it) or from a list of files.

    The same answer in two files counts once. Damaged lines, foreign files and files that cannot be opened are left
    out and named in `skipped`, unless a file is by its name another activity's. Raises CourseError where the folder
    does not exist.
    """
    records, skipped, repeated = {}, [], 0
    for name, path in _candidates(folder_or_files):
        found, problem = read(path)
        skipped += (
            [f"{name}: {problem}"] if problem and _named_for(path) in (activity, None) else []
        )
        for record in found:
            if record.activity == activity:
                repeated += record.id in records
                records.setdefault(record.id, record)
    return Pooled([*records.values()], len({r.person for r in records.values()}), skipped, repeated)


# ---------------------------------------------------------------- lines and files


def as_line(record: Record) -> bytes:
    """The record as one line of JSON; what JSON does not know is kept as its list or its text."""
    try:
        text = json.dumps(record._asdict(), default=_plain)
    except (
        TypeError,
        ValueError,
        RecursionError,
    ):  # keys JSON does not know, a list that holds itself
        text = json.dumps(record._replace(answer=repr(record.answer))._asdict())
    return text.encode("ascii") + b"\n"  # escaped: no line break and no lone surrogate gets through


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)


def parse(line: bytes) -> Record | None:
    """The record in a line, or None where the line is damaged."""
    try:
        fields = json.loads(line)
        record = Record(*(fields[name] for name in Record._fields))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    texts = (record.activity, record.item, record.condition, record.time, record.person, record.id)
    if not all(isinstance(text, str) for text in texts) or not (record.person and record.id):
        return None
    seconds = record.seconds
    good = seconds is None or (
        type(seconds) in (int, float) and math.isfinite(seconds) and seconds >= 0
    )
    return record if good else None


def read(path: Path) -> tuple[list[Record], str]:
    """The records of a file and, where something could not be read, what."""
    try:
        if path.stat().st_size > TOO_LARGE:
            return [], f"larger than {TOO_LARGE >> 20} MiB, which is no file of answers"
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return [], "does not exist"
    except OSError as error:
        return [], f"cannot be opened ({error.strerror or error})"
    parsed = [(number, parse(line)) for number, line in enumerate(lines, 1) if line.strip()]
    bad = [str(number) for number, record in parsed if record is None]
    records = [record for _, record in parsed if record]
    if not records:
        return [], "no answer in it can be read" if bad else "empty"
    few = ", ".join(bad[:5]) + (" …" if len(bad) > 5 else "")
    return records, f"damaged line{'s' * (len(bad) > 1)} {few} left out" if bad else ""


def _named_for(path: Path) -> str | None:
    """The activity in a file's name, as the store names its files; None for a file that somebody renamed or copied."""
    name = re.fullmatch(r"(.+)-[0-9a-f]{8}\.jsonl", path.name)
    return name[1] if name and re.fullmatch(r"[a-z0-9-]+", name[1]) else None


def _candidates(folder_or_files: str | Path | Iterable[str | Path]) -> list[tuple[str, Path]]:
    """(name for the learner, path) of every file to read, in a fixed order; hidden files are no answers."""
    if not isinstance(folder_or_files, (str, Path)):
        return [(str(path), Path(path)) for path in folder_or_files]
    folder = Path(folder_or_files)
    if folder.is_file():
        return [(folder.name, folder)]
    if not folder.is_dir():
        raise CourseError(
            f"There is no folder {folder}. Give the folder into which you put everybody's class files."
        )
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    names = [(path.relative_to(folder), path) for path in paths]
    return [
        (name.as_posix(), path)
        for name, path in names
        if not any(part.startswith(".") for part in name.parts)
        and name.name != "person.txt"
        and name.suffix != ".md"
    ]
