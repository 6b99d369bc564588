"""Lesson 08 as a class uses it: sliders, other neurons, six blinded ratings by keyboard with a
break, both rounds of the rules."""

from pathlib import Path

import pytest

from helpers.lesson.answers import pool
from notebooks.support.lesson08.neuron_rating import ACTIVITY, result

LESSON = Path(__file__).resolve().parents[2] / "notebooks" / "08_solu.ipynb"
SLIDERS, NEURONS, RATING, RESULT = (
    "playground(look, a=",
    "playground(look_at",
    "rating_view(my_rating",
    "neuron_rating.outcome(",
)
ROUND_ONE, ROUND_TWO = "rule_view(puzzle.slide_round", "rule_view(puzzle.neuron_round"


@pytest.mark.skipif(not LESSON.exists(), reason="lesson 08 is not written yet")
def test_a_class_in_lesson_08(open_notebook, lab):
    """One page for everything; only the cells that the activities need are run."""
    book = open_notebook(LESSON)
    book.run(
        "from notebooks.support.lesson08 import checks",
        "def look(a=4.0",
        "import in_capitals",
        NEURONS,
        RATING,
        RESULT,
        ROUND_ONE,
        ROUND_TWO,
        seconds=900,
    )
    set_four_numbers(book)
    look_at_another_neuron(book)
    rate_by_keyboard(book, lab)
    round_one(book, lab)
    round_two(book)
    assert not book.errors()


def set_four_numbers(book):
    first = book.picture(SLIDERS)
    book.press_slider(SLIDERS, times=5, key="ArrowLeft")
    book.wait_new_picture(SLIDERS, first)
    book.shot("lesson08-sliders", SLIDERS)


def look_at_another_neuron(book):
    assert "SoLU + LN, neuron" in book.output(NEURONS)
    book.cell(NEURONS).locator("select").select_option("GELU")
    book.wait_for(NEURONS, "GELU, neuron")
    book.shot("lesson08-neuron", NEURONS)


def rate_by_keyboard(book, lab):
    assert "6 items in random order" in book.output(RATING)
    assert "PRACTICE DATA" in book.output(RESULT), "nobody has rated yet"
    for done, stop in ((0, 3), (3, 6)):
        book.button(RATING, "Start").click()
        box = book.cell(RATING).locator("input[placeholder*='press digits']")
        for number in range(done, stop):
            book.wait_for(RATING, f"{number} of 6 done")
            box.press("End")
            box.press("1" if number % 3 else "0")
        if stop < 6:  # a break: the cell is run anew
            where = book.wait_for(RATING, "3 of 6 done")
            assert "SoLU" not in where.inner_text().split("rating_view(")[-1].split("Darker")[-1]
            book.shot("lesson08-rating", RATING)
            book.rewrite(RATING, book.source(RATING))
    book.wait_for(RATING, "Everything is rated")
    shares = result(pool(lab.folder / "class", ACTIVITY).records)
    assert set(shares) == {"GELU", "SoLU + LN"}
    assert sum(part[3] for part in shares.values()) == 6
    book.rewrite(RESULT, book.source(RESULT))
    book.wait_for(RESULT, "Right, your class")
    book.shot("lesson08-result", RESULT)


def write(book, cell, kind: str, rule: str):
    book.cell(cell).locator("select").nth(1).select_option(kind)
    line = book.cell(cell).locator("input[type=text]")
    line.fill(rule)
    line.press("Enter")


def round_one(book, lab):
    write(book, ROUND_ONE, "suffix", "ing")
    book.wait_for(ROUND_ONE, "a verb with “ing”")
    book.shot("lesson08-round-one", ROUND_ONE)
    write(book, ROUND_ONE, "regular expression", "(ing")
    book.wait_for(ROUND_ONE, "This is no regular expression")
    write(book, ROUND_ONE, "free text", "something that is being done")
    for left in range(20, 0, -1):
        if not book.button(ROUND_ONE, "It fits").is_visible():
            break
        book.button(ROUND_ONE, "It fits" if left % 2 else "It does not").click()
        book.page.wait_for_timeout(400)
    book.wait_for(ROUND_ONE, "judged:")
    book.cell(ROUND_ONE).locator("select").first.select_option("group B")
    write(book, ROUND_ONE, "prefix", "sen")
    book.wait_for(ROUND_ONE, "the prefix “sen”")
    assert len(pool(lab.folder / "class", "rules").records) == 3


def round_two(book):
    write(book, ROUND_TWO, "words", "it he she")
    book.wait_for(ROUND_TWO, "of the strong firings")
    write(book, ROUND_TWO, "regular expression", r"(\w|\w\w|\s)+(?=:::)")
    book.wait_for(ROUND_TWO, "was stopped", seconds=90)
    write(book, ROUND_TWO, "words", "this")
    book.wait_for(ROUND_TWO, "yours")
    book.shot("lesson08-round-two", ROUND_TWO)
