"""Lesson 06 as a class uses it: drag the point, go through a whole round with a break in it, pool,
fill the checklist."""

import random
import shutil
from pathlib import Path

import pytest

from helpers.lesson.answers import pool
from notebooks.support.lesson06.user_study import (
    ACTIVITY,
    CONDITIONS,
    HELPFUL,
    Answerer,
    Round,
    items,
    judge,
)

LESSON = Path(__file__).resolve().parents[2] / "notebooks" / "06_provably_useful_xai.ipynb"
ROUND, POOLED = "round_view(my_round)", "pooled = pool("


@pytest.mark.skipif(not LESSON.exists(), reason="lesson 06 is not written yet")
def test_a_class_in_lesson_06(open_notebook, lab, tmp_path):
    """One page for everything, and only the cells that it needs: nbval runs them all."""
    book = open_notebook(LESSON)
    book.run(
        "import CASES",
        "playground(look",
        "check.zero_but_sensitive(",
        "items, judge, round_view",
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
    cell = "check.zero_but_sensitive("
    assert "not answered yet" in book.output(cell)
    stub = (
        "def zero_but_sensitive(z):\n    return {}\n\ncheck.zero_but_sensitive(zero_but_sensitive)"
    )
    for answer, said in (
        ("-2 * z", "the attribution is not zero"),
        ("2 * z - 4 * (z - 1.5).relu()", "✓"),
    ):
        book.rewrite(cell, stub.format(answer))
        book.wait_for(cell, said)


def step(book, number: int, tries: int = 3) -> str:
    """Do step `number` as the screen asks; returns what was asked for: "rating", "queries" or
    "answer"."""
    where = book.wait_for(ROUND, f"{number} of 15 answered")
    if where.get_by_role("button", name="1 · not at all").is_visible():
        assert not where.get_by_role("button", name="It rises").is_visible()
        where.get_by_role("button", name="4", exact=True).click()
        return "rating"
    asked = "queries" if "tries left" in where.inner_text() else "answer"
    for left in range(tries - 1, -1, -1) if asked == "queries" else ():
        book.press_slider(ROUND)
        where.get_by_role("button", name="Try this step").click()
        book.wait_for(ROUND, f"{left} tries left")
    where.get_by_role("button", name="It rises" if number % 2 else "It falls").click()
    return asked


def a_whole_round(book, lab):
    assert "12 small networks" in book.output(ROUND)
    book.button(ROUND, "Start").click()
    done = []
    for number in range(7):
        done.append(step(book, number))
        if number in (0, 5):
            book.wait_for(ROUND, f"{number + 1} of 15 answered")
            book.shot(f"lesson06-round-{number}", ROUND)
    book.wait_for(ROUND, "7 of 15 answered")
    source = next(
        "".join(cell["source"]) for cell in book.model() if ROUND in "".join(cell["source"])
    )
    book.rewrite(ROUND, source)  # the lunch break: the cell is run anew
    book.button(ROUND, "Start").click()
    for number in range(7, 15):
        done.append(step(book, number))
        if done[-1] == "queries" and done.count("queries") == 1:
            book.shot("lesson06-queries", ROUND)
    book.wait_for(ROUND, "The round is done")
    book.shot("lesson06-round-done", ROUND)
    assert (done.count("rating"), done.count("queries"), len(done)) == (3, 4, 15)
    pooled = pool(lab.folder / "class", ACTIVITY)
    assert len(pooled.records) == 15
    assert {r.condition for r in pooled.records} == set(CONDITIONS)
    assert all(record.seconds > 0 for record in pooled.records)
    results = judge(pooled)
    assert (results.people, [row.helpful for row in results.rows]) == (1, [4, 4, 4])


def pool_with_others(book, lab, tmp_path):
    """Alone there are one's own numbers; with three more files, one of them cut off, there is a
    figure that says so."""
    source = next(
        "".join(cell["source"]) for cell in book.model() if POOLED in "".join(cell["source"])
    )
    book.rewrite(POOLED, source)
    book.wait_for(POOLED, "your queries:")
    known, rng = {item.key: item for item in items()}, random.Random(0)
    for number in range(3):
        home = tmp_path / str(number)
        home.mkdir()
        (home / "person.txt").write_text(f"0000abc{number}\n")
        somebody = Round(home)
        while somebody.step:
            key, condition = somebody.step
            somebody.rate(3) if key == HELPFUL else somebody.answer(
                Answerer().decide(known[key], condition, rng)["rises"]
            )
        file = next(home.glob("*.jsonl"))
        if number == 2:
            file.write_bytes(file.read_bytes()[:-300])
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
