"""Do the maps point at the right thing? The maps that lesson 02 compares, and their scores."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import torch
from torch import Tensor

from helpers import saliency
from helpers.clip import maps
from helpers.clip.relevance import relevance
from helpers.datasets import scenes
from helpers.ground.boxes import boxes_on
from helpers.ground.errors import checked
from helpers.saliency.metrics import energy_in_box, in_boxes, pointing_game

MEASURES = ("hit", "energy", "gap")


# ---- the maps ---------------------------------------------------------------------------------
def methods(model) -> dict[str, Callable]:
    """The deck's map and four others of one signature, method(model, image, texts)."""
    P = maps.pixels_of(model)  # a window hides a quarter of the side
    return {
        "crops": maps.crop_map,
        "Grad-CAM": maps.grad_cam,
        "relevance": relevance,
        "occlusion": partial(maps.explain, saliency.occlusion, window=P // 4, stride=P // 8),
        "RISE": partial(maps.explain, saliency.rise, masks=400, softmax=False, centred=True),
    }


@checked
def cures(model, image, texts, neutral: Tensor, *, crops=300, k=40.0, seed=0) -> dict[str, Tensor]:
    """The crop map and its cures, all from one set of crops; neutral (1, D): of "a picture"."""
    size = image.shape[1:]
    generator = torch.Generator().manual_seed(seed)
    boxes = maps.crop_boxes(crops, *size, maps.in_pixels(0.22, image), generator)
    gains = maps.crop_gains(model, image, torch.cat((texts, neutral)), boxes)  # (N, Q + 1)
    asked, picture = gains.split((len(texts), 1), dim=1)
    return {
        "sum": maps.add_up(asked, boxes, *size),
        "mean": maps.average(asked, boxes, *size),
        "shrunk mean": maps.average(asked, boxes, *size, k=k),
        "shrunk, by 1/area": maps.average(asked, boxes, *size, k=k, by_area=True),
        "sum − 'a picture'": maps.add_up(asked - picture, boxes, *size),
    }


# ---- their scores -----------------------------------------------------------------------------
@checked
def two_things(n: int, look: scenes.Look = scenes.USUAL) -> list[tuple[scenes.Scene, list[str]]]:
    """Held-out scenes of two things, each named in a wording that training never saw for it."""
    drawn = scenes.sample(n, 6002, count=2, held_out=True, look=look)
    return [(scene, [scenes.named(thing.concept) for thing in scene.things]) for scene in drawn]


@checked
def score(drawn: Mapping[str, Tensor], boxes: list[tuple]) -> Tensor:
    """Scores of maps (Q, H, W) whose q-th query asks for the q-th box: (maps, Q, MEASURES).

    gap: the map's mean over the box, minus that over the next best box. Empty maps hit nothing.
    """
    heat = torch.stack(list(drawn.values()))  # (M, Q, H, W)
    M, Q = heat.shape[:2]
    boxes = boxes_on(boxes, *heat.shape[2:])
    each = np.tile(boxes, (M, 1))  # (M Q, 4)
    hit = pointing_game(heat.flatten(0, 1), each).nan_to_num().view(M, Q)
    energy = energy_in_box(heat.flatten(0, 1), each).nan_to_num().view(M, Q)
    place = in_boxes(boxes, heat[0]).to(heat)  # (boxes, H, W)
    means = torch.einsum("mqhw,bhw->mqb", heat, place) / place.sum((1, 2))
    own = means.diagonal(dim1=1, dim2=2)  # (M, Q)
    next_best = means.masked_fill(torch.eye(Q, dtype=torch.bool, device=heat.device), -torch.inf)
    return torch.stack((hit, energy, own - next_best.amax(2)), 2)


def per_scene(rows: Tensor) -> Tensor:
    """(S, Q, MEASURES) to (S, 3): hits, energy, and whether each query's own box is the highest."""
    right_way_round = (rows[..., 2] > 0).all(1).to(rows)
    return torch.stack((rows[..., 0].mean(1), rows[..., 1].mean(1), right_way_round), 1)
