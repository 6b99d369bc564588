"""Lesson 13 as a learner uses it: a prediction, and its exercises with a named mistake first."""

from pathlib import Path

LESSON = Path(__file__).resolve().parents[2] / "notebooks" / "13_real_features.ipynb"
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
