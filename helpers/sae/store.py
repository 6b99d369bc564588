"""The stored dictionaries, and what was measured on them."""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.ground import ROOT
from helpers.ground.artifacts import load_artifact, part_of
from helpers.ground.errors import CourseError, checked
from helpers.sae.features import Examples
from helpers.sae.kinds import build
from helpers.sae.model import Dictionary, Settings

VERSION = 2
FOLDERS = {"a0": "sae_a", "a1": "sae_a", "a1_seed": "sae_seed", "b1": "sae_b"}
FOLDERS |= {"a1_topk": "sae_topk", "a2": "sae_a2"}
Device = torch.device | str


@checked
def load(name: str = "a1", *, device: Device = "cpu") -> Dictionary:
    """Dictionary "a0" (512 features), "a1", "a1_seed", "a1_topk", "a2" (16,384), "b1"."""
    return restore(*load_artifact(_folder(name), version=VERSION, device=device), name)


def restore(tensors: dict[str, Tensor], meta: dict, name: str) -> Dictionary:
    """The dictionary NAME of a folder, on the tensors' device; features not stored are zeros.

    For each feature in `rows`: W_e, W_d (rows, N) and b_e.
    """
    stored = part_of(tensors, f"{name}.")
    rows = stored["rows"].long()
    settings = Settings(**meta["dictionaries"][name]["settings"])
    sae = build(settings).to(rows.device).requires_grad_(False)
    for parameter in sae.parameters():
        parameter.zero_()
    sae.W_enc[:, rows] = stored["W_e"].T
    sae.W_dec[rows] = F.normalize(stored["W_d"], dim=-1)
    sae.b_enc[rows] = stored["b_e"]
    sae.b_dec.copy_(stored["b_d"])
    if "threshold" in stored:
        sae.threshold.copy_(stored["threshold"])
    return Dictionary(sae, meta["scale"])


@checked
def load_numbers(name: str = "a1") -> dict:
    """L0, loss recovered, densities, … of a stored dictionary, as its card has them."""
    return load_artifact(_folder(name), version=VERSION)[1]["numbers"][name]


@checked
def load_examples(name: str) -> Examples:
    """Where the units of a dictionary ("a1") or the neurons of a transformer ("lm_relu") fire."""
    tensors, meta = load_artifact("sae_index", version=VERSION)
    if name not in meta["tokens"]:
        raise CourseError(f"No examples for {name!r}: choose one of {', '.join(meta['tokens'])}.")
    rows = tensors[f"{name}.rows"].long()  # (K,) units that fire at all
    fields = []
    for field in Examples._fields:
        values = _wide(tensors[f"{name}.{field}"])  # (K, …)
        nothing = -1 if field in ("top", "uniform") else 0
        empty = values.new_full((meta["units"][name], *values.shape[1:]), nothing)
        fields.append(empty.index_copy(0, rows, values))  # (M, …)
    return Examples(*fields)


def load_tables() -> dict[str, Tensor]:
    """Such as "a1~b1.correlation", "a0>a1.parent", "map": see data/sae_tables/README.md."""
    tensors, _ = load_artifact("sae_tables", version=VERSION)
    return {key: _wide(value) for key, value in tensors.items()}


@checked
def load_trials(name: str = "sae_trials") -> dict[str, dict]:
    """A row of numbers a dictionary: the λ sweep and each ingredient taken away.

    "sae_controls": transformers that have learned nothing; "sae_known", "sae_kinds": lesson 13's.
    """
    return load_artifact(name, version=VERSION)[1]["rows"]


def there(where: str | Path) -> bool:
    """Whether data/NAME has been made."""
    return (ROOT / "data" / where / "manifest.json").exists()


def _folder(name: str) -> str:
    if name not in FOLDERS:
        raise CourseError(f"No dictionary {name!r}: choose one of {', '.join(FOLDERS)}.")
    return FOLDERS[name]


def _wide(values: Tensor) -> Tensor:
    """Stored numbers as float32 or int64."""
    return values.float() if values.is_floating_point() else values.long()
