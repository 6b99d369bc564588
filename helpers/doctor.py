"""`python -m helpers check`: what this machine has, at which scale the course runs here, and what
each lesson needs. Standard library only, so that it answers before anything is installed."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import shutil

from helpers import cli
from helpers.ground.colab import unmet


def main(argv: list[str]) -> int:
    """Says what this machine has and what the lessons need; 1 where something is in the way."""
    argparse.ArgumentParser(prog="python -m helpers check", description=main.__doc__).parse_args(
        argv
    )
    missing, problems = unmet(), []
    memory, free = memory_gb(), shutil.disk_usage(cli.ROOT).free / 1e9
    system = f"{platform.system()} on {platform.machine()}, Python {platform.python_version()}"
    gigabytes = f"{memory:.0f} GB of memory" if memory else "memory unknown before installation"
    print(f"This machine: {system}, {os.cpu_count()} cores, {gigabytes}, {free:.0f} GB disk free.")
    if memory and memory < 5:
        problems += [
            "little memory: close other programs, open one lesson at a time, or use Colab."
        ]
    if (platform.system(), platform.machine()) == ("Darwin", "x86_64"):
        problems += ["there is no current PyTorch for Macs with an Intel processor: use Colab."]
    if missing:
        print("Scale: not known before PyTorch is installed (full with an NVIDIA GPU, else small).")
        more = f" and {len(missing) - 4} more" if len(missing) > 4 else ""
        problems += [f"`python -m helpers lab` installs {', '.join(missing[:4])}{more}."]
        if free < cli.NEEDED_GB:
            problems += [f"free some disk: installing takes {cli.NEEDED_GB} GB."]
    else:
        course = importlib.import_module("helpers.ground.runtime").setup(quiet=True)
        print(f"The lessons will run at {course} (COURSE_SCALE and COURSE_SOURCE override this).")
    print()
    table = json.loads((cli.ROOT / "notebooks" / "lessons.json").read_text(encoding="utf-8"))
    for lesson in table:
        number = lesson["name"][:2]
        needs = f"{lesson['seconds']} s on two quiet cores, up to {lesson['gigabytes']} GB"
        problem = "" if missing else data_problem(number)
        print(f"{number}  {lesson['title']}: about {needs} of memory{problem}")
    print("", *(f"To do: {problem}" for problem in problems), sep="\n")
    print("" if problems else "Everything the course needs is here.")
    return int(bool(problems))


def data_problem(number: str) -> str:
    """The commands that make the stored models and tables this lesson misses."""
    make = importlib.import_module("data.recipes.make")
    used = [recipe for recipe in make.RECIPES if number in recipe.lessons]
    bad = [r.name for r in used if make.state(r) in ("missing", "damaged")]
    return "; missing: " * bool(bad) + ", ".join(f"`python -m helpers make {name}`" for name in bad)


def memory_gb() -> float | None:
    """The machine's memory in GB, or None where psutil is not installed yet."""
    try:
        return importlib.import_module("psutil").virtual_memory().total / 1e9
    except ImportError:
        return None
