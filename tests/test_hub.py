"""Source `hub` without a network ends in one line; no lesson needs what Colab lacks."""

import ast
import functools
import json
import re
import socket
import sys
from importlib.metadata import packages_distributions

import pytest

from helpers.ground import ROOT, runtime

NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
ONLY_THE_SERVER = {"jupyterlab", "nbval", "nbclient", "nbformat", "pytest", "pytest-xdist"}
COME_ALONG = {
    "huggingface-hub": "transformers",
    "ipython": "ipykernel",
}  # not listed themselves: these bring them


def listed() -> set[str]:
    """The packages of requirements.txt that a lesson may count on."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return {
        _plain(re.split("[=>]", line)[0]) for line in lines if line and not line.startswith("#")
    } - ONLY_THE_SERVER


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def cells(path):
    return [
        "".join(cell["source"])
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
        if cell["cell_type"] == "code"
    ]


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    """No connection can be made, nothing fetched earlier is found, and the source is `hub`."""

    def refuse(*_, **__):
        raise OSError("Network is unreachable")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(
        "huggingface_hub.constants.HF_HUB_OFFLINE", True
    )  # or it tries five times, with pauses
    monkeypatch.setenv("COURSE_SOURCE", "hub")
    monkeypatch.delenv("COURSE_TEST", raising=False)
    monkeypatch.setattr(runtime, "_course", None)  # put back afterwards
    runtime.setup(source="hub", scale="small", quiet=True)


def uses():
    """(what, where it stands) of every call of hub_or_packaged, in lessons and library."""
    places = [(path.stem, code) for path in NOTEBOOKS for code in cells(path)]
    places += [
        (path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
        for path in sorted((ROOT / "helpers").rglob("*.py"))
    ]
    return [
        (constant(code, what), where)
        for where, code in places
        for what in re.findall(r"(?<!def )hub_or_packaged\(\s*f?(\"[^\"]+\"|\w+)", code)
    ]


def constant(code: str, name: str) -> str:
    """The text that stands there, or that the name was given: `sst = "…"`."""
    found = name if name[0] == '"' else re.search(rf'^{name} = ("[^"]+")$', code, re.M)[1]
    return found.strip('"')


def resnet():
    from helpers.pretrained import imagenet

    return imagenet.network


def sst():
    from helpers.attention import data as make

    return lambda: runtime.hub_or_packaged(
        "Stanford Sentiment Treebank", make.sst, lambda: "packaged"
    )


def clip():
    """Lesson 02's own cell, up to the call."""
    from types import SimpleNamespace

    from helpers.clip import maps, model

    (cell,) = (
        cell
        for path in NOTEBOOKS
        if path.name.startswith("02")
        for cell in cells(path)
        if "hub_or_packaged(" in cell
    )
    space = {"clip": model, "course": SimpleNamespace(device="cpu")}
    space |= {"partial": functools.partial, "maps": maps, "who": ["Who?"]}
    exec(cell.partition("weights = ")[0], space)
    return lambda: space["big"]


def lesson_11():
    from notebooks.support.lesson11 import hub

    return lambda: runtime.hub_or_packaged(GELU, hub.gelu_1l, lambda: "packaged")


GELU = "gelu-1l dictionary of NeelNanda/sparse_autoencoder"
TRIED = {
    "ResNet-50": resnet,
    "Stanford Sentiment Treebank": sst,
    "CLIP ViT-B/16 (openai)": clip,
    GELU: lesson_11,
}


@pytest.mark.parametrize("what", TRIED)
def test_without_a_network_one_line_says_what_is_used(what, no_network, capsys):
    assert TRIED[what]()() is not None
    out, err = capsys.readouterr()
    said = out.strip().splitlines()
    assert (len(said), err) == (1, ""), (out, err)
    assert re.fullmatch(
        rf"{re.escape(what)}: could not be loaded from the hub \(\w+: .+\); "
        "the packaged stand-in is used",
        said[0],
    )


def test_every_use_of_the_hub_is_tried_here():
    assert {what for what, _ in uses()} == set(TRIED), uses()


# ---- Colab


def imported(code: str) -> set[str]:
    """The packages that a piece of code imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module.partition(".")[0])
    return found - {"helpers", "notebooks"} - sys.stdlib_module_names


_distributions = functools.cache(packages_distributions)  # reads every installed package


def unknown(packages: set[str], known: set[str]) -> list[str]:
    """Those of the imported packages that no list names."""
    distributions, missing = _distributions(), []
    for package in packages:
        names = {_plain(name) for name in distributions.get(package, [package])}
        if not (names | {COME_ALONG.get(name) for name in names}) & known:
            missing.append(package)
    return missing


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_lesson_imports_only_what_its_set_up_cell_provides(path):
    """In Colab: what it has and what requirements-colab.txt adds: all but the server's."""
    assert unknown(set().union(*map(imported, cells(path))), listed()) == []


def test_so_does_the_library_but_for_what_it_says_is_optional():
    known = listed() | {
        "jupyter-client",
        "nbformat",
        "nbclient",
        "psutil",
    }  # the recorder's and the benchmarks'
    for path in (ROOT / "helpers").rglob("*.py"):
        packages = imported(path.read_text(encoding="utf-8")) - {
            "transformer_lens"
        }  # sae/hub.py says how to get it
        assert unknown(packages, known) == [], path
    assert unknown({"transformer_lens", "torch"}, known) == ["transformer_lens"]
