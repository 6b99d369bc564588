"""Cost against size: one call's milliseconds and memory (of its tensors; for files, of Python).

"Exponent" is how steeply the time grows over the upper half of the sizes: 1, twice as much takes
twice as long. Nothing here is compared with a peer. The shorter of two calls counts.
"""

import sys
import tempfile
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import torch

from helpers import saliency
from helpers.attention.faithfulness import gradient_importance, leave_one_out
from helpers.attention.model import Batch, new_model
from helpers.lesson.answers import Record, as_line, pool
from helpers.pretrained import imagenet
from helpers.sae.model import Settings, SparseAutoencoder
from helpers.sae.train import backward, update
from tests.benchmarks import bench

Call = Callable[[], object]


def width(features: int, device: str) -> Call:
    """One step of training, a batch of 256 activations of 512 neurons, from random weights."""
    sae = SparseAutoencoder(Settings(features=features)).to(device)
    optimizer = torch.optim.Adam([p for p in sae.parameters() if p.requires_grad], fused=True)
    x = torch.randn(256, 512, device=device).relu()

    def step():
        backward(sae, x, bfloat16=False)
        update([sae], optimizer)

    return step


def pictures(count: int, device: str) -> Call:
    net = imagenet.efficientnet_lite0().to(device)
    return partial(saliency.gradient, net, torch.randn(count, 3, 224, 224, device=device), 3)


def words(method: Callable, length: int, device: str) -> Call:
    model = new_model(1000).to(device)
    ids = torch.randint(4, 1000, (1, length))
    one = torch.zeros(1, dtype=torch.long)
    return partial(method, model, Batch(ids, ids > 0, one, one).to(device))


def files(count: int, folder: Path) -> Call:
    """So many people's files of ten answers each, pooled."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    for person in (f"{i:08x}" for i in range(count)):
        what = (("a", f"{i}", "", i, 1.0, now, person, f"{person}{i:08x}") for i in range(10))
        lines = b"".join(as_line(Record(*row)) for row in what)
        (folder / f"a-{person}.jsonl").write_bytes(lines)

    def call():
        assert len(pool(folder, "a").records) == 10 * count

    return call


def curves(device: str) -> dict[str, tuple[tuple[int, ...], Callable[[int], Call]]]:
    """{what grows: (sizes, the call of a size)}."""
    on = lambda make, *rest: lambda size: make(*rest, size, device)
    return {
        "a dictionary's features, one step": ((512, 2048, 8192, 32768, 65536), on(width)),
        "photographs, gradients by EfficientNet": ((1, 4, 16, 64, 256), on(pictures)),
        "words of a text, gradients by an LSTM": (
            (10, 100, 1000, 10_000),
            on(words, gradient_importance),
        ),
        "words of a text, each left out once": ((10, 30, 100, 300), on(words, leave_one_out)),
    }


def pythons_mb(call: Call) -> float:
    tracemalloc.start()
    call()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak / 1e6


def measure(call: Call, memory: Callable[[Call], float] = bench.peak_mb) -> tuple[float, float]:
    """(milliseconds, MB)."""
    megabytes = memory(call)  # also a warm-up
    first = bench.time_of(call)
    return 1e3 * (first if first > 3 else min(first, bench.time_of(call))), megabytes


def exponent(sizes, times) -> float:
    upper = slice(len(sizes) // 2, None)
    return float(np.polyfit(np.log(sizes[upper]), np.log(times[upper]), 1)[0])


def report() -> tuple[str, dict]:
    """(a table in Markdown, numbers for the JSON)."""
    gpu = curves("cuda") if torch.cuda.is_available() else {}
    found = {}
    for name, (sizes, make) in curves("cpu").items():
        print(f"{name} ...", file=sys.stderr, flush=True)
        rows = [measure(make(size)) for size in sizes]
        fast = [measure(gpu[name][1](size))[0] for size in sizes] if name in gpu else None
        found[name] = sizes, rows, fast
    sizes, rows = (1, 10, 100, 1000, 10_000), []
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(measure(files(size, Path(folder)), pythons_mb))
    found["a class's files, pooled"] = sizes, rows, None
    lines = [
        "| what grows | sizes | ms | exponent | MB | ms on a GPU |",
        "|---|---|---|---|---|---|",
    ]
    for name, (sizes, rows, fast) in found.items():
        times, megabytes = zip(*rows, strict=True)
        columns = [f"{size:,}" for size in sizes], map(bench.three, times)
        size, ms, mb = map(" · ".join, (*columns, [f"{m:,.0f}" for m in megabytes]))
        on_gpu = " · ".join(map(bench.three, fast)) if fast else "not measured"
        lines.append(f"| {name} | {size} | {ms} | {exponent(sizes, times):.2f} | {mb} | {on_gpu} |")
    return "\n".join(lines), {"curves": found}


if __name__ == "__main__":
    torch.set_num_threads(2)
    choice = bench.options().parse_args()
    text, numbers = report()
    print(text)
    if choice.json:
        bench.store(numbers, choice.json)
