"""What lesson 03 measures on: six methods, digits, scenes with boxes, CLIP's picture tower."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import combinations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.transforms.functional import gaussian_blur

from helpers import saliency
from helpers.clip import maps, model, score
from helpers.clip.relevance import relevance
from helpers.datasets import scenes as emoji
from helpers.ground.stats import spearman
from helpers.nets import scene_classifier
from helpers.nets.digits import LAYERS, Digits
from helpers.saliency import metrics, sanity

BLOCKS = [f"transformer.resblocks.{i}" for i in (3, 2, 1, 0)]
TOWER = [  # the picture tower's layers, from the output down
    ["proj", "ln_post"],
    *BLOCKS,
    ["ln_pre", "positional_embedding", "class_embedding", "conv1"],
]
PAPER = {  # Spearman without signs, MNIST, as softmax, fc1, hidden2, hidden1 fall: Adebayo 2018
    "Gradient": (0.601, 0.396, 0.106, 0.082),
    "Integrated Gradients": (0.994, 0.993, 0.993, 0.992),
    "Guided Backprop": (0.888, 0.773, 0.628, 0.444),
    "Grad-CAM": (0.556, 0.344, 0.290, 0.299),
}


def methods(cam: str) -> dict[str, Callable]:
    """The lesson's six methods; cam: the layer whose channels Grad-CAM weighs."""
    return {
        "Gradient": saliency.gradient,
        "Gradient × Input": saliency.gradient_x_input,
        "SmoothGrad": partial(saliency.smoothgrad, samples=10),
        "Integrated Gradients": partial(saliency.integrated_gradients, steps=10),
        "Guided Backprop": saliency.guided_backprop,
        "Grad-CAM": partial(saliency.grad_cam, layer=cam),
    }


def spots(digits: Tensor) -> tuple[Tensor, Tensor]:
    """The digits (B, 1, 28, 28), and noise in their place, each with ink in the upper right."""
    generator = torch.Generator().manual_seed(0)
    pair = (digits.clone(), torch.rand(digits.shape, generator=generator).to(digits))
    for pictures in pair:
        pictures[:, :, 2:7, 21:26] = 0.8
    return pair


def plus_one(device) -> nn.Module:
    """A first layer that computes 1 · x + 1."""
    layer = nn.Conv2d(1, 1, 1).to(device)
    for p in layer.parameters():
        p.data.fill_(1)
    return layer


def alike(a: Tensor, b: Tensor, measure: Callable = sanity.structural) -> float:
    """Mean likeness of two stacks of maps (B, C, H, W); pairs with a blank map are left out."""
    value = measure(a, b)  # (B,)
    blank = [m.flatten(1).amax(1) == m.flatten(1).amin(1) for m in (a, b)]
    return value.masked_fill(blank[0] | blank[1], torch.nan).nanmean().item()


def two_ranks(pairs: Sequence[tuple[Tensor, Tensor]]) -> tuple[float, float]:
    """The largest mean rank correlation of a pair of stacks of maps: with signs, and without."""
    kinds = (sanity.signed_correlation, sanity.rank_correlation)
    signs, none = (max(alike(*pair, rank) for pair in pairs) for rank in kinds)
    return signs, none


def likeness(cascades: Mapping[str, list[Tensor]], measure: Callable) -> dict[str, Tensor]:
    """{method: (networks, layers)}: how like the trained map each later one of a cascade is."""
    row = lambda maps: [alike(maps[0], m, measure) for m in maps[1:]]
    return {name: torch.tensor([row(maps) for maps in runs]) for name, runs in cascades.items()}


def beside(networks: Mapping[str, Sequence], method: Callable, x, y) -> dict[str, list[float]]:
    """SSIM of the first kind's maps with each kind's, seed i with seed i + 1: no weights shared."""
    maps = {kind: [method(net, x, y) for net in nets] for kind, nets in networks.items()}
    first, *_ = maps.values()
    pairs = lambda of: zip(first, of[1:] + of[:1], strict=True)
    return {kind: [alike(a, b) for a, b in pairs(of)] for kind, of in maps.items()}


def same_check(trained: Sequence[nn.Module], x: Tensor, y: Tensor) -> dict[str, list[float]]:
    """SSIM of Gradient × Input's maps with an all-random network's, and with another trained one's.

    Beside them, without any network: two fields of noise, each times the pictures.
    """
    maps = [sanity.cascade(net, [LAYERS], saliency.gradient_x_input, x, y) for net in trained]
    shape, draw = (2, *x.shape), torch.Generator().manual_seed(0)
    noise = [torch.randn(shape, generator=draw).to(x) * x for _ in trained]
    return {
        "a random network": [alike(*pair) for pair in maps],
        "another trained network": [alike(a[0], b[0]) for a, b in combinations(maps, 2)],
        "noise × picture, twice": [alike(*pair) for pair in noise],
    }


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
    """A hasty reset: parts without `reset_parameters` (attention, bare weights) stay trained."""
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
        hidden = metrics.deletion(*asked, heat, steps=12)  # (B, 13)
        shown = metrics.insertion(*asked, heat, steps=12, start=gaussian_blur(x, 21, 5))
        row = {
            "pointing": metrics.pointing_game(heat, boxes),
            "energy": metrics.energy_in_box(heat, boxes),
            "deletion": metrics.area(hidden),
            "deletion/p0": metrics.area(hidden / hidden[:, :1]),
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
