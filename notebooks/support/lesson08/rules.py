"""Rules that learners write for a neuron, and how well they do on text nobody has seen.

Everything is decided word by word: a word fires as much as its strongest token, and a rule, such
as "words that end in ing", says yes or no to each word.
"""

from __future__ import annotations

import time
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import NamedTuple

import regex
import torch
from torch import Tensor

from helpers.datasets import corpus
from helpers.ground.errors import CourseError

KINDS = ("words", "prefix", "suffix", "regular expression", "free text")
LEVELS = ("silent", "up to ¼", "¼ to ½", "½ to ¾", "¾ to 1")  # of the neuron's largest activation
STRONG = 3  # from this level on a firing counts as strong
SECONDS, LONGEST = 5.0, 200  # for a regular expression: time, and characters

_WORD = regex.compile(r"[^\W_]+|(?:[^\w\s]|_)+|\n\s*")  # letters and digits, signs, a line break


class Words(NamedTuple):
    """Texts cut into W words."""

    texts: list[str]
    spans: list[tuple[int, int, int]]  # of each word: its text, first and last character + 1
    word_of: Tensor  # (N,) for each token the word that its last character lies in, or -1

    @property
    def strings(self) -> list[str]:
        """The words themselves, (W,)."""
        return [self.texts[text][start:end] for text, start, end in self.spans]

    def strongest(self, acts: Tensor) -> Tensor:
        """Activations of tokens (N,) → of words (W,): each word's largest, 0 without a token."""
        acts = acts.float().cpu()
        inside = self.word_of >= 0
        words = torch.zeros(len(self.spans))
        return words.scatter_reduce(
            0, self.word_of[inside], acts[inside], "amax", include_self=False
        )


def words_of(texts: Sequence[str]) -> Words:
    """Cut texts into words, without tokens."""
    spans = [(n, *match.span()) for n, text in enumerate(texts) for match in _WORD.finditer(text)]
    return Words(list(texts), spans, torch.empty(0, dtype=torch.long))


def words_of_tokens(rows: Tensor) -> Words:
    """Cut rows of the corpus's tokens (R, T) into words, and say which token lies in which."""
    raw, texts, last = corpus.token_bytes(), [], []
    for n, row in enumerate(rows.tolist()):
        text = b""
        for token in row:
            text += raw[token]
            last.append((n, len(text.decode(errors="replace")) - 1))  # the token's last character
        texts.append(text.decode(errors="replace"))
    words = words_of(texts)
    owner = {}  # (text, character) → word
    for word, (n, start, end) in enumerate(words.spans):
        owner |= {(n, place): word for place in range(start, end)}
    return words._replace(word_of=torch.tensor([owner.get(place, -1) for place in last]))


# ---------------------------------------------------------------- what a rule says


def fires(kind: str, rule: str, words: Words, *, seconds: float = SECONDS) -> Tensor:
    """For each word whether a rule says yes, (W,) bool.

    kind: one of KINDS but "free text". Rules in small letters match capitals too. A regular
    expression is searched in each text and fires on every word that a match touches. Raises
    CourseError for an empty rule, a broken expression, or one that searches for too long.
    """
    if not rule.strip():
        raise CourseError(
            "The rule is empty: write the words, the letters or the expression that the neuron "
            "answers to."
        )
    if kind == "regular expression":
        return _touched(words, _matches(rule, words.texts, seconds))
    if kind not in KINDS[:3]:
        raise CourseError(
            f"A rule of the kind {kind!r} cannot be scored by a program; these can: "
            f"{', '.join(KINDS[:4])}."
        )
    parts = tuple(part for part in regex.split(r"[,\s]+", rule) if part)
    strings = words.strings if _has_capital(rule) else [word.lower() for word in words.strings]
    if kind == "words":
        return torch.tensor([word in parts for word in strings], dtype=torch.bool)
    test = str.startswith if kind == "prefix" else str.endswith
    return torch.tensor([test(word, parts) for word in strings], dtype=torch.bool)


def in_capitals(rows: Tensor) -> Tensor:
    """For each token of rows (R, T) whether its word is capitals, two or more; (R · T,) bool."""
    words = words_of_tokens(rows)
    said = fires("regular expression", r"\b[A-Z]{2,}\b", words)
    return said[words.word_of] & (words.word_of >= 0)


def _matches(pattern: str, texts: list[str], seconds: float) -> list[tuple[int, int, int]]:
    """(text, first character, last character + 1) of every match that is not empty."""
    if len(pattern) > LONGEST:
        raise CourseError(
            f"This expression has {len(pattern)} characters, and {LONGEST} is the most: keep a "
            "rule short enough to say."
        )
    letters = regex.sub(r"\\.", "", pattern)  # the D of \D is no capital
    flags = regex.V0 if _has_capital(letters) else regex.V0 | regex.IGNORECASE
    stop, found = time.monotonic() + seconds, []
    try:
        compiled = regex.compile(pattern, flags)
        for n, text in enumerate(texts):
            left = max(stop - time.monotonic(), 1e-3)
            found += [(n, *m.span()) for m in compiled.finditer(text, timeout=left) if m[0]]
    except TimeoutError:
        raise CourseError(
            f"This expression was still searching after {seconds:g} seconds and was stopped: a "
            "repetition inside a repetition, such as (a+)+, can take for ever; write it with one."
        ) from None
    except (regex.error, OverflowError, RecursionError, MemoryError) as error:
        raise CourseError(
            f"This is no regular expression ({error}): correct it, or put a backslash before a "
            "sign that stands for itself."
        ) from None
    return found


def _touched(words: Words, matches: list[tuple[int, int, int]]) -> Tensor:
    """Which words overlap a match, (W,) bool."""
    says_yes = torch.zeros(len(words.spans), dtype=torch.bool)
    starts = [(text, start) for text, start, _ in words.spans]
    ends = [(text, end) for text, _, end in words.spans]
    for text, start, end in matches:
        says_yes[bisect_right(ends, (text, start)) : bisect_left(starts, (text, end))] = True
    return says_yes


def _has_capital(text: str) -> bool:
    return text != text.lower()


# ---------------------------------------------------------------- how well it does


class Score(NamedTuple):
    """A rule against a neuron, word by word, at each of LEVELS."""

    count: tuple[int, ...]  # words at the level
    said: tuple[int, ...]  # of them, how many the rule says yes to

    @property
    def covered(self) -> tuple[float, ...]:
        """The share of words at each level that the rule says yes to; nan without words."""
        pairs = zip(self.said, self.count, strict=True)
        return tuple(said / count if count else float("nan") for said, count in pairs)

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
    """The level of each activation, (W,): 0 where it is not positive, else its quarter."""
    quarter = (acts / acts.max().clamp(min=1e-9) * 4).ceil().clamp(1, 4).long()
    return torch.where(acts > 0, quarter, 0)


def score(said: Tensor, acts: Tensor) -> Score:
    """Compare a rule's answers (W,) with a neuron's activations (W,) on the same words."""
    level = levels(acts)
    count = torch.bincount(level, minlength=5)
    return Score(tuple(count.tolist()), tuple(torch.bincount(level[said], minlength=5).tolist()))


# ---------------------------------------------------------------- sentences with coloured words


def marked(sentences: Sequence[str]) -> tuple[Words, dict[str, Tensor]]:
    """Sentences with {A:word} or {?:word}: their words, and for each letter 1.0 for its own."""
    texts, places = [], {}
    for n, sentence in enumerate(sentences):
        text = ""
        for part in regex.split(r"(\{[A-Z?]:[^}]*\})", sentence):
            if part.startswith("{"):
                if part[1] != "?":
                    places.setdefault(part[1], []).append((n, len(text)))
                part = part[3:-1]
            text += part
        texts.append(text)
    words = words_of(texts)
    starts = [(text, start) for text, start, _ in words.spans]
    return words, {
        letter: torch.tensor([float(start in here) for start in starts])
        for letter, here in sorted(places.items())
    }
