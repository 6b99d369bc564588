"""Lesson 04 as a class uses it: move the weights of the slide's review by mouse and keyboard, type
a review, answer an exercise."""

from pathlib import Path

import pytest

LESSON = Path(__file__).resolve().parents[2] / "notebooks" / "04_attention_is_not_explanation.ipynb"
GAME, REVIEW, EXERCISE = "weigh_view(", "REVIEW = ", "check.additive_attention("


@pytest.mark.skipif(not LESSON.exists(), reason="lesson 04 is not written yet")
def test_a_class_in_lesson_04(open_notebook, lab):
    """Only the cells that the review needs, as the whole lesson takes minutes."""
    book = open_notebook(LESSON)
    book.run(
        "from helpers.attention import",
        'models["IMDb"], words',
        REVIEW,
        "elsewhere = adversarial_attention",
        GAME,
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
    """The learner's own text in the place of the slide's, and the game on it."""
    source = "".join(book.model()[book.find(REVIEW)]["source"])
    end = source.index('anymore"""') + len('anymore"""')
    for text, said in (("", "The text is empty"), ("qwzx qwzx", "knows none of these 2 words")):
        book.rewrite(REVIEW, f'REVIEW = "{text}"{source[end:]}')
        assert said in str(book.errors_of(book.find(REVIEW)))
    mine = "a wonderful film with a boring start and a brilliant end"
    assert "P(positive)" in book.rewrite(REVIEW, f'REVIEW = "{mine}"{source[end:]}')
    book.run(GAME, seconds=120)
    book.button(GAME, "brilliant").click()
    book.wait_for(GAME, "brilliant · ")
    book.shot("lesson04-own", REVIEW)


def answer_an_exercise(book):
    assert "not answered yet" in book.output(EXERCISE)
    stub = (
        "def attend(h, W1, v, content):\n    scores = torch.tanh(h @ W1.T) @ v\n    return {}\n\n"
        "check.additive_attention(attend)"
    )
    assert "special tokens" in book.rewrite(EXERCISE, stub.format("scores.softmax(0)"))
    right = "scores.masked_fill(~content, -torch.inf).softmax(0)"
    assert "✓" in book.rewrite(EXERCISE, stub.format(right))
