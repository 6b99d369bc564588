"""Remove and retrain: what can still be learned without the pixels a map calls important? (D1-09)

data/recipes/roar.py fills the table in data/roar with these.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from helpers.nets import digits
from helpers.saliency import gradients, guided
from helpers.saliency.metrics import magnitude, remove

TEXTURE = 0.2  # the grain's deviation: no pixel is empty


def at_random(model, inputs: Tensor, target) -> Tensor:
    """A map that knows nothing: uniform noise, on the pictures' device."""
    noise = torch.rand(inputs.shape, generator=torch.Generator().manual_seed(0))
    return noise.to(inputs.device)


def sobel(model, inputs: Tensor, target) -> Tensor:
    """A map that knows the picture and no network: how steep its brightness is. (B, 1, H, W)."""
    kernel = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]])
    kernels = torch.stack((kernel, kernel.T))[:, None].to(inputs)  # (2, 1, 3, 3)
    grey = nn.functional.pad(inputs.mean(dim=1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    return nn.functional.conv2d(grey, kernels).norm(dim=1, keepdim=True)


METHODS: dict[str, Callable[..., Tensor]] = {
    "random": at_random,
    "Sobel": sobel,
    "Gradient": gradients.gradient,
    "SmoothGrad²": partial(gradients.smoothgrad, samples=15, squared=True),
    "Integrated Gradients": partial(gradients.integrated_gradients, steps=16),
    "Guided Backprop": guided.guided_backprop,
}


def learned(seed: int, *, epochs: int = 6, most: int = 1200, device="cpu"):
    """The digits as [train, test], with grain, at most so many of each, and a network for them."""
    parts = [digits.digits(part, texture=TEXTURE, device=device) for part in ("train", "test")]
    parts = [digits.Digits(part.images[:most], part.digit[:most]) for part in parts]
    return parts, digits.train(*parts[0], seed=seed, epochs=epochs)


def retrained(
    model: nn.Module,
    parts: list[digits.Digits],
    method: Callable[..., Tensor],
    share: float,
    seed: int,
    *,
    epochs: int = 6,
) -> float:
    """Accuracy on test digits of a second network that never saw the top share of the pixels.

    The maps are `model`'s, for each digit's own class; a removed pixel gets the mean grey of all.
    """
    grey = parts[0].images.mean()
    train, test = (
        remove(images, magnitude(method(model, images, digit)), share, grey)
        for images, digit in parts
    )
    again = digits.train(train, parts[0].digit, seed=seed + 100, epochs=epochs)
    return digits.accuracy(again, test, parts[1].digit)
