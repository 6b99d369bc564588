"""A text whose words are buttons: a click moves weight, a drawing shows what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import ipywidgets as widgets

from helpers.lesson.widgets.view import View, button


def shift(weights: Sequence[float], place: int, share: float) -> list[float]:
    """The same weights, `share` of all moved to one place; the others give in proportion."""
    return [(1 - share) * weight + share * (i == place) for i, weight in enumerate(weights)]


class WeighView(View):
    """Words as buttons, a slider for how much a click moves, ways back; `weights` as they stand."""

    def __init__(self, words: Sequence[str], weights: Sequence[float], draw: Callable):
        self.words = list(words)
        self.own = list(weights)
        self.weights = list(weights)
        self.past: list[list[float]] = []
        self.draw = draw
        self.buttons = [
            button(word, lambda place=place: self.move(place)) for place, word in enumerate(words)
        ]
        self.share = widgets.FloatSlider(
            value=0.3, min=0.05, max=1, step=0.05, description="a click moves this share"
        )
        self.share.style.description_width = "initial"
        self.share.layout.width = "min(100%, 36em)"
        even = [1 / len(self.own)] * len(self.own)
        self.undo = button("One step back", self._undo)
        self.even = button("All words alike", lambda: self.put(even))
        self.back = button("The model's own", lambda: self.put(self.own))
        text = widgets.HBox(self.buttons, layout=widgets.Layout(flex_flow="row wrap"))
        ways = widgets.HBox([self.undo, self.even, self.back])
        super().__init__("a text whose words are buttons", text, self.share, ways)
        self._refresh(strict=True)

    @property
    def value(self) -> list[float]:
        """The weights as they stand, one a word."""
        return self.weights

    def move(self, place: int) -> None:
        """What a click on a word does: `share` of all weight goes there."""
        self.put(shift(self.weights, place, self.share.value))

    def put(self, weights: Sequence[float]) -> None:
        """Set all weights at once; `undo` knows those of before."""
        self.past.append(self.weights)
        self.weights = list(weights)
        self._refresh()

    def _undo(self) -> None:
        if self.past:
            self.weights = self.past.pop()
            self._refresh()

    def _refresh(self, strict: bool = False) -> None:
        """A heavier word is darker and says its percentage: no weight rests on colour alone."""
        for part, word, weight in zip(self.buttons, self.words, self.weights, strict=True):
            part.description = f"{word} · {100 * weight:.0f} %" if weight >= 0.05 else word
            pale = round(255 - 150 * min(1, weight / max(*self.weights, 1e-9)))
            part.style.button_color = f"#ff{pale:02x}{pale:02x}"
        self.show(self.draw, self.weights, strict=strict)


def weigh_view(words: Sequence[str], weights: Sequence[float], draw: Callable) -> WeighView:
    """Let a person move attention weights from word to word, by mouse or by Tab and Enter.

    weights: one a word, the model's own, to which a button leads back. draw(weights): the drawing.
    Handles: `buttons`, `share`, `undo`, `even`, `back`, `move(place)`, `put(weights)`.
    """
    if len(words) != len(weights):
        raise ValueError(f"{len(words)} words and {len(weights)} weights: give one weight a word.")
    return WeighView(words, weights, draw)
