"""Who may import whom: arrows go down only, in no circle, and a subject loads no machinery."""

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from helpers.ground import ROOT

DATA = {"datasets", "nets", "pretrained", "ground"}
FRONT = {"__main__", "cli", "environment", "doctor"}
MAY = {  # package of helpers/: what it may import besides itself
    "ground": set(),
    "lesson": {"ground"},
    "datasets": {"ground"},
    "nets": {"ground", "datasets"},
    "pretrained": {"ground", "datasets"},
    "saliency": DATA,
    "attention": DATA,
    "transformer": DATA,
    "clip": DATA | {"saliency"},
    "sae": DATA | {"transformer"},
    **dict.fromkeys(FRONT, FRONT | {"ground"}),
}
AUTHORS = ("data.recipes", "tests")  # who reads notebooks/ or helpers/ never needs these


def tracked(pattern: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", pattern],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\n")
    return [ROOT / line for line in listed if line and (ROOT / line).exists()]


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(code: str) -> set[str]:
    """Every module of the course that the code imports, also inside functions and for types only.

    `from helpers.lesson import plots` names a module, `from helpers.lesson.plots import bars` what
    is in one: both are given as the longest path that is a file of the course.
    """
    names = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    ours = {
        name for name in names if name.split(".")[0] in ("helpers", "notebooks", "data", "tests")
    }
    return {name if is_module(name) else name.rpartition(".")[0] for name in ours}


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


HELPERS = {
    module_of(path): imports(path.read_text(encoding="utf-8")) for path in tracked("helpers/*.py")
}


def package(module: str) -> str:
    """The package of helpers/ to which a module belongs."""
    return module.split(".")[1] if "." in module else ""


@pytest.mark.parametrize("module", HELPERS)
def test_helpers_import_downwards_only(module):
    for imported in HELPERS[module]:
        assert imported.startswith("helpers."), f"helpers never imports {imported}"
        allowed = MAY[package(module)] | {package(module)} if package(module) else set()
        assert package(imported) in allowed, f"{module} imports {imported}"


def test_no_module_imports_itself_by_a_detour():
    try:
        order = list(TopologicalSorter(HELPERS).static_order())
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))
    assert len(order) >= len(HELPERS)


@pytest.mark.parametrize("path", tracked("notebooks/support/*.py"), ids=module_of)
def test_a_lessons_support_imports_helpers_and_its_own_lesson(path):
    lesson = path.relative_to(ROOT / "notebooks" / "support").parts[0].removesuffix(".py")
    for imported in imports(path.read_text(encoding="utf-8")):
        own = imported.startswith(f"notebooks.support.{lesson}")
        assert own or imported.startswith("helpers."), f"{module_of(path)} imports {imported}"


@pytest.mark.parametrize("path", tracked("notebooks/*.ipynb"), ids=lambda path: path.stem)
def test_a_learner_imports_nothing_of_the_authors(path):
    text = path.read_text(encoding="utf-8")
    assert not [name for name in AUTHORS if f"from {name}" in text or f"import {name}" in text]


@pytest.mark.parametrize("subject", ["saliency", "attention", "transformer", "sae", "clip"])
def test_a_subject_loads_no_widgets_and_no_environment_maker(subject):
    code = f"import helpers.{subject}, sys; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    unwanted = {"ipywidgets", "IPython", "matplotlib", "venv", "helpers.cli", "helpers.environment"}
    assert not loaded & unwanted
    assert not [name for name in loaded if name.startswith("helpers.lesson")]
