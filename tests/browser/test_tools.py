"""Every tool, used by a person in JupyterLab: a slider, a board, a prediction, a rating, a picture
of one's own."""

import json
import re

import nbformat
import numpy as np
import pytest
from PIL import Image

from helpers.lesson.answers import pool

CELLS = {
    "playground": """
        from helpers.lesson.widgets import playground
        import matplotlib.pyplot as plt, time
        drawn = []
        def wave(turns=3, height=1.0, name="a wave"):
            if turns > 8: raise ValueError("Eight turns are enough.")
            time.sleep(0.15)
            drawn.append(turns)
            fig, ax = plt.subplots(figsize=(4, 2))
            ax.plot([height * (i % 2) for i in range(turns)])
            ax.set_title(f"{name}: {turns}")
            return fig
        tool = playground(wave, turns=(1, 10), height=(0.0, 2.0, 0.5), name="a wave")
        tool""",
    "board": """
        from helpers.lesson.boards import Board
        from helpers.lesson.widgets import board_view
        seats = ("the clinician", "the engineer")
        board_view(Board("browser", "Why look inside?", seats=seats))""",
    "choice": """
        from helpers.lesson.widgets import choice_view
        options, why = ["the hen", "the egg"], "Look at **dinosaurs**."
        choice_view("browser", "Which comes first?", options, right=1, why=why)""",
    "rating": """
        from helpers.lesson.rating import Item, Question, Rating
        from helpers.lesson.widgets import rating_view
        items = [Item(f"neuron {i}", ["GELU", "SoLU"][i % 2], f"firing number {i}")
                 for i in range(4)]
        questions = [Question("rule", "Which rule explains it?"),
                     Question("clear", "How clear is it?", ("not", "so-so", "very"))]
        rating = Rating("rating-browser", items, questions, limit=120)
        rating_view(rating, print, "Rate what you see.")""",
    "picture": """
        from helpers.datasets.photos import open_picture
        from helpers.lesson.widgets import picture_input
        picture_input(lambda image: print("a picture of", image.shape), read=open_picture)""",
    "count": "print('drawn', drawn)",
}


@pytest.fixture
def book(open_notebook, tmp_path):
    cells = [
        nbformat.v4.new_code_cell(
            "\n".join(line[8:] for line in code.strip("\n").splitlines()) if "\n" in code else code
        )
        for code in CELLS.values()
    ]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata.kernelspec = {
        "name": "python3",
        "display_name": "Python 3",
        "language": "python",
    }
    nbformat.write(notebook, tmp_path / "tools.ipynb")
    book = open_notebook(tmp_path / "tools.ipynb")
    book.run_all()
    return book


def test_every_tool_as_a_person_uses_it(book, lab, tmp_path):
    """One page for all, as starting a kernel costs more than using it."""
    # on a thread of their own, a click could overtake the text it is about, and two drawings share
    # pyplot's state
    assert (
        book.page.evaluate("window.jupyterapp.serviceManager.kernels.commsOverSubshells")
        == "disabled"
    )
    assert book.check_widgets() == 5
    playground_follows_the_keyboard(book)
    board_keeps_answers(book, lab)
    prediction_is_told_once(book, lab)
    rating_by_keyboard(book, lab)
    own_picture(book, tmp_path)


def playground_follows_the_keyboard(book):
    cell = "def wave"
    first = book.picture(cell)
    assert (
        book.cell(cell).locator(".jp-Cell-outputWrapper img").count() == 1
    )  # not a second time below
    book.press_slider(cell)
    second = book.wait_new_picture(cell, first)
    book.shot("tools-playground", cell)
    book.press_slider(cell, times=4)  # 5, 6, 7, 8
    book.press_slider(cell)  # 9: too many
    book.wait_for(cell, "Eight turns are enough.")
    assert (
        book.cell(cell).locator(".jp-Cell-outputWrapper img").count() == 1
    )  # the last good picture stays
    book.shot("tools-playground-sentence", cell)
    book.press_slider(cell, "ArrowLeft")
    book.wait_gone(cell, "Eight turns are enough.")
    drawn = json.loads(book.rewrite("print('drawn'", "print('drawn', drawn)").split(" ", 1)[1])
    assert drawn[:2] == [3, 4], drawn
    assert drawn[-1] == 8, drawn
    assert len(drawn) <= 8, drawn
    assert second != first
    line = book.cell(cell).locator("input[type=text]").first
    line.fill("a curve")
    before = book.picture(cell)
    line.press("Enter")
    book.wait_new_picture(cell, before)


def board_keeps_answers(book, lab):
    cell = "board_view("
    assert "no answer yet" in book.output(cell)
    box = book.cell(cell).locator("textarea")
    box.fill("Because it was <b>right</b> for the *wrong* reason")
    book.page.keyboard.press("Tab")  # by keyboard: to the button, and press it
    book.page.keyboard.press("Enter")
    book.wait_for(cell, "Because it was <b>right</b> for the *wrong* reason")
    book.cell(cell).locator("select").select_option("the engineer")
    box.fill("To repair it")
    book.button(cell, "Put it on the board").click()
    book.wait_for(cell, "To repair it")
    assert re.search(r"the clinician.*Because.*the engineer.*To repair", book.output(cell), re.S)
    book.button(cell, "Put it on the board").click()
    book.wait_for(cell, "The answer is empty")
    box.fill("Oops")
    book.button(cell, "Put it on the board").click()
    book.wait_for(cell, "Oops")
    book.button(cell, "Take my last one back").click()
    book.wait_gone(cell, "Oops")
    book.button(cell, "Save as Markdown").click()
    book.wait_for(cell, "Saved as")
    book.shot("tools-board", cell)
    assert "- To repair it" in (lab.folder / "class" / "board-browser.md").read_text(
        encoding="utf-8"
    )
    said = [
        r.answer
        for r in pool(lab.folder / "class", "board").records
        if isinstance(r.answer, str) and r.item == "browser"
    ]
    assert len(said) == 3


def prediction_is_told_once(book, lab):
    cell = "choice_view("
    book.shot("tools-choice-before", cell)
    assert "dinosaurs" not in book.output(cell)
    book.button(cell, "(a)").click()
    book.wait_for(cell, "You chose (a); it is (b).")
    assert book.button(cell, "(b)").is_disabled()
    book.shot("tools-choice", cell)
    assert [
        (r.item, r.answer)
        for r in pool(lab.folder / "class", "prediction").records
        if r.item == "browser"
    ] == [("browser", 0)]


def rating_by_keyboard(book, lab):
    cell = "rating_view("
    shown = book.output(cell)
    assert "4 items in random order" in shown
    assert "SoLU" not in shown
    assert "firing" not in shown
    book.button(cell, "Start").click()
    for number in range(4):
        book.wait_for(cell, "firing number")
        assert "LU" not in book.output(cell)  # blinded
        book.wait_for(cell, f"{number} of 4 done")
        line = book.cell(cell).locator("input[placeholder='write, then Enter']")
        line.fill(f"rule {number}")
        line.press("Enter")
        book.wait_for(cell, "How clear is it?")
        if number == 1:
            book.shot("tools-rating", cell)
            book.button(cell, "2 · very").click()
            continue
        keys = book.cell(cell).locator("input[placeholder*='press digits']")
        keys.focus()
        if number == 2:  # a wrong key, and a step back by deleting
            book.page.keyboard.press("9")
            book.wait_for(cell, "The answer is a number from 0 to 2, not 9.")
            book.page.keyboard.press("Backspace")
            book.wait_for(cell, "Which rule explains it?")
            line.fill("another rule")
            line.press("Enter")
            book.wait_for(cell, "How clear is it?")
            keys.focus()
        book.page.keyboard.press("1")
    book.wait_for(cell, "Everything is rated")
    book.shot("tools-rating-done", cell)
    answers = {r.item: r.answer for r in pool(lab.folder / "class", "rating-browser").records}
    assert len(answers) == 4
    assert [answer["clear"] for answer in answers.values()] == [1, 2, 1, 1]
    assert [answer["rule"] for answer in answers.values()] == [
        "rule 0",
        "rule 1",
        "another rule",
        "rule 3",
    ]


def own_picture(book, tmp_path):
    cell = "picture_input("
    Image.fromarray(np.full((40, 60, 3), 200, dtype=np.uint8)).save(tmp_path / "grey.png")
    line = book.cell(cell).locator("input[type=text]")
    line.fill(str(tmp_path / "grey.png"))
    line.press("Enter")
    book.wait_for(cell, "a picture of (40, 60, 3)")
    (tmp_path / "letter.png").write_text("Dear reader")
    upload(book, cell, tmp_path / "letter.png")
    book.wait_for(cell, "is not a picture")
    Image.fromarray(np.full((50, 70), 200, dtype=np.uint8)).save(tmp_path / "other.jpg")
    upload(book, cell, tmp_path / "other.jpg")
    book.wait_for(cell, "a picture of (50, 70, 3)")
    line.fill("nowhere.png")
    line.press("Enter")
    book.wait_for(cell, "There is no file 'nowhere.png'")
    book.shot("tools-picture", cell)


def upload(book, cell, path):
    with book.page.expect_file_chooser() as chooser:
        book.button(cell, "Upload").click()
    chooser.value.set_files(path)
