"""Dictionaries on disk: int8 with a scale for each feature, and the format of SAELens for the world outside."""

import json
from dataclasses import asdict
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.ground.artifacts import load_artifact
from helpers.ground.errors import CourseError
from helpers.sae.features import Examples
from helpers.sae.model import Dictionary, Settings, SparseAutoencoder

VERSION = 1
FOLDERS = {"a0": "sae_a", "a1": "sae_a", "a1_seed": "sae_a", "b1": "sae_b", "a2": "sae_a2"}


def load(name: str = "a1") -> Dictionary:
    """A shipped dictionary: "a0" (512 features), "a1" (4,096), "a1_seed" (another seed) on lm_relu, "b1" on lm_relu_b, "a2" (16,384).
    Raises CourseError where it is missing, damaged or of another version."""
    if name not in FOLDERS:
        raise CourseError(f"No dictionary {name!r}: choose one of {', '.join(FOLDERS)}.")
    return unpack(*load_artifact(FOLDERS[name], version=VERSION), name)


def load_numbers(name: str = "a1") -> dict:
    """L0, loss recovered, densities, … of a shipped dictionary, as its card has them; `python -m helpers measure` measures them again."""
    return load_artifact(FOLDERS[name], version=VERSION)[1]["numbers"][name]


def load_examples(name: str) -> Examples:
    """Where the units of a dictionary ("a1") or the neurons of a transformer ("lm_solu_ln") fire; see `Examples`."""
    tensors, meta = load_artifact("sae_index", version=VERSION)
    if name not in meta["tokens"]:
        raise CourseError(f"No examples for {name!r}: choose one of {', '.join(meta['tokens'])}.")
    rows, units = tensors[f"{name}.rows"].long(), meta["units"][name]
    return Examples(
        *(
            _spread(
                tensors[f"{name}.{field}"], rows, units, -1 if field in ("top", "uniform") else 0
            )
            for field in Examples._fields
        )
    )


def _spread(values: Tensor, rows: Tensor, units: int, nothing: int) -> Tensor:
    """The stored rows (K, …) at their places among all units (M, …), as float32 or int64; `nothing` for units that never fire."""
    values = values.float() if values.is_floating_point() else values.long()
    return torch.full((units, *values.shape[1:]), nothing, dtype=values.dtype).index_copy(
        0, rows, values
    )


def load_tables() -> dict[str, Tensor]:
    """Universality ("a1~b1.correlation", "a1~b1.match"), the splitting graph ("a0>a1.parent", …) and the "map" of directions."""
    return {
        key: value.float() if value.is_floating_point() else value.long()
        for key, value in load_artifact("sae_tables", version=VERSION)[0].items()
    }


def load_trials() -> dict[str, dict]:
    """The λ sweep and the dictionaries with an ingredient taken away: a row of numbers each; see data/sae_trials/README.md."""
    return load_artifact("sae_trials", version=VERSION)[1]["rows"]


def pack(sae: SparseAutoencoder, name: str, silent: Tensor | None = None) -> dict[str, Tensor]:
    """Encoder rows and decoder columns as int8 with one float32 scale each, biases as float32, keys NAME.…

    Features marked in `silent` (M,) have died in training; they are left out, and `unpack` gives them zeros.
    """
    rows = torch.arange(sae.settings.features) if silent is None else (~silent).nonzero().flatten()
    tensors = {
        f"{name}.rows": rows.to(torch.int16),
        f"{name}.b_e": sae.b_e[rows],
        f"{name}.b_d": sae.b_d,
    }
    for key, matrix in (
        ("W_e", sae.W_e[rows]),
        ("W_d", sae.W_d.T[rows]),
    ):  # (alive, N): a row for each feature
        step = matrix.abs().amax(dim=1, keepdim=True).clamp(min=1e-12) / 127
        tensors |= {
            f"{name}.{key}": (matrix / step).round().to(torch.int8),
            f"{name}.{key}_step": step.flatten(),
        }
    return {key: value.detach().cpu().contiguous() for key, value in tensors.items()}


def unpack(tensors: dict[str, Tensor], meta: dict, name: str) -> Dictionary:
    """The inverse of `pack`; meta holds the settings and the scale of the activations."""
    sae = SparseAutoencoder(Settings(**meta["dictionaries"][name]["settings"])).requires_grad_(
        False
    )
    rows = tensors[f"{name}.rows"].long()
    stored = {
        key: tensors[f"{name}.{key}"].float() * tensors[f"{name}.{key}_step"][:, None]
        for key in ("W_e", "W_d")
    }
    sae.W_e.zero_()[rows], sae.b_e.zero_()[rows] = stored["W_e"], tensors[f"{name}.b_e"]
    sae.W_d.zero_()[:, rows] = F.normalize(stored["W_d"], dim=-1).T
    sae.b_d.copy_(tensors[f"{name}.b_d"])
    return Dictionary(sae, meta["scale"])


def export_saelens(dictionary: Dictionary, folder: Path, *, model_name: str = "lm_relu") -> Path:
    """Write cfg.json and sae_weights.safetensors as `SAE.load_from_disk(folder)` of sae-lens 6 reads them.

    Its "standard" architecture: f = ReLU((x − b_dec) W_enc + b_enc), x̂ = f W_dec + b_dec, with the matrices the other way
    round. Our scale s goes into the biases, so that it takes activations as the transformer has them; its features are ours / s.
    """
    from safetensors.torch import save_file

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
            "context_size": 128,
            "course": asdict(sae.settings) | {"scale": s},
        },
    }
    (folder / "cfg.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
    save_file(
        {
            "W_enc": sae.W_e.T.contiguous(),
            "b_enc": sae.b_e / s,
            "W_dec": sae.W_d.T.contiguous(),
            "b_dec": sae.b_d / s,
        },
        folder / "sae_weights.safetensors",
    )
    return folder
