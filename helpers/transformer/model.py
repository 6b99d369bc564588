"""A one-layer transformer whose MLP can be looked into: ReLU, GELU or SoLU neurons.

Shapes: B sequences, T positions, D = d_model, F = d_mlp (neurons), H heads, V vocabulary.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from helpers.ground.artifacts import load_artifact, part_of
from helpers.ground.errors import CourseError, checked, same_shape, shown

VERSION = 2  # of the stored weights


def solu(x: Tensor) -> Tensor:
    """SoLU(x) = x · softmax(x) over the last dimension, (..., F). Elhage et al. 2022; D2-06."""
    return x * x.softmax(dim=-1)


def quick_gelu(x: Tensor) -> Tensor:
    """GELU(x) ≈ x · sigmoid(1.7 x), which makes GELU and SoLU look alike; off by at most 0.0205."""
    return x * torch.sigmoid(1.7 * x)


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "gelu": F.gelu, "solu": solu}


@checked
@dataclass(frozen=True)
class Settings:
    """The shape of a model; defaults as in "Towards Monosemanticity", with a smaller vocabulary."""

    activation: str = "relu"  # relu, gelu or solu
    layer_norm: bool = False  # a LayerNorm after the activation: f(x) = LN(SoLU(x)), D2-09
    d_model: int = 128  # width of the residual stream
    d_mlp: int = 512  # neurons
    heads: int = 4
    context: int = 128  # positions
    vocabulary: int = 4096


class Neurons(NamedTuple):
    """The stages of the MLP's hidden layer, each (B, T, F), named as in TransformerLens."""

    pre: Tensor  # W_in x + b
    mid: Tensor  # after the activation
    post: Tensor  # after the LayerNorm if there is one, else mid: what W_out reads


@checked
class OneLayerTransformer(nn.Module):
    """tokens (B, T) → logits (B, T, V): embed, attend once, think once, unembed."""

    def __init__(self, settings: Settings = Settings()):
        super().__init__()
        if settings.activation not in ACTIVATIONS:
            raise CourseError(f"No activation {settings.activation!r}: {', '.join(ACTIVATIONS)}.")
        d, f = settings.d_model, settings.d_mlp
        if d % settings.heads:
            raise CourseError(f"{settings.heads} heads cannot share a width of {d} evenly.")
        self.settings = settings
        self.embed = nn.Embedding(settings.vocabulary, d)
        self.positions = nn.Parameter(torch.zeros(settings.context, d))
        self.norm_1 = nn.LayerNorm(d)
        self.norm_2 = nn.LayerNorm(d)
        self.norm_final = nn.LayerNorm(d)
        self.qkv = nn.Linear(d, 3 * d)
        self.attention_out = nn.Linear(d, d)
        self.W_in = nn.Linear(d, f)
        self.W_out = nn.Linear(f, d)
        self.norm_neurons = nn.LayerNorm(f) if settings.layer_norm else nn.Identity()
        self.unembed = nn.Linear(d, settings.vocabulary, bias=False)

    def forward(self, tokens, edit: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Logits (B, T, V). `edit` may replace the neurons' activations (B, T, F) before W_out."""
        return self.unembed(self.last(tokens, edit))

    def last(self, tokens, edit: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """What the unembedding reads, (B, T, D)."""
        x = self.residual(tokens)  # (B, T, D)
        acts = self.neurons(x).post  # (B, T, F)
        x = x + self.W_out(same_shape(edit(acts), acts, "What edit returns") if edit else acts)
        return self.norm_final(x)

    def residual(self, tokens) -> Tensor:
        """The residual stream that the MLP reads, (B, T, D)."""
        whole = isinstance(tokens, Tensor) and not tokens.is_floating_point()
        if not whole or tokens.ndim != 2 or not len(tokens):
            raise CourseError(
                f"Tokens are whole numbers (B, T), not {shown(tokens)}: corpus.encode."
            )
        if tokens.shape[-1] > self.settings.context:
            T, most = tokens.shape[-1], self.settings.context
            raise CourseError(f"{T} tokens given, but the model has {most} positions.")
        x = self.embed(tokens.long()) + self.positions[: tokens.shape[-1]]
        return x + self.attend(self.norm_1(x))

    def attend(self, x: Tensor) -> Tensor:
        """Causal self-attention with H heads, (B, T, D) → (B, T, D)."""
        heads = self.qkv(x).unflatten(-1, (3, self.settings.heads, -1))  # (B, T, 3, H, D/H)
        q, k, v = heads.permute(2, 0, 3, 1, 4)  # (B, H, T, D/H) each
        scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5 + self.future(x)  # (B, H, T, T)
        mixed = scores.softmax(dim=-1).to(v.dtype) @ v  # PyTorch's fused one learns at half speed
        return self.attention_out(mixed.transpose(1, 2).flatten(-2))

    def future(self, x: Tensor) -> Tensor:
        """−∞ above the diagonal, else 0, (T, T): no place looks at later ones."""
        T = x.shape[-2]
        return torch.full((T, T), -torch.inf, device=x.device).triu(1)

    def neurons(self, x: Tensor) -> Neurons:
        """The MLP's hidden layer for a residual stream (B, T, D)."""
        pre = self.W_in(self.norm_2(x))
        mid = ACTIVATIONS[self.settings.activation](pre)
        return Neurons(pre, mid, self.norm_neurons(mid))

    def activations(self, tokens: Tensor) -> Tensor:
        """The neurons' activations as W_out reads them: (B, T) → (B, T, F)."""
        return self.neurons(self.residual(tokens)).post

    def logit_effects(self, directions: Tensor) -> Tensor:
        """What directions (N, F) do to the logits, d · W_out · γ · W_unembed (N, V), median 0.

        The final LayerNorm's division depends on the token and is left out (Bricken et al. 2023).
        """
        written = directions @ self.W_out.weight.T * self.norm_final.weight  # (N, D)
        effects = written @ self.unembed.weight.T
        return effects - effects.median(dim=-1, keepdim=True).values


@torch.no_grad()
def initialise(model: OneLayerTransformer, seed: int) -> None:
    """Normal weights of width 0.02 (1/√fan_in for MLP and attention), zero biases; by the CPU."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if parameter.ndim == 2:
            std = 0.02 if "embed" in name or name == "positions" else parameter.shape[1] ** -0.5
            parameter.copy_(torch.empty(parameter.shape).normal_(0, std, generator=generator))
        elif "norm" not in name:
            parameter.zero_()


@checked
def load(where: str | Path, *, device: torch.device | str = "cpu") -> OneLayerTransformer:
    """A stored transformer by its name in data/ ("lm_relu", "lm_sizes/gelu-32") or its folder."""
    folder, part = (where, "") if isinstance(where, Path) else where.partition("/")[::2]
    tensors, meta = load_artifact(folder, version=VERSION, device=device)
    if part:
        if part not in meta["models"]:
            raise CourseError(f"No model {part!r} in {folder}, only {', '.join(meta['models'])}.")
        tensors, meta = part_of(tensors, f"{part}."), meta["models"][part]
    return restore(meta["settings"], tensors)


def restore(settings: dict, tensors: dict[str, Tensor]) -> OneLayerTransformer:
    """The model of stored settings and weights, in float32, on the weights' device."""
    with torch.device("meta"):  # no weights are drawn, and no random number is used up
        model = OneLayerTransformer(Settings(**settings))
    model.load_state_dict({key: value.float() for key, value in tensors.items()}, assign=True)
    return model.eval()
