"""The feature explorer: pick a feature or type a text, see what the feature does, and walk to its
relatives.
"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

import ipywidgets as widgets

from helpers.lesson.widgets.view import View, button

if TYPE_CHECKING:  # a view needs no PyTorch
    from notebooks.support.lesson11.feature_browser import Atlas

# no relation rests on a colour
SIGNS = {"parent": "▲ parent", "child": "▼ child", "neighbour": "◆ neighbour"}
BUTTONS = 16


class FeatureView(View):
    """A page about one feature on the screen; below it three ways to another: its number, its
    relatives, a text.
    """

    def __init__(self, atlas: Atlas, where: str, number: int):
        self.atlas, self.where, self.number, self.past = atlas, where, number, []
        self._moving = False
        wide = widgets.Layout(width="min(100%, 60em)")
        row = widgets.Layout(flex_flow="row wrap")
        title = lambda name: f"{atlas.called(name, 0)[:-2]}, {atlas.sizes[name]:,} features"
        names = [(title(name), name) for name in atlas.sizes]
        self.dictionary = widgets.Dropdown(description="dictionary", options=names, value=where)
        self.feature = widgets.IntText(description="feature", value=number, continuous_update=False)
        kinds = [("a kind of text …", ""), *((kind, kind) for kind in atlas.kinds)]
        self.kind = widgets.Dropdown(description="best for", options=kinds)
        self.relatives = [button("", lambda at=at: self._follow(at)) for at in range(BUTTONS)]
        self.back = button("One step back", self._back)
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
        picks = widgets.HBox([self.dictionary, self.feature, self.kind, self.back], layout=row)
        family = widgets.HBox(self.relatives, layout=row)
        super().__init__("the feature explorer", picks, family, self.text, self.firing, self.tokens)
        self._draw(strict=True)
        self._match_controls()
        self.dictionary.observe(self._other_dictionary, names="value")
        self.feature.observe(lambda change: self._chosen((self.where, change["new"])), "value")
        self.kind.observe(self._other_kind, names="value")
        self.text.observe(lambda change: self.read(), names="value")
        self.firing.observe(lambda change: self._chosen(change["new"]), names="value")

    def _chosen(self, address) -> None:
        if address and not self._moving:
            self.go(*address)

    def _other_dictionary(self, change) -> None:
        if not self._moving:
            self.go(change["new"], self.atlas.best(change["new"], "mathematics"))

    def _other_kind(self, change) -> None:
        if change["new"]:
            self.go(self.where, self.atlas.best(self.where, change["new"]))

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
        page = "".join(map(self._line, lines))
        self.tokens.value = f'<div style="background:#fff;color:#111">{page}</div>'
        offered = [("a feature that fires on this text …", None)]
        for piece, fired in lines:
            for i, v in fired:
                said = f"{self.atlas.called(self.where, i)} at {v:.1f}"
                label = f"{piece.strip() or '␣'}: {said} · {self.atlas.name(self.where, i)}"
                offered.append((label, (self.where, i)))
        self._quietly(lambda: setattr(self.firing, "options", offered))

    def _line(self, line) -> str:
        piece, fired = line
        features = " &nbsp; ".join(
            f"{self.atlas.called(self.where, i)} <b>{v:.1f}</b> "
            f"{html.escape(self.atlas.name(self.where, i))}"
            for i, v in fired
        )
        look = "font-size:17px;color:#111;background:#eee"
        code = f'<code style="{look}">{html.escape(piece)}</code>'
        return f"<div>{code} {features or 'no feature'}</div>"

    def _draw(self, strict: bool = False) -> None:
        page = self.atlas.page(self.where, self.number)
        self.show(lambda: page, strict=strict)
        for place, walk in enumerate(self.relatives):  # the same buttons stay, and so the focus
            relative = page.relatives[place] if place < len(page.relatives) else None
            walk.layout.display = "" if relative else "none"
            if relative:
                title = self.atlas.called(relative.where, relative.number)
                walk.description = f"{SIGNS[relative.relation]} {title} · {relative.closeness:.2f}"
                walk.tooltip = self.atlas.name(relative.where, relative.number)
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
            self.go(*self.past.pop())
            self.past.pop()  # `go` has noted the way back
            self.back.disabled = not self.past


def feature_view(atlas: Atlas, where: str, number: int) -> FeatureView:
    """Explore the features of an atlas by mouse or keyboard, beginning with one of them.

    Handles: `dictionary`, `feature`, `kind`, `text`, `firing`, `relatives`, `back`, `go(where,
    number)`. Lesson 11, D2-27.
    """
    return FeatureView(atlas, where, number)
