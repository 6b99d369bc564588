"""`claim`: a sentence of the slides, what was measured here, and the bound that it keeps."""

import math
import operator
import re
from collections.abc import Sequence
from typing import TypedDict

from IPython import get_ipython

from helpers.ground.errors import CourseError, checked
from helpers.ground.runtime import current

METADATA = "claim"  # the key under which an output carries its Claim
NOT_JUDGED = "–"
HERE = ("small packaged",)  # the scale and source that bounds are set at
_NUMBER = r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?"
_COMPARE = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}
_COMPARE["=="] = lambda a, b: math.isclose(a, b, rel_tol=1e-6)


class Claim(TypedDict):
    """What a printed claim leaves in its output's metadata, for the ledger."""

    text: str
    measured: str  # the number as printed
    bound: str
    mark: str  # ✓ holds, ✗ does not, ≠ differs from the paper as expected, – not judged here
    slide: str
    paper: str | None  # the paper's number as printed
    source: str | None  # where the paper's number stands
    scale: str  # at which this was measured
    data: str  # "packaged" or "hub"


@checked
def claim(
    text: str, measured, bound: str, *, slide, paper=None, source=None, band=None, measured_at=HERE
) -> None:
    """Print one line, `✓ text: 0.82 (> 0.65; paper 0.888) · D1-09`, and leave it for the ledger.

    measured: a number, or a tensor with one. bound: "> 0.65", "<= 3", "0.3 .. 0.5", "== 2", or
    "differs", which needs `paper` and a `band` round it and holds (≠) only outside that band.
    paper: the paper's own number and nothing else; source: where it stands. measured_at: the scales
    and sources at which the bound was set; elsewhere the line says "not judged here". A claim that
    does not hold prints ✗ and the lesson goes on; under the test command it fails.
    """
    try:
        measured, paper = float(measured), paper if paper is None else float(paper)
    except (TypeError, ValueError, RuntimeError) as error:
        given = f"{measured!r:.60} and {paper!r:.60}"
        raise CourseError(f"A claim and its paper measure one number, not {given}.") from error
    course = current()
    judged = f"{course.scale} {course.source}" in measured_at
    kept = holds(measured, bound, paper=paper, band=band)
    holding = "≠" if bound == "differs" else "✓"
    if bound == "differs":
        bound = f"paper {digits(paper)}, band {digits(band[0])} .. {digits(band[1])}"
    reason = bound if judged else "not judged here"
    if paper is not None and not reason.startswith("paper"):
        reason += f"; paper {digits(paper)}"
    mark = (holding if kept else "✗") if judged else NOT_JUDGED
    numbers = {"measured": digits(measured), "paper": None if paper is None else digits(paper)}
    where = {"slide": slide, "source": source, "scale": course.scale, "data": course.source}
    record = Claim(text=text, bound=bound, mark=mark, **numbers, **where)
    line = f"{mark} {text}: {digits(measured)} ({reason}) · {slide}"
    shell = get_ipython()
    if hasattr(shell, "kernel"):  # in the output's metadata, which readers do not see
        shell.display_pub.publish({"text/plain": line}, metadata={METADATA: record})
    else:
        print(line)
    if judged and not kept and course.testing:
        raise AssertionError(f"this claim does not hold: {line}")


def holds(measured: float, bound: str, *, paper: float | None = None, band=None) -> bool:
    """Whether a number lies within a bound as `claim` writes it; nan never does."""
    if bound == "differs":
        if paper is None or not isinstance(band, Sequence) or not band[0] <= paper <= band[1]:
            given = f"got paper={paper}, band={band}"
            raise CourseError(f'"differs" needs the paper\'s number and a band round it; {given}.')
        return math.isfinite(measured) and not band[0] <= measured <= band[1]
    if match := re.fullmatch(rf"({_NUMBER}) \.\. ({_NUMBER})", bound):
        return float(match[1]) <= measured <= float(match[2])
    if match := re.fullmatch(rf"(>=|<=|==|>|<) ({_NUMBER})", bound):
        return bool(_COMPARE[match[1]](measured, float(match[2])))
    known = '"> 0.65", "<= 3", "0.3 .. 0.5", "== 2" or "differs"'
    raise CourseError(f"A bound reads {known}; got {bound!r}.")


def digits(number: float) -> str:
    """At most three digits that count: 0.8249 → "0.825", 12345 → "12,300", 0.00004 → "4e-05"."""
    number = float(number)
    if not math.isfinite(number):
        return str(number)
    if abs(number) >= 999.5:
        return f"{float(f'{number:.3g}'):,.0f}"
    return f"{number:.3g}"
