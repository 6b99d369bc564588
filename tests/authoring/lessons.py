"""The lessons, as notebooks/lessons.json lists them.

The README and the slide map are written from it. Standard library only.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"


@dataclass(frozen=True)
class Lesson:
    name: str  # the notebook's file name without .ipynb
    title: str  # one line
    slides: str  # the slides it runs: D1 and D2 are the two decks
    minutes: int  # to work through
    seconds: int  # Run All at scale small on two quiet cores: the budget
    gigabytes: int  # memory it takes at most at scale small

    @property
    def number(self) -> str:
        return self.name[:2]

    @property
    def path(self) -> Path:
        return NOTEBOOKS / f"{self.name}.ipynb"


LESSONS = tuple(
    Lesson(**row) for row in json.loads((NOTEBOOKS / "lessons.json").read_text(encoding="utf-8"))
)


def write(path: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
