"""Train dictionaries: several at once where they share their inputs, resumable, with dead features started again."""
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm.auto import tqdm

from ..course.runtime import Checkpoint
from ..transformer.activations import Activations
from .model import Loss, SparseAutoencoder, geometric_median


@dataclass(frozen=True)
class Training:
    """How long and how fast. The paper: 8 billion activations, batches of 8,192, resampling four times, early."""

    tokens: int = 4_000_000
    batch: int = 1024  # small, for the sake of more steps
    learning_rate: float = 1e-3  # constant, then down to 0 over the last fifth of the run
    resample_at: tuple[float, ...] = (0.1, 0.25, 0.4, 0.55, 0.7)  # shares of the run; the paper's .025, .05, … are too early in a short one
    silent_for: float = 0.05  # share of the run after which a feature counts as dead
    bfloat16: bool = False  # faster where the processor has it

    @property
    def steps(self) -> int:
        return self.tokens // self.batch

    def resampling_steps(self) -> list[int]:
        return [round(share * self.steps) for share in self.resample_at]


class Trained(NamedTuple):
    """What a run leaves besides the dictionaries, which are trained in place."""

    history: list[list[tuple[float, float]]]  # for each dictionary (mse, L0) of every 20th step
    seconds: float  # processor time
    silent: list[Tensor]  # for each dictionary (M,): features that did not fire once in the last fifth of the run


def train(saes: Sequence[SparseAutoencoder], inputs: Activations, training: Training, *,
          checkpoint: Checkpoint | None = None, every: int = 100) -> Trained:
    """Train dictionaries on the same activations in one pass.

    Their encoders are stacked into one matrix multiplication; they share neither weights nor gradients, so each
    ends as if it had been trained alone. A killed run goes on from its last save and ends with the same bits.
    """
    device = next(saes[0].parameters()).device
    optimiser = torch.optim.Adam([p for sae in saes for p in sae.parameters() if p.requires_grad], lr=training.learning_rate, fused=True)
    fired = [torch.zeros(sae.settings.features, device=device) for sae in saes]  # step of the last firing
    history: list[list[tuple[float, float]]] = [[] for _ in saes]
    start, clock = 0, time.process_time()
    if checkpoint and (state := checkpoint.load()):
        for sae, weights in zip(saes, state["saes"]):
            sae.load_state_dict(weights)
        optimiser.load_state_dict(state["optimiser"])
        start, history, clock = state["step"], state["history"], clock - state.get("seconds", 0.0)
        fired = [steps.to(device) for steps in state["fired"]]
    else:
        first = next(inputs.batches(training.batch)).to(device)
        for sae in saes:
            if sae.settings.input_bias:
                sae.b_d.data = geometric_median(first)
    for step, x in zip(tqdm(range(start, training.steps), initial=start, total=training.steps, mininterval=10),
                       inputs.batches(training.batch, start=start)):
        x = x.to(device)
        for group in optimiser.param_groups:
            group["lr"] = training.learning_rate * min(1.0, 5 * (1 - step / training.steps))
        losses, features = _losses(saes, x, training.bfloat16)
        torch.stack([loss.total for loss in losses]).sum().backward()
        for sae in saes:
            sae.project_gradient()
        optimiser.step()
        optimiser.zero_grad()
        for i, (sae, f) in enumerate(zip(saes, features)):
            sae.normalise()
            active = f.detach() > 0
            fired[i][active.any(dim=0)] = step
            if step % 20 == 0:
                history[i].append((losses[i].mse.item(), active.sum(dim=-1).float().mean().item()))
            if sae.settings.resample and step in training.resampling_steps():
                dead = fired[i] < step - training.silent_for * training.steps
                resample(sae, optimiser, dead, inputs.sample(8192, seed=step).to(device), seed=step)
        if checkpoint and (step + 1) % every == 0:
            checkpoint.save({"saes": [sae.state_dict() for sae in saes], "optimiser": optimiser.state_dict(),
                             "fired": fired, "step": step + 1, "history": history,
                             "seconds": time.process_time() - clock})
    return Trained(history, time.process_time() - clock, [last < 0.8 * training.steps for last in fired])


def _losses(saes: Sequence[SparseAutoencoder], x: Tensor, bfloat16: bool) -> tuple[list[Loss], list[Tensor]]:
    """Each dictionary's loss and features for the same x (B, N)."""
    with torch.autocast(x.device.type, torch.bfloat16, enabled=bfloat16):
        features = encode_together(saes, x)
        return [sae.loss(x, f) for sae, f in zip(saes, features)], list(features)


def encode_together(saes: Sequence[SparseAutoencoder], x: Tensor) -> Sequence[Tensor]:
    """All encoders as one: W_e (x − b_d) + b_e = W_e x + (b_e − W_e b_d), stacked; (B, N) → a (B, M) for each.

    Folding b_d into the bias also spares its gradient a fifth matrix multiplication of full size.
    """
    weight = torch.cat([sae.W_e for sae in saes])  # (ΣM, N)
    bias = torch.cat([sae.b_e - sae.W_e @ sae.b_d for sae in saes])  # (ΣM,)
    return F.relu(F.linear(x, weight, bias)).split([sae.settings.features for sae in saes], dim=-1)


@torch.no_grad()
def resample(sae: SparseAutoencoder, optimiser: torch.optim.Optimizer, dead: Tensor, x: Tensor, *, seed: int) -> None:
    """Give features that have died (mask (M,)) a new start at inputs x (B, N) that are explained badly.

    An input is drawn with probability ∝ its squared loss; the decoder column becomes its direction, the encoder row
    the same at 0.2 of the living rows' mean length, the bias 0; Adam forgets these entries. Bricken et al. 2023.
    """
    if not dead.any() or dead.all():
        return
    f = sae.encode(x)
    loss = (sae.decode(f) - x).pow(2).mean(dim=-1) + sae.settings.l1 * f.sum(dim=-1)  # (B,)
    drawn = torch.multinomial(loss.pow(2).cpu(), int(dead.sum()), replacement=True, generator=torch.Generator().manual_seed(seed))
    directions = F.normalize(x[drawn.to(x.device)] - sae.b_d, dim=-1)  # (dead, N)
    sae.W_d[:, dead] = directions.T
    sae.W_e[dead] = directions * 0.2 * sae.W_e[~dead].norm(dim=-1).mean()
    sae.b_e[dead] = 0
    for parameter, where in ((sae.W_d, (slice(None), dead)), (sae.W_e, dead), (sae.b_e, dead)):
        for moment in ("exp_avg", "exp_avg_sq"):
            if moment in optimiser.state.get(parameter, {}):
                optimiser.state[parameter][moment][where] = 0
