"""Pieces of text with the activations of one neuron or feature behind them: big enough for a projector, readable without a kernel."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

MOST_WORDS = 60  # what a recorded notebook may show of a text
SHADES = 5  # steps, so that no shade hangs on a last digit


class Excerpt(NamedTuple):
    """A piece of text."""

    pieces: tuple[str, ...]  # printable strings of its tokens
    values: tuple[float, ...]  # an activation for each
    at: int  # which of them it is about


class Excerpts:
    """Excerpts under one another. Shading is relative to `largest`; the token that each is about is framed and bold."""

    def __init__(
        self, excerpts: Sequence[Excerpt], largest: float, title: str = "", mark: bool = True
    ):
        self.excerpts, self.largest, self.title, self.mark = (
            list(excerpts),
            max(float(largest), 1e-9),
            title,
            mark,
        )

    def __repr__(self) -> str:
        lines = [
            "".join(
                f"[{p}]" if i == e.at and self.mark else p for i, p in enumerate(e.pieces)
            ).strip()
            for e in self.excerpts
        ]
        return "\n".join([self.title] * bool(self.title) + lines)

    def _repr_html_(self) -> str:
        lines = "".join(f'<div style="margin:2px 0">{self._line(e)}</div>' for e in self.excerpts)
        title = f"<b>{html.escape(self.title)}</b>" if self.title else ""
        return f'<div style="background:#fff;color:#111;font-size:16px;line-height:1.5;padding:4px 8px">{title}{lines}</div>'

    def _line(self, e: Excerpt) -> str:
        """In <code>, where Jupyter sets no $...$ as a formula: the dollars are tokens, and their shading has to stay."""
        inside = "".join(
            self._piece(piece, value / self.largest, i == e.at and self.mark)
            for i, (piece, value) in enumerate(zip(e.pieces, e.values, strict=True))
        )
        return f'<code style="font:inherit;color:inherit;background:none;padding:0;white-space:normal">{inside}</code>'

    @staticmethod
    def _piece(piece: str, share: float, framed: bool) -> str:
        shade = round(min(max(share, 0.0), 1.0) * SHADES) / SHADES
        style = (
            f"background:rgba(213,94,0,{0.85 * shade:.2g});" * (shade > 0)
            + "outline:2px solid #111;font-weight:bold;" * framed
        )
        text = html.escape(piece)
        return f'<span style="{style}">{text}</span>' if style else text


def excerpt(tokens: Tensor, values: Tensor, at: int, before: int = 16, after: int = 4) -> Excerpt:
    """Cut a piece out of a row of the corpus's tokens (T,) with activations (T,), around place `at`, inside its document."""
    from helpers.datasets import corpus

    row = tokens.tolist()
    first = max([at - before, 0, *(n + 1 for n in range(at) if row[n] == corpus.END)])
    stop = min(
        [at + after + 1, len(row), *(n for n in range(at + 1, len(row)) if row[n] == corpus.END)]
    )
    pieces = _pieces([corpus.token_bytes()[token] for token in row[first:stop]])
    while len("".join(pieces).split()) > MOST_WORDS:
        first, pieces = first + 1, pieces[1:]
    return Excerpt(tuple(pieces), tuple(values[first:stop].float().tolist()), at - first)


def _pieces(raw: list[bytes]) -> list[str]:
    """Tokens as printable strings; a character cut into several tokens stands in the last of them, the others show ·."""
    text, pieces = b"", []
    for part in raw:
        old = text.decode(errors="ignore")
        text += part
        pieces.append(text.decode(errors="ignore")[len(old) :].replace("\n", "↵") or "·")
    return pieces


def firings(
    acts: Callable[[Tensor], Tensor], rows: Tensor, places: Tensor, **cut: int
) -> list[Excerpt]:
    """An excerpt around each of some places (n,) in rows of tokens (R, T), counted through all rows; −1 is left out.

    acts: rows (n, T) → one unit's activations (n, T), such as `lambda r: model.activations(r)[..., 7]`.
    """
    places = places[places >= 0]
    mine = rows[places // rows.shape[1]]
    return (
        [
            excerpt(row, values, int(place) % rows.shape[1], **cut)
            for row, values, place in zip(mine, acts(mine), places, strict=True)
        ]
        if len(places)
        else []
    )
