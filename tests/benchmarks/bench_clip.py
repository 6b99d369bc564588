"""Maps of lesson 02.

All crops together beside one at a time, relevance for many queries beside one pass a query.
"""

import sys

import numpy as np
import torch
from PIL import Image

from helpers.clip import maps, score
from helpers.clip import model as clip
from helpers.clip.relevance import relevance
from tests.benchmarks import bench
from tests.benchmarks.bench import Contest


def contests() -> list[Contest]:
    return [crops_of_a_scene(), *(relevance_of(n) for n in (4, 32))]


def one_at_a_time(
    model, preprocess, picture: np.ndarray, texts: torch.Tensor, boxes: torch.Tensor
) -> torch.Tensor:
    """The demo's loop: Pillow cuts, open_clip's preprocessing resizes, the model sees one crop."""
    whole = Image.fromarray(picture)
    with torch.no_grad():
        rows = [
            model.encode_image(preprocess(part)[None], normalize=True) @ texts.T
            for part in (whole, *(whole.crop(box) for box in boxes.tolist()))
        ]
    return torch.cat(rows[1:]) - rows[0]


def crops_of_a_scene() -> Contest:
    model, preprocess, tokenizer = clip.load()
    scene, names = score.two_things(1)[0]
    texts, image = maps.encode_queries(model, tokenizer, names), maps.scaled(model, scene.image)
    boxes = maps.crop_boxes(200, 96, 96, 21, torch.Generator().manual_seed(0))
    return Contest(
        "200 crops of a scene, clip_emoji",
        lambda: maps.crop_gains(model, image, texts, boxes),
        lambda: one_at_a_time(model, preprocess, scene.image, texts, boxes),
        "the demo's loop, Pillow",
        0.05,
        200,
        "crop",
    )


def relevance_of(queries: int) -> Contest:
    model, _, _ = clip.load()
    scene, _ = score.two_things(1)[0]
    image = maps.scaled(model, scene.image)
    texts = torch.nn.functional.normalize(
        torch.randn(queries, 128, generator=torch.Generator().manual_seed(0)), dim=-1
    )
    return Contest(
        f"relevance of {queries} queries, clip_emoji",
        lambda: relevance(model, image, texts),
        lambda: torch.cat([relevance(model, image, text[None]) for text in texts]),
        "one pass a query",
        1e-4,
        queries,
        "map",
    )


if __name__ == "__main__":
    torch.set_num_threads(2)
    sys.exit(bench.run(contests, sys.argv[1:]))
