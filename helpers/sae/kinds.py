"""Four younger kinds of sparse autoencoder: what fires and what is lowered are the difference.

a = (x − b_dec) W_enc + b_enc (B, M) are the pre-activations, f the features, e = x − x̂.

| kind         | features                              | lowered beside the mean of e²      |
|--------------|---------------------------------------|------------------------------------|
| "l1"         | ReLU(a)                               | λ Σ f                              |
| "topk"       | the k largest of each row of ReLU(a)  | what dead features miss of e, / 32 |
| "batch_topk" | the k · B largest of the batch        | the same                           |
| "jumprelu"   | a where a > θ, a threshold a feature  | λ (L0 / k − 1)²                    |
| "matryoshka" | as "batch_topk"                       | the same, and e² of every prefix   |
"""

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from helpers.ground.errors import CourseError, checked
from helpers.sae.model import Settings, SparseAutoencoder

PREFIXES = (1 / 32, 1 / 8, 1 / 2, 1)  # shares of the features that must reconstruct alone


class TopK(SparseAutoencoder):
    """Exactly k features an input, and no price on their size. Gao et al. 2024, section 2.3."""

    def __init__(self, settings: Settings):
        super().__init__(settings)
        self.W_enc.data = self.W_dec.detach().T.contiguous().clone()  # reads what it writes
        self.register_buffer("silent_for", torch.zeros(settings.features))  # activations

    def activate(self, a: Tensor, k: int | None = None) -> Tensor:
        """The k largest of each row of ReLU(a), (B, M); k: the settings', if not given."""
        k = int(self.settings.k) if k is None else min(k, a.shape[-1])
        best = F.relu(a).topk(k, dim=-1, sorted=False)
        return torch.zeros_like(a).scatter(-1, best.indices, best.values)

    def observe(self, f: Tensor) -> None:
        """Count for how many activations each feature has been silent."""
        self.silent_for.add_(len(f)).masked_fill_(f.any(dim=0), 0)

    def extra(self, x: Tensor, f: Tensor, left_over: Tensor | None = None) -> Tensor:
        """L_aux for x (B, N), the mean of (e − ê)²; 0 where no feature is dead (appendix A.2).

        ê is what the dead features write for an input, its k_aux largest of them alone.
        """
        dead = self.silent_for > self.settings.dead_after  # (M,)
        on_cpu = x.device.type == "cpu"  # elsewhere, asking how many are dead would be a wait
        some = dead.nonzero().flatten() if on_cpu else torch.arange(len(dead), device=x.device)
        if not len(some):
            return x.new_zeros(())
        if left_over is None:
            left_over = (x - self.decode(f)).detach()  # e (B, N)
        a = (x - self.b_dec) @ self.W_enc[:, some] + self.b_enc[some]
        g = TopK.activate(self, a * dead[some], self.settings.k_aux)  # (B, dead)
        return (g @ self.W_dec[some] - left_over).pow(2).mean() * dead.any()


class BatchTopK(TopK):
    """k features an input on average: some need more. Bussmann, Leask and Nanda 2024.

    In use an input must not depend on its batch: there a feature fires above one threshold, the
    running mean of the smallest f that stayed.
    """

    def __init__(self, settings: Settings):
        super().__init__(settings)
        self.register_buffer("threshold", torch.tensor(0.0))

    def activate(self, a: Tensor) -> Tensor:
        """In training the k · B largest of ReLU(a), (B, M), in use those above the threshold."""
        f = F.relu(a)
        if not self.training:
            return f * (f > self.threshold)
        flat = f.detach().flatten()
        count = min(round(self.settings.k * len(f)), len(flat))
        if f.device.type == "cpu":  # 4 M values, k = 32: 30 ms; a topk of them all is 130
            likely = flat[flat > self.threshold / 2]
            flat = likely if len(likely) >= count else flat
        return f * (f >= flat.topk(count, sorted=False).values.min())

    @torch.no_grad()
    def observe(self, f: Tensor) -> None:
        """Also follow the smallest f of each batch."""
        super().observe(f)
        smallest = torch.where(f > 0, f, torch.inf).min().float()
        smallest = torch.where(smallest.isfinite(), smallest, self.threshold)  # none: as it was
        self.threshold.lerp_(smallest, torch.where(self.threshold > 0, 0.01, 1.0))


class JumpReLU(SparseAutoencoder):
    """A threshold for each feature, learned. Rajamanoharan et al. 2024.

    The loss counts features, λ (L0 / k − 1)², and a count has no slope: where a is within half a
    `bandwidth` of θ, the step H(a − θ) is given the slope −1 / bandwidth in θ (their section 3).
    """

    def __init__(self, settings: Settings):
        super().__init__(settings)
        self.W_enc.data = self.W_dec.detach().T.contiguous().clone()
        share = torch.full((settings.features,), 1 - settings.k / settings.features)
        self.threshold = nn.Parameter(torch.special.ndtri(share).clamp(min=0))  # k pass of noise

    def activate(self, a: Tensor) -> Tensor:
        """a where a > θ, else 0, (B, M)."""
        return a * (a > self.threshold) + self.threshold.detach() * self.slope(a)

    def slope(self, a: Tensor) -> Tensor:
        """Zeros (B, M) whose gradient in θ is that of H(a − θ)."""
        theta, width = self.threshold, self.settings.bandwidth
        return ((a - theta).abs() < width / 2) * (theta.detach() - theta) / width

    def extra(self, x: Tensor, f: Tensor) -> Tensor:
        """(L0 / k − 1)² for x (B, N), with a gradient in the thresholds alone."""
        a = ((x - self.b_dec) @ self.W_enc + self.b_enc).detach()
        L0 = ((f != 0) + self.slope(a)).sum(dim=-1).mean()
        return (L0 / self.settings.k - 1).pow(2)

    @torch.no_grad()
    def normalise(self) -> None:
        """Also keep thresholds from below 0, where a feature would fire with a negative f."""
        super().normalise()
        if hasattr(self, "threshold"):
            self.threshold.clamp_(min=0)


class Matryoshka(BatchTopK):
    """BatchTopK whose first features must also reconstruct alone. Bussmann et al. 2025."""

    def error(self, x: Tensor, f: Tensor) -> Tensor:
        """Mean of (x − b_dec − Σ_{i<m} f_i d_i)² over prefixes m, PREFIXES of all features."""
        ends = [round(share * f.shape[-1]) for share in PREFIXES]
        back, errors = self.b_dec, []
        for start, end in zip([0, *ends], ends, strict=False):
            back = back + f[:, start:end] @ self.W_dec[start:end]
            errors.append((back - x).pow(2).mean())
        return torch.stack(errors).mean()


KINDS = {"l1": SparseAutoencoder, "topk": TopK, "batch_topk": BatchTopK, "jumprelu": JumpReLU}
KINDS["matryoshka"] = Matryoshka


@checked
def build(settings: Settings) -> SparseAutoencoder:
    """A new dictionary of the kind that its settings name; CourseError for an unknown one."""
    if settings.kind not in KINDS:
        raise CourseError(f"No kind {settings.kind!r}: choose one of {', '.join(KINDS)}.")
    whole = settings.kind != "topk" or settings.k % 1 == 0
    if settings.kind != "l1" and not (whole and 1 <= settings.k <= settings.features):
        most = f"{settings.features} features, whole for topk"
        raise CourseError(f"k should be from 1 to {most}, not {settings.k}.")
    return KINDS[settings.kind](settings)
