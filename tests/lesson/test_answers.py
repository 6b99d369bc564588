"""The store loses nothing: two writers at once, a killed kernel, a full disk, a read-only folder, a room's damaged files."""

import errno
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from helpers.ground.errors import CourseError
from helpers.lesson import answers as store_module
from helpers.lesson.answers import Store, class_dir, pool

REPO = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def no_memory_of_other_tests():
    store_module._answer_file.cache_clear()
    store_module._unsaved_person.cache_clear()


def writer(folder, count, name, extra=""):
    code = (
        f"from helpers.lesson.answers import Store\ns = Store('game', {str(folder)!r})\n"
        f"for i in range({count}):\n    s.add(f'{name}{{i}}', 'c', 'x' * 200)\n    {extra or 'pass'}\n"
    )
    return subprocess.Popen([sys.executable, "-c", code], cwd=REPO, stdout=subprocess.PIPE)


def test_an_answer_comes_back_as_it_was_given(tmp_path):
    answers = [
        "no",
        3,
        2.5,
        None,
        True,
        {"a": [1, 2]},
        "two\nlines · ünïcödé 🙂",
        "lone \ud800 surrogate",
        float("inf"),
    ]
    store = Store("game", tmp_path)
    for number, answer in enumerate(answers):
        store.add(f"item {number}", "seen", answer, seconds=1.239)
    records = Store("game", tmp_path).records()
    assert [record.answer for record in records] == answers
    assert (
        records[0].seconds == 1.24
        and records[0].condition == "seen"
        and records[0].item == "item 0"
    )
    assert len({record.id for record in records}) == len(answers)
    assert [path.name for path in tmp_path.glob("*.jsonl")] == [f"game-{store.person}.jsonl"]


def test_what_json_does_not_know_is_kept_as_well_as_possible(tmp_path):
    loop = []
    loop.append(loop)
    store = Store("game", tmp_path)
    for answer in (np.float32(0.5), np.arange(3), {7}, loop, {(1, 2): 3}):
        store.add("a", "", answer)
    kept = [record.answer for record in store.records()]
    assert (
        kept[:3] == [0.5, [0, 1, 2], "{7}"]
        and kept[3] == "[[...]]"
        and kept[4] == "{(1, 2): 3}"
        and len(kept) == 5
    )


def test_a_record_holds_no_name_and_one_id_a_folder(tmp_path):
    first, second = Store("game", tmp_path), Store("other", tmp_path)
    assert first.person == second.person == (tmp_path / "person.txt").read_text().strip()
    assert Store("game", tmp_path / "elsewhere").person != first.person
    first.add("a", "", 1)
    line = json.loads(next(tmp_path.glob("game-*.jsonl")).read_text())
    assert set(line) == {
        "activity",
        "item",
        "condition",
        "answer",
        "seconds",
        "time",
        "person",
        "id",
    }


@pytest.mark.parametrize("name", ["../up", "Big", "a b", "", "x" * 80])
def test_an_activity_is_a_plain_word(tmp_path, name):
    with pytest.raises(ValueError, match="small letters"):
        Store(name, tmp_path)


def test_two_notebooks_write_at_once(tmp_path):
    jobs = [writer(tmp_path, 500, name) for name in "ab"]
    assert [job.wait(timeout=120) for job in jobs] == [0, 0]
    lines = next(tmp_path.glob("game-*.jsonl")).read_bytes().splitlines()
    assert len(list(tmp_path.glob("game-*.jsonl"))) == 1 and len(lines) == 1000
    assert {json.loads(line)["item"] for line in lines} == {
        f"{name}{i}" for name in "ab" for i in range(500)
    }


def test_folders_made_by_many_at_once_get_one_id(tmp_path):
    jobs = [writer(tmp_path / "new", 1, name) for name in "abcdef"]
    assert all(job.wait(timeout=120) == 0 for job in jobs)
    pooled = pool(tmp_path / "new", "game")
    assert (len(pooled.records), pooled.people, pooled.skipped) == (6, 1, [])


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is POSIX")
def test_a_kernel_killed_in_the_middle_loses_nothing_that_was_kept(tmp_path):
    """The writer reports each kept answer; after kill -9 at a random moment all reported ones are there."""
    for attempt in range(3):
        job = writer(tmp_path, 100_000, f"{attempt}-", extra="print(i, flush=True)")
        for _ in range(random.Random(attempt).randrange(20, 200)):
            reported = int(job.stdout.readline())
        os.kill(job.pid, signal.SIGKILL)
        job.wait()
        items = {record.item for record in Store("game", tmp_path).records()}
        assert {f"{attempt}-{i}" for i in range(reported + 1)} <= items
    Store("game", tmp_path).add("after", "", 1)  # the lock did not die locked
    assert Store("game", tmp_path).records()[-1].item == "after"


def test_a_cut_line_is_skipped_and_the_next_starts_afresh(tmp_path):
    store = Store("game", tmp_path)
    store.add("whole", "", 1)
    store.add("cut", "", 2)
    path = next(tmp_path.glob("game-*.jsonl"))
    path.write_bytes(path.read_bytes()[:-20])
    store.add("next", "", 3)
    assert [record.item for record in store.records()] == ["whole", "next"]
    assert pool(tmp_path, "game").skipped == [f"{path.name}: damaged line 2 left out"]


def test_a_full_disk_keeps_the_answer_for_later(tmp_path, monkeypatch, capsys):
    real = store_module._append

    def full(path, lines):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    store = Store("game", tmp_path)
    store.add("before", "", 0)
    monkeypatch.setattr(store_module, "_append", full)
    store.add("a", "", 1)
    store.add("b", "", 2)
    assert store.trouble.startswith("The disk is full: your answer is kept in memory")
    assert capsys.readouterr().out.count("The disk is full") == 1  # said once
    assert [r.item for r in Store("game", tmp_path).records()] == [
        "before",
        "a",
        "b",
    ]  # a re-run cell sees them too
    monkeypatch.setattr(store_module, "_append", real)
    Store("game", tmp_path).add("c", "", 3)
    assert store.trouble == "" and "saved again" in capsys.readouterr().out
    assert [r.item for r in pool(tmp_path, "game").records] == ["before", "a", "b", "c"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux")
def test_a_disk_that_really_says_it_is_full(tmp_path):
    store = Store("game", tmp_path)
    store._file.path.symlink_to("/dev/full")
    store.add("a", "", 1)
    assert "disk is full" in store.trouble
    store._file.path.unlink()
    store.add("b", "", 2)
    assert store.trouble == "" and [r.item for r in pool(tmp_path, "game").records] == ["a", "b"]


def test_a_disk_that_fills_up_in_the_middle_of_a_line(tmp_path):
    """A size limit on the process makes the system write the part that fits, as a nearly full disk does."""
    resource = pytest.importorskip("resource")
    code = (
        f"import resource, signal\nfrom helpers.lesson.answers import Store\ns = Store('game', {str(tmp_path)!r})\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\ns.add('a', '', 'x' * 500)\n"
        "size = s._file.path.stat().st_size\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, resource.RLIM_INFINITY))\n"
        "s.add('b', '', 'y' * 500)\nassert s.trouble and s._file.path.stat().st_size == size, s.trouble\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)\ns.add('c', '', 1)\n"
    )
    assert resource and subprocess.run([sys.executable, "-c", code], cwd=REPO).returncode == 0
    pooled = pool(tmp_path, "game")
    assert (
        [record.item for record in pooled.records] == ["a", "b", "c"]
        and not pooled.skipped
        and not pooled.repeated
    )


def test_what_waits_is_written_when_the_kernel_ends(tmp_path):
    code = (
        "from helpers.lesson import answers as store\n"
        f"s = store.Store('game', {str(tmp_path)!r})\nreal = store._append\n"
        "def bad(path, lines): raise OSError(28, 'No space left')\n"
        "store._append = bad\ns.add('a', '', 1)\nstore._append = real\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=REPO, check=True)
    assert [record.item for record in pool(tmp_path, "game").records] == ["a"]


def test_a_read_only_folder(tmp_path):
    """For root every folder is writable, so a file stands where the folder should be: the same refusal for everybody."""
    folder = tmp_path / "class"
    folder.write_text("in the way")
    store = Store("game", folder)
    store.add("a", "", 1)
    assert "cannot be written" in store.trouble and str(folder) in store.trouble
    assert [record.item for record in store.records()] == ["a"]
    folder.unlink()
    store.add("b", "", 2)
    assert store.trouble == "" and [r.item for r in pool(folder, "game").records] == ["a", "b"]
    assert Store("game", folder).person == store.person  # the session's id became the folder's


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_without_write_permission(tmp_path):
    tmp_path.chmod(0o500)
    store = Store("game", tmp_path)
    store.add("a", "", 1)
    assert "Permission denied" in store.trouble
    tmp_path.chmod(0o700)
    assert store.records() and store.trouble == ""


def test_a_damaged_id_is_replaced(tmp_path):
    (tmp_path / "person.txt").write_bytes(b"\xff\x00")
    person = Store("game", tmp_path).person
    assert len(person) == 8 and (tmp_path / "person.txt").read_text().strip() == person


def room(folder, people=30, answers=5):
    """A folder of everybody's class folders, as a teacher collects them."""
    for number in range(people):
        store = Store("game", folder / f"student {number:02}" / "class")
        for item in range(answers):
            store.add(f"item{item}", "with" if item % 2 else "without", number + item, 1.0)
        Store("other", store.folder).add("x", "", 1)


def test_a_room_of_thirty_counts_nobody_twice_and_names_what_it_could_not_read(tmp_path):
    room(tmp_path)
    files = sorted(tmp_path.rglob("game-*.jsonl"))
    assert pool(tmp_path, "game")[1:] == (30, [], 0) and len(pool(tmp_path, "game").records) == 150
    files[0].with_name("game (1).jsonl").write_bytes(files[0].read_bytes())  # sent twice
    (tmp_path / "renamed.jsonl").write_bytes(
        files[1].read_bytes().replace(b"\n", b"\r\n")
    )  # went through Windows
    files[2].write_bytes(b"\xef\xbb\xbf" + files[2].read_bytes())  # and through an editor
    files[3].write_bytes(files[3].read_bytes()[:-30])  # cut off
    lines = files[4].read_bytes().splitlines()
    files[4].write_bytes(
        b"\n".join([lines[0], b"\x00" * 50, b"[" * 9999, b'{"answer": 1}', *lines[3:]])
    )
    files[5].write_bytes(b"")  # nothing arrived
    files[6].write_bytes(bytes(range(256)) * 20)  # not text at all
    files[7].write_bytes(files[7].read_bytes().replace(b'"seconds": 1.0', b'"seconds": "fast"', 1))
    (tmp_path / "student 09" / "homework.docx").write_bytes(b"PK")
    (tmp_path / "student 10" / "class" / ".hidden").write_text("not looked at")
    pooled = pool(tmp_path, "game")
    assert (
        pooled.people == 28
        and len(pooled.records) == 150 - 5 - 5 - 1 - 2 - 1
        and pooled.repeated == 10
    )
    said = "\n".join(sorted(pooled.skipped))
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
        assert part in said, part
    assert len(pooled.skipped) == 6 and "student 02" not in said and ".hidden" not in said
    assert str(pooled).startswith("136 answers from 28 people; 10 copies counted once\nleft out: ")
    assert len({(r.person, r.item) for r in pooled.records}) == 136


def test_pooling_a_list_of_files_and_what_is_not_there(tmp_path):
    room(tmp_path, people=3)
    files = sorted(tmp_path.rglob("game-*.jsonl"))
    pooled = pool([*files, files[0], tmp_path / "lost.jsonl"], "game")
    assert (pooled.people, len(pooled.records), pooled.repeated) == (3, 15, 5)
    assert pooled.skipped == [f"{tmp_path / 'lost.jsonl'}: does not exist"]
    assert pool(files[0], "game").people == 1
    with pytest.raises(CourseError, match="There is no folder"):
        pool(tmp_path / "nowhere", "game")


def test_under_test_answers_pass_with_the_process(monkeypatch, tmp_path):
    monkeypatch.delenv("COURSE_CLASS", raising=False)
    monkeypatch.setenv("COURSE_TEST", "1")
    assert Store("game").person == "00000000" and REPO not in class_dir().parents
    code = "from helpers.lesson.answers import Store; s = Store('game'); s.add('a', '', 1); print(s.folder)"
    left = subprocess.run(
        [sys.executable, "-c", code], cwd=REPO, text=True, capture_output=True, check=True
    ).stdout.strip()
    assert left and not Path(left).exists()
    monkeypatch.setenv("COURSE_CLASS", str(tmp_path / "kept"))
    Store("game").add("a", "", 1)
    assert pool(tmp_path / "kept", "game").people == 1
    monkeypatch.delenv("COURSE_CLASS")
    monkeypatch.delenv("COURSE_TEST")
    assert class_dir() == REPO / "class"
