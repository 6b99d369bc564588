"""What the feature explorer knows: where features fire, what they do, and who their relatives are.

A feature is addressed as ("a1", 437), shown as A/1/437, as the paper writes it. D2-26, D2-27.
"""

from __future__ import annotations

import html
from collections import Counter
from functools import cache
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from helpers.ground.errors import CourseError
from helpers.datasets.excerpts import Excerpts, firings
from helpers.datasets import corpus
from helpers.sae.features import PROXIES, Examples
from helpers.sae.model import Dictionary
from helpers.sae.splitting import Edges, living
from helpers.sae.store import load, load_examples, load_tables
from helpers.transformer import model as transformer
from helpers.transformer.model import OneLayerTransformer

ALIVE = 1e-4  # below this share of tokens a feature is dead or close to it


class Relative(NamedTuple):
    """A feature close to another."""

    relation: str  # "parent", "child" or "neighbour"
    where: str  # its dictionary
    number: int
    closeness: float  # masked cosine of activations; for a neighbour the directions' cosine


def spoken(tokens: Tensor, places: Tensor) -> str:
    """What strongest firings, at `places` (n,) of a stream (T,), share: "ways [to]" or "[that]".

    The pair of tokens of at least half of them; else the one token; else the three commonest.
    """
    strings = corpus.token_strings()
    token = tokens[places].tolist()
    pairs = Counter(zip(tokens[(places - 1).clamp(min=0)].tolist(), token, strict=True))
    (before, at), count = pairs.most_common(1)[0]
    common = Counter(token).most_common(3)
    if 2 * count >= len(places):
        gap = " " * strings[at].startswith(" ")
        return f"{shown(strings[before])}{gap}[{shown(strings[at])}]"
    if 2 * common[0][1] >= len(places):
        return f"[{shown(strings[common[0][0]])}]"
    return " / ".join(f"[{shown(strings[number])}]" for number, _ in common)


def stored(device: torch.device | str = "cpu") -> Atlas:
    """A/0, A/1 and A/2 as the course stores them."""
    tables, names = load_tables(), ("a0", "a1", "a2")
    graphs = {
        pair: Edges(*(tables[f"{'>'.join(pair)}.{field}"] for field in Edges._fields))
        for pair in pairwise(names)
    }
    model = transformer.load("lm_relu", device=device)
    dictionaries = {name: load(name, device=device) for name in names}
    return Atlas(model, dictionaries, {name: load_examples(name) for name in names}, graphs)


class Atlas:
    """Dictionaries on one transformer, narrow to wide, their examples and splitting graphs.

    Of the graphs what `living` leaves is kept.
    """

    def __init__(
        self,
        model: OneLayerTransformer,
        dictionaries: dict[str, Dictionary],
        examples: dict[str, Examples],
        graphs: dict[tuple[str, str], Edges],
    ):
        self.model = model
        self.device = model.embed.weight.device
        self.dictionaries = dictionaries
        self.examples = examples
        stream = corpus.stream("heldout")
        self.rows = stream.contexts()[0].to(self.device)
        self.tokens = stream.tokens.long()
        self.strings = [shown(string) for string in corpus.token_strings()]
        self.kinds = PROXIES
        self.sizes = {name: len(found.density) for name, found in examples.items()}
        self.graphs = {pair: living(graph, self.alive(pair[1])) for pair, graph in graphs.items()}

    def called(self, where: str, number: int) -> str:
        """A/1/437. Raises CourseError for a feature that does not exist."""
        if where not in self.sizes or not 0 <= number < self.sizes[where]:
            there = ", ".join(f"{name} (0 to {size - 1:,})" for name, size in self.sizes.items())
            raise CourseError(
                f"There is no feature {number} in {where}: the dictionaries here are {there}."
            )
        return f"{where[0].upper()}/{where[1:]}/{number}"

    # an atlas lives as long as its notebook
    @cache  # noqa: B019
    def name(self, where: str, number: int) -> str:
        """A mechanical name: what its strongest firings share, and their kind of text."""
        found = self.examples[where]
        places = found.top[number][found.top[number] >= 0].long()
        if not len(places):
            return "never fires"
        kind = int(found.specificity_top[number, : len(corpus.DOMAINS)].argmax())
        return f"{spoken(self.tokens, places)} · {PROXIES[kind]}"

    def best(self, where: str, kind: str) -> int:
        """The feature whose activation follows a kind of text most closely (PROXIES)."""
        return int(self.examples[where].correlation[:, PROXIES.index(kind)].argmax())

    def relatives(self, where: str, number: int, most: int = 6) -> list[Relative]:
        """Living parents, children and, by direction, neighbours here; the closest first."""
        d = self.dictionaries[where].directions  # (M, N)
        cosine = (d @ d[number]).cpu()
        cosine[number] = -1
        groups = [("neighbour", where, torch.arange(len(d)), cosine, 4)]
        for (narrow, wide), graph in self.graphs.items():
            for relation, here, there, own, other in (
                ("child", narrow, wide, graph.parent, graph.child),
                ("parent", wide, narrow, graph.child, graph.parent),
            ):
                if here == where:
                    mine = (own == number) & self.alive(there)[other.long()]
                    kin = relation, there, other[mine], graph.similarity[mine], most
                    groups.insert(0, kin)
        found = []
        for relation, there, numbers, closeness, count in groups:
            best = closeness.argsort(descending=True, stable=True)[:count].tolist()
            found += [Relative(relation, there, int(numbers[i]), float(closeness[i])) for i in best]
        return found

    def alive(self, where: str) -> Tensor:
        """(M,) whether each feature fires on more than 1 token in 10,000."""
        return self.examples[where].density > ALIVE

    @torch.no_grad()
    def logits(self, where: str, number: int, most: int = 8) -> list[list[tuple[str, float]]]:
        """The tokens whose logits the feature raises most, and lowers most, at a firing of 1."""
        direction = self.dictionaries[where].directions[number, None]  # (1, N)
        effect = self.model.logit_effects(direction)[0]  # (V,)
        order = effect.argsort(descending=True).tolist()
        ends = order[:most], order[: -most - 1 : -1]
        return [[(self.strings[token], float(effect[token])) for token in end] for end in ends]

    @torch.no_grad()
    def acts(self, where: str, number: int, rows: Tensor) -> Tensor:
        """One feature's activations on rows of tokens (R, T) → (R, T): one column is enough."""
        acts = self.model.activations(rows.to(self.device))
        return self.dictionaries[where].feature(acts, number)

    @torch.no_grad()
    def read(
        self, where: str, text: str, most: int = 4
    ) -> list[tuple[str, list[tuple[int, float]]]]:
        """Token by token: a printable piece, and the features that fire most there."""
        tokens = corpus.encode(text).to(self.device)
        if not 1 < len(tokens) <= corpus.CONTEXT:
            raise CourseError(
                f"This text has {len(tokens) - 1} tokens: give 1 to {corpus.CONTEXT - 1}."
            )
        acts = self.model.activations(tokens[None])[0, 1:]  # (T, N)
        best = self.dictionaries[where].features(acts).topk(most, dim=1)  # (T, most) each
        lines = []
        for token, values, numbers in zip(
            tokens[1:].tolist(), *(part.tolist() for part in best), strict=True
        ):
            fired = [(i, value) for i, value in zip(numbers, values, strict=True) if value > 0]
            lines.append((self.strings[token], fired))
        return lines

    def page(self, where: str, number: int) -> Page:
        """Everything about one feature, to be displayed."""
        return Page(self, where, number)


def shown(token: str) -> str:
    """A token without its leading blank, with what is invisible made visible."""
    return token.replace("\n", "↵").strip(" ") or "␣"


class Page:
    """One feature on a page: HTML in a notebook, words elsewhere. It needs no kernel once drawn."""

    def __init__(self, atlas: Atlas, where: str, number: int):
        self.atlas = atlas
        self.where = where
        self.number = number
        self.title = atlas.called(where, number)
        self.found = atlas.examples[where]
        self.relatives = atlas.relatives(where, number)

    def __repr__(self) -> str:
        return f"{self.title}: {self.atlas.name(self.where, self.number)}; fires on {self._often()}"

    def _often(self) -> str:
        density = float(self.found.density[self.number])
        if not density:
            return "no token"
        often = f"1 token in {round(1 / density, -3):,.0f}"
        if density >= 0.001:
            often = f"{density:.1%} of the tokens"
        rarer = (self.found.density < density).float().mean()
        return f"{often}, more often than {rarer:.0%} of its dictionary"

    def _repr_html_(self) -> str:
        name = html.escape(self.atlas.name(self.where, self.number))
        left, right = self._kinds(), self._logits() + self._family()
        return (
            '<div style="background:#fff;color:#111;font-size:16px;line-height:1.4;'
            f"padding:6px 10px\"><b style='font-size:22px'>{self.title}</b> · {name} · "
            f'fires on {self._often()}<div style="display:flex;flex-wrap:wrap;gap:4px 26px">'
            f'<div style="flex:1 1 20em">{left}</div><div style="flex:1 1 27em">{right}</div></div>'
            f"{self._examples()}</div>"
        )

    def _kinds(self) -> str:
        share = self.found.specificity_top[self.number]
        rows = [
            (PROXIES[i], f"{share[i]:.0%}", f"{self.found.sensitivity[self.number, i]:.0%}")
            for i in share.argsort(descending=True).tolist()
            if share[i] >= 0.05
        ]
        heads = ("kind of text", "of its strong firings", "of that text")
        return table("Where it fires", heads, rows[:5])

    def _logits(self) -> str:
        words = [
            "  ".join(f"{html.escape(token)} <small>{value:+.1f}</small>" for token, value in side)
            for side in self.atlas.logits(self.where, self.number)
        ]
        return f"<b>What it makes likelier</b> ▲ {words[0]}<br><b>less likely</b> ▼ {words[1]}<br>"

    def _family(self) -> str:
        rows = []
        for r in self.relatives:
            title, name = self.atlas.called(r.where, r.number), self.atlas.name(r.where, r.number)
            rows.append((r.relation, title, f"{r.closeness:.2f}", name))
        return table("Relatives", ("", "", "closeness", ""), rows)

    def _examples(self) -> str:
        top = self.found.top[self.number, :5]
        uniform = self.found.uniform[self.number, 1::2, 0].flip(0)
        return self._firings("Strongest firings", top) + self._firings(
            "Firings from all strengths (one of every second twelfth)", uniform
        )

    def _firings(self, title: str, places: Tensor) -> str:
        acts = lambda rows: self.atlas.acts(self.where, self.number, rows)
        largest = float(self.found.maximum[self.number])
        number = '<span style="flex:0 0 3em;padding-top:6px;text-align:right">'
        lines = "".join(
            f'<div style="display:flex">{number}{e.values[e.at]:.1f}</span>'
            f"{Excerpts([e], largest)._repr_html_()}</div>"
            for e in firings(acts, self.atlas.rows, places, before=12, after=4)
        )
        return f"<b>{title}</b>{lines}"


def table(title: str, heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A small HTML table under a title; the cells are escaped."""
    style = "text-align:left;padding:0 10px 0 0;background:#fff;white-space:nowrap"

    def line(cells: tuple[str, ...], tag: str) -> str:
        inside = "".join(f'<{tag} style="{style}">{html.escape(c)}</{tag}>' for c in cells)
        return f"<tr>{inside}</tr>"

    body = "".join(line(row, "td") for row in rows)
    head = line(heads, "th") if any(heads) else ""
    return f'<b>{html.escape(title)}</b><table style="margin:0;font-size:15px">{head}{body}</table>'
