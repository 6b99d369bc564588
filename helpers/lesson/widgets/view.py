"""What all views share: a screen, controls below it, and one sentence when something is wrong."""

import html
import io
import sys
from collections.abc import Callable

import ipywidgets as widgets
from IPython.display import clear_output, display, publish_display_data

from helpers.ground.errors import CourseError

WIDE = "min(100%, 48em)"  # a width, no Layout: a shared one hides all its widgets with the first
# big enough for a projector; the names are those of ipywidgets 7 and 8
STYLE = """<style>
.course-view .widget-label, .course-view .widget-readout, .course-view .widget-html-content,
.course-view input, .course-view select, .course-view textarea {font-size: 17px !important}
.course-view .jupyter-button {
  font-size: 17px; height: auto; min-height: 38px; padding: 2px 16px; white-space: normal}
.course-view .jupyter-button:focus {outline: 3px solid #0072B2; outline-offset: -3px}
.course-view .jp-RenderedMarkdown p, .course-view .jp-RenderedMarkdown li {
  font-size: 18px; line-height: 1.45}
.course-view .jp-RenderedMarkdown h3 {font-size: 23px; line-height: 1.3}
.course-view .jp-OutputArea-output pre {font-size: 15px}
</style>"""


class View(widgets.VBox):
    """A screen above its controls.

    The screen is an Output widget: in a live notebook it is redrawn in place, and where there are
    no widgets (a stored notebook, nbval) the same output stands in the cell.
    """

    def __init__(self, name: str, *controls: widgets.Widget):
        self.name = name
        self.screen = widgets.Output()
        self.note = widgets.HTML()
        self.sentence = ""  # what the note says
        self.result = None  # what was drawn last
        self._filled = False
        super().__init__([widgets.HTML(STYLE), self.screen, *controls, self.note])
        self.add_class("course-view")

    def __repr__(self) -> str:  # what a reader without a kernel sees of the controls
        return f"[{self.name}: run this cell to use it]"

    def say(self, sentence: str) -> None:
        """Put one sentence under the controls."""
        self.sentence = sentence
        self.note.value = f"<b>{html.escape(sentence)}</b>" if sentence else ""

    def show(self, draw: Callable, *args, strict: bool = False, **values) -> None:
        """Call draw(*args, **values) with its output on the screen, and publish its figure.

        An exception becomes a sentence and the screen keeps what it had; `strict`: it is raised.
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
        for number in _open_figures() - before:  # or the notebook would show it a second time
            sys.modules["matplotlib.pyplot"].close(number)
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


def button(text: str, on_click: Callable[[], None], tip: str = "") -> widgets.Button:
    """A button as wide as its text; on_click takes no argument."""
    layout = widgets.Layout(width="auto")
    made = widgets.Button(description=text, tooltip=tip or text, layout=layout)
    made.on_click(lambda _: on_click())
    return made


def sentence_of(error: BaseException) -> str:
    """An exception in one line: the course's own and ValueErrors as they are, others by name."""
    text = " ".join(str(error).split()) or "no message"
    if not isinstance(error, (CourseError, ValueError)):
        text = f"This did not work ({type(error).__name__}: {text})"
    return text if len(text) <= 400 else text[:399] + "…"


def publish(result, before: frozenset[int] = frozenset()) -> None:
    """Show what a drawing function returned or opened; before: pyplot's figures open already."""
    new = sorted(_open_figures() - before)
    figures = [sys.modules["matplotlib.pyplot"].figure(number) for number in new]
    if hasattr(result, "savefig") and not hasattr(result, "_ipython_display_"):
        figures += [] if result in figures else [result]
    elif result is not None:  # the course's own figures show themselves
        display(result)
    for figure in figures:
        titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
        alt = getattr(figure, "caption_text", "") or "; ".join(titles)
        picture = io.BytesIO()
        figure.savefig(picture, format="png", metadata={"Software": None}, bbox_inches="tight")
        data = {"image/png": picture.getvalue(), "text/plain": "<figure>"}
        publish_display_data(data, {"image/png": {"alt": alt}})


def _open_figures() -> frozenset[int]:
    pyplot = sys.modules.get("matplotlib.pyplot")
    return frozenset(pyplot.get_fignums()) if pyplot else frozenset()
