"""Lesson 10 as a person uses it: four units rated blindly with the rubric, with a break."""

from pathlib import Path

import pytest

from helpers.lesson.answers import pool
from notebooks.support.lesson10.feature_rating import ACTIVITY, result

LESSON = Path(__file__).resolve().parents[2] / "notebooks" / "10_interpretable_features.ipynb"
RATING, RESULT = "rating_view(my_rating", "result(rated.records)"


@pytest.mark.skipif(not LESSON.exists(), reason="lesson 10 is not written yet")
def test_a_class_in_lesson_10(open_notebook, lab):
    """One page for everything; only the cells that the activities need are run."""
    book = open_notebook(LESSON)
    book.run(
        "from notebooks.support.lesson10 import",
        "model = transformer.load",
        RATING,
        RESULT,
        seconds=600,
    )
    rate_with_the_rubric(book, lab)
    assert not book.errors()


def rate_with_the_rubric(book, lab):
    assert "4 items in random order" in book.output(RATING)
    assert "PRACTICE DATA" in book.output(RESULT), "nobody has rated yet"
    for done, stop in ((0, 2), (2, 4)):
        book.button(RATING, "Start").click()
        for number in range(done, stop):
            book.wait_for(RATING, f"{number} of 4 done")
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
        if stop < 4:  # a break: the cell is run anew
            where = book.wait_for(RATING, "2 of 4 done")
            shown = where.inner_text()
            assert "neuron" not in shown
            assert "feature" not in shown
            book.shot("lesson10-rubric", RATING)
            book.rewrite(RATING, book.source(RATING))
    book.wait_for(RATING, "Everything is rated")
    points = result(pool(lab.folder / "class", ACTIVITY).records)
    assert sorted(p for group in points.values() for p in group) == [7] * 2 + [11] * 2
    assert len(points) == 2
    book.rewrite(RESULT, book.source(RESULT))
    book.wait_for(RESULT, "Points for features and neurons: your class")
    book.shot("lesson10-result", RESULT)
