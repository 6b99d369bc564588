"""The commands of `python -m helpers`: what each does, and how it gets into .venv first. Standard library only."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import importlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from xml.etree import ElementTree

from helpers import environment
from helpers.environment import ROOT, TEST_REQUIREMENTS, WINDOWS, Stop
from helpers.ground.errors import CourseError
from tests.authoring.lessons import LESSONS, NOTEBOOKS

FIRST_PORT, PORTS = 8888, 50
TEST_SETTINGS = {
    "COURSE_SCALE": "small",
    "COURSE_SOURCE": "packaged",
    "COURSE_TEST": "1",
    "COURSE_THREADS": "2",
    "OMP_NUM_THREADS": "2",
    "MKL_NUM_THREADS": "2",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def main(argv: list[str]) -> int:
    """Runs one command; returns its exit code. What the person can put right ends in one sentence, not in a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(
                errors="replace"
            )  # a console that lacks a letter shows ? in place of a traceback
    try:
        return dispatch(argv)
    except CourseError as error:
        problem = str(error)
    except OSError as error:
        problem = environment.explain(error)
    except KeyboardInterrupt:
        problem = "Stopped. Call the same command again to go on."
    print(problem, file=sys.stderr, flush=True)
    return 1


def dispatch(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help", "help"):
        print("python -m helpers COMMAND [--here]\n")
        print("\n".join(f"  {name:<8} {text}" for name, (_, text, _) in COMMANDS.items()))
        print(
            "\n--here uses the running Python (conda, Colab) in place of .venv. COMMAND --help says more."
        )
        return 0
    name, rest = argv[0], argv[1:]
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.4)
        hint = f"did you mean `{near[0]}`?" if near else "`python -m helpers` lists them."
        raise Stop(f"There is no command `{name}`: {hint}")
    run, _, requirements = COMMANDS[name]
    if "--here" in rest:
        rest.remove("--here")
        here_has(requirements)
    elif not {"-h", "--help"} & set(rest):
        enter_venv(argv, requirements)
    return run(rest)


def enter_venv(argv: list[str], requirements: tuple[str, ...]) -> None:
    """Gets .venv ready and goes on inside it. `check` and `home` need no package, so they install nothing."""
    if requirements:
        environment.prepare(requirements)
    elif not environment.ready():
        return
    if not environment.inside():
        if os.environ.get("COURSE_INSIDE_VENV"):
            raise Stop(
                f"{environment.venv_folder()} does not work: delete this folder, then call this again."
            )
        sys.exit(
            environment.become(
                [str(environment.venv_python()), "-m", "helpers", *argv],
                {"COURSE_INSIDE_VENV": "1"},
            )
        )


def here_has(requirements: tuple[str, ...]) -> None:
    missing = [line for file in requirements for line in environment.unmet(file)]
    if missing:
        files = " ".join(f"-r {file}" for file in requirements)
        raise Stop(
            f"This Python lacks {', '.join(missing)}: call `{Path(sys.executable).stem} -m pip install {files}` first, "
            "or leave --here out."
        )


# ---- lab ----
def lab(argv: list[str]) -> int:
    """JupyterLab on a lesson: in a browser where there is a display, otherwise the address is printed."""
    parser = argparse.ArgumentParser(prog="python -m helpers lab", description=lab.__doc__)
    parser.add_argument(
        "lesson", nargs="?", default="00", help="its number, such as 03 (default: 00)"
    )
    parser.add_argument("--port", type=int, help=f"default: the first free one from {FIRST_PORT}")
    parser.add_argument(
        "--ip",
        default="localhost",
        help="0.0.0.0 lets other machines in, for instance from outside a container",
    )
    parser.add_argument("--no-browser", action="store_true", help="print the address only")
    choice = parser.parse_args(argv)
    page = page_of(choice.lesson)
    port = (
        choice.port
        if choice.port
        else next((p for p in range(FIRST_PORT, FIRST_PORT + PORTS) if is_free(p, choice.ip)), None)
    )
    if port is None or not is_free(port, choice.ip):
        raise Stop(
            f"Port {port or FIRST_PORT} is in use: close the program that holds it, "
            "or choose another with `python -m helpers lab --port 9000`."
        )
    token = os.environ.get("JUPYTER_TOKEN") or secrets.token_hex(16)
    show = not choice.no_browser and has_display()
    print(
        f"{'If no browser opens, go to' if show else 'Open in a browser:'} "
        f"http://localhost:{port}/lab/tree/{page}?token={token}\nCtrl-C stops JupyterLab.",
        flush=True,
    )
    return environment.become(
        lab_command(page, port, choice.ip, show), {"JUPYTER_TOKEN": token, **quiet_lab()}
    )


def lab_command(page: str, port: int, ip: str, show: bool) -> list[str]:
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        str(ROOT / page),
        f"--port={port}",
        "--ServerApp.port_retries=0",
        f"--ip={ip}",
        f"--ServerApp.root_dir={ROOT}",
        "--ServerApp.log_level=WARN",
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.extension_manager=readonly",
    ]
    command += [] if show else ["--no-browser"]
    return command + (["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else [])


def quiet_lab() -> dict[str, str]:
    """Settings under which JupyterLab asks nothing of the web: no news, no update check, no extension catalogue."""
    folders = [str(Path(__file__).parent / "jupyter"), os.environ.get("JUPYTER_CONFIG_PATH", "")]
    return {
        "JUPYTER_CONFIG_PATH": os.pathsep.join(filter(None, folders)),
        "JUPYTER_PREFER_ENV_PATH": "1",
    }


def page_of(number: str) -> str:
    """The lesson's path below ROOT, as JupyterLab writes it; the folder while the lesson is not there yet."""
    named = [lesson for lesson in LESSONS if lesson.number == number.zfill(2)]
    if not named:
        raise Stop(
            f"There is no lesson {number}: they are {LESSONS[0].number} to {LESSONS[-1].number}."
        )
    if named[0].path.exists():
        return f"notebooks/{named[0].name}.ipynb"
    if number != "00":
        raise Stop(
            f"Lesson {named[0].name} is still to come: `python -m helpers lab` opens the first."
        )
    return "notebooks" if NOTEBOOKS.exists() else ""


def is_free(port: int, ip: str) -> bool:
    with socket.socket() as probe:
        if not WINDOWS:  # as servers do: a port just given back counts as free
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ip, port))
        except OSError:
            return False
    return True


def has_display() -> bool:
    if sys.platform.startswith("linux"):
        return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return "SSH_CONNECTION" not in os.environ


# ---- test ----
def test(argv: list[str]) -> int:
    """Runs every test: units, the notebooks, the browser test where there is a chromium. Other arguments go to pytest
    and choose tests in place of these."""
    parser = argparse.ArgumentParser(prog="python -m helpers test", description=test.__doc__)
    parser.add_argument(
        "--with-llm", action="store_true", help="also the optional offline language model (93 MB)"
    )
    parser.add_argument(
        "--keep-going", action="store_true", help="go on with the next part when one has failed"
    )
    choice, chosen = parser.parse_known_args(argv)
    if choice.with_llm:
        environment.prepare_language_model()
    if chosen:
        return run_pytest(chosen)
    return run_phases(phases(choice.with_llm), choice.keep_going)


def phases(with_llm: bool) -> dict[str, list[str]]:
    """{name of a part: its arguments for pytest}, cheapest first."""
    parts = {
        "units": ["tests", "-m", "not browser and not llm"],
        "notebooks": [
            "notebooks",
            "--nbval",
            "--nbval-current-env",
            "--nbval-cell-timeout=300",
            "--nbval-sanitize-with=tests/nbval_sanitize.cfg",
        ],
    }
    browser = find_browser()
    if browser:
        parts["browser"] = ["tests", "-m", "browser"]
    elif os.environ.get("CI"):
        raise Stop(
            "No chromium is found, and CI has to run the browser test: install one, or name it in COURSE_BROWSER."
        )
    else:
        print(
            "The browser test is left out: no chromium is found (COURSE_BROWSER can name one).",
            flush=True,
        )
    if with_llm:
        parts["language model"] = ["tests", "-m", "llm"]
    return parts


def run_phases(parts: dict[str, list[str]], keep_going: bool) -> int:
    """One pytest a part, one after the other; a closing table. Returns 1 if anything failed or a part ran nothing."""
    total, failed = {"passed": 0, "failed": 0, "skipped": 0}, []
    for number, (name, arguments) in enumerate(parts.items()):
        print(f"\n==== {name} ====", flush=True)
        start = time.time()
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder) / "report.xml"
            code = run_pytest([*arguments, f"--junitxml={report}"])
            counts = read_counts(report)
        total = {key: total[key] + counts[key] for key in total}
        print(
            f"{name}: {counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped "
            f"in {(time.time() - start) / 60:.1f} min",
            flush=True,
        )
        if code or not counts["passed"]:
            failed.append(name)
            if not keep_going:
                left = ", ".join(list(parts)[number + 1 :])
                print(
                    f"Not run because of this: {left} (`--keep-going` runs them all the same)."
                    if left
                    else "",
                    flush=True,
                )
                break
    print(", ".join(f"{count} {what}" for what, count in total.items()), flush=True)
    return 1 if failed else 0


def run_pytest(arguments: list[str]) -> int:
    return subprocess.run(
        [sys.executable, "-m", "pytest", *arguments], cwd=ROOT, env={**os.environ, **TEST_SETTINGS}
    ).returncode


def read_counts(report: Path) -> dict[str, int]:
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    with contextlib.suppress(
        FileNotFoundError, ElementTree.ParseError
    ):  # pytest itself broke off: nothing passed
        for suite in ElementTree.parse(report).getroot().iter("testsuite"):
            bad = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
            skipped = int(suite.get("skipped", 0))
            counts["failed"] += bad
            counts["skipped"] += skipped
            counts["passed"] += int(suite.get("tests", 0)) - bad - skipped
    return counts


def find_browser() -> str | None:
    """A chromium for the browser test: COURSE_BROWSER, or the first one on the path."""
    named = os.environ.get("COURSE_BROWSER")
    return named or next(filter(None, map(shutil.which, BROWSERS)), None)


# ---- the rest lives in modules of its own ----
def elsewhere(module: str, function: str = "main"):
    """A command that a function of a module carries out; it returns the exit code."""
    return lambda argv: getattr(importlib.import_module(module), function)(argv) or 0


PACKAGES = environment.REQUIREMENTS
COMMANDS = {
    "lab": (lab, "opens the course in JupyterLab; the first time it installs it", PACKAGES),
    "test": (test, "runs every test", TEST_REQUIREMENTS),
    "check": (
        elsewhere("helpers.doctor"),
        "says what this machine has and what each lesson needs",
        (),
    ),
    "make": (
        elsewhere("data.recipes.make"),
        "makes one of the stored models or tables again; --list shows them",
        PACKAGES,
    ),
    "measure": (
        elsewhere("data.recipes.make", "measure"),
        "measures one of the stored models",
        PACKAGES,
    ),
    "record": (
        elsewhere("tests.authoring.execute"),
        "runs notebooks and stores their outputs",
        PACKAGES,
    ),
    "bench": (
        elsewhere("tests.benchmarks.bench"),
        "times the course's code beside other libraries'",
        TEST_REQUIREMENTS,
    ),
    "home": (
        elsewhere("tests.authoring.stamp"),
        "writes the course's public address OWNER/REPO into badges and set-up cells",
        (),
    ),
}
