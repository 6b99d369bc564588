"""Sanity checks: does a map change when what the network has learned is destroyed? Layers are given random weights, one after
the other from the output down (cascading) or one at a time (independent), and the maps before and after are compared.

Source: Adebayo et al. 2018, sections 3 and 4; slide D1-09. For random labels, train a network on them and compare its maps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor, nn

from helpers.ground.errors import CourseError
from helpers.saliency.cam import find_layer
from helpers.saliency.core import Target
from helpers.saliency.metrics import magnitude

Layer = str | Sequence[str]  # a module's name, or the names of several that fall together


# ---- destroying what was learned ----------------------------------------------------------------------------------------
def layers_of(model: nn.Module) -> list[str]:
    """The names of all modules with weights of their own, from the input to the output (as they are registered)."""
    return [
        name
        for name, module in model.named_modules()
        if any(True for _ in module.parameters(recurse=False))
    ]


def reset(module: nn.Module) -> None:
    """New weights from the layer's own initialiser, for the module and all its parts."""
    parts = [part for part in module.modules() if hasattr(part, "reset_parameters")]
    if not parts:
        raise CourseError(
            f"{type(module).__name__} has no weights to randomise; layers_of(model) lists the layers that do."
        )
    for part in parts:
        part.reset_parameters()


def shuffle(module: nn.Module) -> None:
    """Its own weights in random order: the same sizes, so that a deep network's signal neither dies nor explodes."""
    for p in module.parameters():
        p.copy_(p.flatten()[torch.randperm(p.numel()).to(p.device)].view_as(p))


@contextmanager
def randomised(
    model: nn.Module,
    layers: Sequence[Layer],
    *,
    seed: int = 0,
    initialise: Callable[[nn.Module], None] = reset,
) -> Iterator[nn.Module]:
    """Inside, these layers are random; afterwards, also after an error, the model has all its weights back.

    A layer's random weights follow from the seed and its name: they are the same for every method, alone or in a cascade.
    """
    saved = {name: value.detach().clone() for name, value in model.state_dict().items()}
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            for name in (name for layer in layers for name in names_in(layer)):
                torch.manual_seed(seed + sum(ord(c) * 31**i for i, c in enumerate(name)) % 2**40)
                initialise(find_layer(model, name))
        yield model
    finally:
        model.load_state_dict(saved)


def names_in(layer: Layer) -> Sequence[str]:
    return [layer] if isinstance(layer, str) else layer


def cascade(
    model: nn.Module,
    layers: Sequence[Layer],
    method: Callable[..., Tensor],
    inputs: Tensor,
    target: Target,
    *,
    independent: bool = False,
    seed: int = 0,
    initialise: Callable[[nn.Module], None] = reset,
) -> Tensor:
    """Maps of the trained model, then as its layers fall: (1 + L, B, ...), from method(model, inputs, target).

    layers: in the order in which they fall, usually from the output down. independent: only the l-th layer is random,
    and all others are as trained. The model is given back as it was.
    """
    maps = [method(model, inputs, target)]
    for depth in range(len(layers)):
        with randomised(
            model, layers[depth if independent else 0 : depth + 1], seed=seed, initialise=initialise
        ):
            maps.append(method(model, inputs, target))
    return torch.stack(maps)


# ---- are two maps alike? (B, C, H, W), (B, C, H, W) -> (B,) -------------------------------------------------------------
def rank_correlation(a: Tensor, b: Tensor) -> Tensor:
    """Spearman's ρ of the magnitudes, channels summed: signs do not count. nan where a map is constant."""
    return spearman(magnitude(a), magnitude(b))


def signed_correlation(a: Tensor, b: Tensor) -> Tensor:
    """Spearman's ρ of the maps with their signs, channels summed."""
    return spearman(a.sum(dim=1), b.sum(dim=1))


def structural(a: Tensor, b: Tensor) -> Tensor:
    """SSIM with Gaussian weights of the magnitudes, each stretched to 0 … 1: local patterns count, one by one."""
    from skimage.metrics import structural_similarity

    return each(
        lambda p, q: structural_similarity(p, q, gaussian_weights=True, data_range=1.0), a, b
    )


def edges(a: Tensor, b: Tensor, *, cell: int | None = None) -> Tensor:
    """Spearman's ρ of the maps' histograms of oriented gradients. cell: pixels; the paper's 16, or a quarter of small maps."""
    from skimage.feature import hog

    cell = cell or min(16, a.shape[-1] // 4)
    features = [
        each(lambda p, _: hog(p, pixels_per_cell=(cell, cell)), m, m) for m in (a, b)
    ]  # (B, F) each
    return spearman(*features)


SIMILARITIES = {
    "|Spearman|": rank_correlation,
    "signed Spearman": signed_correlation,
    "SSIM": structural,
    "HOG": edges,
}


def spearman(a: Tensor, b: Tensor) -> Tensor:
    """Pearson's correlation of the ranks, ties given their mean rank: (B, ...), (B, ...) -> (B,)."""
    ranks = [
        torch.from_numpy(rankdata(m.detach().flatten(1).cpu().numpy(), axis=1)) for m in (a, b)
    ]  # (B, N)
    a, b = (r - r.mean(dim=1, keepdim=True) for r in ranks)
    return (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))


def each(compare: Callable, a: Tensor, b: Tensor) -> Tensor:
    """compare(p, q) for each pair of maps, as magnitudes (H, W) stretched to 0 … 1."""
    a, b = (stretched(magnitude(m)).cpu().numpy() for m in (a, b))
    return torch.from_numpy(np.array([compare(p, q) for p, q in zip(a, b, strict=True)]))


def stretched(m: Tensor) -> Tensor:
    """(B, H, W) from its lowest to its highest value, as 0 … 1; a constant map becomes 0."""
    m = (m - m.amin(dim=(1, 2), keepdim=True)).double()
    return m / m.amax(dim=(1, 2), keepdim=True).clamp_min(torch.finfo(m.dtype).tiny)
