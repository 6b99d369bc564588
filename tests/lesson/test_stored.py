"""Where a network is missing, cells show what is stored; where it is back, they run."""

import json

import pytest
from IPython.core.interactiveshell import InteractiveShell

from helpers.ground.errors import CourseError
from helpers.lesson import stored


@pytest.fixture
def shell(tmp_path, monkeypatch):
    picture = {
        "output_type": "display_data",
        "data": {"text/plain": "<figure>"},
        "metadata": {},
    }
    line = {"output_type": "stream", "name": "stdout", "text": ["as stored\n"]}
    cells = [
        {"cell_type": "code", "source": ["net = loaded('90', load)"], "outputs": [line]},
        {
            "cell_type": "code",
            "source": ["print(net", ".name)"],
            "outputs": [line, picture],
        },
        {"cell_type": "markdown", "source": ["print(1)"]},
    ]
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "90_x.ipynb").write_text(json.dumps({"cells": cells}))
    shell = InteractiveShell()
    monkeypatch.setattr(stored, "ROOT", tmp_path)
    monkeypatch.setattr(stored, "get_ipython", lambda: shell)
    shell.user_ns |= {"loaded": stored.loaded, "load": missing}
    return shell


class Net:
    name = "alive"


def missing():
    raise CourseError("The package is missing: install it.")


def said(shell, cell, capsys):
    result = shell.run_cell(cell)
    result.raise_error()
    return capsys.readouterr().out


def test_a_missing_network_shows_stored_outputs_until_it_is_there(shell, capsys, monkeypatch):
    shown = []
    monkeypatch.setattr(stored, "publish_display_data", lambda data, **_: shown.append(data))
    told, own = said(shell, "net = loaded('90', load)", capsys).splitlines()
    assert told.startswith("The package is missing: install it. Until then, the next cells show")
    assert own == "as stored"
    assert said(shell, "net = loaded( '90', load)", capsys).count("\n") == 1  # a changed cell
    assert said(shell, "print(net.name)", capsys) == "as stored\n"
    assert shown == [{"text/plain": "<figure>"}]
    assert said(shell, "print(2)", capsys) == "2\n"  # a cell of the learner's own runs
    shell.user_ns["load"] = Net
    assert said(shell, "net = loaded('90', load)", capsys) == ""
    assert said(shell, "print(net.name)", capsys) == "alive\n"


def test_outside_a_notebook_it_is_the_line_alone(monkeypatch, capsys):
    monkeypatch.setattr(stored, "get_ipython", lambda: None)
    assert stored.loaded("12", missing) is None
    assert "The package is missing" in capsys.readouterr().out
    assert stored.loaded("12", lambda a, b: a + b, 1, b=2) == 3
