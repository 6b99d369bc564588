"""The one exception whose message is for the learner, and the one gate for options; no torch."""

import functools
import inspect
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import inf
from numbers import Integral, Real
from pathlib import Path
from types import FunctionType, NoneType, UnionType
from typing import Annotated, get_args, get_origin

KINDS = {bool: "True or False", int: "a whole number", float: "a finite number", str: "a text"}
KINDS |= {Callable: "a function", Mapping: "a dict", Path: "a Path", NoneType: "None"}
LISTS = (list, tuple, Iterable, Sequence)
KINDS |= dict.fromkeys(LISTS, "a list")
MayBe0 = Annotated[int, 0]  # a count whose default is 1 or more, and that may be 0
UNKNOWN = "Some tokens are unknown to the model: use its tokenizer."
RAW = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RuntimeError)
OURS = (str(Path(__file__).parents[1]), sys.prefix, sys.base_prefix, "<frozen", "<string>", "<__")


class CourseError(Exception):
    """Something the learner can put right: the message says what was given, expected, and to do."""

    def __init__(self, said: str):
        super().__init__(" ".join(said.split()))  # one line, also where an array is quoted


def first_line(error: BaseException) -> str:
    """What an exception says first."""
    return (str(error).strip().splitlines() or ["no message"])[0][:100]


def shown(value) -> str:
    """A value in a sentence: numbers and texts as they are, others by their kind and size."""
    if isinstance(value, (Real, str, NoneType)):
        return f"{value!r:.60}"
    shape = getattr(value, "shape", None)
    size = f" of {len(value)}" if isinstance(value, (list, tuple, dict)) else ""
    return f"a {type(value).__name__}{f' {tuple(shape)}' if isinstance(shape, tuple) else size}"


def same_shape(given, wanted, name: str):
    """`given`, a tensor as large as the tensor `wanted`; CourseError for anything else."""
    if not hasattr(given, "detach") or given.shape != wanted.shape:
        raise CourseError(f"{name} should be a tensor {tuple(wanted.shape)}, not {shown(given)}.")
    return given


def checked(made: Callable) -> Callable:
    """A function, or a class and its public methods, that refuses in a sentence what is no value.

    1. An option is of the kind of its annotation, or of its default: a number, a text, a tensor, a
       class of the course. Numbers are finite, and not below 0 where the default is not; what is
       counted is at least 1 where the default is, if its annotation (MayBe0) has no other least.
    2. What cannot be computed with the rest is said with all that was given. Errors in models and
       functions that are neither the course's nor a library's stay as they are.
    """
    if isinstance(made, type):
        for name, method in [*vars(made).items()]:
            if isinstance(method, FunctionType) and (name == "__init__" or name[0] != "_"):
                setattr(made, name, checked(method))
        return made

    @functools.cache  # at the first call: an annotation may name what stands further down
    def wanted() -> dict[str, inspect.Parameter]:
        return dict(inspect.signature(made, eval_str=True).parameters)

    @functools.wraps(made)
    def looked_at(*args, **options):
        given = [*zip(wanted(), args, strict=False), *options.items()]
        for name, value in given:
            if name in wanted():
                _look(value, wanted()[name])
        try:
            return made(*args, **options)
        except RAW as error:
            if _of_others(error):
                raise
            with_ = ", ".join(f"{name}: {shown(value)}" for name, value in given if name != "self")
            what = f"{made.__name__}() does not work with {with_:.180} ({first_line(error)}); "
            what += f"help({made.__name__}) says what it takes."
            unknown = "index out of range in self" in str(error)  # an nn.Embedding's words
            raise CourseError(UNKNOWN if unknown else what) from error

    return looked_at


def _of_others(error: Exception) -> bool:
    """Whether foreign code raised it, or the call itself, which Python explains; or memory."""
    files = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)]
    memory = any(words in str(error).lower() for words in ("out of memory", "allocate memory"))
    return len(files) < 2 or memory or not all(file.startswith(OURS) for file in files)


def _look(value, option: inspect.Parameter) -> None:
    """CourseError for a value that is none for this option of a function."""
    default, asked = option.default, option.annotation
    asked = type(default) if asked is option.empty else asked
    asked, *least = get_args(asked) if get_origin(asked) is Annotated else (asked,)
    kinds = get_args(asked) if isinstance(asked, UnionType) else [asked]
    kinds = [Callable if k is FunctionType else get_origin(k) or k for k in kinds]
    known = all(k in KINDS or k.__module__.startswith(("helpers", "torch")) for k in kinds)
    others = [k for k in kinds if k is not NoneType]
    number = any(k in (int, float) for k in others)  # beside a tensor, as a baseline, it may be all
    least = least[0] if least else _least(default, *others[:1] or [None])
    if option.name in ("device", "generator") and (value is not None or default is not None):
        _look_for(option.name, value)
    elif value is default or not known or not others or (number and len(others) > 1):
        return
    elif not any(_fits(value, k, least) for k in kinds):
        words = " or ".join(KINDS.get(k, f"a {k.__name__}") for k in others)
        words += f" of {least} or more" if number and least >= 0 else ""
        raise CourseError(f"{option.name} should be {words}, not {shown(value)}.")


def _fits(value, kind: type, least: float) -> bool:
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
    return whole and least <= value < inf and value > -inf


def _least(default, kind: type) -> float:
    """The smallest number that an option of this kind takes."""
    if isinstance(default, Real):
        return int(kind is int and default >= 1) if default >= 0 else -inf
    return 0 if kind is int else -inf


def _look_for(name: str, value) -> None:
    """CourseError for a device that is not there, and for what is no generator."""
    import torch

    try:
        torch.empty(0, device=value.device if name == "generator" else value)
    except (AttributeError, RuntimeError, TypeError, AssertionError) as error:
        cure = "torch.Generator() makes one" if name == "generator" else "take course.device"
        raise CourseError(f"{value!r:.60} is no {name} here: {cure}.") from error
