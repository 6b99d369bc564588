"""Train a one-layer transformer on a stream of tokens: plain next-token prediction, resumable to the bit."""

import time
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm.auto import tqdm

from helpers.datasets import corpus
from helpers.ground.artifacts import Checkpoint
from helpers.transformer.model import OneLayerTransformer, Settings, initialise


@dataclass(frozen=True)
class Training:
    """How long and how fast."""

    tokens: int = 20_000_000  # seen in all: two passes over the stream of 10 M
    batch: int = 16  # sequences a step
    micro: int = 8  # sequences at once: 8 fill a core's cache (30k tokens/s beside 24k with 16, one core, bfloat16)
    learning_rate: float = 2e-3  # reached after `warmup` steps, then a cosine down to a tenth
    warmup: int = 200
    weight_decay: float = 0.01
    seed: int = 0  # of the weights and of the order of the texts
    bfloat16: bool = False  # faster where the processor has it; float32 otherwise

    @property
    def steps(self) -> int:
        return self.tokens // (self.batch * corpus.CONTEXT)


class Trained(NamedTuple):
    """A model, its training loss at every 50th step in nats per token, and the processor time it took."""

    model: OneLayerTransformer
    losses: list[float]
    seconds: float


def train(
    settings: Settings,
    training: Training,
    stream: Tensor,
    *,
    device="cpu",
    checkpoint: Checkpoint | None = None,
    every: int = 200,
) -> Trained:
    """A model trained on a stream of tokens (N,).

    Resumable: everything random follows from the seed and the step, so a run killed between two saves repeats
    the steps since the last one and ends with the same bits.
    """
    model = OneLayerTransformer(settings)
    initialise(model, training.seed)
    model.to(device)
    optimiser = torch.optim.AdamW(
        model.parameters(),
        lr=training.learning_rate,
        betas=(0.9, 0.98),
        weight_decay=training.weight_decay,
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: learning_rate(step, training)
    )
    losses: list[float] = []
    start, clock = 0, time.process_time()
    if checkpoint and (state := checkpoint.load()):
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        schedule.load_state_dict(state["schedule"])
        start, losses, clock = state["step"], state["losses"], clock - state.get("seconds", 0.0)
    for step in tqdm(
        range(start, training.steps), initial=start, total=training.steps, mininterval=10
    ):
        rows = batch(stream, step, training).to(device)  # (batch, context + 1)
        loss = _step(model, rows, training)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
        if step % 50 == 0:
            losses.append(round(loss.item(), 4))
        if checkpoint and (step + 1) % every == 0:
            checkpoint.save(
                {
                    "model": model.state_dict(),
                    "optimiser": optimiser.state_dict(),
                    "schedule": schedule.state_dict(),
                    "step": step + 1,
                    "losses": losses,
                    "seconds": time.process_time() - clock,
                }
            )
    return Trained(model.eval(), losses, time.process_time() - clock)


def _step(model: OneLayerTransformer, rows: Tensor, training: Training) -> Tensor:
    """Add the gradient of the mean loss of a batch, a few sequences at a time; returns the loss."""
    total = torch.zeros((), device=rows.device)
    for part in rows.split(training.micro):
        with torch.autocast(rows.device.type, torch.bfloat16, enabled=training.bfloat16):
            loss = (
                F.cross_entropy(model(part[:, :-1]).flatten(0, 1), part[:, 1:].flatten())
                * len(part)
                / len(rows)
            )
        loss.backward()
        total += loss.detach()
    return total


def learning_rate(step: int, training: Training) -> float:
    """The share of the peak learning rate at a step: up in a line, down along a cosine to 0.1."""
    if step < training.warmup:
        return (step + 1) / training.warmup
    done = torch.tensor((step - training.warmup) / max(1, training.steps - training.warmup))
    return 0.55 + 0.45 * torch.cos(done * torch.pi).item()


def batch(stream: Tensor, step: int, training: Training) -> Tensor:
    """The sequences of a step, (batch, context + 1) int64: every row of the stream once, then all again in another order."""
    rows = (len(stream) - 1) // corpus.CONTEXT
    places = torch.arange(step * training.batch, (step + 1) * training.batch)
    starts = torch.stack(
        [
            _order(rows, training.seed, int(turn))[place]
            for turn, place in zip(places // rows, places % rows)
        ]
    )
    return stream[starts[:, None] * corpus.CONTEXT + torch.arange(corpus.CONTEXT + 1)].long()


@lru_cache(maxsize=2)
def _order(rows: int, seed: int, turn: int) -> Tensor:
    return torch.randperm(rows, generator=torch.Generator().manual_seed(1000 * seed + turn))
