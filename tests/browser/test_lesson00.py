"""Lesson 00 as a newcomer uses it: run all, answer an exercise wrong and right, vote, write on the
board, type a note."""

from pathlib import Path

from helpers.lesson.answers import pool

LESSON = Path(__file__).resolve().parents[2] / "notebooks" / "00_start_here.ipynb"
WRONG = """\
def share_inside(gradients, rows, columns):
    return gradients[:, :, rows, columns].sum() / gradients.sum()

check.share_inside(share_inside)"""
RIGHT = """\
def share_inside(gradients, rows, columns):
    size = gradients.abs()
    return size[:, :, rows, columns].sum() / size.sum()

check.share_inside(share_inside)"""
BROKEN = WRONG.replace("gradients.sum()", "whole_map.sum()")


def test_a_newcomer_in_lesson_00(open_notebook, lab):
    """One page for everything, as the lesson takes a minute to run."""
    book = open_notebook(LESSON)
    book.page.get_by_text("run this cell to use it]").nth(
        2
    ).wait_for()  # what a reader sees before anything runs
    book.shot("lesson00-stored", "board_view(")
    book.run_all(seconds=1200)
    assert not [line for line in book.texts() if line.startswith("✗")]
    assert sum(line.startswith("✓") for line in book.texts()) >= 5  # the claims
    assert book.check_widgets() >= 3
    book.shot("lesson00-run")
    answer_an_exercise(book)
    vote(book, lab)
    write_on_the_board(book, lab)
    type_a_note(book)
    assert not book.errors()


def answer_an_exercise(book):
    cell = "check.share_inside("
    book.wait_for(cell, "not answered yet")
    book.rewrite(cell, BROKEN)
    book.wait_for(cell, "NameError")
    assert "Traceback" not in book.output(cell)
    book.rewrite(cell, WRONG)
    book.wait_for(cell, "signs count in your version")
    book.shot("lesson00-exercise-wrong", cell)
    book.rewrite(cell, RIGHT)
    book.wait_for(cell, "✓")
    assert "signs" not in book.output(cell)
    assert "not answered" not in book.output(cell)
    book.shot("lesson00-exercise-right", cell)


def vote(book, lab):
    cell = "choice_view("
    assert "You chose" not in book.output(cell)
    book.button(cell, "(a)").click()
    book.wait_for(cell, "You chose (a); it is (d).")
    book.shot("lesson00-vote", cell)
    assert [
        (r.item, r.answer)
        for r in pool(lab.folder / "class", "prediction").records
        if r.item.startswith("00")
    ] == [("00.which-reader", 0)]


def write_on_the_board(book, lab):
    cell = "board_view("
    assert "no answer yet" in book.output(cell)
    book.cell(cell).locator("textarea").fill(
        "Rulers beside moles: the *dermatologist* would notice"
    )
    book.button(cell, "Put it on the board").click()
    book.wait_for(cell, "Rulers beside moles: the *dermatologist* would notice")
    book.shot("lesson00-board", cell)
    assert [
        r.answer for r in pool(lab.folder / "class", "board").records if r.item.startswith("00")
    ] == ["Rulers beside moles: the *dermatologist* would notice"]


def type_a_note(book):
    cell = "playground("
    first = book.picture(cell)
    line = book.cell(cell).locator("input[type=text]").first
    line.fill("woman in the 40s . has cough . no recent fever .")
    line.press("Enter")
    book.wait_new_picture(cell, first)
    book.shot("lesson00-note", cell)
