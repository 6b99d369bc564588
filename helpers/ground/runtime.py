"""What a lesson stands on: scale, source and device, seeds and threads, free memory and chunks."""

import functools
import io
import os
import random
import traceback
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from helpers.ground.colab import in_colab
from helpers.ground.errors import CourseError, checked, first_line


# ---------------------------------------------------------------- set-up
@dataclass(frozen=True)
class Course:
    """What `setup()` decided for this session."""

    scale: str  # "small": two cores, minutes; "full": a GPU, toward the papers' sizes
    source: str  # "packaged": no network; "hub": the papers' own models and data
    device: torch.device  # where lessons put their models and data
    threads: int  # of the CPU; fixed where it computes, because floats move with their number
    seed: int
    colab: bool  # running in Google Colab
    testing: bool  # under the test command: a claim that does not hold is an error

    def __str__(self) -> str:
        names = {"cpu": f"CPU, {self.threads} threads", "mps": "Apple GPU"}
        where = names.get(self.device.type) or torch.cuda.get_device_name(self.device)
        return f"{self.scale} scale · {self.source} data · {where} · seed {self.seed}"


_course: Course | None = None


@checked
def setup(*, scale: str | None = None, source=None, seed=0, quiet=False) -> Course:
    """Decide scale, source and device, seed everything, and print one line about it.

    On the CPU: small and packaged. On a CUDA GPU: full; the hub only in Colab or when asked for. An
    Apple GPU is taken only where COURSE_DEVICE asks for it, and small. The variables COURSE_SCALE,
    COURSE_SOURCE, COURSE_DEVICE (cpu, cuda, mps) and COURSE_THREADS override; COURSE_TEST=1 means
    small, packaged and the CPU unless they say otherwise. Raises CourseError for a word that none
    of them knows, and for a device that is not there. (The scale "tiny" is for tests: it runs the
    code and judges no claim.)
    """
    global _course
    testing, colab = os.environ.get("COURSE_TEST") == "1", in_colab()
    asked = os.environ.get("COURSE_SCALE") or scale
    device = _device(hidden=testing and asked != "full")
    gpu = device.type == "cuda" and not testing
    scale = scale or ("full" if gpu else "small")
    source = source or ("hub" if gpu and colab else "packaged")
    scale = _one_of("COURSE_SCALE", scale, ("small", "full"), internal=("tiny",))
    source = _one_of("COURSE_SOURCE", source, ("packaged", "hub"))
    threads = _threads(device)
    torch.set_num_threads(threads)
    random.seed(seed)  # the global generators, though the course's code takes its own
    np.random.seed(seed)
    torch.manual_seed(seed)
    _course = Course(scale, source, device, threads, seed, colab, testing)
    if testing:
        _no_progress_bars()
    if not quiet:
        print(_course)
    return _course


def current() -> Course:
    """What `setup()` decided; sets up quietly where it was not called."""
    return _course or setup(quiet=True)


def decided_scale() -> str | None:
    """The scale, or None where nobody has called `setup()`: asking does not set up."""
    return _course.scale if _course else None


def by_scale(small, full):
    """The second value at scale full, else the first."""
    return full if current().scale == "full" else small


def half_precision(device: torch.device | str) -> bool:
    """Whether the device has instructions for bfloat16; a T4 has none, and emulates it slowly."""
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    wide = torch.backends.cpu.get_cpu_capability() == "AVX512"
    return device.type == "cpu" and wide and torch.cpu._is_avx512_bf16_supported()


def _device(hidden: bool) -> torch.device:
    """COURSE_DEVICE's device, or, where not `hidden`, a CUDA GPU that works, or the CPU."""
    mps = torch.backends.mps.is_available()
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": mps}
    asked = _one_of("COURSE_DEVICE", "", tuple(there), internal=("",))
    if not there.get(asked, True):
        raise CourseError(f"COURSE_DEVICE is {asked!r}, but PyTorch finds none here: unset it.")
    if asked or hidden or not there["cuda"]:
        return torch.device(asked or "cpu")
    try:
        _touch_gpu()
    except RuntimeError as error:  # lost, or full with another process's work
        print(f"The GPU cannot be used ({first_line(error)}): the CPU is used instead.")
        return torch.device("cpu")
    return torch.device("cuda")


def _touch_gpu() -> None:
    torch.zeros(1, device="cuda")


def _threads(device: torch.device) -> int:
    """COURSE_THREADS; or two, which every laptop has; or all, where a GPU computes."""
    asked = os.environ.get("COURSE_THREADS") or ""
    if asked and not (asked.isdecimal() and int(asked)):
        raise CourseError(f"COURSE_THREADS is {asked!r}; give a whole number from 1 on.")
    return int(asked or (2 if device.type == "cpu" else torch.get_num_threads()))


def _no_progress_bars() -> None:
    """Bars differ from run to run and would end up in recorded notebooks."""
    import tqdm.notebook  # here, because it loads the widgets, and TQDM_DISABLE does not reach it

    for bar in (tqdm.std.tqdm, tqdm.notebook.tqdm_notebook):
        if not isinstance(vars(bar)["__init__"], functools.partialmethod):
            bar.__init__ = functools.partialmethod(bar.__init__, disable=True)


def _one_of(variable: str, value: str, allowed: tuple, internal: tuple = ()) -> str:
    value = os.environ.get(variable) or value
    if value not in allowed + internal:
        choice = " or ".join(map(repr, allowed))
        raise CourseError(f"{variable} or its argument is {value!r}; choose {choice}.")
    return value


# ---------------------------------------------------------------- hub or packaged

HUBS = ("huggingface_hub", "httpx", "httpcore", "requests", "urllib3", "torch.hub", "open_clip")


def hub_or_packaged(what: str, load_hub: Callable, load_packaged: Callable):
    """Load from the hub where the source says so; otherwise, or where that fails, what is here.

    The stand-in is named in one printed line. what: such as "CLIP ViT-B/32". Only what a hub can
    raise leads to the stand-in; a fault of the course's own code is raised.
    """
    if current().source != "hub":
        print(f"{what}: the packaged stand-in is used (source packaged)")
        return load_packaged()
    try:
        with redirect_stdout(io.StringIO()):  # "Downloading ..." would read like a second answer
            return load_hub()
    except Exception as error:
        if not _hubs_fault(error):
            raise
        reason = f"{type(error).__name__}: {first_line(error)}"
        print(f"{what}: could not be loaded from the hub ({reason}); the packaged stand-in is used")
        return load_packaged()


def _hubs_fault(error: Exception) -> bool:
    """Whether a hub can raise this: by its kind, or as a hub's library defines or raises it."""
    if isinstance(error, (OSError, ImportError, CourseError)):
        return True
    deepest = [*traceback.walk_tb(error.__traceback__)][-1][0]
    homes = [deepest.f_globals.get("__name__", ""), *(c.__module__ for c in type(error).__mro__)]
    return any(home == hub or home.startswith(f"{hub}.") for home in homes for hub in HUBS)


# ---------------------------------------------------------------- memory
def free_memory(device: torch.device | str = "cpu") -> int:
    """Free bytes on the device; on the CPU no more than a container's limit leaves."""
    device = torch.device(device)
    if device.type == "cuda":
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + held
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    import psutil  # a tenth of a second: not with every helper

    return min(psutil.virtual_memory().available, _container_memory())


def _container_memory(groups: Path = Path("/sys/fs/cgroup")) -> float:
    """What a container's limit leaves, cached files not counted; inf where there is no limit."""
    old = groups / "memory"  # control groups of version 1, where there are none of version 2
    for folder, limit, used, files in (
        (groups, "memory.max", "memory.current", "inactive_file"),
        (old, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        try:
            stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            taken = int((folder / used).read_text()) - int(stat[files])
            return int((folder / limit).read_text()) - taken
        except (OSError, ValueError, KeyError):  # no such group, or its limit is "max"
            continue
    return float("inf")


def chunk_for(bytes_per_item: int, device: torch.device | str, *, most: int = 4096) -> int:
    """How many items, 1 to `most`, to work on at once: they fill at most half the free memory."""
    return int(max(1, min(most, free_memory(device) // 2 // max(1, bytes_per_item))))


def in_chunks(function: Callable, *tensors: Tensor, chunk=None, bytes_per_item=None) -> Tensor:
    """Run the function over slices of the first dimension and concatenate the results.

    Where memory runs out the slice is halved and the work goes on. tensors: each (N, ...). chunk:
    the first size to try; without it `bytes_per_item` decides, and without that all N. The function
    must treat items independently and draw no random numbers: a slice may be run twice.
    """
    n = len(tensors[0])
    if chunk is None:
        device = tensors[0].device
        chunk = chunk_for(bytes_per_item, device) if bytes_per_item else max(n, 1)
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
                cure = "close other notebooks or take a smaller input, then run the cell again"
                raise CourseError(f"Not one item fits into the free memory: {cure}.") from error
        # outside `except`: there, the failed call's tensors are still held
        chunk = max(1, min(chunk, n - start) // 2)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    return torch.cat(parts)


def out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: torch says it differently on a GPU, and on each system's CPU."""
    message = str(error).lower()
    words = ("out of memory", "not enough memory", "can't allocate memory")
    known = isinstance(error, (MemoryError, torch.OutOfMemoryError))
    return known or any(word in message for word in words)
