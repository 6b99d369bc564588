"""The two sentences quoted on D1-23, as functions small enough to check by hand."""

from collections.abc import Callable
from dataclasses import dataclass

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


CASES = {
    "tent, 1 feature": Case(tent, (1.5,), attribution=0.5, slope=-3),
    "tent, 2 features": Case(tent, (0.75, 0.75), attribution=0.25, slope=-3),
    "vee, 1 feature": Case(vee, (2.0,), attribution=0, slope=1),
    "vee, 2 features": Case(vee, (1.0, 1.0), attribution=0, slope=1),
}
