"""`make`: the list, unknown names, where it writes, and a killed run that goes on where it was."""

import os
import subprocess
import sys
import textwrap

import pytest
import torch

from data.recipes import make
from data.recipes.make import RECIPES, Recipe, find, folder_of, main, state
from helpers.ground import ROOT, artifacts, runtime

MODULE = sys.modules[__name__]


def write_ones(run):
    run.save({"w": torch.ones(2 if run.smoke else 5)}, version=1, meta={"scale": run.scale})


def measure_write_ones(run):
    tensors, meta = run.load()
    return {"elements": tensors["w"].numel(), "scale": meta["scale"]}


def write_nothing(run):
    pass


@pytest.fixture
def recipes(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "data.recipes.of_this_test", MODULE)
    entries = (
        Recipe("ones_emoji", "of_this_test:write_ones", 0.5, 0.1, "00", "five ones"),
        Recipe("lm_nothing", "of_this_test:write_nothing", 0.5, 0.1, "00", "nothing"),
    )
    for module in (make, artifacts):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(make, "RECIPES", entries)
    monkeypatch.setattr(runtime, "_course", None)
    monkeypatch.delenv("COURSE_SCALE")
    return entries


def test_a_recipe_writes_its_folder_and_is_measured(recipes, tmp_path, capsys):
    assert state(recipes[0]) == "missing"
    assert main(["ones_emoji"]) == 0
    assert state(recipes[0]) == "verified"
    assert "ones_emoji: done" in capsys.readouterr().out
    assert make.measure(["ones_emoji"]) == 0
    assert '"elements": 5' in capsys.readouterr().out


def test_smoke_and_full_leave_the_tracked_files_alone(recipes, tmp_path):
    main(["ones_emoji"])
    before = {file: file.read_bytes() for file in (tmp_path / "data").rglob("*") if file.is_file()}
    assert main(["ones_emoji", "--smoke"]) == main(["ones_emoji", "--full"]) == 0
    assert (tmp_path / ".checkpoints" / "smoke" / "ones_emoji" / "manifest.json").exists()
    assert (tmp_path / "data" / "ones_emoji-full" / "manifest.json").exists()
    assert all(file.read_bytes() == content for file, content in before.items())


def test_the_list_names_all_with_their_state(recipes, tmp_path, capsys):
    main(["ones_emoji"])
    next((tmp_path / "data" / "ones_emoji").glob("*.safetensors")).write_bytes(b"cut off")
    capsys.readouterr()
    assert main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["name", "minutes", "MB", "state", "lessons", "what"]
    assert lines[1].split() == ["ones_emoji", "0.5", "0.1", "damaged", "00", "five", "ones"]
    assert lines[2].split()[3] == "missing"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("ones_emojis", "Did you mean 'ones_emoji'?"),
        ("lmnothing", "'lm_nothing'"),
        ("zzz", "There is no 'zzz' to make. `python -m helpers make --list`"),
    ],
)
def test_an_unknown_name_ends_in_the_nearest(recipes, capsys, given, said):
    assert main([given]) == 1
    assert said in capsys.readouterr().out


def test_a_recipe_that_writes_elsewhere_is_an_error(recipes, capsys):
    assert main(["lm_nothing"]) == 1
    assert "ended without writing lm_nothing" in capsys.readouterr().out


def test_stopping_by_hand_says_how_to_go_on(recipes, capsys, monkeypatch):
    def stop(run):
        raise KeyboardInterrupt

    monkeypatch.setattr(MODULE, "write_ones", stop)
    assert main(["ones_emoji"]) == 1
    assert "goes on from the last checkpoint" in capsys.readouterr().out


def test_a_killed_run_goes_on_and_ends_the_same_bit_for_bit(tmp_path):
    (tmp_path / "slow_recipe.py").write_text(
        textwrap.dedent("""
        import os, sys
        from pathlib import Path
        import torch
        from data.recipes import make
        from helpers.ground import artifacts
        root, die_after = Path(sys.argv[1]), int(sys.argv[2])
        make.ROOT = artifacts.ROOT = root
        sys.modules["data.recipes.here"] = sys.modules["__main__"]
        make.RECIPES = (make.Recipe("slow", "here:walk", 1, 1, "00", "a walk"),)
        def walk(run):
            checkpoint, generator = run.checkpoint(), torch.Generator().manual_seed(0)
            start = {"step": 0, "x": torch.zeros(3), "generator": generator.get_state()}
            state = checkpoint.load() or start
            generator.set_state(state["generator"])
            print("from step", state["step"])
            x = state["x"]
            for step in range(state["step"], 10):
                x = x + torch.randn(3, generator=generator)
                checkpoint.save({"step": step + 1, "x": x, "generator": generator.get_state()})
                if step == die_after:
                    os._exit(9)
            run.save({"x": x}, version=1, meta={})
            checkpoint.clear()
        sys.exit(make.main(["slow"]))
        """)
    )

    def run(root, die_after):
        return subprocess.run(
            [sys.executable, "slow_recipe.py", str(root), str(die_after)],
            cwd=tmp_path,
            text=True,
            capture_output=True,
            timeout=120,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    assert run(tmp_path / "a", 4).returncode == 9
    assert not (tmp_path / "a" / "data").exists()
    second = run(tmp_path / "a", -1)
    assert second.returncode == 0, second.stderr
    assert "from step 5" in second.stdout
    assert run(tmp_path / "b", -1).returncode == 0
    files = [sorted((tmp_path / side / "data" / "slow").iterdir()) for side in "ab"]
    assert [f.read_bytes() for f in files[0]] == [f.read_bytes() for f in files[1]]


# ---- the registry itself


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_every_recipe_can_be_called_and_has_its_card(recipe):
    for prefix in ("", "measure_"):
        assert callable(recipe._function(prefix))
    assert recipe.minutes > 0
    assert recipe.megabytes < 45
    if state(recipe) != "missing":
        assert state(recipe) in ("verified", "present")
        card = (folder_of(recipe) / "README.md").read_text(encoding="utf-8")
        assert f"python -m helpers make {recipe.name}" in card


def test_names_are_not_used_twice():
    assert len({recipe.name for recipe in RECIPES}) == len(RECIPES)
    for recipe in RECIPES:
        assert find(recipe.name) is recipe
