"""The course's own CLIP: two small transformers, one for pictures and one for texts, trained to meet in one space.

The towers are open_clip's; what is written out here is what makes them a CLIP: pairs, loss, schedule.
Source: Radford et al. 2021 (CLIP), section 2; Li et al. 2023 (FLIP) for training on half of the patches.
"""

import random
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from helpers.datasets import scenes
from helpers.ground.artifacts import ROOT, Checkpoint

FOLDER = ROOT / "data" / "clip_emoji"


@dataclass(frozen=True)
class Settings:
    steps: int = 6000  # of `batch` pairs each; only the schedule's end depends on it
    batch: int = 128  # pairs; each text is told apart from the others' pictures, so more is harder
    lr: float = 1e-3  # AdamW's peak learning rate
    warm_up: int = 200  # steps to reach it
    easy: int = (
        1500  # steps over which scenes grow from one thing to crowds, and dropped patches get fewer
    )
    decay: float = (
        0.15  # the last share of the steps, on which the rate falls to zero and no patch is dropped
    )
    dropped: tuple[float, float] = (
        0.7,
        0.5,
    )  # share of patches left out of a picture, at first and once it is no longer easy
    weight_decay: float = 0.05  # on matrices only
    width: int = 128  # of both towers and of the common space
    layers: tuple[int, int] = (4, 2)  # of the picture's and of the text's tower
    pixels: int = 64  # a view's side, in patches of 8
    context: int = 20  # tokens of a text, start and end included
    seed: int = 0


class Clip(NamedTuple):
    model: torch.nn.Module  # open_clip.CLIP, evaluation mode, frozen
    preprocess: object  # PIL picture -> (3, 64, 64)
    tokenizer: object  # list of texts -> (B, 20) token numbers


def load(folder: Path | None = None) -> Clip:
    """The shipped model, through open_clip's own loader, every file checked first. CourseError names the command to run."""
    import open_clip

    from data.recipes.clip_emoji import verify

    place = f"local-dir:{verify(folder or FOLDER)}"
    model, _, preprocess = open_clip.create_model_and_transforms(place)
    return Clip(model.eval().requires_grad_(False), preprocess, open_clip.get_tokenizer(place))


# ---- pairs --------------------------------------------------------------------------------------------------------------
class Pair(NamedTuple):
    image: np.ndarray  # uint8 (pixels, pixels, 3)
    text: str
    content: (
        tuple  # what the text says is there; two pairs with one content are right for each other
    )


def draw_pairs(rng: random.Random, singles: float, pixels: int = 64) -> list[Pair]:
    """Two views of one training scene, each with a true caption; with one thing in view, half the time a question instead.

    singles: share of scenes with one thing. Two views share a background, so a background tells nothing about the text.
    """
    count = 1 if rng.random() < singles else rng.choice((2, 2, 3, 3, 4))
    scene = scenes.draw(rng, count, people=rng.random() < 0.4, repeats=0.1 if count > 1 else 0.0)
    picture, pairs = Image.fromarray(scene.image), []
    for window, things in (draw_view(rng, scene), draw_view(rng, scene)):
        asks = len(things) == 1 and rng.random() < 0.5
        text = scenes.question(rng, things[0].concept) if asks else scenes.caption(rng, things)
        view = picture.resize((pixels, pixels), Image.Resampling.BILINEAR, box=window)
        pairs.append(
            Pair(
                np.asarray(view),
                text,
                tuple(sorted((thing.concept, thing.colour) for thing in things)),
            )
        )
    return pairs


def draw_view(
    rng: random.Random, scene: scenes.Scene
) -> tuple[tuple[int, int, int, int], list[scenes.Thing]]:
    """A square window (left, top, right, bottom) on a scene, and the things of which at least half can be seen in it.

    One view in three is the whole scene. The model has to know crops: lesson 02 shows it nothing else.
    """
    whole = (0, 0, scenes.SIZE, scenes.SIZE)
    for _ in range(4 if rng.random() < 0.67 else 0):
        side = rng.randint(round(0.22 * scenes.SIZE), scenes.SIZE)
        x0, y0, x1, y1 = rng.choice(scene.things).box
        left, top = (
            round(rng.uniform(low, high) - side * rng.uniform(0.2, 0.8))
            for low, high in ((x0, x1), (y0, y1))
        )
        left, top = (min(max(0, v), scenes.SIZE - side) for v in (left, top))
        if things := scenes.visible(scene.things, window := (left, top, left + side, top + side)):
            return window, things
    return whole, list(scene.things)


class Batches(torch.utils.data.Dataset):
    """Batch number `step` is a function of seed and step alone, so that a resumed run goes on with the same pictures.

    A batch: pictures (B, 3, pixels, pixels) in [-1, 1], tokens (B, context), and same (B, B): is text j right for picture i?
    """

    def __init__(self, settings: Settings, tokenizer, first: int = 0):
        self.settings, self.tokenizer, self.first = settings, tokenizer, first

    def __len__(self) -> int:
        return self.settings.steps - self.first

    def __getitem__(self, item: int) -> tuple[Tensor, Tensor, Tensor]:
        step, s = self.first + item, self.settings
        rng = random.Random(s.seed * 10**7 + step)
        singles = max(0.35, 0.9 - 0.55 * step / s.easy)
        pairs = [pair for _ in range(s.batch // 2) for pair in draw_pairs(rng, singles, s.pixels)]
        images = (
            torch.from_numpy(np.stack([pair.image for pair in pairs])).permute(0, 3, 1, 2) / 127.5
            - 1
        )
        number = {content: i for i, content in enumerate({pair.content: None for pair in pairs})}
        content = torch.tensor([number[pair.content] for pair in pairs])
        return (
            images,
            self.tokenizer([pair.text for pair in pairs]),
            content[:, None] == content[None, :],
        )


# ---- loss, schedule, training -------------------------------------------------------------------------------------------
def contrastive_loss(images: Tensor, texts: Tensor, scale: Tensor, same: Tensor) -> Tensor:
    """CLIP's loss: from each picture find its text among the batch's, and from each text its picture.

    images, texts (B, D) of length 1; scale: one over the temperature; same (B, B) bool. With 162 concepts a batch holds
    many pictures of one content. To call those wrong would push a concept's own wordings apart, so the target is shared
    equally among all that are right; where all contents differ this is CLIP's cross-entropy exactly.
    """
    logits = scale * images @ texts.T  # (B, B)
    target = same / same.sum(1, keepdim=True)  # rows sum to 1; `same` is symmetric
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def rate(step: int, settings: Settings) -> float:
    """Warm-up, a long plateau, then a straight fall to zero: until it falls, nothing depends on how long the run will be."""
    left = (settings.steps - step) / (settings.decay * settings.steps)
    return settings.lr * min(1.0, (step + 1) / settings.warm_up, left)


def dropped(step: int, settings: Settings) -> float:
    """The share of patches that a picture is trained without: half of the patches, half of the price (FLIP)."""
    if step >= (1 - settings.decay) * settings.steps:
        return 0.0
    first, later = settings.dropped
    return first + (later - first) * min(1.0, step / settings.easy)


def build(settings: Settings, vocabulary: int):
    """open_clip's CLIP with random weights from the seed."""
    from open_clip.model import CLIP

    torch.manual_seed(settings.seed)
    config = model_config(settings, vocabulary)
    config["vision_cfg"]["patch_dropout"] = settings.dropped[0]
    return CLIP(config["embed_dim"], config["vision_cfg"], config["text_cfg"])


def model_config(settings: Settings, vocabulary: int) -> dict:
    """The model's description in open_clip's terms."""
    vision = {
        "image_size": settings.pixels,
        "patch_size": 8,
        "width": settings.width,
        "layers": settings.layers[0],
        "head_width": 32,
    }
    text = {
        "context_length": settings.context,
        "vocab_size": vocabulary,
        "hf_tokenizer_name": "in this folder",
        "width": settings.width,
        "heads": settings.width // 32,
        "layers": settings.layers[1],
    }
    return {"embed_dim": settings.width, "vision_cfg": vision, "text_cfg": text}


def train(
    settings: Settings,
    tokenizer,
    checkpoint: Checkpoint,
    *,
    device="cpu",
    every: int = 100,
    workers: int = 0,
    report=print,
):
    """Train from scratch, or from the checkpoint on. Returns the model (on the device), the losses, one a step, and CPU seconds.

    workers: processes that draw pictures meanwhile. On one machine's CPU a run that was killed and resumed ends with the
    same bits as one that was not.
    """
    model = build(settings, len(tokenizer.tokenizer)).to(device)
    groups = [
        {
            "params": [p for p in model.parameters() if p.ndim > 1],
            "weight_decay": settings.weight_decay,
        },
        {"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0.0},
    ]
    optimizer, losses, begun = (
        torch.optim.AdamW(groups, lr=settings.lr, betas=(0.9, 0.98), fused=True),
        [],
        time.process_time(),
    )
    if state := checkpoint.load():
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        losses, begun = state["losses"], begun - state["seconds"]
    batches = Batches(settings, tokenizer, first=len(losses))
    for batch in torch.utils.data.DataLoader(batches, batch_size=None, num_workers=workers):
        losses.append(
            train_step(model, optimizer, len(losses), settings, batch, torch.device(device))
        )
        if len(losses) % every == 0 or len(losses) == settings.steps:
            losses = [float(loss) for loss in losses]
            checkpoint.save(
                {
                    "model": model.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "losses": losses,
                    "seconds": time.process_time() - begun,
                }
            )
            report(len(losses), sum(losses[-every:]) / len(losses[-every:]), model)
    return model, losses, time.process_time() - begun


def train_step(
    model, optimizer, step: int, settings: Settings, batch: tuple[Tensor, ...], device: torch.device
) -> Tensor:
    """One step of AdamW; returns the loss. bfloat16 where matrices are multiplied, float32 for weights and loss."""
    images, tokens, same = (tensor.to(device) for tensor in batch)
    torch.manual_seed(settings.seed * 10**7 + step)  # which patches are dropped
    model.train().visual.patch_dropout.prob = dropped(step, settings)
    for group in optimizer.param_groups:
        group["lr"] = rate(step, settings)

    def encode(tower, inputs: Tensor) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16):
            return F.normalize(tower(inputs).float(), dim=-1)

    # On a CPU, bfloat16 attention is 1.7 times faster as plain matrix products (332 against 194 pairs a second and core).
    with sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext():
        features = at_once(
            partial(encode, model.encode_image, images), partial(encode, model.encode_text, tokens)
        )
    leaves = [feature.detach().requires_grad_() for feature in features]
    loss = contrastive_loss(*leaves, model.logit_scale.exp(), same)
    optimizer.zero_grad()
    loss.backward()  # as far as the features; then each tower for itself
    at_once(
        *(
            partial(feature.backward, leaf.grad)
            for feature, leaf in zip(features, leaves, strict=True)
        )
    )
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    with torch.no_grad():
        model.logit_scale.clamp_(max=np.log(100.0))
    return loss.detach()


def at_once(*jobs) -> list:
    """Run the jobs side by side. The towers share no weights, so each has a thread: torch computes outside of Python's lock."""
    with ThreadPoolExecutor(len(jobs)) as pool:
        return [future.result() for future in [pool.submit(job) for job in jobs]]
