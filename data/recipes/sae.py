"""Makes and measures data/sae_*: `python -m helpers make sae_a`."""

import json
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from scipy.sparse import csc_matrix
from torch import Tensor

from data.recipes.base import Run, table
from data.recipes.lm import SOURCES, heldout
from helpers.datasets import corpus
from helpers.ground.runtime import half_precision
from helpers.sae.features import PROXIES, Examples, examples, sparse_activations
from helpers.sae.kinds import build
from helpers.sae.model import Dictionary, Settings, SparseAutoencoder
from helpers.sae.splitting import edges
from helpers.sae.store import FOLDERS, VERSION, load, restore, there
from helpers.sae.train import Training, train
from helpers.transformer import model as transformer
from helpers.transformer.activations import ActivationBuffer
from helpers.transformer.measure import ablate, token_losses
from notebooks.support.lesson08.neurons import RuleList, best_rule, strongest

WIDE = Settings(features=4096)
TOPK = replace(WIDE, kind="batch_topk", k=24)
SHIPPED = {  # folder: (transformer, its dictionaries, trained in one pass)
    "sae_a": ("lm_relu", {"a0": replace(WIDE, features=512), "a1": WIDE}),
    "sae_seed": ("lm_relu", {"a1_seed": replace(WIDE, seed=1)}),
    "sae_b": ("lm_relu_b", {"b1": WIDE}),
    "sae_topk": ("lm_relu", {"a1_topk": TOPK}),
    "sae_a2": ("lm_relu", {"a2": replace(TOPK, features=16384, k_aux=512)}),
}
L1 = Training(
    tokens=30_000_000,
    resample_at=(0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7),
    silent_for=1 / 150,  # 200,000 activations: what fires on less than 1 in 200,000 begins anew
)
TRAININGS = dict.fromkeys(("sae_a", "sae_seed", "sae_b"), L1) | {
    "sae_topk": Training(tokens=25_000_000, batch=2048, learning_rate=8e-4),
    "sae_a2": Training(tokens=25_000_000, batch=2048, learning_rate=4e-4),  # ∝ 1/√features
    "sae_trials": replace(L1, tokens=4_000_000, silent_for=0.05),
    "sae_controls": replace(L1, tokens=4_000_000, silent_for=0.05),
}
BITS = {"sae_a": 8}  # lessons 09 and 10 compute with it; 4 otherwise
RARE: dict[str, float] = {}  # features that fire less often than this are not stored
BASE = Settings(features=1024)
TRIALS = {f"l1 {l1:g}": replace(BASE, l1=l1) for l1 in (2e-3, 3e-3, 5e-3, 1e-2, 2e-2)} | {
    "not overcomplete": replace(BASE, features=512),
    "no L1": replace(BASE, l1=0.0),
    "no input bias": replace(BASE, input_bias=False),
    "columns of any length": replace(BASE, unit_norm=False),
    "no resampling": replace(BASE, resample=False),
}
TRIALS |= {  # once more from other random weights
    f"seed {seed}, {name}": replace(TRIALS[name], seed=seed)
    for seed in (1, 2)
    for name in ("l1 0.005", "not overcomplete", "no input bias", "columns of any length")
}
NETWORKS = ("trained", "shuffled weights", "random weights")
CONTROLS = {"seed 0": BASE, "seed 1": replace(BASE, seed=1)}
FULL = {"tokens": corpus.SIZES["train"]}  # one pass over all the text there is


def direction_map(directions: Tensor, *, seed: int = 0) -> Tensor:
    """Unit directions (M, N) → a plane (M, 2) by t-SNE: neighbours stay neighbours, no more."""
    from sklearn.manifold import TSNE

    tsne = TSNE(metric="cosine", perplexity=15, init="random", random_state=seed)
    return torch.from_numpy(tsne.fit_transform(directions.cpu().numpy()))


def dictionaries(run: Run) -> None:
    """Train one of SHIPPED, all its dictionaries in one pass, and store them rounded."""
    lm, settings = SHIPPED[run.name]
    saes, silent, meta = _trained(run, lm, settings, TRAININGS[run.name])
    model, rows = transformer.load(lm, device=run.device), _few(run)
    tensors, bits = {}, BITS.get(run.name, 4)
    for name, sae in saes.items():
        dictionary = Dictionary(sae, meta["scale"])
        if threshold := RARE.get(run.name):
            fired = sparse_activations(dictionary.features, model, _many(run))
            silent[name] |= _density(fired).to(silent[name].device) < threshold
        tensors |= pack(sae, name, silent[name])
        meta["dictionaries"][name]["loss_float32"] = _loss(model, rows, dictionary.reconstruct)
    how = {"version": VERSION, "bits": matrices(saes, bits)}
    run.save(tensors, meta=meta, **how)
    meta["numbers"] = measure_dictionaries(run)
    run.save(tensors, meta=meta, **how)
    run.card(f"""# {run.name}: dictionaries on the neurons of {lm}
Sparse autoencoders with {", ".join(f"{s.features:,} ({name})" for name, s in settings.items())}
features. {_made(run, meta)} Stored with {bits} bits a weight; features that did not fire once in
the last fifth of the run are not stored{_rare(run)}, and loading gives them zeros.

On held-out text (losses on 62,000 tokens, firing on 500,000; "dead": never fires there;
"ultra-low": on fewer than 1 in 100,000 tokens; "loss_replaced_float32": before rounding):

{_numbers(meta["numbers"])}

**Cut:** the paper trained on 8 billion activations.

{SOURCES}""")
    run.clear()


def measure_dictionaries(run: Run) -> dict:
    """L0, loss recovered, dead and ultra-low shares, cosines of what is stored."""
    tensors, meta = run.load(version=VERSION)
    model = transformer.load(meta["model"], device=run.device)
    rows = _few(run)
    intact, ablated = _loss(model, rows), _loss(model, rows, ablate)
    numbers = {}
    for name, entry in meta["dictionaries"].items():
        dictionary = restore(tensors, meta, name).to(run.device)
        replaced = _loss(model, rows, dictionary.reconstruct)
        numbers[name] = {
            "loss": intact,
            "loss_ablated": ablated,
            "loss_replaced": replaced,
            "loss_replaced_float32": entry["loss_float32"],
            "loss_recovered": round((ablated - replaced) / (ablated - intact), 4),
            "stored": len(tensors[f"{name}.rows"]),
            **summary(sparse_activations(dictionary.features, model, _many(run)), dictionary),
        }
    return numbers


def trials(run: Run) -> None:
    """The λ sweep and an ingredient taken away each: trained in one pass, only numbers stored."""
    saes, _, meta = _trained(run, "lm_relu", TRIALS, TRAININGS[run.name])
    model, rows = transformer.load("lm_relu", device=run.device), _few(run)
    intact, ablated = _loss(model, rows), _loss(model, rows, ablate)
    numbers = {}
    for name, sae in saes.items():
        dictionary = Dictionary(sae, meta["scale"])
        replaced = _loss(model, rows, dictionary.reconstruct)
        numbers[name] = {
            "features": sae.settings.features,
            "l1": sae.settings.l1,
            "loss_recovered": round((ablated - replaced) / (ablated - intact), 4),
            **summary(sparse_activations(dictionary.features, model, rows), dictionary),
        }
    meta |= {"rows": numbers, "loss": intact, "loss_ablated": ablated}
    run.save({"none": torch.zeros(1)}, version=VERSION, meta=meta)
    run.card(f"""# Small dictionaries: λ swept, and each ingredient taken away
Dictionaries on lm_relu's activations, {BASE.features} features and λ = {BASE.l1:g} unless said.
{_made(run, meta)} Held-out text, 62,000 tokens:

{_numbers(numbers)}

"columns of any length" pays the L1 penalty in features that shrink while directions grow: compare
its L0, not its λ. Seeds are those of the random weights; the activations come in the same order.

{SOURCES}""")
    run.clear()


def measure_trials(run: Run) -> dict:
    """The stored table: its weights are not stored, so measuring again means training again."""
    return run.load(version=VERSION)[1]["rows"]


def controls(run: Run) -> None:
    """Dictionaries of lm_relu, of the same with shuffled weights, and of a random transformer.

    Shuffled: the entries of each weight matrix change places. Only numbers are stored.
    """
    networks, meta = {"trained": transformer.load("lm_relu", device=run.device)}, {}
    generator = torch.Generator().manual_seed(0)
    networks["shuffled weights"] = shuffled = transformer.load("lm_relu", device=run.device)
    for matrix in (p for p in shuffled.parameters() if p.ndim == 2):
        order = torch.randperm(matrix.numel(), generator=generator).to(run.device)
        matrix.data = matrix.data.flatten()[order].view_as(matrix)
    networks["random weights"] = transformer.OneLayerTransformer().to(run.device).eval()
    transformer.initialise(networks["random weights"], seed=0)
    numbers = {}
    for network, model in networks.items():
        found, meta = _control(run, network, model)
        numbers |= {f"{network}, {name}": row for name, row in found.items()}
    run.save({"none": torch.zeros(1)}, version=VERSION, meta=meta | {"rows": numbers})
    run.card(f"""# Dictionaries of transformers that have learned nothing
Small dictionaries, {BASE.features} features, on lm_relu's neurons, on the same transformer with
the entries of each weight matrix shuffled, and on freshly drawn weights. {_made(run, meta)}

On 640 held-out contexts. "alive": features that fire on more than 1 in 1,000 tokens; "passes": of
these, whose 20 strongest firings one rule of lesson 08's list covers to 80 %; "one token": of those
that pass, where this rule names one token; "L0": features that fire on a token.

{_numbers(numbers)}

{SOURCES}""")
    run.clear()


def measure_controls(run: Run) -> dict:
    """The stored table: its weights are not stored, so measuring again means training again."""
    return run.load(version=VERSION)[1]["rows"]


def _control(run: Run, network: str, model) -> tuple[dict, dict]:
    """What dictionaries of one network are like, and what is to be said about them."""
    saes, _, meta = _trained(run, "lm_relu", CONTROLS, TRAININGS[run.name], model, network)
    found = {name: Dictionary(sae, meta["scale"]) for name, sae in saes.items()}
    return {name: _explained(run, model, d) for name, d in found.items()}, meta


@torch.no_grad()
def _explained(run: Run, model, dictionary: Dictionary) -> dict:
    """How many features one rule covers, on every twelfth held-out context."""
    rows, domains = corpus.stream("heldout").contexts()
    rows, domains = rows[::12][: 20 if run.smoke else 640], domains[::12]
    parts = [dictionary.features(model.activations(r.to(run.device))) for r in rows.split(32)]
    f = torch.cat(parts)  # (R, T, M)
    alive = (f > 0).float().mean(dim=(0, 1)) > 1e-3  # (M,)
    rules = RuleList(rows, domains[: len(rows)])
    told = [best_rule(at, rules) for at in strongest(f[..., alive]).cpu()]
    passed = [verdict for verdict in told if verdict.passes]
    return {
        "alive": int(alive.sum()),
        "passes": round(len(passed) / max(1, len(told)), 4),
        "one token": sum(v.rule.startswith("is ") for v in passed) / max(1, len(passed)),
        "L0": round((f > 0).sum(dim=-1).float().mean().item(), 2),
    }


def index(run: Run) -> None:
    """Where features (500,000 held-out tokens) and neurons (250,000) fire, and in which text."""
    rows, domains = corpus.stream("heldout").contexts()
    names = ("a0", "a1", "a1_topk", "a2", "lm_relu", "lm_solu_ln")
    names = [name for name in names if there(FOLDERS.get(name, name))]
    tensors, tokens, units_of = {}, {}, {}
    for name in names[:1] if run.smoke else names:
        pick = torch.arange(0, len(rows), 400 if run.smoke else 2 if name in FOLDERS else 4)
        places = (pick[:, None] * corpus.CONTEXT + torch.arange(corpus.CONTEXT)).flatten()
        fired = sparse_activations(*_units(run, name), rows[pick])
        found = examples(fired, rows[pick], domains[pick], places)
        fires = (found.density > 0).nonzero().flatten()
        tensors[f"{name}.rows"] = _small_int(fires)
        for field, value in found._asdict().items():
            half = value.is_floating_point() and field not in ("density", "maximum")
            tensors[f"{name}.{field}"] = (value.half() if half else value)[fires]
        tokens[name], units_of[name] = len(places), len(found.density)
    run.save(tensors, version=VERSION, meta={"tokens": tokens, "units": units_of})
    run.card(f"""# Where features and neurons fire
For each unit: places in the held-out stream (`corpus.stream("heldout")`, which every machine makes
anew; no text is stored) of its twenty strongest firings and of up to three firings in each of
twelve equal intervals up to its maximum; its density; and for each kind of text specificity,
sensitivity and correlation. A neuron of GELU or SoLU "fires" where it is positive. Loaded by
`helpers.sae.load_examples(name)`. Made by `python -m helpers make {run.name}`.

{table({"tokens read": tokens, "units": units_of}, digits=6)}

{SOURCES}""")


def measure_index(run: Run) -> dict:
    """For each set of units and each kind of text: the best unit by correlation, and its rates."""
    tensors, meta = run.load(version=VERSION)
    shown = ("correlation", "specificity", "specificity_top", "sensitivity")
    numbers = {name: {} for name in meta["tokens"]}
    for name in numbers:
        found = Examples(*(tensors[f"{name}.{field}"].float() for field in Examples._fields))
        for i, proxy in enumerate(PROXIES):
            best = int(found.correlation[:, i].argmax())
            rates = {field: round(getattr(found, field)[best, i].item(), 3) for field in shown}
            numbers[name][proxy] = {"unit": int(tensors[f"{name}.rows"][best])} | rates
    return numbers


def tables(run: Run) -> None:
    """Universality between seeds and transformers, the splitting graphs, and the map."""
    rows = heldout(run.smoke)[0][::2]
    names = ("a0", "a1", "a1_seed", "b1", "lm_relu", "lm_relu_b", "a1_topk", "a2")
    names = [name for name in names if there(FOLDERS.get(name, name))]
    fired = {name: sparse_activations(*_units(run, name), rows) for name in names}
    tensors = {}
    for pair in ("a1~a1_seed", "a1~b1", "b1~a1", "lm_relu~lm_relu_b", "a1~lm_relu"):
        a, b = pair.split("~")
        if a in fired and b in fired:
            best, match = best_matches(fired[a], fired[b])
            tensors |= {f"{pair}.correlation": best.half(), f"{pair}.match": _small_int(match)}
    for pair in ("a0>a1", "a1>a2", "a1_topk>a2"):
        narrow, wide = pair.split(">")
        if narrow in fired and wide in fired:
            for field, value in edges(fired[narrow], fired[wide])._asdict().items():
                value = value.half() if value.is_floating_point() else _small_int(value)
                tensors[f"{pair}.{field}"] = value
    if not run.smoke:
        tensors["map"] = direction_map(torch.cat([load(n).directions for n in ("a0", "a1")])).half()
    run.save(tensors, version=VERSION, meta={"tokens": rows.numel()})
    run.card(f"""# Universality, splitting, and a map
Made by `python -m helpers make {run.name}` on {rows.numel():,} held-out tokens.
`X~Y.correlation`: for each unit of X the largest Pearson correlation of activations with a unit of
Y, `X~Y.match`: which one; `X>Y`: edges of the splitting graph where the larger masked cosine
similarity exceeds .4; `map`: t-SNE of the directions of a0 (first 512 rows) and a1. Units that
never fire on these tokens count with correlation 0.

{table({"value": measure_tables(run)}, digits=4)}

Bricken et al. 2023: median .72 for features between transformers, .46 for neurons.

{SOURCES}""")


def measure_tables(run: Run) -> dict:
    """Medians of the stored correlations, and the size of the splitting graphs."""
    numbers = {}
    for key, value in run.load(version=VERSION)[0].items():
        pair, _, field = key.partition(".")
        if field == "correlation":
            numbers[f"median {key}"] = round(value.float().median().item(), 3)
            numbers[f"share above .7, {key}"] = round((value > 0.7).float().mean().item(), 3)
        if field == "parent":
            children = value.long().bincount()
            numbers[f"edges {pair}"] = len(value)
            numbers[f"parents {pair}"] = int((children > 0).sum())
            numbers[f"parents with two children or more {pair}"] = int((children > 1).sum())
    return numbers


# ---------------------------------------------------------------- numbers


def summary(fired: csc_matrix, dictionary: Dictionary) -> dict:
    """L0, shares of dead and ultra-low features, densities of activations (T, M), and cosines."""
    density = _density(fired)
    sae = dictionary.sae
    stored = sae.W_dec.any(dim=1)  # (M,)
    cosine = torch.cosine_similarity(sae.W_enc.T[stored], sae.W_dec[stored]).cpu()
    bins = np.arange(-6.5, 0.26, 0.25)
    counts, ends = np.histogram(density[density > 0].log10().numpy(), bins=bins)
    share = lambda mask: round(mask.float().mean().item(), 4)
    quartiles = cosine.quantile(torch.tensor([0.25, 0.5, 0.75])).tolist()
    return {
        "L0": round(fired.nnz / fired.shape[0], 2),
        "dead": share(density == 0),
        "ultra_low": share(density < 1e-5),
        "above_1_percent": share(density > 0.01),
        "median_density": round(density.median().item(), 6),
        "cosine_median": round(cosine.median().item(), 4),
        "tokens": fired.shape[0],
        "cosine_quartiles": [round(value, 3) for value in quartiles],
        "density_histogram": counts.tolist(),
        "density_edges": ends.round(2).tolist(),
    }


def best_matches(a: csc_matrix, b: csc_matrix) -> tuple[Tensor, Tensor]:
    """For each unit of a (T, M) the largest Pearson correlation with a unit of b (T, K), and which.

    Bricken et al. 2023: the median over features, between dictionaries of two transformers, is .72.
    """
    best, match = [], []
    b_mean, b_std = _moments(b)
    for start in range(0, a.shape[1], 512):
        part = a[:, start : start + 512]
        mean, std = _moments(part)
        together = (b.T @ part).toarray().T / a.shape[0]  # (512, K)
        correlation = (together - mean[:, None] * b_mean) / (std[:, None] * b_std)
        best.append(correlation.max(axis=1))
        match.append(correlation.argmax(axis=1))
    return torch.from_numpy(np.concatenate(best)).float(), torch.from_numpy(np.concatenate(match))


def _moments(x: csc_matrix) -> tuple[np.ndarray, np.ndarray]:
    mean = np.asarray(x.mean(axis=0)).ravel()
    square = np.asarray(x.multiply(x).mean(axis=0)).ravel()
    return mean, np.sqrt(np.maximum(square - mean**2, 1e-12))


def _density(fired: csc_matrix) -> Tensor:
    """The share of tokens on which each unit fires, (M,)."""
    return torch.from_numpy(fired.getnnz(axis=0) / fired.shape[0])


# ---------------------------------------------------------------- files


def pack(sae: SparseAutoencoder, name: str, silent: Tensor | None = None) -> dict[str, Tensor]:
    """What `helpers.sae.store.restore` reads: W_e and W_d with a row a feature, biases, θ.

    Features marked in `silent` (M,) have died in training and are left out.
    """
    silent = torch.zeros_like(sae.b_enc, dtype=torch.bool) if silent is None else silent
    rows = (~silent).nonzero().flatten()
    tensors = {"rows": _small_int(rows), "b_e": sae.b_enc[rows], "b_d": sae.b_dec}
    tensors |= {"threshold": sae.threshold} if hasattr(sae, "threshold") else {}
    tensors |= {"W_e": sae.W_enc.T[rows], "W_d": sae.W_dec[rows]}  # (alive, N)
    return {f"{name}.{key}": t.detach().cpu().contiguous() for key, t in tensors.items()}


def matrices(names: Iterable[str], bits: int) -> dict[str, int]:
    """How many bits the weights of dictionaries get, for `save_artifact`."""
    return {f"{name}.{key}": bits for name in names for key in ("W_e", "W_d")}


def export_saelens(dictionary: Dictionary, folder: Path, *, model_name: str = "lm_relu") -> Path:
    """Write the two files that `SAE.load_from_disk(folder)` of sae-lens 6 reads.

    Our scale s goes into the biases, so that it takes activations as the transformer has them; its
    features are ours / s.
    """
    sae, s = dictionary.sae, dictionary.scale
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "d_in": sae.settings.neurons,
        "d_sae": sae.settings.features,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "architecture": "standard",
        "metadata": {
            "model_name": model_name,
            "hook_name": "blocks.0.mlp.hook_post",
            "hook_head_index": None,
            "prepend_bos": True,
            "context_size": corpus.CONTEXT,
            "course": asdict(sae.settings) | {"scale": s},
        },
    }
    (folder / "cfg.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
    weights = sae.state_dict() | {"b_enc": sae.b_enc / s, "b_dec": sae.b_dec / s}
    save_file(weights, folder / "sae_weights.safetensors")
    return folder


# ---------------------------------------------------------------- what the recipes share


def _trained(run: Run, lm: str, settings: dict, training: Training, model=None, part="") -> tuple:
    """(dictionaries by name, their silent features, what is to be said about them).

    model: the transformer, where it is not the stored one; part: the name of its checkpoint.
    """
    if run.scale == "full":
        training = replace(training, **FULL)
    if run.smoke:
        training = replace(training, tokens=5 * 256, batch=256)
    training = replace(training, bfloat16=half_precision(run.device))
    rows = corpus.stream("heldout" if run.smoke else "train").contexts()[0]
    model = model or transformer.load(lm, device=run.device)
    inputs = ActivationBuffer(model, rows, bfloat16=training.bfloat16)
    saes = {key: build(s).to(run.device) for key, s in settings.items()}
    where = {"checkpoint": run.checkpoint(part), "save_every": run.pick(120, 120, 0)}  # seconds
    trained = train(list(saes.values()), inputs, training, **where)
    return (
        saes,
        dict(zip(saes, trained.silent, strict=True)),
        {
            "model": lm,
            "scale": inputs.scale,
            "training": asdict(training),
            "minutes": run.minutes,
            "dictionaries": {key: {"settings": asdict(s)} for key, s in settings.items()},
        },
    )


def _few(run: Run) -> Tensor:
    """Every sixteenth held-out context, (489, 128): losses with a dictionary are measured here."""
    return heldout()[0][::4][: 20 if run.smoke else None]


def _many(run: Run) -> Tensor:
    """Half of the held-out contexts, (3906, 128): firing is measured here."""
    return corpus.stream("heldout").contexts()[0][1::2][: 20 if run.smoke else None]


def _loss(model, rows: Tensor, edit=None) -> float:
    return round(token_losses(model, rows, edit).mean().item(), 4)


def _units(run: Run, name: str) -> tuple:
    """(features of a dictionary or None for the neurons themselves, the transformer)."""
    if name not in FOLDERS:
        return None, transformer.load(name, device=run.device)
    lm = transformer.load("lm_relu_b" if name == "b1" else "lm_relu", device=run.device)
    return load(name, device=run.device).features, lm


def _small_int(numbers: Tensor) -> Tensor:
    """In 16 bits where they fit, else in 32."""
    fits = len(numbers) == 0 or int(numbers.max()) < 2**15
    return numbers.to(torch.int16 if fits else torch.int32)


def _made(run: Run, meta: dict) -> str:
    training = Training(**meta["training"])
    tokens = training.steps * training.batch / 1e6
    return f"""Made by `python -m helpers make {run.name}` at scale {run.scale} in {meta["minutes"]}
minutes on {run.device.type}, in one pass: {tokens:.1f} M activations, batches of {training.batch},
learning rate {training.learning_rate:g}, {"bfloat16" if training.bfloat16 else "float32"},
resampling at {training.resample_at} of the run."""


def _rare(run: Run) -> str:
    return f", nor are those below a density of {RARE[run.name]:g}" if run.name in RARE else ""


def _numbers(numbers: dict) -> str:
    """The card's table: a row a dictionary, without lists."""
    keys = [key for key, value in next(iter(numbers.values())).items() if np.isscalar(value)]
    columns = {key: {name: row[key] for name, row in numbers.items()} for key in keys}
    return table(columns, digits=4)
