"""The store loses nothing: two writers, a killed kernel, a full disk, damaged files of a class."""

import errno
import json
import os
import random
import re
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from helpers.ground import ROOT
from helpers.ground.errors import CourseError
from helpers.lesson import answers
from helpers.lesson.answers import Record, Store, class_dir, pack_answers, pool


def python(code: str, **options):
    """A process that runs the code with `s`, a store of the activity "game" in FOLDER."""
    code = f"from helpers.lesson import answers\n{code}"
    return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, text=True, **options)


def writer(folder, count, name, extra="pass"):
    return python(
        f"s = answers.Store('game', {str(folder)!r})\nfor i in range({count}):\n"
        f"    s.add(f'{name}{{i}}', 'c', 'x' * 200)\n    {extra}",
        stdout=subprocess.PIPE,
    )


def items(folder) -> list[str]:
    return [record.item for record in pool(folder, "game").records]


# ---- one person's answers

GIVEN = ["no", 3, 2.5, None, True, {"a": [1, 2]}, "two\nlines · ünïcödé 🙂", "lone \ud800", np.inf]
LOOP = []
LOOP.append(LOOP)


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        *((answer, answer) for answer in GIVEN),
        (np.float32(0.5), 0.5),
        (np.arange(3), [0, 1, 2]),
        ({7}, "{7}"),
        (LOOP, "[[...]]"),
        ({(1, 2): 3}, "{(1, 2): 3}"),
    ],
)
def test_an_answer_comes_back_as_it_was_given_or_as_well_as_json_can(tmp_path, answer, kept):
    Store("game", tmp_path).add("item", "seen", answer, seconds=1.239)
    (record,) = Store("game", tmp_path).records()
    assert record.answer == kept
    assert (record.item, record.condition, record.seconds) == ("item", "seen", 1.24)


def test_a_record_holds_no_name_and_one_id_a_folder(tmp_path):
    first, second = Store("game", tmp_path), Store("other", tmp_path)
    assert first.person == second.person == (tmp_path / "person.txt").read_text().strip()
    assert Store("game", tmp_path / "elsewhere").person != first.person
    first.add("a", "", 1)
    first.add("a", "", 1)
    (path,) = tmp_path.glob("*.jsonl")
    assert path.name == f"game-{first.person}.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert set(lines[0]) == set(Record._fields)
    assert lines[0]["id"] != lines[1]["id"]


@pytest.mark.parametrize("name", ["../up", "Big", "a b", "", "x" * 80])
def test_an_activity_is_a_plain_word(tmp_path, name):
    with pytest.raises(CourseError, match="small letters"):
        Store(name, tmp_path)


def test_a_damaged_id_is_replaced(tmp_path):
    (tmp_path / "person.txt").write_bytes(b"\xff\x00")
    person = Store("game", tmp_path).person
    assert len(person) == 8
    assert (tmp_path / "person.txt").read_text().strip() == person


# ---- many processes, and disks that fail


def test_two_notebooks_write_at_once(tmp_path):
    jobs = [writer(tmp_path, 500, name) for name in "ab"]
    assert [job.wait(timeout=120) for job in jobs] == [0, 0]
    (path,) = tmp_path.glob("game-*.jsonl")
    assert len(path.read_bytes().splitlines()) == 1000
    assert set(items(tmp_path)) == {f"{name}{i}" for name in "ab" for i in range(500)}


def test_folders_made_by_many_at_once_get_one_id(tmp_path):
    jobs = [writer(tmp_path / "new", 1, name) for name in "abcdef"]
    assert all(job.wait(timeout=120) == 0 for job in jobs)
    pooled = pool(tmp_path / "new", "game")
    assert (len(pooled.records), pooled.people, pooled.skipped) == (6, 1, [])


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is POSIX")
def test_a_kernel_killed_in_the_middle_loses_nothing_that_was_kept(tmp_path):
    """The writer reports each kept answer; after kill -9 at any moment all are there."""
    for attempt in range(3):
        job = writer(tmp_path, 100_000, f"{attempt}-", extra="print(i, flush=True)")
        for _ in range(random.Random(attempt).randrange(20, 200)):
            reported = int(job.stdout.readline())
        os.kill(job.pid, signal.SIGKILL)
        job.wait()
        assert {f"{attempt}-{i}" for i in range(reported + 1)} <= set(items(tmp_path))
    Store("game", tmp_path).add("after", "", 1)  # the lock did not die locked
    assert items(tmp_path)[-1] == "after"


def test_a_disk_without_locks_is_written_all_the_same(tmp_path, monkeypatch):
    def no_locks(self):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(answers.FileLock, "acquire", no_locks)
    store = Store("game", tmp_path)
    store.add("a", "", 1)
    assert (items(tmp_path), store.trouble) == (["a"], "")


def test_a_cut_line_is_skipped_and_the_next_starts_afresh(tmp_path):
    store = Store("game", tmp_path)
    store.add("whole", "", 1)
    store.add("cut", "", 2)
    (path,) = tmp_path.glob("game-*.jsonl")
    path.write_bytes(path.read_bytes()[:-20])
    store.add("next", "", 3)
    assert [record.item for record in store.records()] == ["whole", "next"]
    assert pool(tmp_path, "game").skipped == [f"{path.name}: damaged line 2 left out"]


def test_a_full_disk_keeps_the_answer_for_later(tmp_path, monkeypatch, capsys):
    def full(path, lines):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    store = Store("game", tmp_path)
    store.add("before", "", 0)
    with monkeypatch.context() as patch:
        patch.setattr(answers, "_append", full)
        store.add("a", "", 1)
        store.add("b", "", 2)
        assert store.trouble.startswith("The disk is full: your answer is kept in memory")
        assert capsys.readouterr().out.count("The disk is full") == 1  # said once
        again = Store("game", tmp_path).records()  # a re-run cell sees them too
        assert [record.item for record in again] == ["before", "a", "b"]
    Store("game", tmp_path).add("c", "", 3)
    assert store.trouble == ""
    assert "saved again" in capsys.readouterr().out
    assert items(tmp_path) == ["before", "a", "b", "c"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux")
def test_a_disk_that_really_says_it_is_full(tmp_path):
    store = Store("game", tmp_path)
    store._file.path.symlink_to("/dev/full")
    store.add("a", "", 1)
    assert "disk is full" in store.trouble
    store._file.path.unlink()
    store.add("b", "", 2)
    assert (store.trouble, items(tmp_path)) == ("", ["a", "b"])


def test_a_disk_that_fills_up_in_the_middle_of_a_line(tmp_path):
    """A size limit on the process makes the system write the part that fits, as full disks do."""
    pytest.importorskip("resource")
    job = python(f"""
import resource, signal
s = answers.Store('game', {str(tmp_path)!r})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
s.add('a', '', 'x' * 500)
size = s._file.path.stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, resource.RLIM_INFINITY))
s.add('b', '', 'y' * 500)
assert s.trouble and s._file.path.stat().st_size == size, s.trouble
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
s.add('c', '', 1)
""")
    assert job.wait() == 0
    pooled = pool(tmp_path, "game")
    assert items(tmp_path) == ["a", "b", "c"]
    assert (pooled.skipped, pooled.repeated) == ([], 0)


def test_what_waits_is_written_when_the_kernel_ends(tmp_path):
    job = python(f"""
s = answers.Store('game', {str(tmp_path)!r})
append = answers._append
def bad(path, lines): raise OSError(28, 'No space left')
answers._append = bad
s.add('a', '', 1)
answers._append = append
""")
    assert job.wait() == 0
    assert items(tmp_path) == ["a"]


def test_a_read_only_folder(tmp_path):
    """A file stands where the folder should be: the same refusal for everybody, root included."""
    folder = tmp_path / "class"
    folder.write_text("in the way")
    store = Store("game", folder)
    store.add("a", "", 1)
    assert f"The folder {folder} cannot be written" in store.trouble
    assert [record.item for record in store.records()] == ["a"]
    folder.unlink()
    store.add("b", "", 2)
    assert (store.trouble, items(folder)) == ("", ["a", "b"])
    assert Store("game", folder).person == store.person  # the session's id became the folder's


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_without_write_permission(tmp_path):
    tmp_path.chmod(0o500)
    store = Store("game", tmp_path)
    store.add("a", "", 1)
    assert "Permission denied" in store.trouble
    tmp_path.chmod(0o700)
    assert store.records()
    assert store.trouble == ""


# ---- the files of a class


@pytest.fixture
def collected(tmp_path):
    """A folder of everybody's class folders, as a teacher collects them: thirty people's."""
    for number in range(30):
        store = Store("game", tmp_path / f"student {number:02}" / "class")
        for item in range(5):
            store.add(f"item{item}", "with" if item % 2 else "without", number + item, 1.0)
        Store("other", store.folder).add("x", "", 1)
    return tmp_path, sorted(tmp_path.rglob("game-*.jsonl"))


def test_a_class_counts_nobody_twice_and_names_what_it_could_not_read(collected):
    folder, files = collected
    whole = pool(folder, "game")
    assert (len(whole.records), *whole[1:]) == (150, 30, [], 0, ())
    files[0].with_name("game (1).jsonl").write_bytes(files[0].read_bytes())  # sent twice
    windows = files[1].read_bytes().replace(b"\n", b"\r\n")
    (folder / "renamed.jsonl").write_bytes(windows)
    files[2].write_bytes(b"\xef\xbb\xbf" + files[2].read_bytes())  # went through an editor
    files[3].write_bytes(files[3].read_bytes()[:-30])  # cut off
    lines = files[4].read_bytes().splitlines()
    lines[1:3] = [b"\x00" * 50, b"[" * 9999, b'{"answer": 1}']
    files[4].write_bytes(b"\n".join(lines))
    files[5].write_bytes(b"")  # nothing arrived
    files[6].write_bytes(bytes(range(256)) * 20)  # not text at all
    files[7].write_bytes(files[7].read_bytes().replace(b'"seconds": 1.0', b'"seconds": "fast"', 1))
    (folder / "student 09" / "homework.docx").write_bytes(b"PK")
    (folder / "student 10" / "class" / ".hidden").write_text("not looked at")
    pooled = pool(folder, "game")
    assert (pooled.people, len(pooled.records), pooled.repeated) == (
        28,
        150 - 5 - 5 - 1 - 2 - 1,
        10,
    )
    named = "\n".join(sorted(pooled.skipped))
    for part in (
        "student 03/class/game-",
        "damaged line 5 left out",
        "damaged lines 2, 3, 4 left out",
        "empty",
        "no answer in it can be read",
        "student 07/class",
        "damaged line 1 left out",
        "homework.docx",
    ):
        assert part in named
    assert len(pooled.skipped) == 6
    assert "student 02" not in named
    assert ".hidden" not in named
    assert str(pooled).startswith("136 answers from 28 people; 10 copies counted once\nleft out: ")
    assert len({(record.person, record.item) for record in pooled.records}) == 136


def test_pooling_what_is_not_there(collected):
    folder, _ = collected
    with pytest.raises(CourseError, match="There is no folder"):
        pool(folder / "nowhere", "game")


# ---- where they lie


def test_under_test_answers_pass_with_the_process(monkeypatch):
    monkeypatch.delenv("COURSE_CLASS", raising=False)
    monkeypatch.setenv("COURSE_TEST", "1")
    assert Store("game").person == "00000000"
    assert ROOT not in class_dir().parents
    job = python("s = answers.Store('game')\ns.add('a', '', 1)\nprint(s.folder)", stdout=-1)
    folder = job.communicate()[0].strip()
    assert folder
    assert not Path(folder).exists()


def test_the_class_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("COURSE_CLASS", "~/kept")
    Store("game").add("a", "", 1)
    assert items(tmp_path / "kept") == ["a"]
    monkeypatch.delenv("COURSE_CLASS")
    monkeypatch.delenv("COURSE_TEST", raising=False)
    assert class_dir() == ROOT / "class"
    monkeypatch.setattr(answers, "DRIVE", tmp_path)
    assert class_dir() == ROOT / "class"  # such a folder elsewhere is nobody's Drive
    monkeypatch.setattr(answers, "in_colab", lambda: True)
    assert class_dir() == tmp_path / "class"
    monkeypatch.setattr(answers, "DRIVE", tmp_path / "not mounted")
    assert class_dir() == ROOT / "class"


def test_answers_in_one_file(tmp_path):
    with pytest.raises(CourseError, match="no answer of yours yet"):
        pack_answers(tmp_path)
    for activity in ("game", "other"):
        Store(activity, tmp_path).add("a", "", 1)
    (tmp_path / "game-0000beef.jsonl").write_text("somebody else's")
    for _ in range(2):  # the second replaces the first
        kept = pack_answers(tmp_path)
    assert list(tmp_path.glob("my-answers*")) == [kept]
    person = Store("game", tmp_path).person
    assert re.fullmatch(rf"my-answers-{person}-[0-9a-f]{{8}}\.zip", kept.name)
    with zipfile.ZipFile(kept) as packed:
        assert packed.namelist() == [f"game-{person}.jsonl", f"other-{person}.jsonl"]
        packed.extractall(tmp_path / "elsewhere")
    assert items(tmp_path / "elsewhere") == ["a"]
    assert not [s for s in pool(tmp_path, "game").skipped if "my-answers" in s]
