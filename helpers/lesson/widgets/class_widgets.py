"""Views for a class: a board, a question with choices, a blinded rating.

What is answered goes into the class folder.
"""

import asyncio
import html
import importlib
import string
from collections.abc import Callable, Sequence
from contextlib import suppress

import ipywidgets as widgets
from IPython.display import Markdown

from helpers.ground.colab import in_colab
from helpers.ground.errors import CourseError, checked
from helpers.lesson.answers import Store, pack_answers
from helpers.lesson.boards import Board
from helpers.lesson.rating import Rating
from helpers.lesson.widgets.view import WIDE, View, button


class BoardView(View):
    """A question, all answers, and a box for one's own: `text`, `seat`, `put`, `take_back`, …"""

    def __init__(self, board: Board):
        self.board = board
        box = {"placeholder": "your answer", "continuous_update": False, "rows": 3}
        self.text = widgets.Textarea(**box, layout=widgets.Layout(width=WIDE))
        self.seat = widgets.Dropdown(options=board.seats or [""], description=board.speaks)
        self.seat.style.description_width = "initial"
        self.seat.layout.display = "" if board.seats else "none"
        self.put = button("Put it on the board", self._put)
        self.take_back = button("Take my last one back", self._take_back)
        self.save = button("Save as Markdown", self._save)
        self.keep = button("Keep my answers", self._keep, "one file, of all lessons")
        row = widgets.HBox([self.put, self.take_back, self.save, self.keep])
        super().__init__("a board for answers", self.seat, self.text, row)
        self.refresh()

    @property
    def value(self) -> list[str]:
        """The answers on the board."""
        return [record.answer for record in self.board.answers()]

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

    def _keep(self) -> None:
        if self.attempt(lambda: setattr(self, "kept", pack_answers(self.board.store.folder))):
            if in_colab():  # /content goes with the runtime
                importlib.import_module("google.colab.files").download(str(self.kept))
            self.say(f"Your answers of all lessons are in {self.kept}.")


@checked
class ChoiceView(View):
    """A question to answer before looking; the choice is kept under "prediction" and `key`.

    question, choices, why: Markdown. right: the right choice's number, from 0. Handles: `choices`,
    `choose(number)`.
    """

    def __init__(self, key, question, choices: Sequence[str], right: int, why: str, folder=None):
        if right not in range(len(choices)) or len(choices) > 26:
            given = f"the choice {right!r} of {len(choices)}"
            raise CourseError(f"One of up to 26 choices is right, counted from 0, not {given}.")
        self.key, self.right, self.why = key, right, why
        self.chosen: int | None = None
        self.letters = [f"({letter})" for letter in string.ascii_lowercase[: len(choices)]]
        self.text = f"**{question}**\n"
        self.store = Store("prediction", folder)
        self.choices = []
        for n, (letter, choice) in enumerate(zip(self.letters, choices, strict=True)):
            self.text += f"\n- {letter} {choice}"
            self.choices.append(button(letter, lambda n=n: self.choose(n), choice))
        super().__init__("a question: choose before you look", widgets.HBox(self.choices))
        self.show(lambda: Markdown(self.text))
        given = [record.answer for record in self.store.records() if record.item == key]
        if given and given[0] in range(len(choices)):  # the cell was run again
            self._tell(given[0])

    @property
    def value(self) -> int | None:
        """The number of the choice, from 0; None before it is made."""
        return self.chosen

    def choose(self, number: int) -> None:
        """Make the choice: it is stored, and told. Only the first counts, also when run again."""
        if self.chosen is not None:
            return
        if number not in range(len(self.letters)):
            raise CourseError(f"There are choices 0 to {len(self.letters) - 1}, not {number!r}.")
        self.store.add(self.key, "", number)
        self._tell(number)

    def _tell(self, number: int) -> None:
        self.chosen = number
        for place, choice in enumerate(self.choices):
            choice.disabled = True
            choice.button_style = "success" if place == self.right else ""
        right = "and so it is" if number == self.right else f"it is {self.letters[self.right]}"
        comma = "," if number == self.right else ";"
        verdict = f"You chose {self.letters[number]}{comma} {right}."
        self.show(lambda: Markdown(f"{self.text}\n\n{verdict} {self.why}"))
        self.say(self.store.trouble)


class RatingView(View):
    """Let somebody rate. show(content) draws or returns an item's content; intro: Markdown.

    Handles: `begin`, `choices`, `key_box` (append letters to its value), `text`, `back`, `skip`.
    """

    def __init__(self, rating: Rating, show: Callable, intro: str = ""):
        self.rating, self.show_item = rating, show
        self.asked, self.progress = widgets.HTML(), widgets.HTML()
        most = max(len(question.choices) for question in rating.questions)
        choose = lambda place: button("", lambda: self._act(self._choose, place))
        self.choices = [choose(place) for place in range(most)]
        hint = "click here, then press digits; b back, s skip"
        self.key_box = widgets.Text(description="keys", placeholder=hint)
        self._read = 0  # how many of the box's keys have been used
        line = {"placeholder": "write, then Enter", "continuous_update": False}
        self.text = widgets.Text(**line, layout=widgets.Layout(width=WIDE))
        self.begin = button("Start", self.start)
        self.back = button("Back", lambda: self._act(rating.back))
        self.skip = button("Pass over", lambda: self._act(rating.skip))
        answers = widgets.HBox(self.choices, layout=widgets.Layout(flex_flow="row wrap"))
        keys = widgets.HBox([self.key_box, self.back, self.skip])
        self.panel = widgets.VBox([self.asked, answers, self.text, keys])
        super().__init__("a rating", self.begin, self.panel, self.progress)
        self.panel.layout.display = "none"
        self.key_box.observe(self._typed, names="value")
        self.text.observe(self._written, names="value")
        lines = [intro, "", f"{len(rating.items)} items in random order, and for each:", ""]
        for q in rating.questions:
            choices = " · ".join(f"{q.first + n} {choice}" for n, choice in enumerate(q.choices))
            lines.append(f"- {q.text} *{choices or '(in your words)'}*")
        self.show(lambda: Markdown("\n".join(lines)))
        self._refresh_progress()

    @property
    def value(self) -> dict:
        """What was answered, by item; None for those passed over."""
        return dict(self.rating.given)

    def start(self) -> None:
        """Show the first item that has no answer yet."""
        self.begin.layout.display = "none"
        self.panel.layout.display = ""
        self.rating.start()
        self._refresh(new_item=True)
        with suppress(RuntimeError):  # outside a notebook no loop runs, and nobody sees the clock
            self._clock = asyncio.get_running_loop().create_task(self._tick())

    def _act(self, action: Callable, *args) -> None:
        before = (self.rating.item, len(self.rating.given))
        if self.attempt(action, *args):
            self._refresh(new_item=before != (self.rating.item, len(self.rating.given)))

    def _choose(self, place: int) -> None:
        self.rating.give(self.rating.question.first + place)

    def _typed(self, change) -> None:
        """The box only grows: emptied while somebody types it would lose keys. Deleting: "back"."""
        if len(change["new"]) < self._read:
            self._read = len(change["new"])
            self._act(self.rating.back)
            return
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
            thanks = "**Everything is rated. Thank you.** Run the next cell to see what came out."
            self.show(lambda: Markdown(thanks))
        else:
            if new_item:
                self.show(self.show_item, item.content)
            self.asked.value = f"<b>{html.escape(question.text)}</b>"
            self.text.layout.display = "none" if question.choices else ""
            for place, choice in enumerate(self.choices):
                asked = place < len(question.choices)
                choice.layout.display = "" if asked else "none"
                text = f"{question.first + place} · {question.choices[place]}" if asked else ""
                choice.description = choice.tooltip = text
        self.say(self.sentence or self.rating.store.trouble)
        self._refresh_progress()

    def _refresh_progress(self) -> None:
        seconds = self.rating.seconds
        text = f"{len(self.rating.given)} of {len(self.rating.items)} done"
        if self.rating.limit and seconds is not None and not self.rating.done:
            left = int(self.rating.limit - seconds)
            minutes = f"{left // 60}:{left % 60:02} left"
            text += f" · {minutes if left > 0 else 'time is up: answer with what you have'}"
        self.progress.value = text

    async def _tick(self) -> None:
        while self.rating.limit and not self.rating.done:
            await asyncio.sleep(5)
            self._refresh_progress()


board_view = BoardView
choice_view = ChoiceView
rating_view = RatingView
