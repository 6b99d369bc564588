"""`python -m tests.authoring.costs [NN ...]`: what a lesson costs at scale full, into costs.json.

The lesson's cells run at scale full over the pretend GPU (tests/pretend_gpu.py), with the models'
and the batches' full sizes. Of a loop that repeats the same work (steps, epochs, samples) a few
turns run, and each counts for those that are left out. Large products are counted and not
computed: their numbers are made up, and so is what the lesson shows. Counted are kernels, and the
operations of products, convolutions and LSTMs; gigabytes are what the tensors take on a card of
4 GB, whose free memory decides how large the chunks are. Minutes are an ESTIMATE, not measured on
a GPU: the larger of operations over half of the card's float32 peak, and 10 µs a kernel; and what
the lesson takes on two cores at scale small, for the host (reading texts, drawing figures).
"""

from __future__ import annotations

import argparse
import json
from unittest.mock import patch

from helpers.ground.artifacts import write_atomically
from tests.authoring.lessons import LESSONS, NOTEBOOKS
from tests.gpu.lessons import run
from tests.pretend_gpu import SMALL

FILE = NOTEBOOKS / "costs.json"
RATES = {"T4": 4.0e12, "A100": 9.7e12, "CPU": 5.0e10}  # operations a second: half the peak
KERNEL = 1e-5  # seconds
CONTEXT = 0.5  # GB that CUDA itself takes
LARGE = 1e7  # operations: what takes more is not computed, its numbers are made up


def count(name: str) -> dict:
    """Kernels, operations and gigabytes of one lesson at scale full."""
    path = NOTEBOOKS / f"{name}.ipynb"
    large = lambda name, operations: operations > LARGE
    made_up = patch("helpers.saliency.attention_maps.refuse_other_readers")  # it reads numbers
    with made_up:
        faults, gpu = run(path, SMALL, scale="full", go_on=True, large=large)
    for fault in faults:
        print(f"{name}: {fault}")
    return {
        "kernels": float(f"{gpu.launches:.2g}"),
        "operations": float(f"{gpu.operations:.2g}"),
        "gigabytes": round(gpu.peak / 1e9 + CONTEXT, 1),
    }


def minutes(kernels: float, operations: float, host: float) -> dict[str, float]:
    """The estimate for each kind of card. host: seconds at scale small, from lessons.json."""
    seconds = {card: max(operations / rate, KERNEL * kernels) for card, rate in RATES.items()}
    return {card: float(f"{(host + value) / 60:.2g}") for card, value in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.authoring.costs", description=__doc__)
    parser.add_argument("lessons", nargs="*", metavar="NN")
    wanted = parser.parse_args().lessons or [lesson.number for lesson in LESSONS]
    for lesson in (lesson for lesson in LESSONS if lesson.number in wanted):
        found = count(lesson.name)
        found["minutes"] = minutes(found["kernels"], found["operations"], lesson.seconds)
        print(lesson.name, found, flush=True)
        table = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
        text = json.dumps(dict(sorted((table | {lesson.name: found}).items())), indent=1)
        write_atomically(FILE, (text + "\n").encode())


if __name__ == "__main__":
    main()
