"""`python -m helpers class FORM [NN ...]`: copies of the lessons, all made from the lessons' cells.

student: without outputs and solutions. solutions: filled in and run. otter, nbgrader: master copies
for Otter-Grader 7 and nbgrader 0.9, whose own commands make what is handed out and graded.
"""

from __future__ import annotations

import ast
import copy
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_raw_cell

from helpers.ground import ROOT
from helpers.ground.errors import CourseError
from helpers.lesson.checks import RIGHT
from tests.authoring import execute
from tests.authoring.lessons import NOTEBOOKS

CALL = re.compile(r"^check\.(\w+)\((\w+).*\)$", re.M)
FOLD = re.compile(r"<details>\s*<summary>Solution</summary>.*?</details>\s*", re.S)
CODE = re.compile(r"```python\n(.*?)```", re.S)
NBGRADER_CONFIG = 'c = get_config()\nc.ClearSolutions.code_stub = {"python": "# your code above"}\n'


class Exercise(NamedTuple):
    """An exercise's cell, with the stub where the learner writes, and its folded solution."""

    cell: int  # the number of the cell with the check
    check: str  # the name of the check
    answer: str  # the name of what the learner writes
    call: str  # the line that calls the check
    before: str  # the cell's code in front of the stub
    stub: str  # what the learner replaces
    solution: str  # what replaces it

    @property
    def filled(self) -> str:
        """The cell with the solution in place of the stub."""
        return "\n\n".join(part for part in (self.before, self.solution, self.call) if part)

    @property
    def assertion(self) -> str:
        """A line that raises where the answer is not right."""
        return f"assert {self.call.replace('(', '.verdict(', 1)} == {RIGHT!r}"


def exercises(notebook: NotebookNode) -> list[Exercise]:
    """Every exercise of a lesson, in order. ValueError where one has no solution or no stub."""
    found = []
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type != "code" or not (call := CALL.search(cell.source)):
            continue
        rest = "\n".join(c.source for c in notebook.cells[number + 1 :])
        code = CODE.search(FOLD.search(rest)[0])[1].strip()
        lines = cell.source.splitlines()
        stubs = [n for n in ast.parse(cell.source).body if _is_stub(n, call)]  # one or several
        before = "\n".join(lines[: stubs[0].lineno - 1]).strip()
        left = "\n".join(lines[stubs[0].lineno - 1 : stubs[-1].end_lineno])
        if isinstance(stubs[0], ast.Assign):  # the answer is the text of a program
            code = f'{call[2]} = r"""\n{code}\n"""'
        found.append(Exercise(number, call[1], call[2], call[0], before, left, code))
    return found


def _is_stub(node: ast.stmt, call: re.Match) -> bool:
    """Whether the call hands it over: any function, or the first argument's text."""
    if isinstance(node, ast.FunctionDef):
        return node.name in re.findall(r"\w+", call[0].partition("(")[2])
    return isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == call[2]


# ---------------------------------------------------------------- the forms


def without_solutions(notebook: NotebookNode) -> NotebookNode:
    """No outputs, no counts, no folded solutions; hints stay."""
    made = copy.deepcopy(notebook)
    for cell in made.cells:
        if cell.cell_type == "markdown":
            cell.source = FOLD.sub("", cell.source).strip()
        else:
            cell.outputs, cell.execution_count = [], None
    made.cells = [cell for cell in made.cells if cell.source]
    return made


def with_solutions(notebook: NotebookNode) -> NotebookNode:
    """Every stub filled in by its solution; not run yet."""
    made = copy.deepcopy(notebook)
    for exercise in exercises(notebook):
        made.cells[exercise.cell].source = exercise.filled
    return made


def otter(notebook: NotebookNode) -> NotebookNode:
    """An Otter Assign master: a question an exercise, one point each, its check as the test."""

    def parts(exercise: Exercise) -> list[NotebookNode]:
        answer = f"{exercise.stub}\n\n# BEGIN SOLUTION\n{exercise.solution}\n# END SOLUTION"
        return [
            new_raw_cell(f"# BEGIN QUESTION\nname: {exercise.check}\npoints: 1"),
            new_raw_cell("# BEGIN SOLUTION"),
            new_code_cell(answer),
            new_raw_cell("# END SOLUTION"),
            new_raw_cell("# BEGIN TESTS"),
            new_code_cell(exercise.assertion),
            new_raw_cell("# END TESTS"),
            new_raw_cell("# END QUESTION"),
        ]

    made = _replaced(notebook, parts)
    settings = "# ASSIGNMENT CONFIG\ninit_cell: false\nexport_cell: true\nrun_tests: false"
    made.cells.insert(0, new_raw_cell(settings))
    return made


def nbgrader(notebook: NotebookNode) -> NotebookNode:
    """An nbgrader source notebook: an answer cell and a locked test cell of one point each."""

    def graded(source: str, name: str, **settings) -> NotebookNode:
        cell = new_code_cell(source)
        form = {"schema_version": 3, "grade": False, "solution": False, "task": False}
        cell.metadata.nbgrader = form | {"locked": False, "grade_id": name} | settings
        return cell

    def parts(exercise: Exercise) -> list[NotebookNode]:
        answer = f"{exercise.stub}\n\n### BEGIN SOLUTION\n{exercise.solution}\n### END SOLUTION"
        test = {"grade": True, "locked": True, "points": 1}
        return [
            graded(answer, exercise.check, solution=True),
            graded(exercise.assertion, f"test-{exercise.check}", **test),
        ]

    return _replaced(notebook, parts)


def _replaced(notebook: NotebookNode, parts: Callable) -> NotebookNode:
    """Without solutions, and `parts(exercise)` in each exercise cell's place."""
    found = {exercise.cell: exercise for exercise in exercises(notebook)}
    made = copy.deepcopy(notebook)
    made.cells = []
    for number, cell in enumerate(notebook.cells):
        if exercise := found.get(number):
            front = [new_code_cell(exercise.before)] if exercise.before else []
            again = new_code_cell(exercise.call)  # what the learner reads; the test is for grading
            made.cells += [*front, *parts(exercise), again]
        else:
            made.cells.append(cell)
    for cell in made.cells:
        cell.setdefault("id", nbformat.v4.new_code_cell().id)
    return without_solutions(made)


FORMS = {
    "student": without_solutions,
    "solutions": with_solutions,
    "otter": otter,
    "nbgrader": nbgrader,
}


def write(form: str, folder: Path, numbers: list[str]) -> list[Path]:
    """The lessons in this form, in a folder beside notebooks/; returns the files."""
    sources = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
    wanted = {number.zfill(2) for number in numbers} or {path.name[:2] for path in sources}
    if strange := wanted - {path.name[:2] for path in sources}:
        raise CourseError(f"There is no lesson {', '.join(sorted(strange))}.")
    if folder.resolve() == NOTEBOOKS.resolve():
        raise CourseError("The copies do not go where the lessons are: name another folder.")
    folder.mkdir(parents=True, exist_ok=True)
    for page in NOTEBOOKS.glob("*.md"):  # what the lessons link to
        shutil.copy(page, folder / page.name)
    shutil.copytree(NOTEBOOKS / "pictures", folder / "pictures", dirs_exist_ok=True)
    made = []
    for source in sources:
        if source.name[:2] in wanted:
            made.append(place(form, folder, source))
            nbformat.write(FORMS[form](nbformat.read(source, as_version=4)), made[-1])
            if form == "solutions":
                nbformat.write(execute.tidy(execute.run(made[-1], {}, inside=NOTEBOOKS)), made[-1])
            print(made[-1], flush=True)
    if form in ("student", "solutions") and ROOT not in folder.resolve().parents:
        print(f"To run, these copies must lie inside the course's folder: {ROOT}.")
    if form == "nbgrader":
        (folder / "nbgrader_config.py").write_text(NBGRADER_CONFIG, encoding="utf-8")
    return made


def place(form: str, folder: Path, source: Path) -> Path:
    """Where a lesson's copy goes: nbgrader wants source/ASSIGNMENT/NOTEBOOK."""
    if form != "nbgrader":
        return folder / source.name
    inside = folder / "source" / source.stem
    inside.mkdir(parents=True, exist_ok=True)
    return inside / source.name
