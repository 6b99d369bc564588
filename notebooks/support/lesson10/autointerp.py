"""Automated interpretability: explain a unit in words, simulate it from these words, correlate.

A `Speaker` does both: here a baseline of counted tokens, and anything that talks (`Talker`). What
a speaker wrote for 48 units lies in data/explanations. Bricken et al. 2023, "Automated
Interpretability"; D2-23, D2-24. Shapes: T tokens; levels are activations as digits 0–9.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from scipy.stats import rankdata

from helpers.ground.artifacts import load_artifact
from notebooks.support.lesson10.units import Puzzle, Snippet

VERSION = 1  # of data/explanations


class Speaker(Protocol):
    """Who explains and simulates."""

    name: str

    def explain(self, shown: Sequence[Snippet]) -> str: ...

    def simulate(self, words: str, tokens: Sequence[int]) -> list[float]:
        """A number for each token of a snippet; only their order and spacing count."""


def spearman(true: Sequence[float], simulated: Sequence[float]) -> float:
    """Spearman's ρ of two lists. A simulation that never changes says nothing: 0."""
    ranks = rankdata(true), rankdata(simulated)
    return float(np.corrcoef(*ranks)[0, 1]) if min(map(np.ptp, ranks)) > 0 else 0.0


def score(speaker: Speaker, puzzle: Puzzle, words: str | None = None) -> float:
    """Explain → simulate → score; with `words` given, only the last two."""
    words = speaker.explain(puzzle.shown) if words is None else words
    true = sum((snippet.levels for snippet in puzzle.hidden), [])
    simulated = sum((speaker.simulate(words, snippet.tokens) for snippet in puzzle.hidden), [])
    return spearman(true, simulated)


class TokenTable:
    """The baseline: no language, only the mean level of each token in the examples."""

    name = "a table of tokens"

    def explain(self, shown: Sequence[Snippet]) -> str:
        levels = defaultdict(list)
        for snippet in shown:
            for token, level in zip(snippet.tokens, snippet.levels, strict=True):
                levels[token].append(level)
        otherwise = np.mean(sum(levels.values(), []))
        return json.dumps({t: np.mean(ls) for t, ls in levels.items()} | {"": otherwise})

    def simulate(self, words: str, tokens: Sequence[int]) -> list[float]:
        table = json.loads(words)
        return [table.get(str(token), table[""]) for token in tokens]


class Written(NamedTuple):
    """What a speaker wrote for one unit, and how strongly it fires on what was hidden."""

    kind: str  # "features" or "neurons"
    unit: int
    words: str
    places: list[int]  # of the hidden snippets in the held-out stream
    true: list[str]  # their digits, a text a snippet
    simulated: list[str]  # from the unit's own words
    swapped: list[str]  # from another unit's words

    @property
    def place(self) -> list[str]:
        """A simulation without any words: most at the seventh token, where snippets are drawn."""
        return ["000000900"[: len(line)] for line in self.true]

    def score(self, guess: str = "simulated", at: slice = slice(None)) -> float:
        """Spearman's ρ over hidden tokens, or over some `at` their places in the snippets.

        guess: "simulated", "swapped" or "place".
        """
        both = self.true, getattr(self, guess)
        return spearman(*([int(d) for line in lines for d in line[at]] for lines in both))


def stored() -> tuple[str, list[Written]]:
    """Who wrote data/explanations, and what for each unit."""
    meta = load_artifact("explanations", version=VERSION)[1]
    return meta["author"], [Written(**row) for row in meta["units"]]


class LanguageModel(Protocol):
    """All that is asked of a language model."""

    name: str

    def say(self, prompt: str) -> str:
        """A short answer."""

    def grade(self, prompt: str, lines: Sequence[str]) -> list[float]:
        """A number from 0 to 9 for each line."""


class Talker:
    """A language model as a speaker: two prompts, and nothing in them about which unit it is."""

    def __init__(self, model: LanguageModel):
        self.model, self.name = model, model.name

    def explain(self, shown: Sequence[Snippet]) -> str:
        texts = "\n".join(map(marked, shown))
        answer = self.model.say(
            "A unit in a network fires on some tokens of a text. They are marked <<like this|7>>, "
            f"with a strength from 1 to 9.\n\n{texts}\n\n"
            "In one short sentence: what do the marked tokens have in common?"
        )
        return " ".join(answer.split()) or "nothing was said"

    def simulate(self, words: str, tokens: Sequence[int]) -> list[float]:
        prompt = (
            f"A unit in a network fires on this: {words}\n\nFor each token of a text, how "
            "strongly does the unit fire, from 0 (not at all) to 9 (as strongly as it can)? "
            "Most tokens get 0."
        )
        return self.model.grade(prompt, Snippet(list(tokens), []).pieces)


def marked(snippet: Snippet, between: str = "") -> str:
    """A snippet as text, with <<token|digit>> where the unit fires."""
    pairs = zip(snippet.pieces, snippet.levels, strict=True)
    return between.join(f"<<{piece}|{level}>>" if level else piece for piece, level in pairs)
