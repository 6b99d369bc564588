"""How good a transformer is: its loss by kind of text, with and without its MLP, beside counts of tokens; small tasks with two
or more answers. All on held-out text."""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.datasets import corpus, reviews
from helpers.transformer.model import OneLayerTransformer


def ablate(acts: Tensor) -> Tensor:
    """An `edit` that silences the MLP's neurons: the baseline that "loss recovered" is measured from."""
    return torch.zeros_like(acts)


@torch.no_grad()
def token_losses(
    model: OneLayerTransformer, contexts: Tensor, edit: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """Cross-entropy of each next token in nats, (R, T − 1), for rows of tokens (R, T)."""
    device = model.embed.weight.device
    parts = []
    for part in contexts.split(16):
        logits = model(part[:, :-1].to(device), edit)
        parts.append(
            F.cross_entropy(
                logits.flatten(0, 1), part[:, 1:].flatten().to(device), reduction="none"
            )
            .view(len(part), -1)
            .cpu()
        )
    return torch.cat(parts)


def by_domain(losses: Tensor, domains: Tensor) -> dict[str, float]:
    """Mean of per-token values (R, T − 1) over all tokens and over each kind of text; domains are those of the predicted tokens, (R, T − 1)."""
    return {"all": losses.mean().item()} | {
        name: losses[domains == i].mean().item()
        for i, name in enumerate(corpus.DOMAINS)
        if (domains == i).any()
    }


def loss_recovered(
    model: OneLayerTransformer, contexts: Tensor, edit: Callable[[Tensor], Tensor]
) -> float:
    """(ablated − edited) / (ablated − intact): 1 where the edit changes nothing, 0 where it is as bad as no MLP at all."""
    intact, edited, ablated = (
        token_losses(model, contexts, e).mean() for e in (None, edit, ablate)
    )
    return ((ablated - edited) / (ablated - intact)).item()


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
        """Loss of each next token from the one before; pairs never seen borrow from the unigram (Witten and Bell)."""
        before, after = contexts[:, :-1], contexts[:, 1:]
        kinds, total = (self.pairs > 0).sum(dim=1)[before], self.pairs.sum(dim=1)[before]
        return -(
            (self.pairs[before, after] + kinds * self.single[after]) / (total + kinds).clamp(min=1)
        ).log()


class Task(NamedTuple):
    """Questions with a fixed number of answers, each answer one token."""

    name: str
    chance: float
    questions: list[
        tuple[Tensor, list[int], int]
    ]  # prompt (T,), candidate tokens, place of the right one


@torch.no_grad()
def accuracy(model: OneLayerTransformer, task: Task) -> float:
    """The share of questions where the right token has the largest logit among the candidates."""
    right = 0
    for prompt, candidates, answer in task.questions:
        right += int(
            model(prompt[None, -model.settings.context :])[0, -1, candidates].argmax() == answer
        )
    return right / len(task.questions)


def tasks(size: int = 400) -> list[Task]:
    """The small tasks of lesson 08 (D2-10), each from held-out text or generated, at most `size` questions."""
    return [
        _sentiment(size),
        _bracket(size),
        _lists(),
        _copying(size),
        _indent(size),
        _alphabet(size),
    ]


def _one(text: str) -> int:
    tokens = corpus.encode(text, start=False)
    if len(tokens) != 1:
        raise ValueError(f"{text!r} is {len(tokens)} tokens; a candidate must be one.")
    return int(tokens[0])


def _sentiment(size: int) -> Task:
    """Is a review, followed by "This movie is", more likely to go on with " good" or with " bad"?"""
    texts, labels = reviews.load("imdb").test
    question = corpus.encode(" Overall, this movie is", start=False)
    return Task(
        "sentiment of a review",
        0.5,
        [
            (
                torch.cat([corpus.encode(text)[-100:], question]),
                [_one(" bad"), _one(" good")],
                label,
            )
            for text, label in list(zip(texts, labels))[:size]
        ],
    )


def _bracket(size: int) -> Task:
    r"""Held-out LaTeX up to a closing delimiter: is it \), \] or $ that comes?"""
    rows, domains = corpus.stream("heldout").contexts()
    closers = [_one(r" \)"), _one(r" \]"), _one("$")]
    found = (rows == closers[0]) | (rows == closers[1]) | (rows == closers[2])
    found &= domains == corpus.DOMAINS.index("mathematics")
    found[:, :40] = False
    return Task(
        "closing the LaTeX bracket",
        1 / 3,
        [
            (rows[r, :t], closers, closers.index(int(rows[r, t])))
            for r, t in _balanced(found, rows, closers, size)
        ],
    )


def _balanced(found: Tensor, rows: Tensor, tokens: list[int], size: int) -> list[tuple[int, int]]:
    """Places (row, position), equally many for each token, spread over the text."""
    each = [(found & (rows == token)).nonzero() for token in tokens]
    number = min(size // len(tokens), *map(len, each))
    return [
        tuple(place)
        for places in each
        for place in places[:: max(1, len(places) // number)][:number].tolist()
    ]


def _lists() -> Task:
    """Counting: "1, 2, 3, 4," goes on with which of nine numbers?"""
    numbers = [_one(f" {n}") for n in range(1, 10)]
    prompts = [
        (" " + f"{gap} ".join(map(str, range(start, stop))) + gap, stop)
        for start in (1, 2, 3)
        for stop in range(start + 3, 10)
        for gap in (",", " +", " \\times", " <")
    ]
    return Task(
        "continuing the list",
        1 / 9,
        [(corpus.encode(text), numbers, stop - 1) for text, stop in prompts],
    )


def _copying(size: int) -> Task:
    """A B … C D … A: does B come again rather than D? Random tokens, so that nothing but the context helps."""
    generator = torch.Generator().manual_seed(0)
    questions = []
    for _ in range(size):
        words = torch.randint(300, corpus.VOCABULARY, (12,), generator=generator)
        place = int(torch.randint(0, 5, (1,), generator=generator)) * 2
        other = (place + 4) % 12
        questions.append(
            (
                torch.cat([torch.tensor([corpus.END]), words, words[place : place + 1]]),
                [int(words[place + 1]), int(words[other + 1])],
                0,
            )
        )
    return Task("copying", 0.5, questions)


def _indent(size: int) -> Task:
    """Held-out Python, at the end of a line: is the next line indented by four or by eight blanks?"""
    rows, domains = corpus.stream("heldout").contexts()
    choices = [_one("\n   "), _one("\n       ")]
    found = ((rows == choices[0]) | (rows == choices[1])) & (
        domains == corpus.DOMAINS.index("code")
    )
    found[:, :20] = False
    return Task(
        "indenting Python",
        0.5,
        [
            (rows[r, :t], choices, choices.index(int(rows[r, t])))
            for r, t in _balanced(found, rows, choices, size)
        ],
    )


def _alphabet(size: int) -> Task:
    """Twenty tokens of one kind of text, then the real next token against one from another kind."""
    rows, domains = corpus.stream("heldout").contexts()
    pure = (domains[:, :21] == domains[:, :1]).all(dim=1).nonzero().flatten()
    generator = torch.Generator().manual_seed(0)
    here, there = (pure[torch.randperm(len(pure), generator=generator)] for _ in range(2))
    return Task(
        "staying in the kind of text",
        0.5,
        [
            (rows[a, :20], [int(rows[a, 20]), int(rows[b, 20])], 0)
            for a, b in zip(here, there)
            if domains[a, 0] != domains[b, 0] and rows[a, 20] != rows[b, 20]
        ][:size],
    )
