"""Grad-CAM: which places of a layer's feature maps speak for the class; and its product with Guided Backpropagation."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from contextlib import contextmanager
from math import isqrt

import torch.nn.functional as F
from torch import Tensor, nn

from helpers.ground.errors import CourseError
from helpers.ground.runtime import in_chunks
from helpers.saliency.core import Target, check, chunk_size, class_score, derivative, undisturbed
from helpers.saliency.guided import guided_backprop


def grad_cam(
    model: nn.Module,
    inputs: Tensor,
    target: Target,
    *,
    layer: str | nn.Module,
    grid: tuple[int, int] | None = None,
) -> Tensor:
    """ReLU(Σ_k α_k A_k) with α_k the mean of dS_c/dA_k over its places, enlarged to the input. (B, 1, H, W).

    layer: a module or its name, with feature maps (B, K, h, w) or a transformer's tokens (B, T, K); of the tokens the
    last h·w are the patches. grid: their (h, w), where it is not square. In a transformer take a layer before the last
    attention: after it, the patches no longer reach the class token. Source: Selvaraju et al. 2017, eq. 1-2; D1-05.
    """
    x, target = check(inputs, target, images=True)
    module = find_layer(model, layer)

    def one_chunk(x, target):
        with output_of(module) as outputs:
            score = class_score(model, x, target)
        if not outputs:
            raise CourseError(
                f"The layer {layer!r} was not used for this score: choose one on the way to it."
            )
        A, dA = (
            as_maps(outputs[-1], grid),
            as_maps(derivative(score, at=outputs[-1]), grid),
        )  # (B, K, h, w) each
        if outputs[-1].ndim == 3 and not dA.any():
            raise CourseError(
                "No gradient reaches this layer's patches: choose a layer before the last attention."
            )
        alpha = dA.mean(dim=(2, 3), keepdim=True)  # (B, K, 1, 1)
        cam = (alpha * A).sum(dim=1, keepdim=True).relu()  # (B, 1, h, w)
        return F.interpolate(cam, x.shape[2:], mode="bilinear", align_corners=False).detach()

    with undisturbed(model):
        return in_chunks(one_chunk, x, target, chunk=chunk_size(x))


def guided_grad_cam(
    model: nn.Module, inputs: Tensor, target: Target, *, layer: str | nn.Module
) -> Tensor:
    """Guided Backpropagation · Grad-CAM, pixel by pixel: (B, C, H, W). Source: Selvaraju et al. 2017, section 3.2; D1-06."""
    return guided_backprop(model, inputs, target) * grad_cam(model, inputs, target, layer=layer)


def find_layer(model: nn.Module, layer: str | nn.Module) -> nn.Module:
    """The module of that name; a CourseError names the nearest ones where there is none."""
    modules = dict(model.named_modules())
    if isinstance(layer, nn.Module) and layer in modules.values():
        return layer
    if layer in modules:
        return modules[layer]
    if isinstance(layer, nn.Module):
        raise CourseError(
            f"This {type(layer).__name__} is no part of the model: take it from model.named_modules()."
        )
    names = [name for name in modules if name]
    near = difflib.get_close_matches(str(layer), names, n=3, cutoff=0.4) or names[-3:]
    raise CourseError(
        f"The model has no layer {layer!r}; near it: {', '.join(near)}. model.named_modules() lists all."
    )


@contextmanager
def output_of(module: nn.Module) -> Iterator[list[Tensor]]:
    """Collects what the module puts out, while inside; gradients start there (EfficientNet-Lite0: 49 ms instead of 73)."""
    outputs: list[Tensor] = []

    def keep(_module, _inputs, output):
        first, *rest = (output,) if isinstance(output, Tensor) else output
        outputs.append(first.detach().requires_grad_())
        copy = outputs[-1].clone()  # an in-place ReLU next gets the copy
        return copy if isinstance(output, Tensor) else (copy, *rest)

    handle = module.register_forward_hook(keep)
    try:
        yield outputs
    finally:
        handle.remove()


def as_maps(features: Tensor, grid: tuple[int, int] | None) -> Tensor:
    """Feature maps as they are; tokens (B, T, K), class token and registers first, as maps (B, K, h, w)."""
    if features.ndim == 4:
        return features
    if features.ndim != 3:
        raise CourseError(
            f"Grad-CAM needs a layer with places, (B, K, h, w) or tokens (B, T, K); this one gives "
            f"{tuple(features.shape)}."
        )
    h, w = grid or [isqrt(features.shape[1])] * 2
    if h * w > features.shape[1]:
        raise CourseError(
            f"A grid of {h} x {w} needs {h * w} tokens; this layer has {features.shape[1]}."
        )
    return features[:, -h * w :].transpose(1, 2).unflatten(2, (h, w))
