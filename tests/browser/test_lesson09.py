"""Lesson 09 as a class uses it: mend the slide's code, watch a dictionary train, take an ingredient
away, write on the board."""

from pathlib import Path

import nbformat
import pytest

LESSON = Path(__file__).resolve().parents[2] / "notebooks" / "09_monosemanticity.ipynb"
MODEL, MEND, TRAIN, FAULTS = (
    "model = transformer.load(",
    "check.mend(",
    "draw.density(",
    "09.silent-faults",
)


def solution() -> str:
    """The mended code as the lesson prints it."""
    text = next(
        cell.source
        for cell in nbformat.read(LESSON, as_version=4).cells
        if cell.cell_type == "markdown" and "1: a name that is free" in cell.source
    )
    return text.split("```python\n")[1].split("```")[0]


@pytest.mark.skipif(not LESSON.exists(), reason="lesson 09 is not written yet")
def test_a_class_in_lesson_09(open_notebook):
    book = open_notebook(LESSON)
    book.run("from notebooks.support.lesson09 import checks", MODEL, MEND, FAULTS, seconds=600)
    assert book.check_widgets() >= 1
    mend_the_slide(book)
    watch_it_train(book)
    write_on_the_board(book)
    assert not book.errors()


def mend_the_slide(book):
    """Wrong and half-mended first; each answer is a sentence, the lesson's own solution reaches
    nine."""
    assert "0 of 9 mended" in book.output(MEND)
    book.wait_for(MEND, "is a word of the language")
    text, mended = (
        "inputs = ActivationBuffer(model, rows[:2500])\nacts_sample = inputs.sample(2048, "
        "seed=0)\nslide = r'''\n{}'''\ncheck.mend(slide, acts_sample)",
        solution(),
    )
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


def watch_it_train(book):
    """The figure under the cell is replaced while the loop still runs."""
    seen = [book.picture(TRAIN)]  # the stored last frame
    book.start(TRAIN)
    for number in range(4):
        seen.append(book.wait_new_picture(TRAIN, seen[-1], seconds=120))
        book.shot(f"lesson09-training-{number}", TRAIN)
    book.wait_idle(300)
    assert len(set(seen)) >= 4
    assert book.cell(TRAIN).locator(".jp-OutputArea-output img").count() == 1, (
        "only the last frame stays"
    )


def write_on_the_board(book):
    book.cell(FAULTS).locator("textarea").fill("Read out: dead features, by the density")
    book.button(FAULTS, "Put it on the board").click()
    book.wait_for(FAULTS, "Read out: dead features, by the density")
    book.shot("lesson09-board", FAULTS)
