"""Rules that learners write for a neuron, "words that end in ing", and how well they do on text nobody has seen.

Everything is decided word by word: a word fires as much as its strongest token, and a rule says yes or no to each word.
"""

from __future__ import annotations

import bisect
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from helpers.ground.errors import CourseError

KINDS = ("words", "prefix", "suffix", "regular expression", "free text")
LEVELS = ("silent", "up to ¼", "¼ to ½", "½ to ¾", "¾ to 1")  # of the neuron's largest activation
STRONG = 3  # from this level on a firing counts as strong
SECONDS, LONGEST = 5.0, 200  # for a regular expression: time, and characters

_WORD = re.compile(r"[^\W_]+|(?:[^\w\s]|_)+|\n\s*")  # letters and digits, signs, or a line break

# Runs in a process of its own, because nothing else can stop a regular expression that never ends.
_SEARCH = """
import json, re, sys, warnings
warnings.simplefilter("ignore")
pattern, flags, texts = json.load(sys.stdin)
try:
    found = re.compile(pattern, flags)
except (re.error, OverflowError, RecursionError, MemoryError) as error:
    print(json.dumps(str(error) or "too large"))
else:
    spans = []
    for text in texts:
        spans.append([])
        for match in found.finditer(text):
            if spans[-1] and spans[-1][-1][1] == match.start():
                spans[-1][-1][1] = match.end()
            elif match.end() > match.start():
                spans[-1].append(list(match.span()))
    print(json.dumps(spans))
"""


class Words(NamedTuple):
    """Texts cut into W words."""

    texts: list[str]
    spans: list[
        tuple[int, int, int]
    ]  # of each word: number of the text, first and last character (exclusive), in order
    word_of: Tensor  # (N,) for each token the word that its last character lies in, or -1

    @property
    def strings(self) -> list[str]:
        """The words themselves, (W,)."""
        return [self.texts[text][start:end] for text, start, end in self.spans]

    def strongest(self, acts: Tensor) -> Tensor:
        """Activations of tokens (N,) as activations of words (W,): each word's largest, 0 for one without a token."""
        inside = self.word_of >= 0
        return torch.zeros(len(self.spans)).scatter_reduce(
            0, self.word_of[inside], acts.float()[inside].cpu(), "amax", include_self=False
        )


def words_of(texts: Sequence[str]) -> Words:
    """Cut texts into words, without tokens."""
    spans = [(n, *match.span()) for n, text in enumerate(texts) for match in _WORD.finditer(text)]
    return Words(list(texts), spans, torch.empty(0, dtype=torch.long))


def words_of_tokens(rows: Tensor) -> Words:
    """Cut rows of the corpus's tokens (R, T) into words, and say which token lies in which."""
    from helpers.datasets import corpus

    raw, texts, last = corpus.token_bytes(), [], []
    for row in rows.tolist():
        text, ends = b"", []
        for token in row:
            text += raw[token]
            ends.append(
                len(text.decode(errors="replace")) - 1
            )  # where the token's last character stands
        texts.append(text.decode(errors="replace"))
        last.append(ends)
    words = words_of(texts)
    owner = {
        (text, place): n
        for n, (text, start, end) in enumerate(words.spans)
        for place in range(start, end)
    }
    return words._replace(
        word_of=torch.tensor(
            [owner.get((n, place), -1) for n, ends in enumerate(last) for place in ends]
        )
    )


# ---------------------------------------------------------------- what a rule says


def fires(kind: str, rule: str, words: Words, *, seconds: float = SECONDS) -> Tensor:
    """For each word whether a rule says yes, (W,) bool.

    kind: one of KINDS but "free text". Rules in small letters match capitals too. A regular expression is searched in each
    text and fires on every word that a match touches. Raises CourseError, in one sentence, for an empty rule, a broken
    expression, or one that is still searching after `seconds`.
    """
    rule = rule.strip() if kind != "regular expression" else rule
    if not rule.strip():
        raise CourseError(
            "The rule is empty: write the words, the letters or the expression that the neuron answers to."
        )
    if kind == "regular expression":
        return _touched(words, _matches(rule, words.texts, seconds))
    if kind not in KINDS[:3]:
        raise CourseError(
            f"A rule of the kind {kind!r} cannot be scored by a program; these can: {', '.join(KINDS[:4])}."
        )
    parts = [part for part in re.split(r"[,\s]+", rule) if part]
    test = {
        "words": lambda word, part: word == part,
        "prefix": str.startswith,
        "suffix": str.endswith,
    }[kind]
    spell = (lambda text: text) if _has_capital(rule) else str.lower
    return torch.tensor(
        [any(test(word, part) for part in parts) for word in map(spell, words.strings)],
        dtype=torch.bool,
    )


def _matches(pattern: str, texts: list[str], seconds: float) -> list[list[list[int]]]:
    if len(pattern) > LONGEST:
        raise CourseError(
            f"This expression has {len(pattern)} characters, and {LONGEST} is the most: keep a rule short enough to say."
        )
    flags = 0 if _has_capital(re.sub(r"\\.", "", pattern)) else int(re.IGNORECASE)
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-c", _SEARCH],
            input=json.dumps([pattern, flags, texts]),
            capture_output=True,
            text=True,
            timeout=seconds,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except subprocess.TimeoutExpired:
        raise CourseError(
            f"This expression was still searching after {seconds:g} seconds and was stopped: a repetition inside a "
            "repetition, such as (a+)+, can take for ever; write it with one."
        ) from None
    if done.returncode:
        raise CourseError(
            "The search for this expression broke off, probably for want of memory: try a shorter one."
        )
    found = json.loads(done.stdout)
    if isinstance(found, str):
        raise CourseError(
            f"This is no regular expression ({found}): correct it, or put a backslash before a sign that stands for itself."
        )
    return found


def _touched(words: Words, matches: list[list[list[int]]]) -> Tensor:
    """Which words overlap a match, (W,) bool."""
    said, starts = (
        torch.zeros(len(words.spans), dtype=torch.bool),
        [(text, start) for text, start, _ in words.spans],
    )
    for text, spans in enumerate(matches):
        for start, end in spans:
            first, after = (
                bisect.bisect_right(starts, (text, start)) - 1,
                bisect.bisect_left(starts, (text, end)),
            )
            if first >= 0 and (words.spans[first][0] != text or words.spans[first][2] <= start):
                first += 1  # the word before ends before the match begins
            said[max(first, 0) : after] = True
    return said


def _has_capital(text: str) -> bool:
    return text != text.lower()


# ---------------------------------------------------------------- how well it does


class Score(NamedTuple):
    """A rule against a neuron, word by word, at each of LEVELS."""

    count: tuple[int, ...]  # words at the level
    said: tuple[int, ...]  # of them, how many the rule says yes to

    @property
    def covered(self) -> tuple[float, ...]:
        """The share of words at each level that the rule says yes to: recall, level by level; nan without words."""
        return tuple(
            s / c if c else float("nan") for s, c in zip(self.said, self.count, strict=True)
        )

    @property
    def recall(self) -> float:
        """Of the strong firings the share that the rule says yes to."""
        return sum(self.said[STRONG:]) / max(1, sum(self.count[STRONG:]))

    @property
    def precision(self) -> float:
        """Of the words that the rule says yes to the share on which the neuron fires strongly."""
        return sum(self.said[STRONG:]) / max(1, sum(self.said))

    @property
    def precision_any(self) -> float:
        """The same, where any firing counts."""
        return sum(self.said[1:]) / max(1, sum(self.said))

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall, by which rules are ranked."""
        return 2 * self.precision * self.recall / max(1e-9, self.precision + self.recall)


def levels(acts: Tensor) -> Tensor:
    """The level of each activation, (W,) → (W,): 0 where it is not positive, else its quarter of the largest."""
    return torch.where(
        acts > 0, (acts / acts.max().clamp(min=1e-9) * 4).ceil().clamp(1, 4), torch.zeros(())
    ).long()


def score(said: Tensor, acts: Tensor) -> Score:
    """Compare a rule's answers (W,) with a neuron's activations (W,) on the same words."""
    level = levels(acts)
    return Score(
        tuple(torch.bincount(level, minlength=5).tolist()),
        tuple(torch.bincount(level[said], minlength=5).tolist()),
    )


# ---------------------------------------------------------------- sentences with coloured words


def marked(sentences: Sequence[str]) -> tuple[Words, dict[str, Tensor]]:
    """Sentences in which a coloured word stands as {A:word}, or {?:word}: their words, and for each letter 1.0 for its words, (W,)."""
    texts, places = [], {}
    for n, sentence in enumerate(sentences):
        text = ""
        for part in re.split(r"(\{[A-Z?]:[^}]*\})", sentence):
            if part.startswith("{"):
                if part[1] != "?":
                    places.setdefault(part[1], []).append((n, len(text)))
                part = part[3:-1]
            text += part
        texts.append(text)
    words = words_of(texts)
    return words, {
        letter: torch.tensor([float((text, start) in at) for text, start, _ in words.spans])
        for letter, at in sorted(places.items())
    }
