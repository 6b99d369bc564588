"""Set-up, seeds, free memory, and going on when memory runs out."""

import subprocess
import sys
import textwrap

import pytest
import torch

from helpers.ground import runtime
from helpers.ground.artifacts import ROOT
from helpers.ground.errors import CourseError
from helpers.ground.runtime import by_scale, chunk_for, hub_or_packaged, in_chunks, setup


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """No decision taken, no variable set."""
    monkeypatch.setattr(runtime, "_course", None)
    for name in ("COURSE_SCALE", "COURSE_SOURCE", "COURSE_TEST", "COURSE_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(runtime, "in_colab", lambda: False)


@pytest.mark.parametrize(
    ("gpu", "colab", "expected"),
    [
        (False, False, ("small", "packaged", "cpu")),
        (False, True, ("small", "packaged", "cpu")),
        (True, False, ("full", "packaged", "cuda")),
        (True, True, ("full", "hub", "cuda")),
    ],
)
def test_scale_and_source_follow_the_machine(monkeypatch, gpu, colab, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(runtime, "in_colab", lambda: colab)
    course = setup(quiet=True)
    assert (course.scale, course.source, course.device.type) == expected


def test_the_test_command_means_small_and_packaged_on_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("COURSE_TEST", "1")
    course = setup(quiet=True)
    assert (course.scale, course.source, course.device.type, course.testing) == (
        "small",
        "packaged",
        "cpu",
        True,
    )


def test_variables_override_arguments_and_a_wrong_one_says_what_is_possible(monkeypatch):
    monkeypatch.setenv("COURSE_SCALE", "full")
    monkeypatch.setenv("COURSE_SOURCE", "hub")
    course = setup(scale="small", source="packaged", quiet=True)
    assert (course.scale, course.source, course.device.type) == ("full", "hub", "cpu")
    monkeypatch.setenv("COURSE_SCALE", "huge")
    with pytest.raises(CourseError, match="'huge'; choose 'small' or 'full'"):
        setup(quiet=True)


def test_setup_prints_one_line_and_seeds(capsys):
    setup(seed=3)
    first = torch.rand(4)
    assert capsys.readouterr().out == "small scale · packaged data · CPU, 2 threads · seed 3\n"
    setup(seed=3, quiet=True)
    assert torch.equal(first, torch.rand(4))
    assert torch.get_num_threads() == 2
    assert capsys.readouterr().out == ""


def test_current_sets_up_once_and_quietly(capsys):
    assert runtime.decided_scale() is None
    assert runtime.current() is runtime.current()
    assert capsys.readouterr().out == ""


def test_by_scale():
    setup(scale="full", quiet=True)
    assert by_scale(1, 2) == 2
    setup(scale="small", quiet=True)
    assert by_scale(1, 2) == 1


def test_hub_or_packaged_says_in_one_line_what_is_used(capsys):
    def broken():
        raise OSError("no route to host\nand much more")

    setup(source="hub", quiet=True)
    assert hub_or_packaged("CLIP", lambda: "hub", lambda: "packaged") == "hub"
    assert capsys.readouterr().out == ""
    assert hub_or_packaged("CLIP", broken, lambda: "packaged") == "packaged"
    assert capsys.readouterr().out == (
        "CLIP: not to be had from the hub (OSError: no route to host); "
        "the packaged stand-in is used\n"
    )
    setup(source="packaged", quiet=True)
    assert (
        hub_or_packaged("CLIP", lambda: pytest.fail("asked the hub"), lambda: "packaged")
        == "packaged"
    )
    assert capsys.readouterr().out.count("\n") == 1


def test_under_the_test_command_progress_bars_are_silent(monkeypatch, capsys):
    import tqdm.notebook

    for bar in (tqdm.std.tqdm, tqdm.notebook.tqdm_notebook):  # restored afterwards
        monkeypatch.setattr(bar, "__init__", bar.__init__)
    monkeypatch.setenv("COURSE_TEST", "1")
    setup(quiet=True)
    setup(quiet=True)
    assert list(tqdm.notebook.tqdm(range(3))) == list(tqdm.std.tqdm(range(3))) == [0, 1, 2]
    assert capsys.readouterr() == ("", "")


# ---- memory


def test_chunk_for_fills_half_of_what_is_free(monkeypatch):
    monkeypatch.setattr(runtime, "free_memory", lambda device: 2000)
    assert chunk_for(10, "cpu") == 100
    assert chunk_for(10, "cpu", most=64) == 64
    assert chunk_for(10**9, "cpu") == 1


def test_free_memory_is_between_nothing_and_all():
    assert 2**20 < runtime.free_memory("cpu") < 2**45


def test_free_memory_without_proc(monkeypatch):
    monkeypatch.setattr(runtime.Path, "exists", lambda self: False)
    assert runtime.free_memory("cpu") > 2**20


def fits(most, error):
    """Doubles up to `most` items, and fails as a full memory does for more; keeps the sizes it was asked for."""

    def double(x):
        double.sizes.append(len(x))
        if len(x) > most:
            raise error
        return x * 2

    double.sizes = []
    return double


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError(
            "DefaultCPUAllocator: not enough memory: you tried to allocate 4 bytes"
        ),  # Windows
        RuntimeError(
            "DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes. Error code 12"
        ),
    ],
)
@pytest.mark.parametrize("n", [1, 7, 100])
def test_in_chunks_halves_and_goes_on(error, n):
    double, x = fits(7, error), torch.arange(n)
    assert torch.equal(in_chunks(double, x), 2 * x)
    assert double.sizes[0] == n
    assert (
        len([size for size in double.sizes if size > 7]) <= 4
    )  # it does not try a size again that failed


def test_in_chunks_slices_all_tensors_alike():
    x, y = torch.arange(10.0).reshape(5, 2), torch.arange(5.0)
    assert torch.equal(in_chunks(lambda a, b: a.sum(1) + b, x, y, chunk=2), x.sum(1) + y)
    assert in_chunks(lambda a: a * 2, x[:0]).shape == (0, 2)


def test_in_chunks_when_not_even_one_fits():
    with pytest.raises(CourseError, match="Not even one item fits"):
        in_chunks(fits(0, MemoryError()), torch.arange(5))


def test_in_chunks_passes_other_errors_on_at_once():
    function = fits(3, RuntimeError("shapes differ"))
    with pytest.raises(RuntimeError, match="shapes differ"):
        in_chunks(function, torch.arange(5))
    assert function.sizes == [5]


@pytest.mark.skipif(sys.platform != "linux", reason="the limit on a process's memory is Linux's")
def test_in_chunks_survives_a_memory_that_is_really_full():
    code = textwrap.dedent("""
        import resource, torch
        from helpers.ground.runtime import in_chunks
        sizes = []
        def sums(x):                                           # 64 MiB an item
            sizes.append(len(x))
            return torch.ones(len(x), 2**24).cumsum(1)[:, -1] * 0 + x
        torch.set_num_threads(1)
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 2**30,) * 2)
        x = torch.arange(32.0)
        assert torch.equal(in_chunks(sums, x), x)
        assert sizes[0] == 32 and sizes[-1] < 16, sizes
        """)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's switches")
def test_kept_memory_is_not_faulted_in_again():
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            textwrap.dedent("""
        import resource, torch
        from helpers.ground.runtime import keep_freed_memory
        keep_freed_memory()
        faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(8):
            before = faults()
            x = torch.empty(40 * 2**20, dtype=torch.uint8).fill_(1)
            del x
        print(faults() - before)
    """),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) < 1000, "10,240 pages of 4 kB are the whole array"
