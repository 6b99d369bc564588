"""Speed beside the peers: ours and another library's function take turns in one run, after their
outputs were compared.

A file tests/benchmarks/bench_NAME.py has a function `contests()` that returns a list of `Contest`,
and ends with `sys.exit(bench.run(contests, sys.argv[1:]))`. `python -m helpers bench [NAME ...]`
runs them all, each in a Python of its own. Peers that do not fit beside the course's packages are
named in the file as PEERS: it then gets an environment too.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import json
import math
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import date
from itertools import accumulate
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from helpers.ground.artifacts import ROOT
from helpers.ground.errors import CourseError
from tests.benchmarks import peers

FOLDER = ROOT / "tests" / "benchmarks"


@dataclass(frozen=True)
class Contest:
    """One task for two functions without arguments."""

    name: str
    # does the work once and returns its result: a tensor, a number, or a list of these
    ours: Callable
    peer: Callable  # the same with the other library
    peer_name: str  # such as "captum 0.9.0"
    # largest difference of the results, as a share of the largest value; inf: see `apart`
    tolerance: float
    items: int = 1  # how many things a call handles
    unit: str = "call"  # what these things are, such as "image"
    apart: str = ""  # why the results may differ; has to be given with tolerance inf


@dataclass(frozen=True)
class Result:
    """What a contest measured; milliseconds are medians of one call."""

    name: str
    peer: str
    ours_ms: float
    peer_ms: float
    ratio: float  # peer's time over ours, median over rounds: above 1, ours is faster
    ratio_low: float  # the ratio's quartiles
    ratio_high: float
    ours_per_second: float  # items a second
    unit: str
    ours_mb: float  # of tensors, at the fullest moment of one call
    peer_mb: float
    difference: float  # of the results, as a share of the largest value
    tolerance: float
    apart: str
    rounds: int


def race(contest: Contest, *, seconds: float = 5.0, least: int = 5) -> Result:
    """Compares the outputs once, then lets both run in turns (each goes first every other round)
    for about `seconds`, at least `least` rounds.

    Raises CourseError where the outputs differ: a fast wrong answer has no speed.
    """
    difference = compare(contest)
    calls = {call: one_turn(call, seconds / 20) for call in (contest.ours, contest.peer)}
    times = {call: [] for call in calls}  # seconds a call, a number a round
    turns, end = list(calls), time.perf_counter() + seconds
    while len(times[contest.ours]) < least or time.perf_counter() < end:
        for call in turns:
            times[call].append(time_of(call, calls[call]))
        turns.reverse()
    ours, peer = times.values()
    ratios = [p / o for p, o in zip(peer, ours, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    ours_s, peer_s = statistics.median(ours), statistics.median(peer)
    speed = (1e3 * ours_s, 1e3 * peer_s, middle, low, high, contest.items / ours_s, contest.unit)
    memory = peak_mb(contest.ours), peak_mb(contest.peer)
    outputs = difference, contest.tolerance, contest.apart
    return Result(contest.name, contest.peer_name, *speed, *memory, *outputs, len(ratios))


def one_turn(call: Callable, seconds: float) -> int:
    """How many calls take about so long, at least one."""
    return max(1, round(seconds / time_of(call)))


def time_of(call: Callable, times: int = 1) -> float:
    """Seconds that one call takes, of so many in a row; a GPU's work is waited for."""
    wait = torch.cuda.synchronize if torch.cuda.is_available() else lambda: None
    wait()
    start = time.perf_counter()
    for _ in range(times):
        call()
    wait()
    return (time.perf_counter() - start) / times


def peak_mb(function: Callable) -> float:
    """Megabytes that the tensors of one call take at its fullest moment, beside those held before.

    Torch's profiler notes each tensor that is made or freed on the CPU: what the allocator keeps
    for later, and what others do in the process, cannot disturb it. Where there is a GPU, its peak
    is measured too, and the larger counts: a model may be on either.
    """
    before, held = 0, lambda: 0
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before, held = torch.cuda.memory_allocated(), torch.cuda.max_memory_allocated
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as seen:
        function()
    events = [e for e in seen.profiler.kineto_results.events() if e.name() == "[memory]"]
    events.sort(key=lambda event: event.start_ns())
    on_cpu = max(accumulate((event.nbytes() for event in events), initial=0))
    return max(on_cpu, held() - before) / 1e6


def compare(contest: Contest) -> float:
    """The largest difference of the results, as a share of the peer's largest value; a warm-up."""
    name, library, allowed = contest.name, contest.peer_name, contest.tolerance
    if math.isinf(allowed) and not contest.apart:
        raise CourseError(f"{name}: give a tolerance, or say in `apart` why results may differ.")
    ours, peer = flat(contest.ours()), flat(contest.peer())
    if math.isinf(allowed):
        return math.nan
    if ours.shape != peer.shape:
        counts = f"ours has {ours.numel()} numbers, {library}'s has {peer.numel()}"
        raise CourseError(f"{name}: {counts}.")
    difference = float((ours - peer).abs().max() / peer.abs().max().clamp(min=1e-30))
    if not difference <= allowed:  # also when it is nan
        beyond = f"{difference:.2g} of the largest value, and {allowed:.2g} is allowed"
        raise CourseError(f"{name}: ours and {library} differ by {beyond}.")
    return difference


def flat(result) -> torch.Tensor:
    """All numbers of a result in one row, in double precision."""
    if isinstance(result, (list, tuple)):
        return torch.cat([flat(part) for part in result])
    return torch.as_tensor(result).detach().double().cpu().reshape(-1)


# ---- table and JSON ----
def table(results: Iterable[Result]) -> str:
    """A Markdown table, a line a contest."""
    rows = [
        "| task | ours, ms | peer, ms | peer ÷ ours (quartiles) | ours a second "
        "| MB: ours, peer | outputs differ by | peer |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for r in results:
        differ = (
            f"not compared: {r.apart}"
            if math.isnan(r.difference)
            else f"{r.difference:.1g} (≤ {r.tolerance:.1g})"
        )
        rows.append(
            f"| {r.name} | {three(r.ours_ms)} | {three(r.peer_ms)} "
            f"| {r.ratio:.2f} ({r.ratio_low:.2f} to {r.ratio_high:.2f}) "
            f"| {three(r.ours_per_second)} {r.unit}s | {r.ours_mb:.0f}, {r.peer_mb:.0f} "
            f"| {differ} | {r.peer} |"
        )
    return "\n".join(rows)


def three(number: float) -> str:
    """A number with the three digits that count, never as 1.23e+03: 0.0123, 3.46, 1,230."""
    rounded = float(f"{number:.3g}")
    return f"{rounded:,.0f}" if rounded >= 100 else f"{rounded:.3g}"


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Times the course's code beside another library's, in turns."
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="store the numbers there")
    parser.add_argument(
        "--seconds",
        type=float,
        default=5.0,
        help="for each contest (default: 5; 0: five rounds, to see that it runs)",
    )
    return parser


def run(contests: Callable[[], Iterable[Contest]], argv: list[str]) -> int:
    """What a benchmark file does when it is run by itself, `python bench_NAME.py --json FILE`.

    One contest after the other; the JSON is stored after each, so that a failure costs one.
    """
    choice, path = options().parse_args(argv), Path(sys.argv[0])
    if (needs := getattr(sys.modules["__main__"], "PEERS", ())) and not peers.in_own_environment(
        path
    ):
        try:
            return subprocess.run([peers.own_environment(path, needs), path, *argv]).returncode
        except CourseError as error:
            print(error, file=sys.stderr)
            return 1
    torch.set_num_threads(2)
    results, failed = [], False
    for contest in contests():
        print(f"{contest.name} beside {contest.peer_name} ...", file=sys.stderr, flush=True)
        try:
            results.append(race(contest, seconds=choice.seconds))
        except CourseError as error:
            print(f"not timed: {error}", file=sys.stderr, flush=True)
            failed = True
        if choice.json:
            store({"results": [asdict(result) for result in results]}, choice.json)
    print(table(results))
    return int(failed)


# ---- storing, and the command ----
def store(numbers: dict, file: Path) -> None:
    """Numbers and what they were measured on, as JSON; nan and inf are null."""
    numbers = json.loads(json.dumps(numbers), parse_constant=lambda _: None)
    machine = {
        "date": f"{date.today()}",
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }
    write_json({"machine": machine} | numbers, file)


def write_json(numbers: dict, file: Path) -> None:
    file.write_text(json.dumps(numbers, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main(argv: list[str]) -> int:
    """The command `bench [NAME ...]`: all files of tests/benchmarks, or those named."""
    there = {path.stem.removeprefix("bench_"): path for path in sorted(FOLDER.glob("bench_*.py"))}
    parser = options()
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "\n".join(line for name, path in there.items() for line in about(name, path))
    parser.add_argument("--results", type=Path, metavar="FILE", help="a Markdown file to renew")
    parser.add_argument("name", nargs="*", help="one or more of those below (default: all)")
    choice = parser.parse_args(argv)
    for name in set(choice.name) - set(there):
        near = difflib.get_close_matches(name, there, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(there)}."
        raise CourseError(f"There is no benchmark {name!r}: {hint}")
    numbers, failed = {}, False
    for name in choice.name or there:
        table_text, numbers_here = run_file(there[name], choice.seconds)
        print(table_text, flush=True)
        if numbers_here is None:
            failed = True
            continue
        failed |= numbers_here.pop("failed")
        numbers[name] = numbers_here
        if choice.results:
            heading = section(there[name], numbers_here["machine"])
            renew(choice.results, name, f"{heading}\n\n{table_text.strip()}")
    if choice.json:
        write_json(numbers, choice.json)
    return int(failed)


def about(name: str, path: Path) -> list[str]:
    """What a file compares, the first paragraph of its docstring, and which peers it installs."""
    file = ast.parse(path.read_text(encoding="utf-8"))
    text = f"{name}: {ast.get_docstring(file).partition(chr(10) * 2)[0]}"
    for line in file.body:
        if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == "PEERS":
            text += f" Installs {', '.join(ast.literal_eval(line.value))} in .cache/{path.stem}."
    return textwrap.wrap(text, 96, subsequent_indent="  ")


def run_file(path: Path, seconds: float) -> tuple[str, dict | None]:
    """A benchmark file in a Python of its own: (its table, its numbers if it came to any)."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "numbers.json"
        done = subprocess.run(
            [sys.executable, path, "--json", file, "--seconds", str(seconds)],
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env=os.environ | {"PYTHONIOENCODING": "utf-8", "PYTHONPATH": str(ROOT)},
        )
        if not file.exists():
            return done.stdout, None
        numbers = json.loads(file.read_text(encoding="utf-8"))
        return done.stdout, numbers | {"failed": done.returncode != 0}


def section(path: Path, machine: dict) -> str:
    """What a file says that it compares, and the machine."""
    gpu = machine["gpu"] or "no GPU (not measured there)"
    compared = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    where = f"{machine['date']} · {machine['system']} {machine['processor']}"
    cores = f"{machine['cores']} cores, {machine['threads']} threads, {gpu}"
    versions = f"Python {machine['python']}, torch {machine['torch']}"
    return f"{compared}\n\n*{where}, {cores} · {versions}*"


def renew(file: Path, name: str, text: str) -> None:
    """Put a section into a Markdown file, in place of the one that bears this name."""
    old = file.read_text(encoding="utf-8") if file.exists() else "# Benchmarks\n\n"
    intro, *parts = re.split(r"^## ", old, flags=re.MULTILINE)
    sections = dict(part.split("\n", 1) for part in parts) | {name: text}
    body = "\n\n".join(f"## {key}\n{sections[key].strip()}" for key in sorted(sections))
    file.write_text(f"{intro.rstrip()}\n\n{body}\n", encoding="utf-8")
