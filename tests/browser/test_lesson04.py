"""Lesson 04 as a class uses it: move the weights of the slide's review by mouse and keyboard, type
a review, answer an exercise."""

from pathlib import Path

import pytest

LESSON = Path(__file__).resolve().parents[2] / "notebooks" / "04_attention_is_not_explanation.ipynb"
GAME, OWN, EXERCISE = "weigh_view(", "playground(both_ways", "check.jensen_shannon("


@pytest.mark.skipif(not LESSON.exists(), reason="lesson 04 is not written yet")
def test_a_class_in_lesson_04(open_notebook, lab):
    """Only the cells that the review needs, as the whole lesson takes minutes."""
    book = open_notebook(LESSON)
    book.run(
        "from helpers.attention import",
        "class Task",
        "imdb_model, imdb_words",
        "def open_review",
        GAME,
        OWN,
        EXERCISE,
        seconds=600,
    )
    move_the_weights(book)
    type_a_review(book)
    answer_an_exercise(book)
    assert not book.errors()


def move_the_weights(book):
    cell = book.cell(GAME)
    assert cell.get_by_role("button").count() >= 47 + 3
    first = book.picture(GAME)
    cell.get_by_role("button", name="theater").click()
    second = book.wait_new_picture(GAME, first)
    book.wait_for(GAME, "theater · 3")  # 30 % and what it had before
    book.shot("lesson04-game", GAME)
    book.press_slider(GAME, key="End")  # a click now moves everything
    kid = cell.get_by_role("button", name="kid")
    kid.focus()
    kid.press("Enter")  # by keyboard
    third = book.wait_new_picture(GAME, second)
    book.wait_for(GAME, "kid · 100 %")
    book.button(GAME, "One step back").click()
    assert book.wait_new_picture(GAME, third) == second
    book.button(GAME, "The model's own").click()
    assert book.wait_new_picture(GAME, second) == first
    book.shot("lesson04-game-own", GAME)


def type_a_review(book):
    first = book.picture(OWN)
    line = book.cell(OWN).locator("input[type=text]")
    for text, said in (
        ("", "The text is empty"),
        ("qwzx qwzx", "knows none of these 2 words"),
        ("good " * 2500, "2,500 words"),
    ):
        line.fill(text)
        line.press("Enter")
        book.wait_for(OWN, said)
    line.fill("a wonderful film with a boring start and a brilliant end")
    line.press("Enter")
    book.wait_new_picture(OWN, first, seconds=120)
    book.wait_gone(OWN, "2,500 words")
    book.shot("lesson04-own", OWN)


def answer_an_exercise(book):
    assert "not answered yet" in book.output(EXERCISE)
    stub = (
        "def divergence(p, q):\n    m = (p + q) / 2\n    return "
        "{}\n\ncheck.jensen_shannon(divergence)"
    )
    kl = "({0} * ({0}.clamp_min(1e-12).log() - m.clamp_min(1e-12).log())).sum()"
    assert "forget to halve" in book.rewrite(
        EXERCISE, stub.format(kl.format("p") + " + " + kl.format("q"))
    )
    assert "✓" in book.rewrite(EXERCISE, stub.format(f"({kl.format('p')} + {kl.format('q')}) / 2"))
