"""What `claim` prints, when it holds, and that a broken one fails under the test command only."""

import math
import re
from types import SimpleNamespace

import pytest
import torch

from helpers.ground import runtime
from helpers.ground.errors import CourseError
from helpers.lesson import claims
from helpers.lesson.claims import claim, digits, holds


@pytest.mark.parametrize(
    ("measured", "bound", "expected"),
    [
        (0.82, "> 0.65", True),
        (0.65, "> 0.65", False),
        (0.65, ">= 0.65", True),
        (0.1, "< 0.1", False),
        (0.1, "<= 0.1", True),
        (0.4, "0.3 .. 0.5", True),
        (0.51, "0.3 .. 0.5", False),
        (-0.2, "-0.3 .. 0.5", True),
        (2, "== 2", True),
        (2.1, "== 2", False),
        (3e-6, "< 1e-5", True),
        (math.nan, "> 0", False),
        (math.nan, "< 0", False),
        (math.nan, "0 .. 1", False),
        (math.inf, "> 1", True),
    ],
)
def test_bounds(measured, bound, expected):
    assert holds(measured, bound) is expected


@pytest.mark.parametrize(
    ("measured", "expected"),
    [(0.5, True), (0.95, True), (0.8, False), (0.7, False), (math.nan, False)],
)
def test_differs_holds_only_outside_the_band(measured, expected):
    assert holds(measured, "differs", paper=0.8, band=(0.7, 0.9)) is expected


@pytest.mark.parametrize("bound", ["0.5", "about 3", ">0.5", "> x", "0.3 to 0.5", ""])
def test_another_bound_is_explained(bound):
    with pytest.raises(CourseError, match="A bound reads"):
        holds(1.0, bound)


@pytest.mark.parametrize(
    "given", [{}, {"paper": 0.5}, {"band": (0, 1)}, {"paper": 0.5, "band": (0.6, 0.7)}]
)
def test_differs_needs_the_papers_number_inside_its_band(given):
    with pytest.raises(CourseError, match="needs the paper's number and a band round it"):
        holds(1.0, "differs", **given)


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (0.8249, "0.825"),
        (12345, "12,300"),
        (999.6, "1,000"),
        (1000, "1,000"),
        (0.00004, "4e-05"),
        (2, "2"),
        (-0.5, "-0.5"),
        (math.nan, "nan"),
        (True, "1"),
        (torch.tensor(0.123456), "0.123"),
    ],
)
def test_at_most_three_digits(number, expected):
    assert digits(number) == expected


SENTENCE = {"text": "maps agree", "measured": 0.5, "bound": "> 0.65", "slide": "D1-09"}
FAILED = "✗ maps agree: 0.5 (> 0.65) · D1-09"


@pytest.fixture
def at(monkeypatch):
    """Sets up at a scale and a source, under the test command or not."""

    def set_up(scale="small", source="packaged", testing="1"):
        monkeypatch.setattr(runtime, "_course", None)
        for name, value in (("SCALE", scale), ("SOURCE", source), ("TEST", testing)):
            monkeypatch.setenv(f"COURSE_{name}", value)

    set_up()
    return set_up


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({}, "✓ maps agree: 0.825 (> 0.65) · D1-09"),
        ({"paper": 0.888}, "✓ maps agree: 0.825 (> 0.65; paper 0.888) · D1-09"),
        (
            {"bound": "differs", "paper": 0.888, "band": (0.85, 0.95)},
            "≠ maps agree: 0.825 (paper 0.888, band 0.85 .. 0.95) · D1-09",
        ),
    ],
)
def test_the_line(capsys, at, given, line):
    claim(**SENTENCE | {"measured": torch.tensor(0.8249)} | given)
    assert capsys.readouterr().out == line + "\n"


def test_a_broken_claim_fails_under_the_test_command_and_is_printed_otherwise(at, capsys):
    with pytest.raises(AssertionError, match=re.escape(FAILED)):
        claim(**SENTENCE)
    assert capsys.readouterr().out == FAILED + "\n"
    at(testing="0")
    claim(**SENTENCE)
    assert capsys.readouterr().out == FAILED + "\n"


@pytest.mark.parametrize(
    "where", [("full", "packaged"), ("small", "hub"), ("full", "hub"), ("tiny", "packaged")]
)
def test_a_bound_that_was_never_measured_here_judges_nothing(at, capsys, where):
    at(*where)
    claim(**SENTENCE, paper=0.7)
    line = "– maps agree: 0.5 (not judged here; paper 0.7) · D1-09\n"
    assert capsys.readouterr().out == line
    with pytest.raises(AssertionError, match=re.escape(FAILED)):
        claim(**SENTENCE, measured_at=["small packaged", " ".join(where)])


def test_the_record_travels_in_the_outputs_metadata(at, monkeypatch):
    published = []
    pub = SimpleNamespace(publish=lambda data, metadata: published.append((data, metadata)))
    shell = SimpleNamespace(kernel=1, display_pub=pub)
    monkeypatch.setattr(claims, "get_ipython", lambda: shell)
    claim(**SENTENCE | {"measured": 0.8}, paper=0.888, source="Adebayo et al. 2018")
    ((data, metadata),) = published
    assert data == {"text/plain": "✓ maps agree: 0.8 (> 0.65; paper 0.888) · D1-09"}
    record = metadata[claims.METADATA]
    assert set(record) == set(claims.Claim.__annotations__)
    assert record["mark"] == "✓"
    assert (record["measured"], record["paper"]) == ("0.8", "0.888")
    assert (record["scale"], record["data"]) == ("small", "packaged")
