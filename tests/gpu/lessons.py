"""Runs the code cells of a lesson over the pretend GPU, in few steps and on few samples."""

from __future__ import annotations

import ast
import contextlib
import functools
import gc
import importlib
import inspect
import io
import json
import linecache
import os
import pkgutil
import sys
import traceback
import types
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

import matplotlib.pyplot as plt

from helpers.ground import ROOT
from tests.pretend_gpu import T4, Card, Gpu, pretend_gpu

# How often a call may repeat something: in the lessons' cells, and as a function's default.
FEW = {
    "crops": 8,
    "draws": 3,
    "epochs": 1,
    "masks": 8,
    "restarts": 1,
    "samples": 2,
    "seeds": 2,
    "steps": 2,
    "tries": 2,
}


def cells(path: Path) -> list[tuple[int, str]]:
    """The lesson's code cells, each with its number among all cells."""
    lesson = json.loads(path.read_text(encoding="utf-8"))
    return [
        (number, "".join(cell["source"]))
        for number, cell in enumerate(lesson["cells"])
        if cell["cell_type"] == "code"
    ]


def small(node: ast.expr, most: int) -> None:
    """Caps a whole number that stands in the source."""
    if isinstance(node, ast.Constant) and type(node.value) is int:
        node.value = min(node.value, most)


class Fewer(ast.NodeTransformer):
    """Caps what a lesson's own code repeats: keywords of the table, and loops that only count."""

    def visit_keyword(self, node: ast.keyword):
        self.generic_visit(node)
        if node.arg in FEW:
            small(node.value, FEW[node.arg])
        return node

    def visit_For(self, node: ast.For):
        self.generic_visit(node)
        counts = isinstance(node.target, ast.Name) and node.target.id in ("_", "step", "epoch")
        if counts and isinstance(node.iter, ast.Call) and len(node.iter.args) == 1:
            small(node.iter.args[0], 3)
        return node


@contextlib.contextmanager
def fewer_by_default():
    """Inside, the defaults of the course's functions are capped by the table above."""
    changed = []
    for name, module in list(sys.modules.items()):
        if not name.startswith(("helpers.", "notebooks.support.")):
            continue
        for value in list(vars(module).values()):
            if getattr(value, "__module__", "") == name:
                changed += [(f, f.__defaults__, f.__kwdefaults__) for f in functions_of(value)]
    for function, _, _ in changed:
        cap_defaults(function)
    try:
        yield
    finally:
        for function, defaults, keywords in changed:
            function.__defaults__ = defaults
            function.__kwdefaults__ = keywords


def functions_of(value) -> list[types.FunctionType]:
    """A function below its decorators, or a class's methods, `__init__` among them."""
    values = vars(value).values() if inspect.isclass(value) else [value]
    functions = [inspect.unwrap(v) for v in values if callable(v)]
    return [f for f in functions if isinstance(f, types.FunctionType)]


def cap_defaults(function: types.FunctionType) -> None:
    def capped(name, value):
        return min(value, FEW[name]) if name in FEW and type(value) is int else value

    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    defaults = function.__defaults__ or ()
    by_name = zip(names[len(names) - len(defaults) :], defaults, strict=True)
    function.__defaults__ = tuple(capped(name, value) for name, value in by_name) or None
    keywords = function.__kwdefaults__
    if keywords:
        function.__kwdefaults__ = {name: capped(name, value) for name, value in keywords.items()}


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


def run(path: Path, card: Card = T4, *, go_on: bool = False) -> tuple[list[Fault], Gpu]:
    """Run a lesson's cells; go_on: also those after a fault."""
    namespace = {"__name__": "__main__", "display": lambda *args, **kwargs: None}
    faults = []
    for package in ("helpers", f"notebooks.support.lesson{path.stem[:2]}"):
        modules_of(importlib.import_module(package))
    with settings(), pretend_gpu(card) as gpu:
        first = cells(path)[0][0]
        for number, source in cells(path):
            name = f"<lesson {path.stem[:2]} cell {number}>"
            tree = ast.fix_missing_locations(Fewer().visit(ast.parse(source, name)))
            linecache.cache[name] = (len(source), None, source.splitlines(True), name)
            try:
                with fewer_by_default():
                    exec(compile(tree, name, "exec"), namespace)
                if number == first:  # what a lesson says about its scale knows the public ones
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
def settings():
    """A GPU is chosen, few samples are, and no claim is judged."""
    wanted = {"COURSE_DEVICE": "cuda", "COURSE_SCALE": "tiny", "COURSE_SOURCE": "packaged"}
    with (
        mock.patch.dict(os.environ, wanted),
        contextlib.redirect_stdout(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield
