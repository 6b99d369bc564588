"""A room of thirty in every activity: some files damaged, some twice, some foreign. What is pooled is right and says whom it left out."""

import importlib.util
import json
import random
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from helpers.lesson import answers as store_module
from helpers.lesson.answers import Store, pool
from helpers.lesson.boards import Board
from helpers.lesson.rating import Item, Question, Rating, accepted, by_condition
from helpers.lesson.widgets import choice_view
from notebooks.support.lesson08.neuron_puzzle import Puzzle, RuleRound
from notebooks.support.lesson08.rules import words_of

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
PEOPLE = 30
CHECKED = {
    "board",
    "prediction",
    "neurons",
    "rules",
    "features",
}  # below; "with-and-without": test_experiment.py


@pytest.fixture(autouse=True)
def no_memory_of_other_tests():
    store_module._answer_file.cache_clear()


def cells(path):
    return [
        "".join(cell["source"])
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
        if cell["cell_type"] == "code"
    ]


# ---- thirty people, and what happens to their files on the way to the teacher


def gather(tmp_path, activity, take_part):
    """take_part(folder, number) for thirty people; returns the teacher's class folder, {person: records}, and what was damaged.

    Of the files, one is cut off in its last line, one is no text, one is empty, one has a broken line, one holds answers of
    another kind, three are there twice; somebody forgot to unpack a folder.
    """
    room, written, names = tmp_path / "class" / "room", {}, []
    room.mkdir(parents=True)
    for number in range(PEOPLE):
        home = tmp_path / f"home{number}"
        home.mkdir()
        (home / "person.txt").write_text(f"{number + 0xABC000:08x}\n")
        take_part(home, number)
        (file,) = home.glob(f"{activity}-*.jsonl")
        written[f"{number + 0xABC000:08x}"] = Store(activity, home).records()
        names.append(room / f"{number:02}" / file.name)
        names[-1].parent.mkdir()
        shutil.copy(file, names[-1])
    names[0].write_bytes(names[0].read_bytes()[:-30])
    names[1].write_bytes(b"\x00\xff" * 500)
    names[2].write_text("")
    lines = names[3].read_text().splitlines()
    names[3].write_text("\n".join(["{broken", *lines[1:]]) + "\n")
    foreign = [
        json.loads(line) | {"answer": 12345, "condition": "none of ours"}
        for line in names[4].read_text().splitlines()
    ]
    names[4].write_text("\n".join(map(json.dumps, foreign)) + "\n")
    for file in names[5:8]:
        shutil.copy(file, room / f"copy of {file.name}")
    (room / "07.zip").write_bytes(b"PK\x03\x04" + bytes(200))
    people = list(written)
    left = written | {
        people[0]: written[people[0]][:-1],
        people[1]: [],
        people[2]: [],
        people[3]: written[people[3]][1:],
        people[4]: [],
    }
    return tmp_path / "class", left


def says_whom(sentence):
    """Everybody whose answers are not all there is named, and nobody else."""
    for number, problem in (
        (0, "damaged line"),
        (1, "no answer in it can be read"),
        (2, "empty"),
        (3, "damaged line 1 left out"),
    ):
        assert re.search(
            rf"room/{number:02}/[a-z-]+-{0xABC000 + number:08x}\.jsonl: {problem}", sentence
        ), sentence
    assert "person 00abc004: " in sentence
    assert "07.zip: no answer in it can be read" in sentence
    assert "00abc005" not in sentence
    assert "00abc008" not in sentence


def flat(left):
    return [record for records in left.values() for record in records]


# ---- boards: every board of every lesson

BOARDS = sorted(
    {
        key
        for path in NOTEBOOKS
        for cell in cells(path)
        for key in re.findall(r"\bBoard\(\s*\"([\w.-]+)\"", cell)
    }
)


def test_every_board_of_the_course_shows_what_arrived_and_names_the_rest(tmp_path):
    assert len(BOARDS) >= 15

    def write(home, number):
        for key in BOARDS:
            board = Board(key, "?", seats=("for", "against") if number % 2 else None, folder=home)
            board.answer(f"{key}: answer of {number}", seat="against" if number % 2 else None)
            if number == 9:
                board.answer("regretted")
                board.take_back()

    folder, left = gather(tmp_path, "board", write)
    for key in BOARDS:
        board = Board(key, "Why?", seats=("", "for", "against"), folder=folder)
        expected = sorted(
            r.answer
            for r in flat(left)
            if r.item == key and isinstance(r.answer, str) and r.answer != "regretted"
        )
        assert sorted(answer.text for answer in board.answers()) == expected
        assert PEOPLE - 5 <= len(expected) <= PEOPLE - 3
        says_whom(board.left_out)
    shown = board.export()
    assert shown.count("\n- ") == len(expected)
    assert "Left out: room/00/board" in shown.replace("\\", "")
    assert "Left out" not in Board(BOARDS[0], "?", folder=tmp_path / "home8").export()


# ---- votes


def test_votes_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr("helpers.lesson.widgets.view.display", lambda _: None)
    keys = sorted(
        {
            key
            for path in NOTEBOOKS
            for cell in cells(path)
            for key in re.findall(r"choice_view\(\s*\"([\w.-]+)\"", cell)
        }
    )
    assert len(keys) >= 8
    folder, left = gather(
        tmp_path,
        "prediction",
        lambda home, number: [
            choice_view(key, "?", ["a", "b", "c"], 1, ".", folder=home).choose((number + place) % 3)
            for place, key in enumerate(keys)
        ],
    )
    pooled = pool(folder, "prediction").only(lambda record: record.answer in (0, 1, 2))
    for key in keys:
        got = [record.answer for record in pooled.records if record.item == key]
        assert sorted(got) == sorted(record.answer for record in flat(left) if record.item == key)
    assert (pooled.people, pooled.repeated) == (PEOPLE - 3, 3 * len(keys))
    says_whom(pooled.left_out)


# ---- blinded ratings


def ratings():
    """(activity, its questions) of every rating of the course; lesson 10's as soon as it is there."""
    from notebooks.support.lesson08 import neuron_rating

    yield neuron_rating.ACTIVITY, [neuron_rating.QUESTION]
    if importlib.util.find_spec("notebooks.support.lesson10.feature_rating"):
        from notebooks.support.lesson10 import feature_rating

        yield feature_rating.ACTIVITY, list(feature_rating.QUESTIONS)


def rate(home, number, activity, questions, items=6):
    rng = random.Random(number)
    rating = Rating(
        activity,
        [Item(f"unit {n}", "SoLU + LN" if n % 2 else "GELU", None) for n in range(items)],
        questions,
        home,
    )
    while not rating.done:
        if rng.random() < 0.05:
            rating.skip()
        elif rating.question.choices:
            rating.give(rating.question.first + rng.randrange(len(rating.question.choices)))
        else:
            rating.give("a rule")


@pytest.mark.parametrize(
    ("activity", "questions"),
    list(ratings()),
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_ratings(tmp_path, activity, questions):
    folder, left = gather(
        tmp_path, activity, lambda home, number: rate(home, number, activity, questions)
    )
    pooled = accepted(pool(folder, activity), questions)
    expected = {}
    for record in flat(left):
        if record.answer is not None:
            expected.setdefault(record.condition, []).append(
                (record.person, record.item, record.answer)
            )
    got = {
        condition: sorted(((r.person, r.item, r.answer) for r in group), key=str)
        for condition, group in by_condition(pooled.records).items()
    }
    assert got == {condition: sorted(group, key=str) for condition, group in expected.items()}
    assert pooled.repeated == 18
    says_whom(pooled.left_out)


def test_what_is_no_rating_is_noticed():
    questions = [
        Question("words", "?"),
        Question("sure", "?", ("no", "yes"), first=1),
        Question("why", "?", ("a", "b"), applies=lambda a: a["sure"] == 1),
    ]
    record = lambda answer: store_module.Record("r", "i", "c", answer, 1.0, "", "00000001", "x")
    good = [None, {"words": "w", "sure": 2}, {"words": "w", "sure": 1, "why": 0}]
    bad = [
        "text",
        7,
        {},
        {"words": 3, "sure": 2},
        {"words": "w", "sure": 0},
        {"words": "w", "sure": 3},
        {"words": "w", "sure": True},
        {"words": "w", "sure": 1},
    ]
    pooled = accepted(
        store_module.Pooled([*map(record, good), *map(record, bad)], 1, []), questions
    )
    assert [kept.answer for kept in pooled.records] == good
    assert pooled.skipped == [f"person 00000001: {len(bad)} answers of another kind"]


def test_lesson_08s_own_cell_draws_the_class_and_names_who_is_missing(tmp_path, capsys):
    from notebooks.support.lesson08 import figures, neuron_rating

    folder, left = gather(
        tmp_path,
        "neurons",
        lambda home, number: rate(home, number, "neurons", [neuron_rating.QUESTION]),
    )
    (cell,) = (
        cell
        for path in NOTEBOOKS
        if path.name.startswith("08")
        for cell in cells(path)
        if "rated = " in cell
    )
    space = vars(neuron_rating) | {
        "figures": figures,
        "pool": pool,
        "accepted": accepted,
        "my_rating": SimpleNamespace(
            store=SimpleNamespace(folder=folder), questions=[neuron_rating.QUESTION]
        ),
    }
    exec(cell, space)
    fig, given = space["_"], [record for record in flat(left) if record.answer]
    for line, name in zip(
        (line for line in fig.axes[1].lines if line.get_marker() not in ("", "None")),
        ("GELU", "SoLU + LN"),
        strict=True,
    ):
        mine = [record.answer["one rule"] for record in given if record.condition == name]
        assert line.get_ydata()[0] == pytest.approx(sum(mine) / len(mine))
    assert f"Ratings of {PEOPLE - 3} people" in fig.caption_text
    says_whom(fig.caption_text)


# ---- rules


def test_rules(tmp_path, monkeypatch):
    words = words_of(["running and eating", "the king is sleeping"])
    acts = torch.tensor([float(word.endswith("ing")) for word in words.strings])
    puzzles = [Puzzle(key, key, "shown", words, acts) for key in ("one", "two")]
    folder, left = gather(
        tmp_path,
        "rules",
        lambda home, number: [
            RuleRound(puzzles, home).submit(key, "suffix", f"ing {'g' * (number % 10)}")
            for key in ("one", "two")
        ],
    )
    board = RuleRound(puzzles, folder)
    for key in ("one", "two"):
        expected = {record.answer["rule"] for record in flat(left) if record.item == key}
        assert {ranked.rule for ranked in board.ranking(key)} == expected
        assert len(board.ranking(key)) == len(expected)
    says_whom(board.left_out)
    from notebooks.support.lesson08 import puzzle_widget as rule

    drawn = []
    monkeypatch.setattr(rule, "display", drawn.append)
    rule.rule_view(board)
    says_whom(drawn[-1].inside)


# ---- nothing is forgotten


def test_every_activity_of_the_course_is_checked_here():
    code = "\n".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "helpers" / "course").rglob("*.py")
    )
    stored = set(re.findall(r"\bStore\(\"([a-z-]+)\"", code)) | set(
        re.findall(r"^ACTIVITY(?:, \w+)? = \"([a-z-]+)\"", code, flags=re.M)
    )
    assert stored - CHECKED == {"with-and-without"}
    assert {"board", "prediction", "neurons", "rules"} <= stored


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_lesson_that_pools_says_whom_it_left_out(path):
    """By an activity's own judge, or by `accepted` and the sentence in `left_out`."""
    for cell in cells(path):
        if re.search(r"\bpool\(", cell):
            assert "left_out" in cell, cell
