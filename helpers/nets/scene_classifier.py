"""A small ReLU network with one score a concept, for maps that need a classifier: guided methods, sanity checks, localisation.

Plain on purpose: convolutions, ReLU and max-pooling, every activation a module of its own, no normalisation layers.
"""

import random
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from helpers.datasets import scenes
from helpers.ground.artifacts import Checkpoint, load_artifact, save_artifact, write_card
from helpers.ground.runtime import in_chunks

PIXELS = 64
NAME = "scene_classifier"


def network(seed: int = 0) -> nn.Sequential:
    """Random weights (He et al. 2015). Maps (B, 3, 64, 64) to (B, 162) logits; its last feature map is `features` (B, 128, 8, 8)."""
    torch.manual_seed(seed)
    widths, features = (3, 24, 48, 96, 128, 128), nn.Sequential()
    for i, (before, after) in enumerate(zip(widths, widths[1:], strict=False)):
        size, stride = (5, 2) if i == 0 else (3, 1)
        features.append(nn.Conv2d(before, after, size, stride, padding=size // 2))
        features.append(nn.ReLU())
        if i in (1, 2):
            features.append(nn.MaxPool2d(2))
    head = nn.Linear(widths[-1], len(scenes.concepts()))
    for layer in features:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    nn.init.constant_(
        head.bias, -4.0
    )  # two or three of 162 concepts are there: begin with that guess
    model = nn.Sequential()
    for name, part in (
        ("features", features),
        ("pool", nn.AdaptiveAvgPool2d(1)),
        ("flat", nn.Flatten()),
        ("head", head),
    ):
        model.add_module(name, part)
    return model


def load(folder: Path | None = None) -> nn.Sequential:
    """The shipped network, evaluation mode, frozen, on the CPU. CourseError names the command where a file is damaged."""
    tensors, _ = load_artifact(
        (folder or Path(NAME)).name, version=1, root=folder and folder.parent
    )
    model = network()
    model.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    return model.eval().requires_grad_(False)


def preprocess(images: list[np.ndarray]) -> Tensor:
    """uint8 pictures (H, W, 3) of any size as (B, 3, 64, 64) in [-1, 1]."""
    small = [
        Image.fromarray(image).resize((PIXELS, PIXELS), Image.Resampling.BILINEAR)
        for image in images
    ]
    return (
        torch.from_numpy(np.stack([np.asarray(image) for image in small])).permute(0, 3, 1, 2)
        / 127.5
        - 1
    )


def labels(drawn: list[scenes.Scene]) -> Tensor:
    """(B, 162): 1 where a concept is in the scene."""
    table = torch.zeros(len(drawn), len(scenes.concepts()))
    for row, scene in zip(table, drawn, strict=True):
        row[[thing.concept for thing in scene.things]] = 1
    return table


class Batches(torch.utils.data.Dataset):
    """Batch number `step`: pictures (B, 3, 64, 64) and labels (B, 162) of fresh scenes, a function of the number alone."""

    def __init__(self, first: int, steps: int, batch: int):
        self.first, self.steps, self.batch = first, steps, batch

    def __len__(self) -> int:
        return self.steps - self.first

    def __getitem__(self, item: int) -> tuple[Tensor, Tensor]:
        rng = random.Random(10**8 + self.first + item)
        drawn = [scenes.draw(rng, rng.choice((1, 1, 2, 3, 4))) for _ in range(self.batch)]
        return preprocess([scene.image for scene in drawn]), labels(drawn)


def train(
    steps: int,
    checkpoint: Checkpoint,
    *,
    batch: int = 64,
    lr: float = 1.5e-3,
    device="cpu",
    workers: int = 0,
    report=print,
) -> tuple[nn.Sequential, float]:
    """Adam on the summed binary cross-entropy; returns the network and CPU seconds (pictures drawn by workers not counted).

    A run that was killed and resumed ends with the same weights: each step's pictures follow from its number.
    """
    model = network().to(device, memory_format=torch.channels_last)
    optimizer, done, begun = torch.optim.Adam(model.parameters(), lr=lr), 0, time.process_time()
    if state := checkpoint.load():
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        done, begun = state["done"], begun - state["seconds"]
    batches = torch.utils.data.DataLoader(
        Batches(done, steps, batch), batch_size=None, num_workers=workers
    )
    for step, (images, truth) in enumerate(batches, start=done):
        for group in optimizer.param_groups:
            group["lr"] = lr * min(1.0, (step + 1) / 200, 3 * (1 - step / steps))
        with torch.autocast(
            torch.device(device).type, torch.bfloat16
        ):  # twice as fast where the processor has it
            logits = model(images.to(device)).float()
        loss = (
            F.binary_cross_entropy_with_logits(logits, truth.to(device), reduction="none")
            .sum(1)
            .mean()
        )
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        if (step + 1) % 100 == 0 or step + 1 == steps:
            checkpoint.save(
                {
                    "model": model.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "done": step + 1,
                    "seconds": time.process_time() - begun,
                }
            )
            report(f"step {step + 1}: loss {float(loss.detach()):.3f}", flush=True)
    return model.eval(), time.process_time() - begun


def make(*, scale: str = "small", smoke: bool = False, out: Path | None = None) -> None:
    """Train and store the classifier; `python -m helpers make scene_classifier`."""
    out = out or Path(__file__).parents[2] / "data" / NAME
    checkpoint = Checkpoint(out.name, root=out.parent / ".checkpoints" if smoke else None)
    steps = 4 if smoke else 2400 if scale == "small" else 40_000
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model, seconds = train(
        steps, checkpoint, batch=8 if smoke else 64, workers=0 if smoke else 1, device=device
    )
    tensors = {name: tensor.half() for name, tensor in model.state_dict().items()}
    save_artifact(
        out.name, tensors, version=1, meta={"steps": steps, "pixels": PIXELS}, root=out.parent
    )
    if not smoke:
        rows = "\n".join(f"| {name} | {value:.3f} |" for name, value in measure(out=out).items())
        card = CARD.format(
            steps=steps, rows=rows, concepts=len(scenes.concepts()), minutes=seconds / 60
        )
        write_card(out.name, card, root=out.parent)
    checkpoint.clear()


@torch.no_grad()
def measure(*, out: Path | None = None) -> dict[str, float]:
    """On held-out scenes: mean average precision over concepts (one to four things), and top-1 where there is one thing."""
    from sklearn.metrics import average_precision_score

    model = load(out)
    drawn = [
        scene
        for count in (1, 2, 3, 4)
        for scene in scenes.sample(1000, 4000 + count, count=count, held_out=True)
    ]
    scores = in_chunks(model, preprocess([scene.image for scene in drawn]), chunk=256)
    truth = labels(drawn)
    precision = [
        average_precision_score(t, s)
        for t, s in zip(truth.T.numpy(), scores.T.numpy(), strict=True)
        if t.any()
    ]
    top = scores[:1000].argmax(1) == truth[:1000].argmax(1)
    return {
        "mean average precision": round(float(np.mean(precision)), 4),
        "single object, top-1": round(float(top.double().mean()), 4),
    }


CARD = """# scene_classifier

A plain network for maps that need a classifier: five convolutions with ReLU, two max-poolings, the mean over space, one linear
layer; no normalisation. 64 px, one score a concept of `helpers/datasets/scenes.py` ({concepts}); several may be right. Lesson 03 uses it.

* **Made by** `python -m helpers make scene_classifier` (resumable): {steps} steps of 64 scenes with one to four things, {minutes:.0f} CPU
  minutes. **Measured by** `python -m helpers measure scene_classifier`.
* **Files**: weights in half precision, SHA-256 in `manifest.json`.
* **Licence**: the pictures are Twemoji, © Twitter and other contributors, CC-BY 4.0; none is stored here.

| on held-out scenes (pairs of concepts never seen together; 1,000 scenes each of one to four things) | |
|---|---|
{rows}
"""
