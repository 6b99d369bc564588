"""Automated interpretability: explain a unit in words, simulate it from these words, correlate.

A `Speaker` does both. Here are a baseline of counted tokens and anything that talks (`Talker`);
people go through the course's rating view, and `notebooks.support.lesson10.explainers` brings
language models. Bricken et al. 2023, "Automated Interpretability"; D2-23, D2-24.
Shapes: R rows of T tokens; levels are activations as digits 0–9.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor

from helpers.datasets import corpus
from helpers.sae.features import Examples

BEFORE, AFTER = 6, 2  # a snippet is nine tokens, as in the paper; it is about the seventh
SEEN = 12  # snippets that a language model reads to explain a unit; small ones lose the thread


class Snippet(NamedTuple):
    """Nine tokens of text and how strongly the unit fires on each."""

    tokens: list[int]
    levels: list[int]  # 0–9

    @property
    def pieces(self) -> list[str]:
        """The tokens as printable strings."""
        strings = corpus.token_strings()
        return [strings[token].replace("\n", "↵") or "·" for token in self.tokens]


class Case(NamedTuple):
    """One unit as a puzzle: explain it from `shown`, then simulate `hidden`, never seen before."""

    shown: list[Snippet]  # ten of the strongest firings, two from each of twelve intervals
    hidden: list[Snippet]  # the next ten, one more from each interval, twenty random places
    candidates: list[int]  # twenty tokens, mixed: ten that the unit raises most, ten at random
    raised: list[bool]  # which is which


class Speaker(Protocol):
    """Who explains and simulates."""

    name: str

    def explain(self, shown: Sequence[Snippet]) -> str: ...

    def simulate(self, explanation: str, snippets: Sequence[Sequence[int]]) -> list[list[float]]:
        """A number for each token of each snippet; only their order and spacing count."""

    def raises(self, explanation: str, candidates: Sequence[int]) -> list[float]:
        """How sure it is that the unit makes each token more likely to come next."""


def quantise(acts: Tensor, largest: float) -> Tensor:
    """Activations as digits: ten equal intervals between 0 and the unit's maximum, numbered 0–9."""
    return (acts / largest * 10).long().clamp(0, 9)


@torch.no_grad()
def case(
    acts: Callable[[Tensor], Tensor],
    seen: Examples,
    unit: int,
    effects: Tensor,
    rows: Tensor,
    *,
    seed: int = 0,
) -> Case:
    """Cut one unit's puzzle out of the held-out rows (R, T).

    acts: rows (n, T) → this unit's activations (n, T). effects: what it does to each token's
    logit, (V,).
    """
    rng = np.random.default_rng((seed, unit))
    anywhere = torch.from_numpy(rng.integers(0, rows.numel(), 20))
    shown = torch.cat([seen.top[unit, :10], seen.uniform[unit, :, :2].flatten()])
    hidden = torch.cat([seen.top[unit, 10:20], seen.uniform[unit, :, 2], anywhere])
    best = effects.topk(10).indices.cpu().numpy()
    others = rng.choice(np.setdiff1d(np.arange(1, len(effects)), best), 10, replace=False)
    order = rng.permutation(20)
    largest = float(seen.maximum[unit])
    return Case(
        _cut(acts, rows, shown[shown >= 0], largest),
        _cut(acts, rows, hidden[hidden >= 0], largest),
        np.concatenate([best, others])[order].tolist(),
        (order < 10).tolist(),
    )


def _cut(
    acts: Callable[[Tensor], Tensor], rows: Tensor, places: Tensor, largest: float
) -> list[Snippet]:
    row, at = places // rows.shape[1], places % rows.shape[1]
    texts = rows[row.to(rows.device)]  # (n, T)
    levels = quantise(acts(texts), largest)  # (n, T)
    snippets = []
    for tokens, level, a in zip(texts.tolist(), levels.tolist(), at.tolist(), strict=True):
        around = slice(max(a - BEFORE, 0), a + AFTER + 1)
        snippets.append(Snippet(tokens[around], level[around]))
    return snippets


class Scores(NamedTuple):
    """How well an explanation predicts a unit it was written for."""

    explanation: str
    pearson: float  # of simulated and true levels, over all tokens of the hidden snippets
    spearman: float
    logits: float  # share of twenty candidate tokens put on the right side; 0.5 is chance


def interpret(speaker: Speaker, puzzle: Case, explanation: str | None = None) -> Scores:
    """Explain → simulate → score; with an `explanation` given, only the last two."""
    explanation = speaker.explain(puzzle.shown) if explanation is None else explanation
    simulated = sum(
        speaker.simulate(explanation, [snippet.tokens for snippet in puzzle.hidden]), []
    )
    true = sum((snippet.levels for snippet in puzzle.hidden), [])
    return Scores(
        explanation,
        correlation(true, simulated),
        correlation(rankdata(true), rankdata(simulated)),
        half_right(puzzle.raised, speaker.raises(explanation, puzzle.candidates)),
    )


def correlation(true: Sequence[float], simulated: Sequence[float]) -> float:
    """Pearson's; of ranks it is Spearman's. A simulation that never changes says nothing: 0."""
    true, simulated = np.asarray(true, float), np.asarray(simulated, float)
    if true.std() == 0 or simulated.std() == 0:
        return 0.0
    return float(np.corrcoef(true, simulated)[0, 1])


def half_right(raised: Sequence[bool], sure: Sequence[float]) -> float:
    """The share of candidates on the right side, where the surer half is called raised.

    Ties fall as the candidates are mixed.
    """
    called = np.argsort(-np.asarray(sure, float), kind="stable")[: len(sure) // 2]
    return float(np.mean(np.isin(np.arange(len(sure)), called) == np.asarray(raised)))


# ---------------------------------------------------------------- speakers


class TokenStatistics:
    """The baseline: no language, only counts.

    Its "explanation" is each token's mean level, and the mean level just before each token.
    """

    name = "token statistics (a baseline, no language model)"

    def explain(self, shown: Sequence[Snippet]) -> str:
        on, before = defaultdict(list), defaultdict(list)
        for snippet in shown:
            for token, level in zip(snippet.tokens, snippet.levels, strict=True):
                on[token].append(level)
            for token, level in zip(snippet.tokens[1:], snippet.levels, strict=False):
                before[token].append(level)
        everywhere = float(np.mean(sum(on.values(), []) or [0]))
        tables = {
            name: {token: round(float(np.mean(levels)), 2) for token, levels in table.items()}
            for name, table in (("on", on), ("before", before))
        }
        return json.dumps(tables | {"otherwise": round(everywhere, 2)})

    def simulate(self, explanation: str, snippets: Sequence[Sequence[int]]) -> list[list[float]]:
        table = json.loads(explanation)
        return [
            [table["on"].get(str(token), table["otherwise"]) for token in tokens]
            for tokens in snippets
        ]

    def raises(self, explanation: str, candidates: Sequence[int]) -> list[float]:
        table = json.loads(explanation)
        return [table["before"].get(str(token), 0.0) for token in candidates]


class LanguageModel(Protocol):
    """All that is asked of a language model."""

    name: str

    def say(self, prompt: str) -> str:
        """A short answer."""

    def grade(self, prompt: str, lines: Sequence[str]) -> list[float]:
        """A number from 0 to 9 for each line."""


class Talker:
    """A language model as a speaker: three prompts, and nothing in them about which unit it is."""

    def __init__(self, model: LanguageModel):
        self.model, self.name = model, model.name

    def explain(self, shown: Sequence[Snippet]) -> str:
        texts = "\n".join(_marked(snippet) for snippet in shown[:: max(1, len(shown) // SEEN)])
        answer = self.model.say(
            "A unit in a network fires on some tokens of a text. They are marked <<like this|7>>, "
            f"with a strength from 1 to 9.\n\n{texts}\n\n"
            "In one short sentence: what do the marked tokens have in common?"
        )
        return " ".join(answer.split()) or "nothing was said"

    def simulate(self, explanation: str, snippets: Sequence[Sequence[int]]) -> list[list[float]]:
        prompt = (
            f"A unit in a network fires on this: {explanation}\n\nFor each token of a text, how "
            "strongly does the unit fire, from 0 (not at all) to 9 (as strongly as it can)? "
            "Most tokens get 0."
        )
        return [self.model.grade(prompt, Snippet(list(tokens), []).pieces) for tokens in snippets]

    def raises(self, explanation: str, candidates: Sequence[int]) -> list[float]:
        prompt = (
            f"A unit in a network fires on this: {explanation}\n\nWhen it fires, some tokens "
            "become more likely to come next. How likely is each of these, from 0 (not at all) "
            "to 9 (very)?"
        )
        return self.model.grade(prompt, Snippet(list(candidates), []).pieces)


def _marked(snippet: Snippet) -> str:
    return "".join(
        f"<<{piece}|{level}>>" if level else piece
        for piece, level in zip(snippet.pieces, snippet.levels, strict=True)
    )
