"""Remove and retrain: take away the pixels a method calls important, train again, and see what can still be learned (D1-09)."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from helpers.ground.artifacts import Checkpoint, load_artifact, save_artifact, write_card
from helpers.nets import digits
from helpers.saliency import gradients, guided
from helpers.saliency.metrics import magnitude, remove

NAME, TEXTURE = "roar", 0.2
SHARES = (0.1, 0.5, 0.8)


def at_random(model, inputs: Tensor, target) -> Tensor:
    """A map that knows nothing: uniform noise."""
    return torch.rand(inputs.shape, generator=torch.Generator().manual_seed(0))


def sobel(model, inputs: Tensor, target) -> Tensor:
    """A map that knows the picture, and no network: how steep its brightness is. (B, 1, H, W)."""
    kernel = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]])
    kernels = torch.stack((kernel, kernel.T))[:, None].to(inputs)
    grey = torch.nn.functional.pad(inputs.mean(dim=1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    return torch.nn.functional.conv2d(grey, kernels).norm(dim=1, keepdim=True)


METHODS: dict[str, Callable[..., Tensor]] = {
    "random": at_random,
    "Sobel": sobel,
    "Gradient": gradients.gradient,
    "SmoothGrad²": partial(gradients.smoothgrad, samples=15, squared=True),
    "Integrated Gradients": partial(gradients.integrated_gradients, steps=16),
    "Guided Backprop": guided.guided_backprop,
}


def learned(seed: int, *, epochs: int = 6, most: int = 1200):
    """The digits as [train, test], with grain, at most so many of each, and a network trained on whole ones."""
    parts = [
        digits.Digits(*(t[:most] for t in digits.digits(part, texture=TEXTURE)))
        for part in ("train", "test")
    ]
    return parts, digits.train(*parts[0], seed=seed, epochs=epochs)


def retrained(
    model,
    parts: list[digits.Digits],
    method: Callable[..., Tensor],
    share: float,
    seed: int,
    *,
    epochs: int = 6,
) -> float:
    """Accuracy on test digits of a second network, trained and tested without the top share of pixels.

    The maps are `model`'s, for each digit's own class; a removed pixel gets the mean grey of all digits.
    """
    grey = parts[0].images.mean()
    less = [
        remove(images, magnitude(method(model, images, digit)), share, grey)
        for images, digit in parts
    ]
    again = digits.train(less[0], parts[0].digit, seed=seed + 100, epochs=epochs)
    return digits.accuracy(again, less[1], parts[1].digit)


def make(*, scale: str = "small", smoke: bool = False, out: Path | None = None) -> None:
    """Store the table (method, share, seed) of accuracies in `out`; `python -m helpers make roar`. Resumable, a cell at a time."""
    out = out or Path(__file__).parents[3] / "data" / NAME
    seeds, shares, epochs = (
        (1, SHARES[:1], 1) if smoke else (3 if scale == "small" else 20, SHARES, 6)
    )
    checkpoint = Checkpoint(out.name, root=out.parent / ".checkpoints" if smoke else None)
    cells = checkpoint.load() or {}
    for seed in range(seeds):
        parts, model = learned(seed, epochs=epochs, most=50 if smoke else 1200)
        for name, method in METHODS.items():
            for share in shares:
                if (key := f"{name} {share} {seed}") not in cells:
                    cells[key] = retrained(model, parts, method, share, seed, epochs=epochs)
                    checkpoint.save(cells)
            print(
                f"seed {seed}, {name}: "
                + " ".join(f"{cells[f'{name} {share} {seed}']:.2f}" for share in shares),
                flush=True,
            )
    table = torch.tensor(
        [
            [[cells[f"{name} {share} {seed}"] for seed in range(seeds)] for share in shares]
            for name in METHODS
        ]
    )
    save_artifact(
        out.name,
        {"accuracy": table},
        version=1,
        root=out.parent,
        meta={"methods": list(METHODS), "shares": list(shares), "axes": "method, share, seed"},
    )
    if not smoke:
        write_card(out.name, card(measure(out=out)), root=out.parent)
    checkpoint.clear()


def measure(*, out: Path | None = None) -> dict[str, list[float]]:
    """{method: mean accuracy over seeds at each share}."""
    tensors, meta = load_artifact((out or Path(NAME)).name, version=1, root=out and out.parent)
    return {
        name: [round(float(v), 3) for v in row.mean(1)]
        for name, row in zip(meta["methods"], tensors["accuracy"], strict=True)
    }


def card(numbers: dict[str, list[float]]) -> str:
    """The text of data/roar/README.md."""
    rows = [
        f"| {name} | " + " | ".join(f"{value:.3f}" for value in row) + " |"
        for name, row in numbers.items()
    ]
    return "\n".join(
        [
            "# roar",
            "",
            "Remove and retrain on handwritten digits (28 px, grain of deviation 0.2): accuracy on test digits after the most "
            "important pixels by each method were replaced by the mean grey in all training and test pictures, and a network was trained "
            "again. Mean over seeds (three at scale small); lesson 03 shows it and re-runs a cell.",
            "",
            "Made by `python -m helpers make roar` (resumable; about three minutes on two quiet cores) from scikit-learn's `load_digits` "
            "(UCI, CC BY 4.0). Numbers only.",
            "",
            "| removed | " + " | ".join(f"{share:.0%}" for share in SHARES) + " |",
            "|---|" + "---|" * len(SHARES),
            *rows,
            "",
        ]
    )
