"""The two sentences quoted on D1-23, as functions small enough to check by hand."""

from dataclasses import dataclass
from collections.abc import Callable

import torch
from torch import Tensor


def tent(z: Tensor) -> Tensor:
    """Up with slope 2 until z = 1, then down with slope -3: a network of two ReLUs."""
    return 2 * z.relu() - 5 * (z - 1).relu()


def vee(z: Tensor) -> Tensor:
    """Down with slope -1 until z = 1, then up with slope 1: vee(2) = vee(0). Two ReLUs again."""
    return 2 * (z - 1).relu() - z.relu()


@dataclass(frozen=True)
class Case:
    """One counterexample: `f` depends on the sum of its features, so each gets an equal share."""

    quote: str  # the sentence of D1-23 that it shows
    curve: Callable[[Tensor], Tensor]  # tent or vee
    point: tuple[float, ...]  # where the attribution is asked for; the baseline is zero
    attribution: float  # of every feature, by hand, for IG and for Shapley
    slope: float  # of every feature at the point, by hand

    def f(self, x: Tensor) -> Tensor:
        """(..., N, d) -> (..., N)."""
        return self.curve(x.sum(-1))

    @property
    def x(self) -> Tensor:
        """The point, (1, d)."""
        return torch.tensor([self.point])


_POSITIVE = (
    "positive feature attribution does not, in general, imply that increasing the feature will "
    "increase the model output"
)
_ZERO = (
    "zero feature attribution does not, in general, imply that the model output is insensitive to "
    "changes in the feature"
)
CASES = {
    "positive, 1 feature": Case(_POSITIVE, tent, (1.5,), attribution=0.5, slope=-3),
    "positive, 2 features": Case(_POSITIVE, tent, (0.75, 0.75), attribution=0.25, slope=-3),
    "zero, 1 feature": Case(_ZERO, vee, (2.0,), attribution=0, slope=1),
    "zero, 2 features": Case(_ZERO, vee, (1.0, 1.0), attribution=0, slope=1),
}
