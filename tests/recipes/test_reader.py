"""A reader who has only the cards computes what the course's loaders compute."""

import math

import numpy as np
import pytest
import torch

from data.recipes.base import reading
from data.recipes.make import RECIPES
from helpers.attention import data as attention
from helpers.attention.model import collate
from helpers.ground import ROOT
from helpers.nets import scene_classifier
from helpers.sae import store
from helpers.transformer.model import load
from notebooks.support.lesson03 import diffusion
from notebooks.support.lesson13 import residual
from tests.recipes import reader

DATA = ROOT / "data"
ACTIVATIONS = {
    "relu": lambda x: np.maximum(x, 0),
    "gelu": lambda x: x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2,
    "solu": lambda x: x * reader.softmax(x),
}
TOKENS = np.random.default_rng(0).integers(4096, size=90)
CLOSE = {"rtol": 1e-3, "atol": 1e-4}


def of(tensors: dict, start: str) -> dict:
    return {key.removeprefix(start): v for key, v in tensors.items() if key.startswith(start)}


@pytest.mark.parametrize("name", ["lm_relu", "lm_solu_ln", "lm_gelu", "lm_sizes/solu_ln-16"])
def test_a_transformer(name):
    folder, _, part = name.partition("/")
    w, meta = reader.read(DATA / folder)
    w, meta = (of(w, f"{part}."), meta["models"][part]) if part else (w, meta)
    settings, model = meta["settings"], load(name)
    logits, acts = reader.transformer(
        w, TOKENS, settings["heads"], ACTIVATIONS[settings["activation"]]
    )
    tokens = torch.from_numpy(TOKENS)[None]
    np.testing.assert_allclose(logits, model(tokens)[0].detach(), **CLOSE)
    np.testing.assert_allclose(acts, model.activations(tokens)[0].detach(), **CLOSE)


@pytest.mark.parametrize("name", store.FOLDERS)
def test_a_dictionary(name):
    w, meta = reader.read(DATA / store.FOLDERS[name])
    ours = store.load(name)
    acts = load(meta["model"]).activations(torch.from_numpy(TOKENS)[None])[0].detach()
    count = meta["dictionaries"][name]["settings"]["features"]
    features, again = reader.dictionary(of(w, f"{name}."), acts.numpy(), meta["scale"], count)
    np.testing.assert_allclose(features, ours.features(acts), **CLOSE)
    np.testing.assert_allclose(again, ours.reconstruct(acts), **CLOSE)
    assert 5 < np.count_nonzero(features) / len(features) < 60


def test_the_dictionary_of_smollm2():
    w, meta = reader.read(DATA / "sae_smollm2")
    ours, seen = residual.load()
    w = of(w, "smollm2.")
    where = seen.density.argsort(descending=True)[:40]  # streams that fire: sums of directions
    x = (ours.directions[where] * seen.maximum[where, None] + ours.sae.b_dec) / meta["scale"]
    features, again = reader.dictionary(w, x.numpy(), meta["scale"], len(w["rows"]))
    np.testing.assert_allclose(features, ours.features(x), **CLOSE)
    np.testing.assert_allclose(again, ours.reconstruct(x), **CLOSE)
    assert np.count_nonzero(features.max(axis=0)[where]) > 20


@pytest.mark.parametrize("kind", ["tanh", "dot"])
def test_an_attention_model(kind):
    w, _ = reader.read(DATA / "attention_imdb")
    words = bytes(w["words"].astype(np.uint8)).decode().split("\n")
    model, vocabulary = attention.load(kind)
    typed = ["a", "truly", "great", "film", "with", "a", "terrible", "zzzz", "ending"]
    ids = np.array([2, *(4 + words.index(t) if t in words else 1 for t in typed), 3])
    assert ids.tolist() == vocabulary.encode(typed).tolist()
    logit, alpha = reader.attention_model(of(w, f"{kind}/"), ids, kind)
    wanted = model(collate([(torch.from_numpy(ids), 0)]))
    np.testing.assert_allclose(logit, wanted[0].item(), **CLOSE)
    np.testing.assert_allclose(alpha, wanted[1][0].detach(), **CLOSE)


def test_the_scene_classifier():
    w, _ = reader.read(DATA / "scene_classifier")
    picture = np.random.default_rng(0).uniform(-1, 1, (3, 64, 64)).astype(np.float32)
    wanted = scene_classifier.load()(torch.from_numpy(picture)[None])[0]
    np.testing.assert_allclose(reader.scene_classifier(w, picture), wanted, **CLOSE)


@pytest.mark.parametrize("digit", [3, 10])
def test_the_diffusion_model(digit):
    w, _ = reader.read(DATA / "diffusion")
    x = np.random.default_rng(0).normal(size=(1, 16, 16)).astype(np.float32)
    wanted = diffusion.load()(torch.from_numpy(x)[None], torch.tensor([0.7]), torch.tensor([digit]))
    np.testing.assert_allclose(reader.diffusion(w, x, 0.7, digit), wanted[0].detach(), **CLOSE)


SHIPPED = [r.name for r in RECIPES if "attention" not in r.name]


@pytest.mark.parametrize("name", SHIPPED)
def test_each_card_says_how_to_read_its_files(name):
    assert reading(name).strip() in (DATA / name / "README.md").read_text(encoding="utf-8")
