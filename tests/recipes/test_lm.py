"""The language models' recipes run through, and their numbers by another way."""

import math

import torch

from data.recipes import lm
from helpers.transformer.measure import token_losses
from helpers.transformer.model import OneLayerTransformer, Settings
from tests.recipes import smoke


@smoke.recipes("lm")
def test_a_smoke_run_makes_measures_and_describes(recipe, tmp_path, monkeypatch):
    numbers = smoke.run_through(recipe, tmp_path, monkeypatch)
    if recipe.code == "lm:language_model":
        assert numbers["loss"].keys() == numbers["mlp_ablated"].keys() > {"all", "code"}
        assert abs(numbers["loss"]["all"] - math.log(2048)) < 1.5  # four steps from chance
        assert numbers["loss"] != numbers["mlp_ablated"]
    if recipe.name == "lm_tables":
        assert numbers["bigram"]["all"] < numbers["unigram"]["all"] < math.log(2048)
        assert set(numbers["questions"]) == set(numbers["downstream"]["chance"])


def test_heldout_is_every_fourth_context_and_few_of_these_for_a_smoke_run():
    rows, domains = lm.heldout()
    few, _ = lm.heldout(few=True)
    assert rows.shape == domains.shape == (1953, 128)
    assert torch.equal(few, rows[::25])


def test_losses_are_means_over_the_tokens_that_come_next(monkeypatch):
    rows, domains = lm.heldout(few=True)
    model = OneLayerTransformer(Settings(d_model=8, d_mlp=8, heads=2)).eval()
    losses = lm._losses(model, few=True)
    wanted = token_losses(model, rows)
    assert losses["loss"]["all"] == round(wanted.mean().item(), 4)
    code = losses["loss"]["code"]
    places = domains[:, 1:] == lm.corpus.DOMAINS.index("code")
    assert code == round(wanted[places].mean().item(), 4)
