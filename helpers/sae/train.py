"""Train dictionaries: several at once where they share their inputs, resumable, with resampling."""

import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm.auto import tqdm

from helpers.ground.errors import CourseError, checked
from helpers.sae.model import Loss, SparseAutoencoder, geometric_median
from helpers.transformer.train import Saver

PLAIN = ("l1", "topk", "batch_topk")  # kinds whose gradients `sparse_gradients` writes out
FEW = 0.03  # share of features that fire, below which sparse products win on a processor
SPARSE = sys.platform == "linux" and torch.backends.mkl.is_available()  # else PyTorch lacks them
NO_NUMBERS = "Some activations or weights are not numbers: look at the model they come from."
warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")


@checked
@dataclass(frozen=True)
class Training:
    """How long and how fast. The paper: 8 billion activations, batches of 8,192."""

    tokens: int = 4_000_000
    batch: int = 1024  # small, for the sake of more steps
    learning_rate: float = 1e-3  # constant, then down to 0 over the last fifth of the run
    resample_at: tuple[float, ...] = (0.1, 0.25, 0.4, 0.55, 0.7)  # of the run; the paper: earlier
    silent_for: float = 0.05  # share of the run after which a feature counts as dead
    bfloat16: bool = False  # faster where the processor has it

    @property
    def steps(self) -> int:
        return self.tokens // self.batch

    def resampling_steps(self) -> list[int]:
        return [round(share * self.steps) for share in self.resample_at]


class Inputs(Protocol):
    """Where activations come from: an `ActivationBuffer`, or a toy world."""

    def batches(self, size: int, *, start: int = 0) -> Iterator[Tensor]: ...

    def sample(self, size: int, *, seed: int) -> Tensor: ...


class Trained(NamedTuple):
    """What a run leaves besides the dictionaries, which are trained in place."""

    history: list[list[list[float]]]  # for each dictionary [mse, L0] of every 20th step
    silent: list[Tensor]  # for each, (M,): features that never fired in the last fifth of the run


@checked
def train(saes, inputs, training: Training, *, checkpoint=None, save_every=120.0) -> Trained:
    """Train dictionaries on the same activations in one pass; each ends as if trained alone.

    A killed run goes on from its last save and ends with the same bits. save_every: seconds.
    Raises CourseError where activations or weights are not numbers. No step waits to look: the
    first batch is looked at, what is resampled from, and the weights before each save and at the
    end. So the last good checkpoint stays.
    """
    if not saes:
        raise CourseError("There is no dictionary to train: give a list of them.")
    device = saes[0].W_enc.device
    parameters = [p for sae in saes for p in sae.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, fused=True)
    logs = [Log(sae) for sae in saes]
    saver = Saver(checkpoint, parameters, save_every)
    start = 0
    if checkpoint and (state := checkpoint.load()):
        start = restore(state, saes, optimizer, logs)
    else:
        centre(saes, next(inputs.batches(training.batch)).to(saes[0].W_enc))
    steps = tqdm(range(start, training.steps), initial=start, total=training.steps, mininterval=10)
    for step, x in zip(steps, inputs.batches(training.batch, start=start), strict=False):
        x = x.to(saes[0].W_enc)  # (B, N), on its device
        x = x.clone() if x.is_inference() else x  # what inference mode made has no gradient
        for group in optimizer.param_groups:  # constant for four fifths, then down in a line
            group["lr"] = training.learning_rate * min(1.0, 5 * (1 - step / training.steps))
        results = [backward(sae, x, training.bfloat16) for sae in saes]  # loss, features (B, M)
        update(saes, optimizer)
        for log, (loss, f) in zip(logs, results, strict=True):
            log.note(step, loss, f)
        if step in training.resampling_steps():
            x = inputs.sample(8192, seed=step).to(device)  # others than the ones just trained on
            for sae, log in zip(saes, logs, strict=True):
                if sae.settings.resample and sae.settings.kind == "l1":
                    dead = log.n_since_fired > training.silent_for * training.steps  # (M,)
                    resample(sae, optimizer, dead, x, seed=step)
        saver.after(step, lambda: state_of(saes, optimizer, logs))
    saver.check(training.steps)
    history = [[pair.tolist() for pair in log.history] for log in logs]
    return Trained(history, [log.n_since_fired >= 0.2 * training.steps for log in logs])


class Log:
    """What one dictionary's training has shown so far; all of it stays on the device."""

    def __init__(self, sae: SparseAutoencoder):
        self.n_since_fired = torch.zeros_like(sae.b_enc.data)  # (M,) steps
        self.history: list[Tensor] = []  # (mse, L0)

    def note(self, step: int, loss: Loss, f: Tensor) -> None:
        """Take down one step's loss and features (B, M)."""
        did_fire = f.any(dim=0)  # (M,)
        self.n_since_fired = torch.where(did_fire, 0, self.n_since_fired + 1)
        if step % 20 == 0:
            L0 = f.count_nonzero() / len(f)
            self.history.append(torch.stack([loss.mse.detach().float(), L0]))


@torch.no_grad()
def centre(saes: Sequence[SparseAutoencoder], x: Tensor) -> None:
    """Begin with b_dec in the middle of the data x (B, N), unless a dictionary has been trained."""
    if not x.isfinite().all():
        raise CourseError(NO_NUMBERS)
    for sae in saes:
        if sae.settings.input_bias and not sae.b_dec.any():
            sae.b_dec.copy_(geometric_median(x))


def update(saes: Sequence[SparseAutoencoder], optimizer: torch.optim.Optimizer) -> None:
    """One step of Adam that keeps the directions at length 1."""
    for sae in saes:
        sae.project_gradient()
    optimizer.step()
    optimizer.zero_grad()
    for sae in saes:
        sae.normalise()


def backward(sae: SparseAutoencoder, x: Tensor, bfloat16: bool) -> tuple[Loss, Tensor]:
    """Leave a dictionary its gradients for x (B, N); give its loss and its features (B, M) back."""
    half = torch.autocast(x.device.type, torch.bfloat16, enabled=bfloat16)
    with half:  # sae.encode(x) as x W_enc + (b_enc − b_dec W_enc): one large product less
        f = sae.activate(F.linear(x, sae.W_enc.T, sae.b_enc - sae.b_dec @ sae.W_enc))
    sae.observe(f.detach())
    sparse = SPARSE and x.device.type == "cpu" and sae.settings.kind in PLAIN
    if sparse and int(f.count_nonzero()) < FEW * f.numel():
        f = f.detach()
        return sparse_gradients(sae, x, f, half), f
    with half:
        loss = sae.loss(x, f)
    loss.total.backward()
    return loss, f.detach()


@torch.no_grad()
def sparse_gradients(sae: SparseAutoencoder, x: Tensor, f: Tensor, half) -> Loss:
    """The gradients of `sae.loss`, written out so that only features that fire cost anything.

    x (B, N), f (B, M). 64 ms a step instead of 164 at L0 23 of 4,096, batches of 1,024, two cores;
    TopK, its choice included, 141 instead of 383 at k = 32 of 4,096, 24 instead of 52 at 13 of
    1,024 (batches of 512), the same at 3 of 256; one core.
    half: in which precision `extra` is computed, a context such as torch.autocast.
    A feature that does not fire gets no gradient at all: that is why dead features stay dead, and
    why the kinds that keep the k largest have a loss for them besides (`extra`).
    """
    l1, dense = sae.settings.kind == "l1", f.to(x.dtype)
    f = dense.to_sparse_csr()
    error = f @ sae.W_dec + sae.b_dec - x  # (B, N): x̂ − x
    with torch.set_grad_enabled(not l1), half:
        sparsity = sae.extra(x, dense) if l1 else sae.extra(x, f, -error)
        added = sae.price * sparsity
    into_x = 2 * error / error.numel()  # ∂ mse / ∂ x̂
    into_f = torch.sparse.sampled_addmm(f, into_x, sae.W_dec.T, beta=0)  # (B, M), only where f > 0
    if l1:
        into_f.values().add_(sae.price / len(x))  # ∂ λ·sparsity / ∂ f
    flow = into_f.transpose(0, 1).to_sparse_csr()  # (M, B)
    sae.W_dec.grad = f.transpose(0, 1).to_sparse_csr() @ into_x
    sae.W_enc.grad = (flow @ (x - sae.b_dec)).T.contiguous()
    sae.b_enc.grad = (flow @ x.new_ones(len(x), 1))[:, 0]
    if sae.settings.input_bias:
        sae.b_dec.grad = into_x.sum(dim=0) - sae.W_enc @ sae.b_enc.grad
    mse = error.pow(2).mean()
    if added.requires_grad:
        added.backward()  # comes on top of the gradients above
    return Loss(mse + added.detach(), mse, sparsity.detach())


@torch.no_grad()
def resample(sae: SparseAutoencoder, optimizer, dead: Tensor, x: Tensor, *, seed: int) -> None:
    """Point dead features (mask (M,)) at inputs x (B, N) that are explained badly.

    1. An input is drawn with probability ∝ its squared loss.
    2. The feature's direction becomes the input's, its encoder the same at 0.2 of the living
       encoders' mean length, its bias 0.
    3. Adam forgets these entries. Source: Bricken et al. 2023.
    """
    if not dead.any() or dead.all():
        return
    f = sae.encode(x)
    loss = (sae.decode(f) - x).pow(2).mean(dim=-1) + sae.settings.l1 * f.sum(dim=-1)  # (B,)
    odds = loss.pow(2).cpu()
    if not odds.isfinite().all():
        raise CourseError(NO_NUMBERS)
    generator = torch.Generator().manual_seed(seed)
    count = int(dead.sum())
    drawn = torch.multinomial(odds, count, replacement=True, generator=generator)
    directions = F.normalize(x[drawn.to(x.device)] - sae.b_dec, dim=-1)  # (count, N)
    sae.W_dec[dead] = directions
    sae.W_enc[:, dead] = directions.T * 0.2 * sae.W_enc[:, ~dead].norm(dim=0).mean()
    sae.b_enc[dead] = 0
    columns = (slice(None), dead)
    for parameter, where in ((sae.W_dec, dead), (sae.W_enc, columns), (sae.b_enc, dead)):
        for moment in ("exp_avg", "exp_avg_sq"):
            if moment in optimizer.state[parameter]:
                optimizer.state[parameter][moment][where] = 0


def state_of(saes, optimizer, logs) -> dict:
    """Everything that a killed run needs to go on."""
    parts = {"saes": [sae.state_dict() for sae in saes], "logs": [vars(log) for log in logs]}
    return parts | {"optimizer": optimizer.state_dict()}


def restore(state: dict, saes, optimizer, logs) -> int:
    """Put a saved state back; returns the step to go on with."""
    for sae, weights in zip(saes, state["saes"], strict=True):
        sae.load_state_dict(weights)
    optimizer.load_state_dict(state["optimizer"])
    for log, saved in zip(logs, state["logs"], strict=True):
        device = log.n_since_fired.device
        log.n_since_fired = saved["n_since_fired"].to(device)
        log.history = saved["history"]
    return state["step"]
