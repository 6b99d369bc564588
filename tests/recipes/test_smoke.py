"""`make NAME --smoke` runs through for every name, and what it wrote is measured."""

import pytest

from data.recipes import make
from data.recipes.base import Run
from helpers.ground import ROOT, runtime
from helpers.ground.artifacts import load_artifact


@pytest.mark.parametrize("recipe", make.RECIPES, ids=lambda recipe: recipe.name)
def test_a_smoke_run_makes_measures_and_describes(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(make, "ROOT", tmp_path)
    monkeypatch.setattr(runtime, "_course", None)
    before = set((ROOT / ".checkpoints").glob("*"))
    assert make.main([recipe.name, "--smoke"]) == 0
    assert set((ROOT / ".checkpoints").glob("*")) == before, "it writes beside its folder only"
    assert not list(tmp_path.rglob("*.pt")), "a finished run leaves no checkpoint"
    folder = tmp_path / ".checkpoints" / "smoke" / recipe.name
    if recipe.name != "tokenizer" and (folder / "manifest.json").exists():
        assert recipe.name == "clip_emoji" or load_artifact(folder)[0]
    assert recipe.measure(Run(folder, smoke=True))
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert f"python -m helpers make {recipe.name}" in card
    assert "without the course" in card
    assert max(map(len, card.splitlines())) < 400
