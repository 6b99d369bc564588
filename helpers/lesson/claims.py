"""`claim`: a sentence of the slides, what was measured here, and the bound within which it holds."""

from __future__ import annotations

import math
import operator
import re

from helpers.ground.errors import CourseError
from helpers.ground.runtime import current

_NUMBER = r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?"
_COMPARE = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": lambda a, b: math.isclose(a, b, rel_tol=1e-6),
}


def claim(
    text: str,
    measured: float,
    bound: str,
    *,
    slide: str,
    paper: float | None = None,
    source: str | None = None,
    band: tuple[float, float] | None = None,
) -> None:
    """Print one line, `✓ text: 0.82 (> 0.65) · D1-09`, and leave it in the notebook for the ledger.

    measured: a number, or a tensor with one. bound: "> 0.65", "<= 3", "0.3 .. 0.5", "== 2", or "differs", which needs
    `paper` and a `band` round it and holds (≠) only outside that band. paper: the paper's own number and nothing else;
    source: where it stands. A claim that does not hold prints ✗ and the lesson goes on; under the test command it fails.
    """
    measured = float(measured)
    kept = holds(measured, bound, paper=paper, band=band)
    mark = "✗" if not kept else "≠" if bound == "differs" else "✓"
    reason = (
        f"paper {digits(paper)}, band {digits(band[0])} .. {digits(band[1])}"
        if bound == "differs"
        else bound
    )
    line = f"{mark} {text}: {digits(measured)} ({reason}) · {slide}"
    _show(
        line,
        {
            "text": text,
            "measured": digits(measured),
            "bound": reason if bound == "differs" else bound,
            "mark": mark,
            "slide": slide,
            "paper": None if paper is None else digits(paper),
            "source": source,
            "scale": current().scale,
        },
    )
    if not kept and current().testing:
        raise AssertionError(f"this claim does not hold: {line}")


def holds(
    measured: float,
    bound: str,
    *,
    paper: float | None = None,
    band: tuple[float, float] | None = None,
) -> bool:
    """Whether a number lies within a bound as `claim` writes it; nan never does. Raises CourseError for another bound."""
    if bound == "differs":
        if paper is None or band is None or not band[0] <= paper <= band[1]:
            raise CourseError(
                f'"differs" needs the paper\'s number and a band round it; got paper={paper}, band={band}.'
            )
        return math.isfinite(measured) and not band[0] <= measured <= band[1]
    if match := re.fullmatch(rf"({_NUMBER}) \.\. ({_NUMBER})", bound):
        return float(match[1]) <= measured <= float(match[2])
    if match := re.fullmatch(rf"(>=|<=|==|>|<) ({_NUMBER})", bound):
        return bool(_COMPARE[match[1]](measured, float(match[2])))
    raise CourseError(
        f'A bound reads "> 0.65", "<= 3", "0.3 .. 0.5", "== 2" or "differs"; got {bound!r}.'
    )


def digits(number: float) -> str:
    """At most three digits that count: 0.8249 → "0.825", 12345 → "12,300", 0.00004 → "4e-05"."""
    number = float(number)
    if not math.isfinite(number):
        return str(number)
    if abs(number) >= 999.5:
        return f"{float(f'{number:.3g}'):,.0f}"
    return f"{number:.3g}"


def _show(line: str, record: dict) -> None:
    """In a notebook the record travels in the output's metadata, which readers and nbval do not look at."""
    try:
        from IPython import get_ipython

        shell = get_ipython()
    except ImportError:
        shell = None
    if hasattr(shell, "kernel"):
        shell.display_pub.publish({"text/plain": line}, metadata={"claim": record})
    else:
        print(line)
