"""What all recipes share: where a run writes, its checkpoint, size, device, and card."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

import torch
from torch import Tensor

from helpers.ground.artifacts import Checkpoint, load_artifact, save_artifact, write_atomically
from helpers.ground.runtime import current


@dataclass(frozen=True)
class Run:
    """One run of a recipe: `make(run)` writes the folder `run.out`, `measure(run)` reads it."""

    out: Path  # data/NAME, data/NAME-full, or a scratch folder for smoke
    scale: str = "small"  # "small" or "full"
    smoke: bool = False  # seconds only: shows that the code runs
    begun: float = field(default_factory=time.perf_counter)
    used: list[Checkpoint] = field(default_factory=list)  # to be forgotten once all is stored

    @property
    def name(self) -> str:
        """The recipe's name, without "-full"."""
        return self.out.name.removesuffix("-full")

    @property
    def device(self) -> torch.device:
        """Where to train: what `setup()` found, or COURSE_DEVICE."""
        return current().device

    @property
    def minutes(self) -> float:
        """Minutes since this run began, or went on from a checkpoint."""
        return round((time.perf_counter() - self.begun) / 60, 1)

    def pick(self, small, full, smoke):
        """The value for this run's size."""
        return smoke if self.smoke else small if self.scale == "small" else full

    def checkpoint(self, part: str = "") -> Checkpoint:
        """Where a killed run goes on. A smoke run keeps its own, beside what it writes."""
        name = f"{self.out.name}-{part}" if part else self.out.name
        root = self.out.parent / ".checkpoints" if self.smoke else None
        self.used.append(checkpoint := Checkpoint(name, root))
        return checkpoint

    def clear(self) -> None:
        """Forget the checkpoints: what they were for is stored."""
        for checkpoint in self.used:
            checkpoint.clear()

    def save(self, tensors: dict[str, Tensor], *, version: int, meta: dict, bits=None) -> None:
        """Store tensors and numbers in the run's folder; bits: of matrices to be rounded."""
        save_artifact(self.out, tensors, version=version, meta=meta, bits=bits)

    def load(self, *, version: int | None = None) -> tuple[dict[str, Tensor], dict]:
        """What lies in the run's folder."""
        return load_artifact(self.out, version=version)

    def card(self, text: str) -> None:
        """Write README.md beside the files: what, made how, on what, licences, metrics.

        How to read the files without the course is added from READING.md.
        """
        whole = f"{text.strip()}\n\n{reading(self.name).strip()}\n"
        write_atomically(self.out / "README.md", whole.encode())


def reading(name: str) -> str:
    """The end of a card: how to read the files of data/NAME without the course."""
    sections = (Path(__file__).parent / "READING.md").read_text(encoding="utf-8").split("\n## ")[1:]
    parts = (section.split("\n", 1) for section in sections)
    fit = [body for names, body in parts if any(fnmatchcase(name, n) for n in names.split())]
    return "## Reading the files without the course\n" + "\n".join(fit)


def table(columns: Mapping[str, Mapping[str, float]], digits: int = 3) -> str:
    """A Markdown table: a column a key of `columns`, a row a key of its values."""
    rows = list(dict.fromkeys(row for column in columns.values() for row in column))
    lines = [f"| | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for row in rows:
        cells = (column.get(row, "") for column in columns.values())
        shown = (cell if isinstance(cell, str) else f"{cell:.{digits}g}" for cell in cells)
        lines.append(f"| {row} | {' | '.join(shown)} |")
    return "\n".join(lines)
