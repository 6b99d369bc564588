"""Grad-CAM: which places of a layer speak for the class. (Times Guided Backprop: slide D1-06.)"""

import difflib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

import torch.nn.functional as F
from torch import Tensor, nn

from helpers.ground.errors import CourseError
from helpers.saliency import core
from helpers.saliency.core import check, frozen_eval, wide
from helpers.saliency.guided import refuse_scripted

Layer = str | nn.Module
Grid = tuple[int, int]  # rows and columns of a layer's places
MOST_PREFIX = 8  # a class token, a distillation token, registers


def grad_cam(model, inputs, target, *, layer: Layer, grid: Grid | None = None) -> Tensor:
    """ReLU(Σ_k α_k A_k), α_k the mean of dS_c/dA_k over its places, enlarged to (B, 1, H, W).

    layer: a module or its name, with feature maps (B, K, h, w) or (B, h, w, K), or a transformer's
    tokens (B, T, K), the last h·w its patches; there, one before the last attention, after which
    the patches no longer reach the class token. grid: the layer's (h, w), where its proportions are
    not the picture's. Source: Selvaraju et al. 2017, eq. 1-2; slide D1-05.
    """
    x, target = check(model, inputs, target, images=True)
    module = find_layer(model, layer)
    refuse_scripted(module)

    def one_batch(x, target):
        with output_of(module) as outputs:
            score = core.class_score(model, x, target)
        if not outputs:
            raise CourseError(f"The layer {layer!r} was not used for this score: choose another.")
        refuse_no_places(model, module, outputs[-1])
        slope = core.derivative(score, at=outputs[-1])
        sides = patch_sides(model) if slope.ndim == 3 else ()
        A = as_maps(wide(outputs[-1]), x, grid, sides)  # (B, K, h, w)
        dA = as_maps(wide(slope), x, grid, sides)  # (B, K, h, w)
        if slope.ndim == 3 and not dA.any():
            raise CourseError("No gradient reaches it: choose a layer before the last attention.")
        alpha = dA.mean(dim=(2, 3), keepdim=True)  # (B, K, 1, 1)
        cam = (alpha * A).sum(dim=1, keepdim=True).relu()  # (B, 1, h, w)
        return F.interpolate(cam, x.shape[2:], mode="bilinear", align_corners=False).detach()

    with frozen_eval(model):
        return core.finite(core.in_batches(one_batch, x, target))


def find_layer(model: nn.Module, layer: Layer) -> nn.Module:
    """The module of that name; a CourseError names the nearest ones where there is none."""
    modules = dict(model.named_modules())
    if isinstance(layer, nn.Module):
        if layer in modules.values():
            return layer
        raise CourseError(f"This {type(layer).__name__} is no part of the model: give its name.")
    if isinstance(layer, str) and layer in modules:
        return modules[layer]
    names = [name for name in modules if name]
    near = difflib.get_close_matches(str(layer), names, n=3, cutoff=0.4) or names[-3:]
    hint = f"near it: {', '.join(near)}. model.named_modules() lists all"
    raise CourseError(f"The model has no layer {layer!r}; {hint}.")


@contextmanager
def output_of(module: nn.Module) -> Iterator[list[Tensor]]:
    """Collects what the module puts out (of several outputs the first); gradients start there."""
    outputs: list[Tensor] = []  # detached: EfficientNet takes 49 ms; 73 if gradients reach pixels

    def keep(_module, _inputs, output):
        several = isinstance(output, (tuple, list, Mapping))
        values = list(output.values() if isinstance(output, Mapping) else output) if several else []
        first = values[0] if values else output
        if not isinstance(first, Tensor):
            kind = type(output).__name__
            raise CourseError(f"This layer gives a {kind} without a tensor: choose one inside it.")
        outputs.append(first.detach().requires_grad_())
        copy = outputs[-1].clone()  # an in-place ReLU next gets the copy
        if isinstance(output, Tensor):
            return copy
        if isinstance(output, Mapping):  # Hugging Face's ModelOutput is one
            output[next(iter(output))] = copy
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
def refuse_no_places(model: nn.Module, layer: nn.Module, features: Tensor) -> None:
    """CourseError for what fits a picture by its shape alone: weights, and tokens out of order."""
    if features.ndim == 3 and any("Hiera" in type(m).__name__ for m in model.modules()):
        raise CourseError("Hiera's tokens do not stand in the picture's order: use occlusion().")
    passes_weights_on = isinstance(layer, (nn.Dropout, nn.Identity, nn.Softmax))
    if passes_weights_on and features.ndim == 4 and features.shape[2] == features.shape[3]:
        rows = wide(features.detach()).sum(3)  # (B, heads, T) of attention weights: all 1
        if (rows - 1).abs().max() < 0.02:
            what = f"This layer {tuple(features.shape)} gives attention weights"
            raise CourseError(f"{what}, who reads whom, and no places: see rollout(), relevance().")


def as_maps(features: Tensor, x: Tensor, grid: Grid | None, sides: Collection[int] = ()) -> Tensor:
    """Feature maps or tokens of pictures x (B, C, H, W) as maps (B, K, h, w).

    Channels first or last, and how many tokens stand before the patches, follow from the picture's
    proportions, or from the grid. CourseError for what fits neither.
    """
    shape = tuple(features.shape)
    pair = isinstance(grid, (tuple, list)) and len(grid) == 2
    if grid is not None and not (pair and all(type(n) is int and n > 0 for n in grid)):
        raise CourseError(f"A grid is (rows, columns) in whole numbers, not {grid!r:.60}.")
    if features.ndim not in (3, 4) or shape[0] != len(x):
        needs = "a layer with places, (B, K, h, w), (B, h, w, K) or tokens (B, T, K)"
        raise CourseError(f"Grad-CAM needs {needs}; this one gives {shape} for {len(x)} pictures.")
    if features.ndim == 3:
        h, w = grid or patch_grid(shape[1], *x.shape[2:], sides)
        if h * w > shape[1]:
            raise CourseError(f"A grid {h} x {w} needs {h * w} tokens; this layer has {shape[1]}.")
        return features[:, -h * w :].transpose(1, 2).unflatten(2, (h, w))
    first, last = (misfit(places, x, grid) <= 1 for places in (shape[2:], shape[1:3]))
    if first == last and not (first and (grid or len({*shape[1:]}) == 1)):  # a cube: torch's order
        wanted = f"the grid {grid}" if grid else "the proportions of the picture"
        how = "both as (B, K, h, w) and" if first else "neither as (B, K, h, w) nor"
        has = f"{how} as (B, h, w, K) {wanted}"
        raise CourseError(f"A layer's maps {shape} have {has}: give grid=(h, w).")
    return features if first else features.permute(0, 3, 1, 2)


def misfit(places: Grid, x: Tensor, grid: Grid | None) -> float:
    """How many rows or columns more or fewer would give h x w places the picture's proportions."""
    h, w = places
    if grid:
        return 0.0 if (h, w) == tuple(grid) else float("inf")
    H, W = x.shape[2:]
    return min(abs(h - H * w / W), abs(w - W * h / H))


def patch_sides(model: nn.Module) -> set[int]:
    """Pixels on a patch's side, as the model's convolutions cut them, and as merging doubles it."""
    convs = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    cut = {m.stride[0] for m in convs if m.kernel_size == m.stride and m.stride[0] > 1}
    return {side * 2**merged for side in cut for merged in range(6)}


def patch_grid(tokens: int, H: int, W: int, sides: Collection[int] = ()) -> Grid:
    """The one (h, w) into which square patches, of the smallest fitting side, cut the picture."""
    for some in (*([side] for side in sorted(sides)), range(1, max(H, W) + 1)):
        cuts = {(-(-H // p), -(-W // p)) for p in some}  # padded to whole patches
        cuts |= {(H // p, W // p) for p in some}  # or the rest left out
        fewest = max(1, tokens - MOST_PREFIX)
        fitting = sorted((h, w) for h, w in cuts if fewest <= h * w <= tokens)
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            break
    which = "more than one grid" if fitting else "no grid"
    such = f", such as {' or '.join(map(str, fitting))}" if fitting else ""
    patches = f"square patches of a picture {H} x {W} after at most {MOST_PREFIX} other tokens"
    raise CourseError(f"{tokens} tokens are {which} of {patches}: give grid=(h, w){such}.")
