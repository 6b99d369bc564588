"""Guided Backpropagation: the gradient, but each ReLU passes back only what is positive."""

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
    """Inside, each ReLU has the guided backward pass, also where a model calls F.relu or clamp."""

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


def refuse_scripted(model) -> None:
    """CourseError where a part of the model runs as TorchScript: nothing can be caught in it."""
    parts = model.modules() if isinstance(model, nn.Module) else ()
    if any(isinstance(part, torch.jit.ScriptModule) for part in parts):
        raise CourseError("This model is scripted or traced: use the nn.Module it was made from.")


def guided_backprop(model: nn.Module, inputs: Tensor, target: Target) -> Tensor:
    """dS_c/dx with the backward pass of each ReLU replaced: g -> g · [x > 0] · [g > 0].

    For nn.ReLU, nn.ReLU6, the functions behind them and clamp(min=0); CourseError where there is
    none. (B, C, H, W). Source: Springenberg et al. 2015, section 3.4; slide D1-05.
    """
    refuse_scripted(model)
    with GuidedReLU() as relus:
        attribution = gradient(model, inputs, target)
    if not relus.met:
        none = "and this model called none (GELU and SiLU are not ReLUs). Use gradient()"
        raise CourseError(f"Guided Backpropagation changes what ReLUs do, {none}.")
    return attribution
