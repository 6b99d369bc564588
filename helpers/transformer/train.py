"""Train a one-layer transformer to predict the next token; resumable to the bit."""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm.auto import tqdm

from helpers.datasets import corpus
from helpers.ground.artifacts import Checkpoint, still_numbers
from helpers.ground.errors import MayBe0, checked
from helpers.transformer.model import OneLayerTransformer, initialise

LOOK = 10_000_000  # tokens between two looks at the held-out loss
ROWS = 256  # of logits at once: 2 MB in bfloat16


@checked
@dataclass(frozen=True)
class Training:
    """How long and how fast."""

    tokens: int = 100_000_000  # seen in all
    batch: int = 32  # sequences a step
    micro: int = 32  # sequences at once
    learning_rate: float = 2e-3  # reached after `warmup` steps, then a cosine down to a tenth
    warmup: MayBe0 = 200
    weight_decay: float = 0.01
    seed: int = 0  # of the weights and of the order of the texts
    bfloat16: bool = False  # faster where the processor has it; float32 otherwise

    @property
    def steps(self) -> int:
        return self.tokens // (self.batch * corpus.CONTEXT)


class Trained(NamedTuple):
    """A model, its training loss at every 50th step, and what `look` saw; in nats per token."""

    model: OneLayerTransformer
    losses: list[float]
    looks: list[float]


@checked
def train(
    settings, training, stream, *, device="cpu", checkpoint=None, save_every=120.0, look=None
) -> Trained:
    """A model trained on a stream of tokens (N,).

    Everything random follows from the seed and the step, so a run that was killed repeats the steps
    since its last save and ends with the same bits. save_every: seconds. look(model): a number that
    is noted each time LOOK tokens more have been seen. Raises CourseError where the weights stop
    being numbers; the last good checkpoint stays.
    """
    with torch.random.fork_rng(devices=[]):
        model = OneLayerTransformer(settings)
    initialise(model, training.seed)
    model.to(device)
    stream = stream.to(device)  # 22 M tokens are 44 MB: there once, rather than a piece each step
    how = {"betas": (0.9, 0.98), "weight_decay": training.weight_decay}
    optimizer = torch.optim.AdamW(model.parameters(), fused=True, **how)
    saver = Saver(checkpoint, model.parameters(), save_every)
    start, losses, looks = 0, [], []
    every = max(1, LOOK // (training.batch * corpus.CONTEXT))  # steps
    parts = {"model": model, "optimizer": optimizer}
    if checkpoint and (saved := checkpoint.load()):
        for name, part in parts.items():
            part.load_state_dict(saved[name])
        start, losses, looks = saved["step"], list(saved["losses"]), list(saved["looks"])
    seen = {"losses": losses, "looks": looks}
    state = lambda: {name: part.state_dict() for name, part in parts.items()} | seen
    steps = range(start, training.steps)
    for step in tqdm(steps, initial=start, total=training.steps, mininterval=10):
        for group in optimizer.param_groups:
            group["lr"] = training.learning_rate * share_of_peak(step, training)
        loss = backward(model, batch(stream, step, training), training)
        optimizer.step()
        optimizer.zero_grad()
        if step % 50 == 0:
            losses.append(loss)  # a tensor: its number would have to be waited for
        if look and (step + 1) % every == 0:
            looks.append(round(look(model), 4))
            seen_so_far = (step + 1) * training.batch * corpus.CONTEXT / 1e6
            print(f"{seen_so_far:.0f} M: {looks[-1]}", flush=True)
        saver.after(step, state)
    saver.done(training.steps, state)
    return Trained(model.eval(), [round(float(loss), 4) for loss in losses], looks)


def backward(model: OneLayerTransformer, rows: Tensor, training: Training) -> Tensor:
    """Add the gradient of the mean loss of rows (batch, T + 1), some at a time; the loss."""
    total = torch.zeros((), device=rows.device)
    low = torch.bfloat16 if training.bfloat16 else torch.float32
    for part in rows.split(training.micro):
        with torch.autocast(rows.device.type, torch.bfloat16, enabled=training.bfloat16):
            x = model.last(part[:, :-1]).flatten(0, 1)  # (micro · T, D)
            loss = NextTokenLoss.apply(x, model.unembed.weight, part[:, 1:].flatten(), low)
        loss = loss * len(part) / len(rows)
        loss.backward()
        total += loss.detach()
    return total


class NextTokenLoss(torch.autograd.Function):
    """Mean cross-entropy of x W^T (R, V) against tokens (R,), with its gradients in x and W.

    ROWS rows at a time and the gradients at once: the logits are never written to memory as a
    whole, which is most of the time that a small model takes. x (R, D), W (V, D).
    """

    @staticmethod
    def forward(ctx, x: Tensor, W: Tensor, tokens: Tensor, low: torch.dtype) -> Tensor:
        x_low, W_low = x.to(low), W.to(low)
        into_x, into_W = torch.empty_like(x_low), torch.zeros_like(W)
        total = torch.zeros((), device=x.device)
        for at in torch.arange(len(x), device=x.device).split(ROWS):
            part = slice(int(at[0]), int(at[0]) + len(at))
            here, right = at - at[0], tokens[part]
            p = (x_low[part] @ W_low.T).softmax(dim=-1)  # (ROWS, V)
            total -= p[here, right].float().clamp_min(1e-30).log().sum()
            p[here, right] -= 1  # ∂ loss / ∂ logits
            into_x[part] = p @ W_low
            into_W += p.T @ x_low[part]
        ctx.save_for_backward(into_x, into_W)
        return total / len(x)

    @staticmethod
    def backward(ctx, slope: Tensor):
        into_x, into_W = ctx.saved_tensors
        slope = slope / len(into_x)
        return (into_x.float() * slope), into_W * slope, None, None


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

    def done(self, steps: int, state: Callable[[], dict]) -> None:
        """Save the end as well: what comes after the training may be killed too."""
        self.check(steps)
        if self.checkpoint:
            self.checkpoint.save(state() | {"step": steps})

    def check(self, steps: int) -> None:
        """CourseError where a weight is not finite."""
        still_numbers(self.weights, f"{steps} steps")
