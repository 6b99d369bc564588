"""The numbers on the cards of data/ are those of what is shipped: a sample, and all (long)."""

import json
import re

import pytest
import torch

from data.recipes import scene_classifier as recipe
from data.recipes.base import Run
from data.recipes.lm import heldout
from data.recipes.make import RECIPES
from helpers.datasets import scenes
from helpers.ground import ROOT
from helpers.nets import scene_classifier
from helpers.sae import store
from helpers.transformer.measure import token_losses
from helpers.transformer.model import load

NUMBER = re.compile(r"(?<![\w.])-?\d+\.?\d*(?:e[+-]\d+)?")
STORED = (
    "attention_imdb_tables",
    "attention_tables",
    "clip_maps",
    "sae_controls",
    "sae_tables",
    "sae_trials",
)  # their numbers themselves are stored
SLOW = [r.name for r in RECIPES if r.name not in STORED]


def card(name: str) -> dict[str, list[float]]:
    """{row: its numbers} of a card's tables; `loss` of two tables is one row."""
    rows: dict[str, list[float]] = {}
    text = (ROOT / "data" / name / "README.md").read_text(encoding="utf-8")
    for line in re.sub(r"^\|.*\n\|---.*", "", text, flags=re.M).splitlines():  # without heads
        label, *cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("|") and (numbers := NUMBER.findall(" ".join(cells))):
            rows.setdefault(label, []).extend(map(float, numbers))
    return rows


def named(numbers, label: str) -> list[float]:
    """Every number that stands under a name which ends in `label`, however deep."""
    if isinstance(numbers, dict):
        fits = lambda key: str(key).endswith(label)
        values = [v if fits(key) else named(v, label) for key, v in numbers.items()]
        return [number for value in values for number in flat(value)]
    return []


def flat(value) -> list[float]:
    if isinstance(value, int | float):
        return [value]
    if isinstance(value, str):  # "0.256 (0.168 to 0.392)"
        return [float(number) for number in NUMBER.findall(value)]
    return [
        n for part in (value.values() if isinstance(value, dict) else value) for n in flat(part)
    ]


def check(name: str) -> None:
    run = Run(ROOT / "data" / name)
    numbers = next(r for r in RECIPES if r.name == name).measure(run)
    shown = card(name)
    assert shown or name in ("tokenizer", "sae_index")  # their few numbers are in sentences
    for label, values in shown.items():
        found = named(numbers, label)
        for value in values:
            assert any(value == pytest.approx(f, rel=0.01, abs=0.006) for f in found), (
                label,
                value,
            )


@pytest.mark.parametrize("name", STORED)
def test_a_card_has_the_numbers_that_are_stored(name):
    check(name)


@pytest.mark.long
@pytest.mark.parametrize("name", SLOW)
def test_every_number_of_a_card_is_measured_again(name):
    check(name)


@pytest.mark.parametrize("name", [r.name for r in RECIPES if r.code == "lm:language_model"])
def test_a_transformers_loss_on_a_sample(name):
    """A quarter of the card's contexts: of lm_relu 3.19 there and 3.22 on all."""
    rows, model = heldout()[0][::4], load(name)
    assert token_losses(model, rows).mean().item() == pytest.approx(card(name)["all"][0], abs=0.06)


@pytest.mark.parametrize("name", store.FOLDERS)
@torch.no_grad()
def test_a_dictionarys_numbers_on_a_sample(name):
    folder = ROOT / "data" / store.FOLDERS[name]
    meta = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    column = list(meta["meta"]["dictionaries"]).index(name)
    shown, numbers = card(folder.name), store.load_numbers(name)
    for label, values in shown.items():
        assert values[column] == pytest.approx(numbers[label], rel=0.01), label
    dictionary, model = store.load(name), load(meta["meta"]["model"])
    stored = meta["tensors"][f"{name}.rows"]["shape"][0] / dictionary.sae.settings.features
    assert numbers["dead"] >= round(1 - stored, 4), "what is not stored never fires"
    rows = heldout()[0][::4][::3]  # a third of the contexts that the card's losses are of
    fires = dictionary.features(model.activations(rows)) > 0
    assert fires.sum(-1).float().mean().item() == pytest.approx(numbers["L0"], rel=0.1)
    loss = token_losses(model, rows).mean()
    replaced = token_losses(model, rows, dictionary.reconstruct).mean()
    rise = numbers["loss_replaced"] - numbers["loss"]
    assert (replaced - loss).item() == pytest.approx(rise, rel=0.2)


def test_the_scene_classifier_on_a_sample():
    drawn = scenes.sample(300, 78, count=1, held_out=True)
    seen = scene_classifier.load()(scene_classifier.preprocess([s.image for s in drawn])).argmax(1)
    right = (seen == recipe.labels(drawn).argmax(1)).double().mean().item()
    assert right == pytest.approx(card("scene_classifier")["single object, top-1"][0], abs=0.05)
