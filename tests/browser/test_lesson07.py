"""Lesson 07 as a class uses it: predict, move the sliders over the trained toys, answer an
exercise, write on the board."""

from pathlib import Path

import pytest

from helpers.lesson.answers import pool

LESSON = Path(__file__).resolve().parents[2] / "notebooks" / "07_superposition.ipynb"
VOTE, TOYS, SLIDERS, EXERCISE, FORK = (
    'choice_view("07.kept"',
    "toys = train_toys(",
    "playground(look",
    "check.dimensionality(",
    'board_view(Board("07.fork"',
)


@pytest.mark.skipif(not LESSON.exists(), reason="lesson 07 is not written yet")
def test_a_class_in_lesson_07(open_notebook, lab):
    """Only the cells that are used, as the whole lesson takes a minute."""
    book = open_notebook(LESSON)
    book.run(
        "from helpers.lesson import plots",
        VOTE,
        TOYS,
        SLIDERS,
        EXERCISE,
        FORK,
        seconds=900,
    )
    assert book.check_widgets() >= 3
    predict(book, lab)
    move_the_sliders(book)
    answer_an_exercise(book)
    write_on_the_board(book)
    assert not book.errors()


def predict(book, lab):
    assert "You chose" not in book.output(VOTE)
    book.button(VOTE, "(a)").click()
    book.wait_for(VOTE, "You chose (a); it is (c).")
    assert [
        r.answer for r in pool(lab.folder / "class", "prediction").records if r.item == "07.kept"
    ] == [0]


def move_the_sliders(book):
    seen = [book.picture(SLIDERS)]
    for which, key in ((0, "End"), (1, "ArrowLeft"), (0, "Home")):  # 0.97; importance 0.8; dense
        book.press_slider(SLIDERS, key=key, which=which)
        seen.append(book.wait_new_picture(SLIDERS, seen[-1]))
        book.shot(f"lesson07-sliders-{len(seen)}", SLIDERS)
    assert len(set(seen)) == 4
    assert "Error" not in book.output(SLIDERS)


def answer_an_exercise(book):
    assert "not answered yet" in book.output(EXERCISE)
    stub = (
        "def dimensionality_of(W):\n    norm = W.norm(dim=0)\n    overlap = {}\n    return norm "
        "** 2 / (overlap ** 2).sum(1)\n\n"
        "check.dimensionality(dimensionality_of)"
    )
    for overlap, said in (
        ("W.T @ W", "has to have length 1"),
        ("(W / nrm).T @ W", "NameError"),
        ("(W / norm).T @ W", "✓"),
    ):
        book.rewrite(EXERCISE, stub.format(overlap))
        book.wait_for(EXERCISE, said)
        assert "Traceback" not in book.output(EXERCISE)


def write_on_the_board(book):
    book.cell(FORK).locator("textarea").fill("Read out: the models are trained already")
    book.button(FORK, "Put it on the board").click()
    book.wait_for(FORK, "Read out: the models are trained already")
    book.shot("lesson07-fork", FORK)
