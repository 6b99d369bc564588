"""A sparse autoencoder: a vector of neurons x as a sparse sum of directions, x ≈ b_d + Σ f_i d_i.

Shapes: B activations, N neurons, M features. The four ingredients of slide D2-21 are marked ①–④ where they act.
Bricken et al. 2023, "Towards Monosemanticity", section "Sparse Autoencoder Setup".
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from helpers.transformer.model import OneLayerTransformer


@dataclass(frozen=True)
class Settings:
    """A dictionary's size and price; the switches take an ingredient away (lesson 09 measures what happens)."""

    neurons: int = 512
    features: int = 4096  # ② overcomplete: more features than neurons; 512 takes it away
    l1: float = 5e-3  # ③ λ, for activations rescaled to mean norm √N; 0 takes it away
    input_bias: bool = True  # ④ the bias that is taken off before, and put back after
    unit_norm: bool = True  # decoder columns of length 1: without it the L1 penalty can be cheated
    resample: bool = True  # features that never fire get a new start
    seed: int = 0


class Loss(NamedTuple):
    """What training lowers, and its two parts."""

    total: Tensor
    mse: Tensor
    sparsity: Tensor  # Σ|f|, without λ


class SparseAutoencoder(nn.Module):
    """x (B, N) → features f (B, M) → reconstruction (B, N)."""

    def __init__(self, settings: Settings = Settings()):
        super().__init__()
        n, m = settings.neurons, settings.features
        self.settings = settings
        generator = torch.Generator().manual_seed(settings.seed)
        self.W_e = nn.Parameter(torch.empty(m, n))  # encoder: a row for each feature
        self.W_d = nn.Parameter(
            torch.empty(n, m)
        )  # decoder: a column for each feature, not tied to the encoder
        self.b_e = nn.Parameter(torch.zeros(m))
        self.b_d = nn.Parameter(torch.zeros(n), requires_grad=settings.input_bias)  # ④
        nn.init.kaiming_uniform_(self.W_e, a=5**0.5, generator=generator)
        nn.init.kaiming_uniform_(self.W_d, a=5**0.5, generator=generator)
        self.normalise()

    def encode(self, x: Tensor) -> Tensor:
        """f = ReLU(W_e (x − b_d) + b_e): (B, N) → (B, M), M larger than N ②."""
        return F.relu(F.linear(x - self.b_d, self.W_e, self.b_e))  # ④ centred before …

    def decode(self, f: Tensor) -> Tensor:
        """x̂ = W_d f + b_d: (B, M) → (B, N)."""
        return F.linear(f, self.W_d, self.b_d)  # ④ … and put back after

    def forward(self, x: Tensor) -> Tensor:
        """The reconstruction x̂ (B, N)."""
        return self.decode(self.encode(x))

    def loss(self, x: Tensor, f: Tensor) -> Loss:
        """Mean squared error over all elements, plus λ times the mean over the batch of Σ|f|."""
        mse = (self.decode(f) - x).pow(2).mean()  # ① reconstruct, in the neurons' own units
        sparsity = f.sum(
            dim=-1
        ).mean()  # ③ few features at once; f is never negative, so this is the mean of Σ|f|
        return Loss(mse + self.settings.l1 * sparsity, mse, sparsity)

    @torch.no_grad()
    def normalise(self) -> None:
        """Bring every decoder column to length 1; otherwise f/10 with 10·d would pay a tenth of the penalty."""
        if self.settings.unit_norm:
            self.W_d /= (
                self.W_d.pow(2).sum(dim=0, keepdim=True).sqrt()
            )  # a tenth of what .norm(dim=0) takes

    @torch.no_grad()
    def project_gradient(self) -> None:
        """Take the part of each column's gradient along the column away: it would only change the length."""
        if self.settings.unit_norm and self.W_d.grad is not None:
            self.W_d.grad -= (self.W_d.grad * self.W_d).sum(dim=0, keepdim=True) * self.W_d


class Dictionary(nn.Module):
    """A trained autoencoder with its scale, for activations as the transformer has them.

    Training rescales activations to mean norm √N; here the scale is applied before and taken back after,
    so that `features` and `reconstruct` fit the model. Features keep the training's units.
    """

    def __init__(self, sae: SparseAutoencoder, scale: float):
        super().__init__()
        self.sae, self.scale = sae.eval().requires_grad_(False), scale

    def features(self, acts: Tensor) -> Tensor:
        """(..., N) → (..., M)."""
        return self.sae.encode(acts * self.scale)

    def reconstruct(self, acts: Tensor) -> Tensor:
        """(..., N) → (..., N); give it to the transformer as `edit`."""
        return self.sae(acts * self.scale) / self.scale

    @property
    def directions(self) -> Tensor:
        """Unit directions d_i in neuron space, a row for each feature, (M, N)."""
        return F.normalize(self.sae.W_d.T, dim=-1)

    def logit_effects(self, model: OneLayerTransformer) -> Tensor:
        """What each feature does to each token's logit when it fires, (M, V), median 0 in each row."""
        return model.logit_effects(self.directions)

    def with_feature(self, feature: int, value: float):
        """An `edit` that sets one feature to `value` (0 ablates it) and leaves the dictionary's error in place: x + (value − f_i) d_i."""

        def edit(acts: Tensor) -> Tensor:
            change = value - self.features(acts)[..., feature, None]
            return acts + change * self.sae.W_d[:, feature] / self.scale

        return edit


@torch.no_grad()
def geometric_median(x: Tensor, steps: int = 50) -> Tensor:
    """The point with the smallest summed distance to the rows of x (B, N), by Weiszfeld's iteration: the start of b_d."""
    point = x.mean(dim=0)
    for _ in range(steps):
        weight = 1 / (x - point).norm(dim=-1, keepdim=True).clamp(min=1e-6)
        point = (weight * x).sum(dim=0) / weight.sum()
    return point
