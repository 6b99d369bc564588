"""A sparse autoencoder: a vector of neurons x as a sparse sum of directions, x ≈ b_dec + Σ f_i d_i.

Shapes: B activations, N neurons, M features. The names and shapes are the field's (SAELens):
W_enc (N, M), b_enc (M,), W_dec (M, N), b_dec (N,); the rows of W_dec are the directions d_i.
The four ingredients of slide D2-21 are marked ①–④ where they act.
Bricken et al. 2023, "Towards Monosemanticity", section "Sparse Autoencoder Setup".
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from helpers.ground.artifacts import still_numbers
from helpers.ground.errors import CourseError, MayBe0, checked, shown


@checked
@dataclass(frozen=True)
class Settings:
    """A dictionary's size and price; the switches take an ingredient away (lesson 09)."""

    neurons: int = 512
    features: int = 4096  # ② overcomplete: more features than neurons; 512 takes it away
    l1: float = 5e-3  # ③ λ, for activations rescaled to mean norm √N; 0 takes it away
    input_bias: bool = True  # ④ the bias that is taken off before, and put back after
    unit_norm: bool = True  # directions of length 1: without it the L1 penalty can be cheated
    resample: bool = True  # features that never fire get new directions (kind "l1" only)
    seed: int = 0
    kind: str = "l1"  # or another one of `helpers.sae.kinds`, which use what follows
    k: float = 32  # features of an input; on average, but for "topk"
    dead_after: MayBe0 = 200_000  # activations without firing, after which a feature is dead
    k_aux: MayBe0 = 256  # dead features that each input may use for what is left over
    auxiliary: float = 1 / 32  # weight of their loss, or of the count's of "jumprelu"
    bandwidth: float = 0.1  # of the slope that "jumprelu" gives to its steps


class Loss(NamedTuple):
    """What training lowers, and its two parts."""

    total: Tensor
    mse: Tensor
    sparsity: Tensor  # Σ|f|, or what another kind adds; without its weight


@checked
class SparseAutoencoder(nn.Module):
    """x (B, N) → features f (B, M) → reconstruction (B, N)."""

    def __init__(self, settings: Settings = Settings()):
        super().__init__()
        n, m = settings.neurons, settings.features
        self.settings = settings
        draw = torch.Generator().manual_seed(settings.seed)
        encoder = nn.init.kaiming_uniform_(torch.empty(m, n), a=5**0.5, generator=draw)
        decoder = nn.init.kaiming_uniform_(torch.empty(n, m), a=5**0.5, generator=draw)
        self.W_enc = nn.Parameter(encoder.T.contiguous())  # (N, M)
        self.W_dec = nn.Parameter(decoder.T.contiguous())  # (M, N), not tied to the encoder
        self.b_enc = nn.Parameter(torch.zeros(m))
        self.b_dec = nn.Parameter(torch.zeros(n), requires_grad=settings.input_bias)  # ④
        self.normalise()

    def encode(self, x: Tensor) -> Tensor:
        """f = ReLU((x − b_dec) W_enc + b_enc): (B, N) → (B, M), M larger than N ②."""
        return self.activate((x - self.b_dec) @ self.W_enc + self.b_enc)  # ④ centred before …

    def activate(self, a: Tensor) -> Tensor:
        """Pre-activations (B, M) → features (B, M); other kinds let fewer through."""
        return F.relu(a)

    def decode(self, f: Tensor) -> Tensor:
        """x̂ = f W_dec + b_dec: (B, M) → (B, N)."""
        return f @ self.W_dec + self.b_dec  # ④ … and put back after

    def forward(self, x: Tensor) -> Tensor:
        """The reconstruction x̂ (B, N)."""
        return self.decode(self.encode(x))

    def loss(self, x: Tensor, f: Tensor) -> Loss:
        """Mean squared error over all elements, plus λ times the mean over the batch of Σ|f|."""
        mse = self.error(x, f)  # ① reconstruct, in the neurons' own units
        sparsity = self.extra(x, f)
        return Loss(mse + self.price * sparsity, mse, sparsity)

    def error(self, x: Tensor, f: Tensor) -> Tensor:
        """The mean of (x̂ − x)² over all elements."""
        return (self.decode(f) - x).pow(2).mean()

    def extra(self, x: Tensor, f: Tensor) -> Tensor:
        """What the loss adds: the mean over the batch of Σ|f|."""
        return f.sum(dim=-1).mean()  # ③ few features at once; f ≥ 0, so this is Σ|f|

    @property
    def price(self) -> float:
        """The weight of what is added: λ, but for kinds that need none."""
        return self.settings.l1 if self.settings.kind == "l1" else self.settings.auxiliary

    def observe(self, f: Tensor) -> None:
        """Called with the features (B, M) of each training step; other kinds count."""

    @torch.no_grad()
    def normalise(self) -> None:
        """Bring every direction to length 1; otherwise f/10 with 10·d would pay a tenth."""
        if self.settings.unit_norm:
            self.W_dec /= self.W_dec.norm(dim=1, keepdim=True)

    @torch.no_grad()
    def project_gradient(self) -> None:
        """Take each direction's gradient along itself away: it would only change the length."""
        if self.settings.unit_norm and self.W_dec.grad is not None:
            along = (self.W_dec.grad * self.W_dec).sum(dim=1, keepdim=True)  # (M, 1)
            self.W_dec.grad -= along * self.W_dec


@checked
class Dictionary(nn.Module):
    """A trained autoencoder with its scale, for activations as the transformer has them.

    Training rescales activations to mean norm √N; here the scale is applied before and taken back
    after. Features keep the training's units.
    """

    def __init__(self, sae: SparseAutoencoder, scale: float):
        super().__init__()
        self.sae = sae.eval().requires_grad_(False)
        self.scale = scale
        if scale <= 0:
            raise CourseError(f"scale should be above 0, not {scale}.")
        still_numbers(sae.parameters(), "its training")

    def rescaled(self, acts: Tensor) -> Tensor:
        """Activations (..., N) in the training's units; CourseError for others than it reads."""
        N = len(self.sae.b_dec)
        if not isinstance(acts, Tensor) or acts.shape[-1:] != (N,):
            raise CourseError(f"This dictionary reads activations (..., {N}), not {shown(acts)}.")
        return (acts * self.scale).to(self.sae.W_enc)

    def features(self, acts: Tensor) -> Tensor:
        """(..., N) → (..., M)."""
        return self.sae.encode(self.rescaled(acts))

    def feature(self, acts, i: int) -> Tensor:
        """One feature alone, (..., N) → (...); of an L1 dictionary without computing the others."""
        self._refuse_unknown(i)
        if self.sae.settings.kind != "l1":
            return self.features(acts)[..., i]  # what fires may hang on a threshold or the others
        x = self.rescaled(acts) - self.sae.b_dec
        return F.relu(x @ self.sae.W_enc[:, i] + self.sae.b_enc[i])

    def _refuse_unknown(self, i: int) -> None:
        if i >= (M := len(self.sae.b_enc)):
            raise CourseError(f"This dictionary has the features 0 to {M - 1}, and no {i}.")

    def reconstruct(self, acts: Tensor) -> Tensor:
        """(..., N) → (..., N); give it to the transformer as `edit`."""
        return self.sae(self.rescaled(acts)).to(acts) / self.scale

    @property
    def directions(self) -> Tensor:
        """Unit directions d_i in neuron space, a row for each feature, (M, N)."""
        return F.normalize(self.sae.W_dec, dim=-1)

    def with_feature(self, feature: int, value: float):
        """An `edit` that sets a feature to `value`: x + (value − f_i) d_i, all else in place."""
        self._refuse_unknown(feature)

        def edit(acts: Tensor) -> Tensor:
            change = value - self.feature(acts, feature)[..., None]
            return acts + change * self.sae.W_dec[feature] / self.scale

        return edit


@torch.no_grad()
def geometric_median(x: Tensor, steps: int = 50) -> Tensor:
    """The point of least summed distance to the rows of x (B, N), by Weiszfeld's iteration."""
    point = x.mean(dim=0)
    for _ in range(steps):
        weight = 1 / (x - point).norm(dim=-1, keepdim=True).clamp(min=1e-6)  # (B, 1)
        point = (weight * x).sum(dim=0) / weight.sum()
    return point
