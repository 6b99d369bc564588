"""Views for one person: a figure that follows its controls, and a picture of one's own."""

import inspect
import time
from collections.abc import Callable

import ipywidgets as widgets

from helpers.ground.errors import CourseError
from helpers.lesson.widgets.view import View

SLOW = 0.4  # seconds; a drawing slower than this follows when the slider is let go
NO_DEFAULT = inspect.Parameter.empty


class Playground(View):
    """Redraw a figure whenever one of its `controls` changes.

    draw: takes the controls' values by name; returns a figure, or draws with pyplot, or prints.
    controls: a widget, or ipywidgets' short forms: (low, high[, step]) a slider, a list or {label:
    value} a menu, True or False a box to tick, a text a line to type in. Where draw has a default
    for it, the control starts there.
    """

    def __init__(self, draw: Callable, **controls):
        defaults = {n: p.default for n, p in inspect.signature(draw).parameters.items()}
        self.draw = draw
        self.controls = {}
        for name, spec in controls.items():
            self.controls[name] = _control(name, spec, defaults.get(name, NO_DEFAULT))
        names = [control.description for control in self.controls.values()]
        for control in self.controls.values():  # so wide that the sliders stand in line
            control.style.description_width = f"{max(map(len, names)) * 0.75 + 1:.1f}em"
        super().__init__("a figure with controls: " + ", ".join(names), *self.controls.values())
        start = time.perf_counter()
        self.redraw(strict=True)  # a mistake in the lesson's own drawing is no sentence
        slow = time.perf_counter() - start > SLOW
        for control in self.controls.values():
            if slow and control.has_trait("continuous_update"):
                control.continuous_update = False
            control.observe(lambda change: self.redraw(), names="value")

    @property
    def value(self) -> dict:
        """The controls' values by name."""
        return {name: control.value for name, control in self.controls.items()}

    def redraw(self, strict: bool = False) -> None:
        """Draw again with the values as they are now."""
        self.show(self.draw, strict=strict, **self.value)


def _control(name: str, spec, default) -> widgets.Widget:
    control = widgets.interactive.widget_from_abbrev(spec, default)
    if control is None:
        kinds = "(low, high), (low, high, step), a list, True, a text or a widget"
        raise CourseError(f"{name}={spec!r} is no control: give {kinds}")
    control.description = control.description or name.replace("_", " ")
    is_line = isinstance(control, widgets.Text)
    control.layout.width = control.layout.width or f"min(100%, {60 if is_line else 36}em)"
    if is_line:
        control.continuous_update = False  # a line counts when it is finished, not at every letter
    return control


class PictureInput(View):
    """Let the learner give a picture of their own; show what on_picture(image) makes of it.

    image, also the view's `image`: (H, W, 3) uint8. read: opens a path or a file's bytes, as
    `photos.open_picture` does. start: a picture to begin with.
    """

    def __init__(self, on_picture: Callable, *, read: Callable, start=None):
        self.on_picture, self.read, self.image = on_picture, read, start
        hint = {"placeholder": "a JPEG or PNG file, then Enter", "continuous_update": False}
        self.path = widgets.Text(description="Path of a picture", **hint)
        self.path.layout.width = "min(100%, 36em)"
        self.path.style.description_width = "initial"
        self.upload = widgets.FileUpload(accept="image/*", description="Upload (up to 8 MB)")
        self.upload.layout.width = "auto"
        name = "a picture of your own, by its path or an upload"
        super().__init__(name, self.path, widgets.HBox([self.upload]))
        if start is None:
            invitation = "Your own picture: type its path, or upload it. It stays on this machine."
            self.show(print, invitation)
        else:
            self.show(on_picture, start, strict=True)
        self.path.observe(self._typed, names="value")
        self.upload.observe(self._uploaded, names="value")

    @property
    def value(self):
        """The picture, (H, W, 3) uint8, or None."""
        return self.image

    def _typed(self, change) -> None:
        if path := change["new"].strip().strip("\"'"):
            self._open(path, None)

    def _uploaded(self, change) -> None:
        for name, content in uploaded_files(change["new"])[-1:]:
            self._open(content, name)

    def _open(self, source: str | bytes, name: str | None) -> None:
        def read():
            self.image = self.read(source, name=name)

        if self.attempt(read):
            self.show(self.on_picture, self.image)


playground = Playground
picture_input = PictureInput


def uploaded_files(value) -> list[tuple[str, bytes]]:
    """The (name, content) pairs in a FileUpload's value, which ipywidgets 7 keeps by name."""
    if isinstance(value, dict):
        value = [{"name": name, **file} for name, file in value.items()]
    return [(file["name"], bytes(file["content"])) for file in value]
