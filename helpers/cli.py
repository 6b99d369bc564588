"""The commands of `python -m helpers`, and the course's own Python environment, .venv.

Standard library only. What goes wrong ends in a sentence; the same command called again goes on.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import errno
import importlib
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO

from helpers.ground.colab import unmet
from helpers.ground.errors import CourseError

ROOT = Path(__file__).resolve().parents[1]
WINDOWS = os.name == "nt"
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if WINDOWS else "bin/python")
STAMP = VENV / "course.json"  # the course made .venv, and what is in it; empty while that changes
LOG = VENV / "install.log"
MAKE_VENV = ("-m", "venv")
NEEDED_GB = 10 if sys.platform.startswith("linux") else 4  # .venv and the downloads it is made of
FIRST_PORT = 8888
PACKAGES = ("requirements.txt",)
TESTS = ("requirements.txt", "tests/requirements.txt")
NETWORKS = "requirements-networks.txt"  # each line is installed alone; the course goes on without
COMMANDS = {  # name: (what carries it out, what it needs, one line about it)
    "lab": ("helpers.cli:lab", PACKAGES, "opens the course; the first time it installs it"),
    "test": ("tests.command:test", TESTS, "runs every test"),
    "check": ("helpers.doctor:main", (), "says what this machine has and what the lessons need"),
    "make": ("data.recipes.make:main", PACKAGES, "makes what is stored in data/ again"),
    "measure": ("data.recipes.make:measure", PACKAGES, "measures a stored model"),
    "record": ("tests.authoring.execute:main", PACKAGES, "runs notebooks and stores their outputs"),
    "bench": ("tests.benchmarks.bench:main", TESTS, "times the code beside other libraries'"),
    "class": ("tests.authoring.classroom:main", PACKAGES, "copies, one file a person, a report"),
    "site": ("tests.authoring.site.build:main", TESTS, "sets the recorded lessons as web pages"),
    "home": ("tests.authoring.stamp:main", (), "writes the address OWNER/REPO into every lesson"),
}
# Of the variables that steer pip, Python and Jupyter, such as PIP_TARGET, only these go through.
KEPT = re.compile(
    "(?!PIP_|PYTHON|JUPYTER)|PIP_.*(INDEX|LINKS|PROXY|CERT|HOST|CACHE|TIMEOUT|KEYRING|CONFIG)"
    "|PYTHON(UTF8|IOENCODING|UNBUFFERED)|JUPYTER_(TOKEN|RUNTIME_DIR|DATA_DIR)"
)


def main(argv: list[str]) -> int:
    """Runs one command and returns its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a console that lacks a letter shows ? instead
    try:
        return dispatch(argv)
    except (CourseError, OSError, KeyboardInterrupt) as error:
        print(explain(error), file=sys.stderr, flush=True)
        return 1


def dispatch(argv: list[str]) -> int:
    name, *rest = [word for word in argv if word != "--here"] or ["help"]
    if name in ("-h", "--help", "help"):
        print("python -m helpers COMMAND [--here]\n")
        print("\n".join(f"  {command:<8} {row[2]}" for command, row in COMMANDS.items()))
        print("\n--here: with the running Python (conda, Colab), not .venv. COMMAND --help: more.")
        return 0
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.4)
        hint = f"did you mean `{near[0]}`?" if near else "`python -m helpers` lists them."
        raise CourseError(f"There is no command `{name}`: {hint}")
    code, files, text = COMMANDS[name]
    asks = bool({"-h", "--help"} & set(rest))
    if "--here" not in argv:
        if not asks or ready(files):
            enter_venv(files, argv)
    elif missing := [] if asks else [line for file in files for line in unmet(file)]:
        call = f"{Path(sys.executable).stem} -m pip install -r {' -r '.join(files)}"
        raise CourseError(f"This Python lacks {', '.join(missing)}: call `{call}` first.")
    module, _, function = code.partition(":")
    try:
        return getattr(importlib.import_module(module), function)(rest) or 0
    except ModuleNotFoundError:
        if not asks:
            raise
    print(f"python -m helpers {name}: {text}.\nOnce the course is installed, this lists options.")
    return 0


def enter_venv(files: tuple[str, ...], argv: list[str]) -> None:
    """Gets .venv ready and goes on inside it; what needs no package makes no .venv."""
    if files:
        prepare(files)
    if inside() or not PYTHON.exists():
        return
    if os.environ.get("COURSE_INSIDE_VENV"):
        raise CourseError(f"{VENV} does not work: delete it, then call this again.")
    sys.exit(become([str(PYTHON), "-m", "helpers", *argv], {"COURSE_INSIDE_VENV": "1"}))


def explain(error: BaseException) -> str:
    """The sentence for the person: what is wrong, and what to do."""
    if not isinstance(error, OSError):
        return str(error) or "Stopped. Call the same command again to go on."
    where = error.filename or ROOT
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{where} cannot be written: copy the course into a folder of your own, start there."
    return cause_in(str(error)) or f"{error.strerror or error} ({where}): mend it, call this again."


def cause_in(text: str) -> str:
    """The sentence for what pip or the system says; empty where none is known."""
    table = Path(__file__).with_name("pip_says.tsv").read_text(encoding="utf-8").splitlines()
    known = (line.split("\t") for line in table)
    return next((sentence for words, sentence in known if re.search(words, text)), "")


def inside() -> bool:
    """Whether this very process already runs in .venv."""
    return Path(sys.prefix).resolve() == VENV.resolve()


def clean() -> dict[str, str]:
    """The environment variables without those that lead pip, Python or Jupyter elsewhere."""
    return {name: value for name, value in os.environ.items() if KEPT.match(name)}


def asked(files: tuple[str, ...]) -> dict[str, list[str]]:
    """{requirements file: its lines}; comments and line ends do not count."""
    texts = {file: (ROOT / file).read_text(encoding="utf-8") for file in files}
    return {file: re.sub(r"\s*#.*", "", text).split() for file, text in texts.items()}


def installed() -> dict[str, list[str]] | None:
    """What was installed to the end, as `asked` has it; None where that was cut off."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError, ValueError):
        return json.loads(STAMP.read_text(encoding="utf-8"))
    return None


def ready(files: tuple[str, ...] = PACKAGES) -> bool:
    """Whether .venv holds all that these requirements files ask for."""
    there = installed() or {}
    return PYTHON.exists() and {**there, **asked(files)} == there


def prepare(files: tuple[str, ...] = PACKAGES) -> None:
    """Makes .venv where there is none, mends or updates it, or returns at once when it is ready."""
    if ready(files):
        return
    if os.pathsep in str(ROOT):
        needs = f"its name has no `{os.pathsep}` (Finder shows it as `/`), then call this again"
        raise CourseError(f"Python makes no environment in {ROOT}: rename it so that {needs}.")
    with open(ROOT / ".venv-lock", "a", encoding="utf-8") as file:
        lock(file)
        if os.path.lexists(VENV) and (VENV.is_symlink() or not STAMP.is_file()):
            what = "was not made by the course and stays as it is: move or rename it"
            raise CourseError(f"{VENV} {what}, or activate it and add --here to use it.")
        if VENV.exists() and not usable():
            remove()
        if not VENV.exists():
            make()
        install(files)
        for line in asked((NETWORKS,))[NETWORKS] if (ROOT / NETWORKS).exists() else ():
            try:
                pip("--no-deps", line)
            except CourseError as error:
                print(f"{line} is left out: {error} Lessons that use it show stored pictures.")


def lock(file: IO[str]) -> None:
    """Holds the file; the system lets go of it however this process ends."""
    with contextlib.suppress(OSError):
        if WINDOWS:
            return importlib.import_module("msvcrt").locking(file.fileno(), 2, 1)  # 2: do not wait
        return importlib.import_module("fcntl").flock(file, 2 | 4)  # 2: alone, 4: do not wait
    raise CourseError("Another window installs the course: wait for it, then call this again.")


def usable() -> bool:
    """Whether .venv was made to the end, and has pip and a Python that still runs."""
    command, there = [PYTHON, "-c", "import pip"], installed() is not None and PYTHON.exists()
    return there and not subprocess.run(command, env=clean(), capture_output=True).returncode


def remove() -> None:
    print(f"{VENV} is half-made or has lost its Python: it is made anew.", flush=True)
    if not inside():
        with contextlib.suppress(OSError):
            return shutil.rmtree(VENV.rename(ROOT / f".venv-old-{os.getpid()}"))
    raise CourseError(f"{VENV} is in use: type `deactivate`, close what uses it, call this again.")


def make() -> None:
    free = shutil.disk_usage(ROOT).free / 1e9
    if free < NEEDED_GB:
        needs = f"Installing needs {NEEDED_GB} GB of free disk, and {ROOT} has {free:.1f}"
        raise CourseError(f"{needs}: free some, or take a larger disk, then call this again.")
    print(f"Making {VENV} and installing packages: once, some minutes.", flush=True)
    VENV.mkdir()
    STAMP.write_text("")
    command = [sys.executable, *MAKE_VENV, VENV]
    done = subprocess.run(command, cwd=ROOT, env=clean(), capture_output=True, text=True)
    if done.returncode:
        why = f"This Python makes no environment ({done.stderr.strip()[-200:]})"
        raise CourseError(f"{why}: Debian and Ubuntu need `sudo apt install python3-venv` first.")
    STAMP.write_text("{}")


def install(files: tuple[str, ...]) -> None:
    """Brings what these files ask for into .venv, and looks whether it is there."""
    wanted, before = asked((*PACKAGES, *files)), STAMP.read_text(encoding="utf-8")
    STAMP.write_text("")
    try:
        pip(*(word for file in wanted for word in ("-r", ROOT / file)))
    except CourseError:
        if "Installing collected packages" not in LOG.read_text(errors="replace"):  # as it was
            STAMP.write_text(before, encoding="utf-8")
        raise
    code = f"from helpers.ground.colab import unmet; print(*sum(map(unmet, {files}), [])[:3])"
    command = [PYTHON, "-c", code]
    if missing := subprocess.check_output(command, cwd=ROOT, env=clean(), text=True).strip():
        why = f"pip ended well, yet .venv lacks {missing}: a setting of pip leads elsewhere"
        raise CourseError(f"{why}. Find it with `python -m pip config list` and remove it.")
    STAMP.write_text(json.dumps(wanted), encoding="utf-8")


def pip(*arguments: str | Path) -> None:
    """pip install in .venv, its progress shown; a failure ends in a sentence for its cause."""
    LOG.write_text("")
    command = [PYTHON, "-m", "pip", "--disable-pip-version-check", "--log", LOG, "install"]
    env = {**clean(), "PIP_USER": "0"}  # against a pip.conf that says otherwise
    if subprocess.run([*command, *arguments], cwd=ROOT, env=env).returncode:
        text = LOG.read_text(encoding="utf-8", errors="replace")
        last = (re.findall("ERROR: (.+)", text) or ["it did not say why"])[-1].strip()
        raise CourseError(cause_in(text) or f"pip failed ({last}): call this again, or see {LOG}.")


def become(command: list[str], env: dict[str, str]) -> int:
    """Runs `command` in this process's place (on Windows beside it) and ends as it ends."""
    if not WINDOWS:
        sys.stdout.flush()
        os.chdir(ROOT)
        os.execve(command[0], command, {**clean(), **env})
    with subprocess.Popen(command, cwd=ROOT, env={**clean(), **env}) as child:
        while True:
            with contextlib.suppress(KeyboardInterrupt):  # the child got it too, and ends itself
                return child.wait()


def lab(argv: list[str]) -> int:
    """JupyterLab on a lesson: in a browser where there is one, otherwise the address is printed."""
    parser = argparse.ArgumentParser(prog="python -m helpers lab", description=lab.__doc__)
    parser.add_argument("lesson", nargs="?", default="00", help="its number (default: 00)")
    parser.add_argument("--port", type=int, help=f"default: the first free one from {FIRST_PORT}")
    parser.add_argument("--ip", default="localhost", help="0.0.0.0 lets other machines in")
    parser.add_argument("--no-browser", action="store_true", help="print the address only")
    choice = parser.parse_args(argv)
    lessons = {page.name[:2]: page for page in (ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")}
    if choice.lesson.zfill(2) not in lessons:
        raise CourseError(f"There is no lesson {choice.lesson}, only {', '.join(sorted(lessons))}.")
    page = lessons[choice.lesson.zfill(2)]
    ports = [choice.port] if choice.port else range(FIRST_PORT, FIRST_PORT + 50)
    port = next((port for port in ports if is_free(port, choice.ip)), None)
    if port is None:
        raise CourseError(f"Port {ports[0]} is in use: close what uses it, or say `--port 9000`.")
    token = os.environ.get("JUPYTER_TOKEN") or secrets.token_hex(16)
    show = has_display() and not choice.no_browser
    where = "If no browser opens, go to" if show else "Open in a browser:"
    print("JupyterLab starts in some seconds; Ctrl-C stops it.", where, end=" ")
    print(f"http://localhost:{port}/lab/tree/notebooks/{page.name}?token={token}", flush=True)
    command = lab_command(str(page), port, choice.ip, show)
    return become(command, {"JUPYTER_TOKEN": token, **quiet_lab()})


def is_free(port: int, ip: str) -> bool:
    with contextlib.suppress(OSError):
        return not socket.create_server((ip, port)).close()
    return False


def has_display() -> bool:
    if sys.platform.startswith("linux"):
        return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return "SSH_CONNECTION" not in os.environ


def lab_command(page: str, port: int, ip: str, show: bool) -> list[str]:
    options = [f"--port={port}", f"--ip={ip}", f"--ServerApp.root_dir={ROOT}"]
    return [sys.executable, "-m", "jupyterlab", page, *options, *["--no-browser"] * (not show)]


def quiet_lab() -> dict[str, str]:
    """The settings of helpers/jupyter, which ask nothing of the web, and none of the person's."""
    own = ROOT / ".jupyter" if os.access(ROOT, os.W_OK) else tempfile.mkdtemp()
    ours = {"JUPYTER_CONFIG_PATH": str(ROOT / "helpers/jupyter"), "JUPYTER_CONFIG_DIR": str(own)}
    return {**ours, "JUPYTER_PREFER_ENV_PATH": "1"}  # kernels of this Python come first
