"""What holds for the exercises of all lessons, found by looking: an empty stub is not answered yet,
a crash is one line."""

import importlib
import pkgutil

import pytest

from helpers.lesson.checks import UNANSWERED
from notebooks import support

CHECKS = {}
for lesson in pkgutil.iter_modules(support.__path__):
    checks = importlib.import_module(f"notebooks.support.{lesson.name}.checks")
    for name, check in vars(checks).items():
        if hasattr(check, "verdict"):
            CHECKS[f"{lesson.name} {name}"] = check
TEXTS = {"lesson09 mend"}  # the answer is no function


def stub(*args): ...


def broken(*args):
    return args[0] / "text"


def test_they_are_found():
    assert len(CHECKS) >= 30
    assert set(CHECKS) > TEXTS


@pytest.mark.parametrize("name", CHECKS)
def test_a_stub_is_not_answered_yet(name):
    answers = (..., None) if name in TEXTS else (..., None, stub, lambda *args: None)
    asked = 3 if name == "lesson07 toy" else 1  # three functions at once
    found = [CHECKS[name].verdict(*[answer] * asked) for answer in answers]
    assert found == [UNANSWERED] * len(answers)


@pytest.mark.parametrize("name", sorted(set(CHECKS) - TEXTS))
def test_a_crash_is_one_line(name):
    said = CHECKS[name].verdict(broken)
    assert "TypeError" in said
    assert "\n" not in said
