"""Collecting a class: zips dropped into one folder, copied identities, clocks that are set back."""

import random
import re
import shutil
import zipfile
from datetime import datetime

import pytest

from helpers.lesson import answers
from helpers.lesson.answers import Store, pack_answers, pool
from helpers.lesson.boards import Board


def person(folder, number=None):
    """A class folder of somebody's; number: the id that its person.txt starts with."""
    folder.mkdir()
    if number is not None:
        (folder / "person.txt").write_text(f"{number:08x}\n")
    return folder


def answer(folder, *texts):
    for text in texts:
        Board("k", "?", folder=folder).answer(text)
        Store("prediction", folder).add(text, "", 1)
    return folder


def everything(folder):
    pooled = pool(folder, "board")
    by_person = {}
    for record in pooled.records:
        by_person.setdefault(record.person, []).append(record.answer)
    return by_person, pooled


DAMAGES = {
    "cut in the middle": lambda data: data[: len(data) // 2],
    "nothing arrived": lambda data: b"",
    "a web page": lambda data: b"<html>please log in</html>" * 9,
    "zeros within": lambda data: data[:40] + bytes(60) + data[100:],
    "no directory": lambda data: data[:-30],
}


def test_thirty_zips_five_damaged_three_doubled_two_copied_identities(tmp_path):
    """In one folder, as they come: names as mail and browsers make them, one zip of zips."""
    room = tmp_path / "class"
    room.mkdir()
    packed = []
    for number in range(28):
        home = answer(person(tmp_path / f"home{number}"), f"a{number}", f"b{number}")
        packed.append(pack_answers(home))
    image = answer(person(tmp_path / "image", 0xABC00000), "the teacher's own try")
    for number in (28, 29):  # two whose disks are copies, down to the file's number
        home = shutil.copytree(image, tmp_path / f"home{number}")
        (home / ".home").unlink()
        packed.append(pack_answers(answer(home, f"a{number}", f"b{number}")))
    assert len({path.name for path in packed}) == 30  # nothing overwrites anything
    for path in packed:
        shutil.copy(path, room / path.name)
    for path, damage in zip(packed[:5], DAMAGES.values(), strict=True):
        (room / path.name).write_bytes(damage(path.read_bytes()))
    for path in packed[5:7]:
        shutil.copy(path, room / f"{path.stem} (1).zip")
    with zipfile.ZipFile(room / "all submissions.zip", "w") as platform:
        platform.write(packed[7], f"Somebody_123_file/{packed[7].name}")

    by_person, pooled = everything(room)
    said = {tuple(texts) for texts in by_person.values()}
    whole = {(f"a{number}", f"b{number}") for number in range(5, 30)}
    assert said - {("the teacher's own try",)} == whole  # in order, and the two are not merged
    assert len(pooled.records) == 2 * 25 + 1
    assert pooled.repeated == 2 * 3 + 1
    assert sorted(sentence.split(":")[0] for sentence in pooled.skipped) == sorted(
        name if damage != "zeros within" else f"{name}/board-{name[11:19]}.jsonl"
        for name, damage in zip((path.name for path in packed), DAMAGES, strict=False)
    )
    (question,) = pooled.asked
    assert question.startswith("Person abc00000 is 2 here (")
    assert all(path.name in question for path in packed[28:])
    assert question.count(". ") == 0  # one sentence; a mark in the middle
    assert question in Board("k", "?", folder=room).left_out

    (room / "one-person.txt").write_text("abc00000\n")  # the teacher's answer
    by_person, pooled = everything(room)
    assert pooled.asked == ()
    assert sorted(by_person["abc00000"]) == ["a28", "a29", "b28", "b29", "the teacher's own try"]


def test_versions_of_one_persons_file_are_one_person(tmp_path):
    """An older copy, a damaged newer one, and both doubled: nobody is asked about."""
    home = answer(person(tmp_path / "home"), "1", "2")
    (file,) = home.glob("board-*.jsonl")
    room = person(tmp_path / "room")
    (room / "old.jsonl").write_bytes(file.read_bytes())
    answer(home, "3", "4")
    lines = file.read_bytes().splitlines(keepends=True)
    (room / "damaged.jsonl").write_bytes(b"".join([lines[0], b"{cut\n", *lines[2:]]))
    (room / "new.jsonl").write_bytes(file.read_bytes())
    by_person, pooled = everything(room)
    assert pooled.asked == ()
    assert [sorted(texts) for texts in by_person.values()] == [["1", "2", "3", "4"]]


def test_a_copied_folder_gets_a_number_of_its_own_and_a_moved_one_keeps_it(tmp_path, capsys):
    """A handed-out used folder: the copy asks, and what it holds stays another person's."""
    used = answer(person(tmp_path / "used"), "theirs")
    old = Store("board", used).person
    moved = used.rename(tmp_path / "moved")
    assert Store("board", moved).person == old
    (moved / "person.txt").chmod(0o600)  # a new time, the same file
    assert Store("board", moved).person == old
    assert capsys.readouterr().out == ""

    copy = shutil.copytree(moved, tmp_path / "copy")
    answer(copy, "mine")
    said = capsys.readouterr().out
    assert said.count(f"is a copy: what it holds stays under the number {old}") == 1
    new = Store("board", copy).person
    assert new != old
    assert everything(copy)[0] == {old: ["theirs"], new: ["mine"]}
    board = Board("k", "?", folder=copy)
    board.take_back()
    assert [given.answer for given in board.answers()] == ["theirs"]

    (copy / "person.txt").write_text(old + "\n")  # "I moved it here myself"
    assert Store("board", copy).person == old
    assert capsys.readouterr().out == ""


def test_in_colab_a_drive_that_numbers_files_anew_is_no_copy(tmp_path, monkeypatch):
    used = answer(person(tmp_path / "used"), "mine")
    monkeypatch.setattr(answers, "in_colab", lambda: True)
    copy = shutil.copytree(used, tmp_path / "mounted again")
    assert Store("board", copy).person == Store("board", used).person


@pytest.mark.parametrize("shift", [-3600, 0, 3600])
def test_take_my_last_one_back_takes_the_last_whatever_the_clock_says(tmp_path, monkeypatch, shift):
    class Clock:
        now_is = 1_700_000_000

        @classmethod
        def now(cls, zone):
            return datetime.fromtimestamp(cls.now_is, zone)

    monkeypatch.setattr(answers, "datetime", Clock)
    board = Board("k", "?", folder=tmp_path)
    for text in ("first", "second", "third"):
        board.answer(text)
        Clock.now_is += shift
    board.take_back()
    assert [given.answer for given in board.answers()] == ["first", "second"]


def test_a_class_keeps_everybodys_own_order(tmp_path):
    """Whatever the clocks of ten machines say."""
    rng, room = random.Random(0), person(tmp_path / "room")
    for number in range(10):
        store = Store("board", person(tmp_path / f"home{number}"))
        for place in range(6):
            store.add("k", "", f"{number}.{place}")
        file = store._file.path
        clock = lambda _: f'"time": "2026-01-01T{rng.randrange(24):02}:00:00+00:00"'
        (room / file.name).write_text(re.sub(r'"time": "[^"]*"', clock, file.read_text()))
    texts = [given.answer for given in Board("k", "?", folder=room).answers()]
    for number in range(10):
        own = [text for text in texts if text.startswith(f"{number}.")]
        assert own == [f"{number}.{place}" for place in range(6)]


def test_a_zip_that_hides_too_much_is_refused(tmp_path, monkeypatch):
    home = answer(person(tmp_path / "home"), "1")
    room = person(tmp_path / "room")
    shutil.copy(pack_answers(home), room / "in.zip")
    monkeypatch.setattr(answers, "TOO_LARGE", 100)
    assert "larger than" in pool(room, "board").skipped[0]
    with zipfile.ZipFile(room / "in.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("board-0000000a.jsonl", bytes(10**5))
    monkeypatch.setattr(answers, "TOO_LARGE", 10**4)
    (sentence,) = pool(room, "board").skipped
    assert sentence.startswith("in.zip/board-0000000a.jsonl: larger than")
