"""Makes data/scene_classifier: labels, training, measures, card."""

import os
import random

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from data.recipes import arts
from data.recipes.base import Run
from data.recipes.clip_emoji import SMALL
from helpers.datasets import scenes
from helpers.ground.artifacts import Checkpoint, still_numbers
from helpers.ground.runtime import half_precision, in_chunks
from helpers.nets.scene_classifier import PIXELS, load, network, preprocess
from notebooks.support.lesson02 import grounds


def labels(drawn: list[scenes.Scene]) -> Tensor:
    """(B, 162): 1 where a concept is in the scene."""
    table = torch.zeros(len(drawn), len(scenes.concepts()))
    for row, scene in zip(table, drawn, strict=True):
        row[[thing.concept for thing in scene.things]] = 1
    return table


class Batches(Dataset):
    """Batch number `step`: pictures (B, 3, 64, 64), labels (B, 162); it follows from its number."""

    def __init__(self, first: int, steps: int, batch: int):
        self.first = first
        self.steps = steps
        self.batch = batch

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
    device: torch.device | str = "cpu",
    workers: int = 0,
    report=print,
) -> nn.Sequential:
    """Adam on the summed binary cross-entropy. A killed and resumed run ends with the same weights.

    workers: processes that draw pictures meanwhile.
    """
    device = torch.device(device)
    model = network().to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    done = 0
    if state := checkpoint.load():
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        done = state["done"]
    pinned = device.type == "cuda"
    data = Batches(done, steps, batch)
    how = {"num_workers": workers, "pin_memory": pinned, "generator": torch.Generator()}
    batches = DataLoader(data, batch_size=None, **how)
    for step, (images, truth) in enumerate(batches, start=done):
        for group in optimizer.param_groups:
            group["lr"] = lr * min(1.0, (step + 1) / 200, 3 * (1 - step / steps))
        images = images.to(device, non_blocking=True)
        truth = truth.to(device, non_blocking=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=half_precision(device)):
            logits = model(images).float()
        each = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
        loss = each.sum(1).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        if (step + 1) % 100 == 0 or step + 1 == steps:
            still_numbers(model.parameters(), f"{step + 1} steps")
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
            checkpoint.save({**state, "done": step + 1})
            report(f"step {step + 1}: loss {loss.item():.3f}", flush=True)
    return model.eval()


def make(run: Run) -> None:
    """Train and store the classifier and write its card. Resumable."""
    steps = run.pick(2400, 40_000, 4)
    workers = run.pick(1, min(8, os.cpu_count() or 1), 0)
    checkpoint = run.checkpoint()
    batch = run.pick(64, 64, 8)
    model = train(steps, checkpoint, batch=batch, workers=workers, device=run.device)
    weights = {name: tensor.half() for name, tensor in model.state_dict().items()}
    run.save(weights, version=1, meta={"steps": steps, "pixels": PIXELS})
    rows = "\n".join(f"| {name} | {value:.3f} |" for name, value in measure(run).items())
    sizes = {"concepts": len(scenes.concepts()), "minutes": run.minutes}
    run.card(CARD.format(steps=steps, rows=rows, **sizes))
    checkpoint.clear()


@torch.no_grad()
def measure(run: Run) -> dict[str, float]:
    """Held-out scenes: mean average precision over concepts, and top-1 where there is one thing.

    Top-1 also in looks that training never showed.
    """
    from sklearn.metrics import average_precision_score

    model = load(run.out, device=run.device)
    each = 10 if run.smoke else 1000
    drawn = []
    for count in (1, 2, 3, 4):
        drawn += scenes.sample(each, 4000 + count, count=count, held_out=True)
    pictures = preprocess([scene.image for scene in drawn]).to(run.device)
    scores = in_chunks(model, pictures, chunk=256).cpu()  # (4000, 162)
    truth = labels(drawn)
    pairs = zip(truth.T.numpy(), scores.T.numpy(), strict=True)
    precision = [average_precision_score(t, s) for t, s in pairs if t.any()]
    found = {
        "mean average precision": round(sum(precision) / len(precision), 4),
        "single object, top-1": top_1(scores[:each], truth[:each]),
    }
    looks = {
        "on noise": scenes.Look(grounds.noise),
        "on photographs": scenes.Look(grounds.photograph),
        "small, .15 to .30 of the side": scenes.Look(sides=SMALL),
    }
    if not run.smoke:
        looks["OpenMoji"] = scenes.Look(art=arts.art(arts.UNSEEN))
    for name, look in looks.items():
        drawn = scenes.sample(each, 4001, count=1, held_out=True, look=look)
        pictures = preprocess([scene.image for scene in drawn]).to(run.device)
        scores = in_chunks(model, pictures, chunk=256).cpu()
        found[f"single object, top-1, {name}"] = top_1(scores, labels(drawn))
    return found


def top_1(scores: Tensor, truth: Tensor) -> float:
    """The share of scenes of one thing whose concept has the highest score."""
    return round(float((scores.argmax(1) == truth.argmax(1)).double().mean()), 4)


CARD = """# scene_classifier

A plain network for maps that need a classifier: five convolutions with ReLU, two max-poolings, the
mean over space, one linear layer; no normalisation. 64 px, one score a concept of
`helpers/datasets/scenes.py` ({concepts}); several may be right. Lesson 03 uses it.

* **Made by** `python -m helpers make scene_classifier` (resumable): {steps} steps of 64 scenes with
  one to four things, {minutes:.0f} minutes. **Measured by** `python -m helpers measure
  scene_classifier`.
* **Files**: weights in half precision, SHA-256 in `manifest.json`.
* **Licence**: the pictures are Twemoji, © Twitter and other contributors, CC-BY 4.0; none is stored
  here.

| on held-out scenes (pairs of concepts never seen together; 1,000 each of one to four things) | |
|---|---|
{rows}

## What it cannot do
It was trained on Twemoji on the lessons' grounds alone: it knows these drawings, not the concepts.
The last four rows are of looks that it never saw, and say how much it loses there. Nothing in
lesson 03 rests on such scenes.
"""
