"""Attribution as a test: "does moving this feature up raise the output?", asked of networks."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

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
    (up, down, flat) and 2 / roughness wide. Roughness 0 means linear; small roughness bends little
    inside the unit steps that the lesson asks about. generator: on the CPU.
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


def steps_up(reach: float, like: Tensor, grid: int = 64) -> Tensor:
    """`grid` equal steps up to and including `reach`, (grid,)."""
    return reach * torch.arange(1, grid + 1, dtype=like.dtype, device=like.device) / grid


def changes(f, x: Tensor, feature: int, steps: Tensor) -> Tensor:
    """f(x + step) - f(x) when only `feature` moves. steps (K,) or (K, N) -> (K, N)."""
    move = torch.zeros(x.shape[-1], dtype=x.dtype, device=x.device)
    move[feature] = 1
    return f(x + steps.reshape(len(steps), -1, 1) * move) - f(x)


def average_change(f, x: Tensor, feature: int, *, reach: float) -> Tensor:
    """The mean change over all steps up to `reach`, (N,): its sign is the truth to be guessed."""
    return changes(f, x, feature, steps_up(reach, x)).mean(0)


def queries(f, x: Tensor, feature: int, *, k: int, reach: float, generator) -> Tensor:
    """The mean change over k random steps, (N,): what a person learns from k tries.

    Not the truth's own steps. generator: on the CPU.
    """
    steps = reach * torch.rand(k, len(x), generator=generator).to(x)
    return changes(f, x, feature, steps).mean(0)


def twins(
    f, x: Tensor, feature: int, *, reach: float = 1.0, gap: float = 0.1
) -> tuple[Callable, Callable]:
    """Two functions with f's attributions at x; raising the feature raises one, lowers the other.

    One more ReLU is added to f or taken from it. It is silent until the feature exceeds its value
    in x by `gap`; the line from the baseline (below x), all coalitions and the gradient at x lie
    where it is silent. x (N, d). After the constructions in Bilodeau et al. 2024.
    """
    ramp = (steps_up(reach, x) - gap).relu().mean()
    size = average_change(f, x, feature, reach=reach).abs() + 0.5
    weight = 2 * size / ramp  # (N,): enough to turn the sign

    def extra(points: Tensor) -> Tensor:
        return weight * (points[..., feature] - x[..., feature] - gap).relu()

    return (lambda p: f(p) + extra(p)), (lambda p: f(p) - extra(p))


def evidence(
    t: Trial, *, reach: float, generator, ks=(1, 4, 16), feature: int = 0
) -> dict[str, Tensor]:
    """One number a method and network, (N,): positive means "it will rise"."""
    zero = torch.zeros_like(t.x)
    scores = {
        "gradient": gradient(t.f, t.x)[:, feature],
        "IG": integrated_gradients(t.f, t.x, zero)[:, feature],
        "Shapley": shapley(t.f, t.x, zero)[:, feature],
    }
    for k in ks:
        name = "1 query" if k == 1 else f"{k} queries"
        scores[name] = queries(t.f, t.x, feature, k=k, reach=reach, generator=generator)
    return scores


def score_card(score: Tensor, rises: Tensor) -> dict[str, float]:
    """How good a test `score > 0` is.

    Accuracy, sensitivity (risers found), specificity (fallers found), AUC over all thresholds.
    """
    score, rises = score.detach().cpu(), rises.cpu()
    says = score > 0
    return {
        "accuracy": (says == rises).float().mean().item(),
        "sensitivity": says[rises].float().mean().item(),
        "specificity": (~says[~rises]).float().mean().item(),
        "AUC": float(roc_auc_score(rises, score)),
    }
