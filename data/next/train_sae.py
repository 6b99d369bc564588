"""Train a dictionary of the second edition: `python -m data.next.train_sae a1`.

It can be killed at any time. Called again it goes on from its checkpoint in .checkpoints/; where
there is none, from the stored weights (int8, in the folder sae_NAME), with fresh moments of Adam
and a new warm-up; where there are none, from its seed. Its transformer must be trained already.
"""

import argparse
import json
import signal
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from helpers.course.artifacts import Checkpoint, load_artifact, save_artifact, write_atomically
from helpers.sae.features import fire, summary
from helpers.sae.model import Dictionary, Settings, SparseAutoencoder, geometric_median
from helpers.sae.store import pack, unpack
from helpers.sae.train import Training, backward, resample
from helpers.transformer.activations import Activations
from helpers.transformer.measure import ablate, loss_recovered, token_losses
from helpers.transformer.model import OneLayerTransformer, initialise

from . import corpus, train_lm
from .batch_top_k import BatchTopK, TopKSettings

HERE = Path(__file__).parent
VERSION = 2  # of the stored dictionaries
M = 1_000_000
EVERY = 5 * M  # activations between two stored states
SAVE_SECONDS = 180  # between two checkpoints
WARMUP = 200  # steps, after a start from stored weights


@dataclass(frozen=True)
class Job:
    """A dictionary, its inputs, and how long it trains."""

    model: str  # a transformer of train_lm, or "random", or "permuted"
    settings: Settings
    training: Training
    ship: bool = True  # False: only its numbers are kept


LONG = Training(tokens=20 * M)
TOP_K = {"batch": 1024, "learning_rate": 4e-4}
CONTROL = Training(tokens=4 * M)
JOBS = {
    "a0": Job("lm_relu", Settings(features=512), LONG),
    "a1": Job("lm_relu", Settings(features=4096), LONG),
    "a1_seed": Job("lm_relu", Settings(features=4096, seed=1), LONG),
    "b1": Job("lm_relu_b", Settings(features=4096), LONG),
    "a1_top_k": Job("lm_relu", TopKSettings(features=4096), Training(tokens=20 * M, **TOP_K)),
    "a2_top_k": Job("lm_relu", TopKSettings(features=16384), Training(tokens=25 * M, **TOP_K)),
    "control_trained": Job("lm_relu", Settings(features=1024), CONTROL, ship=False),
    "control_permuted": Job("permuted", Settings(features=1024), CONTROL, ship=False),
    "control_random": Job("random", Settings(features=1024), CONTROL, ship=False),
}


def transformer(name: str) -> OneLayerTransformer:
    """The transformer of a job; "permuted" is lm_relu with the entries of every matrix shuffled."""
    if name == "random":
        model = OneLayerTransformer(train_lm.MODELS["lm_relu"][0])
        initialise(model, seed=0)
        return model.eval()
    trained = "lm_relu" if name == "permuted" else name
    _, header = train_lm.stored(trained) or (None, {"step": 0})
    if header["step"] < train_lm.MODELS[trained][1].steps:
        raise SystemExit(
            f"{trained} has seen {header['step']} steps only: train it to the end first."
        )
    model = train_lm.load(trained)
    if name == "permuted":
        generator = torch.Generator().manual_seed(0)
        for weight in model.parameters():
            order = torch.randperm(weight.numel(), generator=generator)
            weight.data = weight.data.flatten()[order].view_as(weight)
    return model


def autoencoder(settings: Settings) -> SparseAutoencoder:
    kind = BatchTopK if isinstance(settings, TopKSettings) else SparseAutoencoder
    return kind(settings)


def learning_rate(step: int, restart: int, steps: int) -> float:
    """The share of the peak: 1, then down in a line over the last fifth; a restart warms up."""
    up = (step + 1 - restart) / WARMUP if restart else 1.0
    return min(1.0, up, 5 * (1 - step / steps))


def store(name: str, sae: SparseAutoencoder, scale: float, step: int, more: dict) -> None:
    """Write sae_NAME: int8 weights, step, settings and numbers, in files below 14 MiB."""
    tensors = pack(sae, name)
    if isinstance(sae, BatchTopK):
        tensors |= {f"{name}.{key}": value for key, value in sae.named_buffers()}
    meta = {"step": step, "scale": scale, "training": asdict(JOBS[name].training)} | more
    meta["dictionaries"] = {name: {"settings": asdict(sae.settings)}}
    save_artifact(f"sae_{name}", tensors, version=VERSION, meta=meta, root=HERE)


def load(name: str) -> tuple[Dictionary, dict]:
    """A stored dictionary and its meta."""
    tensors, meta = load_artifact(f"sae_{name}", version=VERSION, root=HERE)
    settings = meta["dictionaries"][name]["settings"]
    plain = {key: value for key, value in settings.items() if key in Settings.__annotations__}
    dictionary = unpack(tensors, meta | {"dictionaries": {name: {"settings": plain}}}, name)
    if "k" in settings:
        sae = BatchTopK(TopKSettings(**settings))
        buffers = {key: tensors[f"{name}.{key}"].reshape(b.shape) for key, b in sae.named_buffers()}
        sae.load_state_dict(dictionary.sae.state_dict() | buffers)
        dictionary = Dictionary(sae, meta["scale"])
    return dictionary, meta


def run(name: str, *, from_weights: bool = False, afresh: bool = False) -> None:
    """Train to the end, or until the process is asked to stop; then measure."""
    job, training = JOBS[name], JOBS[name].training
    model = transformer(job.model)
    inputs = Activations(model, corpus.stream("train").contexts()[0])
    sae = autoencoder(job.settings)
    checkpoint = Checkpoint(f"next-sae-{name}")
    start, restart, seconds, history = 0, 0, 0.0, []
    last_fired = torch.zeros(job.settings.features)  # the step
    state = None if from_weights or afresh else checkpoint.load()
    if state:
        sae.load_state_dict(state["sae"])
        start, restart, history = state["step"], state["restart"], state["history"]
        seconds, last_fired = state["seconds"], state["last_fired"]
    elif not afresh and (HERE / f"sae_{name}" / "manifest.json").exists():
        dictionary, meta = load(name)
        sae.load_state_dict(dictionary.sae.state_dict())
        start = restart = meta["step"]
        seconds, history = meta["seconds"], meta["history"]
        last_fired += start
    else:
        sae.b_d.data = geometric_median(next(inputs.batches(training.batch)))
    parameters = [p for p in sae.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=training.learning_rate, fused=True)
    if state:
        optimizer.load_state_dict(state["optimizer"])
    print(f"{name}: step {start} of {training.steps}", flush=True)

    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    clock, saved, batches = time.process_time() - seconds, time.monotonic(), inputs.batches
    for step, x in zip(
        range(start, training.steps), batches(training.batch, start=start), strict=False
    ):
        rate = training.learning_rate * learning_rate(step, restart, training.steps)
        optimizer.param_groups[0]["lr"] = rate
        if isinstance(sae, BatchTopK):
            loss, f = sae.backward(x)
            fired, l0 = f.col_indices().long(), len(f.values()) / len(x)
        else:
            loss, f = backward(sae, x, bfloat16=False)
            fired, l0 = f.any(dim=0), f.count_nonzero().item() / len(x)
        sae.project_gradient()
        optimizer.step()
        optimizer.zero_grad()
        sae.normalise()
        last_fired[fired] = step
        silent = last_fired < step - training.silent_for * training.steps
        if job.settings.resample and step in training.resampling_steps():
            resample(sae, optimizer, silent, inputs.sample(8192, seed=step), seed=step)
        if step % 200 == 0:
            history.append([step, round(loss.mse.item(), 5), round(l0, 2), int(silent.sum())])
        seen, seconds = (step + 1) * training.batch, time.process_time() - clock
        last = step + 1 == training.steps
        if job.ship and (last or seen // EVERY > (seen - training.batch) // EVERY):
            store(name, sae, inputs.scale, step + 1, {"seconds": seconds, "history": history})
        if last or stopped or time.monotonic() - saved > SAVE_SECONDS:
            state = {"sae": sae.state_dict(), "optimizer": optimizer.state_dict()}
            state |= {"step": step + 1, "restart": restart, "history": history}
            checkpoint.save(state | {"seconds": seconds, "last_fired": last_fired})
            saved = time.monotonic()
            print(f"{name}: {history[-1]}, {seen / seconds:.0f} a second", flush=True)
        if stopped:
            sys.exit(1)  # not done
    numbers = measure(load(name)[0] if job.ship else Dictionary(sae, inputs.scale), model)
    numbers |= {"minutes": round(seconds / 60, 1), "activations": training.steps * training.batch}
    content = json.dumps(numbers, indent=1) + "\n"
    write_atomically(HERE / f"sae_{name}.json", content.encode())


def measure(dictionary: Dictionary, model: OneLayerTransformer) -> dict:
    """The numbers of a card, on held-out text: losses on 62,000 tokens, firing on 500,000."""
    rows = corpus.stream("heldout").contexts()[0]
    few, many = rows[::16], rows[1::2]
    losses = {"loss": None, "loss_ablated": ablate, "loss_replaced": dictionary.reconstruct}
    numbers = {key: token_losses(model, few, edit).mean().item() for key, edit in losses.items()}
    numbers["loss_recovered"] = loss_recovered(model, few, dictionary.reconstruct)
    fired = fire(dictionary.features, model, many)
    numbers |= summary(fired, dictionary) | token_focus(fired, many.flatten())
    living = torch.from_numpy(fired.getnnz(axis=0) / fired.shape[0]) >= 1e-5
    return numbers | {"living": int(living.sum())}


def token_focus(fired, tokens: Tensor) -> dict:
    """How many features speak of one token, and how much of what they do is about that token.

    Counted among features that fire in twenty contexts or more. A feature has one token when its
    twenty strongest firings, one a context, are all on it.
    """
    tokens, rateable, on_token, by_value = tokens.numpy(), 0, [], []
    for unit in range(fired.shape[1]):
        span = slice(fired.indptr[unit], fired.indptr[unit + 1])
        at, values = fired.indices[span], fired.data[span]
        order = np.argsort(-values, kind="stable")
        _, first = np.unique(at[order] // corpus.CONTEXT, return_index=True)
        if len(first) < 20:
            continue
        rateable += 1
        top = tokens[at[order[np.sort(first)[:20]]]]
        if (top == top[0]).all():
            same = tokens[at] == top[0]
            on_token.append(same.mean())
            by_value.append(values[same].sum() / values.sum())
    return {
        "rateable": rateable,
        "one_token": len(on_token) / max(1, rateable),
        "firings_on_that_token": float(np.median(on_token)) if on_token else 0.0,
        "activation_on_that_token": float(np.median(by_value)) if by_value else 0.0,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=JOBS)
    parser.add_argument("--from-weights", action="store_true", help="leave the checkpoint aside")
    parser.add_argument("--afresh", action="store_true", help="begin from the seed")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    run(chosen.name, from_weights=chosen.from_weights, afresh=chosen.afresh)


if __name__ == "__main__":
    main()
