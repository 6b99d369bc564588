"""What lesson 03 measures on: tasks with small digits, scenes with boxes, CLIP's picture tower."""

from collections.abc import Callable, Mapping
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.transforms.functional import gaussian_blur

from helpers.clip import maps, model, score
from helpers.clip.relevance import relevance
from helpers.datasets import scenes as emoji
from helpers.ground.stats import spearman
from helpers.nets import scene_classifier
from helpers.nets.digits import Digits
from helpers.saliency import metrics

BLOCKS = [f"transformer.resblocks.{i}" for i in (3, 2, 1, 0)]
TOWER = [  # the picture tower's layers, from the output down
    ["proj", "ln_post"],
    *BLOCKS,
    ["ln_pre", "positional_embedding", "class_embedding", "conv1"],
]


def likeness(cascades: Mapping[str, list[Tensor]], measure: Callable) -> dict[str, Tensor]:
    """{method: (networks, layers)}: how like the trained map each later one of a cascade is."""
    mean = lambda maps: torch.stack([measure(maps[0], m).nanmean() for m in maps[1:]])
    return {name: torch.stack([mean(maps) for maps in runs]) for name, runs in cascades.items()}


def on_ink(a: Tensor, b: Tensor, x: Tensor) -> Tensor:
    """Spearman's ρ of two stacks of maps without signs, where each picture is not 0: (B,)."""
    rows = [(p[q != 0], r[q != 0]) for p, r, q in zip(a.abs(), b.abs(), x, strict=True)]
    return torch.stack([spearman(p[None], r[None])[0] for p, r in rows])


def halves(values: Tensor, *, splits: int) -> tuple[float, float, float]:
    """How a ranking of methods by their means agrees between two halves of the scenes.

    values: (methods, scenes). The mean rank correlation, and where 90 % of the splits lie.
    """
    generator = torch.Generator().manual_seed(0)
    rank = []
    for _ in range(splits):
        order = torch.randperm(values.shape[1], generator=generator).to(values.device)
        a, b = (values[None, :, half].mean(2) for half in order.chunk(2))  # (1, methods)
        rank.append(spearman(a, b))
    rank = torch.cat(rank)
    low, high = rank.nanquantile(rank.new_tensor([0.05, 0.95])).tolist()
    return rank.nanmean().item(), low, high


def careless(layer: nn.Module) -> None:
    """What a hasty reset does: attention keeps its weights where `reset_parameters` is no name."""
    for part in layer.modules():
        if hasattr(part, "reset_parameters"):
            part.reset_parameters()


def tasks(data: Digits) -> dict[str, tuple[Tensor, Tensor]]:
    """{name: (pictures (N, 1, 28, 28), labels)}: a digit alone, the left of two, the larger one."""
    half, other = F.avg_pool2d(data.images, 2), data.digit.roll(1)  # (N, 1, 14, 14)
    pair = F.pad(torch.cat((half, half.roll(1, 0)), dim=3), (0, 0, 7, 7))
    larger = torch.maximum(data.digit, other)
    alone = F.pad(half, (7, 7, 7, 7))
    return {"one": (alone, data.digit), "left": (pair, data.digit), "larger": (pair, larger)}


def table(contest: Mapping[str, Callable], *, scenes: int, device) -> dict[str, Tensor]:
    """{measure: (methods, scenes)} of maps for the first thing in scenes of two; empty maps: 0."""
    judge, drawn = (
        scene_classifier.load(device=device),
        emoji.sample(scenes, 903, count=2, held_out=True),
    )
    x = scene_classifier.preprocess([scene.image for scene in drawn]).to(device)
    target = torch.tensor([scene.things[0].concept for scene in drawn]).to(device)
    boxes = torch.tensor([scene.boxes[0] for scene in drawn]) * x.shape[-1] / 96
    asked, boxes = (judge, x, target), boxes.round().long().to(device)
    rows = []
    for method in contest.values():
        m = method(*asked).expand_as(x)  # Grad-CAM has one channel for all colours
        heat = metrics.magnitude(m)
        shown = metrics.insertion(*asked, heat, steps=12, start=gaussian_blur(x, 21, 5))
        row = {
            "pointing": metrics.pointing_game(heat, boxes),
            "energy": metrics.energy_in_box(heat, boxes),
            "deletion": metrics.area(metrics.deletion(*asked, heat, steps=12)),
            "insertion": metrics.area(shown),
            "infidelity": metrics.infidelity(*asked, m, samples=16, normalise=True),
            "sensitivity": metrics.sensitivity_max(method, *asked, samples=2),
        }
        rows.append(row)
    return {name: torch.stack([row[name] for row in rows]).nan_to_num() for name in rows[0]}


def clip_relevance(*, scenes: int, device) -> tuple:
    """CLIP's picture tower, draw(tower, pictures, texts), and both with their boxes (scenes, 4)."""
    clip = model.load(device=device)
    pairs = score.two_things(scenes)
    texts = maps.encode_queries(clip.model, clip.tokenizer, [names[0] for _, names in pairs])
    pictures = [maps.scaled(clip.model, scene.image) for scene, _ in pairs]
    boxes = torch.tensor([scene.boxes[0] for scene, _ in pairs]).to(device)
    of = partial(relevance, clip.model)  # (3, 96, 96), (1, D) -> (1, 96, 96)

    def draw(_, pictures, texts):  # the tower is a part of the model
        return torch.stack([of(p, text[None]) for p, text in zip(pictures, texts, strict=True)])

    return clip.model.visual, draw, pictures, texts, boxes
