"""Shared by all methods: freezing the model, checking inputs, the score of a class, batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from helpers.ground.errors import CourseError
from helpers.ground.runtime import chunk_for, in_chunks

Target = int | Sequence[int] | Tensor
Baseline = float | Tensor


@contextmanager
def frozen_eval(model: nn.Module) -> Iterator[None]:
    """Inside: evaluation mode, frozen parameters, gradients on. Afterwards all is as it was.

    Also after an error. `torch.autograd.grad` returns gradients and leaves every `.grad` alone.
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
        for module in training:  # one by one: a part may have been in another mode than the whole
            module.training = True
        for p in trainable:
            p.requires_grad_(True)


def check(
    model: nn.Module, inputs: Tensor, target: Target, *, images: bool = False
) -> tuple[Tensor, Tensor]:
    """The inputs as the model takes them, and one class number per picture.

    inputs: (B, ...), on the model's device, in its number type, outside of any graph. target: (B,),
    on the CPU, where looking at it waits for no device. CourseError for what cannot be explained.
    """
    if not isinstance(model, nn.Module):
        raise CourseError(
            f"model should be an nn.Module, not a {type(model).__name__}; a function becomes one "
            "as the forward method of a class."
        )
    if not isinstance(inputs, Tensor) or not inputs.is_floating_point():
        given = getattr(inputs, "dtype", type(inputs).__name__)
        raise CourseError(
            f"inputs should be a float tensor (B, C, H, W), not {given}; photos.preprocess makes "
            "one from a picture."
        )
    if inputs.ndim < 2 or (images and inputs.ndim != 4):
        raise CourseError(
            f"inputs should have the shape (B, C, H, W), not {tuple(inputs.shape)}; one picture "
            "alone gets its first dimension by picture[None]."
        )
    if inputs.numel() == 0:
        raise CourseError(
            f"This batch is empty, its shape is {tuple(inputs.shape)}: give at least one picture."
        )
    x = inputs.detach()
    if (weight := next(model.parameters(), None)) is not None and weight.is_floating_point():
        x = x.to(weight)
    if not x.sum().isfinite() and (bad := int((~x.isfinite()).sum())):  # the sum: twice as fast
        raise CourseError(
            f"{bad} of the inputs' {x.numel()} values are NaN or infinite in {x.dtype}: look at "
            "how they were made."
        )
    classes = torch.as_tensor(target).cpu()
    if classes.is_floating_point() or classes.dtype == torch.bool:
        raise CourseError(f"A target is the whole number of a class, not {target!r}.")
    if classes.ndim > 1 or (classes.ndim == 1 and len(classes) not in (1, len(x))):
        raise CourseError(
            f"{len(x)} pictures need one target for all or one each; the targets given have the "
            f"shape {tuple(classes.shape)}."
        )
    return x, classes.long().expand(len(x))


def at_least_one(**counts: int) -> None:
    """CourseError for a count, such as steps=0, that leaves nothing to take a mean of."""
    for name, count in counts.items():
        if count < 1:
            raise CourseError(f"{name} should be a whole number of 1 or more, not {count}.")


def class_score(model: nn.Module, x: Tensor, target: Tensor, *, softmax: bool = False) -> Tensor:
    """S_c(x), the logit (or probability) of each picture's class: (B, ...), (B,) -> (B,)."""
    out = model(x.clone())  # a copy: the first layer may work in place
    if not isinstance(out, Tensor) or out.ndim != 2 or len(out) != len(x):
        kind = type(out).__name__
        gave = f"the shape {tuple(out.shape)}" if isinstance(out, Tensor) else f"a {kind}"
        raise CourseError(
            f"The model should turn inputs {tuple(x.shape)} into scores (B, classes), but gave "
            f"{gave}. Wrap it in an nn.Module whose forward returns the scores alone, such as "
            "self.model(x).logits."
        )
    for c in (int(target.min()), int(target.max())):
        if not 0 <= c < out.shape[1]:
            raise CourseError(
                f"Class {c} does not exist: this model has {out.shape[1]} classes, 0 to "
                f"{out.shape[1] - 1}."
            )
    out = wide(out).softmax(dim=1) if softmax else wide(out)
    chosen = target[:, None].to(out.device, copy=True)  # a copy, for callers in inference mode
    return out.gather(1, chosen).squeeze(1)


def derivative(score: Tensor, at: Tensor) -> Tensor:
    """d(sum of scores) / d(at), of the shape of `at`. Pictures do not mix: each gets its own."""
    grad = None
    if score.requires_grad:
        grad = torch.autograd.grad(score.sum(), at, allow_unused=True)[0]
    if grad is None:
        raise CourseError(
            "The score has no gradient with respect to what is to be explained (an argmax, a "
            "detach() or NumPy inside the model?). occlusion() and rise() need none."
        )
    return grad


def scores(model: nn.Module, inputs: Tensor, target: Target, *, softmax: bool = False) -> Tensor:
    """The target's logit (or probability) for each picture, (B,), without gradients."""
    x, target = check(model, inputs, target)
    with frozen_eval(model):
        return forward_scores(model, x, target, softmax=softmax)


def forward_scores(model, x: Tensor, target: Tensor, *, softmax: bool = False) -> Tensor:
    """`scores` of a frozen model for inputs that were checked."""
    with torch.no_grad():
        return in_batches(lambda x, c: class_score(model, x, c, softmax=softmax), x, target)


def wide(values: Tensor) -> Tensor:
    """What sums are made in: float32 instead of half precision; float32 and float64 as they are."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


# ---- batches ----
def chunk_size(x: Tensor) -> int:
    """How many pictures go through the network at once.

    A GPU takes what its memory holds. On a CPU small batches are faster: their activations stay in
    the cache, and the memory of larger ones is handed back and faulted in anew. 3,200 gradients of
    digits took .41 s in chunks of 128, .46 of 64, .48 of 256 (two cores).
    """
    picture = x[0].nbytes
    if x.device.type == "cpu":
        return max(8, min(128, 2**20 // picture))
    return chunk_for(256 * picture, x.device)  # a backward pass keeps 100 to 200 times its input


def in_batches(function: Callable[..., Tensor], x: Tensor, target: Tensor) -> Tensor:
    """function(x, target), as many pictures at a time as there is room for; the results joined."""
    return in_chunks(function, x, target, chunk=chunk_size(x))


def copies_at_once(x: Tensor) -> int:
    """How many versions of the whole batch go through the network together."""
    return max(1, chunk_size(x) // len(x))


def groups(items: Sequence, x: Tensor) -> Iterator[Sequence]:
    """The items (steps, seeds, places) in order, so many at a time as versions of x fit."""
    room = copies_at_once(x)
    for start in range(0, len(items), room):
        yield items[start : start + room]


def for_copies(function: Callable, model, copies: Tensor, target: Tensor, **options) -> Tensor:
    """function(model, pictures, target) for versions of a batch: (k, B, C, H, W) -> (k, B, ...)."""
    k, B = copies.shape[:2]
    values = function(model, copies.flatten(0, 1), target.repeat(k), **options)
    return values.unflatten(0, (k, B))


def as_baseline(baseline: Baseline, x: Tensor) -> Tensor:
    """A number, or a tensor that broadcasts against the inputs, as a tensor of their shape."""
    try:
        base = torch.as_tensor(baseline, dtype=x.dtype, device=x.device)
    except (TypeError, ValueError, RuntimeError) as error:
        raise CourseError(f"A baseline is a number or a tensor, not {baseline!r:.80}.") from error
    try:
        return base.detach().expand_as(x)
    except RuntimeError as error:
        raise CourseError(
            f"The baseline's shape {tuple(base.shape)} does not fit the inputs' {tuple(x.shape)}."
        ) from error
