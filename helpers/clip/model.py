"""The course's own CLIP: a tower for pictures and one for texts, trained to meet in one space.

The towers are open_clip's; here is what makes them a CLIP. Source: Radford et al. 2021, section 2;
Li et al. 2023 (FLIP) for training on half of the patches.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from math import log
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from helpers.ground import ROOT
from helpers.ground.artifacts import still_numbers, verified
from helpers.ground.errors import checked
from helpers.ground.runtime import half_precision

FOLDER = ROOT / "data" / "clip_emoji"


@checked
@dataclass(frozen=True)
class Settings:
    """A training run and the size of its model."""

    steps: int = 6000  # only the schedule's end depends on it
    batch: int = 128  # pairs; each text is told apart from the others' pictures: more is harder
    lr: float = 1e-3  # AdamW's peak learning rate
    warm_up: int = 200  # steps to reach it
    easy: int = 1500  # steps in which scenes grow to crowds, and fewer patches are dropped
    decay: float = 0.15  # the last share of the steps: the rate falls, no patch is dropped
    dropped: tuple[float, float] = (0.7, 0.5)  # share of a picture's patches, at first and later
    weight_decay: float = 0.05  # on matrices only
    width: int = 128  # of both towers and of the common space
    layers: tuple[int, int] = (4, 2)  # of the picture's and of the text's tower
    pixels: int = 64  # a view's side, in patches of 8
    context: int = 20  # tokens of a text, start and end included
    seed: int = 0


class Clip(NamedTuple):
    model: torch.nn.Module  # open_clip.CLIP, evaluation mode, frozen
    preprocess: Callable  # PIL picture -> (3, 64, 64)
    tokenizer: Callable  # list of texts -> (B, 20) token numbers


@checked
def load(folder: Path | None = None, *, device: torch.device | str = "cpu") -> Clip:
    """The shipped model, through open_clip's own loader, every file checked first."""
    import open_clip

    verified(folder := folder or FOLDER)
    place = f"local-dir:{folder}"
    with torch.random.fork_rng(devices=[]):  # open_clip draws weights before it reads them
        model, _, preprocess = open_clip.create_model_and_transforms(place)
    model = model.eval().requires_grad_(False).to(device)
    return Clip(model, preprocess, open_clip.get_tokenizer(place))


# ---- loss, schedule, training -----------------------------------------------------------------
def contrastive_loss(images: Tensor, texts: Tensor, scale: Tensor, same: Tensor) -> Tensor:
    """CLIP's loss: from each picture find its text in the batch, and from each text its picture.

    images, texts (B, D) of length 1; scale: one over the temperature; same (B, B): is text j right
    for picture i? Where several are, because pictures of a batch show the same, they share the
    target; where all contents differ this is CLIP's cross-entropy exactly.
    """
    logits = scale * images @ texts.T  # (B, B)
    target = same / same.sum(1, keepdim=True)  # rows sum to 1; `same` is symmetric
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def rate(step: int, settings: Settings) -> float:
    """The learning rate: warm-up, a plateau, a straight fall to zero."""
    left = (settings.steps - step) / (settings.decay * settings.steps)
    return settings.lr * min(1.0, (step + 1) / settings.warm_up, left)


def dropped(step: int, settings: Settings) -> float:
    """The share of patches a picture is trained without: half of them, half of the price (FLIP)."""
    if step >= (1 - settings.decay) * settings.steps:
        return 0.0
    first, later = settings.dropped
    return first + (later - first) * min(1.0, step / settings.easy)


def train(model, batches, settings, checkpoint, *, every=100, report=print) -> list[float]:
    """Train the model where it is, from the checkpoint on where there is one; a loss each step.

    batches(first): (images, tokens, same) of the steps from `first` on. On one machine's CPU a
    killed and resumed run ends with the same bits as another.
    """
    matrices = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim < 2]
    decayed = {"params": matrices, "weight_decay": settings.weight_decay}
    groups = [decayed, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=settings.lr, betas=(0.9, 0.98), fused=True)
    losses = []  # up to the last checkpoint
    recent = []  # since then, on the device: no step waits for it
    if state := checkpoint.load():
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        losses = state["losses"]
    with torch.random.fork_rng(devices=[]):
        for step, batch in enumerate(batches(len(losses)), start=len(losses)):
            recent.append(train_step(model, optimizer, step, settings, batch))
            if (step + 1) % every == 0 or step + 1 == settings.steps:
                still_numbers(model.parameters(), f"{step + 1} steps")
                losses += torch.stack(recent).tolist()
                state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
                checkpoint.save({**state, "losses": losses})
                report(step + 1, sum(losses[-len(recent) :]) / len(recent))
                recent = []
    return losses


def train_step(model, optimizer, step: int, settings: Settings, batch: tuple) -> Tensor:
    """One step of AdamW; its loss. Matrices are multiplied in bfloat16 where the device can."""
    device = model.logit_scale.device
    images, tokens, same = (tensor.to(device, non_blocking=True) for tensor in batch)
    torch.default_generator.manual_seed(settings.seed * 10**7 + step)  # which patches are dropped
    model.train().visual.patch_dropout.prob = dropped(step, settings)
    for group in optimizer.param_groups:
        group["lr"] = rate(step, settings)

    def encode(tower, inputs: Tensor) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=half_precision(device)):
            return F.normalize(tower(inputs).float(), dim=-1)

    # On a CPU, bfloat16 attention is faster as plain products (332, not 194 pairs a second, core)
    with sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext():
        towers = (model.encode_image, images), (model.encode_text, tokens)
        features = run([partial(encode, *tower) for tower in towers], device)
    leaves = [feature.detach().requires_grad_() for feature in features]
    loss = contrastive_loss(*leaves, model.logit_scale.exp(), same)
    optimizer.zero_grad()
    loss.backward()  # as far as the features; then each tower for itself
    pairs = zip(features, leaves, strict=True)
    run([partial(feature.backward, leaf.grad) for feature, leaf in pairs], device)
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    with torch.no_grad():
        model.logit_scale.clamp_(max=log(100.0))
    return loss.detach()


def run(jobs, device: torch.device) -> list:
    """On a CPU side by side: the towers share no weights. A GPU has one stream."""
    if device.type != "cpu":
        return [job() for job in jobs]
    with ThreadPoolExecutor(len(jobs)) as pool:
        return list(pool.map(lambda job: job(), jobs))
