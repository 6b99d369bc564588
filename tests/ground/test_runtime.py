"""Set-up, seeds, what a hub may fail with, free memory, and going on when memory runs out."""

import re
import subprocess
import sys
import textwrap

import pytest
import torch

from helpers.ground import ROOT, runtime
from helpers.ground.errors import CourseError
from helpers.ground.runtime import by_scale, chunk_for, hub_or_packaged, in_chunks, setup


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """No decision taken, no variable set, no GPU."""
    monkeypatch.setattr(runtime, "_course", None)
    for name in ("SCALE", "SOURCE", "TEST", "THREADS", "DEVICE"):
        monkeypatch.delenv(f"COURSE_{name}", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(runtime, "in_colab", lambda: False)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4")
    monkeypatch.setattr(runtime, "_touch_gpu", lambda: None)


def decided(**arguments):
    course = setup(quiet=True, **arguments)
    return course.scale, course.source, course.device.type


# ---- scale, source and device


@pytest.mark.parametrize(
    ("colab", "variables", "expected"),
    [
        (False, {}, ("full", "packaged", "cuda")),
        (True, {}, ("full", "hub", "cuda")),
        (True, {"DEVICE": "cpu"}, ("small", "packaged", "cpu")),
        (False, {"TEST": "1"}, ("small", "packaged", "cpu")),
        (False, {"TEST": "1", "DEVICE": "cuda"}, ("small", "packaged", "cuda")),
        (False, {"TEST": "1", "SCALE": "full"}, ("full", "packaged", "cuda")),
    ],
)
def test_with_a_gpu(monkeypatch, gpu, colab, variables, expected):
    monkeypatch.setattr(runtime, "in_colab", lambda: colab)
    for name, value in variables.items():
        monkeypatch.setenv(f"COURSE_{name}", value)
    assert decided() == expected


@pytest.mark.parametrize("colab", [False, True])
def test_without_a_gpu(monkeypatch, colab):
    monkeypatch.setattr(runtime, "in_colab", lambda: colab)
    assert decided() == ("small", "packaged", "cpu")


def test_an_apple_gpu_is_taken_where_it_is_asked_for(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert decided() == ("small", "packaged", "cpu")
    monkeypatch.setenv("COURSE_DEVICE", "mps")
    assert decided() == ("small", "packaged", "mps")
    assert "Apple GPU" in str(runtime.current())


def test_a_lost_gpu_leads_to_the_cpu_in_one_sentence(monkeypatch, gpu, capsys):
    def lost():
        raise RuntimeError("CUDA error: unknown error\nCUDA kernel errors might be")

    monkeypatch.setattr(runtime, "_touch_gpu", lost)
    assert decided() == ("small", "packaged", "cpu")
    assert capsys.readouterr().out == (
        "The GPU cannot be used (CUDA error: unknown error): the CPU is used instead.\n"
    )


def test_variables_override_arguments(monkeypatch):
    monkeypatch.setenv("COURSE_SCALE", "full")
    monkeypatch.setenv("COURSE_SOURCE", "hub")
    assert decided(scale="small", source="packaged") == ("full", "hub", "cpu")


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("SCALE", "huge", "'huge'; choose 'small' or 'full'"),
        ("SOURCE", "web", "'web'; choose 'packaged' or 'hub'"),
        ("DEVICE", "gpu", "'gpu'; choose 'cpu' or 'cuda' or 'mps'"),
        ("DEVICE", "cuda", "COURSE_DEVICE is 'cuda', but PyTorch finds none here"),
        ("DEVICE", "mps", "COURSE_DEVICE is 'mps', but PyTorch finds none here"),
        ("THREADS", "abc", "COURSE_THREADS is 'abc'; give a whole number from 1 on"),
        ("THREADS", "0", "COURSE_THREADS is '0'; give a whole number from 1 on"),
    ],
)
def test_a_wrong_variable_says_what_is_possible(monkeypatch, variable, value, message):
    monkeypatch.setenv(f"COURSE_{variable}", value)
    with pytest.raises(CourseError, match=message) as caught:
        setup(quiet=True)
    assert "\n" not in str(caught.value)


def test_setup_prints_one_line_and_seeds(capsys):
    setup(seed=3)
    first = torch.rand(4)
    assert capsys.readouterr().out == "small scale · packaged data · CPU, 2 threads · seed 3\n"
    setup(seed=3, quiet=True)
    assert torch.equal(first, torch.rand(4))
    assert torch.get_num_threads() == 2
    assert capsys.readouterr().out == ""


def test_threads_are_two_only_where_the_cpu_computes(monkeypatch, gpu, capsys):
    torch.set_num_threads(5)
    setup()
    assert capsys.readouterr().out == "full scale · packaged data · Tesla T4 · seed 0\n"
    assert torch.get_num_threads() == 5
    monkeypatch.setenv("COURSE_THREADS", "3")
    assert setup(quiet=True).threads == torch.get_num_threads() == 3


def test_current_sets_up_once_and_quietly(capsys):
    assert runtime.decided_scale() is None
    assert runtime.current() is runtime.current()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("scale", "value"), [("full", 2), ("small", 1), ("tiny", 1)])
def test_by_scale(scale, value):
    setup(scale=scale, quiet=True)
    assert by_scale(1, 2) == value


def test_under_the_test_command_progress_bars_are_silent(monkeypatch, capsys):
    import tqdm.notebook

    for bar in (tqdm.std.tqdm, tqdm.notebook.tqdm_notebook):  # restored afterwards
        monkeypatch.setattr(bar, "__init__", bar.__init__)
    monkeypatch.setenv("COURSE_TEST", "1")
    setup(quiet=True)
    setup(quiet=True)
    assert list(tqdm.notebook.tqdm(range(3))) == list(tqdm.std.tqdm(range(3))) == [0, 1, 2]
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("native", [True, False])
def test_half_precision_asks_what_the_card_can_do(monkeypatch, native):
    supported = lambda including_emulation=True: including_emulation or native
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert runtime.half_precision("cuda") == native
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native)
    assert runtime.half_precision("cpu") == native
    assert not runtime.half_precision("mps")


# ---- hub or packaged


class FromHub(RuntimeError):
    """Such as an error that a hub's library defines."""


FromHub.__module__ = "huggingface_hub.errors"


def raises(error):
    def load():
        raise error

    return load


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError("no route to host\nand much more"), "OSError: no route to host"),
        (ModuleNotFoundError("No module named 'x'"), "ModuleNotFoundError: No module named 'x'"),
        (CourseError("Not here."), "CourseError: Not here."),
        (FromHub("closed"), "FromHub: closed"),
    ],
)
def test_what_the_hub_has_not_is_replaced_in_one_line(capsys, error, line):
    setup(source="hub", quiet=True)
    assert hub_or_packaged("CLIP", lambda: "hub", lambda: "packaged") == "hub"
    assert capsys.readouterr().out == ""
    assert hub_or_packaged("CLIP", raises(error), lambda: "packaged") == "packaged"
    assert capsys.readouterr().out == (
        f"CLIP: could not be loaded from the hub ({line}); the packaged stand-in is used\n"
    )


def test_what_a_hubs_library_raises_counts_as_the_hubs(capsys):
    code = "def load():\n    raise RuntimeError('invalid hash value')"
    library = {"__name__": "torch.hub"}
    exec(code, library)
    setup(source="hub", quiet=True)
    assert hub_or_packaged("CLIP", library["load"], lambda: "packaged") == "packaged"


@pytest.mark.parametrize(
    "error", [TypeError("missing argument"), KeyError("w"), RuntimeError("shape")]
)
def test_a_fault_of_our_own_is_not_swallowed(error):
    setup(source="hub", quiet=True)
    with pytest.raises(type(error)):
        hub_or_packaged("CLIP", raises(error), lambda: pytest.fail("took the stand-in"))


def test_from_the_package_the_hub_is_not_asked(capsys):
    setup(source="packaged", quiet=True)
    hub = lambda: pytest.fail("asked the hub")
    assert hub_or_packaged("CLIP", hub, lambda: "packaged") == "packaged"
    assert capsys.readouterr().out.count("\n") == 1


# ---- memory


def test_chunk_for_fills_half_of_what_is_free(monkeypatch):
    monkeypatch.setattr(runtime, "free_memory", lambda device: 2000)
    assert chunk_for(10, "cpu") == 100
    assert chunk_for(10, "cpu", most=64) == 64
    assert chunk_for(10**9, "cpu") == 1


def test_free_memory(monkeypatch):
    assert 2**20 < runtime.free_memory("cpu") < 2**45
    monkeypatch.setattr(runtime, "_container_memory", lambda: 5 * 2**20)
    assert runtime.free_memory("cpu") == 5 * 2**20
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (100, 1000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 50)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 20)
    assert runtime.free_memory("cuda") == 130


VERSION_2 = ("memory.max", "memory.current", "memory.stat", "inactive_file")
VERSION_1 = (
    "memory/memory.limit_in_bytes",
    "memory/memory.usage_in_bytes",
    "memory/memory.stat",
    "total_inactive_file",
)


@pytest.mark.parametrize("names", [VERSION_1, VERSION_2])
@pytest.mark.parametrize(("limit", "left"), [("1000\n", 450), ("max\n", float("inf"))])
def test_a_containers_limit_counts_without_cached_files(tmp_path, names, limit, left):
    (tmp_path / "memory").mkdir()
    for name, text in zip(names, (limit, "600\n", f"anon 1\n{names[3]} 50\n"), strict=False):
        (tmp_path / name).write_text(text)
    assert runtime._container_memory(tmp_path) == left


def fits(most, error):
    """Doubles up to `most` items, and fails as a full memory does for more; keeps the sizes."""

    def double(x):
        double.sizes.append(len(x))
        if len(x) > most:
            raise error
        return x * 2

    double.sizes = []
    return double


CPU = "DefaultCPUAllocator: {}: you tried to allocate 4 bytes"


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError(CPU.format("not enough memory")),  # Windows
        RuntimeError(CPU.format("can't allocate memory")),
    ],
)
@pytest.mark.parametrize("n", [1, 7, 100])
def test_in_chunks_halves_and_goes_on(error, n):
    double, x = fits(7, error), torch.arange(n)
    assert torch.equal(in_chunks(double, x), 2 * x)
    assert double.sizes[0] == n
    failed = [size for size in double.sizes if size > 7]
    assert len(failed) <= 4  # it does not try a size again that failed


def test_in_chunks_slices_all_tensors_alike():
    x, y = torch.arange(10.0).reshape(5, 2), torch.arange(5.0)
    assert torch.equal(in_chunks(lambda a, b: a.sum(1) + b, x, y, chunk=2), x.sum(1) + y)
    assert in_chunks(lambda a: a * 2, x[:0]).shape == (0, 2)


def test_in_chunks_when_not_even_one_fits():
    with pytest.raises(CourseError, match="Not one item fits"):
        in_chunks(fits(0, MemoryError()), torch.arange(5))


def test_in_chunks_passes_other_errors_on_at_once():
    function = fits(3, RuntimeError("shapes differ"))
    with pytest.raises(RuntimeError, match="shapes differ"):
        in_chunks(function, torch.arange(5))
    assert function.sizes == [5]


def run(code: str) -> str:
    """What a Python of its own prints."""
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="the limit on a process's memory is Linux's")
def test_in_chunks_survives_a_memory_that_is_really_full():
    run("""
        import resource, torch
        from helpers.ground.runtime import in_chunks
        sizes = []
        def sums(x):                                           # 128 MiB an item
            sizes.append(len(x))
            return torch.ones(len(x), 2**25).cumsum(1)[:, -1] * 0 + x
        torch.set_num_threads(1)
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 3 * 2**30,) * 2)
        x = torch.arange(32.0)
        assert torch.equal(in_chunks(sums, x), x)
        assert sizes[0] == 32 and sizes[-1] < 16, sizes
        """)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's switches")
def test_kept_memory_is_not_faulted_in_again():
    faults = run("""
        import resource, torch
        from data.recipes.make import keep_freed_memory
        keep_freed_memory()
        faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        counts = []
        for size in range(48, 40, -1):  # aligned memory needs some bytes more than it leaves
            before = faults()
            x = torch.empty(size * 2**20, dtype=torch.uint8).fill_(1)
            del x
            counts.append(faults() - before)
        print(max(counts[1:]))
        """)
    assert int(faults) < 1000, "10,240 pages of 4 kB are a whole array"


def test_only_the_setup_seeds_the_global_streams():
    """torch.manual_seed seeds a GPU's stream too, and `fork_rng(devices=[])` leaves it so."""
    folders = ("helpers", "notebooks/support", "data/recipes")
    files = [file for folder in folders for file in (ROOT / folder).rglob("*.py")]
    seeding = [
        file.name
        for file in files
        if re.search(r"(torch|np\.random)\.(manual_)?seed\(", file.read_text(encoding="utf-8"))
    ]
    assert seeding == ["runtime.py"]
