"""Train a one-layer transformer to predict the next token; resumable to the bit."""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm.auto import tqdm

from helpers.datasets import corpus
from helpers.ground.artifacts import Checkpoint, still_numbers
from helpers.ground.errors import MayBe0, checked
from helpers.transformer.model import OneLayerTransformer, initialise


@checked
@dataclass(frozen=True)
class Training:
    """How long and how fast."""

    tokens: int = 20_000_000  # seen in all: two passes over the stream of 10 M
    batch: int = 16  # sequences a step
    micro: int = 8  # sequences at once: 8 fill a core's cache (30k tokens/s, with 16 it is 24k)
    learning_rate: float = 2e-3  # reached after `warmup` steps, then a cosine down to a tenth
    warmup: MayBe0 = 200
    weight_decay: float = 0.01
    seed: int = 0  # of the weights and of the order of the texts
    bfloat16: bool = False  # faster where the processor has it; float32 otherwise

    @property
    def steps(self) -> int:
        return self.tokens // (self.batch * corpus.CONTEXT)


class Trained(NamedTuple):
    """A model, and its training loss at every 50th step in nats per token."""

    model: OneLayerTransformer
    losses: list[float]


@checked
def train(
    settings, training, stream, *, device="cpu", checkpoint=None, save_every=120.0
) -> Trained:
    """A model trained on a stream of tokens (N,).

    Everything random follows from the seed and the step, so a run that was killed repeats the steps
    since its last save and ends with the same bits. save_every: seconds. Raises CourseError where
    the weights stop being numbers; the last good checkpoint stays.
    """
    with torch.random.fork_rng(devices=[]):
        model = OneLayerTransformer(settings)
    initialise(model, training.seed)
    model.to(device)
    stream = stream.to(device)  # 10 M tokens are 20 MB: there once, rather than a piece each step
    how = {"betas": (0.9, 0.98), "weight_decay": training.weight_decay}
    optimizer = torch.optim.AdamW(model.parameters(), **how)
    saver = Saver(checkpoint, model.parameters(), save_every)
    start, losses = 0, []
    parts = {"model": model, "optimizer": optimizer}
    if checkpoint and (saved := checkpoint.load()):
        for name, part in parts.items():
            part.load_state_dict(saved[name])
        start, losses = saved["step"], list(saved["losses"])
    state = lambda: {name: part.state_dict() for name, part in parts.items()} | {"losses": losses}
    steps = range(start, training.steps)
    for step in tqdm(steps, initial=start, total=training.steps, mininterval=10):
        for group in optimizer.param_groups:
            group["lr"] = training.learning_rate * share_of_peak(step, training)
        loss = backward(model, batch(stream, step, training), training)
        optimizer.step()
        optimizer.zero_grad()
        if step % 50 == 0:
            losses.append(loss)  # a tensor: its number would have to be waited for
        saver.after(step, state)
    saver.check(training.steps)
    return Trained(model.eval(), [round(float(loss), 4) for loss in losses])


def backward(model: OneLayerTransformer, rows: Tensor, training: Training) -> Tensor:
    """Add the gradient of the mean loss of rows (batch, T + 1), some at a time; the loss."""
    total = torch.zeros((), device=rows.device)
    for part in rows.split(training.micro):
        with torch.autocast(rows.device.type, torch.bfloat16, enabled=training.bfloat16):
            logits = model(part[:, :-1])  # (micro, T, V)
            loss = F.cross_entropy(logits.flatten(0, 1), part[:, 1:].flatten())
        loss = loss * len(part) / len(rows)
        loss.backward()
        total += loss.detach()
    return total


def share_of_peak(step: int, training: Training) -> float:
    """The share of the peak learning rate: up in a line, then down along a cosine to 0.1."""
    if step < training.warmup:
        return (step + 1) / training.warmup
    done = (step - training.warmup) / max(1, training.steps - training.warmup)
    return 0.55 + 0.45 * math.cos(math.pi * done)


def batch(stream: Tensor, step: int, training: Training) -> Tensor:
    """The rows of a step, (batch, T + 1) int64: all of the stream, then all in another order."""
    rows = (len(stream) - 1) // corpus.CONTEXT
    first = step * training.batch
    turns = range(first // rows, (first + training.batch - 1) // rows + 1)  # mostly just one
    orders = torch.cat([_order(rows, training.seed, turn, stream.device) for turn in turns])
    begin = first - turns[0] * rows
    starts = orders[begin : begin + training.batch] * corpus.CONTEXT
    return stream[starts[:, None] + torch.arange(corpus.CONTEXT + 1, device=stream.device)].long()


@lru_cache(maxsize=2)
def _order(rows: int, seed: int, turn: int, device: torch.device) -> Tensor:
    generator = torch.Generator().manual_seed(1000 * seed + turn)
    return torch.randperm(rows, generator=generator).to(device)


class Saver:
    """Saves a training every so many seconds, and never one with a weight that is no number."""

    def __init__(self, checkpoint: Checkpoint | None, weights: Iterable[Tensor], seconds: float):
        self.checkpoint = checkpoint
        self.weights = list(weights)
        self.seconds = seconds
        self.last = time.monotonic()

    def after(self, step: int, state: Callable[[], dict]) -> None:
        """Look, and save `state()`, if it is time to; `step` is done."""
        if time.monotonic() - self.last >= self.seconds:
            self.check(step + 1)
            if self.checkpoint:
                self.checkpoint.save(state() | {"step": step + 1})
            self.last = time.monotonic()

    def check(self, steps: int) -> None:
        """CourseError where a weight is not finite."""
        still_numbers(self.weights, f"{steps} steps")
