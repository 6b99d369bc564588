"""Notes like a clinic's, generated: findings that are affirmed, denied, or not mentioned (D1-02).

The course writes its own and keeps what makes real ones hard: the word *fever* in a note does not
mean that the patient has one. Texts, rates and findings are invented; nothing here is medicine.
"""

import random
import re
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from helpers.datasets import reviews
from helpers.ground.errors import CourseError, checked

FINDINGS: dict[str, tuple[str, str]] = {  # a finding and the two words that a note may use for it
    "fever": ("fever", "pyrexia"),
    "cough": ("cough", "coughing"),
    "rash": ("rash", "hives"),
    "nausea": ("nausea", "queasiness"),
    "headache": ("headache", "migraine"),
    "dizziness": ("dizziness", "vertigo"),
}
WORDS = {word for pair in FINDINGS.values() for word in pair}
NEGATIONS = ("no", "denies", "without")
AFFIRMATIONS = ("has", "reports", "with")
DENIED = 0.55  # share of the mentions
PADDING = "<pad>"

# The cues above also stand before words that are no findings, so that counting them tells little.
_HISTORY = ["smoking", "travel", "surgery", "allergies", "alcohol", "pets", "exercise"]
_HISTORY += ["medication"]
_QUALIFIERS = ("recent", "frequent", "occasional")
_WHEN = ("since monday", "since friday", "for two weeks", "for three days", "at night", "")
_WHO = ("man", "woman", "teacher", "driver", "student", "nurse")
_FILLERS = (
    "sleeping well .",
    "appetite is normal .",
    "blood pressure was stable .",
    "plans to return in two weeks .",
    "works from home .",
    "lives near the river .",
    "weight is unchanged .",
    "asked about the garden .",
    "came by bus today .",
    "lungs were clear .",
    "was seen last week .",
    "drinks enough water .",
)


class Mention(NamedTuple):
    """One finding word in a note."""

    finding: str  # a key of FINDINGS
    word: str  # the word that the note uses for it
    position: int  # its place among the note's words, from 0
    affirmed: bool  # False where a negation stands before it


@dataclass(frozen=True)
class Note:
    """A generated note, 30 to 60 words as `load` writes them by default, full stops counted."""

    words: tuple[str, ...]
    mentions: tuple[Mention, ...]  # in reading order, each finding at most once

    @property
    def text(self) -> str:
        return " ".join(self.words)

    @property
    def label(self) -> int:
        """1 where at least one finding is affirmed: the task of lessons 04 and 05."""
        return int(any(mention.affirmed for mention in self.mentions))

    def has(self, finding: str) -> bool:
        """Whether this finding is affirmed. Mentioned and denied, or not mentioned, is False."""
        if finding not in FINDINGS:
            raise CourseError(f"{finding!r} is not a finding; choose one of {', '.join(FINDINGS)}")
        return any(mention.finding == finding and mention.affirmed for mention in self.mentions)


@checked
def load(
    count=3000, *, seed=0, mentions=(1, 2), history=(1, 3), words=(34, 56), fillers=_FILLERS
) -> list[Note]:
    """`count` notes, the same for the same arguments everywhere. Another seed for the test notes.

    mentions: fewest and most findings in a note (of 6). history: the same for words like smoking,
    which carry the same cues: the more of them, the less is won by counting cues. words: a note's
    length, fewest and most. fillers: the sentences between, each at most once a note (`talk()`
    gives real ones), but `encode` knows the usual ones alone. CourseError for what is impossible.
    """
    limits = {"mentions": (mentions, 5), "history": (history, 3), "words": (words, 1000)}
    for name, ((low, high), most) in limits.items():
        if not 0 <= low <= high <= most:
            raise CourseError(f"{name}={low, high}: give the fewest and the most, in 0 .. {most}")
    rng = random.Random(f"findings {seed}")  # a text seed: the same stream on every platform
    return [
        _write(rng, rng.randint(*mentions), rng.randint(*history), words, fillers)
        for _ in range(count)
    ]


def talk() -> list[str]:
    """About 6,700 sentences of film reviews without a finding word, to give as `fillers`."""
    texts = reviews.load("rotten").train.texts
    sentences = [re.findall(r"[a-z']+|[.,!?]", text.lower()) for text in texts]
    return [" ".join(s) for s in sentences if len(s) > 3 and WORDS.isdisjoint(s)]


def vocabulary() -> list[str]:
    """Every word a note can contain, in alphabetical order; number 0 is the padding."""
    ages = (f"{tens}s" for tens in range(20, 90, 10))
    cues = (*NEGATIONS, *AFFIRMATIONS, *_QUALIFIERS, *_HISTORY, *_WHO, *ages)
    phrases = " ".join((*_WHEN, *_FILLERS, "in the seen today by ."))
    return [PADDING, *sorted({*WORDS, *cues, *phrases.split()})]


@checked
def encode(notes: list[Note] | list[str], length: int = 60) -> Tensor:
    """Word numbers, (B, length), padded with 0 on the right. Notes, or your own sentences.

    Raises CourseError for a word that no note contains, and for a text longer than `length`.
    """
    number = {word: index for index, word in enumerate(vocabulary())}
    rows = torch.zeros(len(notes), length, dtype=torch.long)
    for row, note in zip(rows, notes, strict=True):
        words = note.words if isinstance(note, Note) else note.lower().replace(".", " . ").split()
        unknown = [word for word in words if word not in number]
        if unknown:
            raise CourseError(f"no note contains {unknown[0]!r}; `vocabulary()` lists all words")
        if len(words) > length:
            raise CourseError(f"this text has {len(words)} words, at most {length} fit: shorten it")
        row[: len(words)] = torch.tensor([number[word] for word in words], dtype=torch.long)
    return rows


def _write(rng: random.Random, findings: int, others: int, length, fillers) -> Note:
    """One note: an opening, then clauses with findings, history and filler in random order."""
    chosen = rng.sample(list(FINDINGS), findings)
    clauses = [_clause(rng, name, rng.choice(FINDINGS[name])) for name in chosen]
    clauses += [_clause(rng, None, word) for word in rng.sample(_HISTORY, others)]
    words = [rng.choice(_WHO), "in", "the", f"{rng.randrange(20, 90, 10)}s", "."]
    wanted = rng.randint(*length)
    left = rng.sample(fillers, min(len(fillers), 60))
    while len(words) + sum(len(clause) for clause, _ in clauses) < wanted - 4:
        if not left:
            raise CourseError(f"{wanted} words need more fillers than {len(fillers)}: give more")
        clauses.append((left.pop().split(), None))
    rng.shuffle(clauses)
    mentions = []
    for clause, mention in clauses:
        if mention is not None:
            mentions.append(mention._replace(position=len(words) + mention.position))
        words = words + clause
    return Note(tuple(words), tuple(mentions))


def _clause(rng, finding: str | None, word: str) -> tuple[list[str], Mention | None]:
    """Such as 'denies recent fever since monday .'; the position counts within the clause."""
    affirmed = rng.random() >= DENIED
    words = [rng.choice(AFFIRMATIONS if affirmed else NEGATIONS)]
    if rng.random() < 0.3:
        words.append(rng.choice(_QUALIFIERS))
    mention = None if finding is None else Mention(finding, word, len(words), affirmed)
    return [*words, word, *rng.choice(_WHEN).split(), "."], mention
