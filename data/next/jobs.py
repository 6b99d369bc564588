"""Work through jobs.txt, two jobs at a time: `nice -n 19 python -m data.next.jobs`.

A line of jobs.txt is a module of this folder and its arguments. The list is read again whenever a
place is free, so that lines can be added while it runs. Finished jobs are noted in
.checkpoints/next-done.txt; a job that fails is tried once more at the next start. When this process
is asked to stop (SIGTERM), its jobs save where they are and stop too.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
DONE = ROOT / ".checkpoints" / "next-done.txt"
PLACES = 1
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1"}


def waiting(started: set[str]) -> list[str]:
    """The lines of jobs.txt that have not been done and have not been started."""
    done = set(DONE.read_text().splitlines()) if DONE.exists() else set()
    lines = (line.split("#")[0].strip() for line in (HERE / "jobs.txt").read_text().splitlines())
    return [line for line in lines if line and line not in done | started]


def start(line: str) -> subprocess.Popen:
    module, *arguments = line.split()
    log = open(ROOT / ".checkpoints" / f"next-{'-'.join(line.split())}.log", "a")  # noqa: SIM115
    command = [sys.executable, "-u", "-m", f"data.next.{module}", *arguments]
    environment = os.environ | ONE_THREAD
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)


def main() -> None:
    DONE.parent.mkdir(exist_ok=True)
    stopped: list[bool] = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    running: dict[str, subprocess.Popen] = {}
    started: set[str] = set()
    while not stopped and (running or waiting(started)):
        for line in waiting(started)[: PLACES - len(running)]:
            running[line] = start(line)
            started.add(line)
        time.sleep(5)
        for line, job in list(running.items()):
            if job.poll() is not None:
                del running[line]
                print(f"{time.strftime('%H:%M')} {line}: ended with {job.returncode}", flush=True)
                if job.returncode == 0:
                    with DONE.open("a") as file:
                        file.write(line + "\n")
    for job in running.values():
        job.terminate()
    for job in running.values():
        job.wait()


if __name__ == "__main__":
    main()
