"""Grad-CAM: which places of a layer speak for the class; and its product with Guided Backprop."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch.nn.functional as F
from torch import Tensor, nn

from helpers.ground.errors import CourseError
from helpers.saliency import core
from helpers.saliency.core import Target, check, frozen_eval, wide
from helpers.saliency.guided import guided_backprop, is_scripted

Layer = str | nn.Module
Grid = tuple[int, int]  # rows and columns of a layer's places
MOST_PREFIX = 8  # a class token, a distillation token, registers


def grad_cam(
    model: nn.Module, inputs: Tensor, target: Target, *, layer: Layer, grid: Grid | None = None
) -> Tensor:
    """ReLU(Σ_k α_k A_k), α_k the mean of dS_c/dA_k over its places, enlarged to the picture.

    layer: a module or its name, with feature maps (B, K, h, w) or (B, h, w, K), or a transformer's
    tokens (B, T, K), of which the last h·w are the patches. In a transformer take a layer before
    the last attention: after it, the patches no longer reach the class token. grid: the layer's
    (h, w), where it does not have the picture's proportions. Returns (B, 1, H, W).
    Source: Selvaraju et al. 2017, eq. 1-2; slide D1-05.
    """
    x, target = check(model, inputs, target, images=True)
    module = find_layer(model, layer)
    if is_scripted(module):
        raise CourseError(
            "This layer is scripted or traced: it cannot be looked into. Use the nn.Module that "
            "the model was made from."
        )

    def one_batch(x, target):
        with output_of(module) as outputs:
            score = core.class_score(model, x, target)
        if not outputs:
            raise CourseError(f"The layer {layer!r} was not used for this score: choose another.")
        slope = core.derivative(score, at=outputs[-1])
        A = as_maps(wide(outputs[-1]), x, grid)  # (B, K, h, w)
        dA = as_maps(wide(slope), x, grid)  # (B, K, h, w)
        if slope.ndim == 3 and not dA.any():
            raise CourseError(
                "No gradient reaches this layer's patches: choose one before the last attention."
            )
        alpha = dA.mean(dim=(2, 3), keepdim=True)  # (B, K, 1, 1)
        cam = (alpha * A).sum(dim=1, keepdim=True).relu()  # (B, 1, h, w)
        return F.interpolate(cam, x.shape[2:], mode="bilinear", align_corners=False).detach()

    with frozen_eval(model):
        return core.in_batches(one_batch, x, target)


def guided_grad_cam(
    model: nn.Module, inputs: Tensor, target: Target, *, layer: Layer, grid: Grid | None = None
) -> Tensor:
    """Guided Backpropagation · Grad-CAM, pixel by pixel: (B, C, H, W).

    Source: Selvaraju et al. 2017, section 3.2; slide D1-06.
    """
    cam = grad_cam(model, inputs, target, layer=layer, grid=grid)
    return guided_backprop(model, inputs, target) * cam


def find_layer(model: nn.Module, layer: Layer) -> nn.Module:
    """The module of that name; a CourseError names the nearest ones where there is none."""
    modules = dict(model.named_modules())
    if isinstance(layer, nn.Module):
        if layer in modules.values():
            return layer
        raise CourseError(
            f"This {type(layer).__name__} is no part of the model: take it from "
            "model.named_modules()."
        )
    if layer in modules:
        return modules[layer]
    names = [name for name in modules if name]
    near = difflib.get_close_matches(str(layer), names, n=3, cutoff=0.4) or names[-3:]
    raise CourseError(
        f"The model has no layer {layer!r}; near it: {', '.join(near)}. model.named_modules() "
        "lists all."
    )


@contextmanager
def output_of(module: nn.Module) -> Iterator[list[Tensor]]:
    """Collects what the module puts out, while inside; gradients start there.

    With several outputs it is the first, the hidden states. EfficientNet-Lite0 takes 49 ms so,
    and 73 with gradients that go on to the pixels.
    """
    outputs: list[Tensor] = []

    def keep(_module, _inputs, output):
        items = dict(enumerate(output)) if isinstance(output, (tuple, list)) else output
        items = {0: output} if isinstance(output, Tensor) else items
        key = next(iter(items), None) if isinstance(items, Mapping) else None
        if key is None or not isinstance(items[key], Tensor):
            raise CourseError(
                f"This layer gives a {type(output).__name__} that does not begin with a tensor: "
                "choose a layer inside it."
            )
        outputs.append(items[key].detach().requires_grad_())
        copy = outputs[-1].clone()  # an in-place ReLU next gets the copy
        if isinstance(output, Tensor):
            return copy
        if isinstance(output, Mapping):  # Hugging Face's ModelOutput is one
            output[key] = copy
            return output
        if hasattr(output, "_replace"):  # a NamedTuple
            return output._replace(**{output._fields[0]: copy})
        return type(output)((copy, *output[1:]))

    handle = module.register_forward_hook(keep)
    try:
        yield outputs
    finally:
        handle.remove()


# ---- where a layer's places lie ----
def as_maps(features: Tensor, x: Tensor, grid: Grid | None) -> Tensor:
    """Feature maps or tokens of pictures x (B, C, H, W) as maps (B, K, h, w).

    Channels first or last, and how many tokens stand before the patches, follow from the picture's
    proportions, or from the grid. CourseError for what fits neither.
    """
    shape = tuple(features.shape)
    if features.ndim not in (3, 4) or shape[0] != len(x):
        raise CourseError(
            "Grad-CAM needs a layer with places, (B, K, h, w), (B, h, w, K) or tokens (B, T, K); "
            f"this one gives {shape} for {len(x)} pictures."
        )
    if features.ndim == 3:
        h, w = grid or patch_grid(shape[1], *x.shape[2:])
        if h * w > shape[1]:
            raise CourseError(f"A grid {h} x {w} needs {h * w} tokens; this layer has {shape[1]}.")
        return features[:, -h * w :].transpose(1, 2).unflatten(2, (h, w))
    first, last = (misfit(places, x, grid) for places in (shape[2:], shape[1:3]))
    if min(first, last) > 1:
        wanted = f"the grid {grid}" if grid else "the proportions of the picture"
        raise CourseError(
            f"A layer's maps {shape} have neither as (B, K, h, w) nor as (B, h, w, K) {wanted}: "
            "give grid=(h, w)."
        )
    return features if first <= last else features.permute(0, 3, 1, 2)


def misfit(places: Grid, x: Tensor, grid: Grid | None) -> float:
    """How many rows or columns more or fewer would give h x w places the picture's proportions."""
    h, w = places
    if grid:
        return 0.0 if (h, w) == tuple(grid) else float("inf")
    H, W = x.shape[2:]
    return min(abs(h - H * w / W), abs(w - W * h / H))


def patch_grid(tokens: int, H: int, W: int) -> Grid:
    """The (h, w) into which square patches cut the picture, with fewest tokens left before them."""
    cut = [(-(-H // p), -(-W // p)) for p in range(1, max(H, W) + 1)]  # padded to whole patches
    cut += [(H // p, W // p) for p in range(1, min(H, W) + 1)]  # or the rest left out
    fitting = [(h, w) for h, w in cut if tokens - MOST_PREFIX <= h * w <= tokens]
    if not fitting:
        raise CourseError(
            f"{tokens} tokens are no grid of square patches of a picture {H} x {W} after at most "
            f"{MOST_PREFIX} other tokens: give grid=(h, w)."
        )
    return max(fitting, key=lambda grid: grid[0] * grid[1])
