"""Lesson 06 as a class uses it: drag the point, go through a whole round with a break in it, pool,
fill the checklist."""

import shutil
from pathlib import Path

import pytest

from helpers.lesson.answers import pool
from notebooks.support.lesson06 import user_study

LESSON = Path(__file__).resolve().parents[2] / "notebooks" / "06_provably_useful_xai.ipynb"
ROUND, POOLED = "rating_view(my_round,", "user_study.judge(pool("


@pytest.mark.skipif(not LESSON.exists(), reason="lesson 06 is not written yet")
def test_a_class_in_lesson_06(open_notebook, lab, tmp_path):
    """One page for everything, and only the cells that it needs: nbval runs them all."""
    book = open_notebook(LESSON)
    book.run(
        "import CASES",
        "playground(look",
        "check.deletion(",
        ROUND,
        POOLED,
        "board_view(checklist)",
    )
    drag_the_point(book)
    answer_an_exercise(book)
    a_whole_round(book, lab)
    pool_with_others(book, lab, tmp_path)
    fill_the_checklist(book, lab)
    assert not book.errors()


def drag_the_point(book):
    cell = "playground(look"
    first = book.picture(cell)
    book.press_slider(cell, times=4)
    second = book.wait_new_picture(cell, first)
    book.shot("lesson06-drag", cell)
    book.cell(cell).locator("select").select_option("vee")
    book.wait_new_picture(cell, second)


def answer_an_exercise(book):
    cell = "check.deletion("
    assert "not answered yet" in book.output(cell)
    stub = "def falls(vectors, slope):\n    return {}\n\ncheck.deletion(falls)"
    centred = "(vectors - vectors.mean(0)) @ slope"
    for answer, said in (
        ("vectors @ slope", "this is gradient × input"),
        (f"{centred} / (len(vectors) - 1)", "✓"),
    ):
        book.rewrite(cell, stub.format(answer))
        book.wait_for(cell, said)


def answer(book, number: int):
    """Answer network `number`, and say how helpful that was."""
    where = book.wait_for(ROUND, f"{number} of 12 done")
    where.get_by_role("button", name="1 · rises" if number % 2 else "0 · falls").click()
    book.wait_for(ROUND, "How helpful")
    where.get_by_role("button", name="4 · rather").click()


def a_whole_round(book, lab):
    assert "12 small networks" in book.output(ROUND)
    book.button(ROUND, "Start").click()
    for number in range(5):
        book.wait_for(ROUND, f"{number} of 12 done")
        book.shot(f"lesson06-round-{number}", ROUND)
        answer(book, number)
    book.wait_for(ROUND, "5 of 12 done")
    book.rewrite(ROUND, book.source(ROUND))  # the lunch break: the cell is run anew
    book.button(ROUND, "Start").click()
    for number in range(5, 12):
        answer(book, number)
    book.wait_for(ROUND, "Everything is rated")
    pooled = pool(lab.folder / "class", user_study.ACTIVITY)
    assert len(pooled.records) == 12
    assert {r.condition for r in pooled.records} == set(user_study.CONDITIONS)
    assert all(record.seconds > 0 for record in pooled.records)
    results = user_study.judge(pooled)
    assert (results.people, {row.helpful for row in results.rows}) == (1, {4})


def pool_with_others(book, lab, tmp_path):
    """Alone there are one's own answers; with three more files, one of them cut off, there is a
    figure that says so."""
    source = book.source(POOLED)
    book.rewrite(POOLED, source)
    book.wait_for(POOLED, "your queries, smooth:")
    for number in range(3):
        home = tmp_path / str(number)
        home.mkdir()
        (home / "person.txt").write_text(f"0000abc{number}\n")
        somebody = user_study.new_round(home)
        while somebody.item:
            somebody.give(number % 2)
            somebody.give(3)
        file = next(home.glob("*.jsonl"))
        if number == 2:
            file.write_bytes(file.read_bytes()[:-100])
        shutil.copy(file, lab.folder / "class")
    book.rewrite(POOLED, source)
    book.wait_for(POOLED, "Left out")
    said = book.output(POOLED)
    assert "3 people" in said, said
    assert "person 0000abc2" in said, said
    book.shot("lesson06-pooled", POOLED)


def fill_the_checklist(book, lab):
    cell = "board_view(checklist)"
    book.cell(cell).locator("textarea").fill("A trial with and without, on decisions")
    book.cell(cell).locator("select").select_option(index=3)
    book.button(cell, "Put it on the board").click()
    book.wait_for(cell, "A trial with and without, on decisions")
    book.button(cell, "Save as Markdown").click()
    book.wait_for(cell, "Saved as")
    book.shot("lesson06-checklist", cell)
    saved = (lab.folder / "class" / "board-06-checklist.md").read_text(encoding="utf-8")
    assert "measurement would change our mind" in saved
    assert "- A trial with and without, on decisions" in saved
