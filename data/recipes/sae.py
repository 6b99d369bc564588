"""Makes and measures data/sae_*: `python -m helpers make sae_a`."""

from dataclasses import asdict, replace
from pathlib import Path

import torch

from data.recipes.lm import SOURCES, fast_bfloat16, heldout
from helpers.datasets import corpus
from helpers.ground.artifacts import ROOT, Checkpoint, load_artifact, save_artifact, write_card
from helpers.sae.features import Examples, best_matches, examples, fire, summary
from helpers.sae.model import Dictionary, Settings, SparseAutoencoder
from helpers.sae.splitting import direction_map, edges
from helpers.sae.store import FOLDERS, VERSION, load, pack, unpack
from helpers.sae.train import Training, train
from helpers.transformer import model as transformer
from helpers.transformer.activations import Activations
from helpers.transformer.measure import ablate, token_losses

SHIPPED = {  # folder: (transformer, its dictionaries, trained in one pass)
    "sae_a": (
        "lm_relu",
        {
            "a0": Settings(features=512),
            "a1": Settings(features=4096),
            "a1_seed": Settings(features=4096, seed=1),
        },
    ),
    "sae_b": ("lm_relu_b", {"b1": Settings(features=4096)}),
    "sae_a2": ("lm_relu", {"a2": Settings(features=16384)}),
}
LONGER = {"sae_a2": Training(tokens=6_000_000)}  # four times the width wants more to learn from
RARE = {
    "sae_a2": 3e-5
}  # features that fire less often are not stored, for the sake of the download
BASE = Settings(features=1024)
TRIALS = {f"l1 {l1:g}": replace(BASE, l1=l1) for l1 in (2e-3, 3e-3, 5e-3, 1e-2, 2e-2)} | {
    "not overcomplete": replace(BASE, features=512),
    "no L1": replace(BASE, l1=0.0),
    "no input bias": replace(BASE, input_bias=False),
    "columns of any length": replace(BASE, unit_norm=False),
    "no resampling": replace(BASE, resample=False),
}
TRIAL_TRAINING = Training(tokens=600_000)
FULL = {
    "tokens": 400_000_000,
    "batch": 8192,
    "learning_rate": 3e-4,
    "resample_at": (0.025, 0.05, 0.075, 0.1),
    "silent_for": 0.0125,
}


def dictionaries(*, scale: str, smoke: bool = False, out: Path) -> None:
    """Train one of SHIPPED, all its dictionaries in one pass, and store them at int8."""
    name = out.name.removesuffix("-full")
    lm, settings = SHIPPED[name]
    saes, silent, inputs, training, minutes = _trained(
        out.name, lm, settings, LONGER.get(name, Training()), scale, smoke
    )
    tensors = {
        key: value
        for name, sae in saes.items()
        for key, value in pack(sae, name, silent[name]).items()
    }
    rows = _few(smoke)
    exact = {
        name: _ce(transformer.load(lm), rows, Dictionary(sae, inputs.scale).reconstruct)
        for name, sae in saes.items()
    }
    meta = {
        "model": lm,
        "scale": inputs.scale,
        "training": asdict(training),
        "minutes": minutes,
        "dictionaries": {
            name: {"settings": asdict(sae.settings), "loss_float32": exact[name]}
            for name, sae in saes.items()
        },
    }
    save_artifact(out.name, tensors, version=VERSION, root=out.parent, meta=meta)
    numbers, density = _measure(out, smoke)
    if threshold := RARE.get(name):
        for key, sae in saes.items():
            tensors |= pack(sae, key, silent[key] | (density[key] < threshold))
            numbers[key] |= {
                "loss_stored": _ce(
                    transformer.load(lm), rows, unpack(tensors, meta, key).reconstruct
                ),
                "stored": len(tensors[f"{key}.rows"]),
            }
    save_artifact(
        out.name, tensors, version=VERSION, root=out.parent, meta=meta | {"numbers": numbers}
    )
    write_card(
        out.name, _card(out.name, lm, settings, training, minutes, scale, numbers), root=out.parent
    )


def _trained(
    name: str, lm: str, settings: dict[str, Settings], training: Training, scale: str, smoke: bool
):
    """(dictionaries by name, their silent features, their inputs, the training used, minutes of processor time)."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if scale == "full":
        training = replace(training, **FULL)
    training = replace(
        training, bfloat16=fast_bfloat16(device), **({"tokens": 20_000} if smoke else {})
    )
    rows = corpus.stream("heldout" if smoke else "train").contexts()[0]
    inputs = Activations(transformer.load(lm).to(device), rows, bfloat16=training.bfloat16)
    saes = {key: SparseAutoencoder(s).to(device) for key, s in settings.items()}
    checkpoint = Checkpoint(f"{name}-smoke" if smoke else name)
    trained = train(list(saes.values()), inputs, training, checkpoint=checkpoint)
    checkpoint.clear()
    silent = {key: mask.cpu() for key, mask in zip(saes, trained.silent)}
    return (
        {key: sae.cpu() for key, sae in saes.items()},
        silent,
        inputs,
        training,
        round(trained.seconds / 60, 1),
    )


def _few(smoke: bool = False) -> torch.Tensor:
    """Every sixteenth held-out context, (489, 128): what losses with a dictionary in place are measured on."""
    return heldout()[0][::4][: 50 if smoke else None]


def _ce(model, rows, edit) -> float:
    return round(token_losses(model, rows, edit).mean().item(), 4)


def measure_dictionaries(*, out: Path, smoke: bool = False) -> dict:
    """L0, loss recovered, dead and ultra-low shares, encoder-decoder cosines of the stored dictionaries, on held-out text."""
    return _measure(out, smoke)[0]


def _measure(out: Path, smoke: bool) -> tuple[dict, dict]:
    """(numbers, densities (M,)) of each stored dictionary."""
    tensors, meta = load_artifact(out.name, version=VERSION, root=out.parent)
    model = transformer.load(meta["model"])
    rows, many = _few(smoke), corpus.stream("heldout").contexts()[0][1::2][: 50 if smoke else None]
    intact, ablated = _ce(model, rows, None), _ce(model, rows, ablate)
    numbers, density = {}, {}
    for name in meta["dictionaries"]:
        dictionary = unpack(tensors, meta, name)
        replaced = _ce(model, rows, dictionary.reconstruct)
        fired = fire(dictionary.features, model, many)
        density[name] = torch.from_numpy(fired.getnnz(axis=0) / fired.shape[0])
        numbers[name] = {
            "loss": intact,
            "loss_ablated": ablated,
            "loss_replaced": replaced,
            "loss_replaced_float32": meta["dictionaries"][name]["loss_float32"],
            "loss_recovered": round((ablated - replaced) / (ablated - intact), 4),
            **summary(fired, dictionary),
        }
    return numbers, density


def _card(
    name: str,
    lm: str,
    settings: dict,
    training: Training,
    minutes: float,
    scale: str,
    numbers: dict,
) -> str:
    keys = [
        key
        for key, value in next(iter(numbers.values())).items()
        if not isinstance(value, (list, dict))
    ]
    rows = "\n".join(
        f"| {key} | " + " | ".join(f"{numbers[d][key]:.4g}" for d in numbers) + " |" for key in keys
    )
    first = next(iter(settings.values()))
    longer = (
        f" (four times the width of the others, more than their {Training().tokens / 1e6:g} M)"
        if name in LONGER
        else ""
    )
    rare = (
        f" Nor are those below a density of {RARE[name]:g}: the table is\nof the dictionary before that, `loss_stored` and `stored` of what is left."
        if name in RARE
        else ""
    )
    return f"""# {name}: dictionaries on the {first.neurons} neurons of {lm}
Sparse autoencoders ({", ".join(f"{d}: {s.features} features, seed {s.seed}" for d, s in settings.items())}), λ = {first.l1:g} for activations at mean norm √{first.neurons}.
Made by `python -m helpers make {name}` at scale {scale}: {training.steps * training.batch / 1e6:.1f} M activations{longer} in batches of {training.batch},
learning rate {training.learning_rate:g}, {"bfloat16" if training.bfloat16 else "float32"}, resampling at {training.resample_at} of the run; {minutes} minutes of one core's time,
all dictionaries of this folder in one pass. Stored at int8 for each feature's row; features that
did not fire once in the last fifth of the run are not stored, and loading gives them zeros.{rare}

On held-out text (losses on 62,000 tokens, firing on 500,000; "dead": never fires there; "ultra-low": on fewer than 1 in 100,000 tokens;
"loss_replaced_float32": before rounding to int8):

| | {" | ".join(numbers)} |
|{"---|" * (len(numbers) + 1)}
{rows}

**Cut:** the paper trained on 8 billion activations; `--full` on a GPU takes {FULL["tokens"] / 1e6:g} million, which none of these numbers comes from.

{SOURCES}"""


def trials(*, scale: str, smoke: bool = False, out: Path) -> None:
    """The λ sweep and the dictionaries with an ingredient taken away: all in one pass, only their numbers stored."""
    saes, _, inputs, training, minutes = _trained(
        out.name, "lm_relu", TRIALS, TRIAL_TRAINING, scale, smoke
    )
    model, rows = transformer.load("lm_relu"), _few(smoke)
    intact, ablated = _ce(model, rows, None), _ce(model, rows, ablate)
    table = {}
    for name, sae in saes.items():
        dictionary = Dictionary(sae, inputs.scale)
        table[name] = {
            "features": sae.settings.features,
            "l1": sae.settings.l1,
            "loss_recovered": round(
                (ablated - _ce(model, rows, dictionary.reconstruct)) / (ablated - intact), 4
            ),
            **summary(fire(dictionary.features, model, rows), dictionary),
        }
    save_artifact(
        out.name,
        {"none": torch.zeros(1)},
        version=VERSION,
        root=out.parent,
        meta={
            "rows": table,
            "training": asdict(training),
            "minutes": minutes,
            "loss": intact,
            "loss_ablated": ablated,
        },
    )
    keys = [
        key
        for key, value in next(iter(table.values())).items()
        if not isinstance(value, (list, dict))
    ]
    lines = "\n".join(
        f"| {name} | " + " | ".join(f"{row[key]:.4g}" for key in keys) + " |"
        for name, row in table.items()
    )
    write_card(
        out.name,
        f"""# Small dictionaries: λ swept, and each ingredient taken away
Ten dictionaries on lm_relu's activations ({BASE.features} features, {training.steps * training.batch / 1e6:.1f} M activations, λ = {BASE.l1:g} unless said), trained in one pass by
`python -m helpers make {out.name}` in {minutes} minutes of one core's time. Held-out text, 62,000 tokens:

| | {" | ".join(keys)} |
|{"---|" * (len(keys) + 1)}
{lines}

"columns of any length" pays the L1 penalty in features that shrink while decoder columns grow: compare its L0, not its λ.

{SOURCES}""",
        root=out.parent,
    )


def measure_trials(*, out: Path) -> dict:
    """The stored table; measuring it again means training again (`make`), for its weights are not stored."""
    return load_artifact(out.name, version=VERSION, root=out.parent)[1]["rows"]


def there(name: str) -> bool:
    """Whether data/NAME has been made."""
    return (ROOT / "data" / name / "manifest.json").exists()


def _units(name: str):
    """(features of a dictionary or None for the neurons themselves, the transformer) of "a1" or "lm_gelu"."""
    if name not in FOLDERS:
        return None, transformer.load(name)
    return load(name).features, transformer.load("lm_relu_b" if name == "b1" else "lm_relu")


def index(*, scale: str, smoke: bool = False, out: Path) -> None:
    """Top and uniform examples and the kinds of text, for features (500,000 held-out tokens) and neurons (250,000)."""
    rows, domains = corpus.stream("heldout").contexts()
    sets = [
        name
        for name in ("a0", "a1", "a2", "lm_relu", "lm_solu_ln")
        if there(FOLDERS.get(name, name))
    ]
    tensors, used, units_of = {}, {}, {}
    for name in sets[:1] if smoke else sets:
        pick = torch.arange(0, len(rows), 400 if smoke else 2 if name in FOLDERS else 4)
        units, model = _units(name)
        places = (pick[:, None] * corpus.CONTEXT + torch.arange(corpus.CONTEXT)).flatten()
        found = examples(fire(units, model, rows[pick]), rows[pick], domains[pick], places)
        fires = (found.density > 0).nonzero().flatten()
        tensors[f"{name}.rows"] = fires.to(torch.int16)
        tensors |= {
            f"{name}.{field}": (
                value.half()
                if value.is_floating_point() and field not in ("density", "maximum")
                else value
            )[fires]
            for field, value in found._asdict().items()
        }
        used[name], units_of[name] = len(places), len(found.density)
    save_artifact(
        out.name,
        tensors,
        version=VERSION,
        root=out.parent,
        meta={"tokens": used, "units": units_of},
    )
    write_card(
        out.name,
        f"""# Where features and neurons fire
For each unit of {", ".join(used)}: places in the held-out stream (`corpus.stream("heldout")`, which every machine makes anew; no text is
stored) of its twenty strongest firings and of up to three firings in each of twelve equal intervals up to its maximum; its density; and for each kind
of text specificity, sensitivity and correlation. A neuron of GELU or SoLU "fires" where it is positive. Loaded by `helpers.sae.load_examples(name)`.
Made by `python -m helpers make {out.name}` in some minutes; tokens read: {", ".join(f"{name} {n:,}" for name, n in used.items())}.

{SOURCES}""",
        root=out.parent,
    )


def measure_index(*, out: Path) -> dict:
    """For each set of units and some kinds of text: the best unit by correlation, its specificity and sensitivity."""
    from helpers.sae.features import PROXIES

    tensors, meta = load_artifact(out.name, version=VERSION, root=out.parent)
    numbers = {}
    for name in meta["tokens"]:
        found = Examples(
            *(tensors[f"{name}.{field}"].float() for field in Examples._fields)
        )  # units that fire at all
        numbers[name] = {}
        for i, proxy in enumerate(PROXIES):
            best = int(found.correlation[:, i].argmax())
            numbers[name][proxy] = {"unit": int(tensors[f"{name}.rows"][best])} | {
                field: round(getattr(found, field)[best, i].item(), 3)
                for field in ("correlation", "specificity", "specificity_top", "sensitivity")
            }
    return numbers


def tables(*, scale: str, smoke: bool = False, out: Path) -> None:
    """Universality between seeds and transformers, the splitting graph, and a map of decoder directions."""
    rows = heldout()[0][::2][: 20 if smoke else None]
    fired = {
        name: fire(*_units(name), rows)
        for name in ("a0", "a1", "a1_seed", "b1", "lm_relu", "lm_relu_b", "a2")
        if there(FOLDERS.get(name, name))
    }
    tensors, numbers = {}, {"tokens": rows.numel()}
    for a, b in (
        ("a1", "a1_seed"),
        ("a1", "b1"),
        ("b1", "a1"),
        ("lm_relu", "lm_relu_b"),
        ("a1", "lm_relu"),
    ):
        if a in fired and b in fired:
            best, match = best_matches(fired[a], fired[b])
            tensors |= {
                f"{a}~{b}.correlation": best.half(),
                f"{a}~{b}.match": match.to(torch.int16),
            }
    for narrow, wide in (("a0", "a1"), ("a1", "a2")):
        if narrow in fired and wide in fired:
            tensors |= {
                f"{narrow}>{wide}.{field}": value.half()
                if value.is_floating_point()
                else value.to(torch.int16)
                for field, value in edges(fired[narrow], fired[wide])._asdict().items()
            }
    if not smoke:
        tensors["map"] = direction_map(
            torch.cat([load("a0").directions, load("a1").directions])
        ).half()
    save_artifact(out.name, tensors, version=VERSION, root=out.parent, meta=numbers)
    lines = "\n".join(f"| {key} | {value:.4g} |" for key, value in measure_tables(out=out).items())
    write_card(
        out.name,
        f"""# Universality, splitting, and a map
Made by `python -m helpers make {out.name}` on {rows.numel():,} held-out tokens. `X~Y.correlation`: for each unit of X the largest Pearson
correlation of activations with a unit of Y, `X~Y.match`: which one; `X>Y`: edges of the splitting graph where the larger masked cosine similarity
exceeds .4; `map`: t-SNE of the decoder directions of a0 (first 512 rows) and a1. Units that never fire on these tokens count with correlation 0.

| | |
|---|---|
{lines}

Bricken et al. 2023: median .72 for features between transformers, .46 for neurons.

{SOURCES}""",
        root=out.parent,
    )


def measure_tables(*, out: Path) -> dict:
    """Medians of the stored correlations, and the size of the splitting graph."""
    tensors, _ = load_artifact(out.name, version=VERSION, root=out.parent)
    numbers = {}
    for key, value in tensors.items():
        if key.endswith(".correlation"):
            numbers[f"median {key}"] = round(value.float().median().item(), 3)
            numbers[f"share above .7, {key}"] = round((value > 0.7).float().mean().item(), 3)
        if key.endswith(".parent"):
            numbers[f"edges {key.removesuffix('.parent')}"] = len(value)
            numbers[f"parents {key.removesuffix('.parent')}"] = len(value.unique())
            numbers[f"parents with two children or more {key.removesuffix('.parent')}"] = int(
                (value.long().bincount() > 1).sum()
            )
    return numbers
