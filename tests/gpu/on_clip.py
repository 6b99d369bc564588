"""How the functions of helpers.clip are called on a device."""

import tempfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from data.recipes.clip_emoji import build
from helpers import saliency
from helpers.clip import maps, model, relevance, score
from helpers.ground.artifacts import Checkpoint
from tests.gpu.calls import Call

SMALL = model.Settings(width=32, layers=(3, 1), steps=4, warm_up=1, easy=2)


def net(device):
    return build(SMALL, 300).eval().requires_grad_(False).to(device)


def draw(device, *shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(device)


def image(device):
    return draw(device, 3, 40, 32).tanh()


def texts(device):
    return F.normalize(draw(device, 2, 32), dim=-1)


def boxes():
    return maps.crop_boxes(6, 40, 32, 8, torch.Generator().manual_seed(0))


def gains(device):
    return draw(device, 6, 2)


def tokenizer(queries, length=20):
    rows = torch.zeros(len(queries), length, dtype=torch.long)
    for row, query in zip(rows, queries, strict=True):
        row[: len(query.split())] = 5
    return rows


def pairs(first):
    for step in range(first, SMALL.steps):
        same = torch.eye(4)
        yield draw("cpu", 4, 3, 64, 64, seed=step), torch.full((4, 20), 7), same


def trained(device):
    one = build(SMALL, 300).to(device)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Checkpoint("pretend", Path(folder))
        return model.train(one, pairs, SMALL, checkpoint, every=4, report=lambda *_: None)


def one_step(device):
    one = build(SMALL, 300).to(device)
    optimizer = torch.optim.AdamW(one.parameters(), lr=1e-3)
    return model.train_step(one, optimizer, 0, SMALL, next(pairs(0)))


def loss(device):
    a, b = (F.normalize(draw(device, 4, 8, seed=s), dim=-1) for s in (1, 2))
    return model.contrastive_loss(a, b, torch.tensor(3.0, device=device), torch.eye(4).to(a))


def marked(device):
    drawn = {"a": draw(device, 2, 40, 32), "b": draw(device, 2, 40, 32, seed=2)}
    return score.score(drawn, [(2, 2, 9, 9), (12, 12, 30, 30)])


def everyone(device):
    methods = score.methods(net(device))
    few = {"crops": {"crops": 6}, "RISE": {"masks": 8}}
    return {
        name: method(net(device), image(device), texts(device), **few.get(name, {}))
        for name, method in methods.items()
    }


# Waits: saliency's check of its inputs, of what came out, and what comes of it.
CALLS = {
    maps.Similarity.forward: Call(
        lambda d: maps.Similarity(net(d), texts(d))(maps.whole(net(d), image(d)))
    ),
    maps.add_up: Call(lambda d: maps.add_up(gains(d), boxes(), 40, 32)),
    maps.average: Call(lambda d: maps.average(gains(d), boxes(), 40, 32, k=2, by_area=True)),
    maps.crop_gains: Call(lambda d: maps.crop_gains(net(d), image(d), texts(d), boxes()), waits=1),
    maps.crop_map: Call(
        lambda d, steps: maps.crop_map(net(d), image(d), texts(d), crops=4 * steps),
        waits=1,
    ),
    # the agreement is looked at once a step, to stop
    maps.crop_map_until: Call(
        lambda d: maps.crop_map_until(net(d), image(d), texts(d), step=8, most=16),
        waits=4,
    ),
    maps.cut: Call(lambda d: maps.cut(net(d), image(d), boxes())),
    maps.encode_queries: Call(
        lambda d: maps.encode_queries(net(d), tokenizer, ["a dog", "two"]), waits=1
    ),
    maps.explain: Call(
        lambda d: maps.explain(saliency.gradient, net(d), image(d), texts(d))[:1],
        waits=2,
    ),
    maps.grad_cam: Call(lambda d: maps.grad_cam(net(d), image(d), texts(d)), waits=3),
    maps.put_back: Call(lambda d: maps.put_back(draw(d, 2, 8, 8), image(d))),
    maps.resizing: Call(
        lambda d: maps.resizing(torch.zeros(2, device=d), draw(d, 2).abs() * 9, 12, 4, "bilinear")
    ),
    maps.scaled: Call(lambda d: maps.scaled(net(d), np.zeros((40, 32, 3), np.uint8))),
    maps.whole: Call(lambda d: maps.whole(net(d), image(d))),
    model.contrastive_loss: Call(loss),
    model.load: Call(lambda d: model.load(device=d).model.logit_scale),
    model.train: Call(trained, waits=2, close=1e-2),
    model.train_step: Call(one_step, close=1e-3),
    relevance.relevance: Call(lambda d: relevance.relevance(net(d), image(d), texts(d)), waits=2),
    score.cures: Call(
        lambda d, steps: score.cures(net(d), image(d), texts(d), texts(d)[:1], crops=4 * steps),
        waits=1,
    ),
    score.methods: Call(everyone, waits=10),
    score.per_scene: Call(lambda d: score.per_scene(draw(d, 5, 2, 3))),
    score.score: Call(marked),
}
LEFT_OUT = {
    "no tensor is computed": [
        maps.in_pixels,
        maps.middle,
        maps.pixels_of,
        maps.refuse_raw,
        maps.tower_of,
        model.dropped,
        model.rate,
        score.two_things,
    ],
    "made on the CPU; the caller moves it": [maps.crop_boxes],
    "runs jobs in threads": [model.run],
}
