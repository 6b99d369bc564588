"""The long trainings: `python -m data.recipes.jobs run`, and `store` to keep them in git.

Jobs are recipes of `make`, taken in order by workers of one thread each. A training saves itself
every two minutes under .checkpoints, so it may be killed at any moment. `store` writes what is
unfinished into data/next, small enough to be committed, and commits. `run` goes on from the further
of the two. What is finished lies in data/NAME, as `make` leaves it.
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
from pathlib import Path

import torch

from data.recipes import lm, make, sae
from data.recipes.base import Run
from data.recipes.states import packed, unpacked
from helpers.ground import ROOT
from helpers.ground.artifacts import Checkpoint, load_artifact, save_artifact
from helpers.ground.runtime import setup

JOBS = {  # recipe: (what must be done before, tokens a second of one core)
    "lm_relu": ((), 45_000),
    "lm_relu_b": ((), 45_000),
    "sae_a2": (("lm_relu",), 4_000),
    "sae_a": (("lm_relu",), 16_000),
    "sae_b": (("lm_relu_b",), 19_000),
    "sae_seed": (("lm_relu",), 19_000),
    "sae_topk": (("lm_relu",), 14_000),
    "lm_gelu": ((), 45_000),
    "lm_solu_ln": ((), 40_000),
    "lm_solu": ((), 40_000),
    "lm_gelu_ln": ((), 42_000),
    "lm_sizes": ((), 60_000),
    "sae_controls": (("lm_relu",), 20_000),
    "sae_trials": (("lm_relu",), 4_000),
}
NEXT = ROOT / "data" / "next"


def parts(name: str) -> dict:
    """The checkpoints of a job, and the training that each belongs to."""
    if name == "lm_sizes":
        return {f"{name}-{part}": training for part, (_, training) in lm.SIZES.items()}
    if name == "sae_controls":
        return {f"{name}-{part}": sae.TRAININGS[name] for part in sae.NETWORKS}
    return {name: lm.SHIPPED[name][1] if name in lm.SHIPPED else sae.TRAININGS[name]}


def checkpoint(part: str, smoke: bool) -> Checkpoint:
    return Checkpoint(part, ROOT / "data" / ".checkpoints" if smoke else None)


def step(part: str, smoke: bool) -> int:
    """How many steps its checkpoint here has; -1 without one."""
    path = checkpoint(part, smoke).path
    return torch.load(path, mmap=True)["step"] if path.exists() else -1


def done(name: str, smoke: bool) -> bool:
    """Whether data/NAME is of the new corpus, and its checkpoints are gone."""
    manifest = ROOT / "data" / name / "manifest.json"
    version = lm.VERSION if name in lm.SHIPPED or name == "lm_sizes" else sae.VERSION
    new = manifest.exists() and json.loads(manifest.read_text())["version"] == version
    return new and not any(checkpoint(part, smoke).path.exists() for part in parts(name))


def store(smoke: bool) -> None:
    """Write unfinished states into data/next, forget those of what is done, and commit both."""
    for name in JOBS:
        for part in parts(name):
            if done(name, smoke):
                shutil.rmtree(NEXT / part, ignore_errors=True)
            elif state := checkpoint(part, smoke).load():
                skeleton = packed(state, tensors := {})
                meta = {"step": state["step"], "state": skeleton}
                save_artifact(NEXT / part, tensors, version=1, meta=meta)
    git = lambda *words: subprocess.run(["git", *words], cwd=ROOT, check=True)
    git("add", "-A", "data")
    git("commit", "-q", "--allow-empty", "-m", "State of the trainings")


def restore(smoke: bool) -> None:
    """Unpack what data/next has of a training, where nothing further lies here."""
    for name in JOBS:
        for part in parts(name):
            if (NEXT / part / "manifest.json").exists() and not done(name, smoke):
                tensors, meta = load_artifact(NEXT / part)
                if meta["step"] > step(part, smoke):
                    checkpoint(part, smoke).save(unpacked(meta["state"], tensors))


def work(smoke: bool) -> None:
    """Do jobs that nobody else does, until none is left."""
    setup(scale="small", quiet=True)
    make.keep_freed_memory()
    torch.set_flush_denormal(True)
    failed = set()
    while left := [name for name in JOBS if name not in failed and not done(name, smoke)]:
        for name in left:
            lock = open(ROOT / ".checkpoints" / f"{name}.lock", "w")  # noqa: SIM115
            ready = all(done(need, smoke) for need in JOBS[name][0])
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if ready and not done(name, smoke):
                    print(f"{time.strftime('%H:%M:%S')} {name}", flush=True)
                    make.find(name).make(Run(ROOT / "data" / name, "small", smoke))
                    break
            except BlockingIOError:  # another worker does it
                continue
            except KeyboardInterrupt:  # the time is over
                return
            except Exception:
                traceback.print_exc()
                failed.add(name)
            finally:
                lock.close()
        else:
            if time.monotonic() > Checkpoint.until:
                return
            time.sleep(5)


def status(smoke: bool) -> None:
    """Print what is done and left of each job."""
    hours = 0.0
    for name, (_, rate) in JOBS.items():
        trainings = parts(name)
        total = sum(t.tokens for t in trainings.values())
        seen = sum(max(0, step(p, smoke)) * t.tokens / t.steps for p, t in trainings.items())
        seen = total if done(name, smoke) else seen
        hours += (left := (total - seen) / rate / 3600)
        print(f"{name:14s} {seen / 1e6:6.1f} of {total / 1e6:5.0f} M, {left:4.1f} hours left")
    print(f"{hours:.1f} hours of one core, {hours / 2:.1f} of two")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["run", "work", "store", "restore", "status"])
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--smoke", action="store_true", help="a few steps of each")
    given = parser.parse_args()
    (ROOT / ".checkpoints").mkdir(exist_ok=True)
    if given.what == "work":
        Checkpoint.until = time.monotonic() + 60 * given.minutes
    if given.what != "run":
        globals()[given.what](given.smoke)
        return
    restore(given.smoke)
    command = [sys.executable, "-m", "data.recipes.jobs", "work", *sys.argv[2:]]
    names = ("COURSE_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "TQDM_DISABLE")
    one = os.environ | dict.fromkeys(names, "1")
    workers = []
    for i in range(given.workers):
        log = open(ROOT / ".checkpoints" / f"worker{i}.log", "a")  # noqa: SIM115
        pipes = {"stdout": log, "stderr": subprocess.STDOUT}
        workers.append(subprocess.Popen(command, cwd=Path(ROOT), env=one, **pipes))
    for worker in workers:
        worker.wait()


if __name__ == "__main__":
    main()
