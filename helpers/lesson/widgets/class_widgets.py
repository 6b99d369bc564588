"""Views for a room: a board, a question with choices, a blinded rating. What is answered goes into the class folder."""

from __future__ import annotations

import asyncio
import html
import string
from collections.abc import Callable, Sequence
from contextlib import suppress

import ipywidgets as widgets
from IPython.display import Markdown

from helpers.ground.errors import CourseError
from helpers.lesson.answers import Store
from helpers.lesson.boards import Board
from helpers.lesson.rating import Rating
from helpers.lesson.widgets.view import View

WIDE = "min(100%, 48em)"  # a width and no Layout: a shared Layout hides all its widgets when one is hidden


def _button(text: str, on_click: Callable[[], None], tip: str = "") -> widgets.Button:
    button = widgets.Button(
        description=text, tooltip=tip or text, layout=widgets.Layout(width="auto")
    )
    button.on_click(lambda _: on_click())
    return button


# ---------------------------------------------------------------- board


class BoardView(View):
    """A question, everybody's answers, and a box for one's own."""

    def __init__(self, board: Board):
        self.board = board
        self.text = widgets.Textarea(
            placeholder="your answer",
            continuous_update=False,
            rows=3,
            layout=widgets.Layout(width="min(100%, 48em)"),
        )
        self.seat = widgets.Dropdown(options=board.seats or [""], description="speaking as")
        self.seat.style.description_width = "initial"
        self.seat.layout.display = "" if board.seats else "none"
        self.put = _button("Put it on the board", self._put)
        self.take_back = _button("Take my last one back", self._take_back)
        self.save = _button("Save as Markdown", self._save)
        super().__init__(
            "a board for answers",
            self.seat,
            self.text,
            widgets.HBox([self.put, self.take_back, self.save]),
        )
        self.refresh()

    @property
    def value(self) -> list[str]:
        """The answers on the board."""
        return [answer.text for answer in self.board.answers()]

    def refresh(self) -> None:
        """Show the board as it is now, other people's files in the class folder included."""
        self.show(lambda: Markdown(self.board.export()))
        self.say(self.sentence or self.board.store.trouble)

    def _put(self) -> None:
        if self.attempt(self.board.answer, self.text.value, self.seat.value or None):
            self.text.value = ""
            self.refresh()

    def _take_back(self) -> None:
        if self.attempt(self.board.take_back):
            self.refresh()

    def _save(self) -> None:
        if self.attempt(lambda: setattr(self, "saved", self.board.save())):
            self.say(f"Saved as {self.saved}.")


def board_view(board: Board) -> BoardView:
    """Show a board and let the learner write on it. Handles: `text`, `seat`, `put`, `take_back`, `save`."""
    return BoardView(board)


# ---------------------------------------------------------------- a question with choices


class ChoiceView(View):
    """A question to answer before looking."""

    def __init__(
        self, key: str, question: str, choices: Sequence[str], right: int, why: str, folder=None
    ):
        self.key, self.right, self.why, self.chosen = key, right, why, None
        self.letters = [f"({letter})" for letter in string.ascii_lowercase[: len(choices)]]
        self.text = f"**{question}**\n\n" + "\n".join(
            f"- {le} {text}" for le, text in zip(self.letters, choices, strict=True)
        )
        self.store = Store("prediction", folder)
        self.choices = [
            _button(letter, lambda n=n: self.choose(n), text)
            for n, (letter, text) in enumerate(zip(self.letters, choices, strict=True))
        ]
        super().__init__("a question: choose before you look", widgets.HBox(self.choices))
        self.show(lambda: Markdown(self.text))

    @property
    def value(self) -> int | None:
        """The number of the choice, from 0; None before it is made."""
        return self.chosen

    def choose(self, number: int) -> None:
        """Make the choice: it is stored, and the answer is told. Only the first one counts."""
        if self.chosen is not None:
            return
        if not 0 <= number < len(self.letters):
            raise CourseError(f"There are choices 0 to {len(self.letters) - 1}, not {number}.")
        self.chosen = number
        self.store.add(self.key, "", number)
        for place, button in enumerate(self.choices):
            button.disabled, button.button_style = True, "success" if place == self.right else ""
        told = (
            f"You chose {self.letters[number]}, and so it is."
            if number == self.right
            else f"You chose {self.letters[number]}; it is {self.letters[self.right]}."
        )
        self.show(lambda: Markdown(f"{self.text}\n\n{told} {self.why}"))
        self.say(self.store.trouble)


def choice_view(
    key: str, question: str, choices: Sequence[str], right: int, why: str, folder=None
) -> ChoiceView:
    """Ask for a prediction, keep it (activity "prediction", item `key`, the number chosen), then tell the answer.

    question, choices, why: Markdown. right: the number of the right choice, from 0. Handles: `choices`, `choose(number)`.
    """
    return ChoiceView(key, question, choices, right, why, folder)


# ---------------------------------------------------------------- rating


class RatingView(View):
    """Items one after the other, answered with single keys or buttons."""

    def __init__(self, rating: Rating, show: Callable, intro: str):
        self.rating, self.show_item, self._read = rating, show, 0
        self.asked, self.progress = widgets.HTML(), widgets.HTML()
        most = max(len(question.choices) for question in rating.questions)
        self.choices = [
            _button("", lambda place=place: self._act(self._choose, place)) for place in range(most)
        ]
        self.key_box = widgets.Text(
            description="keys", placeholder="click here, then press digits; b back, s skip"
        )
        self.text = widgets.Text(
            placeholder="write, then Enter",
            continuous_update=False,
            layout=widgets.Layout(width=WIDE),
        )
        self.begin = _button("Start", self.start)
        self.back = _button("Back", lambda: self._act(rating.back))
        self.skip = _button("Pass over", lambda: self._act(rating.skip))
        self.panel = widgets.VBox(
            [
                self.asked,
                widgets.HBox(self.choices, layout=widgets.Layout(flex_flow="row wrap")),
                self.text,
                widgets.HBox([self.key_box, self.back, self.skip]),
            ]
        )
        super().__init__("a rating", self.begin, self.panel, self.progress)
        self.panel.layout.display = "none"
        self.key_box.observe(self._typed, names="value")
        self.text.observe(self._written, names="value")
        self.show(lambda: Markdown(_introduction(rating, intro)))
        self._refresh_progress()

    @property
    def value(self) -> dict:
        """What was answered, by item; None for those passed over."""
        return dict(self.rating.given)

    def start(self) -> None:
        """Show the first item that has no answer yet."""
        self.begin.layout.display, self.panel.layout.display = "none", ""
        self.rating.start()
        self._refresh(new_item=True)
        with suppress(
            RuntimeError
        ):  # outside a notebook no loop is running, and nobody looks at the clock
            self._clock = asyncio.get_running_loop().create_task(self._tick())

    def _act(self, action: Callable, *args) -> None:
        before = (self.rating.item, len(self.rating.given))
        went_well = self.attempt(action, *args)
        if went_well:
            self._refresh(new_item=before != (self.rating.item, len(self.rating.given)))

    def _choose(self, place: int) -> None:
        self.rating.give(self.rating.question.first + place)

    def _typed(self, change) -> None:
        """The box only grows: emptying it while somebody types would lose or double keys. Deleting means "back"."""
        if len(change["new"]) < self._read:
            self._read = len(change["new"])
            return self._act(self.rating.back)
        new, self._read = change["new"][self._read :], len(change["new"])
        for key in new:
            self._act(self.rating.press, key)

    def _written(self, change) -> None:
        if change["new"].strip():
            self._act(self.rating.give, change["new"])
            self.text.value = ""

    def _refresh(self, new_item: bool) -> None:
        item, question = self.rating.item, self.rating.question
        if question is None:
            self.panel.layout.display = "none"
            self.show(
                lambda: Markdown(
                    "**Everything is rated. Thank you.** Run the next cell to see what came out."
                )
            )
        elif new_item:
            self.show(self.show_item, item.content)
        if question:
            self.asked.value = f"<b>{html.escape(question.text)}</b>"
            self.text.layout.display = "none" if question.choices else ""
            for place, button in enumerate(self.choices):
                button.layout.display = "" if place < len(question.choices) else "none"
                if place < len(question.choices):
                    button.description = f"{question.first + place} · {question.choices[place]}"
                    button.tooltip = button.description
        self.say(self.sentence or self.rating.store.trouble)
        self._refresh_progress()

    def _refresh_progress(self) -> None:
        done, total, seconds = len(self.rating.given), len(self.rating.items), self.rating.seconds
        text = f"{done} of {total} done"
        if self.rating.limit and seconds is not None and not self.rating.done:
            left = int(self.rating.limit - seconds)
            text += (
                f" · {left // 60}:{left % 60:02} left"
                if left > 0
                else " · time is up: answer with what you have"
            )
        self.progress.value = text

    async def _tick(self) -> None:
        while self.rating.limit and not self.rating.done:
            await asyncio.sleep(5)
            self._refresh_progress()


def _introduction(rating: Rating, intro: str) -> str:
    asked = [
        f"- {q.text} "
        + (
            "*" + " · ".join(f"{q.first + n} {c}" for n, c in enumerate(q.choices)) + "*"
            if q.choices
            else "*(in your words)*"
        )
        for q in rating.questions
    ]
    return "\n".join(
        [intro, "", f"{len(rating.items)} items in random order, and for each:", "", *asked]
    )


def rating_view(rating: Rating, show: Callable, intro: str = "") -> RatingView:
    """Let somebody rate. show(content) draws or returns one item's content; intro: Markdown, shown before the start.

    Handles: `begin`, `choices`, `key_box` (append letters to its value), `text`, `back`, `skip`, `rating`.
    """
    return RatingView(rating, show, intro)
