"""A public dictionary, fetched where the source is `hub`; none of the course's numbers needs it."""

from collections.abc import Mapping

import torch
from torch import Tensor

from helpers.ground.errors import CourseError
from helpers.sae.model import Dictionary, Settings, SparseAutoencoder

PUBLIC = "NeelNanda/sparse_autoencoder"  # on the MLP neurons of gelu-1l; run 1 ended with 25
NAMES = ("W_enc", "b_enc", "W_dec", "b_dec")  # of a plain dictionary: ReLU, one bias each way
CONFIG = {  # what cfg.json may say of one; SAELens once stored a TopK as "standard"
    "architecture": ("standard",),
    "activation_fn": ("relu",),
    "activation_fn_str": ("relu",),
    "apply_b_dec_to_input": (True,),
    "normalize_activations": ("none", None, False),
    "finetuning_scaling_factor": (False, None),
}


def from_saelens(weights: Mapping[str, Tensor], config: Mapping, *, scale=1.0) -> Dictionary:
    """A dictionary from W_enc (N, M), b_enc (M,), W_dec (M, N), b_dec (N,), the field's names.

    x̂ = ReLU((x − b_dec) W_enc + b_enc) W_dec + b_dec. Rows of W_dec need not have length 1:
    features are rescaled so that ours do. config: what its cfg.json says, the architecture at
    least; a TopK has the same four weights. scale: by what activations are to be multiplied first.
    CourseError for what is not such a dictionary (TopK, JumpReLU, gated, own scales: it would load
    and be wrong), ValueError for other shapes.
    """
    said = {"architecture": None} | dict(config)
    if other := [f"{k}: {v!r}" for k, v in said.items() if v not in CONFIG.get(k, (v,))]:
        raise CourseError(
            f"This dictionary's cfg.json says {', '.join(other)}; only a ReLU's is understood "
            "(see CONFIG). Load it with SAELens instead."
        )
    weights = {name: torch.as_tensor(value) for name, value in weights.items()}
    missing = [name for name in NAMES if name not in weights]
    unknown = [name for name in weights if name not in NAMES]
    if missing or unknown:
        raise CourseError(
            "This is not a plain ReLU dictionary: "
            + f"it lacks {', '.join(missing)}; " * bool(missing)
            + f"it has {', '.join(unknown)} as well; " * bool(unknown)
            + f"only {', '.join(NAMES)} are understood. Load it with SAELens instead."
        )
    enc, dec = weights["W_enc"].float(), weights["W_dec"].float()
    biases = (weights["b_enc"].shape, weights["b_dec"].shape)
    if enc.shape != dec.T.shape or biases != (enc.shape[1:], dec.shape[1:]):
        raise ValueError(
            f"W_enc {tuple(enc.shape)} should be (neurons, features), W_dec {tuple(dec.shape)} "
            "(features, neurons), b_enc (features,) and b_dec (neurons,)."
        )
    if not all(value.isfinite().all() for value in weights.values()):
        raise CourseError("Some weights of this dictionary are not numbers (nan or inf).")
    length = dec.norm(dim=1).clamp(min=1e-12)  # (M,)
    sae = SparseAutoencoder(Settings(neurons=enc.shape[0], features=enc.shape[1])).to(enc.device)
    sae.load_state_dict(
        {
            "W_enc": enc * length,
            "b_enc": weights["b_enc"].float() * length,
            "W_dec": dec / length[:, None],
            "b_dec": weights["b_dec"].float(),
        }
    )
    return Dictionary(sae, scale)


def gelu_1l(version: int = 25, *, device: torch.device | str = "cpu") -> Dictionary:
    """Neel Nanda's replication of A/2's size: 16,384 features on gelu-1l's 2,048 neurons."""
    from huggingface_hub import hf_hub_download

    file = hf_hub_download(PUBLIC, f"{version}.pt")
    weights = torch.load(file, map_location=device, weights_only=True)
    return from_saelens(weights, {"architecture": "standard"})
