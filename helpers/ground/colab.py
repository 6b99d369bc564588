"""In Colab: install what is missing, before anything else of the course is imported."""

import importlib
import subprocess
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from helpers.ground import ROOT
from helpers.ground.errors import CourseError

PIP = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
TESTED = {"torch": "2.11.0", "transformers": "5.15.0", "numpy": "2.1.3", "ipywidgets": "7.7.1"}


def complete(root: Path = ROOT) -> None:
    """Make the running Python complete: in Colab install what it lacks, elsewhere say how to.

    Nothing that is there already is upgraded. Called again it returns at once. The two real
    networks come without what they ask for, and a lesson goes on without them.
    """
    missing = unmet("requirements-colab.txt", root)
    if missing and not in_colab():
        cure = "open the lessons with `python -m helpers lab`, which installs what they need"
        raise CourseError(f"This Python lacks {', '.join(missing)}: {cure}.")
    newer = [f"{name} {version(name)}" for name in TESTED if in_colab() and is_newer(name)]
    if newer:
        print(f"This Colab is newer than the one the course was tested in: {', '.join(newer)}.")
    if missing:
        install(missing)
    for line in unmet("requirements-networks.txt", root) if in_colab() else ():
        if subprocess.run([*PIP, "--no-deps", line]).returncode:
            print(f"{line} is left out: lessons that use it show stored pictures.")
    importlib.invalidate_caches()


def install(missing: list[str]) -> None:
    """Install these lines of a requirements file; CourseError where one is not there afterwards."""
    print("Installing", ", ".join(missing), "(once, less than a minute).", flush=True)
    failed = subprocess.run([*PIP, *missing]).returncode
    importlib.invalidate_caches()
    if failed or not all(map(is_met, missing)):
        over = "if it ends here again, choose Runtime > Disconnect and delete runtime, start over"
        cure = f"check the connection and run this cell once more; {over}"
        raise CourseError(f"Installing {', '.join(missing)} failed: {cure}.")


def unmet(file: str = "requirements.txt", root: Path = ROOT) -> list[str]:
    """The lines of a requirements file that the running Python does not meet."""
    lines = (Path(root) / file).read_text(encoding="utf-8").splitlines()
    asked = (line.partition("#")[0].strip() for line in lines)
    return [line for line in asked if line and not is_met(line)]


def is_met(requirement: str) -> bool:
    """Whether the running Python has what a line of a requirements file asks for."""
    try:
        from packaging.requirements import Requirement  # a bare Python lacks this package too

        wanted = Requirement(requirement)
        return wanted.specifier.contains(version(wanted.name), prereleases=True)
    except ImportError:
        return False


def is_newer(package: str) -> bool:
    """Whether a package's first two numbers are above those it was tested with."""
    release = lambda text: [int(part) for part in text.split(".")[:2]]
    return release(version(package)) > release(TESTED[package])


def in_colab() -> bool:
    """Whether this is Google Colab: its package is there before anybody has imported it."""
    return find_spec("google") is not None and find_spec("google.colab") is not None
