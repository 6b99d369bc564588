"""Public functions called wrongly, as learners do: one sentence each, never another exception.

Beside each: what is unusual and still good gives the value that the usual form gives.
"""

import random
from contextlib import suppress
from functools import cache, partial

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from data.recipes.clip_emoji import build
from helpers import saliency
from helpers.attention import data, diagnostic, faithfulness, tables
from helpers.attention import model as attention
from helpers.attention import train as attention_train
from helpers.clip import maps, score
from helpers.clip import model as clip
from helpers.datasets import clinical_notes, corpus, excerpts, photos, reviews, scenes
from helpers.ground import artifacts, runtime, stats
from helpers.ground.errors import CourseError
from helpers.lesson import answers, plots
from helpers.lesson.answers import Store
from helpers.lesson.boards import Board
from helpers.lesson.claims import claim
from helpers.lesson.rating import Item, Question, Rating, counterbalanced
from helpers.lesson.widgets import choice_view
from helpers.nets import digits, order_net
from helpers.pretrained import hooks, imagenet
from helpers.sae import features, kinds, splitting, store
from helpers.sae import model as sae
from helpers.sae import train as sae_train
from helpers.saliency import metrics, sanity
from helpers.saliency.shapley import shapley
from helpers.transformer import activations, measure, toy_models
from helpers.transformer import model as transformer
from helpers.transformer import train as transformer_train
from tests.attention import texts
from tests.sae.test_model import inputs
from tests.sae.test_model import tiny as tiny_sae
from tests.saliency.conftest import make_net
from tests.transformer.test_model import tiny

NET, X = make_net("plain"), torch.rand(1, 3, 16, 16).double()
HEAT = torch.rand(2, 20, 30)
BATCH = attention.collate(texts.texts(4))
MODEL = texts.build()
TOKENS = torch.randint(40, (4, 12), generator=torch.Generator().manual_seed(0))
FIRE = splitting.csc_matrix(np.eye(4))
DRAW = torch.Generator().manual_seed(0)
W = torch.rand(1, 2, 5)


@cache
def picture_model():
    return build(clip.Settings(width=32, layers=(2, 1)), 300).eval()


def clip_call(method, **options):
    image, rows = torch.rand(3, 70, 64), torch.nn.functional.normalize(torch.randn(2, 32), dim=-1)
    return method(picture_model(), image, rows, **options)


def sae_of(**changes):
    return sae.Dictionary(tiny_sae(**changes), 1.0)


WRONG = {}
NUMBERS = {"text": "3", "nan": float("nan"), "None": None, "negative": -1, "bool": True}
COUNTED = {
    "smoothgrad samples": lambda v: saliency.smoothgrad(NET, X, 0, samples=v),
    "integrated_gradients steps": lambda v: saliency.integrated_gradients(NET, X, 0, steps=v),
    "ig_smoothgrad steps": lambda v: saliency.ig_smoothgrad(NET, X, 0, steps=v),
    "occlusion window": lambda v: saliency.occlusion(NET, X, 0, window=v, stride=1),
    "occlusion stride": lambda v: saliency.occlusion(NET, X, 0, window=4, stride=v),
    "rise masks": lambda v: saliency.rise(NET, X, 0, masks=v),
    "rise cells": lambda v: saliency.rise(NET, X, 0, masks=2, cells=v),
    "deletion steps": lambda v: metrics.deletion(NET, X, 0, X.sum(1), steps=v),
    "insertion steps": lambda v: metrics.insertion(NET, X, 0, X.sum(1), steps=v),
    "infidelity samples": lambda v: metrics.infidelity(NET, X, 0, X, samples=v),
    "sensitivity samples": lambda v: metrics.sensitivity_max(
        saliency.gradient, NET, X, 0, samples=v
    ),
    "variation block": lambda v: metrics.total_variation(X, block=v),
    "crops": lambda v: clip_call(maps.crop_map, crops=v),
    "crops step": lambda v: clip_call(maps.crop_map_until, step=v, most=2),
    "crops most": lambda v: clip_call(maps.crop_map_until, step=2, most=v),
    "CLIP's size": lambda v: clip.Settings(width=v),
    "vocabulary": lambda v: attention.new_model(30, embed=v),
    "predict size": lambda v: attention_train.predict(MODEL, texts.texts(4), size=v),
    "permutation n": lambda v: faithfulness.permutation(MODEL, BATCH, n=v, generator=DRAW),
    "adversary restarts": lambda v: faithfulness.adversarial_attention(
        MODEL, BATCH, generator=DRAW, restarts=v, steps=1
    ),
    "adversary steps": lambda v: faithfulness.adversarial_attention(
        MODEL, BATCH, generator=DRAW, restarts=1, steps=v
    ),
    "attention's batch": lambda v: attention_train.Settings(batch=v),
    "transformer's size": lambda v: transformer.Settings(d_mlp=v),
    "transformer's training": lambda v: transformer_train.Training(batch=v),
    "buffer's batches": lambda v: next(activations.ActivationBuffer(tiny(), TOKENS).batches(v)),
    "toys' features": lambda v: toy_models.ToySettings(features=v),
    "toys' tries": lambda v: toy_models.train_toys(
        toy_models.ToySettings(steps=1), torch.zeros(1), torch.ones(5), tries=v
    ),
    "dictionary's size": lambda v: sae.Settings(features=v),
    "dictionary's training": lambda v: sae_train.Training(batch=v),
}
AMOUNTS = {
    "smoothgrad noise": lambda v: saliency.smoothgrad(NET, X, 0, samples=1, noise=v),
    "rise keep": lambda v: saliency.rise(NET, X, 0, masks=2, keep=v),
    "infidelity noise": lambda v: metrics.infidelity(NET, X, 0, X, samples=2, noise=v),
    "sensitivity radius": lambda v: metrics.sensitivity_max(
        saliency.gradient, NET, X, 0, samples=1, radius=v
    ),
    "smallest crop": lambda v: clip_call(maps.crop_map, crops=2, smallest=v),
    "agreement": lambda v: clip_call(maps.crop_map_until, agree=v, step=2, most=2),
    "CLIP's rate": lambda v: clip.Settings(lr=v),
    "adversary epsilon": lambda v: faithfulness.adversarial_attention(
        MODEL, BATCH, generator=DRAW, restarts=1, steps=1, epsilon=v
    ),
    "attention's rate": lambda v: attention_train.Settings(rate=v),
    "transformer's rate": lambda v: transformer_train.Training(learning_rate=v),
    "toys' rate": lambda v: toy_models.ToySettings(rate=v),
    "represented": lambda v: toy_models.represented(W, v),
    "dictionary's price": lambda v: sae.Settings(l1=v),
    "dictionary's rate": lambda v: sae_train.Training(learning_rate=v),
    "edges' threshold": lambda v: splitting.edges(FIRE, FIRE, threshold=v),
}
SEEDS = {
    "smoothgrad": lambda v: saliency.smoothgrad(NET, X, 0, samples=1, seed=v),
    "rise": lambda v: saliency.rise(NET, X, 0, masks=2, seed=v),
    "infidelity": lambda v: metrics.infidelity(NET, X, 0, X, samples=2, seed=v),
    "cascade": lambda v: sanity.cascade(NET, ["head"], saliency.gradient, X, 0, seed=v),
    "crops": lambda v: clip_call(maps.crop_map, crops=2, seed=v),
    "new model": lambda v: attention.new_model(30, seed=v),
    "training": lambda v: attention_train.Settings(seed=v),
    "toys": lambda v: toy_models.train_toys(
        toy_models.ToySettings(steps=1), torch.zeros(1), torch.ones(5), seed=v
    ),
    "dictionary": lambda v: sae.SparseAutoencoder(sae.Settings(12, 30, seed=v)),
    "buffer": lambda v: activations.ActivationBuffer(tiny(), TOKENS, seed=v),
}
for name, call in COUNTED.items():
    for kind, value in (NUMBERS | {"zero": 0, "half": 2.5, "infinite": float("inf")}).items():
        WRONG[f"{name}: {kind}"] = partial(call, value)
for name, call in AMOUNTS.items():
    bad = dict(NUMBERS)
    if name == "represented":
        bad.pop("negative")
    for kind, value in bad.items():
        WRONG[f"{name}: {kind}"] = partial(call, value)
for name, call in SEEDS.items():
    for kind, value in (NUMBERS | {"half": 2.5, "2^70": 2**70, "a generator": DRAW}).items():
        WRONG[f"seed of {name}: {kind}"] = partial(call, value)
SWITCHES = {
    "rise softmax": lambda v: saliency.rise(NET, X, 0, masks=2, softmax=v),
    "rise centred": lambda v: saliency.rise(NET, X, 0, masks=2, centred=v),
    "smoothgrad squared": lambda v: saliency.smoothgrad(NET, X, 0, samples=1, squared=v),
    "scores softmax": lambda v: saliency.scores(NET, X, 0, softmax=v),
    "cascade independent": lambda v: sanity.cascade(
        NET, ["head"], saliency.gradient, X, 0, independent=v
    ),
    "average by_area": lambda v: maps.average(
        torch.rand(1, 1), torch.tensor([[0, 0, 2, 2]]), 4, 4, by_area=v
    ),
    "layer_norm": lambda v: transformer.Settings(layer_norm=v),
    "relu_out": lambda v: toy_models.ToySettings(relu_out=v),
    "unit_norm": lambda v: sae.Settings(unit_norm=v),
    "question": lambda v: attention.new_model(30, question=v),
}
for name, call in SWITCHES.items():
    for kind, value in {"text": "no", "None": None, "number": 2, "list": [False]}.items():
        WRONG[f"{name}: {kind}"] = partial(call, value)

BOXES = {
    "shares": [0.1, 0.1, 0.5, 0.9],
    "shares in float64": np.array([0.0, 0.0, 0.5, 1.0]),
    "beyond the right": [5, 5, 31, 9],
    "beyond the bottom": [5, 5, 9, 21],
    "left of the picture": [-2, 5, 9, 9],
    "corners swapped": [9, 9, 5, 5],
    "left, right, top, bottom": [3, 9, 2, 12],
    "left, top, width, height": [20, 10, 5, 5],
    "empty": [4, 4, 4, 8],
    "nan": [float("nan"), 0, 5, 5],
    "infinite": [0, 0, float("inf"), 5],
    "three numbers": [1, 2, 3],
    "a text": "1 2 3 4",
    "None": None,
    "a generator": (n for n in (1, 2, 3, 4)),
    "two of five": [[1, 2, 3, 4]] * 5,
    "names": {"left": 1, "top": 2, "right": 3, "bottom": 4},
}
TAKE_BOXES = {
    "in_boxes": lambda box: metrics.in_boxes(box, HEAT),
    "pointing_game": lambda box: metrics.pointing_game(HEAT, box),
    "energy_in_box": lambda box: metrics.energy_in_box(HEAT, box),
    "score": lambda box: score.score({"a": HEAT}, [box, box] if box is not None else None),
    "figure": lambda box: plots.maps({"a": HEAT[0]}, boxes=box, caption="a"),
    "add_up": lambda box: maps.add_up(torch.rand(1, 1), box_row(box), 20, 30),
    "average": lambda box: maps.average(torch.rand(1, 1), box_row(box), 20, 30),
    "crop_gains": lambda box: maps.crop_gains(
        picture_model(), torch.rand(3, 20, 30), torch.randn(1, 32), box_row(box)
    ),
    "cut": lambda box: maps.cut(picture_model(), torch.rand(3, 20, 30), box_row(box)),
}


def box_row(box):
    with suppress(TypeError, ValueError):
        return torch.as_tensor(np.asarray(box, float))[None]
    return box


for name, call in TAKE_BOXES.items():
    for kind, box in BOXES.items():
        if not (kind in ("None", "names") and name == "figure"):  # no boxes; boxes by title
            WRONG[f"box of {name}: {kind}"] = partial(call, box)

WRONG |= {
    # ---- saliency
    "a target that is a name": lambda: saliency.gradient(NET, X, "cat"),
    "a negative target": lambda: saliency.gradient(NET, X, -1),
    "a grid of three": lambda: saliency.grad_cam(NET, X, 0, layer="last", grid=(7, 7, 7)),
    "a grid that is a number": lambda: saliency.grad_cam(NET, X, 0, layer="last", grid=14),
    "a grid that is a text": lambda: saliency.grad_cam(NET, X, 0, layer="last", grid="14x14"),
    "a negative grid": lambda: saliency.grad_cam(NET, X, 0, layer="last", grid=(-14, -14)),
    "a grid of halves": lambda: saliency.grad_cam(NET, X, 0, layer="last", grid=(14.5, 14.5)),
    "no layers": lambda: sanity.cascade(NET, None, saliency.gradient, X, 0),
    "a layer's number": lambda: sanity.cascade(NET, [3], saliency.gradient, X, 0),
    "a method's name": lambda: sanity.cascade(NET, ["head"], "gradient", X, 0),
    "smoothgrad of a name": lambda: saliency.smoothgrad(NET, X, 0, samples=1, of="gradient"),
    "sensitivity of a name": lambda: metrics.sensitivity_max("gradient", NET, X, 0, samples=1),
    "HOG of cells of text": lambda: sanity.edges(X, X, cell="4"),
    "HOG of negative cells": lambda: sanity.edges(X, X, cell=-4),
    "a heat map that is a name": lambda: metrics.pointing_game("heat", [0, 0, 2, 2]),
    "a curve of text": lambda: metrics.area([["a", "b"]]),
    "a curve of one point": lambda: metrics.area([[1.0]]),
    "shapley of lists": lambda: shapley(lambda p: p.sum(-1), [[1.0, 2.0]], [[0.0, 0.0]]),
    "shapley of too many": lambda: shapley(lambda p: p.sum(-1), torch.ones(1, 17), torch.zeros(1)),
    "a method that gives None": lambda: sanity.cascade(NET, ["head"], lambda *_: None, X, 0),
    "a method that gives an array": lambda: sanity.cascade(
        NET, ["head"], lambda *_: np.zeros((1, 3, 16, 16)), X, 0
    ),
    "a method to smooth that gives None": lambda: saliency.smoothgrad(
        NET, X, 0, samples=1, of=lambda *_: None
    ),
    "a sensitive method that gives a list": lambda: metrics.sensitivity_max(
        lambda *_: [1.0], NET, X, 0, samples=1
    ),
    "layers that are a number": lambda: sanity.cascade(NET, 3, saliency.gradient, X, 0),
    "inputs with a dimension too many": lambda: saliency.gradient(NET, X[None], 0),
    "a map of complex numbers": lambda: metrics.area(torch.ones(1, 3, dtype=torch.complex64)),
    "shapley of another baseline": lambda: shapley(
        lambda p: p.sum(-1), torch.rand(2, 3), torch.rand(2, 4)
    ),
    "shapley of a class's scores": lambda: shapley(  # (..., N, 4) would be mixed up silently
        lambda p: p.sum(-1, keepdim=True).expand(*p.shape[:-1], 4), *torch.rand(2, 2, 3)
    ),
    "shapley of nothing": lambda: shapley(lambda p: None, *torch.rand(2, 2, 3)),
    "a model that is no network": lambda: saliency.scores(lambda x: x, X, 0),
    "a complex target": lambda: saliency.gradient(NET, X, 1 + 0j),
    "channels last": lambda: saliency.gradient(NET, X.permute(0, 2, 3, 1), 0),
    "too small for the network": lambda: saliency.gradient(NET, X[..., :2, :2], 0),
    "nothing to reset": lambda: sanity.reset(None),
    "an initialiser's name": lambda: sanity.cascade(
        NET, ["head"], saliency.gradient, X, 0, initialise="zeros"
    ),
    # ---- CLIP
    "a query that is None": lambda: encode([None]),
    "no queries": lambda: encode([]),
    "queries in queries": lambda: encode([["a dog", "a cat"]]),
    "a query that is missing": lambda: encode(pd.Series(["a dog", float("nan")])),
    "a tokenizer of another model": lambda: maps.encode_queries(
        picture_model(), clip.load().tokenizer, "a dog"
    ),
    "a method by its name": lambda: clip_call(partial(maps.explain, "rise")),
    "boxes and gains": lambda: maps.add_up(torch.rand(3, 1), [[0, 0, 2, 2]], 4, 4),
    "gains in a list": lambda: maps.add_up([[1.0]], [0, 0, 2, 2], 4, 4),
    "gains in a list, averaged": lambda: maps.average([[1.0]], [0, 0, 2, 2], 4, 4),
    "a method that explains nothing": lambda: clip_call(
        partial(maps.explain, lambda *_, **__: None)
    ),
    "no maps to score": lambda: score.score({}, [[0, 0, 2, 2]]),
    "maps to score in a list": lambda: score.score([HEAT], [[0, 0, 2, 2]]),
    "maps of other sizes to score": lambda: score.score(
        {"a": HEAT, "b": HEAT[:, :5]}, [[0, 0, 2, 2]] * 2
    ),
    "a neutral text in words": lambda: clip_call(partial(score.cures, neutral="a picture")),
    "a query in bytes": lambda: encode(b"a dog"),
    "a query that is a number": lambda: encode(3),
    "a query of 100,000 letters": lambda: encode("dog " * 25_000),
    "a file in place of a model": lambda: clip.load("no such folder"),
    "a device that is none": lambda: clip.load(device="gpu"),
    "a device that is not here": lambda: clip.load(device="cuda:7"),
    "texts of another model": lambda: maps.crop_map(
        picture_model(), torch.rand(3, 70, 64), torch.rand(2, 512), crops=2
    ),
    "a picture with nan": lambda: maps.crop_map(
        picture_model(), torch.full((3, 70, 64), torch.nan), torch.rand(2, 32), crops=2
    ),
    "a scene of seven things": lambda: scenes.sample(1, 0, count=7),
    "scenes in words": lambda: score.two_things("three"),
    "an unknown layer": lambda: clip_call(maps.grad_cam, layer="layer9"),
    # ---- pictures
    "an empty picture": lambda: photos.as_rgb(np.zeros((0, 0, 3), np.uint8)),
    "a picture of no width": lambda: photos.as_rgb(np.zeros((40, 0, 3), np.uint8)),
    "pictures in a batch": lambda: photos.as_rgb(np.zeros((2, 40, 40, 3), np.uint8)),
    "a picture with five channels": lambda: photos.as_rgb(np.zeros((40, 40, 5), np.uint8)),
    "a generator of pictures": lambda: photos.as_rgb(n for n in range(3)),
    "a picture of complex numbers": lambda: photos.as_rgb(np.zeros((40, 40), complex)),
    "a side of 0": lambda: photos.square(np.zeros((40, 40, 3), np.uint8), 0),
    "a negative side": lambda: photos.preprocess(np.zeros((40, 40, 3), np.uint8), -4),
    "a side of text": lambda: photos.preprocess(np.zeros((40, 40, 3), np.uint8), "224"),
    "an array for as_image": lambda: photos.as_image(np.zeros((3, 8, 8))),
    "nan for as_image": lambda: photos.as_image(torch.full((3, 8, 8), torch.nan)),
    "a photo by number": lambda: photos.load(3),
    # ---- texts
    "no words": lambda: attention.Vocabulary([["good"]]).encode([]),
    "a text of no known word": lambda: attention.Vocabulary([["good"]]).encode("bad"),
    "words that are None": lambda: attention.Vocabulary([["good"]]).encode(None),
    "numbers as words": lambda: attention.Vocabulary([["good"]]).encode([1, 2]),
    "a text of 100,000 words": lambda: attention.Vocabulary([["good"]]).encode("good " * 100_000),
    "a review that is None": lambda: reviews.typed_words(None),
    "a review in bytes": lambda: reviews.typed_words(b"good"),
    "words in words": lambda: attention.Vocabulary([["good"]]).encode([["good"]]),
    "words of a table with gaps": lambda: attention.Vocabulary([["good"]]).encode(["good", None]),
    "labels in words": lambda: attention.collate([(torch.tensor([2, 7, 3]), "good")]),
    "examples without labels": lambda: attention.collate([(torch.tensor([2, 7, 3]),)]),
    "texts of another vocabulary": lambda: MODEL(attention.collate([(torch.tensor([77]), 1)])),
    "places of another length": lambda: attention.collate(texts.texts(4), index=[0, 1]),
    "weights of other texts": lambda: MODEL(BATCH, torch.rand(3, BATCH.words.shape[1])),
    "one weight a text": lambda: MODEL(BATCH, torch.ones(4, 1)),  # it would be spread silently
    "a guide of other texts": lambda: attention_train.predict(
        MODEL, texts.texts(4), guide=torch.rand(2, 14)
    ),
    "a guide of one dimension": lambda: attention_train.predict(
        MODEL, texts.texts(4), guide=torch.rand(14)
    ),
    "a guide that gives None": lambda: attention_train.predict(
        MODEL, texts.texts(4), guide=lambda content: None
    ),
    "hidden states in a list": lambda: MODEL.attend([1.0], BATCH.content, None),
    "distributions of other lengths": lambda: faithfulness.tvd([0.5, 0.5], [0.2, 0.3, 0.5]),
    "divergence of other lengths": lambda: faithfulness.jsd(torch.rand(4, 3), torch.rand(4, 5)),
    "kendall of other lengths": lambda: faithfulness.kendall(
        torch.rand(4, 9), torch.rand(4, 8), BATCH.content[:, :9]
    ),
    "kendall of fewer texts": lambda: faithfulness.kendall(
        torch.rand(4, 9), torch.rand(3, 9), torch.ones(4, 9, dtype=torch.bool)
    ),
    "kendall without its words": lambda: faithfulness.kendall(
        torch.rand(4, 9), torch.rand(4, 9), torch.ones(9, dtype=torch.bool)
    ),
    "a guide by its name": lambda: attention_train.predict(MODEL, texts.texts(4), guide="uniform"),
    "weights with nan": lambda: attention_train.predict(with_nan(texts.build()), texts.texts(4)),
    "gradients of nan": lambda: faithfulness.gradient_importance(with_nan(texts.build()), BATCH),
    "one word less of nan": lambda: faithfulness.leave_one_out(with_nan(texts.build()), BATCH),
    "weights in any order of nan": lambda: faithfulness.permutation(
        with_nan(texts.build()), BATCH, n=2, generator=DRAW
    ),
    "an adversary of nan": lambda: faithfulness.adversarial_attention(
        with_nan(texts.build()), BATCH, generator=DRAW, restarts=2, steps=2
    ),
    "notes in words": lambda: clinical_notes.load("5"),
    "fewer than no notes": lambda: clinical_notes.load(-5),
    "mentions in words": lambda: clinical_notes.load(5, mentions="12"),
    "one number of mentions": lambda: clinical_notes.load(5, mentions=2),
    "long before short": lambda: clinical_notes.load(5, words=(50, 30)),
    "one note alone": lambda: clinical_notes.encode("no fever ."),
    "an unknown kind of text": lambda: corpus.documents("poems"),
    "a negative stream": lambda: corpus.stream(size=-5),
    "tokens in a list, decoded": lambda: corpus.decode([5, 6]),
    "tokens in rows, decoded": lambda: corpus.decode(TOKENS),
    "negative tokens, decoded": lambda: corpus.decode(torch.tensor([5, -6])),
    "tokens beyond the last, decoded": lambda: corpus.decode(torch.tensor([5, 10_000])),
    "a part of the corpus that is not there": lambda: corpus.documents("dna", "test"),
    "a row of other activations": lambda: excerpts.firings(
        lambda rows: None, TOKENS, torch.tensor([3])
    ),
    "notes in numbers": lambda: order_net.accuracy(order_net.SymptomNet(4, 4), [1, 2]),
    "words in place of tokens": lambda: order_net.SymptomNet(4, 4)("no fever"),
    "scenes without a seed": lambda: scenes.sample(1, None),
    "a negative concept": lambda: scenes.named(-1),
    "a class by number": lambda: imagenet.class_index(3),
    "digits without a side": lambda: digits.digits(side=0),
    "digits in a list": lambda: digits.train([[0.0]], [1]),
    "digits of other labels": lambda: digits.accuracy(
        digits.network(), torch.rand(4, 1, 28, 28), torch.tensor([1])
    ),
    "a class of nothing": lambda: imagenet.top_classes(NET, None),
    "edits in a list": lambda: hooked([("mlp", 0)]),
    "a site that is no pair": lambda: hooked({"mlp": None}),
    "a site that is not there": lambda: hooked({("mlp", 9): None}),
    "an edit of a site that gives None": lambda: hooked({("mlp", 0): lambda x: None}),
    "an edit of a site that is smaller": lambda: hooked({("mlp", 0): lambda x: x[..., :1]}),
    "a stored folder by number": lambda: artifacts.load_artifact(3),
    "an interval of nothing": lambda: stats.interval([]),
    "an interval of a number": lambda: stats.interval(3),
    "clusters of another number": lambda: stats.clustered_mean([1, 0, 1], [0, 1]),
    "correlation of other lengths": lambda: stats.pearson(torch.rand(2, 5), torch.rand(2, 4)),
    "ranks of words": lambda: stats.spearman([["a"]], [["b"]]),
    "a seed of the course": lambda: runtime.setup(seed="x", quiet=True),
    "an unknown data set": lambda: data.texts("amazon", texts.QUICK),
    "a data set without its size": lambda: data.texts("rotten", 60),
    "an unknown attention": lambda: data.load("linear"),
    "an attention that is None": lambda: data.load(None),
    "an unknown encoder": lambda: attention.new_model(30, encoder="gru"),
    "an unknown kind of attention": lambda: attention.new_model(30, attention="soft"),
    "a width of one": lambda: attention.new_model(30, hidden=1),
    "an unknown table": lambda: tables.load("amazon"),
    "a table by number": lambda: tables.load(3),
    "reviews of nobody": lambda: reviews.load("amazon"),
    "no examples": lambda: attention.collate([]),
    "examples in words": lambda: attention.collate(["good film"]),
    "nothing to predict": lambda: attention_train.predict(MODEL, []),
    "model and batch swapped": lambda: faithfulness.leave_one_out(BATCH, MODEL),
    "a list of examples as a batch": lambda: faithfulness.gradient_importance(MODEL, [1]),
    "a seed as generator": lambda: faithfulness.permutation(MODEL, BATCH, generator=0),
    "an adversary without generator": lambda: faithfulness.adversarial_attention(
        MODEL, BATCH, generator=None
    ),
    "kendall of lists": lambda: faithfulness.kendall([1.0, 2.0], [2.0, 1.0], [True, True]),
    "a guide by another name": lambda: diagnostic.mlp_diagnostic(
        texts.data_set(), texts.QUICK, guide="flat"
    ),
    "settings in a dict": lambda: attention_train.fit(MODEL, [], [], {"epochs": 1}),
    "labels of one class": lambda: attention_train.score(
        MODEL, [(ids, 1) for ids, _ in texts.texts(4)]
    ),
    # ---- transformers
    "an unknown activation": lambda: tiny(activation="swish"),
    "heads that do not divide": lambda: tiny(heads=3),
    "tokens in a list": lambda: measure.token_losses(tiny(), TOKENS.tolist()),
    "tokens of another vocabulary": lambda: tiny()(TOKENS + 40),
    "negative tokens": lambda: tiny()(TOKENS - 40),
    "one row of tokens": lambda: measure.token_losses(tiny(), TOKENS[0]),
    "no tokens": lambda: measure.token_losses(tiny(), TOKENS[:0]),
    "too many tokens": lambda: tiny()(torch.zeros(1, 13, dtype=torch.long)),
    "a transformer that is not there": lambda: transformer.load("lm_swish"),
    "a transformer by number": lambda: transformer.load(3),
    "settings in words": lambda: transformer.OneLayerTransformer("relu"),
    "weights of neurons with nan": lambda: activations.ActivationBuffer(with_nan(tiny()), TOKENS),
    "loss recovered of nan": lambda: measure.loss_recovered(with_nan(tiny()), TOKENS, abs),
    "contexts of floats": lambda: activations.ActivationBuffer(tiny(), TOKENS.float()),
    "an edit that gives None": lambda: tiny()(TOKENS, lambda acts: None),
    "an edit that gives an array": lambda: tiny()(TOKENS, lambda acts: acts.detach().numpy()),
    "an edit of another width": lambda: tiny()(TOKENS, lambda acts: acts[..., :3]),
    "an edit of one token": lambda: tiny()(TOKENS, lambda acts: acts[0, 0]),  # spread silently
    "units that give None": lambda: features.sparse_activations(lambda a: None, tiny(), TOKENS),
    "toys that nothing draws": lambda: toy_models.train_toys(
        toy_models.ToySettings(steps=1), torch.zeros(1), torch.ones(5), draw=lambda *_, **__: None
    ),
    "an edit by its name": lambda: tiny()(TOKENS, "ablate"),
    "no importance": lambda: toy_models.train_toys(
        toy_models.ToySettings(steps=1), torch.zeros(1), torch.full((5,), torch.nan)
    ),
    "toys with lists": lambda: toy_models.train_toys(toy_models.ToySettings(), [0.5], [1.0] * 5),
    "toys never there": lambda: toy_models.train_toys(
        toy_models.ToySettings(), torch.ones(1), torch.ones(5)
    ),
    "toys' importance": lambda: toy_models.train_toys(
        toy_models.ToySettings(), torch.zeros(1), torch.ones(4)
    ),
    "W in lists": lambda: toy_models.dimensionality([[1.0, 0.0], [0.0, 1.0]]),
    "W of one model": lambda: toy_models.dimensionality(W[0]),
    # ---- dictionaries
    "a dictionary by number": lambda: store.load(3),
    "an unknown dictionary": lambda: store.load("a9"),
    "examples of nobody": lambda: store.load_examples("a9"),
    "an unknown kind": lambda: kinds.build(sae.Settings(kind="relu")),
    "settings of a kind": lambda: kinds.build("topk"),
    "k of 0": lambda: kinds.build(sae.Settings(kind="topk", k=0)),
    "activations of another width": lambda: sae_of().features(torch.rand(3, 11)),
    "encoded in lists": lambda: tiny_sae().encode([[0.0] * 12]),
    "decoded of another width": lambda: tiny_sae().decode(torch.rand(3, 12).double()),
    "activations in lists": lambda: sae_of().features([[0.0] * 12]),
    "a negative feature": lambda: sae_of().feature(inputs(3), -1),
    "a feature too many": lambda: sae_of().feature(inputs(3), 30),
    "a feature in words": lambda: sae_of().feature(inputs(3), "one"),
    "a feature too many, set": lambda: sae_of().with_feature(30, 1.0),
    "a feature set to nan": lambda: sae_of().with_feature(3, float("nan")),
    "a scale of nan": lambda: sae.Dictionary(tiny_sae(), float("nan")),
    "a scale of 0": lambda: sae.Dictionary(tiny_sae(), 0.0),
    "directions with nan": lambda: sae.Dictionary(with_nan(tiny_sae()), 1.0),
    "half a feature for topk": lambda: kinds.build(sae.Settings(kind="topk", k=2.5)),
    "no dictionaries": lambda: sae_train.train([], None, sae_train.Training()),
    "edges of other tokens": lambda: splitting.edges(FIRE, splitting.csc_matrix(np.eye(5))),
    "children of no graph": lambda: splitting.children_of([], 0),
    "children of a name": lambda: splitting.children_of(splitting.edges(FIRE, FIRE), "0"),
    # ---- lessons
    "a claim of many numbers": lambda: claim("a", torch.rand(3), "> 0", slide="D1-01"),
    "a claim of None": lambda: claim("a", None, "> 0", slide="D1-01"),
    "a claim of words": lambda: claim("a", "high", "> 0", slide="D1-01"),
    "a bound that is a number": lambda: claim("a", 0.5, 0.4, slide="D1-01"),
    "a bound in words": lambda: claim("a", 0.5, "large", slide="D1-01"),
    "a board's answer of None": lambda: Board("k", "?", folder=HERE).answer(None),
    "a board's answer of numbers": lambda: Board("k", "?", folder=HERE).answer(3),
    "seats in one text": lambda: Board("k", "?", seats="the clinician", folder=HERE),
    "choices in one text": lambda: choice_view("k", "?", "yes", 0, "w", HERE),
    "30 choices": lambda: choice_view("k", "?", ["a"] * 30, 1, "w", HERE),
    "a choice by its name": lambda: choice_view("k", "?", ["a", "b"], 1, "w", HERE).choose("a"),
    "a question's choices": lambda: Question("q", "?", "no"),
    "one question alone": lambda: Rating("r", [Item("a", "", 1)], Question("q", "?"), HERE),
    "a key that is None": lambda: rating().press(None),
    "a folder of None": lambda: answers.pool(None, "board"),
    "a paper's words": lambda: claim("a", 0.5, "> 0", slide="D1-01", paper="high"),
    "half a band": lambda: claim("a", 0.5, "differs", slide="D1-01", paper=0.6, band=0.1),
    "a text in place of words": lambda: plots.heat_words("good film", [1, 1], caption="a"),
    "a list of maps": lambda: plots.maps([HEAT[0]], caption="a"),
    "a picture with nan, drawn": lambda: plots.maps({"a": np.full((9, 9), np.nan)}, caption="a"),
    "an unknown look": lambda: plots.bars({"a": 1.0}, colour="red", caption="a"),
    "a board's key": lambda: Board(3, "?", folder=HERE),
    "a choice that is not there": lambda: choice_view("k", "?", ["a"], 1, "w", HERE),
    "a right choice of text": lambda: choice_view("k", "?", ["a"], "a", "w", HERE),
    "a rating without questions": lambda: Rating("r", [], [], HERE),
    "an activity's name": lambda: Rating("r/../x", [], [Question("a", "?", ("n", "y"))], HERE),
    "items twice": lambda: Rating("r", [Item("a", "", 1)] * 2, [Question("a", "?")], HERE),
    "a rating of words": lambda: rating().give("fine"),
    "a rating of nan": lambda: rating().give(float("nan")),
    "a rating of None": lambda: rating().give(None),
    "no conditions": lambda: counterbalanced(["a"], [], "00000000"),
    "a person's name": lambda: counterbalanced(["a"], ["x"], "Ann"),
    "a figure without panels": lambda: plots.maps({}, caption="a"),
    "a map of one row": lambda: plots.maps({"a": torch.rand(5)}, caption="a"),
    "a map with nan": lambda: plots.maps({"a": torch.full((4, 4), torch.nan)}, caption="a"),
    "an empty map": lambda: plots.maps({"a": torch.rand(0, 4)}, caption="a"),
    "words and weights": lambda: plots.heat_words(["a", "b"], [1.0], caption="a"),
    "bars of words": lambda: plots.bars({"a": "high"}, caption="a"),
    "no bars": lambda: plots.bars({}, caption="a"),
    "curves of other lengths": lambda: plots.curves([1, 2, 3], {"a": [1, 2]}, caption="a"),
    "no caption": lambda: plots.bars({"a": 1.0}, caption=None),
}
HERE = None


@pytest.fixture(scope="module", autouse=True)
def here(tmp_path_factory):
    global HERE
    HERE = tmp_path_factory.mktemp("class")


def with_nan(model):
    """The model, one of its numbers nan."""
    with torch.no_grad():
        for name in {"W1.weight", "W_in.weight", "W_enc"} & dict(model.named_parameters()).keys():
            model.get_parameter(name)[0, 0] = torch.nan
    return model


class Blocks(torch.nn.Module):
    """(B, 4) -> (B, 4), with one site of `hooks`: ("mlp", 0)."""

    def __init__(self):
        super().__init__()
        self.blocks = torch.nn.ModuleList([torch.nn.Module()])
        self.blocks[0].mlp = torch.nn.Linear(4, 4)

    def forward(self, x):
        return self.blocks[0].mlp(x)


def hooked(edits):
    model = Blocks()
    with hooks.hooked(model, edits):
        model(torch.ones(2, 4))


def encode(queries):
    return maps.encode_queries(picture_model(), clip.load().tokenizer, queries)


ONE = [Item("a", "", 1)], [Question("q", "?", ("no", "yes"))]


def rating():
    return Rating("r", *ONE, HERE)


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_ends_in_one_sentence(case):
    with pytest.raises(CourseError) as caught:
        WRONG[case]()
    said = str(caught.value)
    assert "\n" not in said
    assert 20 < len(said) < 400


class Own(torch.nn.Module):
    def __init__(self, fault):
        super().__init__()
        self.fault = fault

    def forward(self, x):
        raise self.fault


FAULTS = [ValueError("mine"), TypeError("mine"), RuntimeError("mine")]


@pytest.mark.parametrize("fault", FAULTS)
def test_the_errors_of_models_and_functions_of_ones_own_stay_as_they_are(fault):
    with pytest.raises(type(fault)) as caught:
        saliency.scores(Own(fault), X, 0)
    assert caught.value is fault
    with pytest.raises(type(fault)):
        sanity.cascade(NET, ["head"], lambda *_: Own(fault)(X), X, 0)


def test_a_call_without_its_options_is_explained_by_python():
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'target'"):
        saliency.scores(NET, X)


def test_what_does_not_go_together_is_said_with_its_shapes():
    with pytest.raises(CourseError) as caught:
        faithfulness.tvd(torch.rand(4, 3), torch.rand(4, 5))
    said = str(caught.value)
    assert said.startswith(
        "tvd() does not work with p: a Tensor (4, 3), q: a Tensor (4, 5) (The size"
    )
    assert said.endswith("; help(tvd) says what it takes.")
    assert isinstance(caught.value.__cause__, RuntimeError)


def premultiplied(image: Image.Image) -> np.ndarray:
    return photos.as_rgb(image.convert({"RGBA": "RGBa", "LA": "La"}[image.mode]))


GREY = np.random.default_rng(0).integers(0, 256, (40, 50), dtype=np.uint8)
SEE_THROUGH = {
    "RGBA": Image.fromarray(np.dstack([GREY] * 3 + [np.full_like(GREY, 128)])),
    "LA": Image.fromarray(np.dstack([GREY, np.full_like(GREY, 255)]), "LA"),
}
KNOWN = attention.Vocabulary([["isn't", "good"]])
HERE_IS = ["a dog", "a cat"]
RIGHT = {  # what is unusual, and what it is
    "queries of a table": (lambda: own(pd.Series(HERE_IS, [7, 9])), lambda: own(HERE_IS)),
    "queries of an array": (lambda: own(np.array(HERE_IS)), lambda: own(HERE_IS)),
    "queries one by one": (lambda: own(q for q in HERE_IS), lambda: own(HERE_IS)),
    "a query of NumPy": (lambda: own(np.str_("a dog")), lambda: own("a dog")),
    "a query turned round": (lambda: own("\u202aa dog\u202c"), lambda: own("a dog")),
    "a typed text": (
        lambda: KNOWN.encode("Isn’t it GOOD?"),
        lambda: KNOWN.encode(["isn't", "it", "good"]),
    ),
    "words of a table": (
        lambda: KNOWN.encode(pd.Series(["good", "film"], [7, 9])),
        lambda: KNOWN.encode(["good", "film"]),
    ),
    "a vocabulary of texts": (
        lambda: attention.Vocabulary(["A good film", "bad"]).words,
        lambda: attention.Vocabulary([["a", "good", "film"], ["bad"]]).words,
    ),
    "targets of a table": (
        lambda: saliency.gradient(NET, torch.cat([X, X]), pd.Series([0, 1], [7, 9])),
        lambda: saliency.gradient(NET, torch.cat([X, X]), [0, 1]),
    ),
    "a box of a table": (
        lambda: metrics.energy_in_box(HEAT, pd.DataFrame([[2, 3, 9, 8]] * 2)),
        lambda: metrics.energy_in_box(HEAT, [2, 3, 9, 8]),
    ),
    "a box that needs a gradient": (
        lambda: metrics.energy_in_box(HEAT, torch.tensor([2.0, 3, 9, 8], requires_grad=True)),
        lambda: metrics.energy_in_box(HEAT, [2, 3, 9, 8]),
    ),
    "a box of one pixel": (
        lambda: metrics.energy_in_box(HEAT, [0, 0, 1, 1]) * HEAT.sum((1, 2)),
        lambda: HEAT[:, 0, 0],
    ),
    "colours times opacity": (
        lambda: premultiplied(SEE_THROUGH["RGBA"]) // 2,
        lambda: photos.as_rgb(SEE_THROUGH["RGBA"]) // 2,
    ),
    "greys times opacity": (
        lambda: premultiplied(SEE_THROUGH["LA"]),
        lambda: photos.as_rgb(SEE_THROUGH["LA"]),
    ),
    "distances of lists": (
        lambda: faithfulness.tvd([0.5, 0.5], np.float32([1, 0])),
        lambda: faithfulness.tvd(torch.tensor([0.5, 0.5]), torch.tensor([1.0, 0.0])),
    ),
    "ranks of arrays": (
        lambda: stats.spearman(np.array([[1.0, 3.0, 2.0]]), [[1.0, 2.0, 4.0]]),
        lambda: torch.tensor([0.5], dtype=torch.float64),
    ),
    "edges of arrays": (
        lambda: splitting.edges(np.eye(4), np.eye(4)).child,
        lambda: splitting.edges(FIRE, FIRE).child,
    ),
    "a dark baseline": (
        lambda: saliency.occlusion(NET, X, 0, window=8, stride=8, baseline=-1),
        lambda: saliency.occlusion(NET, X, 0, window=8, stride=8, baseline=-torch.ones(3, 16, 16)),
    ),
    "numbers of NumPy": (
        lambda: saliency.smoothgrad(NET, X, np.int64(1), samples=np.int8(2), noise=np.float32(0.5)),
        lambda: saliency.smoothgrad(NET, X, 1, samples=2, noise=0.5),
    ),
    "numbers of torch": (
        lambda: toy_models.represented(W, torch.tensor(0.5)),
        lambda: toy_models.represented(W, 0.5),
    ),
    "tokens in 16 bits": (lambda: tiny()(TOKENS.short()), lambda: tiny()(TOKENS)),
    "an answer by NumPy": (lambda: rated(np.int64(1)), lambda: rated(1)),
    "an answer without its time": (lambda: kept(float("nan")), lambda: kept(None)),
    "an answer before it was asked": (lambda: kept(-1), lambda: kept(None)),
}


def own(queries) -> torch.Tensor:
    model, _, tokenizer = clip.load()
    return maps.encode_queries(model, tokenizer, queries)


def rated(value) -> str:
    rating = Rating(f"r{random.random()}".replace(".", ""), *ONE, HERE)
    rating.give(value)
    return str(rating.given)


def kept(seconds) -> str:
    """The answers that a reader finds again, with their times."""
    store = Store(f"s{random.random()}".replace(".", ""), HERE)
    store.add("a", "", 1, seconds)
    return str([(record.answer, record.seconds) for record in store.records()])


@pytest.mark.parametrize("case", RIGHT)
def test_what_is_unusual_is_what_it_says(case):
    given, usual = (of() for of in RIGHT[case])
    if isinstance(given, torch.Tensor):
        torch.testing.assert_close(given, usual)
    else:
        assert np.array_equal(given, usual)
