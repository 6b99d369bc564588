"""Lesson 03 as a class uses it: an exercise with its named mistakes, drawings explained in the
playground, the board."""

from pathlib import Path

LESSON = Path(__file__).resolve().parents[2] / "notebooks" / "03_saliency_limitations.ipynb"
EXERCISE, PLAYGROUND, BOARD = "check.on_ink(on_ink)", "playground(explain", "board_view(Board"


def test_a_class_in_lesson_03(open_notebook, lab):
    """Only the cells that the widgets need: the whole lesson takes minutes."""
    book = open_notebook(LESSON)
    book.run("from copy import deepcopy", EXERCISE, "artist = diffusion", PLAYGROUND, BOARD)
    answer_an_exercise(book)
    explain_a_drawing(book)
    use_the_board(book)
    assert not book.errors()


def answer_an_exercise(book):
    stub = (
        "from scipy.stats import spearmanr\ndef on_ink(a, b, x):\n    ink = {}\n"
        "    return spearmanr(a[ink].abs(), b[ink].abs()).statistic\n\ncheck.on_ink(on_ink)"
    )
    assert "a negative pixel is not empty" in book.rewrite(EXERCISE, stub.format("x > 0"))
    assert "✓" in book.rewrite(EXERCISE, stub.format("x != 0"))


def explain_a_drawing(book):
    first = book.picture(PLAYGROUND)
    book.press_slider(PLAYGROUND, "ArrowRight")
    second = book.wait_new_picture(PLAYGROUND, first, seconds=120)
    book.press_slider(PLAYGROUND, "ArrowRight")
    book.wait_new_picture(PLAYGROUND, second, seconds=120)
    book.shot("lesson03-playground", PLAYGROUND)


def use_the_board(book):
    book.cell(BOARD).locator("select").select_option("the engineer")
    book.cell(BOARD).locator("textarea").fill(
        "the map by the class: it shows where the model ignores what it was asked for"
    )
    book.page.keyboard.press("Tab")
    book.button(BOARD, "Put it on the board").click()
    book.wait_for(BOARD, "it shows where the model ignores")
    book.shot("lesson03-board", BOARD)
