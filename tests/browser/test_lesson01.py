"""Lesson 01's activities as a learner uses them: every control of the playground, a class by name,
and a picture of one's own.

The cells that only draw figures of the lesson are left out: the page is about the widgets, and the
maps take a minute.
"""

import nbformat
import numpy as np
import pytest
from PIL import Image

from tests.authoring import stamp as shared

LESSON = shared.ROOT / "notebooks" / "01_saliency_maps.ipynb"
NEEDED = (
    "from functools import partial",
    "def top_share(",
    "def explain(",
    "play = playground(",
    "def look(",
)
PLAY, OWN = "play = playground(", "picture_input(look"


@pytest.fixture
def book(open_notebook, tmp_path):
    """The lesson's own cells: set-up, the network, one exercise, the playground, the own
    picture."""
    lesson = nbformat.read(LESSON, as_version=4)
    lesson.cells = [
        cell
        for cell in lesson.cells
        if cell.cell_type == "code"
        and (
            "setup" in cell.metadata.get("tags", []) or any(text in cell.source for text in NEEDED)
        )
    ]
    assert len(lesson.cells) == 1 + len(NEEDED)
    nbformat.write(lesson, tmp_path / LESSON.name)
    book = open_notebook(tmp_path / LESSON.name)
    book.run_all(seconds=900)
    return book


@pytest.mark.skipif(not LESSON.exists(), reason="lesson 01 is not written yet")
def test_a_learner_plays(book, tmp_path):
    assert book.check_widgets() == 2
    every_control(book)
    a_class_by_name(book)
    own_picture(book, tmp_path)
    an_exercise(book)
    assert not book.errors()


def every_control(book):
    pictures, methods = (
        book.cell(PLAY).locator("select").nth(0),
        book.cell(PLAY).locator("select").nth(1),
    )
    shown = book.picture(PLAY)
    pictures.select_option("cat")
    shown = book.wait_new_picture(PLAY, shown, seconds=120)
    book.wait_for(PLAY, "Egyptian cat")
    for method in (
        "Gradient",
        "Guided BackProp",
        "SmoothGrad",
        "Integrated Gradients",
        "Guided Grad-CAM",
    ):
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


def own_picture(book, tmp_path):
    (tmp_path / "notes.jpg").write_text("This is no picture.\n", encoding="utf-8")
    turned = Image.fromarray(np.random.default_rng(0).integers(0, 255, (300, 200, 4), np.uint8))
    turned.save(tmp_path / "own.png")
    shown, line = book.picture(OWN), book.cell(OWN).locator("input[type=text]").first
    line.fill(str(tmp_path / "notes.jpg"))
    line.press("Enter")
    book.wait_for(OWN, "notes.jpg is not a picture", seconds=120)
    assert book.picture(OWN) == shown
    line.fill(str(tmp_path / "own.png"))
    line.press("Enter")
    book.wait_new_picture(OWN, shown, seconds=120)
    book.shot("lesson01-own", OWN)


def an_exercise(book):
    cell = "check.top_share("
    assert "not answered yet" in book.output(cell)
    stub = (
        "def top_share(m, part):\n    s = {}.flatten().sort(descending=True).values\n"
        "    return float(s[:int(part * len(s))].sum() / s.sum())\n\ncheck.top_share(top_share)"
    )
    assert "the channels cancel" in book.rewrite(cell, stub.format("m.sum(0).abs()"))
    assert "✓" in book.rewrite(cell, stub.format("m.abs().sum(0)"))
