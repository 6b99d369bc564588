"""What a class produces: one append-only file a person and activity. `pool` reads a whole room's files together.

Nothing leaves this machine and no name is kept: a folder gets one random id, and every answer carries it.
"""

from __future__ import annotations

import atexit
import errno
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from helpers.lesson.records import Pooled, Record, as_line, parse, pool, read

if os.name == "nt":
    import msvcrt
else:
    import fcntl

__all__ = ["Pooled", "Record", "Store", "default_folder", "pool"]


class Store:
    """A person's own answers to one activity, in FOLDER/ACTIVITY-PERSON.jsonl.

    An answer that cannot be written (a full disk, a read-only folder) stays in memory and is written at the next
    chance; `trouble` then holds a sentence for the learner, and is "" otherwise.
    """

    def __init__(self, activity: str, folder: str | Path | None = None):
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,60}", activity):
            raise ValueError(
                f"an activity is named in small letters, digits and dashes, not {activity!r}"
            )
        self.activity = activity
        self.folder = Path(folder) if folder else default_folder()
        self.person = _person(self.folder)
        self._file = _answer_file(self.folder.absolute() / f"{activity}-{self.person}.jsonl")

    @property
    def trouble(self) -> str:
        """Why answers are waiting in memory, in a sentence; "" when all is on the disk."""
        return self._file.trouble

    def add(self, item: str, condition: str, answer: Any, seconds: float | None = None) -> None:
        """Keep one answer (anything JSON can hold; arrays and tensors become lists). Never raises for a bad disk."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        seconds = None if seconds is None else round(float(seconds), 2)
        record = Record(
            self.activity,
            str(item),
            str(condition),
            answer,
            seconds,
            now,
            self.person,
            secrets.token_hex(8),
        )
        before = self.trouble
        self._file.add(as_line(record))
        if self.trouble != before:
            print(self.trouble or "Everything is saved again.")

    def records(self) -> list[Record]:
        """This person's answers so far, oldest first, those waiting in memory included; damaged lines are left out."""
        self._file.write_waiting()
        found = [*read(self._file.path)[0], *map(parse, self._file.waiting)]
        mine = {
            record.id: record for record in found if record and record.activity == self.activity
        }
        return list(mine.values())


def default_folder() -> Path:
    """Where answers go: COURSE_CLASS if set, a passing folder under the test command, else class/ in the course."""
    if named := os.environ.get("COURSE_CLASS"):
        return Path(named)
    if os.environ.get("COURSE_TEST") == "1":
        return _passing_folder()
    from helpers.ground.artifacts import ROOT  # here, because it brings torch along

    return ROOT / "class"


# ---------------------------------------------------------------- one file


class _AnswerFile:
    """Lines on their way to one file. All stores of a process that use the file share it, re-run cells included."""

    def __init__(self, path: Path):
        self.path, self.waiting, self.trouble = path, [], ""
        atexit.register(self.write_waiting)

    def add(self, line: bytes) -> None:
        self.waiting.append(line)
        self.write_waiting()

    def write_waiting(self) -> None:
        """Append what waits. A write interrupted after the disk took it is repeated: readers count ids, not lines."""
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
        if end:
            file.seek(end - 1)
            if file.read(1) != b"\n":  # a kernel died in the middle of a line
                lines = b"\n" + lines
        if file.write(lines) != len(lines):  # the disk filled up in the middle
            file.truncate(end)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let one process at a time into the folder: on Windows appending is seek-then-write, which two can interleave.

    The system frees the lock of a killed process. Where a disk knows no locks, POSIX appends are whole anyway.
    """
    with open(folder / ".lock", "ab") as file:
        try:
            if os.name == "nt":
                file.seek(0)
                msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
            else:
                fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL):
                raise
        try:
            yield
        finally:
            if os.name == "nt":  # POSIX frees it when the file closes
                file.seek(0)
                msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)


def _sentence(error: OSError, folder: Path) -> str:
    full = error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
    what = (
        "The disk is full"
        if full
        else f"The folder {folder} cannot be written ({error.strerror or error})"
    )
    do = "Free some space" if full else "Make it writable"
    return f"{what}: your answer is kept in memory for now. {do} and go on; the next answer saves this one too."


# ---------------------------------------------------------------- who


@cache
def _unsaved_person(folder: Path) -> str:
    return secrets.token_hex(4)


def _person(folder: Path) -> str:
    """The folder's random id, made on first use; while the folder cannot be written, one that lasts for this session."""
    path = folder / "person.txt"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder):
            if not (person := _known_person(path)):
                path.write_text(_unsaved_person(folder.absolute()) + "\n", encoding="ascii")
                person = _unsaved_person(folder.absolute())
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
    """A folder that goes with the process, with a fixed id: recordings come out the same and keep nobody's answers."""
    folder = Path(tempfile.mkdtemp(prefix="class-"))
    (folder / "person.txt").write_text("00000000\n", encoding="ascii")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
