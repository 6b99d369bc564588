"""Lesson 00: its exercises, its figures, and its map of the slides.

The lesson's claims over five seeds (networks, scans and notes; Python 3.11, torch 2.15, one thread), smallest and largest:

    Reader A: accuracy on new scans                                                          1.000 .. 1.000   > 0.95
    Reader B: accuracy on the same scans                                                     0.931 .. 0.966   > 0.9
    Share of reader A's gradient in the top left corner                                      0.261 .. 0.278   > 0.15
    Share of reader B's gradient in the same corner                                          0.014 .. 0.021   < 0.06
    Reader A without the smudge                                                              0.539 .. 0.573   < 0.7
    Reader A with the smudge on the odd digits                                               0.109 .. 0.196   < 0.35
    Reader B without the smudge                                                              0.931 .. 0.963   > 0.9
    Worst of the four orders: accuracy, notes with and without the order counted alike       0.983 .. 1.000   > 0.93
    Fever direction on new notes                                                             1.000 .. 1.000   > 0.95
    Control: shuffled labels, mean of 20                                                     0.502 .. 0.533   0.38 .. 0.62
    Control: the direction of cough                                                          0.472 .. 0.516   0.4 .. 0.6
    Control: untrained network                                                               0.514 .. 0.620   < 0.75
    Fever units off: due swabs and blood tests that are still ordered                        0.007 .. 0.106   < 0.3
    Control: the same with as many other units off                                           0.884 .. 0.979   > 0.6
    Fever units off: due scans and drips that are still ordered                              0.992 .. 1.000   > 0.8
    Fever units off: a new fever direction                                                   0.540 .. 0.645   < 0.82
    Fever units off: a new cough direction                                                   0.938 .. 1.000   > 0.85
    Blood tests that are dropped when the fever is denied                                    1.000 .. 1.000   > 0.9
    Scans and drips that stay as they were                                                   1.000 .. 1.000   > 0.95
    Right decisions with the cue inside the window (eight seeds)                             0.984 .. 1.000   > 0.95
    Right decisions with the cue three words away (eight seeds)                              0.506 .. 0.714   < 0.82
"""

import json
import re
from pathlib import Path

import pytest
import torch

from notebooks.support.lesson00 import checks as check
from notebooks.support.lesson00 import figures
from tests.authoring.lessons import LESSONS
from tests.authoring.stamp import link_lessons

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
CELLS = [
    "".join(cell["source"])
    for cell in json.loads((FOLDER / "00_start_here.ipynb").read_text(encoding="utf-8"))["cells"]
]


# ---- the exercises: solutions pass, and each known mistake has its own line


def solutions() -> dict:
    """The functions in the lesson's own folded solutions, by name."""
    space: dict = {}
    for cell in CELLS:
        for block in re.findall(r"<summary>Solution.*?```python\n(.*?)```", cell, re.S):
            exec(block, space)
    return space


def test_the_folded_solutions_are_right():
    space = solutions()
    assert check.share_inside.verdict(space["share_inside"]) == "✓"
    assert check.balanced.verdict(space["balanced"]) == "✓"
    assert check.ablate.verdict(space["ablate"]) == "✓"


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
    "verdict, answers",
    [
        (check.share_inside.verdict, SHARE),
        (check.balanced.verdict, BALANCED),
        (check.ablate.verdict, ABLATE),
    ],
    ids=["share_inside", "balanced", "ablate"],
)
def test_each_answer_gets_its_own_line(verdict, answers):
    said = {expected: verdict(answer) for expected, answer in answers.items()}
    assert {expected: line for expected, line in said.items() if expected not in line} == {}
    assert len(set(said.values())) == len(said) and all("\n" not in line for line in said.values())


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
    assert list(slide_map()) == [f"D1-{n:02}" for n in range(1, 25)] + [
        f"D2-{n:02}" for n in range(1, 29)
    ]


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
            link = f"[{lesson.number}]({lesson.name}.ipynb)"
            if lesson.path.exists() and re.search(rf"\b{lesson.number}\b", lessons):
                assert link in lessons, (
                    f"{slide}: lesson {lesson.number} is here; write {link} in lesson 00's map"
                )
            if not lesson.path.exists():
                assert link not in lessons, (
                    f"{slide}: lesson {lesson.number} is not here; write {lesson.number} without a link"
                )


def test_every_link_within_the_lessons_leads_somewhere():
    headings = {
        re.sub(r" ", "-", line[3:].strip())
        for cell in CELLS
        for line in cell.splitlines()
        if line.startswith("## ")
    }
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", "\n".join(CELLS)):
        assert (
            target[1:] in headings
            if target.startswith("#")
            else (FOLDER / target.partition("#")[0]).is_file()
        ), target


def test_a_recorded_lesson_is_linked_in_the_map_and_nothing_else_is_touched():
    assert link_lessons("| D2-02 | both views | 00, [06](06_provably_useful_xai.ipynb) |") == (
        "| D2-02 | both views | [00](00_start_here.ipynb), [06](06_provably_useful_xai.ipynb) |"
    )
    assert (
        link_lessons("| D1-03, … | the slide of a section, 00 of them |")
        == "| D1-03, … | the slide of a section, 00 of them |"
    )
