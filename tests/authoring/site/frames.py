"""Frames of the tools with few states, for pages without a kernel.

`python -m helpers record NN --frames` runs a lesson once. Of each playground it draws the first
slider, or menu, with at most 30 states, the others where they start, into
notebooks/pictures/frames.
"""

from __future__ import annotations

import base64
import io
import json

from IPython.utils.capture import capture_output
from nbformat.v4 import new_code_cell
from PIL import Image

from tests.authoring.lessons import NOTEBOOKS, write

FRAMES = NOTEBOOKS / "pictures/frames"
MOST = 30
WIDTH = 900  # pixels


def ask_for(notebook, lesson: str):
    """The notebook with a cell after each playground that draws its frames; old ones go."""
    for old in FRAMES.glob(f"{lesson}-*"):
        old.unlink()
    store({key: entry for key, entry in stored().items() if not key.startswith(f"{lesson}-")})
    cells = []
    for cell in notebook.cells:
        cells.append(cell)
        if cell.cell_type == "code" and "playground(" in cell.source:
            code = "from tests.authoring.site import frames\n\nframes.draw(Out.get(len(In) - 2), "
            cells.append(new_code_cell(f"{code}'{lesson}-{cell.id}')"))
    notebook.cells = cells
    return notebook


def states(control) -> list:
    """The values of a slider or menu; none of what is typed or ticked."""
    if not hasattr(control, "step"):
        return [value for _, value in getattr(control, "_options_full", ())]
    count = round((control.max - control.min) / control.step) + 1
    return [type(control.value)(round(control.min + n * control.step, 6)) for n in range(count)]


def stored() -> dict[str, dict]:
    """{lesson's number and cell's id: {"control", "values", "start", "frames"}}"""
    index = FRAMES / "frames.json"
    return json.loads(index.read_text(encoding="utf-8")) if index.exists() else {}


def store(entries: dict[str, dict]) -> None:
    FRAMES.mkdir(parents=True, exist_ok=True)
    text = json.dumps(entries, ensure_ascii=False, indent=1, sort_keys=True)
    write(FRAMES / "frames.json", text + "\n")


def draw(view, key: str) -> None:
    """Store the frames of what a cell ended with, where that is a playground."""
    controls = getattr(view, "controls", {})
    few = {n: s for n, c in controls.items() if 2 <= len(s := states(c)) <= MOST}
    if not few:
        return
    name = min(few, key=lambda one: not hasattr(controls[one], "step"))
    made, control = [], controls[name]
    for number, value in enumerate(few[name]):
        with capture_output() as caught:
            view.draw(**{**view.value, name: value})
        made.append(frame(caught, f"{key}-{number:02}.webp"))
    if {"text": ""} in made:  # it shows something else: its stored output stays
        return
    start = few[name].index(control.value)
    entry = {"control": control.description, "values": few[name], "start": start, "frames": made}
    store({**stored(), key: entry})


def frame(caught, name: str) -> dict:
    """{"src": its file, "alt": its words} for what draws, {"text": ...} for what prints."""
    for output in caught.outputs:
        if "image/png" in output.data:
            content = output.data["image/png"]
            content = base64.b64decode(content) if isinstance(content, str) else content
            image = Image.open(io.BytesIO(content)).convert("RGB")
            image.thumbnail((WIDTH, WIDTH))
            image.save(FRAMES / name, quality=60, method=6)
            return {"src": name, "alt": output.metadata["image/png"]["alt"]}
    return {"text": caught.stdout}
