"""The votes, boards and sliders that no lesson's own test touches, used by keyboard: Tab to them,
Enter or arrow keys, and type."""

import shutil
from pathlib import Path

import pytest

from helpers.lesson.answers import pool
from helpers.lesson.boards import FEEDBACK

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
# lesson: the cell of its imports, its votes with what the first choice is told, its cells of boards
# with their names
ROOMS = {
    "02": (
        "from helpers.clip import maps",
        {
            "02.who": "You chose (a); it is (b).",
            "02.mean": "You chose (a); it is (c).",
            "02.banana": "You chose (a), and so it is.",
            "02.negation": "You chose (a); it is (c).",
        },
        {},
    ),
    "03": (
        "from helpers.saliency import sanity",
        {
            "03.corner": "You chose (a); it is (b).",
            "03.moved": "You chose (a), and so it is.",
            "03.head": "You chose (a); it is (c).",
            "03.halves": "You chose (a); it is (b).",
        },
        {},
    ),
    "04": (
        "from helpers.attention import",
        {
            "04.sandra": "You chose (a), and so it is.",
            "04.johns-place": "You chose (a); it is (c).",
            "04.tau": "You chose (a); it is (b).",
            "04.long": "You chose (a); it is (b).",
        },
        {"04.game": ["04.game", "04.importance", "04.adversary"]},
    ),
    "05": (
        "import ipywidgets as widgets",
        {
            "05.finding": "You chose (a); it is (b).",
            "05.uniform": "You chose (a), and so it is.",
            "05.adversary": "You chose (a); it is (c).",
        },
        {"05.may-explain": ["05.may-explain", "05.what-would", "05.one-of-many"]},
    ),
    "06": (
        "import CASES",
        {
            "06.tent": "You chose (a); it is (b).",
            "06.twins": "You chose (a), and so it is.",
            "06.rough": "You chose (a); it is (c).",
            "06.real": "You chose (a); it is (b).",
        },
        {"06.looking-for": ["06.looking-for", "06.requirements", "06.directions"]},
    ),
    "07": (
        "from helpers.transformer.toy_models import",
        {
            "07.kept": "You chose (a); it is (c).",
            "07.together": "You chose (a), and so it is.",
            "07.room": "You chose (a); it is (b).",
        },
        {"07.fork": ["07.fork"]},
    ),
    "08": (
        "from notebooks.support.lesson08 import checks",
        {
            "08.wide": "You chose (a); it is (c).",
            "08.denominator": "You chose (a); it is (b).",
            "08.random": "You chose (a); it is (c).",
            "08.weak": "You chose (a); it is (b).",
        },
        {},
    ),
    "09": (
        "from notebooks.support.lesson09 import",
        {
            "09.pentagon": "You chose (a); it is (b).",
            "09.neuron": "You chose (a); it is (c).",
            "09.no-l1": "You chose (a); it is (c).",
            "09.passes": "You chose (a), and so it is.",
        },
        {},
    ),
    "10": (
        "from notebooks.support.lesson10 import",
        {
            "10.twelve": "You chose (a); it is (b).",
            "10.tail": "You chose (a); it is (c).",
            "10.pinned": "You chose (a); it is (b).",
            "10.shuffled": "You chose (a); it is (c).",
        },
        {"10.missing": ["10.missing", "10.variance", "10.larger-models"]},
    ),
    "11": (
        "from notebooks.support.lesson11 import checks",
        {
            "11.place": "You chose (a); it is (c).",
            "11.shift": "You chose (a); it is (c).",
            "11.narrower": "You chose (a), and so it is.",
            "11.absorbed": "You chose (a); it is (b).",
        },
        {"11.which-width": ["11.which-width"]},
    ),
    "12": (
        "from helpers.pretrained import smollm2",
        {
            "12.asked": "You chose (a), and so it is.",
            "12.follows": "You chose (a); it is (b).",
            "12.sink": "You chose (a); it is (c).",
            "12.tau": "You chose (a); it is (b).",
        },
        {"12.edge": ["12.edge"]},
    ),
    "13": (
        "from dataclasses import replace",
        {
            "13.best": "You chose (a); it is (e).",
            "13.reconstruction": "You chose (a); it is (c).",
            "13.frozen": "You chose (a); it is (b).",
            "13.scores": "You chose (a); it is (c).",
            "13.detect": "You chose (a), and so it is.",
            "13.five": "You chose (a); it is (b).",
        },
        {"13.takeaway": ["13.takeaway"]},
    ),
}


@pytest.mark.parametrize("number", ROOMS)
def test_votes_and_boards_by_keyboard(open_notebook, lab, number):
    start, votes, boards = ROOMS[number]
    (path,) = NOTEBOOKS.glob(f"{number}_*.ipynb")
    book = open_notebook(path)
    book.run(
        start,
        *(f'choice_view("{key}"' for key in votes),
        *(f'Board("{key}"' for key in boards),
        seconds=600,
    )
    assert book.check_widgets() >= 1
    for key, told in votes.items():
        cell = f'choice_view("{key}"'
        assert "You chose" not in book.output(cell)
        book.button(cell, "(a)").focus()
        book.page.keyboard.press("Enter")
        book.wait_for(cell, told)
    for first, keys in boards.items():
        cell = f'Board("{first}"'
        for place, key in enumerate(keys):
            book.cell(cell).locator("textarea").nth(place).focus()
            book.page.keyboard.type(f"By keyboard, on {key}.")
            book.page.keyboard.press("Tab")  # on to the button
            book.page.keyboard.press("Enter")
            book.wait_for(cell, f"By keyboard, on {key}.")
        book.shot(f"lesson{number}-boards", cell)
    kept = {
        r.item: r.answer
        for activity in ("board", "prediction")
        for r in pool(lab.folder / "class", activity).records
    }
    assert {key: kept.get(key) for key in votes} == dict.fromkeys(votes, 0)
    assert {key: kept.get(key) for keys in boards.values() for key in keys} == {
        key: f"By keyboard, on {key}." for keys in boards.values() for key in keys
    }
    assert not book.errors()


ENDS = "board_view(feedback("  # the last cell of every lesson
ENDING = [
    path for path in sorted(NOTEBOOKS.glob("[0-9]*.ipynb")) if ENDS in path.read_text("utf-8")
]


@pytest.mark.parametrize("path", ENDING, ids=lambda path: path.stem)
def test_the_three_questions_at_the_end(open_notebook, lab, tmp_path, path):
    book, question = open_notebook(path), FEEDBACK[1]
    book.run(ENDS)
    book.cell(ENDS).locator("select").select_option(question)
    book.cell(ENDS).locator("textarea").focus()
    book.page.keyboard.type("All of it.")
    book.page.keyboard.press("Tab")
    book.page.keyboard.press("Enter")
    book.wait_for(ENDS, "All of it.")
    book.shot(f"{path.stem[:2]}-feedback", ENDS)
    kept = [r for r in pool(lab.folder / "class", "board").records if r.answer == "All of it."]
    assert (f"{path.stem[:2]}.feedback", question) in [(r.item, r.condition) for r in kept]
    book.button(ENDS, "Keep my answers").click()
    book.wait_for(ENDS, "Your answers of all lessons are in")
    (packed,) = (lab.folder / "class").glob("my-answers-*.zip")
    shutil.move(packed, tmp_path)  # to the teacher
    assert [r.answer for r in pool(tmp_path, "board").records] == ["All of it."]


def test_the_slider_of_lesson_09(open_notebook):
    book, cell = (
        open_notebook(NOTEBOOKS / "09_monosemanticity.ipynb"),
        "playground(judge, common",
    )
    book.run("from notebooks.support.lesson09 import", cell)
    first = book.picture(cell)
    book.press_slider(cell, times=3)
    book.wait_new_picture(cell, first)
    book.shot("lesson09-slider", cell)


def test_a_sentence_of_ones_own_in_lesson_06(open_notebook):
    book, cell = (
        open_notebook(NOTEBOOKS / "06_provably_useful_xai.ipynb"),
        "playground(ask, text=",
    )
    book.run(
        "import CASES",
        "from helpers.datasets import reviews",
        cell,
        seconds=600,
    )
    first = book.picture(cell)
    line = book.cell(cell).locator("input[type=text]").first
    line.fill("dull and endless, with one wonderful song")
    line.press("Enter")
    second = book.wait_new_picture(cell, first)
    line.fill("dull")
    line.press("Enter")
    book.wait_for(cell, "Type at least two words.")
    line.fill("wonderful and funny")
    line.press("Enter")
    assert book.wait_new_picture(cell, second)
    book.shot("lesson06-own-sentence", cell)


def test_a_feature_pushed_too_far_in_lesson_10(open_notebook):
    book, cell = (
        open_notebook(NOTEBOOKS / "10_interpretable_features.ipynb"),
        "playground(pinned_text",
    )
    book.run(
        "from notebooks.support.lesson10 import",
        "model = transformer.load(",
        "def pinned(x, f_i",
        "def pin(i, v)",
        "def write(edit=None",
        cell,
        seconds=600,
    )
    first = book.output(cell)
    book.press_slider(cell, times=2)
    book.page.wait_for_function(
        """([number, before]) => [...document.querySelectorAll('.jp-Notebook .jp-Cell')[number]
        .querySelectorAll('.jp-OutputArea-output')]
        .map(output => output.innerText).join('\\n') != before""",
        arg=[book.find(cell), first],
        timeout=120_000,
    )
    book.shot("lesson10-pinned", cell)
    assert not book.errors()
