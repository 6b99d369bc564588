"""Makes and measures data/sae_known and data/sae_kinds, lesson 13's tables: kinds of dictionary
in a world whose features are known, and on lm_relu beside controls."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, replace
from statistics import fmean

import numpy as np
import torch
from torch import Tensor

from data.recipes.base import Run, table
from helpers.datasets import corpus
from helpers.sae.features import Examples, examples, proxy_masks, sparse_activations
from helpers.sae.kinds import KINDS, build
from helpers.sae.model import Dictionary, Settings, SparseAutoencoder
from helpers.sae.store import VERSION
from helpers.sae.train import Training, train, update
from helpers.transformer import model as transformer
from helpers.transformer.activations import ActivationBuffer
from helpers.transformer.measure import loss_recovered
from notebooks.support.lesson08.neurons import RuleList, best_rule
from notebooks.support.lesson13.detectors import rich
from notebooks.support.lesson13.world import (
    ENOUGH,
    L0,
    SETTINGS,
    TRAINING,
    WIDTH,
    Scores,
    World,
    pursue,
    score,
)

SEEDS = range(5)
PILOT = 100  # a world of its own, in which λ, the rate and the length were chosen
PRICES = (0.02, 0.04, 0.07, 0.12)  # λ of "l1", of which one is drawn for equal L0
REAL = Settings(features=1024, k=13, dead_after=15_000)  # L0 of λ = .01 in data/sae_trials
MODELS = ("lm_relu", "permuted weights", "random transformer")


def frozen(sae: SparseAutoencoder, part: str) -> SparseAutoencoder:
    """The same with a random "decoder" or "encoder" that stays as it is."""
    (sae.W_dec if part == "decoder" else sae.W_enc).requires_grad_(False)
    return sae


def dictionaries(base: Settings, l1: float) -> dict[str, SparseAutoencoder]:
    """One of each kind, and a BatchTopK with either half frozen at random."""
    prices = {"l1": {"l1": l1}, "jumprelu": {"auxiliary": 10.0}}  # so much that L0 comes near k
    saes = {kind: build(replace(base, kind=kind, **prices.get(kind, {}))) for kind in KINDS}
    for part in ("decoder", "encoder"):
        saes[f"{part} frozen"] = frozen(build(replace(base, kind="batch_topk")), part)
    return saes


# ---------------------------------------------------------------- the known world


def known(run: Run) -> None:
    """Train every kind in five worlds, matching pursuit beside them, and store their scores."""
    checkpoint = run.checkpoint("rows")
    state = checkpoint.load() or {"rows": {}}
    training = replace(
        TRAINING, tokens=run.pick(TRAINING.tokens, 10 * TRAINING.tokens, 5 * TRAINING.batch)
    )
    if "l1" not in state:
        state["l1"] = equal_price(training)
        checkpoint.save(state)
    for seed in list(SEEDS)[: run.pick(None, None, 1)]:
        if seed not in state["rows"]:
            state["rows"][seed] = in_one_world(seed, state["l1"], training, run)
            checkpoint.save(state)
            print(f"world {seed} · {run.minutes} minutes", flush=True)
            store_known(run, state, training)
    checkpoint.clear()


def store_known(run: Run, state: dict, training: Training) -> None:
    """Write the folder with the worlds that are done."""
    names = list(next(iter(state["rows"].values())))
    rows = {
        name: {
            field: [round(state["rows"][seed][name][i], 4) for seed in state["rows"]]
            for i, field in enumerate(Scores._fields)
        }
        for name in names
    }
    means = {f: {name: fmean(row[f]) for name, row in rows.items()} for f in Scores._fields}
    meta = {"rows": rows, "l1": state["l1"], "training": asdict(training), "minutes": run.minutes}
    run.save({"none": torch.zeros(1)}, version=VERSION, meta=meta)
    run.card(f"""# Kinds of dictionary in a world whose features are known
After SynthSAEBench-16k (arXiv 2602.14687) at a sixteenth of its size: 1,024 features in 80
dimensions, {WIDTH} latents, L0 near {L0}; `notebooks/support/lesson13/world.py` says how it was
scaled. Made by `python -m helpers make {run.name}`: {training.steps} steps of {training.batch},
learning rate {training.learning_rate:g}; {len(state["rows"])} worlds, each with weights of its own.
λ of "l1" is {state["l1"]:.3g}, for an L0 of {L0} in another world. Means:

{table(means)}

"frozen": a random half of a BatchTopK stays as it is. "untrained": a BatchTopK before its first
step. "f1_best": of the feature that a latent's firings fit best, chosen on one half of the inputs
and measured on the other. "variance_free": explained by what fired at the strengths that fit best.
"absorbed": how much oftener a parent is missed where a child fires with it than alone (parents
with {ENOUGH} inputs of each sort); "unrelated": where a feature of another tree does.
""")


def measure_known(run: Run) -> dict:
    """The stored table: its weights are not stored, so measuring again means training again."""
    return run.load(version=VERSION)[1]["rows"]


def equal_price(training: Training) -> float:
    """The λ at which "l1" has the wanted L0 in the pilot's world, between two of PRICES."""
    world = World(PILOT)
    saes = [build(replace(SETTINGS, l1=price)) for price in PRICES]
    train(saes, world, training)
    counts = [score(sae, world).L0 for sae in saes]
    return float(np.exp(np.interp(-np.log(L0), -np.log(counts), np.log(PRICES))))


def in_one_world(seed: int, l1: float, training: Training, run: Run) -> dict[str, list[float]]:
    """{kind: its Scores} in the world of a seed."""
    world = World(seed, device=run.device)
    base = replace(SETTINGS, seed=seed)
    saes = {name: sae.to(run.device) for name, sae in dictionaries(base, l1).items()}
    untrained = build(replace(base, kind="batch_topk")).to(run.device)
    part = run.checkpoint(f"world{seed}")
    train(list(saes.values()), world, training, checkpoint=part, save_every=20.0)
    rows = {name: list(score(sae, world)) for name, sae in saes.items()}
    found = pursuit(world, base, training)
    rows["matching pursuit"] = list(score(found, world, lambda x: pursue(x, found)))
    part.clear()
    best_k = lambda x: untrained.train().encode(x)  # its threshold has not been learned
    return rows | {"untrained": list(score(untrained, world, best_k))}


def pursuit(world: World, base: Settings, training: Training) -> SparseAutoencoder:
    """Directions learned under matching pursuit: what fires is chosen one by one."""
    sae = SparseAutoencoder(base).to(world.directions.device)
    optimizer = torch.optim.Adam([sae.W_dec, sae.b_dec], lr=training.learning_rate)
    for step, x in zip(range(training.steps), world.batches(training.batch), strict=False):
        optimizer.param_groups[0]["lr"] = training.learning_rate * min(
            1.0, 5 * (1 - step / training.steps)
        )
        sae.error(x, pursue(x, sae)).backward()
        update([sae], optimizer)
    return sae


# ---------------------------------------------------------------- real activations, and controls


def controls(run: Run) -> None:
    """Kinds on lm_relu, and a BatchTopK on transformers that have learned nothing; scored alike."""
    checkpoint = run.checkpoint("rows")
    rows = checkpoint.load() or {}
    for name in MODELS:
        if name not in rows:
            rows[name] = on_model(name, run)
            checkpoint.save(rows)
            print(f"{name} · {run.minutes} minutes", flush=True)
    rows = {unit: row for part in rows.values() for unit, row in part.items()}
    run.save({"none": torch.zeros(1)}, version=VERSION, meta={"rows": rows, "minutes": run.minutes})
    scored = lambda key: {n: fmean(r[key]) for n, r in rows.items() if r.get(key)}
    shown = {key: scored(key) for key in rows["l1"]}
    run.card(f"""# Dictionaries on lm_relu, and on what learned nothing
{REAL.features:,} features at L0 near {REAL.k:g}. Made by `python -m helpers make {run.name}`.
"permuted weights": lm_relu with the entries of every matrix shuffled; "random transformer": before
training; "frozen": a random half of the BatchTopK stays as it is. Held-out text, 26,000 tokens.
"rule": share of units (that fire in twenty contexts) of whose 20 strongest firings one rule covers
80 %; "probe": for each kind of text the correlation of the best unit, chosen on one half of
contexts rich in each kind and measured on the other; "simulation": correlation of a unit with the
mean strength of its tokens, 12 units.

{table(shown)}
""")
    checkpoint.clear()


def measure_controls(run: Run) -> dict:
    """The stored table; its weights are not stored."""
    return run.load(version=VERSION)[1]["rows"]


def model_of(name: str, device: torch.device) -> transformer.OneLayerTransformer:
    """lm_relu, or the same with what it learned taken away."""
    if name == "random transformer":
        lm = transformer.OneLayerTransformer().eval()
        transformer.initialise(lm, seed=7)
        return lm.to(device)
    lm = transformer.load("lm_relu", device=device)
    if name == "permuted weights":
        draw = torch.Generator().manual_seed(7)
        for matrix in (p for p in lm.parameters() if p.ndim == 2):
            order = torch.randperm(matrix.numel(), generator=draw).to(device)
            matrix.data = matrix.data.flatten()[order].view_as(matrix)
    return lm


def on_model(name: str, run: Run) -> dict[str, dict[str, list[float]]]:
    """{units: their scores} of one transformer: the kinds, or BatchTopK alone."""
    lm = model_of(name, run.device)
    texts = corpus.stream("heldout" if run.smoke else "train").contexts()[0]
    texts = texts[:: run.pick(122, 1, 400)]  # 1,409 contexts at scale small
    inputs = ActivationBuffer(lm, texts)
    saes = {name: build(replace(REAL, kind="batch_topk"))}
    if name == "lm_relu":
        saes = dictionaries(REAL, l1=1e-2)
        del saes["encoder frozen"]
    tokens = run.pick(76_800, 3_000_000, 5 * 128)
    training = Training(tokens=tokens, batch=128)
    part = run.checkpoint(name.split()[0])
    on_device = [sae.to(run.device) for sae in saes.values()]
    train(on_device, inputs, training, checkpoint=part, save_every=20.0)
    rows, kinds = corpus.stream("heldout").contexts()
    by_kind = [(rows[at], kinds[at]) for at in rich(kinds).values()]
    few = slice(0, 20 * 39 if run.smoke else 200 * 39, 39)
    rows, kinds = rows[few], kinds[few]
    rules = RuleList(rows, kinds)
    scored = run.checkpoint(f"{name.split()[0]}-scores")
    found = scored.load() or {}
    for key, sae in saes.items():
        if key in found:
            continue
        dictionary = Dictionary(sae, inputs.scale)
        found[key] = scores(dictionary.features, lm, rows, kinds, rules, by_kind)
        x = inputs.sample(8192, seed=10**6)
        left = (sae(x) - x).square().sum() / (x - x.mean(0)).square().sum()
        found[key]["variance"] = [round(1 - left.item(), 4)]
        if name == "lm_relu":
            kept = loss_recovered(lm, rows[::4], dictionary.reconstruct)
            found[key]["loss recovered"] = [round(kept, 4)]
        scored.save(found)
    if name == "lm_relu":
        found["neurons"] = scores(None, lm, rows, kinds, rules, by_kind)
    part.clear()
    scored.clear()
    return found


def scores(
    units: Callable | None, lm, rows: Tensor, kinds: Tensor, rules: RuleList, by_kind: list
) -> dict[str, list[float]]:
    """Lesson 10's scores of units on rows (R, T): a number a unit, or a kind of text.

    by_kind: rows and kinds in which every kind of text is found, to choose on and to measure on.
    """
    fired = sparse_activations(units, lm, rows)  # (R · T, M)
    seen = examples(fired, rows, kinds, torch.arange(rows.numel()))
    alive = (seen.top >= 0).all(dim=1).nonzero().flatten()  # fire in twenty contexts
    drawn = alive[torch.randperm(len(alive), generator=torch.Generator().manual_seed(0))]
    passes = [best_rule(seen.top[i], rules).passes for i in drawn[:200]]
    simulated = []
    for i in drawn[:12].tolist():
        acts = torch.from_numpy(fired[:, [i]].toarray()).view(rows.shape)
        simulated.append(by_tokens(acts, seen, i, rows))
    halves = [(sparse_activations(units, lm, text), proxy_masks(text, k)) for text, k in by_kind]
    return {
        "L0": [fired.nnz / fired.shape[0]],
        "dead": [float((seen.density == 0).float().mean())],
        "rule": [float(passed) for passed in passes],
        "probe": probes(*halves),
        "simulation": [round(float(value), 4) for value in simulated],
    }


def by_tokens(acts: Tensor, seen: Examples, unit: int, rows: Tensor) -> float:
    """A unit simulated from its tokens alone: Pearson's correlation with the truth.

    34 shown snippets of nine tokens give each token's mean level, as digits 0 to 9; 42 hidden ones
    are simulated. acts: this unit's activations on rows (R, T).
    """
    anywhere = torch.from_numpy(np.random.default_rng((0, unit)).integers(0, rows.numel(), 20))
    shown = torch.cat([seen.top[unit, :10], seen.uniform[unit, :, :2].flatten()])
    hidden = torch.cat([seen.top[unit, 10:20], seen.uniform[unit, :, 2], anywhere])

    def pairs(places: Tensor) -> list[tuple[int, int]]:
        places = places[places >= 0]
        which = places // rows.shape[1]
        texts = rows[which.to(rows.device)]
        levels = (acts[which] / float(seen.maximum[unit]) * 10).long().clamp(0, 9)
        found = []
        for text, level, at in zip(texts, levels, (places % rows.shape[1]).tolist(), strict=True):
            around = slice(max(at - 6, 0), at + 3)
            found += zip(text[around].tolist(), level[around].tolist(), strict=True)
        return found

    levels = defaultdict(list)
    for token, level in pairs(shown):
        levels[token].append(level)
    if not levels:
        return 0.0
    otherwise = fmean(level for some in levels.values() for level in some)
    table = {token: round(fmean(some), 2) for token, some in levels.items()}
    tokens, true = zip(*pairs(hidden), strict=True)
    simulated = [table.get(token, round(otherwise, 2)) for token in tokens]
    if np.ptp(true) == 0 or np.ptp(simulated) == 0:
        return 0.0
    return float(np.corrcoef(true, simulated)[0, 1])


def probes(one, other) -> list[float]:
    """For each of PROXIES the correlation, in the other half, of the unit that is best in one.

    A half: activations (T, M) and masks of the kinds of text (P, T).
    """
    found = []
    for chosen, measured in zip(one[1], other[1], strict=True):
        best = int(np.nanargmax(_correlations(one[0], chosen)))
        found.append(round(float(_correlations(other[0][:, [best]], measured)[0]), 4))
    return found


def _correlations(fired, mask: np.ndarray) -> np.ndarray:
    """Pearson's, of units (T, M) and yes or no (T,); (M,), 0 for what never fires."""
    mean = np.asarray(fired.mean(axis=0)).ravel()
    square = np.asarray(fired.multiply(fired).mean(axis=0)).ravel()
    both = fired.T @ mask.astype(np.float64) / len(mask)
    spread = np.sqrt(np.maximum(square - mean**2, 1e-12)) * max(mask.std(), 1e-6)
    return (both - mean * mask.mean()) / spread
