"""What a class produces: one append-only file a person and activity, and all of them pooled.

Nothing leaves this machine and no name is kept: a folder gets one random id, and every answer
carries it. In a pool nobody is counted twice, and what is damaged or foreign is named.
"""

from __future__ import annotations

import atexit
import errno
import json
import math
import os
import re
import secrets
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock

from helpers.ground import ROOT
from helpers.ground.colab import in_colab
from helpers.ground.errors import CourseError

DRIVE = Path("/content/drive/MyDrive")  # where Colab mounts it: /content goes with the runtime
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
        copies = f"; {self.repeated} copies counted once" if self.repeated else ""
        first = f"{len(self.records)} answers from {self.people} people{copies}"
        return "\n".join([first, *(f"left out: {sentence}" for sentence in self.skipped)])

    @property
    def left_out(self) -> str:
        """What does not count, as a sentence for a caption or a board; "" where all counts."""
        return f"Left out: {'; '.join(self.skipped)}." if self.skipped else ""

    def only(self, good: Callable[[Record], bool]) -> Pooled:
        """Without answers that this activity does not store; whose they are is in `skipped`."""
        kept = [record for record in self.records if good(record)]
        bad = Counter(record.person for record in self.records if not good(record))
        named = [
            f"person {person}: {count} answer{'s' * (count > 1)} of another kind"
            for person, count in sorted(bad.items())
        ]
        people = len({record.person for record in kept})
        return Pooled(kept, people, [*self.skipped, *named], self.repeated)


class Store:
    """A person's own answers to one activity, in FOLDER/ACTIVITY-PERSON.jsonl.

    An answer that cannot be written (a full disk, a read-only folder) stays in memory and is
    written at the next chance; until then `trouble` holds a sentence for the learner.
    """

    def __init__(self, activity: str, folder: str | Path | None = None):
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,60}", activity):
            raise ValueError(
                f"an activity is named in small letters, digits and dashes, not {activity!r}"
            )
        self.activity = activity
        self.folder = Path(folder) if folder else class_dir()
        self.person = _person(self.folder)
        self._file = _answer_file(self.folder.absolute() / f"{activity}-{self.person}.jsonl")

    @property
    def trouble(self) -> str:
        """Why answers are waiting in memory, in a sentence; "" when all is on the disk."""
        return self._file.trouble

    def add(self, item: str, condition: str, answer: Any, seconds: float | None = None) -> None:
        """Keep one answer: anything JSON can hold; arrays and tensors become lists.

        Never raises for a bad disk.
        """
        now = datetime.now(UTC).isoformat(timespec="seconds")
        seconds = None if seconds is None else round(float(seconds), 2)
        what = (self.activity, str(item), str(condition), answer, seconds)
        before = self.trouble
        self._file.add(as_line(Record(*what, now, self.person, secrets.token_hex(8))))
        if self.trouble != before:
            print(self.trouble or "Everything is saved again.")

    def records(self) -> list[Record]:
        """This person's answers so far, oldest first, those waiting in memory included.

        Damaged lines are left out.
        """
        self._file.write_waiting()
        lines = [*read(self._file.path)[0], *map(parse, self._file.waiting)]
        known = {r.id: r for r in lines if r and r.activity == self.activity}
        return list(known.values())

    def everybody(self, good: Callable[[Record], bool]) -> Pooled:
        """The class folder's answers to this activity, other people's files in it included.

        good: whether a record is what this activity stores; a file may hold anything.
        """
        self._file.write_waiting()
        if not self.folder.is_dir():
            return Pooled([], 0, [])
        return pool(self.folder, self.activity).only(good)


def pool(folder_or_files: str | Path | Iterable[str | Path], activity: str) -> Pooled:
    """All answers to an activity from a folder (and the folders in it) or from a list of files.

    The same answer in two files counts once. Damaged lines, foreign files and files that cannot be
    opened are left out and named in `skipped`, unless a file is by its name another activity's.
    Raises CourseError where the folder does not exist.
    """
    records, skipped, repeated = {}, [], 0
    for name, path in _candidates(folder_or_files):
        lines, problem = read(path)
        if problem and _activity_of(path) in (activity, None):
            skipped.append(f"{name}: {problem}")
        for record in lines:
            if record.activity == activity:
                repeated += record.id in records
                records.setdefault(record.id, record)
    people = len({record.person for record in records.values()})
    return Pooled(list(records.values()), people, skipped, repeated)


def class_dir() -> Path:
    """Where answers go: COURSE_CLASS if set, class/ in the course, or in Colab on a mounted Drive.

    Under the test command, a folder that goes with the process.
    """
    if named := os.environ.get("COURSE_CLASS"):
        return Path(named).expanduser()
    if os.environ.get("COURSE_TEST") == "1":
        return _passing_folder()
    return (DRIVE if in_colab() and DRIVE.is_dir() else ROOT) / "class"


# ---------------------------------------------------------------- lines


def as_line(record: Record) -> bytes:
    """The record as one line of JSON; what JSON does not know is kept as its list or its text."""
    try:
        text = json.dumps(record._asdict(), default=_plain)
    except (TypeError, ValueError, RecursionError):  # unknown keys, a list that holds itself
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
    if seconds is None:
        return record
    number = type(seconds) in (int, float) and math.isfinite(seconds) and seconds >= 0
    return record if number else None


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
    parsed = {number: parse(line) for number, line in enumerate(lines, 1) if line.strip()}
    bad = [str(number) for number, record in parsed.items() if record is None]
    records = [record for record in parsed.values() if record]
    if not records:
        return [], "no answer in it can be read" if bad else "empty"
    numbers = ", ".join(bad[:5]) + (" …" if len(bad) > 5 else "")
    return records, f"damaged line{'s' * (len(bad) > 1)} {numbers} left out" if bad else ""


def _activity_of(path: Path) -> str | None:
    """The activity in a file's name; None for a file that somebody renamed or copied."""
    name = re.fullmatch(r"([a-z0-9-]+)-[0-9a-f]{8}\.jsonl", path.name)
    return name[1] if name else None


def _candidates(folder_or_files: str | Path | Iterable[str | Path]) -> list[tuple[str, Path]]:
    """(name for the learner, path) of every file to read, in a fixed order; none that is hidden."""
    if not isinstance(folder_or_files, (str, Path)):
        return [(str(path), Path(path)) for path in folder_or_files]
    folder = Path(folder_or_files)
    if folder.is_file():
        return [(folder.name, folder)]
    if not folder.is_dir():
        raise CourseError(
            f"There is no folder {folder}. Give the folder into which you put everybody's class "
            "files."
        )
    files = [(path.relative_to(folder), path) for path in folder.rglob("*") if path.is_file()]
    return [
        (name.as_posix(), path)
        for name, path in sorted(files)
        if not any(part.startswith(".") for part in name.parts)
        and name.name != "person.txt"
        and name.suffix != ".md"
    ]


# ---------------------------------------------------------------- one file


class _AnswerFile:
    """Lines on their way to one file. All stores of a process that use the file share it."""

    def __init__(self, path: Path):
        self.path = path
        self.waiting: list[bytes] = []
        self.trouble = ""
        atexit.register(self.write_waiting)

    def add(self, line: bytes) -> None:
        self.waiting.append(line)
        self.write_waiting()

    def write_waiting(self) -> None:
        """Append what waits. A write that was cut off is repeated: readers count ids, not lines."""
        lines = list(self.waiting)
        if not lines:
            return
        try:
            _append(self.path, b"".join(lines))
        except OSError as error:
            self.trouble = _sentence(error, self.path.parent)
        else:
            del self.waiting[: len(lines)]
            self.trouble = ""


_answer_file = cache(_AnswerFile)


def _append(path: Path, lines: bytes) -> None:
    """Append whole lines, or nothing. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path.parent), open(path, "a+b", buffering=0) as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(0, end - 1))
        if file.read(1) not in (b"", b"\n"):  # a kernel died in the middle of a line
            lines = b"\n" + lines
        if file.write(lines) != len(lines):  # the disk filled up in the middle
            file.truncate(end)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let one process at a time into the folder: on Windows two appends can interleave.

    The system frees the lock of a killed process. Where a disk knows no locks, the work goes on
    without: POSIX appends are whole anyway.
    """
    lock = FileLock(folder / ".lock", timeout=10)
    with suppress(OSError, NotImplementedError):  # a folder that refuses it refuses the answer too
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _sentence(error: OSError, folder: Path) -> str:
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
        what, remedy = "The disk is full", "Free some space"
    else:
        what = f"The folder {folder} cannot be written ({error.strerror or error})"
        remedy = "Make it writable"
    return (
        f"{what}: your answer is kept in memory for now. {remedy} and go on; the next answer saves "
        "this one too."
    )


# ---------------------------------------------------------------- who


@cache
def _unsaved_person(folder: Path) -> str:
    return secrets.token_hex(4)


def _person(folder: Path) -> str:
    """The folder's random id, made on first use; where nothing can be written, this session's."""
    path = folder / "person.txt"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder):
            if not (person := _known_person(path)):
                person = _unsaved_person(folder.absolute())
                path.write_text(person + "\n", encoding="ascii")
            return person
    except OSError:  # `add` says so, as soon as there is something to lose
        return _known_person(path) or _unsaved_person(folder.absolute())


def _known_person(path: Path) -> str | None:
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
    return text if re.fullmatch(r"[0-9a-f]{8}", text) else None


@cache
def _passing_folder() -> Path:
    """A folder that goes with the process, with a fixed id: recordings come out the same."""
    folder = Path(tempfile.mkdtemp(prefix="class-"))
    (folder / "person.txt").write_text("00000000\n", encoding="ascii")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
