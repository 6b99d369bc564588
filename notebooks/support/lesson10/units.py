"""Features and neurons behind one interface: where each fires, what it does, who can read it.

Shapes: R rows of T tokens, M units, V vocabulary. Places count through the rows.
"""

import html
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from scipy.sparse import csc_matrix
from torch import Tensor

from helpers.datasets import corpus
from helpers.datasets.excerpts import Excerpts, firings
from helpers.sae.features import PROXIES, Examples
from helpers.sae.model import Dictionary
from helpers.transformer.model import OneLayerTransformer

BEFORE, AFTER = 6, 2  # a snippet is nine tokens, as in the paper; it is about the seventh
LATIN = 0.9  # of the tokens around a unit's strongest firings: then most people can read them


class Snippet(NamedTuple):
    """Nine tokens of text and how strongly a unit fires on each."""

    tokens: list[int]
    levels: list[int]  # 0–9

    @property
    def pieces(self) -> list[str]:
        """The tokens as printable strings."""
        strings = corpus.token_strings()
        return [strings[token].replace("\n", "↵") or "·" for token in self.tokens]


class Puzzle(NamedTuple):
    """One unit to put into words from `shown`, and to simulate on `hidden`, never seen before."""

    shown: list[Snippet]  # eight of the strongest firings, one from each of twelve intervals
    hidden: list[Snippet]  # four more strong ones, four other intervals, four random places
    places: list[int]  # of the hidden ones in the rows


class Units:
    """The features of a dictionary, or without one the transformer's neurons."""

    def __init__(
        self,
        model: OneLayerTransformer,
        rows: Tensor,
        seen: Examples,
        dictionary: Dictionary | None = None,
    ):
        self.model, self.rows, self.seen, self.dictionary = model, rows, seen, dictionary
        neurons = torch.eye(model.settings.d_mlp, device=rows.device)
        self.directions = dictionary.directions if dictionary else neurons  # (M, N)
        self.effects = model.logit_effects(self.directions)  # (M, V)

    def acts(self, i: int) -> Callable[[Tensor], Tensor]:
        """What maps rows of tokens (n, T) to one unit's activations (n, T)."""
        if self.dictionary:
            return lambda rows: self.dictionary.feature(self.model.activations(rows), i)
        return lambda rows: self.model.activations(rows)[..., i]

    def follows(self, kind: str) -> int:
        """The unit that follows a kind of text of PROXIES best, by correlation."""
        return int(self.seen.correlation[:, PROXIES.index(kind)].argmax())

    def readable(self) -> list[int]:
        """Units that fire at every strength, on more than 1 in 10,000 tokens, in Latin letters."""
        latin = torch.tensor([string.isascii() for string in corpus.token_strings()])
        tokens = self.rows.flatten().cpu()
        around = self.seen.top[..., None] + torch.arange(-BEFORE, AFTER + 1)  # (M, 20, 9)
        share = latin[tokens[around.clamp(0, len(tokens) - 1)]].float().mean(dim=(1, 2))
        full = (self.seen.top >= 0).all(1) & (self.seen.uniform[:, :, :2] >= 0).flatten(1).all(1)
        good = full & (self.seen.density > 1e-4) & (share > LATIN)
        return good.nonzero().flatten().tolist()

    def puzzle(self, i: int) -> Puzzle:
        """One unit's puzzle, always the same."""
        rng = np.random.default_rng(i)
        anywhere = torch.from_numpy(rng.integers(0, self.rows.numel(), 4))
        top, uniform = self.seen.top[i], self.seen.uniform[i]  # (20,), (12, 3)
        hidden = torch.cat([top[8:12], uniform[::3, 1], anywhere])
        shown = torch.cat([top[:8], uniform[:, 0]])
        return Puzzle(self.snippets(i, shown), self.snippets(i, hidden), hidden.tolist())

    @torch.no_grad()
    def snippets(self, i: int, places: Tensor) -> list[Snippet]:
        """Nine tokens around each place (n,), with digits relative to the unit's maximum."""
        row, at = places // self.rows.shape[1], places % self.rows.shape[1]
        texts = self.rows[row.to(self.rows.device)]  # (n, T)
        levels = quantise(self.acts(i)(texts), float(self.seen.maximum[i])).tolist()
        parts = [slice(max(a - BEFORE, 0), a + AFTER + 1) for a in at.tolist()]
        lines = zip(texts.tolist(), levels, parts, strict=True)
        return [Snippet(tokens[part], level[part]) for tokens, level, part in lines]


def strongest(fired: csc_matrix, width: int, count: int = 20) -> Tensor:
    """Places (M, count) of each unit's largest activations in rows of `width` tokens, one a row.

    fired: (R · T, M). What lesson 08's `neurons.strongest` finds; -1 where there are fewer.
    """
    places = torch.full((fired.shape[1], count), -1)
    for i in range(fired.shape[1]):
        at = fired.indices[fired.indptr[i] : fired.indptr[i + 1]]
        order = at[np.argsort(-fired.data[fired.indptr[i] : fired.indptr[i + 1]], kind="stable")]
        _, first = np.unique(order // width, return_index=True)  # the largest of each row
        found = order[np.sort(first)[:count]]
        places[i, : len(found)] = torch.from_numpy(found).long()
    return places


def best_match(a: Tensor, b: Tensor) -> Tensor:
    """For each column of a (T, M) its largest correlation with a column of b (T, K), (M,)."""
    a, b = (F.normalize(x - x.mean(dim=0), dim=0) for x in (a, b))
    return (a.T @ b).amax(dim=1)


def quantise(acts: Tensor, largest: float) -> Tensor:
    """Activations as digits: ten equal intervals between 0 and the unit's maximum, numbered 0–9."""
    return (acts / largest * 10).long().clamp(0, 9)


class Card:
    """A unit on one page: firings at the top, at every strength, and the tokens it raises."""

    def __init__(self, units: Units, i: int):
        seen, strings = units.seen, corpus.token_strings()
        show = lambda places, title: Excerpts(
            firings(units.acts(i), units.rows, places), float(seen.maximum[i]), title
        )
        self.top = show(seen.top[i, :6], "Its strongest firings")
        every = "One firing from each twelfth of its range, strong to weak"
        self.uniform = show(seen.uniform[i, :, 0].flip(0), every)
        raised = units.effects[i].topk(12).indices.tolist()
        self.raised = [strings[t].replace("\n", "↵") for t in raised]

    def __repr__(self) -> str:
        raised = " · ".join(map(repr, self.raised))
        return f"{self.top!r}\n{self.uniform!r}\nMakes more likely: {raised}"

    def _repr_html_(self) -> str:
        style = "border:1px solid #888;padding:0 4px;white-space:pre"
        chips = " ".join(f'<code style="{style}">{html.escape(t)}</code>' for t in self.raised)
        return (
            f'<div style="background:#fff;color:#111">{self.top._repr_html_()}'
            f"{self.uniform._repr_html_()}"
            '<div style="font-size:16px;line-height:1.9;padding:4px 8px"><b>When it fires, '
            f"these tokens become more likely</b><br>{chips}</div></div>"
        )
