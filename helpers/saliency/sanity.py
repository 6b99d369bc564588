"""Sanity checks: does a map change when what the network has learned is destroyed?

Layers get random weights, from the output down (cascading) or one at a time (independent), and the
maps before and after are compared. Source: Adebayo et al. 2018, sections 3 and 4; slide D1-09.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import chain

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from helpers.ground.errors import CourseError, checked, shown
from helpers.ground.stats import spearman
from helpers.saliency.cam import find_layer
from helpers.saliency.core import Method, as_tensor, refuse_unfit
from helpers.saliency.metrics import magnitude

NO_NUMBERS = ("torch.float8_e8m0fnu", "torch.float4_e2m1fn_x2")  # scales alone, two in one
Layer = str | Sequence[str]  # a module's name, or the names of several that fall together


# ---- destroying what was learned ----
def layers_of(model: nn.Module) -> list[str]:
    """All layers with weights of their own, as they stand; first the model's own (class tokens)."""
    refuse_unfit(model)
    top = [name for name, _ in model.named_parameters(recurse=False)]
    parts = list(model.named_modules())[1:]
    return top + [name for name, part in parts if list(part.parameters(recurse=False))]


@torch.no_grad()
def reset(module: nn.Module) -> None:
    """New weights for the module and all its parts: nothing that was learned is left.

    1. Each part's own initialiser draws (`reset_parameters`); a norm without one forgets its
       running statistics.
    2. What no initialiser has reached or moved (class tokens, positions, LayerScale, parametrised
       weights) is drawn from a Gaussian as large as it was; a spectral norm's vectors follow. Other
       buffers, such as tables and masks, stay; where one could be learned, a warning names it.
    """
    refuse_unfit(module)
    real = lambda p: p.is_floating_point() or p.is_complex()
    drawn = lambda p: real(p) and str(p.dtype) not in NO_NUMBERS
    weights = [(name, p) for name, p in module.named_parameters() if drawn(p)]
    trained = {name: p.clone() for name, p in weights}
    if not trained and not hasattr(module, "running_var"):
        what = f"{type(module).__name__} has no weights to randomise"
        raise CourseError(f"{what}; layers_of(model) lists the layers that do.")
    others = {name: b.clone() for name, b in numbers_of(module) if name not in trained}
    modes = {part: part.training for part in module.modules()}
    module.eval()  # an initialiser that looks at a spectral norm's weight does not move its vectors
    for _, p in weights:
        p.fill_(torch.nan)  # whatever is still nan below has not been drawn
    for part in module.modules():
        own = getattr(part, "reset_parameters", getattr(part, "_reset_parameters", None))
        if own is not None:
            with suppress(Exception):  # it wants arguments, or real weights: drawn below
                own()
        elif getattr(part, "running_var", None) is not None:
            part.running_mean.zero_()
            part.running_var.fill_(1)
    for name, p in weights:
        if p.isnan().any() or (p.equal(trained[name]) and bits(p).unique().numel() > 2):
            size = float(trained[name].abs().double().square().mean().sqrt())
            p.copy_((p.float() if p.itemsize == 1 else p).normal_(0, size or 0.02))
    for part in module.modules():
        settle(part)
    for part, mode in modes.items():
        part.training = mode
    kept = [
        name
        for name, now in numbers_of(module)
        if name in others and bits(now).equal(bits(others[name]))
        if isinstance(now, nn.Parameter)
        or (now.is_floating_point() and bits(now).unique().numel() > 2)
    ]
    if kept:
        warnings.warn(f"Kept, as they cannot be drawn: {', '.join(kept)}.", stacklevel=4)


def bits(values: Tensor) -> Tensor:
    """Numbers of one byte as whole ones, which torch can compare; others as they are."""
    return values.view(torch.uint8) if values.itemsize == 1 else values


def settle(part: nn.Module, steps: int = 30) -> None:
    """Power iterations, as training makes them: a spectral norm's vectors follow new weights."""
    parametrised = getattr(part, "parametrizations", nn.ModuleDict()).train()
    hooks = [h for h in part._forward_pre_hooks.values() if hasattr(h, "n_power_iterations")]
    for _ in range(steps if parametrised or hooks else 0):
        for name in parametrised:
            getattr(part, name)
        for hook in hooks:  # torch's older spectral_norm
            hook.compute_weight(part, do_power_iteration=True)


@checked
@contextmanager
def randomised(
    model: nn.Module, layers: Sequence[Layer], *, seed: int = 0, initialise: Callable = reset
) -> Iterator[nn.Module]:
    """Inside, these layers are random; afterwards, also after an error, all weights are back.

    A layer's random weights follow from the seed and its name: they are the same for every method,
    alone or in a cascade, on every device. initialise: what is done to a layer, in place.
    """
    refuse_unfit(model)
    saved = {name: value.detach().clone() for name, value in numbers_of(model)}
    names = [name for layer in as_list(layers) for name in as_list(layer)]
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            for name in names:
                place = seed + sum(ord(c) * 31**i for i, c in enumerate(name)) % 2**40
                torch.default_generator.manual_seed(place)  # the CPU's alone
                randomise(model, name, initialise)
        yield model
    finally:
        with torch.no_grad():
            for name, value in numbers_of(model):
                value.copy_(saved[name])


def numbers_of(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """All weights and buffers by their names, also those that a state_dict leaves out."""
    return chain(model.named_parameters(), model.named_buffers())


def as_list(layers: str | Sequence) -> list:
    """Names as a list, also a single one."""
    if not isinstance(layers, (str, Sequence)):
        raise CourseError(f"Layers are given by their names, not as {shown(layers)}.")
    return [layers] if isinstance(layers, str) else list(layers)


def randomise(model: nn.Module, name: str, initialise: Callable) -> None:
    """Give one layer, or one of the model's own weights, random values drawn on the CPU."""
    own = dict(model.named_parameters(recurse=False))
    part = nn.ParameterList([own[name].cpu()]) if name in own else find_layer(model, name)
    device = next(part.parameters(), torch.empty(0)).device
    try:
        initialise(part.cpu())
    finally:
        part.to(device)
    if name in own:
        own[name].copy_(part[0])


@checked
def cascade(
    model, layers, method: Method, inputs, target, *, independent=False, seed=0, initialise=reset
) -> Tensor:
    """Maps by method(model, inputs, target), trained and as its layers fall: (1 + L, B, ...).

    layers: in the order in which they fall, usually from the output down. independent: only the
    l-th layer is random, and all others are as trained.
    """
    layers = as_list(layers)
    maps = [method(model, inputs, target)]
    for depth in range(len(layers)):
        fallen = layers[depth if independent else 0 : depth + 1]
        with randomised(model, fallen, seed=seed, initialise=initialise):
            maps.append(method(model, inputs, target))
    return torch.stack(maps)


# ---- are two maps alike? (B, C, H, W), (B, C, H, W) -> (B,), on the maps' device ----
def rank_correlation(a: Tensor, b: Tensor) -> Tensor:
    """Spearman's ρ of the magnitudes: signs do not count. nan where a map is constant."""
    return spearman(*two(a, b, magnitude))


def signed_correlation(a: Tensor, b: Tensor) -> Tensor:
    """Spearman's ρ of the maps with their signs, channels summed."""
    return spearman(*two(a, b, lambda m: as_tensor(m, 4).sum(dim=1)))


def structural(a: Tensor, b: Tensor) -> Tensor:
    """SSIM of the magnitudes, each stretched to 0 … 1: local patterns count. Wang et al. 2004."""
    from skimage.metrics import structural_similarity

    a, b = two(a, b, magnitude)
    if min(a.shape[1:]) < 11:
        raise CourseError(f"SSIM compares windows of 11 x 11 pixels; these maps: {tuple(a.shape)}.")
    return each(partial(structural_similarity, gaussian_weights=True, data_range=1.0), a, b)


@checked
def edges(a: ArrayLike, b: ArrayLike, *, cell: int | None = None) -> Tensor:
    """Spearman's ρ of the maps' histograms of oriented gradients; cell: 16 pixels, or a quarter."""
    from skimage.feature import hog

    a, b = two(a, b, magnitude)
    cell = cell or max(1, min(16, a.shape[-1] // 4))
    if 3 * cell > min(a.shape[1:]):  # a block of HOG
        raise CourseError(f"HOG compares 3 x 3 cells of {cell} pixels; maps: {tuple(a.shape)}.")
    features = [each(lambda p: hog(p, pixels_per_cell=(cell, cell)), m) for m in (a, b)]
    return spearman(*features)  # of (B, F) each


SIMILARITIES = {"|Spearman|": rank_correlation, "signed Spearman": signed_correlation}
SIMILARITIES |= {"SSIM": structural, "HOG": edges}


def two(a, b, reduce: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Both stacks of maps as (B, H, W), one map for all; CourseError where they differ in size."""
    a, b = reduce(a), reduce(b)
    many = max(len(a), len(b))
    if a.shape[1:] != b.shape[1:] or not {len(a), len(b)} <= {1, many}:
        raise CourseError(f"Maps {tuple(a.shape)} and {tuple(b.shape)} are not of one size.")
    return a.expand(many, -1, -1), b.expand(many, -1, -1)


def each(compare: Callable, *maps: Tensor) -> Tensor:
    """compare(p, …) of each picture's maps (H, W), stretched to 0 … 1, by NumPy."""
    pictures = []
    for m in maps:  # a constant one becomes 0
        m = (m - m.amin(dim=(1, 2), keepdim=True)).cpu().double()
        largest = m.amax(dim=(1, 2), keepdim=True)
        pictures.append((m / largest.clamp_min(torch.finfo(m.dtype).tiny)).numpy())
    values = np.array([compare(*row) for row in zip(*pictures, strict=True)])
    exact = torch.float32 if maps[0].device.type == "mps" else torch.float64
    return torch.from_numpy(values).to(exact).to(maps[0].device)
