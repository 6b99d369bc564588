"""`python -m helpers check`: what this machine has, at which scale the course will run on it, and what each lesson needs.

Standard library only, so that it answers before anything is installed; with .venv there it says more.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import platform
import shutil
import sys

from helpers import environment
from helpers.cli import find_browser
from helpers.environment import ROOT
from tests.authoring.lessons import LESSONS, Lesson


def main(argv: list[str]) -> int:
    """Prints the report; returns 1 where something keeps the course from running here."""
    if argv:
        print("`python -m helpers check` takes no arguments.")
        return 1
    problems = [*machine(), *packages()]
    print()
    for lesson in LESSONS:
        print(line(lesson))
    print(
        "\n"
        + (
            "\n".join(f"To do: {problem}" for problem in problems)
            or "Everything the course needs is here."
        )
    )
    return 1 if problems else 0


def machine() -> list[str]:
    """Prints the hardware in plain words; returns what stands in the way."""
    memory, free = memory_gb(), shutil.disk_usage(ROOT).free / 1e9
    print(
        f"This machine: {platform.system()} on {platform.machine()}, Python {platform.python_version()}, {os.cpu_count()} cores, "
        f"{f'{memory:.0f} GB of memory' if memory else 'memory unknown'}, {free:.0f} GB of disk free."
    )
    problems = []
    if memory and memory < 5:
        problems.append(
            f"{memory:.0f} GB of memory are few: close other programs, and open one lesson at a time, or use Colab."
        )
    if not environment.ready() and free < environment.NEEDED_GB:
        problems.append(
            f"free some disk: installing takes {environment.NEEDED_GB} GB, and {free:.0f} are free."
        )
    if sys.platform == "darwin" and platform.machine() == "x86_64":
        problems.append("there is no current PyTorch for Macs with an Intel processor: use Colab.")
    return problems


def packages() -> list[str]:
    """Prints what is installed and at which scale the course will run; returns what is missing."""
    missing = environment.unmet()
    browser = find_browser()
    print(
        f"For the browser test: {browser or 'no chromium found, so it is left out (nothing else needs one)'}."
    )
    if missing:
        shown = ", ".join(missing[:4]) + (
            f" and {len(missing) - 4} more" if len(missing) > 4 else ""
        )
        print(
            "Scale: not known before PyTorch is installed (small without an NVIDIA GPU, full with one)."
        )
        return [f"`python -m helpers lab` installs what is missing ({shown})."]
    course = importlib.import_module("helpers.ground.runtime").setup(quiet=True)
    print(f"The lessons will run at scale {course.scale} from {course.source} data: {why(course)}")
    return []


def why(course) -> str:
    """The reason for scale and source, in a sentence."""
    if os.environ.get("COURSE_SCALE") or os.environ.get("COURSE_SOURCE"):
        return "COURSE_SCALE or COURSE_SOURCE asks for it."
    gpu = course.device.type == "cuda"
    scale = (
        f"there is a GPU ({course})."
        if gpu
        else "PyTorch sees no NVIDIA GPU here, and small needs none."
    )
    return scale + ("" if course.source == "hub" else " Nothing is fetched from the network.")


def line(lesson: Lesson) -> str:
    """One lesson: whether it is here, what it takes, and which stored files it misses."""
    if not lesson.path.exists():
        return f"{lesson.number}  still to come: {lesson.title}"
    missing = missing_data(lesson)
    data = (
        f"; missing: {', '.join(f'`python -m helpers make {name}`' for name in missing)}"
        if missing
        else ""
    )
    return (
        f"{lesson.number}  {lesson.title}: runs in about {lesson.seconds} s on two quiet cores, "
        f"up to {lesson.gigabytes} GB of memory{data}"
    )


def missing_data(lesson: Lesson) -> list[str]:
    """Names of the stored models and tables this lesson uses that are not in data/, or are damaged."""
    if environment.unmet():
        return []  # the registry needs PyTorch
    make = importlib.import_module("data.recipes.make")
    return [
        r.name
        for r in make.RECIPES
        if lesson.number in r.lessons and make.state(r) in ("missing", "damaged")
    ]


def memory_gb() -> float | None:
    """The machine's memory in GB, or None where the system does not say."""
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    if environment.WINDOWS:
        status = (
            ctypes.c_ulonglong * 8
        )()  # MEMORYSTATUSEX: its length and load in the first 8 bytes, then total bytes
        status[0] = ctypes.sizeof(status)
        if ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):
            return status[1] / 1e9
    return None
