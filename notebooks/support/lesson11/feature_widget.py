"""The feature explorer: pick a feature or type a text, see what the feature does, and walk to its
relatives.
"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

import ipywidgets as widgets

from helpers.lesson.widgets.view import View

if TYPE_CHECKING:
    from notebooks.support.lesson11.feature_browser import Atlas

SIGNS = {
    "parent": "▲ parent",
    "child": "▼ child",
    "neighbour": "◆ neighbour",
}  # no relation rests on a colour
BUTTONS = 16


class FeatureView(View):
    """A page about one feature on the screen; below it three ways to another: its number, its
    relatives, a text.
    """

    def __init__(self, atlas: Atlas, where: str, number: int):
        self.atlas, self.where, self.number, self.past = atlas, where, number, []
        self._moving = False
        wide = widgets.Layout(width="min(100%, 60em)")
        self.dictionary = widgets.Dropdown(
            description="dictionary",
            options=[
                (f"{atlas.called(name, 0)[:-2]}, {size:,} features", name)
                for name, size in atlas.sizes.items()
            ],
            value=where,
        )
        self.feature = widgets.IntText(description="feature", value=number, continuous_update=False)
        self.kind = widgets.Dropdown(
            description="best for",
            options=[("a kind of text …", ""), *((kind, kind) for kind in atlas.kinds)],
        )
        self.relatives = [
            self._button(lambda place=place: self._follow(place)) for place in range(BUTTONS)
        ]
        self.back = self._button(self._back, "One step back")
        self.text = widgets.Text(
            description="a text",
            placeholder="type a sentence, then Enter: which features fire, token by token?",
            continuous_update=False,
            layout=wide,
        )
        self.firing = widgets.Dropdown(
            description="go to", options=[("type a text first", None)], layout=wide
        )
        self.tokens = widgets.HTML()
        for control in (self.dictionary, self.feature, self.kind):
            control.style.description_width = "initial"  # or a projector shows "diction…"
        picks = widgets.HBox(
            [self.dictionary, self.feature, self.kind, self.back],
            layout=widgets.Layout(flex_flow="row wrap"),
        )
        family = widgets.HBox(self.relatives, layout=widgets.Layout(flex_flow="row wrap"))
        super().__init__("the feature explorer", picks, family, self.text, self.firing, self.tokens)
        self._draw(strict=True)
        self._match_controls()
        self.dictionary.observe(
            lambda change: (
                self._moving or self.go(change["new"], atlas.best(change["new"], "mathematics"))
            ),
            names="value",
        )
        self.feature.observe(
            lambda change: self._moving or self.go(self.where, change["new"]), names="value"
        )
        self.kind.observe(
            lambda change: (
                change["new"] and self.go(self.where, atlas.best(self.where, change["new"]))
            ),
            names="value",
        )
        self.text.observe(lambda change: self.read(), names="value")
        self.firing.observe(
            lambda change: self._moving or (change["new"] and self.go(*change["new"])),
            names="value",
        )

    @property
    def value(self) -> tuple[str, int]:
        """The feature on the screen, such as ("a1", 437)."""
        return self.where, self.number

    def go(self, where: str, number: int) -> None:
        """Show another feature; one that does not exist ends in a sentence, and the page stays."""
        if self.attempt(self.atlas.called, where, number) and (where, number) != self.value:
            self.past.append(self.value)
            self.where, self.number = where, number
            self._draw()
        sentence = self.sentence
        self._match_controls()
        self.say(sentence)

    def read(self) -> None:
        """Show which features of this dictionary fire on the text, and offer them."""
        self.attempt(self._read)

    def _read(self) -> None:
        if not self.text.value.strip():
            return
        lines = self.atlas.read(self.where, self.text.value)
        self.tokens.value = (
            '<div style="background:#fff;color:#111">' + "".join(map(self._line, lines)) + "</div>"
        )
        offered = [
            (
                f"{piece.strip() or '␣'}: {self.atlas.called(self.where, i)} at {v:.1f} · "
                f"{self.atlas.name(self.where, i)}",
                (self.where, i),
            )
            for piece, fired in lines
            for i, v in fired
        ]
        self._quietly(
            lambda: setattr(
                self.firing, "options", [("a feature that fires on this text …", None), *offered]
            )
        )

    def _line(self, line) -> str:
        piece, fired = line
        features = " &nbsp; ".join(
            f"{self.atlas.called(self.where, i)} <b>{v:.1f}</b> "
            f"{html.escape(self.atlas.name(self.where, i))}"
            for i, v in fired
        )
        return (
            "<div><code "
            f'style="font-size:17px;color:#111;background:#eee">{html.escape(piece)}</code> '
            f"{features or 'no feature'}</div>"
        )

    def _draw(self, strict: bool = False) -> None:
        page = self.atlas.page(self.where, self.number)
        self.show(lambda: page, strict=strict)
        for place, button in enumerate(
            self.relatives
        ):  # the same buttons stay, and with them the focus
            relative = page.relatives[place] if place < len(page.relatives) else None
            button.layout.display = "" if relative else "none"
            if relative:
                button.description = (
                    f"{SIGNS[relative.relation]} "
                    f"{self.atlas.called(relative.where, relative.number)} · "
                    f"{relative.closeness:.2f}"
                )
                button.tooltip = self.atlas.name(relative.where, relative.number)
        self._page = page

    def _match_controls(self) -> None:
        def match():
            self.dictionary.value, self.feature.value, self.kind.value = self.where, self.number, ""

        self._quietly(match)
        self.back.disabled = not self.past

    def _quietly(self, change) -> None:
        """Change controls from code without being answered by them."""
        self._moving = True
        try:
            change()
        finally:
            self._moving = False

    def _follow(self, place: int) -> None:
        relative = self._page.relatives[place]
        self.go(relative.where, relative.number)

    def _back(self) -> None:
        if self.past:
            place = self.past.pop()
            self.go(*place)
            self.past.pop()  # `go` has noted the way back
            self.back.disabled = not self.past

    @staticmethod
    def _button(on_click, text: str = "") -> widgets.Button:
        button = widgets.Button(description=text, tooltip=text, layout=widgets.Layout(width="auto"))
        button.on_click(lambda _: on_click())
        return button


def feature_view(atlas: Atlas, where: str, number: int) -> FeatureView:
    """Explore the features of an atlas by mouse or keyboard, beginning with one of them.

    Handles: `dictionary`, `feature`, `kind`, `text`, `firing`, `relatives`, `back`, `go(where,
    number)`. Lesson 11, D2-27.
    """
    return FeatureView(atlas, where, number)
