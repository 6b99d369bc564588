"""Each slot of TEACHING's sessions holds what is done in it; a lesson takes the minutes it says."""

import re

import pytest

from helpers.ground import ROOT
from tests.authoring import rehearsal
from tests.authoring.lessons import LESSONS, NOTEBOOKS

SLOTS = [
    pytest.param(slot, id=f"{session} {slot.at // 60}:{slot.at % 60:02}")
    for session, end in rehearsal.SESSIONS.items()
    for slot in rehearsal.slots(session, end)
]


@pytest.mark.parametrize("slot", SLOTS)
def test_a_slot_is_long_enough(slot):
    assert slot.needs <= slot.minutes


def test_what_a_slot_needs(tmp_path, monkeypatch):
    """Words, a figure, a vote, a question, and a lesson that has not run yet."""
    first = "| 0:00 | D1-01 | [00](00.ipynb), section 2 | vote, then the maps | x | Why? Who? |"
    later = "| 0:01 | D1-02 | [01](01.ipynb), section 1 | six minutes alone | x | |"
    (tmp_path / "TEACHING.md").write_text(f"\n## Session nine\n{first}\n{later}\n## The end\n")
    monkeypatch.setattr(rehearsal, "NOTEBOOKS", tmp_path)
    monkeypatch.setattr(rehearsal, "prose", lambda number: {1: 100, 2: 400})
    monkeypatch.setattr(rehearsal, "seconds", lambda number: 150)
    one, two = rehearsal.slots("Session nine", 10)
    assert one == (0, 1, "00", 2.0, 0.5, 1.5, 2.0, 0.0)
    assert two == (1, 9, "01", 0.5, 0.0, 6.0, 0.0, 1.5)
    assert rehearsal.slots("Session nine", 5)[1].needs > 4


def test_a_lessons_minutes_are_the_same_everywhere():
    minutes = {lesson.number: lesson.minutes for lesson in LESSONS}
    for lesson in LESSONS:
        page = (NOTEBOOKS / f"{lesson.name}.ipynb").read_text(encoding="utf-8")
        assert f"**about {lesson.minutes} minutes**" in page
    teaching = (NOTEBOOKS / "TEACHING.md").read_text(encoding="utf-8")
    at_home = re.findall(r"\b(\d\d) \((\d+)(?: minutes)?\)", teaching)
    assert len(at_home) == 5
    assert all(minutes[number] == int(said) for number, said in at_home)
    span = f"{min(minutes.values())} to {max(minutes.values())} minutes"
    assert f"a lesson takes {span}" in teaching
    assert f"| a lesson | {span}" in (ROOT / "README.md").read_text(encoding="utf-8")
