"""Plants faults in the science, one at a time, and runs the tests that mirror the module.

    python -m tests.authoring.mutants --seed 1 --count 105 --package sae attention --jobs 2

Nobody chooses them: the seed and a fault's own words give it a number, and of each package the
smallest are planted, in a copy of the last commit. Those that no test can notice are named in
MUTANTS.md, with the reason, and do not count.
"""

import argparse
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
from tests.authoring.faults import faults

HEAVY = "torch captum.attr scipy.stats sklearn.linear_model open_clip timm matplotlib.pyplot"
FORKS = multiprocessing.get_context("forkserver")  # each run is a fork that has these already
FORKS.set_forkserver_preload([*HEAVY.split(" "), "pytest", "skimage.metrics", "tokenizers"])
PACKAGES = {p: f"helpers/{p}/*.py" for p in ("saliency", "clip", "attention", "transformer", "sae")}
PACKAGES |= {"stats": "helpers/ground/stats.py", "recipes": "data/recipes/*.py"}
MIRRORS = """ # where a module's place and name do not lead to its tests
core gradients guided cam perturbation: saliency/agreement saliency/behaviour
metrics: saliency/metrics saliency/behaviour
score relevance clip_maps: clip/maps
clip_emoji: clip/model
tables attention_imdb attention_tables: attention/recipes
activations: transformer/train
diffusion: support/diffusion
explanations: support/autointerp
scene_classifier: nets/scene_classifier
scenes arts: datasets/scenes"""


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


def _pytest(tree: Path, files: tuple[str, ...]) -> None:
    """In a process of its own: the tests of the copy, and nothing read from the folder itself."""
    os.chdir(tree)
    sys.dont_write_bytecode = True
    sys.path[:] = [str(tree), *(path for path in sys.path if path not in ("", str(ROOT)))]
    for name in [n for n in sys.modules if n.split(".")[0] in ("helpers", "data", "tests")]:
        del sys.modules[name]
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1), os.dup2(nowhere.fileno(), 2)
        os._exit(pytest.main(["-xq", "--tb=no", "-m", "not long", *files]))


def run_tests(tree: Path, files: tuple[str, ...], limit: float) -> tuple[str, float]:
    """("" where all passed, else how it ended; seconds)."""
    process, begun = FORKS.Process(target=_pytest, args=(tree, files)), time.perf_counter()
    process.start()
    process.join(limit)
    code = process.exitcode
    process.kill()
    process.join()
    ended = "" if code == 0 else "too long" if code is None else f"pytest ended with {code}"
    return ended, time.perf_counter() - begun


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
            tree, files, faulty = trees.get(), mirror(fault["module"]), fault.pop("source")
            path = tree / fault["module"]
            sound = path.read_text("utf-8")
            path.write_text(faulty, "utf-8")
            ended, seconds = run_tests(tree, files, 60 + 3 * usual[files])
            path.write_text(sound, "utf-8")
            trees.put(tree)
            fault["verdict"] = "equivalent" if f"`{fault['words']}`" in known else "NOT NOTICED"
            fault |= {"verdict": "noticed"} if ended else {}
            print(*fault.values(), f"{seconds:.0f} s", sep=" | ", flush=True)
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
