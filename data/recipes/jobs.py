"""The long trainings: `python -m data.recipes.jobs run`, and `store` to keep them in git.

Jobs are recipes of `make`, taken in order by two workers of one thread each. A training saves
itself every two minutes under .checkpoints, so it may be killed at any moment. `store` writes what
is unfinished into data/next and commits; `run` goes on from there where nothing further lies here.
What is finished lies in data/NAME, as `make` leaves it. `--smoke`: a few steps of each.
"""

import argparse
import fcntl
import json
import math
import os
import shutil
import subprocess
import sys
import time
import traceback

import torch

from data.recipes import lm, make, sae
from data.recipes.base import Run
from data.recipes.states import packed, unpacked
from helpers.ground import ROOT
from helpers.ground.artifacts import Checkpoint, load_artifact, save_artifact
from helpers.ground.runtime import setup

JOBS = {  # recipe: (what must be done before, tokens a second of one quiet core)
    "lm_relu": ((), 45_000),
    "lm_relu_b": ((), 45_000),
    "sae_a": (("lm_relu",), 16_000),
    "sae_b": (("lm_relu_b",), 19_000),
    "sae_a2": (("lm_relu",), 4_000),
    "sae_controls": (("lm_relu",), 20_000),
    "sae_trials": (("lm_relu",), 3_500),
    "sae_seed": (("lm_relu",), 19_000),
    "sae_topk": (("lm_relu",), 14_000),
    "lm_gelu": ((), 43_000),
    "lm_solu_ln": ((), 43_000),
    "lm_solu": ((), 43_000),
    "lm_gelu_ln": ((), 43_000),
    "lm_sizes": ((), 70_000),
}
SMOKE = "--smoke" in sys.argv
NEXT = ROOT / "data" / "next"


def parts(name: str) -> dict:
    """The checkpoints of a job, and the training that each belongs to."""
    if name == "lm_sizes":
        return {f"{name}-{part}": training for part, (_, training) in lm.SIZES.items()}
    if name == "sae_controls":
        return {f"{name}-{part}": sae.TRAININGS[name] for part in sae.NETWORKS}
    return {name: lm.SHIPPED[name][1] if name in lm.SHIPPED else sae.TRAININGS[name]}


def all_parts() -> list[tuple[str, str]]:
    return [(name, part) for name in JOBS for part in parts(name)]


def checkpoint(part: str) -> Checkpoint:
    return Checkpoint(part, ROOT / "data" / ".checkpoints" if SMOKE else None)


def step(part: str) -> int:
    """How many steps its checkpoint here has; -1 without one."""
    path = checkpoint(part).path
    return torch.load(path, mmap=True)["step"] if path.exists() else -1


def done(name: str) -> bool:
    """Whether data/NAME is of the new corpus, and its checkpoints are gone."""
    manifest = ROOT / "data" / name / "manifest.json"
    version = lm.VERSION if name.startswith("lm") else sae.VERSION
    new = manifest.exists() and json.loads(manifest.read_text())["version"] == version
    return new and not any(checkpoint(part).path.exists() for part in parts(name))


def store() -> None:
    """Write unfinished states into data/next, forget those of what is done, and commit both."""
    for name, part in all_parts():
        if done(name):
            shutil.rmtree(NEXT / part, ignore_errors=True)
        elif state := checkpoint(part).load():
            meta = {"step": state["step"], "state": packed(state, tensors := {})}
            save_artifact(NEXT / part, tensors, version=1, meta=meta)
    for words in (["add", "-A", "data"], ["commit", "-q", "-m", "State of the trainings"]):
        subprocess.run(["git", *words], cwd=ROOT, check=words[0] == "add")  # nothing new: no commit


def restore() -> None:
    """Unpack what data/next has of a training, where nothing further lies here."""
    for name, part in all_parts():
        if (NEXT / part / "manifest.json").exists() and not done(name):
            tensors, meta = load_artifact(NEXT / part)
            if meta["step"] > step(part):
                checkpoint(part).save(unpacked(meta["state"], tensors))


def run(minutes: float) -> None:
    """Start two workers and wait for them."""
    restore()
    command = [sys.executable, "-m", "data.recipes.jobs", "work", "--minutes", str(minutes)]
    names = ("COURSE_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "TQDM_DISABLE")
    how = {"cwd": ROOT, "env": os.environ | dict.fromkeys(names, "1"), "stderr": subprocess.STDOUT}
    logs = [open(ROOT / ".checkpoints" / f"worker{i}.log", "a") for i in (0, 1)]  # noqa: SIM115
    command += ["--smoke"] * SMOKE
    for worker in [subprocess.Popen(command, stdout=log, **how) for log in logs]:
        worker.wait()


def work(minutes: float) -> None:
    """Do jobs that nobody else does, until none is left or the time is over."""
    Checkpoint.until = time.monotonic() + 60 * minutes
    setup(scale="small", quiet=True)
    make.keep_freed_memory()
    torch.set_flush_denormal(True)
    failed = set()
    while left := [name for name in JOBS if name not in failed and not done(name)]:
        for name in (n for n in left if all(map(done, JOBS[n][0]))):
            with open(ROOT / ".checkpoints" / f"{name}.lock", "w") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    if not done(name):
                        print(f"{time.strftime('%H:%M:%S')} {name}", flush=True)
                        make.find(name).make(Run(ROOT / "data" / name, "small", SMOKE))
                except BlockingIOError:
                    continue  # the other worker does it
                except KeyboardInterrupt:
                    return
                except Exception:
                    traceback.print_exc()
                    failed.add(name)
                break  # look again, from the first job on
        else:
            if time.monotonic() > Checkpoint.until:
                return
            time.sleep(5)


def status() -> None:
    """Print what is done and left of each job."""
    hours = 0.0
    for name, (_, rate) in JOBS.items():
        trainings = parts(name)
        total = sum(t.tokens for t in trainings.values())
        seen = sum(max(0, step(part)) * t.tokens / t.steps for part, t in trainings.items())
        seen = total if done(name) else seen
        hours += (left := (total - seen) / rate / 3600)
        print(f"{name:14s} {seen / 1e6:6.1f} of {total / 1e6:5.0f} M, {left:4.1f} hours left")
    print(f"{hours:.1f} hours of one core, {hours / 2:.1f} of two")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["run", "work", "store", "restore", "status"])
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after")
    parser.add_argument("--smoke", action="store_true")
    given = parser.parse_args()
    (ROOT / ".checkpoints").mkdir(exist_ok=True)
    limit = {"minutes": given.minutes} if given.what in ("run", "work") else {}
    globals()[given.what](**limit)
