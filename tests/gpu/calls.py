"""Every public function and method of the learners' packages, and how a test calls it."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from tests.gpu.lessons import modules_of


@dataclass(frozen=True)
class Call:
    """One way to call a function on a device."""

    run: Callable  # (device) -> result, or (device, steps) where something repeats
    waits: int = 0  # how often the host may wait for the device, whatever the number of steps
    on_cpu: str = ""  # why the result lies on the CPU; empty where it stays on the device
    needs: str = ""  # an optional package
    close: float = 1e-4  # relative and absolute error against the CPU


def collect(package: str) -> dict[str, Callable]:
    """The package's public functions and its classes' public methods, by name."""
    found = {}
    for module in modules_of(importlib.import_module(f"helpers.{package}")):
        for name, value in vars(module).items():
            if name.startswith("_") or getattr(value, "__module__", "") != module.__name__:
                continue
            members = vars(value).items() if inspect.isclass(value) else [("", value)]
            for member, function in members:
                function = plain(function)
                if isinstance(function, types.FunctionType) and not member.startswith("_"):
                    path = f"{module.__name__.removeprefix('helpers.')}.{name}.{member}"
                    found[path.rstrip(".")] = function
    return found


def plain(function):
    """The function below decorators: a property's, a class method's, a cached one."""
    function = getattr(function, "fget", None) or getattr(function, "__func__", function)
    return inspect.unwrap(function) if callable(function) else function


def leaves(value) -> Iterator:
    """The tensors and numbers of a result, in order."""
    if isinstance(value, nn.Module):
        value = value.state_dict()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = [getattr(value, field.name) for field in dataclasses.fields(value)]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from leaves(item)
    elif isinstance(value, (Tensor, int, float)):
        yield value
