"""What the lessons cost at scale full: those that were counted keep their limits, and are shown."""

import json
from math import ceil

import pytest

from helpers import doctor
from tests.authoring.costs import FILE, minutes
from tests.authoring.lessons import LESSONS

TABLE = json.loads(FILE.read_text(encoding="utf-8"))


COUNTED = [lesson for lesson in LESSONS if lesson.name in TABLE]


@pytest.mark.parametrize("lesson", COUNTED, ids=lambda lesson: lesson.number)
def test_a_lesson_fits_a_t4(lesson):
    cost = TABLE[lesson.name]
    assert cost["minutes"] == minutes(cost["kernels"], cost["operations"], lesson.seconds)
    assert cost["minutes"]["T4"] <= 15
    assert cost["gigabytes"] <= 12


def test_the_larger_of_operations_and_kernels_decides():
    assert minutes(kernels=6e6, operations=1e9, host=60) == {"T4": 2.0, "A100": 2.0, "CPU": 2.0}
    assert minutes(kernels=1, operations=2.4e14, host=0) == {"T4": 1.0, "A100": 0.41, "CPU": 80.0}


def test_check_prints_it(capsys, monkeypatch):
    monkeypatch.setattr(doctor, "unmet", lambda: ["torch"])  # what it says before an installation
    doctor.main([])
    shown = capsys.readouterr().out
    for cost in TABLE.values():
        assert f"{ceil(cost['minutes']['T4'])} on T4" in shown
    assert shown.count("full, estimated") == len(TABLE) == len(COUNTED)
    assert "not measured on a GPU" in shown
