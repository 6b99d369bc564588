"""Lesson 12: its pictures, the probes that ask about them, and what a map is scored by."""

import random
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers.datasets import photos, scenes
from helpers.ground.stats import spearman
from helpers.pretrained import dinov2
from helpers.pretrained.hooks import hooked
from helpers.saliency import attention_maps, metrics

KINDS = ["person", "animal", "food", "vehicle", "thing"]


class Scenes(NamedTuple):
    """Pictures x (n, 3, side, side); kinds, boxes: of each picture's things."""

    x: Tensor
    kinds: list | Tensor
    boxes: list | Tensor


def networks(side: int, *, device="cpu") -> tuple[nn.Module, nn.Module]:
    """DINOv2 for pictures of 224 pixels, and for those of `side`."""
    return dinov2.load(224, device=device), dinov2.load(side, device=device)


def seen(images, side: int, *, device="cpu") -> Tensor:
    """Pictures of any size, as DINOv2 takes them: (B, 3, side, side)."""
    small = [torch.from_numpy(photos.square(image, side)) for image in images]
    return dinov2.preprocess((torch.stack(small).permute(0, 3, 1, 2) / 255).to(device))


def draw(number: int, side: int, seed: int, *, count=None, device="cpu") -> Scenes:
    """Scenes of one to four things, or of `count`."""
    some = scenes.sample(number, seed, count=count)
    kind = [c.kind for c in scenes.concepts()]
    kinds = [[KINDS.index(kind[thing.concept]) for thing in s.things] for s in some]
    x = seen([s.image for s in some], side, device=device)
    return Scenes(x, kinds, [s.boxes for s in some])


def of_two_kinds(number: int, side: int, seed: int, *, device="cpu") -> Scenes:
    """Scenes of two things of different kinds: kinds (n, 2), boxes (n, 2, 4) in pixels."""
    x, kinds, boxes = draw(3 * number, side, seed, count=2, device=device)
    two = [i for i, row in enumerate(kinds) if row[0] != row[1]][:number]
    boxes = torch.tensor(boxes)[two] * side // scenes.SIZE
    return Scenes(x[two], torch.tensor(kinds)[two].to(device), boxes)


def present(kinds: list, *, device="cpu") -> Tensor:
    """(n, 5): 1 where a scene has something of the kind."""
    rows = [[float(k in row) for k in range(len(KINDS))] for row in kinds]
    return torch.tensor(rows, device=device)


@torch.no_grad()
def class_tokens(vit: nn.Module, x: Tensor) -> Tensor:
    """z of pictures, (n, 384), on the network's device; fifty pictures at a time go there."""
    device = next(vit.parameters()).device
    return torch.cat([vit(some.to(device)) for some in x.split(50)])


def train(z: Tensor, labels: Tensor, loss, steps=300) -> nn.Linear:
    """A probe of class tokens z (n, 384): from zero, pulled towards it a little (weight decay)."""
    probe = nn.Linear(z.shape[1], len(KINDS)).to(z.device)
    nn.init.zeros_(probe.weight)
    nn.init.zeros_(probe.bias)
    optimizer = torch.optim.AdamW(probe.parameters(), lr=0.003, weight_decay=1.0)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(probe(z), labels).backward()
        optimizer.step()
    return probe.requires_grad_(False)


def crops(images, each: int, side: int, *, device="cpu") -> tuple[Tensor, Tensor]:
    """Random squares of each image, at least .6 of its shorter side, and whose they are."""
    rng = random.Random(0)

    def crop(image):
        h, w = image.shape[:2]
        size = rng.randint(6 * min(h, w) // 10, min(h, w))
        top, left = rng.randrange(h - size + 1), rng.randrange(w - size + 1)
        return image[top : top + size, left : left + size]

    x = seen([crop(image) for image in images for k in range(each)], side, device=device)
    whose = torch.arange(len(images), device=device).repeat_interleave(len(x) // len(images))
    return x, whose


def join(images, side: int, *, device="cpu") -> tuple[Tensor, Tensor]:
    """Each pair's left half of the one and right half of the other, and the pairs (n, 2)."""
    whole, half = seen(images, side, device=device), side // 2
    pairs = torch.combinations(torch.arange(len(images))).to(device)
    left, right = whole[pairs[:, 0], ..., :half], whole[pairs[:, 1], ..., half:]
    return torch.cat([left, right], dim=-1), pairs


def on_halves(left: Tensor, right: Tensor) -> Tensor:
    """Maps (n, side, side) asked for the left half, and for the right: mean share there (n,)."""
    left, right, half = left.clamp(min=0), right.clamp(min=0), left.shape[-1] // 2
    a = left[..., :half].sum((1, 2)) / left.sum((1, 2))
    b = right[..., half:].sum((1, 2)) / right.sum((1, 2))
    return (a + b) / 2


def energy(m: Tensor, boxes: Tensor) -> Tensor:
    """Share of each map (2, n, side, side) in its box, boxes (n, 2, 4): (2, n)."""
    return torch.stack([metrics.energy_in_box(m[i], boxes[:, i]) for i in (0, 1)])


def last_layer(model: nn.Sequential, x: Tensor, target=None) -> Tensor:
    """What the class token reads in the last layer, heads averaged: (B, 1, H, W)."""
    with torch.no_grad(), hooked(model[0], {("attention", 11): None}) as kept:
        model(x)
    return attention_maps.on_patches(model, kept["attention", 11].mean(1)[:, 0], x)


def on_patches(method):
    """The method, its colours added up and its pixels averaged patch by patch."""

    def patches(model, x, target):
        m = F.avg_pool2d(method(model, x, target).sum(1, keepdim=True), dinov2.PATCH)
        return F.interpolate(m, x.shape[2:], mode="bilinear")

    return patches


def controls(boxes: Tensor, like: Tensor) -> dict[str, Tensor]:
    """Two maps (2, n, side, side) from no network: the asked thing's box, and a disc."""
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, like.shape[-1])] * 2, indexing="ij")
    disc = torch.exp(-3 * (y**2 + x**2)).to(like.device).expand_as(like)
    box = torch.stack([metrics.in_boxes(boxes[:, i], disc[i]) for i in (0, 1)]) + 0.01 * disc
    return {"its box": box, "a disc": disc}


def ceiling(values: list[Tensor], draws=200) -> Tensor:
    """How alike two random halves of the scenes rank the methods; values: (2, n) a method."""
    table = torch.stack([v.mean(0) for v in values])  # (methods, n)
    rng = torch.Generator().manual_seed(0)
    order = torch.stack([torch.randperm(table.shape[1], generator=rng) for _ in range(draws)])
    halves = [table[:, some].mean(2) for some in order.chunk(2, dim=1)]  # (methods, draws)
    return spearman(*(half.T.contiguous() for half in halves)).mean()


def ceilings(yardsticks: dict[str, dict], methods: list[str], some: slice) -> None:
    """Print each yardstick's ceiling on these scenes, and how two of them agree."""
    values = {name: [of[m][:, some] for m in methods] for name, of in yardsticks.items()}
    said = ", ".join(f"{name} {ceiling(of):.2f}" for name, of in values.items())
    one, other = (torch.stack([v.mean() for v in of])[None] for of in values.values())
    print(f"ceilings: {said}")
    print(f"the two yardsticks with each other: {spearman(one, other)[0]:.2f}")
