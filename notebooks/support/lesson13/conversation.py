"""Lesson 13: what features of SmolLM2 fire on, and answers steered three ways.

Stored in data/steering by `python -m helpers make steering`: who was steered how, and what it said.
"""

import html
import random
import re
from collections.abc import Callable
from functools import partial
from statistics import fmean, median
from typing import NamedTuple

import ipywidgets
import numpy as np
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
    Topic("horror films", 2466, r"horror|scary|scare|ghost|monster|vampire|zombie|haunt|terrif"),
    Topic("comedies", 1043, r"comed|funny|humou?r|laugh|joke|hilari"),
    Topic("music", 249, r"music|song|\bsing|\bband|guitar|piano|melod|album|concert"),
    Topic("love stories", 635, r"\blove|\bloving|romanc|romantic|passion"),
    Topic("school", 1441, r"school|teacher|student|\bclass|\bgrade|college|universit"),
    Topic("the police", 1071, r"\bpolice|\bcops?\b|officer|detective|\bcrim|sergeant|arrest"),
    Topic("families", 936, r"famil|mother|father|parent|brother|sister|\bmom|\bdad"),
    Topic("prime numbers", 1561, r"\bprime|\bnumber|divisib|integer|factor|arithmetic"),
    Topic("killing", 1145, r"\bkill|death|\bdead|murder|\bdie[sd]?\b|\bdying|attack"),
    Topic("money", 73, r"money|budget|dollar|\bcosts?\b|\bpaid|\bpay|price|expens|luxur"),
)
QUESTIONS = (
    "Tell me about your weekend.",
    "What is your favourite place, and why?",
    "What should I do tomorrow?",
    "Describe a typical morning.",
)
HOW = ("prompt", "difference", "feature")  # of the three answers in the rating
STRENGTHS = (1, 2, 3, 5)  # times a feature's maximum


def system(topic: Topic) -> str:
    """Asked for in words, in the line that comes before the conversation."""
    return f"You love {topic.name}. Whatever you are asked, you speak about {topic.name}."


def asked(topic: Topic, question: str) -> str:
    """The prompt's way: asked for in words, in the question itself."""
    return f"{question} Please speak about {topic.name}."


def names(topic: Topic, text: str, *, own: bool = True) -> bool:
    """Whether a text speaks of a topic. own: also by its name's words, which a prompt holds."""
    words = [w for w in topic.words.split("|") if own or not re.search(w, topic.name, re.I)]
    return re.search("|".join(words), text, re.I) is not None


def apart(means: Tensor, domains: Tensor, yes: Tensor) -> Tensor:
    """Difference of means (D,): windows that name a topic, mask `yes` (R,), minus others.

    means: each window's mean token (R, D). The others are of the same kind of text, `domains` (R,):
    else every topic's difference would be "reviews minus the rest".
    """
    total = torch.zeros_like(means[0])
    for kind in domains[yes].unique():
        same = domains == kind
        gap = means[same & yes].mean(0) - means[same & ~yes].mean(0)
        total += (same & yes).sum() * gap
    return total / yes.sum()


def steered(
    dictionary, seen, topic: Topic, apart: Tensor, times: float = 2.0
) -> dict[str, Callable]:
    """{how: an edit of the stream (T, D)}, each by a vector as long as `times` the maximum."""
    largest = times * float(seen.maximum[topic.feature])
    length = largest / dictionary.scale  # in the stream's own units
    draw = torch.Generator().manual_seed(topic.feature)
    ways = {
        "feature": dictionary.directions[topic.feature],
        "difference": apart,
        "random": torch.randn(apart.shape, generator=draw).to(apart),
    }
    edits = {how: partial(add, length * d / d.norm()) for how, d in ways.items()}
    return edits | {"pinned": dictionary.with_feature(topic.feature, largest)}


def add(d: Tensor, x: Tensor) -> Tensor:
    """x (T, D) with d (D,) added to every token."""
    return x + d


def stored(*, device: torch.device | str = "cpu") -> tuple[list[dict], Tensor]:
    """All stored answers, and the differences of means (topics, D).

    An answer: topic, question, how, text, and nats (as the model finds it, unsteered).
    """
    tensors, meta = load_artifact("steering", version=VERSION, device=device)
    return meta["answers"], tensors["apart"].float()


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
        (topic.name, question) for topic in TOPICS for question in QUESTIONS[:2]
    ):
        order = random.Random(n).sample(HOW, 3)
        texts = {a["how"].split(",")[0]: a["text"] for a in answers if fits(a, topic, question)}
        content = Three(question, topic, [texts[how] for how in order])
        found.append(Item(f"{topic} {QUESTIONS.index(question)}", " ".join(order), content))
    return found


def fits(answer: dict, topic: str, question: str) -> bool:
    shown = answer["how"] in ("prompt", "difference, 1 times", "feature, 1 times")
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

WINDOW = {
    f"{how}, {n} times": f"{how}, {n} ×" for how in ("feature", "difference") for n in STRENGTHS
}
WAYS = {"prompt": "a prompt", "system prompt": "a system line"}
WAYS |= {f"{how}, 2 times": f"{how}, 2 ×" for how in ("difference", "feature", "pinned", "random")}


def compare(answers: list[dict], ways: dict[str, str]) -> dict[str, float]:
    """Draw and print what stored answers are like by way of steering.

    Returns {way: share that name the topic}.
    """
    topics = {topic.name: topic for topic in TOPICS}
    panels = {"name the topic": {}, "in other words": {}, "surprise, nats a token": {}}
    named, otherwise, nats = panels.values()
    for how, title in ways.items():
        some = [a for a in answers if a["how"] == how]
        by = [a["topic"] for a in some]
        for panel, own in ((named, True), (otherwise, False)):
            found = [float(names(topics[a["topic"]], a["text"], own=own)) for a in some]
            panel[title] = {"": clustered_mean(found, by)}
        nats[title] = {"": [a["nats"] for a in some]}
    plain = [a for a in answers if a["how"] == "as it is"]
    for panel, own in ((named, True), (otherwise, False)):
        chance = [names(t, a["text"], own=own) for a in plain for t in TOPICS]
        panel["as it is"] = {"": sum(chance) / len(chance)}
    nats["as it is"] = {"": [a["nats"] for a in plain]}
    caption = (
        f"Means of ten topics and {len(QUESTIONS)} questions, 95 % over topics. In other words: "
    )
    caption += (
        "the topic's own words, which the prompt holds, do not count. Right: each answer, as "
    )
    plots.dots(panels, caption=caption + "the unsteered model finds it.")
    for title, sample in nats.items():
        share, other = (np.atleast_1d(panel[title][""])[0] for panel in (named, otherwise))
        print(
            f"{title:15} names {share:.2f}, in other words {other:.2f},",
            f"median {median(sample['']):.1f} nats",
        )
    return {title: value[""][0] for title, value in named.items() if title != "as it is"}


def minus(answers: list[dict], one: str, other: str, *, own: bool = True) -> None:
    """Print how much oftener one way names the topic than another: mean, 95 % over topics."""
    topics = {topic.name: topic for topic in TOPICS}
    named = {
        (a["how"], a["topic"], a["question"]): float(names(topics[a["topic"]], a["text"], own=own))
        for a in answers
        if a["how"] in (one, other)
    }
    cases = [case for how, *case in named if how == one]
    gaps = [named[one, *case] - named[other, *case] for case in cases]
    mean, low, high = clustered_mean(gaps, [topic for topic, _ in cases])
    words = "" if own else " in other words"
    print(f"{one} minus {other}{words}: {mean:.2f} ({low:.2f} to {high:.2f} over topics)")


def table(answers: list[dict], topic: str, question: str = QUESTIONS[0]) -> HTML:
    """The stored answers to one question, by way of steering; "as it is" first."""
    rows = [a for a in answers if a["topic"] in ("", topic) and a["question"] == question]
    cells = (f"<tr><th>{a['how']}</th><td>{html.escape(a['text'])}</td></tr>" for a in rows)
    left = '<table style="text-align:left;font-size:15px">'
    return HTML(f"<b>{question}</b> · {topic}{left}{''.join(cells)}</table>")
