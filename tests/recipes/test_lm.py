"""The language models' recipes run through, and their numbers by another way."""

import math
from dataclasses import asdict, replace

import pytest
import torch

from data.recipes import lm, sae
from data.recipes.base import Run
from helpers.transformer.measure import token_losses
from helpers.transformer.model import OneLayerTransformer, Settings
from tests.recipes import smoke


@smoke.recipes("lm")
def test_a_smoke_run_makes_measures_and_describes(recipe, tmp_path, monkeypatch):
    numbers = smoke.run_through(recipe, tmp_path, monkeypatch)
    if recipe.code == "lm:language_model":
        assert numbers["loss"].keys() == numbers["mlp_ablated"].keys() > {"all", "code"}
        assert abs(numbers["loss"]["all"] - math.log(4096)) < 1.5  # four steps from chance
        assert numbers["loss"] != numbers["mlp_ablated"]
    if recipe.name == "lm_tables":
        assert numbers["bigram"]["all"] < numbers["unigram"]["all"] < math.log(4096)
        assert set(numbers["questions"]) == set(numbers["downstream"]["chance"])


@pytest.mark.parametrize("module", [lm, sae])
@pytest.mark.parametrize(("scale", "smoke"), [("small", False), ("full", False), ("full", True)])
def test_a_recipe_trains_as_its_scale_says(module, scale, smoke, monkeypatch, tmp_path):
    """What is handed to `train`, which itself is not called."""

    class Stop(Exception):
        pass

    def stop(*args, **_):
        raise Stop(next(a for a in args if isinstance(a, module.Training)))

    def stream(part):
        read.append(part)
        return heldout

    read, heldout = [], lm.corpus.stream("heldout")
    monkeypatch.setattr(module, "train", stop)
    monkeypatch.setattr(lm.corpus, "stream", stream)
    asked = module.Training()
    chosen = (lm.SHIPPED["lm_relu"][0],) if module is lm else ("lm_relu", {})
    with pytest.raises(Stop) as stopped:
        module._trained(Run(tmp_path / "x", scale, smoke), *chosen, asked)
    given = stopped.value.args[0]
    assert read[0] == ("heldout" if smoke else "train")
    if smoke:
        assert given.steps <= 5
    elif scale == "small":
        assert given == replace(asked, bfloat16=given.bfloat16)
    elif module is lm:
        assert given.micro == given.batch == asked.batch
    else:
        assert given.tokens == sae.FULL["tokens"]


def test_a_card_says_how_much_was_read(tmp_path):
    meta = {"settings": {}, "training": asdict(lm.SHIPPED["lm_relu"][1])}
    tokens = lm.SHIPPED["lm_relu"][1].tokens / 1e6
    assert f"{tokens:.1f} M tokens" in lm._made(Run(tmp_path / "x"), meta)


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
