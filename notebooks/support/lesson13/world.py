"""Lesson 13: a world whose features are known, and how far a dictionary finds them.

After SynthSAEBench-16k (Chanin & Garriga-Alonso 2026, arXiv 2602.14687) at a sixteenth of its size:

|                  | SynthSAEBench-16k          | here                                     |
|------------------|----------------------------|------------------------------------------|
| features n       | 16,384                     | 1,024                                    |
| dimensions N     | 768                        | 80                                       |
| on at once, L0   | 34                         | 3.6: L0 / N stays, and so interference   |
| rates, i-th      | from .4, as i^−½, to .0005 | from .5, as 1 / i: the same range        |
| trees            | 128 of depth 3, 4 children | 8 of them                                |
| strengths        | mean 5 to 4, spread near ½ | the same                                 |
| a dictionary     | 4,096 latents, L0 25       | 256, L0 3: of the 256 most frequent 3 are on |

Children of one parent exclude each other, fire only with it, and scale with it. What fires together
is correlated through 25 common causes. Left out: their slight orthogonalisation, and their bias.
"""

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import NamedTuple

import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from helpers.sae.model import Settings, SparseAutoencoder
from helpers.sae.train import Training

FEATURES, DIMENSIONS, WIDTH, L0 = 1024, 80, 256, 3
SETTINGS = Settings(  # of each dictionary but for its kind and seed
    neurons=DIMENSIONS, features=WIDTH, k=L0, dead_after=20_000, k_aux=40, bandwidth=0.3
)
TRAINING = Training(tokens=256_000, batch=256, learning_rate=5e-3)  # 1,000 steps
ROOTS, CHILDREN, DEPTH = 8, 4, 3
POOL = 60_000  # inputs to train on
TOGETHER = 0.8  # share of a parent's firings that one of its children has at most
ENOUGH = 20  # test inputs of a sort, below which a parent does not count for absorption


class World:
    """Features with known directions; in the interface of `helpers.sae.train.Inputs`."""

    def __init__(self, seed: int = 0, device: torch.device | str = "cpu"):
        draw = torch.Generator().manual_seed(seed)
        n = FEATURES
        directions = torch.randn(n, DIMENSIONS, generator=draw)
        rate = 0.5 / torch.arange(1, n + 1)  # Zipf: (n,), falling
        self.parent = _trees(draw)  # (n,): −1 for roots and for features outside of trees
        self.choice, low, high = _choices(rate, self.parent)
        causes = 0.1 * torch.randn(int(self.choice.max()) + 1, 25, generator=draw)
        mean = torch.linspace(5, 4, n)
        std = (0.5 + 0.5 * torch.randn(n, generator=draw)).abs()
        self.directions = F.normalize(directions, dim=1).to(device)
        self.low, self.high, self.mean, self.std, self.causes = (
            part.to(device) for part in (low, high, mean, std, causes)
        )
        self.levels = [level.to(device) for level in _levels(self.parent)]  # from the roots on
        self.parent, self.choice = self.parent.to(device), self.choice.to(device)
        self.scale = 1.0
        norm = self.write(self.strengths(5000, seed=10**5)).norm(dim=1).mean()
        self.scale = (DIMENSIONS**0.5 / norm).item()

    def strengths(self, size: int, *, seed: int) -> Tensor:
        """How strongly each feature fires in so many drawn inputs, (size, n); mostly 0."""
        device = self.directions.device
        draw = torch.Generator(device).manual_seed(seed)
        normal = lambda width: torch.randn(size, width, generator=draw, device=device)
        own = (1 - self.causes.square().sum(1)).sqrt()  # so that z has variance 1
        z = normal(self.causes.shape[1]) @ self.causes.T + own * normal(len(own))
        u = torch.special.ndtr(z)[:, self.choice]  # (size, n), uniform in each column
        on = (u >= self.low) & (u < self.high)
        f = (self.mean + self.std * normal(len(self.mean))).relu() * on
        for members in self.levels:
            parents = self.parent[members]
            f[:, members] *= f[:, parents] / self.mean[parents]
        return f

    def write(self, f: Tensor) -> Tensor:
        """What a dictionary sees of strengths (B, n): x (B, N)."""
        return f @ self.directions * self.scale

    @cached_property
    def pool(self) -> Tensor:
        """Inputs (POOL, N) to train on, at mean norm √N: drawn once, they cost more than a step."""
        return torch.cat([self.write(self.strengths(5000, seed=s)) for s in range(POOL // 5000)])

    @cached_property
    def test(self) -> tuple[Tensor, Tensor]:
        """20,000 inputs (B, N) that no dictionary trains on, and which features are on (B, n)."""
        parts = [self.strengths(5000, seed=10**6 + s) for s in range(4)]
        return torch.cat([self.write(f) for f in parts]), torch.cat([f > 0 for f in parts])

    def batches(self, size: int, *, start: int = 0) -> Iterator[Tensor]:
        """Batches (size, N) of the pool for ever; each follows from its number."""
        while True:
            yield self.sample(size, seed=start)
            start += 1

    def sample(self, size: int, *, seed: int) -> Tensor:
        """Inputs (size, N) of the pool."""
        draw = torch.Generator().manual_seed(seed)
        return self.pool[torch.randint(POOL, (size,), generator=draw).to(self.pool.device)]


def _trees(draw: torch.Generator) -> Tensor:
    """Each feature's parent (n,), or −1: 8 roots, each member of a tree with four children.

    Members are drawn; the more frequent a member, the nearer it is to its root.
    """
    sizes = [ROOTS * CHILDREN**depth for depth in range(DEPTH + 1)]  # 8, 32, 128, 512
    members = torch.randperm(FEATURES, generator=draw)[: sum(sizes)].sort().values
    parent = torch.full((FEATURES,), -1)
    above, *below = members.split(sizes)
    for level in below:
        parent[level] = above.repeat_interleave(CHILDREN)
        above = level
    return parent


def _levels(parent: Tensor) -> list[Tensor]:
    """Children, grandchildren, … as places in (n,)."""
    levels, above = [], (parent < 0).nonzero().flatten()
    for _ in range(DEPTH):
        above = torch.isin(parent, above).nonzero().flatten()
        levels.append(above)
    return levels


def _choices(rate: Tensor, parent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Which uniform number each feature reads (n,), and between which bounds of it it fires.

    Siblings read the same number between bounds that follow on each other: one of them at most
    fires, where their parent does.
    """
    choice, low = torch.arange(len(rate)), torch.zeros(len(rate))
    high = rate.clone()
    for p in parent[parent >= 0].unique().tolist():
        siblings = (parent == p).nonzero().flatten()
        share = rate[siblings] / rate[p]
        share = share * (TOGETHER / share.sum()).clamp(max=1)
        choice[siblings] = siblings[0].clone()
        high[siblings] = share.cumsum(0)
        low[siblings] = high[siblings] - share
    return choice, low, high


# ---------------------------------------------------------------- how far a dictionary finds them


class Scores(NamedTuple):
    """One dictionary in the known world; shares, but for L0."""

    f1: float  # of latents as detectors of the feature that they are closest to
    f1_best: float  # the same, of the feature that their firings fit best
    mcc: float  # mean |cosine| of latents and features, matched one to one
    variance: float  # explained
    variance_free: float  # explained, if what fired could fire as strongly as fits best
    L0: float
    dead: float  # of latents
    absorbed: float  # how much oftener a parent is missed where a child fires with it
    unrelated: float  # the same, where a feature of another tree fires with it


def match(cosine: Tensor) -> tuple[Tensor, Tensor]:
    """Latents and features one to one, with the largest sum of |cosine|; cosine (M, n), M ≤ n.

    Returns each latent's feature and their |cosine|, (M,) each. Hungarian method, by scipy.
    """
    rows, columns = linear_sum_assignment(cosine.abs().cpu().numpy(), maximize=True)
    columns = torch.from_numpy(columns).to(cosine.device)
    return columns, cosine[range(len(rows)), columns].abs()


def rates(fired: Tensor, on: Tensor) -> tuple[Tensor, Tensor]:
    """Precision and recall (M,) of latents that fired (B, M) for features that are on (B, M)."""
    both = (fired & on).sum(0)
    return both / fired.sum(0).clamp(min=1), both / on.sum(0).clamp(min=1)


@torch.no_grad()
def score(sae: SparseAutoencoder, world: World, encode: Callable | None = None) -> Scores:
    """A dictionary's scores on the world's test inputs; encode: x (B, N) → f, if not its own."""
    x, on = world.test
    f = (encode or sae.eval().encode)(x)  # (B, M)
    fired = f > 0
    left, total = (part.square().sum() for part in (sae.decode(f) - x, x - x.mean(0)))
    cosine = F.normalize(sae.W_dec, dim=1) @ world.directions.T  # (M, n)
    feature, found = match(cosine)
    return Scores(
        f1(fired, on[:, cosine.abs().argmax(1)]).mean().item(),
        best_f1(fired, on).mean().item(),
        found.mean().item(),
        (1 - left / total).item(),
        free(x[:4000], f[:4000], sae),
        fired.float().sum(1).mean().item(),
        (~fired.any(0)).float().mean().item(),
        *absorbed(fired, on, feature, world),
    )


def f1(fired: Tensor, on: Tensor) -> Tensor:
    """F1 (M,) of latents that fired (B, M) for features that are on (B, M)."""
    precision, recall = rates(fired, on)
    return 2 * precision * recall / (precision + recall).clamp(min=1e-9)


def best_f1(fired: Tensor, on: Tensor) -> Tensor:
    """F1 (M,) for the feature that the firings (B, M) fit best, of on (B, n): directions count for
    nothing. Chosen on the first half of the inputs, measured on the second."""
    half = len(on) // 2
    both = fired[:half].float().T @ on[:half].float()  # (M, n)
    counts = fired[:half].sum(0)[:, None] + on[:half].sum(0)
    return f1(fired[half:], on[half:, (both / counts.clamp(min=1)).argmax(1)])


def free(x: Tensor, f: Tensor, sae: SparseAutoencoder) -> float:
    """Variance of x (B, N) explained by what fired in f (B, M), at the strengths that fit best."""
    best = f.topk(int((f > 0).sum(1).max()))  # (B, K)
    basis = sae.W_dec[best.indices] * (best.values > 0)[..., None]  # (B, K, N)
    wanted = (x - sae.b_dec)[..., None]
    gram = basis @ basis.mT + 1e-4 * torch.eye(basis.shape[1], device=x.device)
    left = wanted - basis.mT @ torch.linalg.solve(gram, basis @ wanted)
    return (1 - left.square().sum() / (x - x.mean(0)).square().sum()).item()


def absorbed(fired: Tensor, on: Tensor, feature: Tensor, world: World) -> tuple[float, float]:
    """Missed where a child fires with it, minus missed alone: the mean of parents with a latent.
    And the same with features of other trees, as often on with the parent, in the children's place.

    fired (B, M), on (B, n), feature (M,): each latent's. Chanin et al. 2024: the latent of "begins
    with S" is silent on "short", because the latent of "short" has taken its direction in. Only
    parents with ENOUGH inputs of each sort count.
    """
    gaps = []
    for latent, p in enumerate(feature.tolist()):
        children = (world.parent == p).nonzero().flatten()
        if len(children):
            here, missed = on[:, p], ~fired[:, latent]
            child = on[:, children].any(1)
            stand_ins = _unrelated(on[here].float().mean(0), children, world)
            other = on[:, stand_ins].any(1) & ~child
            sorts = here & child, here & ~child, here & other, here & ~child & ~other
            if min(sort.sum() for sort in sorts) >= ENOUGH:
                a, b, c, d = (missed[sort].float().mean() for sort in sorts)
                gaps.append(torch.stack([a - b, c - d]))
    return tuple(torch.stack(gaps).mean(0).tolist()) if gaps else (float("nan"),) * 2


def _unrelated(rate: Tensor, children: Tensor, world: World) -> Tensor:
    """For each child a feature of another tree of the nearest rate (n,); none twice."""
    root = torch.arange(len(rate), device=rate.device)
    for _ in range(DEPTH):
        root = torch.where(world.parent[root] >= 0, world.parent[root], root)
    allowed = root != root[children[0]]
    chosen = []
    for child in children:
        far = (rate - rate[child]).abs().masked_fill(~allowed, torch.inf)
        chosen.append(far.argmin())
        allowed[chosen[-1]] = False
    return torch.stack(chosen)


def pursue(x: Tensor, sae: SparseAutoencoder, k: int = L0) -> Tensor:
    """Matching pursuit: f (B, M). k times, take what is left over to its closest direction."""
    left = x - sae.b_dec
    f = x.new_zeros(len(x), len(sae.W_dec))
    for _ in range(k):
        along = left @ sae.W_dec.T  # (B, M)
        best = along.argmax(1, keepdim=True)
        value = along.gather(1, best).relu()
        f = f.scatter_add(1, best, value)
        left = left - value * sae.W_dec[best[:, 0]]
    return f
