"""What the feature explorer knows: where features of several dictionaries fire, what they do, and who their relatives are.

A feature is addressed as ("a1", 437), shown as A/1/437, as the paper writes it. Lesson 11, D2-26, D2-27.
"""

from __future__ import annotations

import html
from collections import Counter
from functools import cache, cached_property
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.ground.errors import CourseError
from helpers.lesson.widgets.excerpts import Excerpts, firings
from helpers.datasets import corpus
from helpers.sae.features import PROXIES, Examples
from helpers.sae.model import Dictionary
from helpers.sae.splitting import Edges
from helpers.transformer.model import OneLayerTransformer

ALIVE = 1e-4  # below this share of tokens a feature is dead or close to it


class Relative(NamedTuple):
    """A feature close to another."""

    relation: str  # "parent", "child" or "neighbour"
    where: str  # its dictionary
    number: int
    closeness: float  # masked cosine similarity of activations; for a neighbour the cosine of the directions


class Atlas:
    """Dictionaries on one transformer, narrow to wide, with their examples and the splitting graphs between them."""

    def __init__(
        self,
        model: OneLayerTransformer,
        dictionaries: dict[str, Dictionary],
        examples: dict[str, Examples],
        graphs: dict[tuple[str, str], Edges],
    ):
        self.model, self.dictionaries, self.examples, self.graphs = (
            model,
            dictionaries,
            examples,
            graphs,
        )
        stream = corpus.stream("heldout")
        self.rows, self.tokens, self.strings = (
            stream.contexts()[0],
            stream.tokens.long(),
            corpus.token_strings(),
        )
        self.kinds, self.sizes = (
            PROXIES,
            {name: len(found.density) for name, found in examples.items()},
        )

    def called(self, where: str, number: int) -> str:
        """A/1/437. Raises CourseError for a feature that does not exist."""
        if where not in self.sizes or not 0 <= number < self.sizes[where]:
            there = ", ".join(f"{name} (0 to {size - 1:,})" for name, size in self.sizes.items())
            raise CourseError(
                f"There is no feature {number} in {where}: the dictionaries here are {there}."
            )
        return f"{where[0].upper()}/{where[1:]}/{number}"

    @cache  # noqa: B019: an atlas lives as long as its notebook
    def name(self, where: str, number: int) -> str:
        """A mechanical name: the commonest tokens among the strongest firings, and the kind of text most of them lie in."""
        found = self.examples[where]
        places = found.top[number][found.top[number] >= 0]
        tokens = Counter(shown(self.strings[t]) for t in self.tokens[places].tolist())
        kind = int(found.specificity_top[number, : len(corpus.DOMAINS)].argmax())
        return (
            " ".join(f"‘{token}’" for token, _ in tokens.most_common(3)) + f" · {PROXIES[kind]}"
            if tokens
            else "never fires"
        )

    def best(self, where: str, kind: str) -> int:
        """The feature whose activation follows a kind of text most closely (PROXIES)."""
        return int(self.examples[where].correlation[:, PROXIES.index(kind)].argmax())

    def relatives(self, where: str, number: int, most: int = 6) -> list[Relative]:
        """Parents, children and, by direction in the same dictionary, neighbours; only living ones, the closest first."""
        found = []
        for (narrow, wide), graph in self.graphs.items():
            for relation, here, mine, other, theirs in (
                ("parent", wide, graph.child, narrow, graph.parent),
                ("child", narrow, graph.parent, wide, graph.child),
            ):
                edges = (
                    (mine == number).nonzero().flatten()
                    if here == where
                    else torch.empty(0, dtype=torch.long)
                )
                edges = edges[self.alive(other)[theirs[edges].long()]]
                edges = edges[graph.similarity[edges].argsort(descending=True, stable=True)][:most]
                found += [
                    Relative(relation, other, int(theirs[e]), float(graph.similarity[e]))
                    for e in edges
                ]
        cosine = (self._directions[where] @ self._directions[where][number]).masked_fill(
            ~self.alive(where), -1
        )
        cosine[number] = -1
        near = cosine.topk(4)
        return found + [
            Relative("neighbour", where, i, c)
            for c, i in zip(near.values.tolist(), near.indices.tolist(), strict=True)
        ]

    def alive(self, where: str) -> Tensor:
        """(M,) whether each feature fires on more than 1 token in 10,000."""
        return self.examples[where].density > ALIVE

    @cached_property
    def _directions(self) -> dict[str, Tensor]:
        return {name: dictionary.directions for name, dictionary in self.dictionaries.items()}

    @torch.no_grad()
    def logits(
        self, where: str, number: int, most: int = 8
    ) -> tuple[list[tuple[str, float]], list[tuple[str, float]]]:
        """The tokens whose logits the feature raises most, and lowers most, with what a firing of 1 does to them."""
        effect = self.model.logit_effects(self._directions[where][number, None])[0]  # (V,)
        return tuple(
            [
                (shown(self.strings[t]), v)
                for v, t in zip(best.values.tolist(), best.indices.tolist(), strict=True)
            ]
            for best in (effect.topk(most), effect.topk(most, largest=False))
        )

    @torch.no_grad()
    def acts(self, where: str, number: int, rows: Tensor) -> Tensor:
        """One feature's activations on rows of tokens (R, T) → (R, T): one encoder row is enough."""
        dictionary = self.dictionaries[where]
        sae, x = dictionary.sae, self.model.activations(rows) * dictionary.scale
        return F.relu((x - sae.b_d) @ sae.W_e[number] + sae.b_e[number])

    @torch.no_grad()
    def read(
        self, where: str, text: str, most: int = 4
    ) -> list[tuple[str, list[tuple[int, float]]]]:
        """Token by token: a printable piece, and the features that fire there with their strengths, the strongest first."""
        tokens = corpus.encode(text)
        if not 1 < len(tokens) <= corpus.CONTEXT:
            raise CourseError(
                f"This text has {len(tokens) - 1} tokens: give 1 to {corpus.CONTEXT - 1}."
            )
        fired = self.dictionaries[where].features(self.model.activations(tokens[None]))[
            0, 1:
        ]  # (T, M)
        best, which = fired.topk(most, dim=1)
        return [
            (
                shown(self.strings[token]),
                [(i, v) for i, v in zip(row, values, strict=True) if v > 0],
            )
            for token, row, values in zip(
                tokens[1:].tolist(), which.tolist(), best.tolist(), strict=True
            )
        ]

    def page(self, where: str, number: int) -> Page:
        """Everything about one feature, to be displayed."""
        return Page(self, where, number)


def shown(token: str) -> str:
    """A token without its leading blank, with what is invisible made visible."""
    return token.replace("\n", "↵").strip(" ") or "␣"


class Page:
    """One feature on a page: HTML in a notebook, words elsewhere. It needs no kernel once it is drawn."""

    def __init__(self, atlas: Atlas, where: str, number: int):
        self.atlas, self.where, self.number, self.title = (
            atlas,
            where,
            number,
            atlas.called(where, number),
        )
        self.found, self.relatives = atlas.examples[where], atlas.relatives(where, number)

    def __repr__(self) -> str:
        return f"{self.title}: {self.atlas.name(self.where, self.number)}; fires on {self._often()}"

    def _often(self) -> str:
        density = float(self.found.density[self.number])
        return (
            f"{density:.1%} of the tokens"
            if density >= 0.001
            else f"1 token in {round(1 / density, -3):,.0f}"
            if density
            else "no token"
        )

    def _repr_html_(self) -> str:
        parts = "".join(
            f'<div style="flex:1 1 {wide}em">{part}</div>'
            for wide, part in (
                (20, self._kinds() + self._density()),
                (27, self._logits() + self._family()),
            )
        )
        title = f"<b style='font-size:22px'>{self.title}</b> · {html.escape(self.atlas.name(self.where, self.number))} · fires on {self._often()}"
        return (
            f'<div style="background:#fff;color:#111;font-size:16px;line-height:1.4;padding:6px 10px">{title}'
            f'<div style="display:flex;flex-wrap:wrap;gap:4px 26px">{parts}</div>{self._examples()}</div>'
        )

    def _kinds(self) -> str:
        share = self.found.specificity_top[self.number]
        rows = [
            (PROXIES[i], f"{share[i]:.0%}", f"{self.found.sensitivity[self.number, i]:.0%}")
            for i in share.argsort(descending=True).tolist()
            if share[i] >= 0.05
        ]
        return table(
            "Where it fires", ("kind of text", "of its strong firings", "of that text"), rows[:5]
        )

    def _density(self) -> str:
        """How often it fires among all features of its dictionary, as a small drawing with a marker."""
        logs = self.found.density[self.found.density > 1e-6].log10()
        counts = torch.histc(logs, 24, -6, 0)
        bars = "".join(
            f'<rect x="{10 * i}" y="{60 - 60 * c:.0f}" width="9" height="{60 * c:.0f}" fill="#56B4E9"/>'
            for i, c in enumerate((counts / counts.max()).tolist())
        )
        at = float(self.found.density[self.number].clamp(min=1e-6).log10() + 6) * 40
        axis = "".join(
            f'<text x="{x}" y="88" font-size="13" text-anchor="middle">{label}</text>'
            for x, label in ((40, "1e-5"), (120, "1e-3"), (200, "10 %"))
        )
        return (
            f'<b>How often</b><br><svg viewBox="0 0 240 92" width="240" height="92" role="img" aria-label="Densities of all features; this one is marked">{bars}'
            f'<path d="M{at:.0f} 62 l-6 12 h12 z" fill="#000"/>{axis}</svg>'
        )

    def _logits(self) -> str:
        words = [
            "  ".join(f"{html.escape(token)} <small>{value:+.1f}</small>" for token, value in side)
            for side in self.atlas.logits(self.where, self.number)
        ]
        return f"<b>What it makes likelier</b> ▲ {words[0]}<br><b>less likely</b> ▼ {words[1]}<br>"

    def _family(self) -> str:
        rows = [
            (
                r.relation,
                self.atlas.called(r.where, r.number),
                f"{r.closeness:.2f}",
                self.atlas.name(r.where, r.number),
            )
            for r in self.relatives
        ]
        return table("Relatives", ("", "", "closeness", ""), rows)

    def _examples(self) -> str:
        acts = lambda rows: self.atlas.acts(self.where, self.number, rows)
        top = firings(acts, self.atlas.rows, self.found.top[self.number, :5], before=12, after=4)
        uniform = firings(
            acts,
            self.atlas.rows,
            self.found.uniform[self.number, 1::2, 0].flip(0),
            before=12,
            after=4,
        )
        largest = float(self.found.maximum[self.number])
        draw = lambda title, some: (
            f"<b>{title}</b>"
            + "".join(
                f'<div style="display:flex"><span style="flex:0 0 3em;padding-top:6px;text-align:right">{e.values[e.at]:.1f}</span>{Excerpts([e], largest)._repr_html_()}</div>'
                for e in some
            )
        )
        return draw("Strongest firings", top) + draw(
            "Firings from all strengths (one of every second twelfth)", uniform
        )


def table(title: str, heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A small HTML table under a title; the cells are escaped."""
    cells = lambda row, tag: "".join(
        f'<{tag} style="text-align:left;padding:0 10px 0 0;background:#fff;white-space:nowrap">{html.escape(cell)}</{tag}>'
        for cell in row
    )
    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    head = f"<tr>{cells(heads, 'th')}</tr>" if any(heads) else ""
    return f'<b>{html.escape(title)}</b><table style="margin:0;font-size:15px">{head}{body}</table>'
