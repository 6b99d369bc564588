"""`python -m helpers class WHAT`: what a teacher needs the week before, on the day, and after."""

from __future__ import annotations

import argparse
from pathlib import Path

from helpers.ground import ROOT
from helpers.lesson import answers, report
from tests.authoring import copies

WHAT = {
    "pack": "your own answers to all activities in one file, to hand in",
    "report": "pages of what a folder of everybody's files says",
    "student": "the lessons without outputs and solutions",
    "solutions": "the lessons with the solutions filled in, and run",
    "otter": "the lessons as masters for `otter assign` (Otter-Grader 7)",
    "nbgrader": "the lessons as sources for `nbgrader generate_assignment` (0.9)",
}


def main(argv: list[str]) -> int:
    """Before: copies of the lessons. On the day: one file a person. After: a report."""
    lines = "\n".join(f"  {what:<10} {text}" for what, text in WHAT.items())
    parser = argparse.ArgumentParser(
        prog="python -m helpers class",
        description=main.__doc__,
        epilog=lines,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=WHAT)
    parser.add_argument("lessons", nargs="*", metavar="NN", help="such as 00 03 (default: all)")
    parser.add_argument("--folder", type=Path, help="the class folder, or where the copies go")
    choice = parser.parse_args(argv)
    if choice.what == "pack":
        print(f"Hand in {answers.pack_answers(choice.folder)}")
    elif choice.what == "report":
        print(f"Read {report.write(choice.folder or answers.class_dir())}")
    else:
        folder = choice.folder or ROOT / f"notebooks-{choice.what}"
        copies.write(choice.what, folder, choice.lessons)
    return 0
