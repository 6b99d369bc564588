"""Environments for peers whose packages do not fit beside the course's."""

import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Sequence
from pathlib import Path

from helpers.ground.artifacts import ROOT
from helpers.ground.errors import CourseError


def in_own_environment(path: Path) -> bool:
    """Whether this Python is the one that `own_environment` made for a benchmark file."""
    return Path(sys.prefix).resolve() == (ROOT / ".cache" / path.stem).resolve()


def own_environment(path: Path, peers: Sequence[str]) -> Path:
    """The Python of .cache/NAME, made when it or the peers are new; it sees the course's packages
    too."""
    home = ROOT / ".cache" / path.stem
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    kept, wanted = home / "ready", "\n".join(peers)
    ready = kept.exists() and kept.read_text(encoding="utf-8") == wanted
    if not ready:
        print(f"Installing {', '.join(peers)}, once; this needs a network ...", file=sys.stderr)
        venv.create(home, with_pip=True, clear=True)
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = Path(subprocess.check_output([python, "-c", where], text=True).strip())
    ours = sysconfig.get_path("purelib") + "\n"  # each time: the course may have moved
    (packages / "course.pth").write_text(ours, encoding="utf-8")
    if ready:
        return python
    if subprocess.run([python, "-m", "pip", "install", "--quiet", *peers]).returncode:
        raise CourseError(f"{', '.join(peers)} could not be installed. Is there a network?")
    kept.write_text(wanted, encoding="utf-8")
    return python
