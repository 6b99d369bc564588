"""Copies for a class: every solution passes its check, and other tools open what is exported."""

import ast
import contextlib
import io
import json
import os
import subprocess
import venv
from pathlib import Path

import nbformat
import pytest
import torch

from helpers.ground import ROOT
from helpers.ground.errors import CourseError
from helpers.lesson.checks import RIGHT, UNANSWERED
from tests.authoring import classroom, copies

LESSONS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
lessons = pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)


def opened(path):
    return nbformat.read(path, as_version=4)


def names(path) -> dict:
    """What the lesson has imported, and what a check is given."""
    code = [cell for cell in opened(path).cells if cell.cell_type == "code"]
    code = [cell.source for cell in code if "setup" not in cell.metadata.get("tags", [])]
    nodes = [node for cell in code for node in ast.parse(cell).body]
    imports = [node for node in nodes if isinstance(node, (ast.Import, ast.ImportFrom))]
    space = {"acts_sample": torch.randn(256, 512, generator=torch.Generator().manual_seed(0))}
    exec(compile(ast.Module(imports, []), path.name, "exec"), space)
    return space


def printed(code: str, space: dict) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(code, space)
    return out.getvalue()


# need the lesson's own data: tests/support/test_lesson04.py, test_lesson02.py
TRAINS = {"long_vectors", "combine"}


@lessons
def test_every_solution_passes_its_check_and_every_stub_is_not_answered_yet(path):
    found = copies.exercises(opened(path))
    assert len(found) >= 3
    for exercise in found:
        if exercise.check in TRAINS:
            continue
        if exercise.check != "mend":  # the slide's own code is an answer, and wrong
            stub = f"{exercise.stub}\n{exercise.call}"
            assert printed(stub, names(path)).startswith(UNANSWERED)
        filled = f"{exercise.solution}\n{exercise.call}\n{exercise.assertion}"
        assert printed(filled, names(path)).startswith(RIGHT), exercise.check


@lessons
def test_a_students_copy_has_no_solution_no_output_and_all_the_rest(path):
    lesson, made = opened(path), copies.without_solutions(opened(path))
    text = json.dumps(made)
    assert "<summary>Solution" not in text
    for exercise in copies.exercises(lesson):
        assert exercise.solution not in "\n".join(cell.source for cell in made.cells)
    code = [cell for cell in made.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code)
    assert [cell.source for cell in code] == [
        cell.source for cell in lesson.cells if cell.cell_type == "code"
    ]
    assert text.count("<summary>Hint") == json.dumps(lesson).count("<summary>Hint")
    assert text.count("<details>") == text.count("</details>")
    nbformat.validate(made)


@lessons
def test_a_filled_copy_differs_in_the_exercises_only(path):
    lesson, made = opened(path), copies.with_solutions(opened(path))
    changed = [
        number
        for number, (a, b) in enumerate(zip(lesson.cells, made.cells, strict=True))
        if a.source != b.source
    ]
    assert changed == [exercise.cell for exercise in copies.exercises(lesson)]


def test_copies_go_beside_the_lessons_and_never_over_them(tmp_path, capsys):
    classroom.main(["student", "7", "--folder", str(tmp_path / "out")])
    assert [path.name[:2] for path in (tmp_path / "out").glob("*.ipynb")] == ["07"]
    assert (tmp_path / "out" / "GLOSSARY.md").exists()
    with pytest.raises(CourseError, match="name another folder"):
        classroom.main(["student", "--folder", str(ROOT / "notebooks")])
    with pytest.raises(CourseError, match="no lesson 77"):
        classroom.main(["student", "77", "--folder", str(tmp_path)])


@pytest.mark.long
def test_a_lesson_with_its_solutions_runs(tmp_path):
    """07 through the whole machinery; what is right prints a tick, and nothing is unanswered."""
    (path,) = copies.write("solutions", tmp_path, ["07"])
    lines = [
        output.get("text", "")
        for cell in opened(path).cells
        if cell.cell_type == "code" and copies.CALL.search(cell.source)
        for output in cell.outputs
    ]
    assert [line[0] for line in lines] == [RIGHT] * 3


# ---- other tools, in environments of their own: they pin what the course does not


@pytest.fixture(scope="module")
def tool(tmp_path_factory):
    """tool(requirement, command): the path of a command of a package, freshly installed."""

    def install(requirement: str, command: str) -> Path:
        home = tmp_path_factory.mktemp(command)
        venv.create(home, with_pip=True)
        scripts = home / ("Scripts" if os.name == "nt" else "bin")
        pip = [scripts / "python", "-m", "pip", "install", "-q", requirement]
        done = subprocess.run(pip, capture_output=True, text=True, check=False)
        if done.returncode and not os.environ.get("CI"):
            pytest.skip(f"{requirement} cannot be installed: {done.stderr.strip()[-200:]}")
        assert not done.returncode, done.stderr
        return scripts / command

    return install


def run(*command, at: Path) -> str:
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    env["PATH"] = f"{Path(command[0]).parent}{os.pathsep}{env['PATH']}"
    done = subprocess.run(command, cwd=at, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def is_released(path: Path, lesson: Path) -> None:
    """A file that a tool made: valid, each stub there, no solution left."""
    made = opened(path)
    nbformat.validate(made)
    text = "\n".join(cell.source for cell in made.cells)
    for exercise in copies.exercises(opened(lesson)):
        assert exercise.stub in text
        assert exercise.solution not in text


@pytest.mark.long
def test_otter_assigns_every_lesson(tmp_path, tool):
    otter = tool("otter-grader>=7,<8", "otter")
    for path in copies.write("otter", tmp_path, []):
        run(otter, "assign", path.name, f"dist/{path.stem}", at=tmp_path)
        lesson = ROOT / "notebooks" / path.name
        is_released(tmp_path / "dist" / path.stem / "student" / path.name, lesson)
        grading = tmp_path / "dist" / path.stem / "autograder"
        assert list(grading.glob("*.zip"))
        released = opened(tmp_path / "dist" / path.stem / "student" / path.name)
        checked = [cell for cell in released.cells if cell.source.startswith("grader.check(")]
        assert len(checked) == len(copies.exercises(opened(lesson)))


@pytest.mark.long
def test_nbgrader_generates_every_lesson(tmp_path, tool):
    nbgrader = tool("nbgrader==0.9.6", "nbgrader")
    for path in copies.write("nbgrader", tmp_path, []):
        run(nbgrader, "generate_assignment", path.stem, "--create", at=tmp_path)
        released = tmp_path / "release" / path.stem / path.name
        is_released(released, ROOT / "notebooks" / path.name)
        cells = [cell for cell in opened(released).cells if "nbgrader" in cell.metadata]
        points = [cell.metadata.nbgrader.get("points", 0) for cell in cells]
        assert sum(points) == len(copies.exercises(opened(ROOT / "notebooks" / path.name)))
