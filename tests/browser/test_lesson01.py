"""Lesson 01 as a learner uses it: every control of the playground, a class by name, an exercise.

The cells that only draw figures of the lesson are left out: the page is about the widgets, and the
maps take a minute.
"""

import nbformat
import pytest

from tests.authoring import stamp as shared

LESSON = shared.ROOT / "notebooks" / "01_saliency_maps.ipynb"
NEEDED = (
    "import torch\n",
    "names = [",
    "def gradient(",
    "def noisy(",
    "def grad_cam(",
    "def integrated(",
    "ways = {",
    "def explain(",
    "play = playground(",
)
PLAY = "play = playground("
VOTES = {  # what the first choice is told
    "01.grain": "You chose (a); it is (b).",
    "01.noise": "You chose (a), and so it is.",
    "01.sixth": "You chose (a); it is (c).",
    "01.halves": "You chose (a); it is (b).",
}


@pytest.fixture
def book(open_notebook, tmp_path):
    """The lesson's own cells: set-up, the network, an exercise, what the playground needs."""
    lesson = nbformat.read(LESSON, as_version=4)
    lesson.cells = [
        cell
        for cell in lesson.cells
        if cell.cell_type == "code"
        and (
            "setup" in cell.metadata.get("tags", [])
            or any(text in cell.source for text in (*NEEDED, *VOTES))
        )
    ]
    assert len(lesson.cells) == 1 + len(NEEDED) + len(VOTES)
    nbformat.write(lesson, tmp_path / LESSON.name)
    book = open_notebook(tmp_path / LESSON.name)
    book.run_all(seconds=900)
    return book


def test_a_learner_plays(book):
    assert book.check_widgets() == 1 + len(VOTES)
    for key, told in VOTES.items():
        book.button(key, "(a)").click()
        book.wait_for(key, told)
    every_control(book)
    a_class_by_name(book)
    an_exercise(book)
    assert not book.errors()


def every_control(book):
    pictures, methods = (book.cell(PLAY).locator("select").nth(n) for n in (0, 1))
    shown = book.picture(PLAY)
    pictures.select_option("cat")
    shown = book.wait_new_picture(PLAY, shown, seconds=120)
    book.wait_for(PLAY, "Egyptian cat")
    for method in ("Gradient", "Guided BackProp", "SmoothGrad", "Integrated Gradients"):
        methods.select_option(method)
        shown = book.wait_new_picture(PLAY, shown, seconds=300)
        book.wait_for(PLAY, f"{method} for the class Egyptian cat")
    book.press_slider(PLAY, which=0)  # the second guess
    shown = book.wait_new_picture(PLAY, shown, seconds=120)
    book.wait_for(PLAY, "for the class tiger cat")
    book.press_slider(PLAY, which=1)  # some noise on the picture
    book.wait_new_picture(PLAY, shown, seconds=120)
    book.shot("lesson01-playground", PLAY)


def a_class_by_name(book):
    line, shown = book.cell(PLAY).locator("input[type=text]").first, book.picture(PLAY)
    line.fill("tabbi cat")
    line.press("Enter")
    book.wait_for(PLAY, "ImageNet has no class", seconds=120)
    assert "tabby cat" in book.output(PLAY)
    assert book.picture(PLAY) == shown  # the last good picture stays
    line.fill("tabby cat")
    line.press("Enter")
    book.wait_new_picture(PLAY, shown, seconds=120)
    book.wait_for(PLAY, "for the class tabby cat")


def an_exercise(book):
    cell = "check.grad_cam("
    assert "not answered yet" in book.output(cell)
    stub = (
        "def grad_cam(A, dA):\n    alpha = dA.mean(dim=(2, 3), keepdim=True)\n"
        "    return (alpha * A).sum(dim=1, keepdim=True){}\n\ncheck.grad_cam(grad_cam)"
    )
    assert "ReLU comes last" in book.rewrite(cell, stub.format(""))
    assert "✓" in book.rewrite(cell, stub.format(".relu()"))
