"""Sanity checks: does a map change when what the network has learned is destroyed?

Layers are given random weights, one after the other from the output down (cascading) or one at a
time (independent), and the maps before and after are compared. For random labels, train a network
on them and compare its maps. Source: Adebayo et al. 2018, sections 3 and 4; slide D1-09.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from helpers.ground.errors import CourseError
from helpers.ground.stats import spearman
from helpers.saliency.cam import find_layer
from helpers.saliency.core import Target, wide
from helpers.saliency.metrics import magnitude

Layer = str | Sequence[str]  # a module's name, or the names of several that fall together


# ---- destroying what was learned ----
def layers_of(model: nn.Module) -> list[str]:
    """The names of all layers with weights of their own, in the order in which they stand.

    Weights that belong to the model itself, such as a class token, have their own names.
    """
    top = [name for name, _ in model.named_parameters(recurse=False)]
    parts = list(model.named_modules())[1:]
    return top + [
        name for name, part in parts if next(part.parameters(recurse=False), None) is not None
    ]


def reset(module: nn.Module) -> None:
    """New weights for the module and all its parts: nothing that was learned is left.

    1. Each part's own initialiser draws (`reset_parameters`); a norm without one forgets its
       running statistics.
    2. What no initialiser has reached (class tokens, positions, LayerScale, parametrised weights)
       is drawn by `redraw`. Buffers that hold no statistics, such as masks, stay.
    """
    trained = {name: p.detach().clone() for name, p in module.named_parameters()}
    if not trained and not hasattr(module, "running_var"):
        raise CourseError(
            f"{type(module).__name__} has no weights to randomise; layers_of(model) lists the "
            "layers that do."
        )
    for p in module.parameters():
        p.fill_(torch.nan)  # whatever is still nan below has not been drawn
    for part in module.modules():
        own = getattr(part, "reset_parameters", getattr(part, "_reset_parameters", None))
        if own is not None:
            own()
        elif getattr(part, "running_var", None) is not None:
            part.running_mean.zero_()
            part.running_var.fill_(1)
    for name, p in module.named_parameters():
        if p.isnan().any():
            redraw(p, trained[name])


def redraw(p: Tensor, trained: Tensor) -> None:
    """Gaussian numbers as large as the trained ones (their root mean square; 0.02 if all are 0)."""
    size = float(trained.double().square().mean().sqrt())
    p.normal_(0, size or 0.02)


def shuffle(module: nn.Module) -> None:
    """Its own weights in random order: a deep network's signal neither dies nor explodes.

    Buffers, such as a norm's running statistics, stay. CourseError where the order changes nothing.
    """
    same = True
    for p in module.parameters():
        mixed = p.flatten()[torch.randperm(p.numel())].view_as(p)
        same = same and torch.equal(p, mixed)
        p.copy_(mixed)
    if same:
        raise CourseError(
            f"{type(module).__name__} has no weights to shuffle: all that it has are equal. Use "
            "initialise=reset."
        )


@contextmanager
def randomised(
    model: nn.Module, layers: Sequence[Layer], *, seed: int = 0, initialise: Callable = reset
) -> Iterator[nn.Module]:
    """Inside, these layers are random; afterwards, also after an error, all weights are back.

    A layer's random weights follow from the seed and its name: they are the same for every method,
    alone or in a cascade, on every device. initialise: `reset` or `shuffle`; called on the CPU.
    """
    saved = {name: value.detach().clone() for name, value in model.state_dict().items()}
    names = [name for layer in layers for name in ([layer] if isinstance(layer, str) else layer)]
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            for name in names:
                place = seed + sum(ord(c) * 31**i for i, c in enumerate(name)) % 2**40
                torch.default_generator.manual_seed(place)  # the CPU's alone
                randomise(model, name, initialise)
        yield model
    finally:
        model.load_state_dict(saved)


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


def cascade(
    model: nn.Module,
    layers: Sequence[Layer],
    method: Callable[..., Tensor],
    inputs: Tensor,
    target: Target,
    *,
    independent: bool = False,
    seed: int = 0,
    initialise: Callable = reset,
) -> Tensor:
    """Maps of the trained model, then as its layers fall, from method(model, inputs, target).

    layers: in the order in which they fall, usually from the output down. independent: only the
    l-th layer is random, and all others are as trained. Returns (1 + L, B, ...); the model is given
    back as it was.
    """
    maps = [method(model, inputs, target)]
    for depth in range(len(layers)):
        fallen = layers[depth if independent else 0 : depth + 1]
        with randomised(model, fallen, seed=seed, initialise=initialise):
            maps.append(method(model, inputs, target))
    return torch.stack(maps)


# ---- are two maps alike? (B, C, H, W), (B, C, H, W) -> (B,), on the maps' device ----
def rank_correlation(a: Tensor, b: Tensor) -> Tensor:
    """Spearman's ρ of the magnitudes, channels summed: signs do not count.

    nan where a map is constant or holds nan.
    """
    return spearman(magnitude(a), magnitude(b))


def signed_correlation(a: Tensor, b: Tensor) -> Tensor:
    """Spearman's ρ of the maps with their signs, channels summed."""
    return spearman(wide(a).sum(dim=1), wide(b).sum(dim=1))


def structural(a: Tensor, b: Tensor) -> Tensor:
    """SSIM of the magnitudes, each stretched to 0 … 1: local patterns count, one by one.

    Gaussian weights. Source: Wang et al. 2004.
    """
    from skimage.metrics import structural_similarity

    def ssim(p, q):
        return structural_similarity(p, q, gaussian_weights=True, data_range=1.0)

    return each(ssim, a, b)


def edges(a: Tensor, b: Tensor, *, cell: int | None = None) -> Tensor:
    """Spearman's ρ of the maps' histograms of oriented gradients.

    cell: pixels; by default the paper's 16, or a quarter of small maps.
    """
    from skimage.feature import hog

    cell = cell or min(16, a.shape[-1] // 4)
    features = [each(lambda p: hog(p, pixels_per_cell=(cell, cell)), m) for m in (a, b)]
    return spearman(*features)  # of (B, F) each


SIMILARITIES = {
    "|Spearman|": rank_correlation,
    "signed Spearman": signed_correlation,
    "SSIM": structural,
    "HOG": edges,
}


def each(compare: Callable, *maps: Tensor) -> Tensor:
    """compare(p, …) of each picture's maps, as magnitudes (H, W) stretched to 0 … 1, by NumPy."""
    pictures = [stretched(magnitude(m)).detach().cpu().numpy() for m in maps]
    values = np.array([compare(*row) for row in zip(*pictures, strict=True)])
    exact = torch.float32 if maps[0].device.type == "mps" else torch.float64
    return torch.from_numpy(values).to(exact).to(maps[0].device)


def stretched(m: Tensor) -> Tensor:
    """(B, H, W) from its lowest to its highest value, as 0 … 1; a constant map becomes 0."""
    m = (m - m.amin(dim=(1, 2), keepdim=True)).cpu().double()
    return m / m.amax(dim=(1, 2), keepdim=True).clamp_min(torch.finfo(m.dtype).tiny)
