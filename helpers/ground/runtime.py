"""What a lesson stands on: scale and source, seeds and threads, memory. Rooms import what `make` stored from here too."""

from __future__ import annotations

import ctypes
import functools
import io
import os
import random
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from helpers.ground import ROOT
from helpers.ground.colab import in_colab
from helpers.ground.errors import CourseError

# ---------------------------------------------------------------- set-up


@dataclass(frozen=True)
class Course:
    """What `setup()` decided for this session."""

    scale: str  # "small": two cores, minutes; "full": a GPU, the papers' sizes
    source: str  # "packaged": no network; "hub": the papers' own models and data
    device: torch.device  # where lessons put their models
    threads: int  # fixed, because floats move with the number of threads
    seed: int
    colab: bool  # running in Google Colab
    testing: bool  # under the test command: a claim that does not hold is an error

    def __str__(self) -> str:
        where = "CPU" if self.device.type == "cpu" else torch.cuda.get_device_name(self.device)
        return f"{self.scale} scale · {self.source} data · {where}, {self.threads} threads · seed {self.seed}"


_course: Course | None = None


def setup(
    *, scale: str | None = None, source: str | None = None, seed: int = 0, quiet: bool = False
) -> Course:
    """Decide scale, source and device, seed everything, and print one line about it.

    Without a GPU: small and packaged. With one: full; the hub only in Colab or when asked for. The variables
    COURSE_SCALE and COURSE_SOURCE override the arguments; COURSE_TEST=1 means small and packaged unless they say
    otherwise. Raises CourseError for a scale or source that does not exist.
    """
    global _course
    testing, colab, gpu = (
        os.environ.get("COURSE_TEST") == "1",
        in_colab(),
        torch.cuda.is_available(),
    )
    usual = (
        ("small", "packaged") if testing or not gpu else ("full", "hub" if colab else "packaged")
    )
    scale = _one_of("COURSE_SCALE", scale or usual[0], ("small", "full"))
    source = _one_of("COURSE_SOURCE", source or usual[1], ("packaged", "hub"))
    device = torch.device("cuda" if gpu and not (testing and scale == "small") else "cpu")
    threads = int(os.environ.get("COURSE_THREADS", 2))
    torch.set_num_threads(threads)
    seed_all(seed)
    _course = Course(scale, source, device, threads, seed, colab, testing)
    if testing:
        _no_progress_bars()
    if not quiet:
        print(_course)
    return _course


def keep_freed_memory() -> None:
    """Let Linux's C library keep the memory of arrays that are gone, for the next ones: for `make`, which trains for long and then ends.

    By default it gives blocks of 32 MB and more back at once and has every new one faulted in page by page:
    a step of training 16,384 features takes 420 ms instead of 280. A lesson gains next to nothing, and its
    kernel would sit on its peak. Other systems have no such switch, or need none.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    mallopt(-4, 0)  # M_MMAP_MAX: no block gets a mapping of its own
    mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD: what is free stays


def current() -> Course:
    """What `setup()` decided; sets up quietly where it was not called."""
    return _course or setup(quiet=True)


def decided_scale() -> str | None:
    """The scale, or None where nobody has called `setup()`: asking does not set up."""
    return _course.scale if _course else None


def by_scale(small, full):
    """The first value at scale small, the second at scale full."""
    return small if current().scale == "small" else full


def hub_or_packaged(what: str, load_hub: Callable, load_packaged: Callable):
    """Load from the hub where the source says so; otherwise, or where that fails, print one line and load what is here.

    what: the name a reader knows it by, such as "CLIP ViT-B/32". Both loaders take no argument.
    """
    if current().source != "hub":
        print(f"{what}: the packaged stand-in is used (source packaged)")
        return load_packaged()
    try:
        with redirect_stdout(
            io.StringIO()
        ):  # "Downloading ..." beside the one line would read like two answers
            return load_hub()
    except Exception as error:  # hubs fail in many ways: no network, no space, a moved file
        reason = (str(error).strip().splitlines() or ["no message"])[0][:100]
        print(
            f"{what}: not to be had from the hub ({type(error).__name__}: {reason}); the packaged stand-in is used"
        )
        return load_packaged()


def seed_all(seed: int) -> None:
    """Seed Python's, NumPy's and torch's global generators. Own code takes a `generator` or `seed` all the same."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def class_dir() -> Path:
    """The git-ignored folder for what a class produces, made where it is missing."""
    folder = ROOT / "class"
    folder.mkdir(exist_ok=True)
    return folder


def _no_progress_bars() -> None:
    """Bars differ from run to run and would end up in recorded notebooks; in a kernel tqdm ignores TQDM_DISABLE."""
    import tqdm.notebook

    for bar in (tqdm.std.tqdm, tqdm.notebook.tqdm_notebook):
        if not isinstance(vars(bar)["__init__"], functools.partialmethod):
            bar.__init__ = functools.partialmethod(bar.__init__, disable=True)


def _one_of(variable: str, value: str, allowed: tuple[str, ...]) -> str:
    value = os.environ.get(variable) or value
    if value not in allowed:
        raise CourseError(
            f"{variable} or its argument is {value!r}; choose {' or '.join(map(repr, allowed))}."
        )
    return value


# ---------------------------------------------------------------- memory


def free_memory(device: torch.device | str = "cpu") -> int:
    """Bytes that can still be had on the device; on macOS a quarter of all memory, as nothing better is known there."""
    device = torch.device(device)
    if device.type == "cuda":
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + held
    if sys.platform == "win32":
        import ctypes

        status = (ctypes.c_ulonglong * 8)(
            64
        )  # MEMORYSTATUSEX: two 32-bit fields (size first), then total, available, …
        ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))
        return status[2]
    if (meminfo := Path("/proc/meminfo")).exists():
        lines = dict(line.split(":") for line in meminfo.read_text().splitlines())
        return min(int(lines["MemAvailable"].split()[0]) * 1024, _container_memory())
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 4


def _container_memory() -> float:
    """What a container's limit leaves: /proc/meminfo speaks of the whole machine."""
    group = Path("/sys/fs/cgroup")
    try:
        return int((group / "memory.max").read_text()) - int((group / "memory.current").read_text())
    except (OSError, ValueError):  # no control group, or its limit is "max"
        return float("inf")


def chunk_for(bytes_per_item: int, device: torch.device | str, *, most: int = 4096) -> int:
    """How many items to work on at once so that they fill at most half of the free memory: between 1 and `most`."""
    return int(max(1, min(most, free_memory(device) // 2 // max(1, bytes_per_item))))


def in_chunks(
    function: Callable[..., Tensor],
    *tensors: Tensor,
    chunk: int | None = None,
    bytes_per_item: int | None = None,
) -> Tensor:
    """Run the function over slices of the first dimension and concatenate; out of memory halves the slice and goes on.

    tensors: each (N, ...). chunk: the first size to try; without it `bytes_per_item` decides, and without that all N.
    The function must treat items independently and draw no random numbers: a slice may be run twice.
    Raises CourseError where not even one item fits.
    """
    n = len(tensors[0])
    chunk = chunk or (chunk_for(bytes_per_item, tensors[0].device) if bytes_per_item else max(n, 1))
    parts, start = [], 0
    while start < n or not parts:
        try:
            parts.append(function(*(t[start : start + chunk] for t in tensors)))
            start += chunk
            continue
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            if chunk == 1:
                raise CourseError(
                    "Not even one item fits into the free memory. Close other notebooks (Kernel, Shut "
                    "Down All) or take a smaller input, then run this cell again."
                ) from error
        chunk = max(
            1, min(chunk, n - start) // 2
        )  # outside `except`: there, the failed call's tensors are still held
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    return torch.cat(parts)


def out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that memory ran out: torch says it differently on a GPU, and on each system's CPU."""
    said = str(error).lower()
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(
        words in said for words in ("out of memory", "not enough memory", "can't allocate memory")
    )
