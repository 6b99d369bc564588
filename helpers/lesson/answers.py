"""What a class produces: one append-only file a person and activity, and all of them pooled.

Nothing leaves this machine and no name is kept: a folder gets one random id, and every answer
carries it. In a pool nobody is counted twice, what is damaged or foreign is named, and where two
people may share one id, it asks.
"""

import atexit
import errno
import io
import json
import math
import os
import re
import secrets
import shutil
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock

from helpers.ground import ROOT
from helpers.ground.colab import in_colab
from helpers.ground.errors import CourseError, checked

DRIVE = Path("/content/drive/MyDrive")  # where Colab mounts it: /content goes with the runtime
ACTIVITY = "[a-z0-9][a-z0-9-]{0,60}"  # what an activity may be called
UNPACKED_BADLY = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError)
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
    asked: tuple[str, ...] = ()  # where several people may share one id, a question each

    def __str__(self) -> str:
        copies = f"; {self.repeated} copies counted once" if self.repeated else ""
        first = f"{len(self.records)} answers from {self.people} people{copies}"
        skipped = [f"left out: {sentence}" for sentence in self.skipped]
        return "\n".join([first, *skipped, *self.asked])

    @property
    def left_out(self) -> str:
        """What does not count, and what to ask the class, for a caption; "" if nothing."""
        skipped = [f"Left out: {'; '.join(self.skipped)}."] if self.skipped else []
        return " ".join([*skipped, *self.asked])

    def only(self, good: Callable[[Record], bool]) -> "Pooled":
        """Without answers that this activity does not store; whose they are is in `skipped`."""
        kept = [record for record in self.records if good(record)]
        people = len({record.person for record in kept})
        skipped = list(self.skipped)
        bad = Counter(record.person for record in self.records if not good(record))
        for person, n in sorted(bad.items()):
            skipped.append(f"person {person}: {n} answer{'s' * (n > 1)} of another kind")
        return Pooled(kept, people, skipped, self.repeated, self.asked)


class Store:
    """A person's own answers to one activity, in FOLDER/ACTIVITY-PERSON.jsonl.

    What cannot be written stays in memory until it can; meanwhile `trouble` holds a sentence.
    """

    @checked
    def __init__(self, activity: str, folder: str | Path | None = None):
        if not re.fullmatch(ACTIVITY, activity):
            raise CourseError(f"an activity has small letters, digits and dashes, not {activity!r}")
        self.activity = activity
        self.folder = Path(folder) if folder else class_dir()
        self.person = _person(self.folder)
        self._file = _answer_file(self.folder.absolute() / f"{activity}-{self.person}.jsonl")

    @property
    def trouble(self) -> str:
        """Why answers are waiting in memory, in a sentence; "" when all is on the disk."""
        return self._file.trouble

    def add(self, item: str, condition: str, answer: Any, seconds: float | None = None) -> None:
        """Keep one answer: what JSON can hold, arrays as lists. Never raises for a bad disk."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        timed = seconds is not None and 0 <= seconds < math.inf  # or no reader would take it
        seconds = round(float(seconds), 2) if timed else None
        what = (self.activity, str(item), str(condition), answer, seconds)
        before = self.trouble
        self._file.add(as_line(Record(*what, now, self.person, secrets.token_hex(8))))
        if self.trouble != before:
            print(self.trouble or "Everything is saved again.")

    def records(self) -> list[Record]:
        """This person's answers so far, oldest first, those waiting in memory included."""
        self._file.write_waiting()
        lines = [*read(self._file.path)[0], *map(parse, self._file.waiting)]
        known = {r.id: r for r in lines if r and r.activity == self.activity}
        return list(known.values())

    def everybody(self, good: Callable[[Record], bool]) -> Pooled:
        """The class folder's answers to this activity; good: whether a record is of its kind."""
        self._file.write_waiting()
        if not self.folder.is_dir():
            return Pooled([], 0, [])
        return pool(self.folder, self.activity).only(good)


@checked
def pool(folder: str | Path, activity: str) -> Pooled:
    """All answers to an activity from a folder, its folders and zips too.

    The same answer in two files counts once, and a person's answers keep the order of their file.
    What is damaged or foreign is named in `skipped`, unless a file is by its name another
    activity's. Files of one id that went on differently count apart, and `asked` says so, unless
    the folder's one-person.txt has the id. CourseError where the folder does not exist.
    """
    files, skipped = [], []
    for name, path in _candidates(folder):
        lines, problem = read(path)
        ours = re.fullmatch(r"([a-z0-9-]+)-[0-9a-f]{8}\.jsonl", path.name)  # None: renamed
        if problem and (ours is None or ours[1] == activity):
            skipped.append(f"{name}: {problem}")
        files.append((name, [record for record in lines if record.activity == activity]))
    found = [record for _, records in files for record in records]
    first = {record.id: record for record in reversed(found)}
    records = [first[identity] for identity in dict.fromkeys(record.id for record in found)]
    apart, asked = _apart(files, _one_person(folder))
    records = [r._replace(person=apart.get((r.person, r.id), r.person)) for r in records]
    people = len({record.person for record in records})
    return Pooled(records, people, skipped, len(found) - len(records), asked)


def activities(folder: str | Path) -> list[str]:
    """The names of all activities of which a folder holds an answer."""
    found = (record.activity for _, path in _candidates(folder) for record in read(path)[0])
    return sorted(name for name in set(found) if re.fullmatch(ACTIVITY, name))


def _apart(files: list[tuple[str, list[Record]]], one: set[str]) -> tuple[dict, tuple[str, ...]]:
    """({(person, record's id): the person's new name}, questions) where a person's files differ.

    Files only grow: an older copy's last answer stands inside the newer one. Where the last answers
    of two files are each missing in the other, two wrote on after a copy. What stood in both before
    keeps the old name.
    """
    histories: dict[str, dict[int, list[str]]] = {}  # {person: {number of a file: ids in order}}
    for number, (_, records) in enumerate(files):
        for record in records:
            by_file = histories.setdefault(record.person, {})
            by_file.setdefault(number, []).append(record.id)
    apart, asked = {}, []
    for person, by_file in sorted(histories.items()):
        continued = {identity for history in by_file.values() for identity in history[:-1]}
        ends = {h[-1]: files[n][0] for n, h in by_file.items() if h[-1] not in continued}
        if len(ends) < 2 or person in one:
            continue
        leads: dict[str, set[str]] = {}  # {record: the ends of the files it stands in}
        for history in by_file.values():
            to = {h[-1] for h in by_file.values() if history[-1] in h and h[-1] in ends}
            for identity in history:
                leads.setdefault(identity, set()).update(to)
        for number, end in enumerate(ends, 1):
            alone = [identity for identity in leads if leads[identity] == {end}]
            apart |= {(person, identity): f"{person}-{number}" for identity in alone}
        asked.append(
            f"Person {person} is {len(ends)} here ({', '.join(ends.values())}): several people "
            "with a copied person.txt, or one on several machines? They count apart; if it is one, "
            f"write {person} into one-person.txt in this folder."
        )
    return apart, tuple(asked)


def _one_person(folder: str | Path) -> set[str]:
    """The ids that the teacher knows to be one person each, whatever their files look like."""
    file = Path(folder, "one-person.txt")
    if not file.is_file():
        return set()
    return set(re.findall("[0-9a-f]{8}", file.read_text(encoding="utf-8", errors="replace")))


def pack_answers(folder: str | Path | None = None) -> Path:
    """Zip one person's answers to all activities: one file to keep or to hand in.

    It is named my-answers-PERSON-CONTENT.zip, so that other people's and later ones never replace
    it. Raises CourseError where there is no answer yet, OSError where nothing can be written.
    """
    folder = Path(folder) if folder else class_dir()
    person = _person(folder)
    files = sorted(folder.glob(f"*-{person}.jsonl"))
    if not files:
        raise CourseError("There is no answer of yours yet: answer something first.")
    content = zlib.crc32(b"".join(file.read_bytes() for file in files))
    part = folder / f".my-answers-{os.getpid()}"
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as packed:
        for file in files:
            packed.write(file, file.name)
    return part.replace(folder / f"my-answers-{person}-{content:08x}.zip")


def class_dir() -> Path:
    """COURSE_CLASS; class/ in the course, in Colab on a mounted Drive; in tests one that goes."""
    if named := os.environ.get("COURSE_CLASS"):
        return Path(named).expanduser()
    if os.environ.get("COURSE_TEST") == "1":
        return _passing_folder()
    return (DRIVE if in_colab() and DRIVE.is_dir() else ROOT) / "class"


# ---------------------------------------------------------------- lines
def as_line(record: Record) -> bytes:
    """The record as one line of JSON; what JSON does not know is kept as its list or its text."""
    plain = lambda value: value.tolist() if hasattr(value, "tolist") else str(value)
    try:
        text = json.dumps(record._asdict(), default=plain)
    except (TypeError, ValueError, RecursionError):  # unknown keys, a list that holds itself
        text = json.dumps(record._replace(answer=repr(record.answer))._asdict())
    return text.encode("ascii") + b"\n"  # escaped: no line break and no lone surrogate gets through


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
    seconds = 0.0 if record.seconds is None else record.seconds
    number = type(seconds) in (int, float) and math.isfinite(seconds) and seconds >= 0
    return record if number else None


def read(path: Path | zipfile.Path) -> tuple[list[Record], str]:
    """The records of a file and, where something could not be read, what."""
    try:
        if _size(path) > TOO_LARGE:
            return [], f"larger than {TOO_LARGE >> 20} MiB, which is no file of answers"
        lines = path.read_bytes().split(b"\n")
    except UNPACKED_BADLY:
        return [], "no answer in it can be read"
    except OSError as error:
        return [], f"cannot be opened ({error.strerror or error})"
    parsed = {number: parse(line) for number, line in enumerate(lines, 1) if line.strip()}
    bad = [str(number) for number, record in parsed.items() if record is None]
    records = [record for record in parsed.values() if record]
    if not records:
        return [], "no answer in it can be read" if bad else "empty"
    numbers = ", ".join(bad[:5]) + (" …" if len(bad) > 5 else "")
    return records, f"damaged line{'s' * (len(bad) > 1)} {numbers} left out" if bad else ""


def _size(path: Path | zipfile.Path) -> int:
    if isinstance(path, Path):
        return path.stat().st_size
    return path.root.getinfo(path.at).file_size


def _candidates(folder: str | Path) -> Iterator[tuple[str, Path | zipfile.Path]]:
    """(name for the learner, path) of every file to read, in a fixed order; none that is hidden."""
    if not Path(folder).is_dir():
        raise CourseError(f"There is no folder {folder}. Give the one with everybody's files.")
    for path in sorted(path for path in Path(folder).rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        if _may_hold_answers(name):
            yield from _unpacked(name, path)


def _may_hold_answers(name: str) -> bool:
    *folders, last = name.split("/")
    ours = last in ("person.txt", "one-person.txt", "keep-checks.txt") or last.endswith(".md")
    return not ours and not any(part.startswith((".", "__MACOSX")) for part in (*folders, last))


def _unpacked(name: str, path, depth: int = 0) -> Iterator[tuple[str, Path | zipfile.Path]]:
    """The file itself, or the files in a zip (and in a zip of zips, as learning platforms make)."""
    inside = []
    if path.name.lower().endswith(".zip") and depth < 3:
        with suppress(OSError, *UNPACKED_BADLY):
            if _size(path) <= TOO_LARGE:
                packed = zipfile.ZipFile(io.BytesIO(path.read_bytes()))
                names = [member.filename for member in packed.infolist() if not member.is_dir()]
                inside = [zipfile.Path(packed, member) for member in names]
    if not inside:  # read() says what is wrong with a zip that cannot be opened
        yield name, path
    for member in inside:
        if _may_hold_answers(member.at):
            yield from _unpacked(f"{name}/{member.at}", member, depth + 1)


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
    """One process at a time in the folder, where the disk knows locks (POSIX appends need none)."""
    lock = FileLock(folder / ".lock", timeout=10)
    with suppress(OSError, NotImplementedError):  # a folder that refuses it refuses the answer too
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _sentence(error: OSError, folder: Path) -> str:
    what = f"The folder {folder} cannot be written ({error.strerror or error})"
    remedy = "Make it writable"
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
        what, remedy = "The disk is full", "Free some space"
    kept = f"your answer is kept in memory for now. {remedy} and go on"
    return f"{what}: {kept}; the next answer saves this one too."


# ---------------------------------------------------------------- who
@cache
def _unsaved_person(folder: Path) -> str:
    return secrets.token_hex(4)


def _person(folder: Path) -> str:
    """The folder's random id, made on first use and anew in a copy; else this session's."""
    path = folder / "person.txt"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder):
            person = _known_person(path)
            if copied := person is not None and _is_copy(path, person):
                print(COPIED.format(person=person, path=path))
            if copied or person is None:
                person = secrets.token_hex(4) if copied else _unsaved_person(folder.absolute())
                path.write_text(person + "\n", encoding="ascii")
            if _home(path)[0] != person:
                mark = " ".join((person, *_birth(path)))
                path.with_name(".home").write_text(mark, encoding="ascii")
            return person
    except OSError:  # `add` says so, as soon as there is something to lose
        return _known_person(path) or _unsaved_person(folder.absolute())


COPIED = (
    "This class folder is a copy: what it holds stays under the number {person}, and your answers "
    "get one of their own. If you moved it here yourself, write {person} back into {path}."
)


def _is_copy(path: Path, person: str) -> bool:
    """Whether person.txt is neither the file that .home says nor as old: both change in a copy."""
    home, *birth = _home(path)
    if home != person or in_colab():  # a mounted Drive numbers its files anew
        return False
    return all(now != then for now, then in zip(_birth(path), birth, strict=True))


def _birth(path: Path) -> tuple[str, str]:
    """The file's number on its disk, and when the disk last made or changed its entry."""
    return str(path.stat().st_ino), str(path.stat().st_ctime_ns)


def _home(path: Path) -> list[str]:
    """[person, number, time] of person.txt where it was made; blank where nobody wrote it down."""
    words = _text(path.with_name(".home")).split()
    return words if len(words) == 3 else ["", "", ""]


def _known_person(path: Path) -> str | None:
    text = _text(path)
    return text if re.fullmatch(r"[0-9a-f]{8}", text) else None


def _text(path: Path) -> str:
    """What a small file of ours holds; "" where it cannot be read."""
    with suppress(OSError, ValueError):
        return path.read_text(encoding="ascii").strip()
    return ""


@cache
def _passing_folder() -> Path:
    """A folder that goes with the process, with a fixed id: recordings come out the same."""
    folder = Path(tempfile.mkdtemp(prefix="class-"))
    (folder / "person.txt").write_text("00000000\n", encoding="ascii")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
