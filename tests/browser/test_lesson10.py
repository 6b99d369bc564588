"""Lesson 10 as a person uses it: eight units rated blindly with the rubric, with a break; two
explained and simulated by keyboard."""

import re
from pathlib import Path

import pytest

from helpers.lesson.answers import pool
from notebooks.support.lesson10.feature_rating import ACTIVITY, result

LESSON = Path(__file__).resolve().parents[2] / "notebooks" / "10_interpretable_features.ipynb"
RATING, RESULT = "rating_view(my_rating", "result(rated.records)"
PUZZLES, EXPLAIN, SIMULATE, SCORE = (
    "def puzzle(name, i)",
    "rating_view(to_explain",
    "rating_view(simulation",
    "nobody has simulated it yet",
)


@pytest.mark.skipif(not LESSON.exists(), reason="lesson 10 is not written yet")
def test_a_class_in_lesson_10(open_notebook, lab):
    """One page for everything; only the cells that the activities need are run."""
    book = open_notebook(LESSON)
    book.run(
        "from notebooks.support.lesson10.autointerp import",
        "model = transformer.load",
        "def unit(name, i)",
        RATING,
        RESULT,
        seconds=600,
    )
    rate_with_the_rubric(book, lab)
    explain_and_simulate(book, lab)
    assert not book.errors()


def rate_with_the_rubric(book, lab):
    assert "8 items in random order" in book.output(RATING)
    assert "PRACTICE DATA" in book.output(RESULT), "nobody has rated yet"
    for done, stop in ((0, 3), (3, 8)):
        book.button(RATING, "Start").click()
        for number in range(done, stop):
            book.wait_for(RATING, f"{number} of 8 done")
            book.wait_for(RATING, "What does this unit stand for")
            line = book.cell(RATING).locator("input[placeholder*='write, then Enter']")
            line.fill(f"my words, number {number}")
            line.press("Enter")
            book.wait_for(RATING, "How sure are you of these words?")
            keys = book.cell(RATING).locator("input[placeholder*='press digits']")
            for key in (
                "2421" if number % 2 else "13102"
            ):  # "1" at the fourth: everything explained, and the fifth is not asked
                keys.press("End")
                keys.press(key)
        if stop < 8:  # a break: the cell is run anew
            where = book.wait_for(RATING, "3 of 8 done")
            shown = where.inner_text()
            assert "neuron" not in shown
            assert "feature" not in shown
            book.shot("lesson10-rubric", RATING)
            book.rewrite(RATING, book.source(RATING))
    book.wait_for(RATING, "Everything is rated")
    points = result(pool(lab.folder / "class", ACTIVITY).records)
    assert sorted(p for group in points.values() for p in group) == [7] * 4 + [11] * 4
    assert len(points) == 2
    book.rewrite(RESULT, book.source(RESULT))
    book.wait_for(RESULT, "Points for features and neurons: your class")
    book.shot("lesson10-result", RESULT)


def explain_and_simulate(book, lab):
    book.run("layer = torch.cat", "strings = corpus.token_strings()", seconds=300)
    book.rewrite(PUZZLES, book.source(PUZZLES).replace(", 25,", ", 3,"), seconds=300)
    book.run("baseline = TokenStatistics()", seconds=120)
    book.rewrite(EXPLAIN, book.source(EXPLAIN).replace("% 25", "% 3"))
    book.button(EXPLAIN, "Start").click()
    for number in range(2):
        book.wait_for(EXPLAIN, f"{number} of 2 done")
        line = book.cell(EXPLAIN).locator("input[placeholder*='write, then Enter']")
        line.fill("it fires on letters that I know")
        line.press("Enter")
    book.wait_for(EXPLAIN, "Everything is rated")
    book.run(SIMULATE)
    book.button(SIMULATE, "Start").click()
    book.wait_for(SIMULATE, "it fires on letters that I know")
    book.shot("lesson10-simulate", SIMULATE)
    total = int(re.search(r"0 of (\d+) done", book.cell(SIMULATE).inner_text())[1])
    for number in range(total):
        book.wait_for(SIMULATE, f"{number} of {total} done")
        keys = book.cell(SIMULATE).locator("input[placeholder*='press digits']")
        keys.press("End")
        keys.press(str(number % 10))
    book.wait_for(SIMULATE, "Everything is rated")
    assert len(pool(lab.folder / "class", "simulate").records) == total
    book.run(SCORE)
    assert "tokens simulated, correlation" in book.output(SCORE)
