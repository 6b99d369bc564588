"""Lesson 05 as a class uses it: another model and another note, an exercise, and the board."""

from pathlib import Path

import pytest

LESSON = (
    Path(__file__).resolve().parents[2] / "notebooks" / "05_attention_is_not_not_explanation.ipynb"
)


@pytest.mark.skipif(not LESSON.exists(), reason="lesson 05 is not written yet")
def test_a_class_in_lesson_05(open_notebook, lab):
    book = open_notebook(LESSON)
    book.run("import ipywidgets as widgets", "check.uniform_weights(")
    assert "not answered yet" in book.output("check.uniform_weights(")
    for answer, said in (
        ("content / content.shape[1]", "the width of the batch"),
        ("content / content.sum(-1, keepdim=True)", "✓"),
    ):
        book.rewrite(
            "check.uniform_weights(",
            f"def uniform_weights(content):\n    return "
            f"{answer}\n\ncheck.uniform_weights(uniform_weights)",
        )
        book.wait_for("check.uniform_weights(", said)

    book.run('size = sizes["findings"]', "playground(look", seconds=600)
    first = book.picture("playground(look")
    book.shot("lesson05-adversary", "playground(look")
    book.cell("playground(look").locator("select").select_option("seed 50")
    second = book.wait_new_picture("playground(look", first)
    book.press_slider("playground(look", times=3)  # another note
    book.wait_new_picture("playground(look", second)
    book.shot("lesson05-another-note", "playground(look")

    book.run('choice_view("05.finding"', 'choice_view("05.adversary"', "05.may-explain")
    assert book.check_widgets() >= 2
    board = book.cell("05.may-explain")
    board.locator("textarea").first.fill("The second reader is the faithful one")
    board.get_by_role("button", name="Put it on the board").first.click()
    book.wait_for("05.may-explain", "The second reader is the faithful one")
    assert not book.errors()
