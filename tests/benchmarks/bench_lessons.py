"""What a lesson costs.

Seconds and peak memory of every notebook, the slowest cells, imports, the first figure after a cold
start.

Nothing here is compared with a peer; the budgets stand in notebooks/lessons.json. Cells run as
the recorder runs them.
"""

import os
import subprocess
import sys
import tempfile
import threading
import time

import nbformat
import psutil

from helpers.ground import ROOT
from tests.authoring.execute import SETTINGS, Recorder
from tests.authoring.lessons import LESSONS, Lesson
from tests.benchmarks import bench

ROOMS = (
    "helpers.ground.runtime",
    "helpers.saliency",
    "helpers.clip.model",
    "helpers.attention.model",
    "helpers.transformer.model",
    "helpers.sae.model",
)
FIRST_FIGURE = """
import os
from helpers.ground.runtime import setup
setup(quiet=True)
from helpers.lesson.plots import canvas
fig, ax = canvas(1, 1, height=2)
ax.plot([0, 1, 4])
fig.savefig(open(os.devnull, "wb"), format="png")
"""


def time_lesson(lesson: Lesson) -> dict:
    """Run one notebook in a kernel of its own.

    Seconds, peak memory of the kernel in GB, and (seconds, first line) of each code cell.
    """
    notebook = nbformat.read(lesson.path, as_version=4)
    cells, peak, done = [], [0], threading.Event()
    with tempfile.TemporaryDirectory() as profile:
        env = (
            {key: value for key, value in os.environ.items() if not key.startswith("COURSE_")}
            | SETTINGS
            | {"IPYTHONDIR": profile}
        )
        begun = {}

        def start(cell, cell_index):
            begun[cell_index] = time.perf_counter()

        def end(cell, cell_index, execute_reply):
            if cell.cell_type == "code":
                cells.append(
                    (
                        time.perf_counter() - begun[cell_index],
                        next((line for line in cell.source.splitlines() if line.strip()), ""),
                    )
                )

        client = Recorder(
            notebook,
            timeout=900,
            kernel_name="python3",
            resources={"metadata": {"path": str(lesson.path.parent)}},
            on_cell_start=start,
            on_cell_executed=end,
        )

        def watch():
            me = psutil.Process()
            while not done.wait(0.1):
                kernels = [
                    p for p in me.children(recursive=True) if "ipykernel" in " ".join(_command(p))
                ]
                peak[0] = max(peak[0], sum(_memory(p) for p in kernels))

        watcher = threading.Thread(target=watch)
        watcher.start()
        clock = time.perf_counter()
        try:
            client.execute(env=env)
        finally:
            done.set()
            watcher.join()
    return {
        "lesson": lesson.name,
        "seconds": time.perf_counter() - clock,
        "budget": lesson.seconds,
        "peak_gb": peak[0] / 1e9,
        "cells": cells,
    }


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _memory(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.Error:
        return 0


def seconds_of(code: str) -> float:
    """A fresh Python that runs `code`; the shorter of two, so that the disk is warm."""

    def once():
        clock = time.perf_counter()
        subprocess.run(
            [sys.executable, "-c", code], check=True, cwd=ROOT, stdout=subprocess.DEVNULL
        )
        return time.perf_counter() - clock

    return min(once(), once())


def report() -> tuple[str, dict]:
    """(tables in Markdown, numbers for the JSON) of all lessons that are there."""
    lessons = []
    for lesson in LESSONS:
        if lesson.path.exists():
            print(f"{lesson.name} ...", file=sys.stderr, flush=True)
            lessons.append(time_lesson(lesson))
    slowest = sorted(
        ((seconds, row["lesson"], line) for row in lessons for seconds, line in row["cells"]),
        reverse=True,
    )[:10]
    starts = {f"import {room}": seconds_of(f"import {room}") for room in ROOMS} | {
        "first figure after a cold start": seconds_of(FIRST_FIGURE)
    }
    lines = ["| lesson | seconds | budget | peak memory, GB |", "|---|---|---|---|"]
    lines += [
        f"| {row['lesson']} | {row['seconds']:.0f} | {row['budget']} | {row['peak_gb']:.1f} |"
        for row in lessons
    ]
    lines += ["", "| slowest cells: seconds | lesson | first line |", "|---|---|---|"]
    lines += [f"| {seconds:.0f} | {name} | `{line[:80]}` |" for seconds, name, line in slowest]
    lines += ["", "| start | seconds |", "|---|---|"] + [
        f"| {name} | {seconds:.1f} |" for name, seconds in starts.items()
    ]
    return "\n".join(lines), {"lessons": lessons, "starts": starts}


if __name__ == "__main__":
    choice = bench.options().parse_args()
    text, numbers = report()
    print(text)
    if choice.json:
        bench.store(numbers, choice.json)
