"""Lesson 13: what features of SmolLM2 fire on, and answers steered three ways.

Stored in data/steering by `python -m helpers make steering`: who was steered how, and what it said.
"""

import html
import random
import re
from collections.abc import Callable
from statistics import fmean
from typing import NamedTuple

import ipywidgets
import torch
from IPython.display import HTML
from torch import Tensor

from helpers.datasets.excerpts import MOST_WORDS, Excerpt, Excerpts
from helpers.ground.artifacts import load_artifact
from helpers.ground.stats import clustered_mean
from helpers.lesson import plots
from helpers.lesson.rating import Item, Question
from helpers.sae.residual import DOMAINS, T, stream

VERSION = 1
BEFORE, AFTER = 16, 4  # tokens round a firing


class Explorer:
    """Pages about the features of a dictionary, from held-out windows `rows` (R, T)."""

    def __init__(self, lm, tokenizer, dictionary, seen, rows: Tensor):
        self.lm, self.tokenizer, self.dictionary = lm, tokenizer, dictionary
        self.seen, self.rows = seen, rows

    def page(self, feature: int) -> Excerpts:
        """Its six strongest firings, and six from all strengths."""
        seen = self.seen
        places = torch.cat([seen.top[feature, :6], seen.uniform[feature, ::2].flip(0)])
        places = places[places >= 0].long()
        if not len(places):
            return Excerpts([], 1.0, f"feature {feature} never fires here")
        rows, at = self.rows[places // T], places % T
        f = self.dictionary.features(stream(self.lm, rows))[..., feature].cpu()  # (n, T − 1)
        f = torch.nn.functional.pad(f, (1, 0))
        kinds = ", ".join(f"{d} {s:.0%}" for d, s in zip(DOMAINS, seen.kinds[feature], strict=True))
        title = f"feature {feature}: on {seen.density[feature]:.2%} of tokens ({kinds})"
        cut = [self.excerpt(*case) for case in zip(rows, f, at.tolist(), strict=True)]
        return Excerpts(cut, seen.maximum[feature], title)

    def excerpt(self, tokens: Tensor, values: Tensor, at: int) -> Excerpt:
        """At most 60 words round a place of a window (T,)."""
        first, stop = max(at - BEFORE, 0), at + AFTER + 1
        pieces = [self.piece(token) for token in tokens[first:stop].tolist()]
        while len("".join(pieces).split()) > MOST_WORDS:
            first, pieces = first + 1, pieces[1:]
        return Excerpt(tuple(pieces), tuple(values[first:stop].tolist()), at - first)

    def piece(self, token: int) -> str:
        return self.tokenizer.decode([token]).replace("\n", "↵") or "·"

    def read(self, text: str, most: int = 3) -> HTML:
        """Token by token, the features that fire most."""
        ids = torch.tensor([self.tokenizer(text)["input_ids"]])
        best = self.dictionary.features(stream(self.lm, ids))[0].topk(most)  # (T − 1, most)
        lines = []
        for token, values, numbers in zip(
            ids[0, 1:].tolist(), best.values.tolist(), best.indices.tolist(), strict=True
        ):
            fired = [f"{n} ({v:.1f})" for n, v in zip(numbers, values, strict=True) if v > 0]
            lines.append(f"<code>{html.escape(self.piece(token))}</code> {', '.join(fired)}<br>")
        return HTML("".join(lines))


def number_box(feature: int) -> ipywidgets.BoundedIntText:
    """A box for a feature's number."""
    return ipywidgets.BoundedIntText(value=feature, min=0, max=4095)


# ---------------------------------------------------------------- steering


class Topic(NamedTuple):
    """Something to steer towards."""

    name: str  # as a prompt says it
    feature: int
    words: str  # a regular expression: does a text speak of it?


TOPICS = (  # chosen by their strongest firings, before any answer was seen
    Topic("horror films", 2136, r"horror|scary|ghost|monster|vampire|zombie|haunt|terrif|creepy"),
    Topic("comedies", 1043, r"comed|funny|humou?r|laugh|joke|hilari"),
    Topic("music", 1896, r"music|song|\bsing|\bband|guitar|piano|melod|album|concert"),
    Topic("love stories", 635, r"\blov(e|ing)|romanc|romantic|passion"),
    Topic("school", 1441, r"school|teacher|student|\bclass|\bgrade|college|universit"),
    Topic("the police", 1717, r"\bpolice|\bcops?\b|officer|detective|\bcrim"),
    Topic("families", 2896, r"famil|mother|father|parent|brother|sister|\bmom|\bdad"),
    Topic("prime numbers", 376, r"\bprime|divisib|integer|\bnumber"),
    Topic("killing", 3010, r"\bkill|death|\bdead|murder|\bdie[sd]?\b|\bdying"),
    Topic("money", 73, r"money|budget|dollar|\bcosts?\b|\bpaid|\bpay|price|expens"),
)
QUESTIONS = ("Tell me about your weekend.", "What is your favourite place, and why?")
HOW = ("prompt", "difference", "feature")  # of the three answers in the rating
STRENGTHS = (1, 2, 5)  # times a feature's maximum


def system(topic: Topic) -> str:
    """Asked for in words, in the line that comes before the conversation."""
    return f"You love {topic.name}. Whatever you are asked, you speak about {topic.name}."


def asked(topic: Topic, question: str) -> str:
    """The prompt's way: asked for in words, in the question itself."""
    return f"{question} Please speak about {topic.name}."


def apart(lm, rows: Tensor, tokenizer, topic: Topic, most: int = 8) -> Tensor:
    """Difference of means (D,): windows (R, T) that name the topic minus others, `most` of each."""
    texts = tokenizer.batch_decode(rows)
    names = torch.tensor([bool(re.search(topic.words, text, re.I)) for text in texts])
    yes, no = (stream(lm, rows[mask][:most]).mean(dim=(0, 1)) for mask in (names, ~names))
    return yes - no


def steered(
    dictionary, seen, topic: Topic, apart: Tensor, times: float = 2.0
) -> dict[str, Callable]:
    """{how: an edit of the stream (T, D)}, each by a vector as long as `times` the maximum."""
    largest = times * float(seen.maximum[topic.feature])
    length = largest / dictionary.scale  # in the stream's own units
    d, apart = dictionary.directions[topic.feature], apart / apart.norm()
    return {
        "feature": lambda x: x + length * d,
        "pinned": dictionary.with_feature(topic.feature, largest),
        "difference": lambda x: x + length * apart,
    }


def stored(*, device: torch.device | str = "cpu") -> tuple[list[dict], Tensor]:
    """All stored answers, and the differences of means (topics, D).

    An answer: topic, question, how, text, and nats (as the model finds it, unsteered).
    """
    tensors, meta = load_artifact("steering", version=VERSION, device=device)
    return meta["answers"], tensors["apart"].float()


def speaks_of(answer: dict) -> bool:
    """Whether an answer names its topic."""
    words = next(topic.words for topic in TOPICS if topic.name == answer["topic"])
    return re.search(words, answer["text"], re.I) is not None


# ---------------------------------------------------------------- the rating


ASKED = (
    Question("prompt", "Which one was asked for by a prompt?", ("first", "second", "third"), 1),
    Question("feature", "Which one had a feature added?", ("first", "second", "third"), 1),
    *(
        Question(f"sense {n}", f"Is the {place} one still sense?", ("no", "half", "yes"))
        for n, place in enumerate(("first", "second", "third"))
    ),
)


class Three:
    """A question and three answers to it, in an order that tells nothing."""

    def __init__(self, question: str, topic: str, texts: list[str]):
        self.question, self.topic, self.texts = question, topic, texts

    def __repr__(self) -> str:
        lines = [f"{self.question} (steered towards: {self.topic})"]
        return "\n\n".join(lines + [f"{n}. {text}" for n, text in enumerate(self.texts, 1)])


def items(answers: list[dict]) -> list[Item]:
    """An item for each topic and question; its condition is the order of HOW."""
    found = []
    for n, (topic, question) in enumerate(
        dict.fromkeys((a["topic"], a["question"]) for a in answers if a["topic"])
    ):
        order = random.Random(n).sample(HOW, 3)
        texts = {a["how"].split(",")[0]: a["text"] for a in answers if fits(a, topic, question)}
        content = Three(question, topic, [texts[how] for how in order])
        found.append(Item(f"{topic} {QUESTIONS.index(question)}", " ".join(order), content))
    return found


def fits(answer: dict, topic: str, question: str) -> bool:
    shown = answer["how"] in ("prompt", "difference, 2 times", "feature, 2 times")
    return shown and (answer["topic"], answer["question"]) == (topic, question)


def on_paper(some: list[Item]) -> HTML:
    """Items as they can be printed, with the key folded."""
    lines = [f"<p><b>{n}.</b> {html.escape(str(i.content))}</p>" for n, i in enumerate(some, 1)]
    text = "".join(lines).replace("\n\n", "<br>")
    key = "; ".join(f"{n}: {', '.join(i.condition.split())}" for n, i in enumerate(some, 1))
    return HTML(f"{text}<details><summary>Who was steered how</summary>{key}</details>")


def told(records, left_out: str = "") -> None:
    """Print what the ratings say, and whom they leave out; where nobody has rated yet, that."""
    if left_out:
        print(left_out)
    if not records:
        print("Nobody has rated yet. The answers on paper are below.")
        return
    for how, row in tally(records).items():
        found = "" if row["found"] is None else f"found by {row['found']:.0%}, "
        print(f"{how:11} {found}sense {row['sense']:.2f} of 1 ({len(records)} ratings)")


def tally(records) -> dict[str, dict[str, float | None]]:
    """{how: found, the share who named it (None: not asked); sense, the mean from 0 to 1}."""
    rows = {}
    for how in HOW:
        places = [record.condition.split().index(how) for record in records]
        pairs = list(zip(records, places, strict=True))
        sense = fmean(record.answer[f"sense {place}"] / 2 for record, place in pairs)
        asked = how in (question.key for question in ASKED)
        found = fmean(r.answer[how] == place + 1 for r, place in pairs) if asked else None
        rows[how] = {"found": found, "sense": sense}
    return rows


# ---------------------------------------------------------------- figures

WINDOW = {f"feature, {n} times": f"{n} times its maximum" for n in STRENGTHS}
WAYS = {"prompt": "a prompt", "system prompt": "a system line"}
WAYS |= {"difference, 2 times": "difference of means", "feature, 2 times": "a feature added"}
WAYS |= {"pinned, 2 times": "a feature pinned"}


def compare(answers: list[dict], ways: dict[str, str]) -> dict[str, float]:
    """Draw what stored answers are like by way of steering; {way: share that name the topic}."""
    named, nats = {}, {}
    for how, title in ways.items():
        some = [a for a in answers if a["how"] == how]
        topics = [a["topic"] for a in some]
        named[title] = {"": clustered_mean([float(speaks_of(a)) for a in some], topics)}
        nats[title] = {"": [a["nats"] for a in some]}
    nats["as it is"] = {"": [a["nats"] for a in answers if a["how"] == "as it is"]}
    plain = [a for a in answers if a["how"] == "as it is"]
    by_chance = [re.search(t.words, a["text"], re.I) is not None for a in plain for t in TOPICS]
    named["as it is"] = {"": sum(by_chance) / len(by_chance)}
    panels = {"share that name the topic": named, "surprise, nats a token": nats}
    caption = "Left: mean of ten topics and two questions, 95 % over topics. Right: each answer, "
    plots.dots(panels, caption=caption + "as the unsteered model finds it.")
    return {title: value[""][0] for title, value in named.items() if title != "as it is"}


def table(answers: list[dict], topic: str, question: str = QUESTIONS[0]) -> HTML:
    """The stored answers to one question, by way of steering; "as it is" first."""
    rows = [a for a in answers if a["topic"] in ("", topic) and a["question"] == question]
    cells = (f"<tr><th>{a['how']}</th><td>{html.escape(a['text'])}</td></tr>" for a in rows)
    left = '<table style="text-align:left;font-size:15px">'
    return HTML(f"<b>{question}</b> · {topic}{left}{''.join(cells)}</table>")
