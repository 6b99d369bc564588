"""Lesson 02 as a class uses it: own questions in the playground, own picture, an exercise, a
question that fools the model."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

LESSON = Path(__file__).resolve().parents[2] / "notebooks" / "02_clip_saliency.ipynb"
PLAYGROUND, PICTURE, BOARD = "playground(ask", "picture_input(whose", "board_view(Board"


@pytest.mark.skipif(not LESSON.exists(), reason="lesson 02 is not written yet")
def test_a_class_in_lesson_02(open_notebook, lab, tmp_path):
    """One page for everything, and only the cells that it needs: nbval runs them all."""
    book = open_notebook(LESSON)
    book.run(
        "model, preprocess, tokenizer = clip.load(",
        "scene, names = score.two_things(10)[9]",
        "people = scenes.sample(1, 192",
        "check.deck_map(",
        "methods = score.methods(model)",
        PLAYGROUND,
        PICTURE,
        BOARD,
    )
    ask_in_the_playground(book)
    answer_an_exercise(book)
    bring_a_picture(book, tmp_path)
    fool_the_model(book, lab)
    assert not book.errors()


def ask_in_the_playground(book):
    first = book.picture(PLAYGROUND)
    line = book.cell(PLAYGROUND).locator("input[type=text]").first
    line.fill("Who cooks dinner?")
    line.press("Enter")
    second = book.wait_new_picture(PLAYGROUND, first, seconds=120)
    book.cell(PLAYGROUND).locator("select").nth(1).select_option("relevance")
    third = book.wait_new_picture(PLAYGROUND, second, seconds=120)
    book.cell(PLAYGROUND).locator("select").first.select_option("three people")
    book.wait_new_picture(PLAYGROUND, third, seconds=120)
    book.shot("lesson02-playground", PLAYGROUND)
    line.fill("a dog and " * 300)
    line.press("Enter")
    book.wait_for(PLAYGROUND, "The query has 900 words", seconds=60)
    line.fill("a dog")
    line.press("Enter")
    book.wait_gone(PLAYGROUND, "The query has 900 words", seconds=60)


def answer_an_exercise(book):
    cell = "check.deck_map("
    assert "not answered yet" in book.output(cell)
    stub = """def deck_map(gains, boxes, size):
    S = torch.zeros(size, size)
    for gain, (left, top, right, bottom) in zip(gains, boxes.tolist(), strict=True):
        S[top:bottom, left:right] {} gain
    return S

check.deck_map(deck_map)"""
    assert "do not set" in book.rewrite(cell, stub.format("="))
    assert "✓" in book.rewrite(cell, stub.format("+="))


def bring_a_picture(book, tmp_path):
    first = book.picture(PICTURE)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (300, 400, 3), dtype=np.uint8)).save(
        tmp_path / "own.png"
    )
    (tmp_path / "letter.png").write_text("Dear reader")
    line = book.cell(PICTURE).locator("input[type=text]")
    line.fill(str(tmp_path / "letter.png"))
    line.press("Enter")
    book.wait_for(PICTURE, "is not a picture", seconds=60)
    line.fill(str(tmp_path / "own.png"))
    line.press("Enter")
    book.wait_new_picture(PICTURE, first, seconds=120)
    book.shot("lesson02-picture", PICTURE)


def fool_the_model(book, lab):
    cell = BOARD
    book.cell(cell).locator("select").select_option("a negation")
    book.cell(cell).locator("textarea").fill(
        "'no lion' on lion and ghost: the captions never deny anything"
    )
    book.page.keyboard.press("Tab")
    book.button(cell, "Put it on the board").click()
    book.wait_for(cell, "the captions never deny anything")
    book.shot("lesson02-board", cell)
