"""What the lessons cost at scale full: the table is complete, keeps its limits, and is shown."""

import json

import pytest

from helpers import doctor
from tests.authoring.costs import FILE, minutes
from tests.authoring.lessons import LESSONS

TABLE = json.loads(FILE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.number)
def test_a_lesson_fits_a_t4(lesson):
    cost = TABLE[lesson.name]
    assert cost["minutes"] == minutes(cost["kernels"], cost["operations"])
    assert cost["minutes"]["T4"] <= 15
    assert cost["gigabytes"] <= 12


def test_the_larger_of_operations_and_kernels_decides():
    assert minutes(kernels=6e6, operations=1e9) == {"T4": 1.0, "A100": 1.0, "CPU": 1.0}
    assert minutes(kernels=1, operations=2.4e14) == {"T4": 1.0, "A100": 0.41, "CPU": 80.0}


def test_check_prints_it(capsys, monkeypatch):
    monkeypatch.setattr(doctor, "unmet", lambda: ["torch"])  # what it says before an installation
    doctor.main([])
    shown = capsys.readouterr().out
    for cost in TABLE.values():
        assert f"an estimate: minutes {cost['minutes']['T4']:g} on T4" in shown
