"""Plants faults in the science, one at a time, and runs the tests that mirror the module.

    python -m tests.authoring.mutants --seed 1 --count 105 --package sae attention --jobs 2

Nobody chooses them: the seed and a fault's own words give it a number, and of each package the
smallest are planted, in a copy of the last commit. Those that no test can notice are named in
MUTANTS.md, with the reason, and do not count.
"""

import argparse
import ast
import copy
import hashlib
import json
import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, zip_longest
from pathlib import Path, PurePath
from queue import Queue

import pytest

from helpers.ground import ROOT

HEAVY = "torch captum.attr scipy.stats sklearn.linear_model open_clip timm matplotlib.pyplot"
FORKS = multiprocessing.get_context("forkserver")  # each run is a fork that has these already
FORKS.set_forkserver_preload([*HEAVY.split(" "), "pytest", "skimage.metrics", "tokenizers"])
SUBJECTS = ("saliency", "clip", "attention", "transformer", "sae")
PACKAGES = {name: f"helpers/{name}/*.py" for name in SUBJECTS}
PACKAGES |= {"stats": "helpers/ground/stats.py", "recipes": "data/recipes/*.py"}
MIRRORS = """ # where a module's place and name do not lead to its tests
core gradients guided cam perturbation: saliency/agreement saliency/behaviour
score relevance clip_maps: clip/maps
tables attention_imdb attention_tables: attention/recipes
clip_emoji: clip/model
activations: transformer/train
diffusion: support/diffusion
roar: support/lesson03
scene_classifier: nets/scene_classifier
scenes: datasets/scenes"""
TURNED = {ast.Lt: ast.Gt, ast.LtE: ast.GtE, ast.Eq: ast.NotEq, ast.Is: ast.IsNot}
TURNED |= {ast.Add: ast.Sub, ast.Mult: ast.Div, ast.And: ast.Or}
TURNED |= {b: a for a, b in TURNED.items()}
OTHER = {"mean": "sum", "max": "min", "amax": "amin", "argmax": "argmin", "sin": "cos"}
OTHER |= {b: a for a, b in OTHER.items()}
TAKEN_OFF = {"detach", "abs", "sqrt", "relu", "normalize", "softmax", "log", "exp", "clamp", "pow"}
SYMMETRIC = {"min", "max", "zip", "isinstance", "equal", "minimum", "maximum", "pick"}
SPOKEN = {"print", "card", "write_card", "table", "report", "filterwarnings", "tqdm"}
CHECKS = {"strict", "non_blocking", "quiet"}  # switches that change no number


def faults(module: str, source: str) -> list[dict]:
    """Every fault that a module can take: inside its functions, one node at a time."""
    functions = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef)]
    nodes = chain.from_iterable(_code(s) for function in functions for s in function.body)
    found = [_planted(module, source, n, kind, new) for n in nodes for kind, new in _changes(n)]
    return list({fault["source"]: fault for fault in found}.values())


def _code(node: ast.AST):
    """A node and what is in it, without annotations, texts, errors, and what only speaks."""
    spoken = isinstance(node, ast.Call) and _name(node.func) in SPOKEN
    if not spoken and not isinstance(node, (ast.Raise, ast.JoinedStr, ast.FunctionDef, ast.arg)):
        yield node
        for child in ast.iter_child_nodes(node):
            if child is not getattr(node, "annotation", None):
                yield from _code(child)


def _changes(node: ast.AST):
    """(kind, a node to stand there instead) for every fault that one node can take."""
    match node:
        case ast.BinOp(op=op, left=left, right=right) if type(op) in TURNED:
            if not any(isinstance(getattr(n, "value", None), str) for n in (left, right)):
                yield "sign or factor", _with(node, op=TURNED[type(op)]())
                yield "factor", left
        case ast.AugAssign(op=op) | ast.BoolOp(op=op) if type(op) in TURNED:
            yield "sign or factor", _with(node, op=TURNED[type(op)]())
        case ast.UnaryOp(op=ast.USub() | ast.Not()):
            yield "sign or factor", node.operand
        case ast.Compare(ops=[op]) if type(op) in TURNED:
            yield "comparison", _with(node, ops=[TURNED[type(op)]()])
        case ast.keyword(arg="dim" | "axis", value=value):
            yield "axis", _with(node, value=ast.Constant(int(ast.unparse(value) == "0")))
        case ast.keyword(arg=name, value=ast.Constant(value=bool() as on)) if name not in CHECKS:
            yield "switch", _with(node, value=ast.Constant(not on))
        case ast.Slice(lower=lower, upper=upper) if lower or upper:
            one_on = ast.BinOp(lower or upper, ast.Add(), ast.Constant(1))
            yield "off by one", _with(node, **{"lower" if lower else "upper": one_on})
        case ast.Expr(value=ast.Call(func=function)) if _name(function) not in SPOKEN:
            yield "dropped step", ast.Pass()
        case ast.Call(func=function, args=args):
            name, (a, b) = _name(function), [*args, None, None][:2]
            if b and type(a) is type(b) and name not in SYMMETRIC:
                yield "swapped", _with(node, args=[b, a, *args[2:]])
            if name == "range":
                less = ast.BinOp(a, ast.Sub(), ast.Constant(1))
                yield "off by one", _with(node, args=[less, *args[1:]])
            if name in OTHER and isinstance(function, ast.Attribute):
                yield "mean for sum", _with(node, func=_with(function, attr=OTHER[name]))
            if name in TAKEN_OFF and isinstance(function, ast.Attribute):
                of_a = _name(function.value) in ("F", "torch", "np", "math")
                yield "taken off", a if of_a else function.value


def _with(node: ast.AST, **fields) -> ast.AST:
    node = copy.copy(node)
    vars(node).update(fields)
    return node


def _name(node: ast.AST) -> str:
    return getattr(node, "attr", getattr(node, "id", ""))


def _planted(module: str, source: str, node: ast.AST, kind: str, new: ast.AST) -> dict:
    before, after = ast.get_source_segment(source, node), ast.unparse(new)
    after = f"({after})" if isinstance(node, (ast.BinOp, ast.Compare, ast.BoolOp)) else after
    lines = source.encode().splitlines(keepends=True)
    start = sum(map(len, lines[: node.lineno - 1])) + node.col_offset
    end = start + len(before.encode())
    whole = (source.encode()[:start] + after.encode() + source.encode()[end:]).decode()
    words = f"{PurePath(module).stem}: {' '.join(before.split())} → {after}"
    place = f"{module}:{node.lineno}"
    return {"module": module, "place": place, "kind": kind, "words": words, "source": whole}


def planted(tree: Path, packages: list[str], count: int, seed: int) -> list[dict]:
    """`count` faults, as many of each package."""
    drawn = []
    for package in packages:
        paths = [p for p in sorted(tree.glob(PACKAGES[package])) if p.stem not in ("base", "make")]
        found = (faults(p.relative_to(tree).as_posix(), p.read_text("utf-8")) for p in paths)
        number = lambda fault: hashlib.sha256(f"{seed} {fault['words']}".encode()).digest()
        drawn.append(sorted(chain.from_iterable(found), key=number))
    return [fault for turn in zip_longest(*drawn) for fault in turn if fault][:count]


def mirror(module: str) -> tuple[str, ...]:
    """The test files that mirror a module."""
    path = PurePath(module)
    named = re.search(rf"^(?:.* )?{path.stem}(?: .*)?: (.*)", MIRRORS, re.M)
    places = named[1].split() if named else [f"{path.parent.name}/{path.stem}"]
    return tuple("tests/{}/test_{}.py".format(*place.split("/")) for place in places)


class FirstFailure:
    """A plugin of pytest that remembers the first test, or file, that failed."""

    name = ""

    def pytest_runtest_logreport(self, report):
        if report.failed and not self.name:
            self.name = report.nodeid.rpartition("/")[2]

    pytest_collectreport = pytest_runtest_logreport


def _run_tests(tree: Path, files: tuple[str, ...], answer) -> None:
    """In a process of its own: pytest over `files` in the copy; sends the first failure back."""
    os.chdir(tree)
    sys.dont_write_bytecode = True
    sys.path[:] = [str(tree), *(path for path in sys.path if path not in ("", str(ROOT)))]
    for name in list(sys.modules):  # what was read from the folder itself
        if name.partition(".")[0] in ("helpers", "data", "tests", "notebooks"):
            del sys.modules[name]
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
        watch = FirstFailure()
        code = pytest.main(["-xq", "--tb=no", "-m", "not long", *files], plugins=[watch])
    answer.send(watch.name or (f"pytest's {code}" if code else ""))
    os._exit(0)


def run_tests(tree: Path, files: tuple[str, ...], limit: float) -> tuple[str, float]:
    """(the first test that failed, "" where all passed, or "time"; seconds)."""
    receive, send = FORKS.Pipe(duplex=False)
    process = FORKS.Process(target=_run_tests, args=(tree, files, send))
    begun = time.perf_counter()
    process.start()
    send.close()
    try:
        first = receive.recv() if receive.poll(limit) else "time"
    except EOFError:
        first = "ended without a word"
    process.kill()
    process.join()
    return first, time.perf_counter() - begun


def main(args: list[str] | None = None) -> int:
    """Plant, run, and print the table; 1 where too few are noticed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=105)
    parser.add_argument("--package", nargs="+", default=list(PACKAGES), choices=PACKAGES)
    parser.add_argument("--jobs", type=int, default=1, help="how many at a time, each in a copy")
    parser.add_argument("--json", type=Path, help="where to write the results as well")
    options = parser.parse_args(args)
    known = (Path(__file__).parent / "MUTANTS.md").read_text("utf-8")
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(options.jobs) as pool:
        trees, usual = Queue(), {}
        archive = subprocess.check_output(["git", "archive", "HEAD"], cwd=ROOT)
        for job in range(options.jobs):
            (tree := Path(scratch, str(job))).mkdir()
            subprocess.run(["tar", "-x"], cwd=tree, input=archive, check=True)
            trees.put(tree)
        drawn = planted(tree, options.package, options.count, options.seed)
        for files in dict.fromkeys(mirror(fault["module"]) for fault in drawn):
            failed, usual[files] = run_tests(tree, files, 1800)
            if failed:
                raise SystemExit(f"without any fault fails {failed}")

        def plant(fault: dict) -> dict:
            tree, files = trees.get(), mirror(fault["module"])
            path, faulty = tree / fault["module"], fault.pop("source")
            sound = path.read_text("utf-8")
            path.write_text(faulty, "utf-8")
            by, seconds = run_tests(tree, files, 60 + 3 * usual[files])
            path.write_text(sound, "utf-8")
            trees.put(tree)
            verdict = "equivalent" if f"`{fault['words']}`" in known else "NOT NOTICED"
            fault |= {"verdict": "noticed" if by else verdict, "by": by, "s": round(seconds)}
            print(*list(fault.values())[1:], sep=" | ", flush=True)
            return fault

        results = list(pool.map(plant, drawn))
    counted = [r["verdict"] for r in results if r["verdict"] != "equivalent"]
    share = counted.count("noticed") / len(counted)
    print(f"{len(results)} faults, {len(counted)} not equivalent, of these {share:.1%} noticed")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1, ensure_ascii=False), "utf-8")
    return int(share < 0.92)


if __name__ == "__main__":
    sys.exit(main())
