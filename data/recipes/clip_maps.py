"""Makes data/clip_maps: all maps of lesson 02, scored on held-out scenes."""

import random

import torch
from torch import Tensor

from data.recipes.base import Run
from data.recipes.scenes import question
from helpers.clip import maps
from helpers.clip import model as clip
from helpers.clip.score import (
    MEASURES,
    cures,
    methods,
    neutral_texts,
    per_scene,
    score,
    two_things,
)
from helpers.datasets import scenes
from helpers.ground.stats import interval

Asked = tuple[scenes.Scene, list[str]]  # and a query for each of its things


def three_people(n: int) -> list[Asked]:
    """Held-out scenes of three people, with a held-out "who …?" for each."""
    rng = random.Random(6)
    drawn = scenes.sample(n, 6003, count=3, people=True, held_out=True)
    return [
        (scene, [question(rng, thing.concept, held_out=True) for thing in scene.things])
        for scene in drawn
    ]


def all_maps(model, image: Tensor, texts: Tensor, neutral: Tensor, seed: int) -> dict[str, Tensor]:
    """Everything the table compares; "centre" is highest in the middle, whatever is there."""
    height, width = image.shape[1:]
    y = torch.linspace(-1, 1, height, device=image.device)[:, None]
    x = torch.linspace(-1, 1, width, device=image.device)
    centre = (1.5 - torch.hypot(x, y)).expand(len(texts), -1, -1)
    drawn = cures(model, image, texts, neutral, seed=seed)
    for name, method in methods(model).items():
        options = {"masks": 300, "seed": seed} if name == "RISE" else {}
        if name != "crops":  # the sum among the cures
            drawn[name] = method(model, image, texts, **options)
    return {**drawn, "centre": centre}


def score_scene(model, tokenizer, asked: Asked, neutral: Tensor, seed: int) -> dict[str, Tensor]:
    """One row of the table: {map: (Q, MEASURES)}, on the CPU."""
    scene, queries = asked
    texts = maps.encode_queries(model, tokenizer, queries)
    drawn = all_maps(model, maps.scaled(model, scene.image), texts, neutral, seed)
    return dict(zip(drawn, score(drawn, scene.boxes).cpu(), strict=True))


def make(run: Run) -> None:
    """Score all maps on held-out scenes, store the table and its card. Resumable by scenes."""
    n = run.pick(200, 1000, 2)
    model, _, tokenizer = clip.load(device=run.device)
    neutral = neutral_texts(model, tokenizer)
    checkpoint = run.checkpoint()
    rows = checkpoint.load() or {"two": [], "three": []}
    for kind, asked in (("two", two_things(n)), ("three", three_people(max(2, n // 4)))):
        for i in range(len(rows[kind]), len(asked)):
            rows[kind].append(score_scene(model, tokenizer, asked[i], neutral, seed=i))
            if i % 20 == 19:
                checkpoint.save(rows)
                print(f"{kind} things: {i + 1} of {len(asked)} scenes", flush=True)
    tables = {
        kind: torch.stack([torch.stack(list(row.values())) for row in part])
        for kind, part in rows.items()
    }
    axes = "scene, map, query, measure"
    meta = {"maps": list(rows["two"][0]), "measures": MEASURES, "axes": axes}
    run.save(tables, version=1, meta=meta)
    run.card(card(measure(run)))
    checkpoint.clear()


def measure(run: Run) -> dict[str, list[float]]:
    """{"two · sum · hit": [mean, low, high], ...}: over scenes, with 95 % bootstrap intervals."""
    tables, meta = run.load()
    return {
        f"{kind} · {name} · {what}": interval(per_scene(table[:, m])[:, w])
        for kind, table in tables.items()
        for m, name in enumerate(meta["maps"])
        for w, what in enumerate((*MEASURES[:2], "right way round"))
    }


def card(numbers: dict[str, list[float]]) -> str:
    rows = [f"| {k} | {v:.2f} | {low:.2f} to {high:.2f} |" for k, (v, low, high) in numbers.items()]
    return CARD + "\n".join(rows)


CARD = """# clip_maps

How well the maps of lesson 02 point at what was asked, on held-out scenes: 200 of two things, asked
by name, and 50 of three people, asked by "who …?". For each scene, map and query: whether the map's
highest pixel lies in the box (hit), the share of its positive part there (energy), and its mean
over the box minus that over the next best box (gap).

Made by `python -m helpers make clip_maps` from `data/clip_emoji` (about 10 minutes on two quiet
cores). Numbers only; no picture or text of others is in it.

| scenes · map · measure | mean over scenes | 95 % interval |
|---|---|---|
"""
