"""What the course's language models are held against: counted tokens, and six small tasks."""

from typing import NamedTuple

import torch
from torch import Tensor

from helpers.datasets import corpus, reviews
from helpers.transformer.model import OneLayerTransformer


class Counts:
    """What counting alone can do: the unigram and the bigram model of a stream of tokens (N,)."""

    def __init__(self, tokens: Tensor, vocabulary: int = corpus.VOCABULARY):
        tokens = tokens.long()
        self.single = (torch.bincount(tokens, minlength=vocabulary) + 1).float()
        self.single /= self.single.sum()
        pairs = torch.bincount(tokens[:-1] * vocabulary + tokens[1:], minlength=vocabulary**2)
        self.pairs = pairs.view(vocabulary, vocabulary).float()

    def unigram(self, contexts: Tensor) -> Tensor:
        """Loss of each next token from its frequency alone, (R, T − 1)."""
        return -self.single[contexts[:, 1:]].log()

    def bigram(self, contexts: Tensor) -> Tensor:
        """Loss of each next token from the one before.

        Pairs never seen borrow from the unigram (Witten and Bell).
        """
        before, after = contexts[:, :-1], contexts[:, 1:]
        kinds = (self.pairs > 0).sum(dim=1)[before]
        total = self.pairs.sum(dim=1)[before]
        count = self.pairs[before, after] + kinds * self.single[after]
        return -(count / (total + kinds).clamp(min=1)).log()


class Question(NamedTuple):
    """A prompt and the tokens that may follow it."""

    prompt: Tensor  # (T,)
    candidates: list[int]
    right: int  # place of the right one


class Task(NamedTuple):
    """Questions with a fixed number of answers, each answer one token."""

    name: str
    chance: float
    questions: list[Question]


@torch.no_grad()
def accuracy(model: OneLayerTransformer, task: Task) -> float:
    """The share of questions where the right token has the largest logit of the candidates."""
    device = model.embed.weight.device
    right = 0
    for prompt, candidates, answer in task.questions:
        logits = model(prompt[None, -model.settings.context :].to(device))[0, -1, candidates]
        right += int(logits.argmax()) == answer
    return right / len(task.questions)


def tasks(size: int = 400) -> list[Task]:
    """The small tasks of lesson 08 (D2-10), at most `size` questions each."""
    return [
        Task("sentiment of a review", 0.5, _sentiment(size)),
        Task("closing the LaTeX bracket", 1 / 3, _bracket(size)),
        Task("continuing the list", 1 / 9, _lists()),
        Task("copying", 0.5, _copying(size)),
        Task("indenting Python", 0.5, _indent(size)),
        Task("staying in the kind of text", 0.5, _kind_of_text(size)),
    ]


def _one(text: str) -> int:
    tokens = corpus.encode(text, start=False)
    if len(tokens) != 1:
        raise ValueError(f"{text!r} is {len(tokens)} tokens; a candidate must be one.")
    return int(tokens[0])


def _sentiment(size: int) -> list[Question]:
    """Is a review, followed by "this movie is", more likely to go on with " good" or " bad"?"""
    texts, labels = reviews.load("imdb").test
    asked = corpus.encode(" Overall, this movie is", start=False)
    candidates = [_one(" bad"), _one(" good")]
    return [
        Question(torch.cat([corpus.encode(text)[-100:], asked]), candidates, label)
        for text, label in list(zip(texts, labels, strict=True))[:size]
    ]


def _bracket(size: int) -> list[Question]:
    r"""Held-out LaTeX up to a closing delimiter: is it \), \] or $ that comes?"""
    return _next_of([r" \)", r" \]", "$"], "mathematics", 40, size)


def _indent(size: int) -> list[Question]:
    """Held-out Python, at a line's end: is the next line indented by four blanks or by eight?"""
    return _next_of(["\n   ", "\n       "], "code", 20, size)


def _next_of(texts: list[str], domain: str, earliest: int, size: int) -> list[Question]:
    """Places in one kind of text where one of these tokens comes, equally many for each."""
    rows, domains = corpus.stream("heldout").contexts()
    candidates = [_one(text) for text in texts]
    here = domains == corpus.DOMAINS.index(domain)
    here[:, :earliest] = False
    places = [(here & (rows == token)).nonzero() for token in candidates]
    number = min(size // len(candidates), *map(len, places))
    questions = []
    for right, found in enumerate(places):
        for row, place in found[:: max(1, len(found) // number)][:number].tolist():
            questions.append(Question(rows[row, :place], candidates, right))
    return questions


def _lists() -> list[Question]:
    """Counting: "1, 2, 3, 4," goes on with which of nine numbers?"""
    numbers = [_one(f" {n}") for n in range(1, 10)]
    questions = []
    for start in (1, 2, 3):
        for stop in range(start + 3, 10):
            for gap in (",", " +", " \\times", " <"):
                text = " " + f"{gap} ".join(map(str, range(start, stop))) + gap
                questions.append(Question(corpus.encode(text), numbers, stop - 1))
    return questions


def _copying(size: int) -> list[Question]:
    """A B … C D … A: does B come again rather than D? Random tokens: only the context helps."""
    generator = torch.Generator().manual_seed(0)
    questions = []
    for _ in range(size):
        words = torch.randint(300, corpus.VOCABULARY, (12,), generator=generator)
        place = int(torch.randint(0, 5, (1,), generator=generator)) * 2
        other = (place + 4) % 12
        prompt = torch.cat([torch.tensor([corpus.END]), words, words[place : place + 1]])
        questions.append(Question(prompt, [int(words[place + 1]), int(words[other + 1])], 0))
    return questions


def _kind_of_text(size: int) -> list[Question]:
    """Twenty tokens of one kind of text, then the real next token against one of another kind."""
    rows, domains = corpus.stream("heldout").contexts()
    pure = (domains[:, :21] == domains[:, :1]).all(dim=1).nonzero().flatten()
    generator = torch.Generator().manual_seed(0)
    here = pure[torch.randperm(len(pure), generator=generator)]
    there = pure[torch.randperm(len(pure), generator=generator)]
    return [
        Question(rows[a, :20], [int(rows[a, 20]), int(rows[b, 20])], 0)
        for a, b in zip(here, there, strict=True)
        if domains[a, 0] != domains[b, 0] and rows[a, 20] != rows[b, 20]
    ][:size]
