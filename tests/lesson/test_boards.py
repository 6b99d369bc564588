"""A board keeps what was said, shows it together, and lets no answer become markup."""

import html
import re

import mistune
import pytest

from helpers.ground.errors import CourseError
from helpers.lesson import answers as store_module
from helpers.lesson.answers import Store, pool
from helpers.lesson.boards import Board, as_typed, on_the_board


def test_answers_are_kept_and_shown_together(tmp_path):
    board = Board("00.why", "Why look inside?", folder=tmp_path)
    assert board.export() == "### Why look inside?\n\n*no answer yet*\n"
    board.answer("  Because it was right for the wrong reason. ")
    board.answer("To trust it.")
    Board("00.other", "Else?", folder=tmp_path).answer("elsewhere")
    again = Board("00.why", "Why look inside?", folder=tmp_path)
    assert again.export().endswith("- Because it was right for the wrong reason.\n- To trust it.\n")
    assert len(again.answers()) == 2
    assert again.save().read_text(encoding="utf-8") == again.export()
    assert again.save().name == "board-00-why.md"


def test_seats(tmp_path):
    board = Board("k", "For or against?", seats=("for", "against"), folder=tmp_path)
    board.answer("no", seat="against")
    board.answer("yes")  # the first seat where none is named
    assert re.findall(r"\*\*(\w+)\*\*\n\n- (\w+)", board.export()) == [
        ("for", "yes"),
        ("against", "no"),
    ]
    with pytest.raises(CourseError, match="no seat 'elsewhere'.*for, against"):
        board.answer("maybe", seat="elsewhere")


def test_an_empty_answer_and_nothing_to_take_back_get_a_sentence(tmp_path):
    board = Board("k", "?", folder=tmp_path)
    with pytest.raises(CourseError, match="empty"):
        board.answer(" \n ")
    with pytest.raises(CourseError, match="no answer of yours"):
        board.take_back()


def test_taking_back_hides_the_last_own_answer_only(tmp_path):
    Board("k", "?", folder=tmp_path / "them").answer("theirs")
    (theirs,) = (tmp_path / "them").glob("board-*.jsonl")
    board = Board("k", "?", folder=tmp_path / "us")
    board.answer("first")
    board.answer("sceond")
    (tmp_path / "us" / theirs.name).write_bytes(theirs.read_bytes())  # a colleague's, put beside
    board.take_back()
    board.answer("second")
    assert sorted(answer.answer for answer in board.answers()) == ["first", "second", "theirs"]
    assert len(Store("board", tmp_path / "us").records()) == 4  # the file forgets nothing
    pooled = on_the_board(pool(tmp_path, "board").records, "k")
    assert sorted(answer.answer for answer in pooled) == ["first", "second", "theirs"]


def test_a_full_disk_and_a_foreign_answer_do_not_empty_the_board(tmp_path, monkeypatch):
    def full(path, lines):
        raise OSError(28, "No space left on device")

    board = Board("k", "?", folder=tmp_path)
    board.answer("one")
    monkeypatch.setattr(store_module, "_append", full)
    board.answer("two")
    board.store.add("k", "", 3)  # not text: another activity wrote here
    assert [answer.answer for answer in board.answers()] == ["one", "two"]
    assert "disk is full" in board.store.trouble


def test_saving_where_nothing_can_be_saved(tmp_path):
    (tmp_path / "class").write_text("in the way")
    board = Board("k", "?", folder=tmp_path / "class")
    board.answer("kept")
    with pytest.raises(CourseError, match="cannot be written.*answers are kept"):
        board.save()
    assert [answer.answer for answer in board.answers()] == ["kept"]


NASTY = [
    "# heading",
    "- item",
    "+ item",
    "1. one",
    "12) twelve",
    "> quote",
    "*stars* and _lines_",
    "`code`",
    "```\nfence\n```",
    "[link](https://example.org)",
    "![image](x.png)",
    "<script>alert(1)</script>",
    "<b>bold</b>",
    "a | b",
    "~~gone~~",
    "$x^2$ costs $5",
    "back\\slash \\* star",
    "&amp; &lt;",
    "===",
    "---",
    "***",
    "    four spaces",
    "two\nlines",
    "two\n\nparagraphs",
    "\ttab",
    "www & co",
    "| --- | --- |",
    "[x] done",
    "[ref]: https://example.org",
]


PLUGINS = ["table", "strikethrough", "task_lists", "math", "footnotes"]


@pytest.mark.parametrize("text", NASTY)
def test_no_answer_becomes_markup(text):
    """Read by nbconvert's Markdown parser, extensions on: one plain item, as it was typed."""
    parse = mistune.create_markdown(renderer="ast", plugins=PLUGINS)
    (bullets,) = parse(f"- {as_typed(text)}\n")
    (item,) = bullets["children"]
    (block,) = item["children"]
    assert (bullets["type"], item["type"], block["type"]) == ("list", "list_item", "block_text")
    parts = block["children"]
    assert {part["type"] for part in parts} <= {"text", "inline_html"}
    shown = [part["raw"].replace("<br>", "\n") for part in parts]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    assert html.unescape("".join(shown)) == "\n".join(lines)
    assert "$" not in as_typed(text)  # Jupyter reads formulas before Markdown
