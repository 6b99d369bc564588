"""`python -m helpers record [NN ...]`.

Run lessons and store them with their outputs, byte for byte the same each time.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import os
import re
import sys
import tempfile
import time
from pathlib import Path

import ipykernel.kernelspec
import nbformat
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from PIL import Image

from helpers.ground.artifacts import ROOT, write_atomically
from helpers.ground.errors import CourseError
from helpers.ground.runtime import current
from tests.authoring import claims_table
from tests.authoring.site import frames
from tests.authoring.stamp import FOLDED, stamp, write_readme

NOTEBOOKS = ROOT / "notebooks"
SETTINGS = {
    "COURSE_SCALE": "small",
    "COURSE_SOURCE": "packaged",
    "COURSE_TEST": "1",
    "PYTHONHASHSEED": "0",
    "PYTHONWARNINGS": "ignore",
    "HF_HUB_OFFLINE": "1",
}
WIDGET = "application/vnd.jupyter.widget-view+json"
LARGE_PNG = 60_000  # bytes; where a notebook is too large, larger pictures get 256 colours first
HUGE_PNG = 180_000  # bytes; larger pictures, mostly noise, have 256 colours in any case
MOST_BYTES = 1_150_000  # of a stored notebook, so that it opens at once where it is read
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {
        "file_extension": ".py",
        "mimetype": "text/x-python",
        "name": "python",
        "pygments_lexer": "ipython3",
    },
}


def main(args: list[str]) -> int:
    """Run lessons and store their outputs; with --full measure their claims on a GPU instead."""
    parser = argparse.ArgumentParser(prog="python -m helpers record", description=main.__doc__)
    parser.add_argument(
        "lessons", nargs="*", metavar="NN", help="such as 00 03; all when none is given"
    )
    parser.add_argument(
        "--full",
        action="store_true",
        help="at scale full: keep the claims' numbers only; called again, it goes on",
    )
    parser.add_argument(
        "--frames",
        action="store_true",
        help="keep the frames of tools with few states only: `site` shows them",
    )
    options = parser.parse_args(args)
    paths = [
        path
        for path in sorted(NOTEBOOKS.glob("*.ipynb"))
        if not options.lessons
        or path.name.split("_")[0] in {number.zfill(2) for number in options.lessons}
    ]
    if not paths:
        print("No such lesson in notebooks/: " + " ".join(options.lessons))
        return 1
    one = filmed if options.frames else full if options.full else recorded
    failed = [path.stem for path in paths if not one(path)]
    if one is not filmed:
        claims_table.write()
    if one is recorded:
        write_readme()  # a lesson that is recorded is linked there
    if failed:
        print(f"Not recorded: {', '.join(failed)}. Call the same command again to try them again.")
    return int(bool(failed))


def recorded(path: Path) -> bool:
    """Record one lesson and say how long it took, or what failed."""
    start = time.perf_counter()
    try:
        record(path)
    except CourseError as error:
        print(error)
        return False
    seconds, size = time.perf_counter() - start, path.stat().st_size / 1000
    print(f"{path.name}: {seconds:.0f} s, {size:.0f} kB", flush=True)
    return True


def filmed(path: Path) -> bool:
    """Run one lesson for the frames of its tools; the notebook stays as it is."""
    try:
        run(path, {}, lambda notebook: frames.ask_for(notebook, path.name[:2]))
    except CourseError as error:
        print(error)
        return False
    return True


def full(path: Path) -> bool:
    """Measure one lesson's claims at scale full, unless these cells have been measured already.

    They are stored at once: a machine that is withdrawn loses the lesson that it was in.
    COURSE_DEVICE and COURSE_SOURCE hold; without a GPU, COURSE_DEVICE has to say where.
    """
    setup = current()
    if setup.device.type == "cpu" and not os.environ.get("COURSE_DEVICE"):
        raise CourseError(
            "`record --full` wants a GPU, and there is none here: README says how Colab lends one "
            "(COURSE_DEVICE=cpu would take hours)."
        )
    if claims_table.is_stored(path):
        print(f"{path.stem}: measured already", flush=True)
        return True
    source = os.environ.get("COURSE_SOURCE", "packaged")
    settings = {"COURSE_SCALE": "full", "COURSE_TEST": "0", "COURSE_DEVICE": setup.device.type}
    settings |= {"COURSE_SOURCE": source, "HF_HUB_OFFLINE": str(int(source == "packaged"))}
    start = time.perf_counter()
    try:
        notebook = run(path, settings)
    except CourseError as error:
        print(error, flush=True)
        return False
    minutes = round((time.perf_counter() - start) / 60, 1)
    claims_table.store_full(path, notebook, device=str(setup).split(" · ")[2], minutes=minutes)
    claims_table.write(path.parent)
    print(f"{path.stem}: {minutes} minutes", flush=True)
    return True


def record(path: Path) -> None:
    """Run one notebook and store it.

    Where a cell fails the stored one stays as it was. Raises CourseError.
    """
    notebook = run(path, {})
    write_atomically(path, (nbformat.writes(tidy(notebook)).rstrip("\n") + "\n").encode())


def run(path: Path, settings: dict, change=lambda notebook: notebook, inside: Path | None = None):
    """The stamped (and changed) notebook with fresh outputs, run by this Python.

    inside: the folder it runs in, its own if not given. CourseError names the cell that failed.
    """
    notebook = change(stamp(nbformat.read(path, as_version=4), path.stem))
    with (
        tempfile.TemporaryDirectory() as profile
    ):  # a user's start-up files would change what is recorded
        env = {
            key: value
            for key, value in os.environ.items()
            if key != "MPLBACKEND" and not key.startswith("COURSE_")
        }
        env |= SETTINGS | settings | {"IPYTHONDIR": profile}
        client = Recorder(
            notebook,
            timeout=900,
            kernel_name="python3",
            record_timing=False,
            coalesce_streams=True,
            extra_arguments=["--log-level=ERROR"],
            resources={"metadata": {"path": str(inside or path.parent)}},
        )
        try:
            client.execute(env=env)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            cell = sum(
                c.cell_type == "code" and c.execution_count is not None for c in notebook.cells
            )
            raise CourseError(
                f"{path.name} was not stored: its code cell {cell} failed.\n{error}"
            ) from error
    return notebook


class Recorder(NotebookClient):
    """A client without widgets.

    What a cell prints and draws is stored, whatever widget shows it in a live notebook.
    """

    def create_kernel_manager(self):
        self.km = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=ThisPython())
        return self.km

    def handle_comm_msg(self, outs, msg, cell_index) -> None:
        """Widgets' traffic; nothing of it is stored."""

    def clear_output(self, outs, msg, cell_index) -> None:
        """A widget redraws itself; its first drawing is what a reader without a kernel sees.

        A cell that clears its own output, to draw a moving picture, keeps the last one.
        """
        if re.search(r"(?<!\.)\bclear_output\(", self.nb.cells[cell_index].source):
            super().clear_output(outs, msg, cell_index)


class ThisPython(KernelSpecManager):
    """The running interpreter as the kernel, whatever kernels a user has installed."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        spec = ipykernel.kernelspec.get_kernel_dict()
        return KernelSpec(resource_dir="", **spec | {"argv": [sys.executable, *spec["argv"][1:]]})


# ---------------------------------------------------------------- the same bytes each time


def tidy(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Keep what readers see.

    No timings, no widget ids, of cells' metadata tags and folding, ids made from the text.
    """
    notebook.metadata = nbformat.from_dict(METADATA)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    seen: set[str] = set()
    for cell in notebook.cells:
        cell.source = "\n".join(line.rstrip() for line in cell.source.strip("\n").splitlines())
        kept = {key: cell.metadata.get(key) for key in ("tags", *FOLDED)}
        cell.metadata = nbformat.from_dict({key: value for key, value in kept.items() if value})
        cell.id = _new_id(f"{cell.cell_type}\n{cell.source}", seen)
        for output in cell.get("outputs", []):
            _tidy_output(output)
    return _fit(notebook)


def _fit(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Until the file is small enough: 256 colours for large pictures, then fewer pixels for all."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    pictures = [output.data for output in outputs if "image/png" in output.get("data", {})]
    large = [data for data in pictures if len(data["image/png"]) > LARGE_PNG * 4 / 3]
    whole = [_opened(data["image/png"]) for data in large]
    for tenths in (10, 9, 8, 7, 6, 5):
        if len(nbformat.writes(notebook).encode()) <= MOST_BYTES:
            break
        for data, image in zip(large, whole, strict=True):
            size = (image.width * tenths // 10, image.height * tenths // 10)
            smaller = image.resize(size, Image.Resampling.LANCZOS)
            data["image/png"] = _packed(smaller, few=True)
    return notebook


def _new_id(text: str, seen: set[str]) -> str:
    """Eight letters of the text's hash.

    A cell keeps its id until its text changes, and diffs stay small.
    """
    identity = base = hashlib.sha256(text.encode()).hexdigest()[:8]
    while identity in seen:
        identity = f"{base}-{len(seen)}"
    seen.add(identity)
    return identity


def _tidy_output(output: nbformat.NotebookNode) -> None:
    if "text" in output:
        output.text = _without_trailing_blanks(output.text)
    data = output.get("data", {})
    data.pop(WIDGET, None)  # GitHub refuses notebooks that name widgets it does not have
    if "text/plain" in data:
        data["text/plain"] = _without_trailing_blanks(data["text/plain"])
    if "image/png" in data:
        data["image/png"] = _packed(_opened(data["image/png"]))
    kept = {
        key: value
        for key, value in output.get("metadata", {}).items()
        if key in ("claim", "image/png")
    }
    if "metadata" in output:
        output.metadata = nbformat.from_dict(kept)


def _without_trailing_blanks(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.split("\n"))


def _opened(encoded: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(encoded))).convert("RGB")


def _packed(image: Image.Image, *, few: bool = False) -> str:
    """A PNG, losslessly packed, or with 256 colours: where it is huge, and with few where large."""
    image.save(buffer := io.BytesIO(), format="png", optimize=True)
    if buffer.tell() > (LARGE_PNG if few else HUGE_PNG):
        few = image.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        few.save(buffer := io.BytesIO(), format="png", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()
