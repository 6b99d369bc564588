"""Lesson 00 as a newcomer uses it: run all, answer an exercise wrong and right, predict, write on
the board, type a note."""

from pathlib import Path

from helpers.lesson.answers import pool

LESSON = Path(__file__).resolve().parents[2] / "notebooks" / "00_start_here.ipynb"
WRONG = """\
def auc(z, even):
    return (z[even][:, None] < z[~even][None, :]).float().mean()

check.auc(auc)"""
RIGHT = WRONG.replace("<", ">")
BROKEN = WRONG.replace("z[even]", "margins[even]")
VOTES = {  # prediction: the choice that is clicked, and what the page says then
    "00.which-reader": ("a", "You chose (a); it is (b)."),
    "00.clean-glass": ("a", "You chose (a), and so it is."),
    "00.never-learned": ("a", "You chose (a); it is (b)."),
    "00.units-off": ("d", "You chose (d); it is (a)."),
    "00.denial": ("c", "You chose (c); it is (b)."),
    "00.window": ("d", "You chose (d), and so it is."),
}


def test_a_newcomer_in_lesson_00(open_notebook, lab):
    """One page for everything, as the lesson takes a minute to run."""
    book = open_notebook(LESSON)
    stored = book.page.get_by_text("run this cell to use it]")
    stored.nth(2).wait_for()  # what a reader sees before anything runs
    book.shot("lesson00-stored", 'board_view(Board("00.shortcuts"')
    book.run_all(seconds=1200)
    assert not [line for line in book.texts() if line.startswith("✗")]
    assert sum(line.startswith("✓") for line in book.texts()) == 6  # the claims
    assert book.check_widgets() == len(VOTES) + 3  # the board, the three questions, a note
    book.shot("lesson00-run")
    answer_an_exercise(book)
    predict(book, lab)
    write_on_the_board(book, lab)
    type_a_note(book)
    assert not book.errors()


def answer_an_exercise(book):
    cell = "check.auc("
    book.wait_for(cell, "not answered yet")
    book.rewrite(cell, BROKEN)
    book.wait_for(cell, "NameError")
    assert "Traceback" not in book.output(cell)
    book.rewrite(cell, WRONG)
    book.wait_for(cell, "turn the comparison round")
    book.shot("lesson00-exercise-wrong", cell)
    book.rewrite(cell, RIGHT)
    book.wait_for(cell, "✓")
    assert "turn" not in book.output(cell)
    assert "not answered" not in book.output(cell)
    book.shot("lesson00-exercise-right", cell)


def predict(book, lab):
    for key, (choice, told) in VOTES.items():
        cell = f'"{key}"'
        assert "You chose" not in book.output(cell)
        book.button(cell, f"({choice})").click()
        book.wait_for(cell, told)
    book.shot("lesson00-vote", '"00.never-learned"')
    kept = {r.item: r.answer for r in pool(lab.folder / "class", "prediction").records}
    assert {key: kept[key] for key in VOTES} == {
        key: "abcd".index(choice) for key, (choice, _) in VOTES.items()
    }


def write_on_the_board(book, lab):
    cell = 'board_view(Board("00.shortcuts"'
    answer = "Rulers beside moles: the *dermatologist* would notice"
    assert "no answer yet" in book.output(cell)
    book.cell(cell).locator("textarea").fill(answer)
    book.button(cell, "Put it on the board").click()
    book.wait_for(cell, answer)
    book.shot("lesson00-board", cell)
    records = pool(lab.folder / "class", "board").records
    assert [r.answer for r in records if r.item.startswith("00")] == [answer]


def type_a_note(book):
    cell = "playground("
    first = book.picture(cell)
    line = book.cell(cell).locator("input[type=text]").first
    line.fill("woman in the 40s . has cough . no recent fever .")
    line.press("Enter")
    book.wait_new_picture(cell, first)
    book.shot("lesson00-note", cell)
