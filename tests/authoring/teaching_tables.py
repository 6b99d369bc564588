"""The map of both decks in `notebooks/TEACHING.md`, read from the notebooks themselves.

Slide to section, and lesson to slides. `python -m helpers home` and `record` write it. Standard
library only.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import NamedTuple

from tests.authoring.lessons import LESSONS, NOTEBOOKS, Lesson, write

MARKS = (
    "<!-- {0}: written by `python -m helpers home` -->\n",
    "<!-- /{0} -->",
)  # round what `stamped` writes
SLIDE = re.compile(r"\bD\d-\d\d\b")


def write_teaching(folder: Path = NOTEBOOKS) -> None:
    """Bring the generated parts of TEACHING.md up to date, if it is there."""
    path = folder / "TEACHING.md"
    if path.exists():
        write(path, stamped(path.read_text(encoding="utf-8")))


def stamped(text: str) -> str:
    """TEACHING.md with its two generated tables as they have to be now."""
    for name, part in (("slides", slide_table()), ("lessons", section_table())):
        begin, end = (mark.format(name) for mark in MARKS)
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}{part}\n{end}{rest.partition(end)[2]}"
    return text


def prose(lesson: Lesson) -> list[tuple[str, str]]:
    """(cell id, text) of a lesson's markdown cells; none where there is no notebook yet."""
    if not lesson.path.exists():
        return []
    cells = json.loads(lesson.path.read_text(encoding="utf-8"))["cells"]
    return [
        (cell.get("id", ""), "".join(cell["source"]))
        for cell in cells
        if cell["cell_type"] == "markdown"
    ]


def headings(text: str) -> list[str]:
    """The headings of a text in order, as a reader sees them.

    What stands in fenced code is none.
    """
    outside = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    return [
        re.sub(r"[*`]", "", found).strip()
        for found in re.findall(r"^#+ (.*)$", outside, flags=re.M)
    ]


def slides_of(lesson: Lesson) -> set[str]:
    """The slides that lessons.json gives to a lesson: "D1-04 to D1-06, D2-01" spelt out."""
    found = set()
    for part in lesson.slides.split(", "):
        first, last = SLIDE.findall(part)[0], SLIDE.findall(part)[-1]
        found |= {f"{first[:3]}{n:02}" for n in range(int(first[3:]), int(last[3:]) + 1)}
    return found


def titles() -> dict[str, tuple[str, list[str]]]:
    """{slide: (what it says, its lessons' numbers)}, in the decks' order, from slides.json."""
    says = json.loads((NOTEBOOKS / "slides.json").read_text(encoding="utf-8"))
    return {
        slide: (text, [lesson.number for lesson in LESSONS if slide in slides_of(lesson)])
        for slide, text in says.items()
    }


class Section(NamedTuple):
    """A heading of a lesson."""

    heading: str
    slides: list[str]  # that it names
    address: str  # by its cell's id: JupyterLab finds no heading with a letter outside ASCII


def sections(lesson: Lesson) -> list[Section]:
    """The headings of a lesson.

    Its title is the first, and stands for slides that no section names.
    """
    return [
        Section(heading, SLIDE.findall(heading), f"{lesson.name}.ipynb#cell-id={cell}")
        for cell, text in prose(lesson)
        for heading in headings(text)
    ]


def slide_table() -> str:
    """A line a slide: what it says, and the sections that run it."""
    rows, parts = (
        ["| slide | what it says | where in the course |", "|---|---|---|"],
        {one.number: sections(one) for one in LESSONS},
    )
    for slide, (says, numbers) in titles().items():
        links = []
        for number in numbers:
            here = [part for part in parts[number] if slide in part.slides] or parts[number][:1]
            links += [f"[{number}: {_short(part.heading)}]({part.address})" for part in here] or [
                f"{number} *(coming)*"
            ]
        rows.append(f"| {slide} | {says} | {' · '.join(links)} |")
    return "\n".join(rows)


def section_table() -> str:
    """A line a lesson: its minutes, and its sections with the slides they run."""
    rows = ["| lesson | minutes | sections and their slides |", "|---|---|---|"]
    for lesson in LESSONS:
        links = [
            f"[{_short(part.heading)}]({part.address}) {', '.join(part.slides)}"
            for part in sections(lesson)
            if part.slides
        ]
        title = f"[{lesson.number}]({lesson.name}.ipynb)" if lesson.path.exists() else lesson.number
        rows.append(f"| {title} | {lesson.minutes} | {' · '.join(links) or lesson.slides} |")
    return "\n".join(rows)


def _short(heading: str) -> str:
    """A heading without number, slides, and what would break a table's cell or a link."""
    plain = re.sub(r"^\d+ · ", "", re.sub(r"( ·)?( *D\d-\d\d,?)+$", "", heading))
    return re.sub(r"[|\[\]]", "", plain)
