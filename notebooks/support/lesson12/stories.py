"""Lesson 12: the slide's "Where is Sandra?" in many variants, of one length in tokens each."""

import random
from typing import NamedTuple

import torch
from torch import Tensor

from helpers.ground.errors import CourseError

PLACES = (
    "garden",
    "kitchen",
    "office",
    "bathroom",
    "bedroom",
    "park",
    "school",
    "library",
)
FIRST = (
    "John",
    "Mary",
    "Daniel",
    "David",
    "Paul",
    "Tom",
)  # a token each at a text's beginning
SECOND = (
    "Sandra",
    "Laura",
    "Emma",
    "Anna",
    "Sarah",
    "Julia",
)  # and these after a blank
PARTS = {  # positions of the tokens
    "1st person": [0],
    "travelled to the": [1, 2, 3],
    "1st place": [4],
    ".": [5],
    "2nd person": [6],
    "travelled to the ": [7, 8, 9],
    "2nd place": [10],
    ". ": [11],
    "Where is": [12, 13],
    "asked?": [14, 15],
    "asked": [16],
    "is in": [17, 18],
    "the": [19],
}
LENGTH = 20


class Story(NamedTuple):
    first: str  # a person
    second: str
    there: str  # where the first is
    here: str  # where the second is
    asked: str  # one of the two

    @property
    def text(self) -> str:
        a, b, p, q, who = self
        said = f"{a} travelled to the {p}. {b} travelled to the {q}."
        return f"{said} Where is {who}? {who} is in the"

    @property
    def answer(self) -> str:
        return self.here if self.asked == self.second else self.there

    @property
    def other(self) -> str:
        return self.there if self.asked == self.second else self.here


SLIDE = Story("John", "Sandra", "garden", "garden", "Sandra")  # D1-12


def draw(samples: int, seed: int) -> list[Story]:
    """Stories in pairs that differ in who is asked for alone: 2 · samples."""
    rng = random.Random(seed)
    found = []
    for _ in range(samples):
        a, b = rng.choice(FIRST), rng.choice(SECOND)
        p, q = rng.sample(PLACES, 2)
        found += [Story(a, b, p, q, b), Story(a, b, p, q, a)]
    return found


def encode(tokenizer, stories: list[Story], *, device="cpu") -> Tensor:
    """Token numbers (B, 20)."""
    rows = [tokenizer(story.text).input_ids for story in stories]
    for story, row in zip(stories, rows, strict=True):
        if len(row) != LENGTH:
            raise CourseError(f"'{story.text}' has {len(row)} tokens: take words of one token.")
    return torch.tensor(rows, device=device)


def number(tokenizer, word: str) -> int:
    """The token of a word after a blank."""
    ids = tokenizer(f" {word}").input_ids
    if len(ids) != 1:
        raise CourseError(f"The model has no single token for '{word}': take another word.")
    return ids[0]


class Places(NamedTuple):
    """Which columns of the places' logits (B, 8) belong to each story."""

    answer: Tensor  # (B,)
    other: Tensor  # (B,)
    named: Tensor  # (B, 8), True for the one or two that the story names


def places(stories: list[Story], *, device="cpu") -> Places:
    columns = [[PLACES.index(s.answer), PLACES.index(s.other)] for s in stories]
    answer, other = torch.tensor(columns, device=device).T
    named = torch.zeros(len(stories), len(PLACES), dtype=torch.bool, device=device)
    rows = torch.arange(len(stories), device=device)
    named[rows, answer] = True
    named[rows, other] = True
    return Places(answer, other, named)


def finding(logits: Tensor, at: Places) -> Tensor:
    """Mean logit of the places named minus that of the others: (B, 8) -> (B,)."""
    named = at.named.to(logits)
    inside = (logits * named).sum(1) / named.sum(1)
    return inside - (logits * (1 - named)).sum(1) / (1 - named).sum(1)


def choosing(logits: Tensor, at: Places) -> Tensor:
    """Logit of the asked person's place minus the other person's: (B, 8) -> (B,)."""
    right = logits.gather(1, at.answer[:, None])
    return (right - logits.gather(1, at.other[:, None]))[:, 0]


def edges(reader: str, read: str, *, device="cpu") -> Tensor:
    """The edges between two parts, (20, 20), True where a token of `reader` reads one of `read`."""
    cut = torch.zeros(LENGTH, LENGTH, dtype=torch.bool, device=device)
    for row in PARTS[reader]:
        cut[row, PARTS[read]] = True
    return cut


def place_of(pieces: list[str], word: str) -> int:
    """Where a word stands last among the tokens; else a CourseError lists them."""
    places = [i for i, piece in enumerate(pieces) if piece == word.strip()]
    if not places:
        raise CourseError(f"'{word}' is none of the tokens: {' | '.join(pieces)}")
    return places[-1]


def without(weights: Tensor, edges: Tensor) -> Tensor:
    """Attention weights (B, heads, T, T) when `edges` are cut; what is freed goes to the rest."""
    left = weights.masked_fill(edges, 0)
    return left / left.sum(-1, keepdim=True)
