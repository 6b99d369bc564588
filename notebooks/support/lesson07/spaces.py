"""Lesson 07: directions that are nearly orthogonal, and the spaces inside real networks."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from helpers import transformer
from helpers.datasets import corpus, photos
from helpers.pretrained import dinov2
from helpers.pretrained.imagenet import efficientnet_lite0
from helpers.transformer.model import OneLayerTransformer, initialise


def random_directions(count: int, d: int, *, seed: int = 0, device="cpu") -> Tensor:
    """(count, d): directions of length 1, drawn evenly, the same on every device."""
    drawn = torch.randn(count, d, generator=torch.Generator().manual_seed(seed))
    return normalize(drawn.to(device), dim=1)


def overlaps(v: Tensor) -> Tensor:
    """(count, count): |cos| of every two directions of v (count, d); 0 of one with itself."""
    v = normalize(v, dim=1)
    return (v @ v.T).abs().fill_diagonal_(0)


def spread(v: Tensor, steps: int = 600) -> Tensor:
    """Directions pushed apart by gradient descent on log Σ exp(s |cos|) / s, s from 20 to 600."""
    v = v.clone().requires_grad_()
    optimizer = torch.optim.Adam([v], lr=0.01)
    for step in range(steps):
        sharp = 20 * 30 ** (step / steps)
        loss = (sharp * overlaps(v)).flatten().logsumexp(0) / sharp
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return normalize(v.detach(), dim=1)


def picked(d: int, limit: float, tries: int = 4096, *, device="cpu") -> int:
    """How many of `tries` random directions stay, if |cos| of any two has to be below the limit."""
    close = (overlaps(random_directions(tries, d, device=device)) >= limit).cpu()  # (tries, tries)
    kept = torch.zeros(tries, dtype=torch.bool)
    for i in range(tries):
        kept[i] = not (close[i] & kept).any()
    return int(kept.sum())


def rotate(x: Tensor, seed: int = 0) -> Tensor:
    """x (N, d) minus its mean, on axes turned at random."""
    drawn = torch.randn(2 * [x.shape[1]], generator=torch.Generator().manual_seed(seed))
    return (x - x.mean(0)) @ torch.linalg.qr(drawn).Q.to(x.device)


@torch.no_grad()
def of_transformer(lm: OneLayerTransformer, tokens: Tensor) -> dict[str, Tensor]:
    """{name: (N, d)}: embeddings, residual stream, neurons, and the same ReLU on turned axes."""
    stream = lm.residual(tokens).flatten(0, 1)
    pre, _, post = lm.neurons(stream)
    turned = rotate(pre, seed=1)
    turned = turned / turned.std(0) * pre.std(0) + pre.mean(0)  # each as an old axis was
    return {
        "word embeddings": lm.embed.weight,
        "residual stream before MLP": stream,
        "residual stream after MLP": stream + lm.W_out(post),
        "MLP before ReLU": pre,
        "MLP after ReLU": post,
        "ReLU on rotated axes": turned.relu(),
    }


def of_the_course(device) -> dict[str, Tensor]:
    """{name: (N, d)}: the course's transformer on 64 contexts, and the same with random weights."""
    contexts, _ = corpus.stream("heldout").contexts()
    order = torch.randperm(len(contexts), generator=torch.Generator().manual_seed(0))
    tokens = contexts[order[:64]].to(device)  # (64, 128)
    lm = transformer.load("lm_relu", device=device)
    newborn = OneLayerTransformer(lm.settings).to(device)
    initialise(newborn, 0)
    found, young = of_transformer(lm, tokens), of_transformer(newborn, tokens)
    chosen = ("residual stream after MLP", "MLP after ReLU")
    return found | {f"{name} (random)": young[name] for name in chosen}


@torch.no_grad()
def of_photographs(device) -> dict[str, Tensor]:
    """{name: (positions, channels)}: two places in EfficientNet-Lite0, one in DINOv2-small."""
    found = {}

    def keep(name: str, module: nn.Module) -> None:
        module.register_forward_hook(lambda *seen: found.update({name: seen[-1]}))

    lite, vit = efficientnet_lite0(device=device), dinov2.load(device=device)
    keep("conv, narrow output", lite.blocks[4][1])
    keep("conv after ReLU6", lite.blocks[4][1].bn2)
    keep("DINOv2, residual stream", vit.blocks[7])
    pictures = torch.cat([photos.preprocess(photo.image) for photo in photos.load()]).to(device)
    lite(pictures)
    vit(dinov2.preprocess((pictures * 128 + 127) / 255))  # from the one's scale to the other's
    return {
        name: x.movedim(1, -1).flatten(0, -2) if x.ndim == 4 else x.flatten(0, 1)
        for name, x in found.items()
    }
