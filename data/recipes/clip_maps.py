"""Makes data/clip_maps: all maps of lesson 02, scored on held-out scenes."""

import random
from functools import partial

import torch
from torch import Tensor

from data.recipes import arts
from data.recipes.base import Run, table
from data.recipes.clip_emoji import SMALL, UNSEEN_PHOTOS
from data.recipes.scenes import question
from helpers.clip import maps
from helpers.clip import model as clip
from helpers.clip.score import MEASURES, cures, methods, per_scene, score, two_things
from helpers.datasets import scenes
from helpers.ground.stats import interval
from notebooks.support.lesson02 import grounds

Asked = tuple[scenes.Scene, list[str]]  # and a query for each of its things
SCENES = (30, 200, 2)  # a column, at each size of a run
LARGE = (0.40, 0.50)  # a thing's side; .30 to .50 in the lessons' scenes of two


def three_people(n: int) -> list[Asked]:
    """Held-out scenes of three people, with a held-out "who …?" for each."""
    rng = random.Random(6)
    drawn = scenes.sample(n, 6003, count=3, people=True, held_out=True)
    return [
        (scene, [question(rng, thing.concept, held_out=True) for thing in scene.things])
        for scene in drawn
    ]


def columns(run: Run) -> dict[str, list[Asked]]:
    """The table's columns: two things as the lessons draw them, in five other looks, and people."""
    n = run.pick(*SCENES)
    looks = {
        "plain": scenes.USUAL,
        "noise": scenes.Look(grounds.noise),
        "photographs": scenes.Look(partial(grounds.photograph, names=UNSEEN_PHOTOS)),
        "large": scenes.Look(sides=LARGE),
        "small": scenes.Look(sides=SMALL),
    }
    if not run.smoke:
        looks["other art"] = scenes.Look(art=arts.art(arts.UNSEEN))
    asked = {name: two_things(n, look) for name, look in looks.items()}
    return asked | {"three people": three_people(n)}


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
    model, _, tokenizer = clip.load(device=run.device)
    neutral = maps.encode_queries(model, tokenizer, "a picture")
    checkpoint = run.checkpoint()
    rows = checkpoint.load() or {}
    for name, asked in columns(run).items():
        done = rows.setdefault(name, [])
        for i in range(len(done), len(asked)):
            done.append(score_scene(model, tokenizer, asked[i], neutral, seed=i))
            if i % 4 == 3:
                checkpoint.save(rows)
                print(f"{name}: {i + 1} of {len(asked)} scenes", flush=True)
    tables = {
        name: torch.stack([torch.stack(list(row.values())) for row in part])
        for name, part in rows.items()
    }
    axes = "scene, map, query, measure"
    meta = {"maps": list(rows["plain"][0]), "measures": MEASURES, "axes": axes}
    run.save(tables, version=2, meta=meta)
    run.card(card(measure(run), run.pick(*SCENES)))
    checkpoint.clear()


def measure(run: Run) -> dict[str, dict]:
    """{measure: {column: {map: [mean, low, high]}}}: over scenes, 95 % bootstrap intervals."""
    tables, meta = run.load()
    return {
        what: {
            column: {
                name: interval(per_scene(scores[:, m])[:, w]) for m, name in enumerate(meta["maps"])
            }
            for column, scores in tables.items()
        }
        for w, what in enumerate(WHATS)
    }


def card(numbers: dict[str, dict], scenes_each: int) -> str:
    parts = [CARD.format(scenes=scenes_each)]
    for what, by_column in numbers.items():
        written = {
            column: {name: "{:.2f} ({:.2f} to {:.2f})".format(*row) for name, row in rows.items()}
            for column, rows in by_column.items()
        }
        parts.append(f"## {what.capitalize()}\n\n{table(written)}\n")
    return "\n".join(parts)


WHATS = ("hit", "energy", "right way round")
CARD = """# clip_maps

How well the maps of lesson 02 point at what was asked, on {scenes} held-out scenes a column. Two
things, asked by name: as the lessons draw them (plain; .30 to .50 of the side), on noise, on
photographs that training never showed, large (.40 to .50 of the side), small (.15 to .30), and in
an art that training never showed (OpenMoji). Three people, asked by "who …?".

* **hit**: the map's highest pixel lies in the box asked for, mean over the scene's queries
* **energy**: the share of the map's positive part that lies there
* **right way round**: for every query of the scene its own box has the highest mean

Made by `python -m helpers make clip_maps` from `data/clip_emoji` (about 7 minutes of one quiet
core; resumable). The tensors hold for each scene, map and query hit, energy, and gap: the map's
mean over the box minus that over the next best box. Numbers only; no picture or text of others is
in it. Means over scenes, in brackets 95 % intervals by bootstrap over scenes.
"""
