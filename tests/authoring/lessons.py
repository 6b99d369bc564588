"""The lessons in one table.

The README, `check` and the slide map are written from it. Standard library only.
"""

from __future__ import annotations

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


LESSONS = (
    Lesson(
        "00_start_here",
        "How the course works, and why look inside a network at all",
        "D1-01 to D1-03, D2-01, D2-02",
        60,
        60,
        4,
    ),
    Lesson(
        "01_saliency_maps",
        "Which pixels matter: six saliency methods, written out and compared",
        "D1-04 to D1-06",
        60,
        120,
        4,
    ),
    Lesson(
        "02_clip_saliency",
        "Where a sentence finds its picture: saliency for CLIP",
        "D1-07, D1-08",
        60,
        120,
        4,
    ),
    Lesson(
        "03_saliency_limitations",
        "When a pretty map lies: sanity checks and scores for saliency",
        "D1-09, D1-10",
        75,
        150,
        4,
    ),
    Lesson(
        "04_attention_is_not_explanation",
        "Attention is not explanation: other weights, the same prediction",
        "D1-11 to D1-14",
        75,
        150,
        4,
    ),
    Lesson(
        "05_attention_is_not_not_explanation",
        "Attention is not not explanation: what a fair test looks like",
        "D1-15 to D1-20",
        75,
        150,
        4,
    ),
    Lesson(
        "06_provably_useful_xai",
        "Towards explanations that provably help somebody",
        "D1-21 to D1-24",
        60,
        90,
        4,
    ),
    Lesson(
        "07_superposition",
        "More features than neurons: superposition in toy models",
        "D2-02, D2-04 to D2-06",
        60,
        120,
        4,
    ),
    Lesson(
        "08_solu",
        "SoLU: an activation that asks neurons to mean one thing",
        "D2-03, D2-07 to D2-15",
        75,
        120,
        4,
    ),
    Lesson(
        "09_monosemanticity",
        "Taking features apart with a sparse autoencoder",
        "D2-16 to D2-21",
        75,
        150,
        4,
    ),
    Lesson(
        "10_interpretable_features",
        "Are the features interpretable? Ratings, and explain, simulate, score",
        "D2-22 to D2-25",
        75,
        120,
        4,
    ),
    Lesson(
        "11_feature_splitting",
        "One feature becomes several: dictionaries of three sizes",
        "D2-26 to D2-28",
        60,
        120,
        4,
    ),
)


def write(path: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
