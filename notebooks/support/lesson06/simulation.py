"""Attribution as a test: "does moving this feature up raise the output?", asked of networks."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from helpers.ground.errors import CourseError
from helpers.saliency.shapley import shapley
from notebooks.support.lesson06.attributions import gradient, integrated_gradients


class Trial(NamedTuple):
    """N networks, each at its own point. The baseline is zero, below every point."""

    f: Callable[[Tensor], Tensor]  # (..., N, d) -> (..., N)
    x: Tensor  # (N, d), features between 0.5 and 1.5


def random_networks(
    count: int, features: int, *, roughness: float, generator, hats: int = 32, device="cpu"
) -> Callable:
    """`count` random one-layer ReLU networks, evaluated together: (..., count, d) -> (..., count).

    Each is a sum of `hats` ridges of random direction, place and height; a ridge is three ReLUs
    (up, down, flat) and 2 / roughness wide. Roughness 0 means linear; the smallest others keep the
    bend at each ridge's top. generator: on the CPU.
    """
    shape = (count, hats, features)
    directions = torch.randn(shape, generator=generator).to(device)
    directions /= directions.norm(dim=-1, keepdim=True)
    centres = 3 * torch.rand(shape, generator=generator).to(device) - 0.5  # the cube and its border
    heights = torch.randn(shape[:2], generator=generator).to(device) / hats**0.5
    if roughness == 0:
        return lambda x: torch.einsum("...nd,nhd,nh->...n", x, directions, heights)

    def f(x: Tensor) -> Tensor:
        along = torch.einsum("...nd,nhd->...nh", x, directions)
        z = roughness * (along - (directions * centres).sum(-1))
        ridge = (z + 1).relu() - 2 * z.relu() + (z - 1).relu()  # (..., count, hats)
        return (ridge * heights).sum(-1)

    return f


def trial(count: int, *, roughness: float, generator, features: int = 3, device="cpu") -> Trial:
    """Draw `count` networks and a point for each."""
    f = random_networks(count, features, roughness=roughness, generator=generator, device=device)
    return Trial(f, 0.5 + torch.rand(count, features, generator=generator).to(device))


def changes(f, x: Tensor, feature: int, steps: Tensor) -> Tensor:
    """f(x + step) - f(x) when only `feature` moves. steps (K,) or (K, N) -> (K, N)."""
    move = torch.zeros(x.shape[-1], dtype=x.dtype, device=x.device)
    move[feature] = 1
    return f(x + steps.reshape(len(steps), -1, 1) * move) - f(x)


def average_change(f, x: Tensor, feature: int, *, reach: float) -> Tensor:
    """The mean change over 64 equal steps up to `reach`, (N,): its sign is the truth."""
    steps = reach * torch.arange(1, 65, dtype=x.dtype, device=x.device) / 64
    return changes(f, x, feature, steps).mean(0)


def queries(f, x: Tensor, feature: int, *, k: int, reach: float, generator) -> Tensor:
    """The mean change over k random steps, (N,): what one learns from k tries.

    Not the truth's own steps. generator: on the CPU.
    """
    steps = reach * torch.rand(k, len(x), generator=generator).to(x)
    return changes(f, x, feature, steps).mean(0)


def balanced(z: Tensor, x: Tensor, background: Tensor, gap: float = 0.1) -> Tensor:
    """A piece that no complete and linear attribution at x sees: 0 near x, mean 0 on background.

    It rises with slope 1 beyond x + gap and, so that its mean is 0, falls below x - gap.
    z (...,) or (..., N); x a number or (N,); background (M,) or (M, N). CourseError where nobody
    of the background lies below x - gap.
    """
    mean_beyond = (background - x - gap).relu().mean(0)
    mean_below = (x - gap - background).relu().mean(0)
    if (mean_below == 0).any():
        raise CourseError(
            f"nobody in the background lies below x - {gap:g}, so nothing balances the piece "
            "beyond x: take a background with people on both sides."
        )
    return (z - x - gap).relu() - mean_beyond / mean_below * (x - gap - z).relu()


def twins(f, x: Tensor, feature: int, background: Tensor, *, reach: float = 1.0) -> tuple:
    """Two functions with f's attributions at x; raising the feature raises one, lowers the other.

    A `balanced` piece is added to f or taken from it, large enough to turn the sign of the mean
    change. x (N, d); background (M, 1, d). After the constructions in Bilodeau et al. 2024.
    """

    def piece(points: Tensor) -> Tensor:
        return balanced(points[..., feature], x[:, feature], background[..., feature])

    turn = average_change(f, x, feature, reach=reach).abs() + 0.5
    weight = 2 * turn / average_change(piece, x, feature, reach=reach)  # (N,)
    return (lambda p: f(p) + weight * piece(p)), (lambda p: f(p) - weight * piece(p))


def evidence(t: Trial, *, reach: float, generator, ks=(1, 4), feature: int = 0) -> dict:
    """{method: one number a network, (N,)}: positive means "it will rise"."""
    zero, ahead, behind = torch.zeros_like(t.x), t.x.clone(), t.x.clone()
    ahead[:, feature] += reach  # the share is f(x) minus f ahead: −IG, its sign turned, advises
    behind[:, feature] = 0
    scores = {
        "IG": integrated_gradients(t.f, t.x, zero)[:, feature],
        "Shapley": shapley(t.f, t.x, zero)[:, feature],
        "gradient": gradient(t.f, t.x)[:, feature],
        "−IG, baseline ahead": -integrated_gradients(t.f, t.x, t.x + reach)[:, feature],
        "−IG, ahead in 1 only": -integrated_gradients(t.f, t.x, ahead)[:, feature],
        "IG, zero in 1 only": integrated_gradients(t.f, t.x, behind)[:, feature],
    }
    for k in ks:
        name = "1 query" if k == 1 else f"{k} queries"
        scores[name] = queries(t.f, t.x, feature, k=k, reach=reach, generator=generator)
    scores["output alone"] = -t.f(t.x)  # a high one falls
    return scores


def rates(says: Tensor, truth: Tensor) -> tuple[float, float]:
    """Sensitivity, the share of risers found, and specificity, the share of fallers found."""
    return says[truth].float().mean().item(), (~says[~truth]).float().mean().item()
