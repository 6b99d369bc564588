"""Train a transformer of the second edition: `python -m data.next.train_lm lm_relu`.

It can be killed at any time. Called again it goes on from its checkpoint in .checkpoints/ and ends
with the same bits as a run that was never killed; where there is none, from the stored weights in
NAME.safetensors, with fresh moments of Adam and a new warm-up; where there are none, from its seed.
"""

import argparse
import json
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from helpers.course.artifacts import Checkpoint, write_atomically
from helpers.transformer.model import OneLayerTransformer, Settings, initialise
from helpers.transformer.train import Training, batch

from . import corpus

HERE = Path(__file__).parent
M = 1_000_000
LONG = {"tokens": 100 * M, "micro": 4}  # 4 sequences at once: 9.9k tokens/s; 8: 10.1k; 16: 9.4k
PAIRS = {"tokens": 40 * M, "micro": 4}
FOUR = {
    "lm_gelu": ("gelu", False),
    "lm_solu_ln": ("solu", True),
    "lm_solu": ("solu", False),
    "lm_gelu_ln": ("gelu", True),
}
MODELS = {
    "lm_relu": (Settings("relu", vocabulary=corpus.VOCABULARY), Training(**LONG, seed=0)),
    "lm_relu_b": (Settings("relu", vocabulary=corpus.VOCABULARY), Training(**LONG, seed=1)),
}
for name, (activation, layer_norm) in FOUR.items():
    settings = Settings(activation, layer_norm, vocabulary=corpus.VOCABULARY)
    MODELS[name] = settings, Training(**PAIRS)
for name in ("lm_gelu", "lm_solu_ln"):
    settings = Settings(*FOUR[name], d_model=64, d_mlp=256, vocabulary=corpus.VOCABULARY)
    for seed in range(3):
        MODELS[f"{name}_64_{seed}"] = settings, Training(**PAIRS, seed=seed)

DECAY = 0.2  # the last fifth of a run: the learning rate falls in a line to 0
EVERY = 5 * M  # tokens between two measurements, each with its weights
SAVE_SECONDS = 180  # between two checkpoints


class FastTransformer(OneLayerTransformer):
    """The same transformer with PyTorch's own attention: a fifth more tokens a second."""

    def attend(self, x: Tensor) -> Tensor:
        """Causal self-attention with H heads, (B, T, D) → (B, T, D)."""
        heads = self.qkv(x).unflatten(-1, (3, self.settings.heads, -1)).movedim(2, 0)
        q, k, v = heads.transpose(2, 3)  # (B, H, T, D/H) each
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.attention_out(mixed.transpose(1, 2).flatten(-2))


class CrossEntropy(torch.autograd.Function):
    """Summed cross-entropy whose gradient is written over the logits: a tenth more tokens a second.

    The gradient with respect to the logits is softmax(logits) − one-hot(targets).
    """

    @staticmethod
    def forward(ctx, logits: Tensor, targets: Tensor) -> Tensor:
        """(N, V) and (N,) to a number. The logits are overwritten: do not use them again."""
        targets = targets[:, None]  # (N, 1)
        logits -= logits.amax(dim=-1, keepdim=True)
        picked = logits.gather(1, targets)
        total = logits.exp_().sum(dim=-1, keepdim=True)
        loss = (total.log() - picked).sum()
        logits /= total
        logits.scatter_add_(1, targets, -torch.ones_like(picked))
        ctx.save_for_backward(logits)
        return loss

    @staticmethod
    def backward(ctx, upstream: Tensor) -> tuple[Tensor, None]:
        """upstream · (softmax − one-hot)."""
        (gradient,) = ctx.saved_tensors
        return gradient.mul_(upstream), None


def learning_rate(step: int, restart: int, training: Training) -> float:
    """The share of the peak: up in a line from `restart`, then 1, then down in a line to 0."""
    up = (step + 1 - restart) / training.warmup
    down = (training.steps - step) / (DECAY * training.steps)
    return min(1.0, up, down)


def train_step(model: OneLayerTransformer, rows: Tensor, micro: int) -> float:
    """Add the gradient of the mean loss of rows (B, T + 1), a few at a time; returns the loss."""
    total, predictions = 0.0, rows[:, 1:].numel()
    for part in rows.split(micro):
        logits = model(part[:, :-1]).flatten(0, 1)  # (micro · T, V)
        loss = CrossEntropy.apply(logits, part[:, 1:].flatten()) / predictions
        loss.backward()
        total += loss.item()
    return total


@torch.no_grad()
def heldout_losses(model: OneLayerTransformer) -> dict[str, float]:
    """Nats per token on every sixteenth held-out context, for all and for each kind of text."""
    rows, domains = (part[::16] for part in corpus.stream("heldout").contexts())
    losses = []
    for part in rows.split(8):
        logits = model(part[:, :-1]).flatten(0, 1)
        losses.append(F.cross_entropy(logits, part[:, 1:].flatten(), reduction="none"))
    losses, domains = torch.cat(losses), domains[:, 1:].flatten()
    kinds = {kind: losses[domains == i].mean().item() for i, kind in enumerate(corpus.DOMAINS)}
    return {kind: round(loss, 4) for kind, loss in ({"all": losses.mean().item()} | kinds).items()}


def store(name: str, model: OneLayerTransformer, step: int, history: list[dict]) -> None:
    """Write NAME.safetensors: half-precision weights; step, settings and losses in its header."""
    settings, training = MODELS[name]
    header = {"step": step, "settings": asdict(settings), "training": asdict(training)}
    header |= {"history": history, "corpus": corpus.VERSION}
    weights = {key: value.half().contiguous() for key, value in model.state_dict().items()}
    content = save(weights, {key: json.dumps(value) for key, value in header.items()})
    write_atomically(HERE / f"{name}.safetensors", content)
    lines = "".join(json.dumps(entry) + "\n" for entry in history)
    write_atomically(HERE / f"{name}.losses.jsonl", lines.encode())


def stored(name: str) -> tuple[dict[str, Tensor], dict] | None:
    """The float32 weights and the header that `store` wrote, or None."""
    path = HERE / f"{name}.safetensors"
    if not path.exists():
        return None
    with safe_open(path, "pt") as file:
        header = {key: json.loads(value) for key, value in file.metadata().items()}
        return {key: file.get_tensor(key).float() for key in file.keys()}, header  # noqa: SIM118


def load(name: str) -> OneLayerTransformer:
    """A stored transformer of the second edition, ready to use."""
    weights, header = stored(name)
    model = OneLayerTransformer(Settings(**header["settings"]))
    model.load_state_dict(weights)
    return model.eval()


def run(name: str, training: Training, *, from_weights: bool = False, afresh: bool = False) -> None:
    """Train to the end, or until the process is asked to stop."""
    settings = MODELS[name][0]
    model = FastTransformer(settings)
    initialise(model, training.seed)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=training.learning_rate, betas=(0.9, 0.98),
        weight_decay=training.weight_decay, fused=True,
    )  # fmt: skip
    checkpoint = Checkpoint(f"next-{name}")
    start, restart, seconds, history = 0, 0, 0.0, []
    state = None if from_weights or afresh else checkpoint.load()
    if state:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        start, restart, history = state["step"], state["restart"], state["history"]
        seconds = state["seconds"]
    elif not afresh and (found := stored(name)):
        model.load_state_dict(found[0])
        start = restart = found[1]["step"]
        history = found[1]["history"]
        seconds = history[-1]["seconds"]
    print(f"{name}: step {start} of {training.steps}", flush=True)

    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    tokens = corpus.stream("train").tokens
    clock, saved, losses = time.process_time() - seconds, time.monotonic(), []
    per_step = training.batch * corpus.CONTEXT
    for step in range(start, training.steps):
        for group in optimizer.param_groups:
            group["lr"] = training.learning_rate * learning_rate(step, restart, training)
        losses.append(train_step(model, batch(tokens, step, training), training.micro))
        optimizer.step()
        optimizer.zero_grad()
        last = step + 1 == training.steps
        if last or (step + 1) * per_step // EVERY > step * per_step // EVERY:
            entry = {
                "tokens": (step + 1) * per_step,
                "train": round(sum(losses) / len(losses), 4),
                "heldout": heldout_losses(model),
                "seconds": round(time.process_time() - clock),
            }
            history.append(entry)
            store(name, model, step + 1, history)
            print(f"{name}: {entry}", flush=True)
            losses = []
        if last or stopped or time.monotonic() - saved > SAVE_SECONDS:
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
            state |= {"step": step + 1, "restart": restart, "history": history}
            checkpoint.save(state | {"seconds": time.process_time() - clock})
            saved = time.monotonic()
            rate = per_step * (step + 1) / (time.process_time() - clock)
            print(f"{name}: step {step + 1}, loss {losses[-1] if losses else 0:.3f}, "
                  f"{rate:.0f} tokens per second of processor time", flush=True)  # fmt: skip
        if stopped:
            sys.exit(1)  # not done


def store_checkpoint(name: str) -> None:
    """Write NAME.safetensors from the newest checkpoint, measured, while the run goes on."""
    state = Checkpoint(f"next-{name}").load()
    settings, training = MODELS[name]
    model = FastTransformer(settings)
    model.load_state_dict(state["model"])
    tokens = state["step"] * training.batch * corpus.CONTEXT
    entry = {"tokens": tokens, "heldout": heldout_losses(model), "seconds": round(state["seconds"])}
    store(name, model, state["step"], [*state["history"], entry])
    print(f"{name}: {entry}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("name", choices=MODELS)
    parser.add_argument(
        "--millions", type=int, help="of tokens in all; the default is the model's own"
    )
    parser.add_argument("--from-weights", action="store_true", help="leave the checkpoint aside")
    parser.add_argument("--afresh", action="store_true", help="begin from the seed")
    parser.add_argument("--store", action="store_true", help="only write the newest checkpoint out")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    if chosen.store:
        store_checkpoint(chosen.name)
        return
    training = MODELS[chosen.name][1]
    run(chosen.name, training, from_weights=chosen.from_weights, afresh=chosen.afresh)


if __name__ == "__main__":
    main()
