"""Guided Backpropagation: the gradient, except that on its way back it passes each ReLU only where it is positive."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from helpers.ground.errors import CourseError
from helpers.saliency.core import Target
from helpers.saliency.gradients import gradient

RELUS = {F.relu, F.relu6, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_}
CLIPS = {F.hardtanh, F.hardtanh_}  # nn.ReLU6 calls hardtanh(x, 0, 6)


class GuidedReLU(TorchFunctionMode):
    """Inside this context every ReLU has the guided backward pass, however the model spells it.

    The function is caught rather than its module: modules may be shared, and many models call F.relu directly.
    """

    def __init__(self):
        super().__init__()
        self.met = 0  # how many ReLUs were passed

    def __torch_function__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        if is_relu(function, args, kwargs or {}):
            self.met += 1
            if out.requires_grad:  # the ReLU's own backward pass then gates by 0 < x (< 6)
                out.register_hook(lambda grad: grad.clamp(min=0))
        return out


def is_relu(function, args: tuple, kwargs: dict) -> bool:
    lowest = kwargs.get("min_val", args[1] if len(args) > 1 else -1)
    return function in RELUS or (function in CLIPS and lowest == 0)


def guided_backprop(model: nn.Module, inputs: Tensor, target: Target) -> Tensor:
    """dS_c/dx with the backward pass of each ReLU replaced: g -> g · [x > 0] · [g > 0]. (B, C, H, W).

    For nn.ReLU, nn.ReLU6 and the functions behind them; raises CourseError where the model has none of these, since the
    map would be the plain gradient. Source: Springenberg et al. 2015, section 3.4; slide D1-05.
    """
    with GuidedReLU() as relus:
        attribution = gradient(model, inputs, target)
    if not relus.met:
        raise CourseError(
            "Guided Backpropagation changes what ReLUs do, and this model called none (GELU and SiLU are "
            "not ReLUs): the map would be the plain gradient. Use gradient() or smoothgrad()."
        )
    return attribution
