"""Lesson 11's explorer as a person uses it: a feature by keyboard, a walk to a child and back, a
text, a mistake."""

import re
from pathlib import Path

import pytest

LESSON = Path(__file__).resolve().parents[2] / "notebooks" / "11_feature_splitting.ipynb"
EXPLORER = "feature_view("
WIDTHS = "playground(lambda width=64: figures.planes(world, *stages[width])"


@pytest.mark.skipif(not LESSON.exists(), reason="lesson 11 is not written yet")
def test_the_explorer(open_notebook):
    book = open_notebook(LESSON)
    book.run(
        "from notebooks.support.lesson11 import checks",
        "atlas = feature_browser.stored(",
        "root = max(ten",
        EXPLORER,
        seconds=600,
    )
    assert book.check_widgets() == 1
    title = start(book)
    pick_by_keyboard(book, title)
    walk_to_a_child_and_back(book)
    type_a_text(book)
    assert not book.errors()


def page_title(book) -> str:
    return (
        book.cell(EXPLORER)
        .locator(".jp-OutputArea-output b")
        .filter(has_text="A/")
        .first.inner_text()
    )


def start(book) -> str:
    book.wait_for(EXPLORER, "Strongest firings")
    book.shot("lesson11-start", EXPLORER)
    return page_title(book)


def pick_by_keyboard(book, title):
    number = book.cell(EXPLORER).locator("input[type=number]")
    number.focus()
    book.page.keyboard.press("ArrowUp")
    book.page.keyboard.press("Enter")
    after = f"A/0/{int(title.split('/')[-1]) + 1}"
    book.wait_for(EXPLORER, after)
    number.fill("100000")
    number.press("Enter")
    book.wait_for(EXPLORER, "There is no feature 100000")
    assert page_title(book) == after
    assert number.input_value() == after.split("/")[-1]


def walk_to_a_child_and_back(book):
    before = page_title(book)
    child = book.cell(EXPLORER).get_by_role("button", name="▼ child").first
    goal = child.inner_text().split("child")[1].split("·")[0].strip()
    child.focus()
    book.page.keyboard.press("Enter")
    book.page.wait_for_function(
        "goal => [...document.querySelectorAll('.course-view .jp-OutputArea-output b')].some(b => "
        "b.innerText === goal)",
        arg=goal,
    )
    assert page_title(book) == goal
    book.shot("lesson11-child", EXPLORER)
    book.button(EXPLORER, "One step back").click()
    book.page.wait_for_function(
        "goal => [...document.querySelectorAll('.course-view .jp-OutputArea-output b')].some(b => "
        "b.innerText === goal)",
        arg=before,
    )


def type_a_text(book):
    line = book.cell(EXPLORER).locator("input[type=text]")
    line.fill("Let \\( x \\) be a prime number.")
    line.press("Enter")
    book.cell(EXPLORER).locator(".widget-html-content code", has_text="prime").wait_for()
    offered = book.cell(EXPLORER).locator(".jp-Cell-outputWrapper select").last
    book.page.wait_for_function("select => select.options.length > 5", arg=offered.element_handle())
    offered.select_option(index=2)
    goal = re.search(r"A/\d/\d+", offered.locator("option").nth(2).text_content())[0]
    book.page.wait_for_function(
        "goal => [...document.querySelectorAll('.course-view .jp-OutputArea-output b')].some(b => "
        "b.innerText === goal)",
        arg=goal,
    )
    book.shot("lesson11-text", EXPLORER)


def test_a_wider_dictionary_of_the_toy_world(open_notebook):
    book = open_notebook(LESSON)
    toy = "from notebooks.support.lesson11 import checks", "def learn(world", WIDTHS
    book.run(*toy, seconds=300)
    first = book.picture(WIDTHS)
    handle = book.cell(WIDTHS).locator(".noUi-handle").first
    handle.focus()
    book.page.keyboard.press("ArrowRight")
    book.wait_new_picture(WIDTHS, first)
    book.wait_for(WIDTHS, "192")
    book.shot("lesson11-widths", WIDTHS)
    assert not book.errors()
