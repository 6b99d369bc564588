"""Neurons one by one: how alone each speaks, where it fires hardest, and whether one rule fits.

Shapes: R rows of T tokens, N = R · T tokens in all, F neurons.
"""

from collections import Counter
from typing import NamedTuple

import torch
from torch import Tensor

from helpers.datasets import corpus
from helpers.transformer.measure import token_losses
from helpers.transformer.model import Neurons, OneLayerTransformer, load

SHARE = 0.8  # of a neuron's strongest firings that one rule has to hold for
MOST_COMMON = 0.1  # of all tokens: a rule that holds for more is no explanation


@torch.no_grad()
def stages(model: OneLayerTransformer, rows: Tensor) -> Neurons:
    """The neurons before the activation, after it and after the LayerNorm, (N, F) each.

    rows: tokens (R, T).
    """
    device = model.embed.weight.device
    parts = [model.neurons(model.residual(part.to(device))) for part in rows.split(32)]
    return Neurons(*(torch.cat(stage).flatten(0, 1) for stage in zip(*parts, strict=True)))


def loss_and_size(names, rows: Tensor, device) -> tuple[dict[str, float], dict[str, int]]:
    """{stored model: mean loss on rows (R, T) in nats a token}, {stored model: parameters}."""
    losses, size = [], {}
    for name in names:
        model = load(name, device=device)
        size[name] = sum(weight.numel() for weight in model.parameters())
        losses.append(token_losses(model, rows).mean())
    return dict(zip(names, torch.stack(losses).tolist(), strict=True)), size


def effective_neurons(acts: Tensor) -> Tensor:
    """(Σ|a|)² / Σa², (N, F) → (N,): k where k neurons are equally active."""
    return acts.abs().sum(dim=-1) ** 2 / (acts**2).sum(dim=-1)


def rotation(size: int, seed: int = 0) -> Tensor:
    """A random orthogonal matrix (F, F): the same space, with axes that mean nothing."""
    q, r = torch.linalg.qr(torch.randn(size, size, generator=torch.Generator().manual_seed(seed)))
    return q * r.diagonal().sign()


def strongest(acts: Tensor, count: int = 20) -> Tensor:
    """Places (F, count) of the largest of (R, T, F) among all N tokens, one a row at most."""
    best = acts.max(dim=1)  # (R, F) each
    rows = best.values.topk(count, dim=0).indices  # (count, F)
    return (rows * acts.shape[1] + best.indices.gather(0, rows)).T


class RuleList:
    """What can be said of each token in a word or two, and how often it holds.

    Rules are: which token this is, which one stands before it, the first and last two letters of
    the token, a class of characters, the kind of text. A rule with a base rate above MOST_COMMON
    is no explanation and is never used.
    """

    def __init__(self, rows: Tensor, domains: Tensor):
        self.tokens = rows.flatten().cpu()
        self.domains = domains.flatten().cpu()
        self.width = rows.shape[1]
        strings = corpus.token_strings()
        self._alone = [_of_token(string) for string in strings]
        self._after = [f"after {string!r}" for string in strings]
        counts = Counter(rule for place in range(len(self.tokens)) for rule in self._all(place))
        self.base = {rule: number / len(self.tokens) for rule, number in counts.items()}

    def at(self, place: int) -> set[str]:
        """The rules that hold for one token and are rare enough."""
        return {rule for rule in self._all(place) if self.base[rule] <= MOST_COMMON}

    def follows(self, rule: str) -> Tensor:
        """For every token whether a rule holds, (N,) bool."""
        own = torch.tensor([rule in rules for rules in self._alone])[self.tokens]
        kind = torch.tensor([rule == f"in {name}" for name in corpus.DOMAINS])[self.domains.long()]
        before = torch.tensor([rule == after for after in self._after])[self.tokens.roll(1)]
        before[:: self.width] = False
        return own | kind | before

    def _all(self, place: int) -> set[str]:
        own = self._alone[self.tokens[place]] | {f"in {corpus.DOMAINS[self.domains[place]]}"}
        return own | {self._after[self.tokens[place - 1]]} if place % self.width else own


def _of_token(string: str) -> set[str]:
    rules, word = {f"is {string!r}"}, string.strip()
    if word.isalpha() and len(word) > 2:
        rules |= {f"starts with {word[:2].lower()}", f"ends in {word[-2:].lower()}"}
    classes = {
        "a line break": "\n" in string,
        "a number": word.isdigit(),
        "capitals only": word.isupper() and len(word) > 1,
        "a capital letter first": word[:1].isupper() and string[:1] == " ",
        "brackets": bool(word) and not word.strip("()[]{}"),
        "a backslash": "\\" in word,
        "punctuation": bool(word) and not any(c.isalnum() for c in word),
        "one letter": len(word) == 1 and word.isalpha(),
        "no Latin letter": any(ord(c) > 0x24F for c in word),
    }
    return rules | {name for name, holds in classes.items() if holds}


class Verdict(NamedTuple):
    """The rule that holds for most of a unit's strongest firings."""

    rule: str
    share: float  # of the strongest firings
    base: float  # of all tokens

    @property
    def passes(self) -> bool:
        return self.share >= SHARE


def best_rule(places: Tensor, rules: RuleList) -> Verdict:
    """The rule that holds for most of the places (count,) of a unit's strongest firings.

    Of equal rules the rarest counts. The paper's people judged whether at least 80 % of the
    strongest firings "can be explained by a single rule or category"; this does so with a fixed
    list. It knows no meaning: a stand-in and not a reader (Elhage et al. 2022; D2-11).
    """
    counts = Counter(rule for place in places.tolist() for rule in rules.at(place))
    rule = min(counts, key=lambda rule: (-counts[rule], rules.base[rule], rule), default="none")
    return Verdict(rule, counts[rule] / len(places), rules.base.get(rule, 0.0))


def verdicts(acts: Tensor, rules: RuleList) -> list[Verdict]:
    """`best_rule` on each unit's 20 strongest firings; acts (N, F) on the tokens of `rules`."""
    return [best_rule(at, rules) for at in strongest(acts.unflatten(0, (-1, rules.width)))]


def inconsistent(acts: Tensor, follows: Tensor, edges: Tensor) -> Tensor:
    """The share of one neuron's firings (N,) that break its rule, by relative activation.

    edges (E + 1,): rising shares of the largest activation, such as 0.1, 0.2, … 1. Returns (E,),
    nan for an empty bin. The figure of D2-14.
    """
    follows = follows.to(acts.device)
    bins = torch.bucketize(acts / acts.max(), edges.to(acts.device)) - 1  # below the first: −1
    bins[acts == acts.max()] = len(edges) - 2
    return torch.stack([(~follows[bins == i]).float().mean() for i in range(len(edges) - 1)])
