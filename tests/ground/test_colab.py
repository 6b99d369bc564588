"""What Colab lacks is installed and nothing else; a newer Colab says so; elsewhere a sentence."""

import re
from importlib.metadata import version
from types import SimpleNamespace

import pytest

from helpers.ground import ROOT, colab
from helpers.ground.errors import CourseError


@pytest.fixture
def course(tmp_path, monkeypatch):
    """Sets up a course that needs these packages; returns the calls of pip."""
    calls = []

    def needs(*lines, in_colab=True):
        text = "\n".join(["# packages", *lines])
        (tmp_path / "requirements-colab.txt").write_text(text, encoding="utf-8")
        (tmp_path / "requirements-networks.txt").write_text("", encoding="utf-8")
        monkeypatch.setattr(colab, "in_colab", lambda: in_colab)
        return tmp_path

    def pip(command):
        calls.append(command)
        return SimpleNamespace(returncode=1)

    monkeypatch.setattr(colab.subprocess, "run", pip)
    monkeypatch.setattr(colab, "TESTED", {})
    needs.calls = calls
    return needs


def test_what_is_there_is_left_alone(course, capsys):
    colab.complete(course("numpy>=1.0", "torch  # with a comment"))
    assert not course.calls
    assert capsys.readouterr().out == ""


def test_only_what_is_missing_is_asked_of_pip_and_a_failure_says_what_to_do(course):
    with pytest.raises(CourseError, match="Installing no-such-package==1 failed: check the conn"):
        colab.complete(course("numpy>=1.0", "no-such-package==1"))
    (command,) = course.calls
    assert command[-1] == "no-such-package==1"
    assert "numpy>=1.0" not in command


def test_a_withdrawn_network_is_one_line_and_the_lesson_goes_on(course, capsys):
    root = course("numpy>=1.0")
    (root / "requirements-networks.txt").write_text("withdrawn==0.1\nnumpy>=1.0\n")
    colab.complete(root)
    (command,) = course.calls
    assert command[-2:] == ["--no-deps", "withdrawn==0.1"]
    assert "withdrawn==0.1 is left out: lessons that use it show" in capsys.readouterr().out


def test_elsewhere_the_command_that_installs_is_named(course):
    with pytest.raises(CourseError, match="lacks no-such-package: .*`python -m helpers lab`"):
        colab.complete(course("no-such-package", in_colab=False))
    assert not course.calls


@pytest.mark.parametrize(
    ("tested", "line"),
    [
        ({"numpy": "1.26.4"}, "newer than the one the course was tested in: numpy {}.\n"),
        ({"numpy": "999.0"}, ""),
        ({"numpy": version("numpy")}, ""),
    ],
)
def test_a_newer_colab_says_so_in_one_line_and_goes_on(course, monkeypatch, capsys, tested, line):
    monkeypatch.setattr(colab, "TESTED", tested)
    colab.complete(course())
    assert capsys.readouterr().out.endswith(line.format(version("numpy")))
    colab.complete(course(in_colab=False))
    assert capsys.readouterr().out == ""


def test_it_was_tested_with_the_versions_that_the_simulated_colab_has():
    pins = (ROOT / "tests" / "colab_pins.txt").read_text(encoding="utf-8")
    pins += (ROOT / "tests" / "test_colab.py").read_text(encoding="utf-8")
    for package, number in colab.TESTED.items():
        assert re.search(rf'{package}("?: "|==){re.escape(number)}\b', pins), package


@pytest.mark.parametrize(
    ("requirement", "met"),
    [("numpy", True), ("numpy>=1.0", True), ("numpy>=999.1", False), ("no-such-package", False)],
)
def test_is_met(requirement, met):
    assert colab.is_met(requirement) is met
