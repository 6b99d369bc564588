"""Lesson 00: its exercises, its figures, and its map of the slides.

The lesson's claims over five seeds (networks, scans and notes; Python 3.11, torch 2.15, one
thread): smallest and largest value, the bound, the claim.

    1.000 .. 1.000  > 0.95       Reader A: accuracy on new scans
    0.931 .. 0.966  > 0.9        Reader B: accuracy on the same scans
    0.261 .. 0.278  > 0.15       Share of reader A's gradient in the top left corner
    0.014 .. 0.021  < 0.06       Share of reader B's gradient in the same corner
    0.539 .. 0.573  < 0.7        Reader A without the smudge
    0.109 .. 0.196  < 0.35       Reader A with the smudge on the odd digits
    0.931 .. 0.963  > 0.9        Reader B without the smudge
    0.983 .. 1.000  > 0.93       Worst of the four orders: accuracy, with and without it alike
    1.000 .. 1.000  > 0.95       Fever direction on new notes
    0.502 .. 0.533  0.38 .. 0.62 Control: shuffled labels, mean of 20
    0.472 .. 0.516  0.4 .. 0.6   Control: the direction of cough
    0.514 .. 0.620  < 0.75       Control: untrained network
    0.007 .. 0.106  < 0.3        Fever units off: due swabs and blood tests that are still ordered
    0.884 .. 0.979  > 0.6        Control: the same with as many other units off
    0.992 .. 1.000  > 0.8        Fever units off: due scans and drips that are still ordered
    0.540 .. 0.645  < 0.82       Fever units off: a new fever direction
    0.938 .. 1.000  > 0.85       Fever units off: a new cough direction
    1.000 .. 1.000  > 0.9        Blood tests that are dropped when the fever is denied
    1.000 .. 1.000  > 0.95       Scans and drips that stay as they were
    0.984 .. 1.000  > 0.95       Right decisions with the cue inside the window (eight seeds)
    0.506 .. 0.714  < 0.82       Right decisions with the cue three words away (eight seeds)
"""

import re

import pytest
import torch

from helpers.ground import ROOT
from notebooks.support.lesson00 import checks as check
from notebooks.support.lesson00 import figures
from tests.authoring.lessons import LESSONS
from tests.authoring.stamp import link_lessons
from tests.notebook_cells import solved, sources

FOLDER = ROOT / "notebooks"
CELLS = sources("00")


# ---- the exercises: solutions pass, and each known mistake has its own line


def test_the_folded_solutions_are_right():
    space = solved("00")
    for name in ("share_inside", "balanced", "ablate"):
        assert getattr(check, name).verdict(space[name]) == "✓"


def ablate(hidden, units, usual):
    hidden = hidden.clone()
    hidden[:, units] = usual[units]
    return hidden


def in_place(hidden, units, usual):
    hidden[:, units] = usual[units]
    return hidden


def others(hidden, units, usual):
    kept = usual.expand_as(hidden).clone()
    kept[:, units] = hidden[:, units]
    return kept


SHARE = {
    "✓": lambda g, r, c: g.abs()[:, :, r, c].sum() / g.abs().sum(),
    "signs count": lambda g, r, c: g[:, :, r, c].sum() / g.sum(),
    "sum inside the box": lambda g, r, c: g.abs()[:, :, r, c].sum(),
    "outside the box": lambda g, r, c: (
        g.abs()[:, :, r, c].sum() / (g.abs().sum() - g.abs()[:, :, r, c].sum())
    ),
    "density": lambda g, r, c: g.abs()[:, :, r, c].mean() / g.abs().mean(),
    "goes to 100": lambda g, r, c: 100 * g.abs()[:, :, r, c].sum() / g.abs().sum(),
    "you square": lambda g, r, c: (g[:, :, r, c] ** 2).sum() / (g**2).sum(),
    "one number is expected": lambda g, r, c: g.abs()[:, :, r, c] / g.abs().sum(),
    "yours gives 0.3": lambda g, r, c: 0.3,
    "not the first one alone": lambda g, r, c: (
        g.abs()[:, :, r, c].sum((1, 2, 3)) / g.abs().sum((1, 2, 3)).clamp_min(1e-9)
    ).mean(),
    "not answered yet": lambda g, r, c: ...,
}
BALANCED = {
    "✓": lambda p, y: (p[y].float().mean() + (~p[~y]).float().mean()) / 2,
    "plain accuracy": lambda p, y: (p == y).float().mean(),
    "WITH the finding only": lambda p, y: p[y].float().mean(),
    "WITHOUT the finding only": lambda p, y: (~p[~y]).float().mean(),
    "precision": lambda p, y: y[p].float().mean(),
    "take their mean": lambda p, y: p[y].float().mean() + (~p[~y]).float().mean(),
    "yours gives 0.4": lambda p, y: (p[y].float().mean() + p[~y].float().mean()) / 2,
    "not answered yet": lambda p, y: None,
}
ABLATE = {
    "✓": ablate,
    "start with hidden.clone()": in_place,
    "OTHER units": others,
    "set the units to 0": lambda h, u, m: ablate(h, u, torch.zeros(4)),
    "every unit": lambda h, u, m: m.expand_as(h),
    "whole notes": lambda h, u, m: torch.stack([h[0], m]),
    "nothing changed": lambda h, u, m: h.clone(),
    "has (2, 2)": lambda h, u, m: h[:, u],
    "for units 1 and 3": lambda h, u, m: h + 1,
    "not answered yet": lambda h, u, m: ...,
}


@pytest.mark.parametrize(
    ("name", "answers"), [("share_inside", SHARE), ("balanced", BALANCED), ("ablate", ABLATE)]
)
def test_each_answer_gets_its_own_line(name, answers):
    verdict = getattr(check, name).verdict
    said = {expected: verdict(answer) for expected, answer in answers.items()}
    assert {expected: line for expected, line in said.items() if expected not in line} == {}
    assert len(set(said.values())) == len(said)
    assert all("\n" not in line for line in said.values())


def test_an_answer_that_raises_is_one_line():
    assert "IndexError" in check.ablate.verdict(lambda hidden, units, usual: hidden[:, 9])
    assert "cannot be called" in check.balanced.verdict(lambda predicted: predicted)


# ---- the figure, by what is plotted


def test_the_path_shows_units_by_words_and_votes_by_orders():
    windows, votes = torch.arange(6.0).reshape(3, 2), torch.tensor([[1.0, -2.0], [0.0, 4.0]])
    fig = figures.path(
        ["no", "fever", "."], windows, votes, [7, 9], ["swab: yes", "scan: no"], "A path."
    )
    left, right = fig.axes[:2]
    assert left.images[0].get_array().tolist() == windows.T.tolist()
    assert [label.get_text() for label in left.get_xticklabels()] == ["no", "fever", "."]
    assert [label.get_text() for label in left.get_yticklabels()] == ["unit 7", "unit 9"]
    assert [text.get_text() for text in right.texts] == ["+1", "+0", "-2", "+4"]
    assert right.images[0].get_clim() == (-4, 4)


# ---- the map of the slides


def slide_map() -> dict[str, str]:
    """{slide: what stands in the lesson column} from the lesson's two tables."""
    rows = [
        row
        for cell in CELLS
        if "## The map of both decks" in cell
        for row in re.findall(r"^\| (D[12]-.*?) \| .*? \| (.*?) \|$", cell, re.M)
    ]
    return {slide: lessons for slides, lessons in rows for slide in slides.split(", ")}


def test_the_map_has_every_slide_of_both_decks():
    first, second = range(1, 25), range(1, 29)
    slides = [f"D1-{n:02}" for n in first] + [f"D2-{n:02}" for n in second]
    assert list(slide_map()) == slides


def test_the_map_sends_each_slide_to_the_lesson_that_runs_it():
    def slides(lesson) -> set[str]:
        found = set()
        for part in lesson.slides.split(", "):
            first, _, last = part.partition(" to ")
            found |= {
                f"{first[:3]}{n:02}" for n in range(int(first[3:]), int((last or first)[3:]) + 1)
            }
        return found

    named = {
        slide: set(re.findall(r"\b\d\d\b(?=\]|,|$)", lessons))
        for slide, lessons in slide_map().items()
    }
    assert named == {
        slide: {lesson.number for lesson in LESSONS if slide in slides(lesson)} for slide in named
    }


def test_the_map_links_the_lessons_that_are_here_and_no_others():
    for slide, lessons in slide_map().items():
        for lesson in LESSONS:
            here = lesson.path.exists() and re.search(rf"\b{lesson.number}\b", lessons)
            linked = f"[{lesson.number}]({lesson.name}.ipynb)" in lessons
            assert linked == bool(here), (
                f"{slide}, lesson {lesson.number}: link it where it is here"
            )


def test_every_link_within_the_lessons_leads_somewhere():
    lines = [line for cell in CELLS for line in cell.splitlines()]
    headings = {line[3:].strip().replace(" ", "-") for line in lines if line.startswith("## ")}
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", "\n".join(CELLS)):
        file, _, heading = target.partition("#")
        assert (FOLDER / file).is_file() if file else heading in headings, target


def test_a_recorded_lesson_is_linked_in_the_map_and_nothing_else_is_touched():
    old = "| D2-02 | both views | 00, [06](06_provably_useful_xai.ipynb) |"
    assert link_lessons(old) == old.replace("00,", "[00](00_start_here.ipynb),")
    other = "| D1-03, … | the slide of a section, 00 of them |"
    assert link_lessons(other) == other
