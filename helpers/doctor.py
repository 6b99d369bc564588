"""`python -m helpers check`: what this machine has, at which scale the course runs here, and what
each lesson needs. Standard library only, so that it answers before anything is installed."""

import argparse
import importlib
import json
import os
import platform
import shutil
from math import ceil

from helpers import cli
from helpers.ground.colab import unmet


def main(argv: list[str]) -> int:
    """Says what this machine has and what the lessons need; 1 where something is in the way."""
    argparse.ArgumentParser("python -m helpers check", description=main.__doc__).parse_args(argv)
    missing, problems = unmet(), []
    memory = 0 if missing else importlib.import_module("psutil").virtual_memory().total / 1e9
    free = shutil.disk_usage(cli.ROOT).free / 1e9
    system = f"{platform.system()} on {platform.machine()}, Python {platform.python_version()}"
    gigabytes = f"{memory:.0f} GB of memory" if memory else "memory unknown before installation"
    print(f"This machine: {system}, {os.cpu_count()} cores, {gigabytes}, {free:.0f} GB disk free.")
    if 0 < memory < 5:
        problems += ["little memory: close other programs, open one lesson at a time, or Colab."]
    if (platform.system(), platform.machine()) == ("Darwin", "x86_64"):
        problems += ["there is no current PyTorch for Macs with an Intel processor: use Colab."]
    if missing:
        print("Scale: not known before PyTorch is installed (full with an NVIDIA GPU, else small).")
        shown = ", ".join(missing[:4]) + ", ..." * (len(missing) > 4)
        problems += [f"`python -m helpers lab` installs {shown}."]
        if free < cli.NEEDED_GB:
            problems += [f"free some disk: installing takes {cli.NEEDED_GB} GB."]
    else:
        course = importlib.import_module("helpers.ground.runtime").setup(quiet=True)
        print(f"The lessons will run at {course} (COURSE_SCALE and COURSE_SOURCE override this).")
    print()
    read = lambda name: json.loads((cli.ROOT / "notebooks" / name).read_text(encoding="utf-8"))
    for lesson in read("lessons.json"):
        number = lesson["name"][:2]
        needs = f"{lesson['seconds']} s on two quiet cores, up to {lesson['gigabytes']} GB"
        problem = "" if missing else data_problem(number)
        notebook = (cli.ROOT / "notebooks" / f"{lesson['name']}.ipynb").read_text(encoding="utf-8")
        if "loaded(" in notebook and not missing and (lacking := unmet(cli.NETWORKS)):
            problem += f"; shows stored pictures without {', '.join(lacking)} (README: Trouble)"
        print(f"{number}  {lesson['title']}: about {needs} of memory{problem}")
        if cost := read("costs.json").get(lesson["name"]):
            each = ", ".join(f"{ceil(value)} on {card}" for card, value in cost["minutes"].items())
            print(f"    full, estimated: minutes {each}; {cost['gigabytes']} GB")
    print("\nEstimated by counting operations and kernels, rounded up; not measured on a GPU.\n")
    print(*[f"To do: {problem}" for problem in problems] or ["Everything is here."], sep="\n")
    return int(bool(problems))


def data_problem(number: str) -> str:
    """The commands that make the stored models and tables this lesson misses."""
    make = importlib.import_module("data.recipes.make")
    used = [recipe for recipe in make.RECIPES if number in recipe.lessons]
    bad = [r.name for r in used if make.state(r) in ("missing", "damaged")]
    return "; missing: " * bool(bad) + ", ".join(f"`python -m helpers make {name}`" for name in bad)
