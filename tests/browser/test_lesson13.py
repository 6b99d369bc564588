"""Lesson 13 as a learner uses it: a prediction, and both exercises with a named mistake first."""

from pathlib import Path

LESSON = Path(__file__).resolve().parents[2] / "notebooks" / "13_real_features.ipynb"
TOPK, MATCHING = "check.topk(", "check.matching("


def test_a_learner_writes_topk_and_the_matching(open_notebook):
    book = open_notebook(LESSON)
    book.run("from dataclasses import replace", TOPK, MATCHING, seconds=120)
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
    assert not book.errors()
