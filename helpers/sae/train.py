"""Train dictionaries: several at once where they share their inputs, resumable, with dead features started again."""

import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm.auto import tqdm

from helpers.ground.artifacts import Checkpoint
from helpers.sae.model import Loss, SparseAutoencoder, geometric_median
from helpers.transformer.activations import Activations

FEW = 0.03  # share of a dictionary that fires, below which sparse products win on a processor: after some 150 steps
SPARSE = (
    sys.platform == "linux" and torch.backends.mkl.is_available()
)  # elsewhere PyTorch may lack these products: dense ones then
warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")


@dataclass(frozen=True)
class Training:
    """How long and how fast. The paper: 8 billion activations, batches of 8,192, resampling four times, early."""

    tokens: int = 4_000_000
    batch: int = 1024  # small, for the sake of more steps
    learning_rate: float = 1e-3  # constant, then down to 0 over the last fifth of the run
    resample_at: tuple[float, ...] = (
        0.1,
        0.25,
        0.4,
        0.55,
        0.7,
    )  # shares of the run; the paper's .025, .05, … are too early in a short one
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
    silent: list[
        Tensor
    ]  # for each dictionary (M,): features that did not fire once in the last fifth of the run


def train(
    saes: Sequence[SparseAutoencoder],
    inputs: Activations,
    training: Training,
    *,
    checkpoint: Checkpoint | None = None,
    every: int = 100,
) -> Trained:
    """Train dictionaries on the same activations in one pass.

    The transformer makes each batch once for all of them; they share neither weights nor gradients, so each
    ends as if it had been trained alone. A killed run goes on from its last save and ends with the same bits.
    """
    device = next(saes[0].parameters()).device
    optimiser = torch.optim.Adam(
        [p for sae in saes for p in sae.parameters() if p.requires_grad],
        lr=training.learning_rate,
        fused=True,
    )
    fired = [
        torch.zeros(sae.settings.features, device=device) for sae in saes
    ]  # step of the last firing
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
            if (
                sae.settings.input_bias and not sae.b_d.any()
            ):  # a dictionary that has been trained goes on from where it is
                sae.b_d.data = geometric_median(first)
    for step, x in zip(
        tqdm(range(start, training.steps), initial=start, total=training.steps, mininterval=10),
        inputs.batches(training.batch, start=start),
    ):
        x = x.to(device)
        for group in optimiser.param_groups:
            group["lr"] = training.learning_rate * min(1.0, 5 * (1 - step / training.steps))
        found = [backward(sae, x, training.bfloat16) for sae in saes]
        for sae in saes:
            sae.project_gradient()
        optimiser.step()
        optimiser.zero_grad()
        for i, (sae, (loss, f)) in enumerate(zip(saes, found)):
            sae.normalise()
            fired[i][f.any(dim=0)] = step
            if step % 20 == 0:
                history[i].append((loss.mse.item(), f.count_nonzero().item() / len(f)))
            if sae.settings.resample and step in training.resampling_steps():
                dead = fired[i] < step - training.silent_for * training.steps
                resample(sae, optimiser, dead, inputs.sample(8192, seed=step).to(device), seed=step)
        if checkpoint and (step + 1) % every == 0:
            checkpoint.save(
                {
                    "saes": [sae.state_dict() for sae in saes],
                    "optimiser": optimiser.state_dict(),
                    "fired": fired,
                    "step": step + 1,
                    "history": history,
                    "seconds": time.process_time() - clock,
                }
            )
    return Trained(
        history, time.process_time() - clock, [last < 0.8 * training.steps for last in fired]
    )


def backward(sae: SparseAutoencoder, x: Tensor, bfloat16: bool) -> tuple[Loss, Tensor]:
    """Leave a dictionary its gradients for x (B, N); give its loss and its features (B, M) back."""
    with torch.autocast(x.device.type, torch.bfloat16, enabled=bfloat16):
        f = folded_encode(sae, x)
        few = SPARSE and x.device.type == "cpu" and int(f.count_nonzero()) < FEW * f.numel()
        loss = None if few else sae.loss(x, f)
    if few:
        return sparse_gradients(sae, x, f.detach()), f.detach()
    loss.total.backward()
    return loss, f.detach()


def folded_encode(sae: SparseAutoencoder, x: Tensor) -> Tensor:
    """`sae.encode(x)` with b_d moved into the bias: W_e x + (b_e − W_e b_d). No gradient has to flow into x then: one product of six less."""
    return F.relu(F.linear(x, sae.W_e, sae.b_e - sae.W_e @ sae.b_d))


@torch.no_grad()
def sparse_gradients(sae: SparseAutoencoder, x: Tensor, f: Tensor) -> Loss:
    """The gradients of `sae.loss`, written out so that only features that fire cost anything: x (B, N), f (B, M).

    Four of a step's five large products (decoder, and back into f, W_d and W_e) meet zeros in all but a few places of f:
    64 ms a step instead of 164 at L0 23 of 4,096, batches of 1,024, two cores, float32; 54 instead of 86 in bfloat16.
    Note what is not here: a feature that does not fire gets no gradient at all. That is why dead features stay dead.
    """
    f = f.to_sparse_csr().to(x.dtype)
    directions = sae.W_d.T.contiguous()  # (M, N): d_i, a row each
    error = f @ directions + sae.b_d - x  # (B, N): x̂ − x
    into_x = 2 * error / error.numel()  # ∂ mse / ∂ x̂
    into_f = torch.sparse.sampled_addmm(f, into_x, directions.T, beta=0)  # (B, M), only where f > 0
    into_f.values().add_(sae.settings.l1 / len(x))  # ∂ λ·sparsity / ∂ f
    flow = into_f.transpose(0, 1).to_sparse_csr()  # (M, B)
    sae.W_d.grad = (f.transpose(0, 1).to_sparse_csr() @ into_x).T.contiguous()
    sae.W_e.grad = flow @ (x - sae.b_d)
    sae.b_e.grad = (flow @ x.new_ones(len(x), 1))[:, 0]
    if sae.settings.input_bias:
        sae.b_d.grad = into_x.sum(dim=0) - sae.b_e.grad @ sae.W_e
    mse, sparsity = error.pow(2).mean(), f.values().sum() / len(x)
    return Loss(mse + sae.settings.l1 * sparsity, mse, sparsity)


@torch.no_grad()
def resample(
    sae: SparseAutoencoder, optimiser: torch.optim.Optimizer, dead: Tensor, x: Tensor, *, seed: int
) -> None:
    """Give features that have died (mask (M,)) a new start at inputs x (B, N) that are explained badly.

    An input is drawn with probability ∝ its squared loss; the decoder column becomes its direction, the encoder row
    the same at 0.2 of the living rows' mean length, the bias 0; Adam forgets these entries. Bricken et al. 2023.
    """
    if not dead.any() or dead.all():
        return
    f = sae.encode(x)
    loss = (sae.decode(f) - x).pow(2).mean(dim=-1) + sae.settings.l1 * f.sum(dim=-1)  # (B,)
    drawn = torch.multinomial(
        loss.pow(2).cpu(),
        int(dead.sum()),
        replacement=True,
        generator=torch.Generator().manual_seed(seed),
    )
    directions = F.normalize(x[drawn.to(x.device)] - sae.b_d, dim=-1)  # (dead, N)
    sae.W_d[:, dead] = directions.T
    sae.W_e[dead] = directions * 0.2 * sae.W_e[~dead].norm(dim=-1).mean()
    sae.b_e[dead] = 0
    for parameter, where in ((sae.W_d, (slice(None), dead)), (sae.W_e, dead), (sae.b_e, dead)):
        for moment in ("exp_avg", "exp_avg_sq"):
            if moment in optimiser.state.get(parameter, {}):
                optimiser.state[parameter][moment][where] = 0
