"""Public dictionaries and models, fetched where the source is `hub`: none of the course's numbers comes from them."""

import torch
from torch import Tensor

from helpers.sae.model import Dictionary, Settings, SparseAutoencoder

PUBLIC = "NeelNanda/sparse_autoencoder"  # dictionaries for the MLP neurons of gelu-1l; run 1 ended with version 25


def from_saelens(weights: dict[str, Tensor], *, scale: float = 1.0) -> Dictionary:
    """A dictionary from W_enc (N, M), b_enc (M,), W_dec (M, N), b_dec (N,), the names that SAELens and most others use.

    Both sides compute x̂ = ReLU((x − b_dec) W_enc + b_enc) W_dec + b_dec. Rows of W_dec need not have length 1: features are
    rescaled so that ours do. scale: by what activations are to be multiplied first. Raises ValueError for other shapes.
    """
    enc, dec = weights["W_enc"].float(), weights["W_dec"].float()
    if enc.shape != dec.T.shape:
        raise ValueError(
            f"W_enc {tuple(enc.shape)} should be (neurons, features) and W_dec {tuple(dec.shape)} (features, neurons)."
        )
    length = dec.norm(dim=1).clamp(min=1e-12)  # (M,)
    sae = SparseAutoencoder(Settings(neurons=enc.shape[0], features=enc.shape[1]))
    sae.load_state_dict(
        {
            "W_e": enc.T * length[:, None],
            "b_e": weights["b_enc"].float() * length,
            "W_d": (dec / length[:, None]).T,
            "b_d": weights["b_dec"].float(),
        }
    )
    return Dictionary(sae, scale)


def gelu_1l(version: int = 25) -> Dictionary:
    """Neel Nanda's replication of A/2's size: 16,384 features on the 2,048 neurons of TransformerLens's gelu-1l. Needs a network."""
    from huggingface_hub import hf_hub_download

    return from_saelens(
        torch.load(hf_hub_download(PUBLIC, f"{version}.pt"), map_location="cpu", weights_only=True)
    )


def solu_1l():
    """The public SoLU model with one layer as TransformerLens's HookedTransformer. Needs a network and `pip install transformer-lens`."""
    from transformer_lens import HookedTransformer

    return HookedTransformer.from_pretrained("solu-1l")
