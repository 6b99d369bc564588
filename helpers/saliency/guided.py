"""Guided Backpropagation: the gradient, but each ReLU passes back only what is positive."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from helpers.ground.errors import CourseError
from helpers.saliency.core import Target
from helpers.saliency.gradients import gradient

RELUS = {F.relu, F.relu6, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_}
CLIPS = {  # ReLUs where the lower bound is 0; nn.ReLU6 calls hardtanh(x, 0, 6)
    *(F.hardtanh, F.hardtanh_),
    *(torch.clamp, torch.clamp_, torch.clip, torch.clip_, torch.clamp_min, torch.clamp_min_),
    *(Tensor.clamp, Tensor.clamp_, Tensor.clip, Tensor.clip_, Tensor.clamp_min, Tensor.clamp_min_),
}


class GuidedReLU(TorchFunctionMode):
    """Inside this context every ReLU has the guided backward pass.

    The function is caught rather than its module: modules may be shared, and many models call
    F.relu or clamp(min=0) directly. A product such as x * (x > 0) is not recognised.
    """

    def __init__(self):
        super().__init__()
        self.met = 0  # how many ReLUs were passed

    def __torch_function__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        if is_relu(function, args, kwargs or {}):
            self.met += 1
            if out.requires_grad:  # the ReLU's own backward pass then gates by 0 < x (< 6)
                out.register_hook(lambda grad: grad.clamp_min(0))
        return out


def is_relu(function, args: tuple, kwargs: dict) -> bool:
    """Whether this call cuts off below 0 and nowhere else from below."""
    if function not in CLIPS:
        return function in RELUS or (function in (F.threshold, F.threshold_) and args[1:] == (0, 0))
    default = -1 if function in (F.hardtanh, F.hardtanh_) else None
    lowest = args[1] if len(args) > 1 else kwargs.get("min_val", kwargs.get("min", default))
    return isinstance(lowest, (int, float)) and lowest == 0


def is_scripted(model: nn.Module) -> bool:
    """Whether the model, or a part of it, runs as TorchScript, where nothing can be caught."""
    return any(isinstance(part, torch.jit.ScriptModule) for part in model.modules())


def guided_backprop(model: nn.Module, inputs: Tensor, target: Target) -> Tensor:
    """dS_c/dx with the backward pass of each ReLU replaced: g -> g · [x > 0] · [g > 0].

    For nn.ReLU, nn.ReLU6, the functions behind them and clamp(min=0). Returns (B, C, H, W).
    CourseError where the model has none of these: the map would be the plain gradient.
    Source: Springenberg et al. 2015, section 3.4; slide D1-05.
    """
    with GuidedReLU() as relus:
        attribution = gradient(model, inputs, target)
    if is_scripted(model):
        raise CourseError(
            "This model is scripted or traced: what its ReLUs do cannot be changed from outside. "
            "Use the nn.Module that it was made from."
        )
    if not relus.met:
        raise CourseError(
            "Guided Backpropagation changes what ReLUs do, and this model called none (GELU and "
            "SiLU are not ReLUs): the map would be the plain gradient. Use gradient() or "
            "smoothgrad()."
        )
    return attribution
