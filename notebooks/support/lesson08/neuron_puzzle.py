"""A round of rules: neurons as puzzles, a class's rules for them, and the board that ranks them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from helpers.ground.errors import CourseError
from notebooks.support.lesson08.rules import KINDS, LONGEST, Score, Words, fires, levels, score
from helpers.lesson.answers import Pooled, Record, Store


class Puzzle(NamedTuple):
    """One neuron to find a rule for."""

    key: str  # names it in the store
    title: str  # what the menu says
    shown: Any  # what the learner sees: examples
    words: Words  # what rules are scored on
    acts: Tensor  # (W,)
    answer: str = ""  # told after the first rule; Markdown


class Ranked(NamedTuple):
    """A rule on the board."""

    kind: str
    rule: str
    score: Score
    own: bool


class RuleRound:
    """Puzzles, and the rules that a class has written for them, kept in the class folder under the
    activity "rules".
    """

    def __init__(self, puzzles: Sequence[Puzzle], folder=None):
        self.puzzles = {puzzle.key: puzzle for puzzle in puzzles}
        if len(self.puzzles) < len(puzzles):
            raise ValueError("two puzzles have the same key; each needs its own")
        self.store = Store("rules", folder)

    def submit(
        self, key: str, kind: str, rule: str, judged: Mapping[int, Sequence[bool]] | None = None
    ) -> Score:
        """Score a rule and keep it. Raises CourseError for a rule that cannot be scored; then
        nothing is kept.

        judged: for a rule in free text, what the group said of some words of each level (see
        `judge_sample`).
        """
        puzzle = self.puzzles[key]
        if kind == "free text":
            if not rule.strip() or not judged:
                raise CourseError(
                    "A rule in free text needs its text, and the group's yes or no to some words."
                )
            said = [judged.get(level, ()) for level in range(5)]
            result = Score(tuple(map(len, said)), tuple(map(sum, said)))
        else:
            result = score(fires(kind, rule, puzzle.words), puzzle.acts)
        self.store.add(
            key, kind, {"rule": rule.strip()[:LONGEST], "count": result.count, "said": result.said}
        )
        return result

    def ranking(self, key: str) -> list[Ranked]:
        """Everybody's rules for a puzzle, each once: those that a program scored by F1, then those
        in free text by recall.
        """
        own, found = self.store.records(), {}
        for record in [*self._pooled().records, *own]:
            if record.item == key and (ranked := _ranked(record, self.store.person)):
                found[ranked.kind, ranked.rule] = ranked
        by_hand = lambda r: r.kind == "free text"
        return sorted(
            found.values(),
            key=lambda r: (by_hand(r), -(r.score.recall if by_hand(r) else r.score.f1), r.rule),
        )

    @property
    def left_out(self) -> str:
        """What of the class folder could not be read, in a sentence; "" where everything counts."""
        return self._pooled().left_out

    def _pooled(self) -> Pooled:
        return self.store.everybody(lambda record: _ranked(record, "") is not None)


def _ranked(record: Record, person: str) -> Ranked | None:
    """A stored rule; None where the record is not one (somebody else's file may hold anything)."""
    answer = record.answer if isinstance(record.answer, dict) else {}
    count, said = answer.get("count"), answer.get("said")
    whole = all(
        isinstance(part, list) and len(part) == 5 and all(type(n) is int and n >= 0 for n in part)
        for part in (count, said)
    )
    if record.condition not in KINDS or not isinstance(answer.get("rule"), str) or not whole:
        return None
    return Ranked(
        record.condition, answer["rule"], Score(tuple(count), tuple(said)), record.person == person
    )


def judge_sample(puzzle: Puzzle, each: int = 3, seed: int = 0) -> list[tuple[int, int]]:
    """Some words of each level to judge, in random order: (level, number of the word) each."""
    level, generator = levels(puzzle.acts), torch.Generator().manual_seed(seed)
    picks = [
        (n, int(word))
        for n in range(5)
        for at in [torch.nonzero(level == n).flatten()]
        for word in at[torch.randperm(len(at), generator=generator)[:each]]
    ]
    return [picks[n] for n in torch.randperm(len(picks), generator=generator)]
