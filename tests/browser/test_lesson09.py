"""Lesson 09 as a class uses it: move the arrows, mend the slide's code, write on the board."""

from pathlib import Path

import nbformat
import pytest

LESSON = Path(__file__).resolve().parents[2] / "notebooks" / "09_monosemanticity.ipynb"
IMPORTS = "from notebooks.support.lesson09 import checks"
STUB, ARROWS = "check.step(", "playground(lambda step=steps"
MODEL, SAMPLE, MEND = "model = transformer.load(", "inputs = ActivationBuffer(", "check.mend("
FAULTS = "09.silent-faults"


def solution() -> str:
    """The mended code as the lesson prints it."""
    text = next(
        cell.source
        for cell in nbformat.read(LESSON, as_version=4).cells
        if cell.cell_type == "markdown" and "# 1\n" in cell.source
    )
    return text.split("```python\n")[1].split("```")[0]


@pytest.mark.skipif(not LESSON.exists(), reason="lesson 09 is not written yet")
def test_a_class_in_lesson_09(open_notebook):
    book = open_notebook(LESSON)
    book.run(IMPORTS, STUB, ARROWS, MODEL, SAMPLE, MEND, FAULTS, seconds=600)
    assert book.check_widgets() >= 2
    move_the_arrows(book)
    mend_the_slide(book)
    write_on_the_board(book)
    assert not book.errors()


def mend_the_slide(book):
    """Wrong and half-mended first; each answer is a sentence, the lesson's own solution passes."""
    assert "0 of 8 mended" in book.output(MEND)
    book.wait_for(MEND, "is a word of the language")
    text = "slide = r'''\n{}'''\ncheck.mend(slide, acts_sample)"
    mended = solution()
    for old, new, said in (
        ("super().__init__()", "pass", "call super().__init__() first"),
        ("f.abs().sum(dim=-1).mean()", "ch.norm(f, 1)", "in one batch"),
        ("self.W_d.weight /= self.W_d.weight.norm(dim=0)", "pass", "divided by 10"),
        ("", "", "✓"),
    ):
        assert old in mended
        book.rewrite(MEND, text.format(mended.replace(old, new, 1) if old else mended))
        book.wait_for(MEND, said)
        book.shot(f"lesson09-mend-{said[:6].strip()}", MEND)
        assert "Traceback" not in book.output(MEND)


def move_the_arrows(book):
    """The figure follows the slider, here in an earlier step of the training."""
    first = book.picture(ARROWS)
    book.press_slider(ARROWS, key="ArrowLeft", times=3)
    book.wait_new_picture(ARROWS, first)
    book.shot("lesson09-arrows", ARROWS)


def write_on_the_board(book):
    book.cell(FAULTS).locator("textarea").fill("Read out: dead features, by the density")
    book.button(FAULTS, "Put it on the board").click()
    book.wait_for(FAULTS, "Read out: dead features, by the density")
    book.shot("lesson09-board", FAULTS)
