"""In Colab: install what is missing before anything else is imported. Standard library only."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import subprocess
import sys
from pathlib import Path

from helpers.ground import ROOT
from helpers.ground.errors import CourseError


def complete(root: Path = ROOT) -> None:
    """Makes the running Python complete: in Colab installs the missing packages, elsewhere says how to.

    Nothing that is there already is upgraded. Called again it returns at once.
    """
    file = "requirements-colab.txt"
    missing = unmet(file, root)
    if not missing:
        return
    if not in_colab():
        raise CourseError(
            f"This Python lacks {', '.join(missing)}: open the lessons with `python -m helpers lab`, "
            "which installs what they need."
        )
    print("Installing", ", ".join(missing), "(once, less than a minute).", flush=True)
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        *missing,
    ]
    if subprocess.run(command).returncode or not all(map(installed_now, missing)):
        raise CourseError(
            f"Installing {', '.join(missing)} failed: check the connection and run this cell again; "
            "if it ends here once more, choose Runtime > Disconnect and delete runtime, and start over."
        )


def installed_now(requirement: str) -> bool:
    importlib.invalidate_caches()
    return is_met(requirement)


def unmet(file: str = "requirements.txt", root: Path = ROOT) -> list[str]:
    """The lines of a requirements file that the running Python does not meet."""
    lines = (Path(root) / file).read_text(encoding="utf-8").splitlines()
    asked = (line.partition("#")[0].strip() for line in lines)
    return [line for line in asked if line and not is_met(line)]


def is_met(requirement: str) -> bool:
    """Whether such a line as `numpy>=2.0` holds for what is installed."""
    try:
        from packaging.requirements import Requirement

        wanted = Requirement(requirement)
        return wanted.specifier.contains(importlib.metadata.version(wanted.name), prereleases=True)
    except ImportError:  # the package is not there, or nothing is yet
        return False


def in_colab() -> bool:
    """Whether this is Google Colab (the package is there even before anybody has imported it)."""
    return (
        importlib.util.find_spec("google") is not None
        and importlib.util.find_spec("google.colab") is not None
    )
