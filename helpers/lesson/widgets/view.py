"""What all views share: a screen, controls below it, and one sentence when something is wrong."""

from __future__ import annotations

import html
import io
import sys
from collections.abc import Callable

import ipywidgets as widgets
from IPython.display import clear_output, display, publish_display_data

# big enough for a projector; the names are those of ipywidgets 7 and 8
STYLE = """<style>
.course-view .widget-label, .course-view .widget-readout, .course-view .widget-html-content,
.course-view input, .course-view select, .course-view textarea {font-size: 17px !important}
.course-view .jupyter-button {font-size: 17px; height: auto; min-height: 38px; padding: 2px 16px; white-space: normal}
.course-view .jupyter-button:focus {outline: 3px solid #0072B2; outline-offset: -3px}
.course-view .jp-RenderedMarkdown p, .course-view .jp-RenderedMarkdown li {font-size: 18px; line-height: 1.45}
.course-view .jp-RenderedMarkdown h3 {font-size: 23px; line-height: 1.3}
.course-view .jp-OutputArea-output pre {font-size: 15px}
</style>"""


class View(widgets.VBox):
    """A screen above its controls.

    The screen is an Output widget: in a live notebook it is redrawn in place, and where there are no widgets (a stored
    notebook, nbval) the same output stands in the cell as a plain picture or text. That is the static fallback.
    """

    def __init__(self, name: str, *controls: widgets.Widget):
        self.name, self.screen, self.note = name, widgets.Output(), widgets.HTML()
        self.result, self.sentence, self._filled = (
            None,
            "",
            False,
        )  # what was drawn last; what the line at the end says
        super().__init__([widgets.HTML(STYLE), self.screen, *controls, self.note])
        self.add_class("course-view")

    def __repr__(self) -> str:
        return f"[{self.name}: run this cell to use it]"  # what a reader without a kernel sees of the controls

    def say(self, sentence: str) -> None:
        """Put one sentence under the controls."""
        self.sentence = sentence
        self.note.value = f"<b>{html.escape(sentence)}</b>" if sentence else ""

    def show(self, draw: Callable, *args, strict: bool = False, **values) -> None:
        """Call draw(*args, **values) with its output on the screen, and publish the figure it returns or leaves open.

        An exception becomes a sentence and the screen keeps what it had; with `strict` it is raised.
        """
        caught, before = None, _open_figures()
        with self.screen:  # nothing may be raised in here: the screen would print a traceback
            if self._filled:
                clear_output(wait=True)
            try:
                self.result = draw(*args, **values)
                publish(self.result, before)
                self._filled = True
            except Exception as error:
                caught = error
        _close(_open_figures() - before)
        self.say(sentence_of(caught) if caught else "")
        if caught and strict:
            raise caught

    def attempt(self, action: Callable, *args) -> bool:
        """Call action(*args); an exception becomes a sentence. Whether it went well."""
        self.say("")
        try:
            action(*args)
        except Exception as error:
            self.say(sentence_of(error))
            return False
        return True


def sentence_of(error: BaseException) -> str:
    """An exception in one line. The course's own errors and ValueErrors are written for the learner; others get a name."""
    text = " ".join(str(error).split()) or "no message"
    spoken = isinstance(error, ValueError) or type(error).__name__ == "CourseError"
    text = text if spoken else f"This did not work ({type(error).__name__}: {text})"
    return text if len(text) <= 400 else text[:399] + "…"


def publish(result, before: frozenset[int] = frozenset()) -> None:
    """Show what a drawing function returned: a figure, anything Jupyter displays, or nothing but open pyplot figures."""
    figures = [
        sys.modules["matplotlib.pyplot"].figure(number)
        for number in sorted(_open_figures() - before)
    ]
    if result is not None and not _is_plain_figure(result):
        display(result)
    elif result is not None and result not in figures:
        figures.append(result)
    for figure in figures:
        figure.savefig(
            picture := io.BytesIO(), format="png", metadata={"Software": None}, bbox_inches="tight"
        )
        alt = getattr(figure, "caption_text", "") or "; ".join(
            axes.get_title() for axes in figure.axes if axes.get_title()
        )
        publish_display_data(
            {"image/png": picture.getvalue(), "text/plain": "<figure>"}, {"image/png": {"alt": alt}}
        )


def _is_plain_figure(result) -> bool:
    """Whether it is a matplotlib figure without a way of its own to be shown (the course's figures have one)."""
    return hasattr(result, "savefig") and not hasattr(result, "_ipython_display_")


def _open_figures() -> frozenset[int]:
    pyplot = sys.modules.get("matplotlib.pyplot")
    return frozenset(pyplot.get_fignums()) if pyplot else frozenset()


def _close(numbers: frozenset[int]) -> None:
    for number in numbers:  # or the notebook would show it a second time
        sys.modules["matplotlib.pyplot"].close(number)
