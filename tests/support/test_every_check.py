"""What holds for the exercises of all lessons, found by looking: an empty stub is not answered yet, a crash is one line."""

import importlib
import pkgutil

import pytest

from notebooks import support
from helpers.lesson.checks import UNANSWERED

CHECKS = {
    f"{module.name} {name}": check
    for module in pkgutil.iter_modules(support.__path__)
    if module.name.startswith("lesson")
    for name, check in vars(importlib.import_module(f"notebooks.support.{module.name}.checks")).items()
    if hasattr(check, "verdict")
}
TEXTS = {"lesson09 mend"}  # the answer is no function


def stub(*args): ...


def broken(*args):
    return args[0] / "text"


def test_they_are_found():
    assert len(CHECKS) >= 30 and set(CHECKS) > TEXTS


@pytest.mark.parametrize("name", CHECKS)
def test_a_stub_is_not_answered_yet(name):
    answers = (..., None) if name in TEXTS else (..., None, stub, lambda *args: None)
    assert [CHECKS[name].verdict(answer) for answer in answers] == [UNANSWERED] * len(answers)


@pytest.mark.parametrize("name", sorted(set(CHECKS) - TEXTS))
def test_a_crash_is_one_line(name):
    said = CHECKS[name].verdict(broken)
    assert "TypeError" in said and "\n" not in said
