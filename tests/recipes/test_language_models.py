"""Every recipe of data/lm_* and data/sae_* runs through, into a scratch folder, and is measured."""

import pytest

from data.recipes.base import Run
from data.recipes.make import RECIPES, find
from helpers.ground.artifacts import ROOT

NAMES = [r.name for r in RECIPES if r.name.startswith(("lm_", "sae_", "tokenizer"))]
SAME = {
    "lm_relu_b",
    "lm_gelu",
    "lm_solu",
    "lm_gelu_ln",
    "sae_b",
}  # other settings of another's code


@pytest.mark.parametrize("name", [name for name in NAMES if name not in SAME])
def test_a_smoke_run_makes_measures_and_describes(name, tmp_path):
    run, recipe = Run(tmp_path / name, smoke=True), find(name)
    recipe.make(run)
    numbers = recipe.measure(run)
    assert numbers
    card = (run.out / "README.md").read_text(encoding="utf-8")
    assert f"python -m helpers make {name}" in card
    assert "Sources of the text" in card
    assert max(map(len, card.splitlines())) < 400
    smoke = list((ROOT / ".checkpoints").glob(f"{name}*smoke*.pt"))
    assert not smoke, "a smoke run writes beside its folder only"
    assert not list(tmp_path.rglob("*.pt")), "a finished run leaves no checkpoint"


def test_the_others_differ_in_settings_only():
    from data.recipes import lm, sae

    assert set(lm.SHIPPED) | set(sae.SHIPPED) <= set(NAMES)
    assert {name for name in SAME if name not in {**lm.SHIPPED, **sae.SHIPPED}} == set()
