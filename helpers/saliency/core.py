"""What all methods share: a model left as it was, inputs that were checked, the score of a class, and batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from helpers.ground.errors import CourseError
from helpers.ground.runtime import chunk_for, in_chunks

Target = int | Sequence[int] | Tensor


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Inside: evaluation mode, parameters frozen, gradients on. Afterwards, also after an error: as it was before.

    Gradients are asked for with `torch.autograd.grad`, which returns them and leaves every `.grad` alone.
    """
    training = [module for module in model.modules() if module.training]
    trainable = [p for p in model.parameters() if p.requires_grad]
    try:
        if training:  # the walk through a large model's parts costs as much as a few layers
            model.eval()
        for p in trainable:  # nothing is kept for gradients that nobody asks for
            p.requires_grad_(False)
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        for (
            module
        ) in training:  # one by one: some parts may have been in another mode than the whole
            module.training = True
        for p in trainable:
            p.requires_grad_(True)


def check(inputs: Tensor, target: Target, *, images: bool = False) -> tuple[Tensor, Tensor]:
    """The inputs, and one class number per picture, (B,), on their device; CourseError for what cannot be explained."""
    if not isinstance(inputs, Tensor) or not inputs.is_floating_point():
        raise CourseError(
            f"inputs should be a float tensor (B, C, H, W), not {getattr(inputs, 'dtype', type(inputs).__name__)}; "
            "datasets.photos.preprocess makes one from a picture."
        )
    if inputs.ndim < 2 or (images and inputs.ndim != 4):
        raise CourseError(
            f"inputs should have the shape (B, C, H, W), not {tuple(inputs.shape)}; one picture alone "
            "gets its first dimension by picture[None]."
        )
    if inputs.numel() == 0:
        raise CourseError(
            f"This batch is empty, its shape is {tuple(inputs.shape)}: give at least one picture."
        )
    if not inputs.sum().isfinite() and (
        bad := int((~inputs.isfinite()).sum())
    ):  # the sum alone is twice as fast
        raise CourseError(
            f"{bad} of the inputs' {inputs.numel()} values are NaN or infinite: look at how they were made."
        )
    classes = torch.as_tensor(target, device=inputs.device)
    if classes.is_floating_point() or classes.dtype == torch.bool:
        raise CourseError(f"A target is the whole number of a class, not {target!r}.")
    if classes.ndim > 1 or classes.ndim == 1 and len(classes) not in (1, len(inputs)):
        raise CourseError(
            f"{len(inputs)} pictures need one target for all or one each; the targets given have the "
            f"shape {tuple(classes.shape)}."
        )
    return inputs, classes.long().expand(len(inputs))


def class_score(model: nn.Module, x: Tensor, target: Tensor, *, softmax: bool = False) -> Tensor:
    """S_c(x), the logit (or probability) of each picture's target class: (B, ...), (B,) -> (B,)."""
    out = model(x.clone())  # a copy: the first layer may work in place
    if not isinstance(out, Tensor) or out.ndim != 2 or len(out) != len(x):
        found = (
            f"the shape {tuple(out.shape)}"
            if isinstance(out, Tensor)
            else f"a {type(out).__name__}"
        )
        raise CourseError(
            f"The model should turn inputs {tuple(x.shape)} into scores (B, classes), but gave {found}."
        )
    if not 0 <= int(target.min()) <= int(target.max()) < out.shape[1]:
        raise CourseError(
            f"Class {int(target.min() if target.min() < 0 else target.max())} does not exist: this "
            f"model has {out.shape[1]} classes, 0 to {out.shape[1] - 1}."
        )
    out = out.softmax(dim=1) if softmax else out
    return out.gather(1, target[:, None].clone()).squeeze(
        1
    )  # the copy serves callers in inference mode


def derivative(score: Tensor, at: Tensor) -> Tensor:
    """d(sum of scores) / d(at), of the shape of `at`. Pictures do not mix, so the sum gives each its own gradient."""
    grad = (
        torch.autograd.grad(score.sum(), at, allow_unused=True)[0] if score.requires_grad else None
    )
    if grad is None:
        raise CourseError(
            "The score has no gradient with respect to what is to be explained (an argmax, a detach() or "
            "NumPy inside the model?). occlusion() and rise() need none."
        )
    return grad


def scores(model: nn.Module, inputs: Tensor, target: Target, *, softmax: bool = False) -> Tensor:
    """The target's logit (or probability) for each picture, (B,), without gradients, in chunks."""
    x, target = check(inputs, target)

    @torch.no_grad()
    def forward(x, target):
        return class_score(model, x, target, softmax=softmax)

    with undisturbed(model):
        return in_chunks(forward, x, target, chunk=chunk_size(x))


def chunk_size(x: Tensor) -> int:
    """How many pictures go through the network at once.

    A GPU takes what its memory holds. On a CPU small batches are faster: their activations stay in the cache, and the
    memory of larger ones is handed back to the system and faulted in anew, over and over.
    Integrated Gradients of 64 digits, 3,200 gradients, took .41 s in chunks of 128, .46 of 64, .48 of 256 (two cores).
    """
    picture = x[0].nbytes
    if x.device.type == "cpu":
        return max(8, min(128, 2**20 // picture))
    return chunk_for(
        256 * picture, x.device
    )  # a network keeps some 100 to 200 times its input for the backward pass


def mean_over(n: int, x: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """The mean of function(k) over k = 0 … n-1, as many k at once as a batch has room for.

    function: numbers (k,) -> (k, B, ...). Returns (B, ...).
    """
    room = max(1, chunk_size(x) // len(x))
    return sum(function(ks).sum(dim=0) for ks in torch.arange(n, device=x.device).split(room)) / n


def as_baseline(baseline: float | Tensor, x: Tensor) -> Tensor:
    """A number, or a tensor that broadcasts against the inputs, as a tensor of their shape."""
    try:
        return torch.as_tensor(baseline, dtype=x.dtype, device=x.device).expand_as(x)
    except RuntimeError as error:
        raise CourseError(
            f"The baseline's shape {tuple(baseline.shape)} does not fit the inputs' {tuple(x.shape)}."
        ) from error
