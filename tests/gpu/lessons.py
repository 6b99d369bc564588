"""Runs the code cells of a lesson over the pretend GPU, in few steps and on few samples."""

from __future__ import annotations

import ast
import contextlib
import functools
import gc
import importlib
import inspect
import io
import itertools
import json
import linecache
import os
import pkgutil
import sys
import traceback
import types
import warnings
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from math import prod
from pathlib import Path
from unittest import mock

import matplotlib.pyplot as plt
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from helpers.attention import data, train
from helpers.datasets import clinical_notes, corpus, scenes
from helpers.ground import ROOT
from helpers.nets import digits
from helpers.pretrained import imagenet
from tests.pretend_gpu import T4, Card, Gpu, counting, pretend_gpu

# How often something may be repeated: by an argument of the course's functions, or by a field of
# their settings, of this name.
FEW = {
    "crops": 8,
    "epochs": 1,
    "masks": 8,
    "restarts": 1,
    "samples": 2,
    "seeds": 2,
    "steps": 3,
    "tokens": 4096,
}
AT_ONCE = {"tries": 2}  # done in one batch: counts are not multiplied, so only "tiny" cuts them
# Loaders whose results are cut: of each part the first so many samples are enough.
FIRST = {
    digits.digits: 300,  # lesson 03 looks at a hundred of `shortcut.scans` with a smudge
    clinical_notes.load: 500,
    scenes.sample: 20,  # as many as lesson 02 compares with its table
}
ALSO = {"08": {corpus.Stream.contexts: 1024}}  # others' examples stand at places in the whole text
SHORT = {k: replace(v, epochs=1, texts=v.texts and 48) for k, v in data.SMALL.items()}


def cells(path: Path) -> list[tuple[int, str]]:
    """The lesson's code cells, each with its number among all cells."""
    lesson = json.loads(path.read_text(encoding="utf-8"))
    return [
        (number, "".join(cell["source"]))
        for number, cell in enumerate(lesson["cells"])
        if cell["cell_type"] == "code"
    ]


class Fewer(ast.NodeTransformer):
    """Shortens a lesson's own loops that only count: three turns are enough."""

    def visit_For(self, node: ast.For):
        return self.short(node)

    def visit_comprehension(self, node: ast.comprehension):
        return self.short(node)

    def short(self, node):
        """`for _ in range(1000)`, `for step, x in zip(range(1, steps + 1), batches)`."""
        self.generic_visit(node)
        target, items = node.target, node.iter
        if not isinstance(items, ast.Call):
            return node
        few = lambda items: ast.Call(ast.Name("__few__", ast.Load()), [items], [])
        if getattr(target, "id", "") in COUNTERS:
            node.iter = few(items)
        elif isinstance(target, ast.Tuple) and getattr(target.elts[0], "id", "") in COUNTERS:
            items.args[:1] = map(few, items.args[:1])
        return node


LOOKED_INTO = ("crop_boxes", "path")  # a lesson looks at each box, at each step
COUNTERS = ("_", "step", "epoch")


def few(items):
    """The first three numbers of a range, each counted for what is left out; others stay."""
    if not isinstance(items, range) or len(items) <= 3:
        yield from items
        return
    with counting(len(items) / 3):
        yield from items[:3]


NAMES = {"__few__": few}  # what shortened source knows beside the lesson's own names


def shortened_source(source: str, name: str) -> ast.Module:
    return ast.fix_missing_locations(Fewer().visit(ast.parse(source, name)))


def few_batches(data: list, size: int, *, generator=None, real=train.batches, **more):
    """Three batches of a training's epoch; all where the order is not drawn."""
    found = real(data, size, generator=generator, **more)
    if generator is None:
        yield from found
        return
    with counting(max(1, len(data) / size / 3)):
        yield from itertools.islice(found, 3)


def capped(function: types.FunctionType, most: dict[str, int] = FEW) -> Callable:
    """The function, with few repetitions, each counted for what is left out."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*args, **kwargs):
        given = signature.bind(*args, **kwargs)
        given.apply_defaults()
        times = 1.0
        for name, value in given.arguments.items():
            given.arguments[name], more = less(name, value, most)
            times *= more
        with counting(times):
            return function(*given.args, **given.kwargs)

    return call


def less(name: str, value, most: dict[str, int]) -> tuple:
    """The capped value, and how often it stands for itself."""
    if name in most and type(value) is int and value > most[name]:
        return most[name], value / most[name]
    if not is_dataclass(value) or isinstance(value, type):
        return value, 1.0
    named = [f.name for f in fields(value) if f.name in most]
    parts = {name: less(name, getattr(value, name), most) for name in named}
    kept = {name: value for name, (value, _) in parts.items()}
    return replace(value, **kept), prod(times for _, times in parts.values())


def may_be_long(value, home: str) -> bool:
    """Whether this is a function of the module that repeats something."""
    if not isinstance(value, types.FunctionType) or value.__module__ != home:
        return False
    if inspect.isgeneratorfunction(value) or value.__name__ in LOOKED_INTO:
        return False
    names = {*FEW, *AT_ONCE, "settings", "size", "training"}
    return bool(names & {*inspect.signature(value).parameters})


def first(value, most: int):
    """Of every tensor and list in a result the first so many items."""
    if isinstance(value, tuple):
        make = type(value)._make if hasattr(value, "_fields") else tuple
        return make([first(part, most) for part in value])
    return value[:most] if isinstance(value, (list, Tensor)) else value


def on_small_pictures(load: Callable) -> Callable:
    """The loader; its network looks at pictures a quarter as wide and high."""

    def loaded(*args, **kwargs):
        network = load(*args, **kwargs)
        network.register_forward_pre_hook(lambda _, inputs: avg_pool2d(inputs[0], 4))
        return network

    return loaded


def alike(a: Tensor, b: Tensor, **_) -> None:
    """`assert_close` where numbers mean nothing: shapes and devices agree."""
    assert (a.shape, a.device) == (b.shape, b.device)


@contextlib.contextmanager
def shortened(first_of: dict[Callable, int]):
    """Inside, the course's functions repeat little; first_of: and these loaders bring so few."""
    modules = [
        module
        for name, module in list(sys.modules.items())
        if name.startswith(("helpers.", "notebooks.support."))
    ]
    instead = {train.batches: few_batches}
    for module in modules:
        long = [v for v in vars(module).values() if may_be_long(v, module.__name__)]
        most = FEW | AT_ONCE if first_of else FEW
        instead |= {function: capped(function, most) for function in long}
    if first_of:
        network = imagenet.efficientnet_lite0
        instead[network] = on_small_pictures(network)
    for load in first_of:
        instead[load] = lambda *args, f=load, **more: first(f(*args, **more), first_of[f])
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(torch.testing, "assert_close", alike))
        for home in [*modules, corpus.Stream]:
            for name, value in list(vars(home).items()):
                is_function = isinstance(value, (types.FunctionType, functools._lru_cache_wrapper))
                if is_function and value in instead:
                    stack.enter_context(mock.patch.object(home, name, instead[value]))
        if first_of:
            stack.enter_context(mock.patch.dict(data.SMALL, SHORT))
        yield


def modules_of(package) -> list[types.ModuleType]:
    """The package's modules, all imported."""
    found = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    names = [module.name for module in found if not module.name.endswith("__main__")]
    return [importlib.import_module(name) for name in names]


def forget() -> None:
    """Empties the course's caches: what they hold lies on another device."""
    for name, module in list(sys.modules.items()):
        if name.startswith(("helpers.", "notebooks.support.")):
            for value in vars(module).values():
                if isinstance(value, functools._lru_cache_wrapper):
                    value.cache_clear()


@dataclass
class Fault:
    """A cell that does not run on the device."""

    cell: int
    line: str  # the innermost line of the course
    error: str

    def __str__(self) -> str:
        return f"cell {self.cell}, {self.line}: {self.error}"


def run(
    path: Path, card: Card = T4, *, scale: str = "tiny", go_on: bool = False, **options
) -> tuple[list[Fault], Gpu]:
    """Run a lesson's cells, its long loops shortened; go_on: also those after a fault.

    scale: "tiny" (few samples too), or another, to count what a lesson costs there. No number is
    judged. options: of `pretend_gpu`.
    """
    namespace = {"__name__": "__main__", "display": lambda *args, **kwargs: None} | NAMES
    faults = []
    for package in ("helpers", f"notebooks.support.lesson{path.stem[:2]}"):
        modules_of(importlib.import_module(package))
    tiny = scale == "tiny"
    first_of = FIRST | ALSO.get(path.stem[:2], {}) if tiny else {}
    with settings(scale), shortened(first_of), pretend_gpu(card, **options) as gpu:
        first_cell = cells(path)[0][0]
        for number, source in cells(path):
            name = f"<lesson {path.stem[:2]} cell {number}>"
            tree = shortened_source(source, name)
            linecache.cache[name] = (len(source), None, source.splitlines(True), name)
            try:
                exec(compile(tree, name, "exec"), namespace)
                if number == first_cell and tiny:  # lessons know the public ones
                    namespace["course"] = replace(namespace["course"], scale="small")
            except Exception as error:
                faults.append(Fault(number, where(error), f"{type(error).__name__}: {error}"))
                if not go_on:
                    break
            finally:
                plt.close("all")
    namespace.clear()
    forget()
    gc.collect()
    return faults, gpu


def where(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if f.filename.startswith((str(ROOT), "<lesson"))]
    ours = [f for f in ours if "site-packages" not in f.filename and "/tests/" not in f.filename]
    last = ours[-1]
    return f"{last.filename.removeprefix(f'{ROOT}/')}:{last.lineno} {last.line}"


@contextlib.contextmanager
def settings(scale: str):
    """A GPU is chosen, and no claim is judged."""
    wanted = {"COURSE_DEVICE": "cuda", "COURSE_SCALE": scale, "COURSE_SOURCE": "packaged"}
    with (
        mock.patch.dict(os.environ, wanted),
        contextlib.redirect_stdout(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield
