"""Pieces of the corpus with one unit's activations behind them, on a page or as plain text."""

import html
from collections.abc import Callable, Sequence
from typing import NamedTuple

from torch import Tensor

from helpers.datasets import corpus
from helpers.ground.errors import checked

MOST_WORDS = 60  # what a recorded notebook may show of a text
SHADES = 5  # steps, so that no shade hangs on a last digit
PAGE = "background:#fff;color:#111;font-size:16px;line-height:1.5;padding:4px 8px"
LINE = "font:inherit;color:inherit;background:none;padding:0;"
LINE += "white-space:normal;overflow-wrap:anywhere"  # letters of DNA have no blank


class Excerpt(NamedTuple):
    """A piece of text."""

    pieces: tuple[str, ...]  # printable strings of its tokens
    values: tuple[float, ...]  # an activation for each
    at: int  # which of them it is about


class Excerpts:
    """Excerpts under one another, shaded relative to `largest`; mark: frame what each is about."""

    def __init__(self, excerpts: Sequence[Excerpt], largest: float, title="", mark=True):
        self.excerpts = list(excerpts)
        self.largest = max(float(largest), 1e-9)
        self.title, self.mark = title, mark

    def __repr__(self) -> str:
        lines = [self.title] if self.title else []
        for e in self.excerpts:
            marked = [f"[{p}]" if self.mark and i == e.at else p for i, p in enumerate(e.pieces)]
            lines.append("".join(marked).strip())
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        lines = "".join(f'<div style="margin:2px 0">{self._line(e)}</div>' for e in self.excerpts)
        title = f"<b>{html.escape(self.title)}</b>" if self.title else ""
        return f'<div style="{PAGE}">{title}{lines}</div>'

    def _line(self, e: Excerpt) -> str:
        """In <code>, where Jupyter sets no $...$ as a formula: the dollars are tokens."""
        inside = ""
        for i, (piece, value) in enumerate(zip(e.pieces, e.values, strict=True)):
            shade = round(min(max(value / self.largest, 0.0), 1.0) * SHADES) / SHADES
            style = f"background:rgba(213,94,0,{0.85 * shade:.2g});" if shade > 0 else ""
            style += "outline:2px solid #111;font-weight:bold;" if self.mark and i == e.at else ""
            text = html.escape(piece)
            inside += f'<span style="{style}">{text}</span>' if style else text
        return f'<code style="{LINE}">{inside}</code>'


def excerpt(tokens: Tensor, values: Tensor, at: int, before: int = 16, after: int = 4) -> Excerpt:
    """A piece of tokens (T,) with activations (T,) around `at`, inside its document, not long."""
    row = tokens.tolist()
    ends = [place for place, token in enumerate(row) if token == corpus.END]
    first = max([at - before, 0, *(end + 1 for end in ends if end < at)])
    stop = min([at + after + 1, len(row), *(end for end in ends if end > at)])
    pieces = _pieces([corpus.token_bytes()[token] for token in row[first:stop]])
    while len("".join(pieces).split()) > MOST_WORDS:
        first, pieces = first + 1, pieces[1:]
    return Excerpt(tuple(pieces), tuple(values[first:stop].float().tolist()), at - first)


def _pieces(raw: list[bytes]) -> list[str]:
    """Printable strings; a character cut into several tokens stands in the last, others show ·."""
    text, pieces = b"", []
    for part in raw:
        old = text.decode(errors="ignore")
        text += part
        pieces.append(text.decode(errors="ignore")[len(old) :].replace("\n", "↵") or "·")
    return pieces


@checked
def firings(acts: Callable, rows: Tensor, places: Tensor, **cut: int) -> list[Excerpt]:
    """An excerpt around each of some places (n,), counted through rows of tokens (R, T); -1: none.

    acts: rows (n, T) → one unit's activations, such as `lambda r: model.activations(r)[..., 7]`.
    """
    width = rows.shape[1]
    places = places[places >= 0]
    if not len(places):
        return []
    contexts = rows[places // width]  # (n, T)
    values = acts(contexts).cpu()
    at = (places % width).tolist()
    return [excerpt(*context, **cut) for context in zip(contexts.cpu(), values, at, strict=True)]
