"""Every recipe but those of lm and sae, which have their own files, runs through in small."""

from tests.recipes import smoke


@smoke.recipes()
def test_a_smoke_run_makes_measures_and_describes(recipe, tmp_path, monkeypatch):
    smoke.run_through(recipe, tmp_path, monkeypatch)
