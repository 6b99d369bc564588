"""The one exception whose message is for the learner, and the one gate for options; no torch."""

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import inf
from numbers import Integral, Real
from pathlib import Path
from types import FunctionType, NoneType, UnionType
from typing import get_args, get_origin

KINDS = {bool: "True or False", int: "a whole number", float: "a finite number", str: "a text"}
KINDS |= {Callable: "a function", Mapping: "a dict", Path: "a Path", NoneType: "None"}
LISTS = (list, tuple, Iterable, Sequence)
KINDS |= dict.fromkeys(LISTS, "a list")
MAY_BE_0 = ("dead_after", "epochs", "k_aux", "layer", "save_every", "warmup")  # of counts


class CourseError(Exception):
    """Something the learner can put right: the message says what was given, expected, and to do."""

    def __init__(self, said: str):
        super().__init__(" ".join(said.split()))  # one line, also where an array is quoted


def first_line(error: BaseException) -> str:
    """What an exception says first."""
    return (str(error).strip().splitlines() or ["no message"])[0][:100]


def checked(made: Callable) -> Callable:
    """A function, or a class, that refuses what is no value for one of its options in a sentence.

    An option is of the kind of its annotation, or of its default: a number, a text, a tensor, a
    class of the course. Numbers are finite, and not below 0 where the default is not; what is
    counted is at least 1 where the default is.
    """
    if isinstance(made, type):
        made.__init__ = checked(made.__init__)
        return made

    @functools.cache  # at the first call: an annotation may name what stands further down
    def wanted() -> dict[str, inspect.Parameter]:
        return dict(inspect.signature(made, eval_str=True).parameters)

    @functools.wraps(made)
    def looked_at(*args, **options):
        for name, value in [*zip(wanted(), args, strict=False), *options.items()]:
            if name in wanted():
                _look(value, wanted()[name])
        try:
            return made(*args, **options)
        except IndexError as error:
            if "index out of range in self" not in str(error):  # an nn.Embedding's words
                raise
            raise CourseError("Some tokens are unknown to the model: use its tokenizer.") from error

    return looked_at


def _look(value, option: inspect.Parameter) -> None:
    """CourseError for a value that is none for this option of a function."""
    default, asked = option.default, option.annotation
    asked = type(default) if asked is option.empty else asked
    kinds = get_args(asked) if isinstance(asked, UnionType) else [asked]
    kinds = [Callable if k is FunctionType else get_origin(k) or k for k in kinds]
    known = all(k in KINDS or k.__module__.startswith(("helpers", "torch")) for k in kinds)
    others = [k for k in kinds if k is not NoneType]
    number = any(k in (int, float) for k in others)  # beside a tensor, as a baseline, it may be all
    if option.name in ("device", "generator") and (value is not None or default is not None):
        _look_for(option.name, value)
    elif value is default or not known or not others or (number and len(others) > 1):
        return
    elif not any(_fits(value, k, option) for k in kinds):
        words = " or ".join(KINDS.get(k, f"of the kind {k.__name__}") for k in others)
        least = _least(option, *others) if number else -inf
        words += f" of {least} or more" if least >= 0 else ""
        shown = repr(value) if isinstance(value, (Real, str)) else f"a {type(value).__name__}"
        raise CourseError(f"{option.name} should be {words}, not {shown:.60}.")


def _fits(value, kind: type, option: inspect.Parameter) -> bool:
    if kind is Callable:
        return callable(value)
    if kind in LISTS:
        return isinstance(value, Iterable) and not isinstance(value, (str, bytes))
    if kind not in (bool, int, float):
        stands_in = hasattr(value, "parameters") and hasattr(kind, "parameters")  # an nn.Module
        return stands_in or getattr(kind, "_is_protocol", False) or isinstance(value, kind)
    value = value.item() if getattr(value, "shape", None) == () else value  # of an array, a tensor
    if kind is bool or isinstance(value, bool) or not isinstance(value, Real):
        return kind is bool and isinstance(value, int) and value in (0, 1)
    whole = kind is float or (isinstance(value, Integral) and value < 2**63)
    return whole and _least(option, kind) <= value < inf and value > -inf


def _least(option: inspect.Parameter, kind: type) -> float:
    """The smallest number that an option takes."""
    if isinstance(option.default, Real):
        counted = kind is int and option.default >= 1 and option.name not in MAY_BE_0
        return int(counted) if option.default >= 0 else -inf
    return 0 if kind is int else -inf


def _look_for(name: str, value) -> None:
    """CourseError for a device that is not there, and for what is no generator."""
    import torch

    try:
        torch.empty(0, device=value.device if name == "generator" else value)
    except (AttributeError, RuntimeError, TypeError, AssertionError) as error:
        cure = "torch.Generator() makes one" if name == "generator" else "take course.device"
        raise CourseError(f"{value!r:.60} is no {name} here: {cure}.") from error
