"""Exercise checks: one line, no stack trace, and "not answered yet" for an empty stub."""

import functools
import linecache
import textwrap
import traceback
import types
from collections.abc import Callable

import torch

from helpers.ground.errors import first_line
from helpers.lesson.answers import Store, class_dir

UNANSWERED = "not answered yet"
RIGHT = "✓"
ACTIVITY, KEEP = "exercise", "keep-checks.txt"  # the file is there where somebody chose so


class Unanswered(Exception):
    """The stub still holds `...`, returns None, or raises NotImplementedError."""


class AnswerFailed(Exception):
    """The learner's function raised; the message is the one line that says where and what."""


def exercise(check: Callable[..., str | None]) -> Callable[..., None]:
    """Turn `check(answer, ...) -> mistake or None` into what a learner calls: it prints one line.

    The check may call the learner's functions: an empty stub ends it with "not answered yet", an
    exception with its type and the line of the learner's code. It compares with a value computed
    another way, never with the answer itself. `check.verdict(answer)` returns the line, for tests.
    """

    @functools.wraps(check)
    def verdict(*answers) -> str:
        try:
            if any(is_empty(answer) for answer in answers):
                return UNANSWERED
            guarded = [_guard(a) if isinstance(a, types.FunctionType) else a for a in answers]
            mistake = check(*guarded)
        except (Unanswered, NotImplementedError):
            return UNANSWERED
        except AnswerFailed as failed:
            return str(failed)
        except Exception as error:  # the check could not use what came back
            return f"this answer cannot be used: {type(error).__name__}: {first_line(error)}"
        return RIGHT if mistake is None else mistake

    @functools.wraps(check)
    def ask(*answers) -> None:
        said = verdict(*answers)
        print(textwrap.fill(said, 96))  # a notebook would break the line within a word
        if said != UNANSWERED and (class_dir() / KEEP).exists():
            lesson = check.__module__.split(".")[-2].removeprefix("lesson")
            Store(ACTIVITY).add(f"{lesson}.{check.__name__}", "", said)
            print("(kept for your class; `keep_checks(False)` ends that)")

    ask.verdict = verdict
    return ask


def keep_checks(yes: bool = True) -> None:
    """Keep from now on what checks say about your answers, for your class to see; False: no more.

    Nobody's are kept unless they call this. They lie in the class folder under its random number.
    """
    path = class_dir() / KEEP
    if yes:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("What checks say is kept, because keep_checks() was called.\n")
        print(f"From now on, what checks say is kept in {path.parent}, under a random number.")
    else:
        path.unlink(missing_ok=True)
        print("From now on, nothing that checks say is kept.")


def is_empty(answer) -> bool:
    """Whether a value is a stub's: `...`, None, or blank text."""
    return answer is ... or answer is None or (isinstance(answer, str) and not answer.strip())


def close(yours, expected, *, rtol: float = 1e-3, atol: float = 1e-5) -> bool:
    """Whether two numbers or tensors agree in shape and value; nan agrees with nan."""
    yours, expected = (torch.as_tensor(values).double().cpu() for values in (yours, expected))
    same = yours.shape == expected.shape
    return same and torch.allclose(yours, expected, rtol=rtol, atol=atol, equal_nan=True)


def compare(yours, right, mistakes=None, *, otherwise="", rtol=1e-3, atol=1e-5) -> str | None:
    """None where `yours` is `right`, else one line: a wrong shape, a named mistake, or both values.

    mistakes: {hint: the wrong value that it explains}, or {hint: [several such values]}; the first
    that agrees with `yours` is taken. otherwise: the line where none does.
    """
    yours, right = torch.as_tensor(yours), torch.as_tensor(right)
    if yours.shape != right.shape:
        expected = f"the shape {tuple(right.shape)}" if right.ndim else "one number"
        return f"{expected} is expected; yours has the shape {tuple(yours.shape)}"
    if close(yours, right, rtol=rtol, atol=atol):
        return None
    for hint, wrong in (mistakes or {}).items():
        values = wrong if isinstance(wrong, list) else [wrong]
        if any(close(yours, value, rtol=rtol, atol=atol) for value in values):
            return hint
    return otherwise or f"{_written(right)} is expected; yours gives {_written(yours)}"


def _written(values: torch.Tensor) -> str:
    """A number or a few of them, for a line of print."""
    flat = [f"{value:.4g}" for value in values.double().flatten().tolist()[:8]]
    more = ", …" if values.numel() > 8 else ""
    return f"[{', '.join(flat)}{more}]" if values.ndim else flat[0]


def _guard(function: types.FunctionType) -> Callable:
    """The learner's function, except that it raises Unanswered or AnswerFailed."""

    @functools.wraps(function)
    def guarded(*args, **kwargs):
        try:
            result = function(*args, **kwargs)
        except NotImplementedError:
            raise Unanswered from None
        except Exception as error:
            raise AnswerFailed(_where(function, error)) from None
        if is_empty(result):
            raise Unanswered
        return result

    return guarded


def _where(function: types.FunctionType, error: Exception) -> str:
    """One line: what was raised, and where: the deepest frame in the learner's own cell."""
    home = function.__code__.co_filename
    own = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == home]
    what = f"{type(error).__name__}: {first_line(error)}"
    if not own:  # it could not even be called: too many or too few arguments
        return f"your function cannot be called as the exercise says: {what}"
    code = linecache.getline(home, own[-1].lineno).strip()
    place = f"its line `{code}`" if code else f"line {own[-1].lineno}"
    if "does not require grad" in what:  # PyTorch's words do not say what to do
        what = "an error: no gradient was asked for (x.requires_grad_() before the model sees x)"
    return f"your code raises {what}, in {place}"
