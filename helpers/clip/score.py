"""Do the maps point at the right thing? Scores against the boxes of held-out scenes, and the table in data/clip_maps."""

import random
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from data.recipes.clip_emoji import named
from helpers.clip import maps, relevance
from helpers.clip import model as clip
from helpers.datasets import scenes
from helpers.ground.artifacts import Checkpoint, load_artifact, save_artifact, write_card

METHODS: dict[str, Callable] = {
    "crops": maps.crop_map,
    "Grad-CAM": maps.grad_cam,
    "relevance": relevance.relevance,
    "occlusion": maps.occlusion,
    "RISE": maps.rise,
}
MEASURES = ("hit", "energy", "gap")
Box = tuple[int, int, int, int]


# ---- measures of one map (H, W) -----------------------------------------------------------------------------------------
def pointing(values: Tensor, box: Box) -> float:
    """1 where the map is highest inside the box (tolerance 0), else 0. Zhang et al. 2016 (the pointing game)."""
    y, x = divmod(int(values.argmax()), values.shape[1])
    left, top, right, bottom = box
    return float(left <= x < right and top <= y < bottom)


def energy(values: Tensor, box: Box) -> float:
    """The share of the map's positive part that lies in the box; 0 where there is none. Wang et al. 2020 (Score-CAM)."""
    positive = values.clamp(min=0)
    return float(inside(positive, box).sum() / positive.sum().clamp(min=1e-12))


def gap(values: Tensor, box: Box, other: Box) -> float:
    """The map's mean over the box, less that over another box."""
    return float(inside(values, box).mean() - inside(values, other).mean())


def inside(values: Tensor, box: Box) -> Tensor:
    left, top, right, bottom = box
    return values[top:bottom, left:right]


def score(drawn: dict[str, Tensor], boxes: list[Box]) -> Tensor:
    """(maps, Q, MEASURES) of maps (Q, H, W) whose q-th query asks for the q-th box. The gap is to the next best box."""
    rows = [
        [
            (
                pointing(m[q], box),
                energy(m[q], box),
                min(gap(m[q], box, other) for other in boxes if other != box),
            )
            for q, box in enumerate(boxes)
        ]
        for m in drawn.values()
    ]
    return torch.tensor(rows)


# ---- the maps that are compared -----------------------------------------------------------------------------------------
def cures(
    model,
    image: Tensor,
    texts: Tensor,
    neutral: Tensor,
    *,
    crops: int = 300,
    k: float = 40.0,
    seed: int = 0,
) -> dict[str, Tensor]:
    """The crop map and its cures, all from the same crops. neutral (2, D): "a picture", and the mean of all concepts' names."""
    size = image.shape[1:]
    boxes = maps.crop_boxes(
        crops, *size, maps.in_pixels(0.22, image), torch.Generator().manual_seed(seed)
    ).to(image.device)
    gains, queries = maps.crop_gains(model, image, torch.cat((texts, neutral)), boxes), len(texts)
    asked, picture, mean = (
        gains[:, :queries],
        gains[:, queries : queries + 1],
        gains[:, queries + 1 :],
    )
    return {
        "sum": maps.add_up(asked, boxes, *size),
        "mean": maps.average(asked, boxes, *size),
        "shrunk mean": maps.average(asked, boxes, *size, k=k),
        "shrunk, by 1/area": maps.average(asked, boxes, *size, k=k, by_area=True),
        "sum − 'a picture'": maps.add_up(asked - picture, boxes, *size),
        "sum − mean concept": maps.add_up(asked - mean, boxes, *size),
    }


def all_maps(
    model, image: Tensor, texts: Tensor, neutral: Tensor, seed: int = 0
) -> dict[str, Tensor]:
    """Everything the table compares; "centre" looks at no picture: it is highest in the middle, whatever is there."""
    height, width = image.shape[1:]
    y, x = torch.meshgrid(
        torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij"
    )
    centre = (1.5 - torch.hypot(x, y)).expand(len(texts), -1, -1)
    others = {
        "Grad-CAM": maps.grad_cam(model, image, texts),
        "relevance": relevance.relevance(model, image, texts),
        "occlusion": maps.occlusion(model, image, texts),
        "RISE": maps.rise(model, image, texts, masks=300, seed=seed),
    }
    return {**cures(model, image, texts, neutral, seed=seed), **others, "centre": centre}


# ---- the table ----------------------------------------------------------------------------------------------------------
def two_things(n: int) -> list[tuple[scenes.Scene, list[str]]]:
    """Held-out scenes of two things, with each one's name in a wording that training did not use for it."""
    return [
        (scene, [named(thing.concept) for thing in scene.things])
        for scene in scenes.sample(n, 6002, count=2, held_out=True)
    ]


def three_people(n: int) -> list[tuple[scenes.Scene, list[str]]]:
    """Held-out scenes of three people, with a held-out "who …?" for each."""
    rng = random.Random(6)
    return [
        (scene, [scenes.question(rng, thing.concept, held_out=True) for thing in scene.things])
        for scene in scenes.sample(n, 6003, count=3, people=True, held_out=True)
    ]


def neutral_texts(model, tokenizer) -> Tensor:
    """(2, D): "a picture", and the mean direction of all concepts' names."""
    concepts = maps.encode_queries(
        model, tokenizer, [named(i) for i in range(len(scenes.concepts()))]
    )
    picture = maps.encode_queries(model, tokenizer, ["a picture"])
    return torch.cat(
        (picture, torch.nn.functional.normalize(concepts.mean(0, keepdim=True), dim=-1))
    )


def score_scene(
    model, tokenizer, asked: tuple[scenes.Scene, list[str]], neutral: Tensor, seed: int
) -> dict[str, Tensor]:
    """One row of the table: {map: (Q, MEASURES)}."""
    scene, queries = asked
    drawn = all_maps(
        model,
        maps.scaled(model, scene.image),
        maps.encode_queries(model, tokenizer, queries),
        neutral,
        seed,
    )
    return dict(zip(drawn, score(drawn, scene.boxes), strict=True))


def make(*, scale: str = "small", smoke: bool = False, out: Path | None = None) -> None:
    """Score all maps on held-out scenes, store the table in `out` and write its card. Resumable, a scene at a time."""
    out = out or clip.FOLDER.parent / "clip_maps"
    n = 2 if smoke else 200 if scale == "small" else 1000
    model, _, tokenizer = clip.load()
    neutral, checkpoint = (
        neutral_texts(model, tokenizer),
        Checkpoint(out.name, root=out.parent / ".checkpoints" if smoke else None),
    )
    rows = checkpoint.load() or {"two": [], "three": []}
    for kind, asked in (("two", two_things(n)), ("three", three_people(max(1, n // 4)))):
        for i in range(len(rows[kind]), len(asked)):
            rows[kind].append(score_scene(model, tokenizer, asked[i], neutral, seed=i))
            if i % 20 == 19:
                checkpoint.save(rows)
                print(f"{kind} things: {i + 1} of {len(asked)} scenes", flush=True)
    tables = {
        kind: torch.stack([torch.stack(list(row.values())) for row in part])
        for kind, part in rows.items()
    }
    save_artifact(
        out.name,
        tables,
        version=1,
        root=out.parent,
        meta={
            "maps": list(rows["two"][0]),
            "measures": MEASURES,
            "axes": "scene, map, query, measure",
        },
    )
    if not smoke:
        write_card(out.name, card(measure(out=out)), root=out.parent)
    checkpoint.clear()


def measure(*, out: Path | None = None) -> dict[str, list[float]]:
    """{"two · sum · hit": [mean, low, high], ...}: means over scenes and their 95 % bootstrap intervals."""
    from data.recipes.clip_emoji import interval

    out = out or clip.FOLDER.parent / "clip_maps"
    tables, meta = load_artifact(out.name, root=out.parent)
    return {
        f"{kind} · {name} · {what}": interval(per_scene(table[:, m])[:, w].double().numpy())
        for kind, table in tables.items()
        for m, name in enumerate(meta["maps"])
        for w, what in enumerate((*MEASURES[:2], "right way round"))
    }


def per_scene(rows: Tensor) -> Tensor:
    """(S, Q, MEASURES) to (S, 3): share of hits, mean energy, and whether each query's own box has the highest mean."""
    return torch.stack(
        (rows[..., 0].mean(1), rows[..., 1].mean(1), (rows[..., 2] > 0).all(1).to(rows)), 1
    )


def card(numbers: dict[str, list[float]]) -> str:
    """The text of data/clip_maps/README.md."""
    lines = [
        f"| {name} | {mean:.2f} | {low:.2f} to {high:.2f} |"
        for name, (mean, low, high) in numbers.items()
    ]
    return "\n".join(
        [
            "# clip_maps",
            "",
            "How well the maps of lesson 02 point at what was asked, on held-out scenes: 200 of two things, asked by name, and "
            '50 of three people, asked by "who …?". For each scene, map and query: whether the map\'s highest pixel lies in the box '
            "(hit), the share of its positive part there (energy), and its mean over the box less that over the next best box (gap).",
            "",
            "Made by `python -m helpers make clip_maps` from `data/clip_emoji` (about 10 minutes on two quiet cores). Numbers only; "
            "no picture or text of others is in it.",
            "",
            "| scenes · map · measure | mean over scenes | 95 % interval |",
            "|---|---|---|",
            *lines,
            "",
        ]
    )
