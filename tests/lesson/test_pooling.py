"""Every activity of the course with thirty people, some of whose files are damaged or foreign.

What is pooled is right and says whom it left out.
"""

import json
import random
import re
import shutil
from types import SimpleNamespace

import pytest
import torch

from helpers.ground import ROOT
from helpers.lesson.answers import Pooled, Record, Store, pool
from helpers.lesson.boards import Board
from helpers.lesson.rating import Item, Question, Rating, accepted, by_condition
from helpers.lesson.widgets import choice_view
from notebooks.support.lesson08 import figures, neuron_rating, puzzle_widget
from notebooks.support.lesson08.neuron_puzzle import Puzzle, RuleRound
from notebooks.support.lesson08.rules import words_of
from notebooks.support.lesson10 import feature_rating

NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
PEOPLE = 30
RATINGS = {
    neuron_rating.ACTIVITY: [neuron_rating.QUESTION],
    feature_rating.ACTIVITY: list(feature_rating.QUESTIONS),
}
# checked here; the user study is in tests/support/test_user_study.py, exercises in test_report.py
CHECKED = {"board", "prediction", "rules", *RATINGS}


def code_cells(path) -> list[str]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def keys(call: str) -> list[str]:
    """The first argument of every such call in the notebooks."""
    code = "\n".join(cell for path in NOTEBOOKS for cell in code_cells(path))
    return sorted(set(re.findall(rf"\b{call}\(\s*\"([\w.-]+)\"", code)))


def gather(tmp_path, activity, take_part):
    """take_part(folder, number) for thirty people. Returns the class folder and its whole records.

    Of the files, one is cut off in its last line, one is no text, one is empty, one has a broken
    line, one holds answers of another kind, three are there twice; somebody forgot to unpack.
    """
    room = tmp_path / "class" / "room"
    room.mkdir(parents=True)
    whole, files = [], []
    for number in range(PEOPLE):
        home, person = tmp_path / f"home{number}", f"{number + 0xABC000:08x}"
        home.mkdir()
        (home / "person.txt").write_text(f"{person}\n")
        take_part(home, number)
        records = Store(activity, home).records()
        kept = {0: records[:-1], 1: [], 2: [], 3: records[1:], 4: []}.get(number, records)
        whole += kept
        files.append(room / f"{number:02}" / f"{activity}-{person}.jsonl")
        files[-1].parent.mkdir()
        shutil.copy(home / files[-1].name, files[-1])
    files[0].write_bytes(files[0].read_bytes()[:-30])
    files[1].write_bytes(b"\x00\xff" * 500)
    files[2].write_text("")
    broken = ["{broken", *files[3].read_text().splitlines()[1:]]
    files[3].write_text("\n".join(broken) + "\n")
    other = {"answer": 12345, "condition": "none of ours"}
    foreign = [json.dumps(json.loads(line) | other) for line in files[4].read_text().splitlines()]
    files[4].write_text("\n".join(foreign) + "\n")
    for file in files[5:8]:
        shutil.copy(file, room / f"copy of {file.name}")
    (room / "07.zip").write_bytes(b"PK\x03\x04" + bytes(200))
    return tmp_path / "class", whole


def says_whom(sentence):
    """Everybody whose answers are not all there is named, and nobody else."""
    problems = ("damaged line", "no answer in it can be read", "empty", "damaged line 1 left out")
    for number, problem in enumerate(problems):
        name = rf"room/{number:02}/[a-z-]+-{0xABC000 + number:08x}\.jsonl"
        assert re.search(f"{name}: {problem}", sentence)
    assert "person 00abc004: " in sentence
    assert "07.zip: no answer in it can be read" in sentence
    assert "00abc005" not in sentence
    assert "00abc008" not in sentence


def test_every_board_of_the_course_shows_what_arrived_and_names_the_rest(tmp_path):
    boards = keys("Board")
    assert len(boards) >= 15

    def write(home, number):
        for key in boards:
            board = Board(key, "?", seats=("for", "against") if number % 2 else None, folder=home)
            board.answer(f"{key}: answer of {number}", seat="against" if number % 2 else None)
            if number == 9:
                board.answer("regretted")
                board.take_back()

    folder, whole = gather(tmp_path, "board", write)
    for key in boards:
        board = Board(key, "Why?", seats=("", "for", "against"), folder=folder)
        texts = [r.answer for r in whole if r.item == key and isinstance(r.answer, str)]
        expected = sorted(set(texts) - {"regretted"})
        assert sorted(answer.answer for answer in board.answers()) == expected
        assert PEOPLE - 5 <= len(expected) <= PEOPLE - 3
        says_whom(board.left_out)
    assert board.export().count("\n- ") == len(expected)
    assert "Left out: room/00/board" in board.export().replace("\\", "")
    assert "Left out" not in Board(boards[0], "?", folder=tmp_path / "home8").export()


def test_votes_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr("helpers.lesson.widgets.view.display", lambda _: None)
    questions = keys("choice_view")
    assert len(questions) >= 8

    def vote(home, number):
        for place, key in enumerate(questions):
            choice_view(key, "?", ["a", "b", "c"], 1, ".", home).choose((number + place) % 3)

    folder, whole = gather(tmp_path, "prediction", vote)
    pooled = pool(folder, "prediction").only(lambda record: record.answer in (0, 1, 2))
    votes = lambda records: sorted((record.item, record.answer) for record in records)
    assert votes(pooled.records) == votes(whole)
    assert (pooled.people, pooled.repeated) == (PEOPLE - 3, 3 * len(questions))
    says_whom(pooled.left_out)


def rate(home, number, activity):
    rng = random.Random(number)
    units = [Item(f"unit {n}", "SoLU + LN" if n % 2 else "GELU", None) for n in range(6)]
    rating = Rating(activity, units, RATINGS[activity], home)
    while not rating.done:
        question = rating.question
        if rng.random() < 0.05:
            rating.skip()
        elif question.choices:
            rating.give(question.first + rng.randrange(len(question.choices)))
        else:
            rating.give("a rule")


@pytest.mark.parametrize("activity", RATINGS)
def test_ratings(tmp_path, activity):
    take_part = lambda home, number: rate(home, number, activity)
    folder, whole = gather(tmp_path, activity, take_part)
    pooled = accepted(pool(folder, activity), RATINGS[activity])
    given = [r for group in by_condition(pooled.records).values() for r in group]
    ratings = lambda records: sorted(
        (r.person, r.item, r.condition, str(r.answer)) for r in records
    )
    assert ratings(given) == ratings(r for r in whole if r.answer is not None)
    assert pooled.repeated == 18
    says_whom(pooled.left_out)


@pytest.mark.parametrize(
    ("answer", "good"),
    [
        (None, True),
        ({"words": "w", "sure": 2}, True),
        ({"words": "w", "sure": 1, "why": 0}, True),
        ("text", False),
        (7, False),
        ({}, False),
        ({"words": 3, "sure": 2}, False),
        ({"words": "w", "sure": 0}, False),
        ({"words": "w", "sure": 3}, False),
        ({"words": "w", "sure": True}, False),
        ({"words": "w", "sure": 1}, False),
    ],
)
def test_what_is_no_rating_is_noticed(answer, good):
    questions = [
        Question("words", "?"),
        Question("sure", "?", ("no", "yes"), first=1),
        Question("why", "?", ("a", "b"), applies=lambda answers: answers["sure"] == 1),
    ]
    record = Record("r", "i", "c", answer, 1.0, "", "00000001", "x")
    pooled = accepted(Pooled([record], 1, []), questions)
    assert len(pooled.records) == good
    assert pooled.skipped == ([] if good else ["person 00000001: 1 answer of another kind"])


def test_lesson_08s_own_cell_draws_the_class_and_names_who_is_missing(tmp_path, capsys):
    folder, whole = gather(tmp_path, "neurons", lambda home, n: rate(home, n, "neurons"))
    path = next(path for path in NOTEBOOKS if path.name.startswith("08"))
    (cell,) = (cell for cell in code_cells(path) if "neuron_rating.outcome(" in cell)
    mine = SimpleNamespace(store=SimpleNamespace(folder=folder), questions=RATINGS["neurons"])
    space = {"neuron_rating": neuron_rating, "figures": figures, "my_rating": mine, "chosen": []}
    exec(cell, space)
    for condition, (share, *_) in space["rated"].items():
        given = [r.answer["one rule"] for r in whole if r.answer and r.condition == condition]
        assert share == pytest.approx(sum(given) / len(given))
    assert len(space["rated"]) == 2
    caption = space["_"].caption_text
    assert f"Ratings of {PEOPLE - 3} people" in caption
    says_whom(caption)


def test_rules(tmp_path, monkeypatch):
    words = words_of(["running and eating", "the king is sleeping"])
    acts = torch.tensor([float(word.endswith("ing")) for word in words.strings])
    puzzles = [Puzzle(key, key, "shown", words, acts) for key in ("one", "two")]

    def submit(home, number):
        for key in ("one", "two"):
            RuleRound(puzzles, home).submit(key, "suffix", f"ing {'g' * (number % 10)}")

    folder, whole = gather(tmp_path, "rules", submit)
    board = RuleRound(puzzles, folder)
    for key in ("one", "two"):
        expected = {record.answer["rule"] for record in whole if record.item == key}
        assert sorted(ranked.rule for ranked in board.ranking(key)) == sorted(expected)
    says_whom(board.left_out)
    drawn = []
    monkeypatch.setattr(puzzle_widget, "display", drawn.append)
    puzzle_widget.rule_view(board)
    says_whom(drawn[-1].inside)


def test_every_activity_of_the_course_is_checked_here():
    folders = (ROOT / "helpers" / "lesson", ROOT / "notebooks" / "support")
    files = [path for folder in folders for path in folder.rglob("*.py")]
    code = "\n".join(path.read_text(encoding="utf-8") for path in files)
    stored = re.findall(r"\bStore\(\"([a-z-]+)\"", code)
    stored += re.findall(r"(?m)^ACTIVITY(?:, \w+)? = \(?\s*\"([a-z-]+)\"", code)
    assert set(stored) == CHECKED | {"with-and-without", "exercise"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_lesson_that_pools_says_whom_it_left_out(path):
    """By an activity's own judge, or by `accepted` and the sentence in `left_out`."""
    assert not [cell for cell in code_cells(path) if "pool(" in cell and "left_out" not in cell]
