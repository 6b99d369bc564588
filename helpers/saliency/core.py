"""Shared by all methods: freezing the model, checking inputs, the score of a class, batches."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain

import torch
from torch import Tensor, nn

from helpers.ground.errors import CourseError, checked, first_line, shown
from helpers.ground.runtime import chunk_for, in_chunks
from helpers.ground.stats import wide

Target = int | Sequence[int] | Tensor
Baseline = float | Tensor
Method = Callable[..., Tensor]  # such as gradient: method(model, inputs, target) -> maps


@contextmanager
def frozen_eval(model: nn.Module) -> Iterator[None]:
    """Inside: evaluation mode, frozen parameters, gradients on. Afterwards all is as it was."""
    training = [m for m in model.modules() if getattr(m, "training", False)]  # scripted: none
    trainable = [p for p in model.parameters() if p.requires_grad]
    try:
        try:
            if training:
                model.eval()
        except NotImplementedError as error:
            what = "This model was exported (torch.export)"
            raise CourseError(f"{what}: use the nn.Module it was made from.") from error
        for p in trainable:  # nothing is kept for gradients that nobody asks for
            p.requires_grad_(False)
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        for module in training:  # one by one: a part may have been in another mode than the whole
            module.training = True
        for p in trainable:
            p.requires_grad_(True)


def check(model, inputs, target: Target, *, images: bool = False) -> tuple[Tensor, Tensor]:
    """The inputs as the model takes them, and one class number per picture.

    inputs: (B, ...), on the model's device, in its number type, outside of any graph. target: (B,),
    on the CPU, where looking at it waits for no device. CourseError for what cannot be explained.
    """
    refuse_unfit(model)
    if not isinstance(inputs, Tensor) or not inputs.is_floating_point():
        given = getattr(inputs, "dtype", type(inputs).__name__)
        raise CourseError(f"inputs should be a float tensor (see photos.preprocess), not {given}.")
    if inputs.is_nested or inputs.is_meta:
        raise CourseError("inputs should be one tensor with numbers, not a nested or a meta one.")
    x, shape = inputs.detach().to_dense(), tuple(inputs.shape)
    if len(shape) == 3:  # (C, H, W), where the first convolution reads so many channels
        conv = next((m for m in model.modules() if isinstance(m, nn.Conv2d)), None)
        images = images or (conv is not None and conv.in_channels == shape[0])
    if len(shape) < 2 or (images and len(shape) != 4):
        raise CourseError(f"inputs should be (B, C, H, W), not {shape}; picture[None] adds the B.")
    if 0 in shape:
        raise CourseError(f"This batch is empty, its shape is {shape}: give at least one picture.")
    if (weight := next(model.parameters(), None)) is not None and weight.is_floating_point():
        x = x.to(weight)
    if not x.sum().isfinite() and (bad := int((~x.isfinite()).sum())):  # the sum: twice as fast
        raise CourseError(f"{bad} of the inputs' {x.numel()} values are NaN or infinite.")
    try:
        target = target.to_numpy() if hasattr(target, "to_numpy") else target  # of pandas
        classes = torch.as_tensor(target).cpu()
    except (TypeError, ValueError, RuntimeError, OverflowError):  # a text, None, ragged lists
        classes = torch.empty(0)
    if classes.dtype == torch.bool or classes.is_floating_point() or classes.is_complex():
        raise CourseError(f"A target is the whole number of a class, not {target!r:.80}.")
    if tuple(classes.shape) not in ((), (1,), (len(x),)):
        given = f"the targets given have the shape {tuple(classes.shape)}"
        raise CourseError(f"{len(x)} pictures need one target for all or one each; {given}.")
    return x, classes.long().expand(len(x))


def refuse_unfit(model: nn.Module) -> None:
    """CourseError for a function, and for weights that do not exist yet or can have no gradient."""
    if not isinstance(model, nn.Module):
        raise CourseError(f"model should be an nn.Module, not {shown(model)}: wrap it in a class.")
    for p in chain(model.parameters(), model.buffers()):
        if nn.parameter.is_lazy(p):
            raise CourseError("This model's weights do not exist yet: call model(inputs) once.")
        if p.is_inference():
            raise CourseError("This model was made in torch.inference_mode(): make it outside.")


def class_score(model: nn.Module, x: Tensor, target: Tensor, *, softmax: bool = False) -> Tensor:
    """S_c(x), the logit (or probability) of each picture's class: (B, ...), (B,) -> (B,)."""
    try:
        out = model(x.clone())  # a copy: the first layer may work in place
    except RuntimeError as error:  # of a layer for other inputs; the model's own are its own
        if not any(word in str(error) for word in ("channels", "ernel size", "mat1", "batched")):
            raise
        what = f"The model cannot read inputs {tuple(x.shape)}"
        raise CourseError(f"{what}, in order (B, C, H, W): {first_line(error)}.") from error
    if not isinstance(out, Tensor) or out.ndim != 2 or len(out) != len(x):
        wrap = "Wrap it in an nn.Module that returns them alone, such as self.model(x).logits"
        raise CourseError(
            f"The model should give scores (B, classes), but gave {shown(out)}. {wrap}."
        )
    many = out.shape[1]
    for c in (int(target.min()), int(target.max())):
        if not 0 <= c < many:
            classes = f"this model has {many} classes, 0 to {many - 1}"
            raise CourseError(f"Class {c} does not exist: {classes}.")
    out = wide(out).softmax(dim=1) if softmax else wide(out)
    chosen = target[:, None].to(out.device, copy=True)  # a copy, for callers in inference mode
    return out.gather(1, chosen).squeeze(1)


def derivative(score: Tensor, at: Tensor) -> Tensor:
    """d(sum of scores) / d(at), of the shape of `at`. Pictures do not mix: each gets its own."""
    return derivatives(score, [at])[0]


def derivatives(score: Tensor, at: Sequence[Tensor]) -> list[Tensor]:
    """`derivative` at several places, in one pass; 0 where the score depends on others alone."""
    if score.requires_grad:
        grads = torch.autograd.grad(score.sum(), at, allow_unused=True)
        if any(grad is not None for grad in grads):
            nothing = 0 * score.detach().sum()  # nan where a score is: see `finite`
            pairs = zip(grads, at, strict=True)
            grads = [torch.zeros_like(x) if grad is None else grad for grad, x in pairs]
            return [grad + nothing.to(grad) for grad in grads]
    what = "The score has no gradient with respect to what is to be explained: is there an argmax,"
    layer = "or is it a layer of which another output is used (choose one inside it)"
    others = "occlusion() and rise() need none"
    raise CourseError(f"{what} detach() or NumPy after it, {layer}? {others}.")


@checked
def scores(model, inputs, target: Target, *, softmax: bool = False) -> Tensor:
    """The target's logit (or probability) for each picture, (B,), without gradients."""
    x, target = check(model, inputs, target)
    with frozen_eval(model):
        return finite(forward_scores(model, x, target, softmax=softmax))


def forward_scores(model, x: Tensor, target: Tensor, *, softmax: bool = False) -> Tensor:
    """`scores` of a frozen model for inputs that were checked."""
    with torch.no_grad():
        return in_batches(lambda x, c: class_score(model, x, c, softmax=softmax), x, target)


def finite(values: Tensor) -> Tensor:
    """What was made of a model's output; CourseError where that held NaN or infinite numbers."""
    if not values.sum().isfinite() and not values.isfinite().all():  # the sum: twice as fast
        look = "look for NaN in inputs and weights; of a half precision model try .float()"
        raise CourseError(f"The model's scores or gradients here are NaN or infinite: {look}.")
    return values


def as_tensor(values, ndim: int) -> Tensor:
    """Maps (B, C, H, W), with ndim 3 (B, H, W), or curves (B, n), `wide`, outside of any graph."""
    try:
        maps = wide(torch.as_tensor(values).detach().to_dense())
    except (TypeError, ValueError, RuntimeError):  # no numbers, or rows of different lengths
        maps = torch.empty(0)
    if maps.ndim != ndim or maps.is_complex():
        wanted = {2: "Curves should be (B, n)", 3: "Maps should be (B, H, W)"}
        needed = wanted.get(ndim, "Maps should be (B, C, H, W)")
        raise CourseError(f"{needed}, not {shown(values)}.")
    return maps


def each_ones(attribution: Tensor, scores: Tensor, x: Tensor) -> Tensor:
    """Each picture's map, as large as x or (B, 1, H, W), as exact as the scores, where they are."""
    maps = as_tensor(attribution, x.ndim)
    if maps.shape not in (x.shape, (len(x), 1, *x.shape[2:])):
        given = f"{len(maps)} of {tuple(maps.shape[1:])}"
        raise CourseError(f"{len(x)} pictures need a map each, not {given}.")
    return maps.to(scores)


# ---- batches ----
def chunk_size(x: Tensor) -> int:
    """How many pictures go through the network at once: what a GPU's memory holds.

    On a CPU small batches are faster, because their activations stay in the cache: hiding parts of
    64 digits in 29 steps took 185 to 194 ms in chunks of 128, 104 to 210 of 64, 106 to 111 of 32
    (two cores). But 32 cut into two what goes at once: one gradient of 64 digits took 8 % longer.
    """
    picture = x[0].nbytes
    if x.device.type == "cpu":
        return max(8, min(64, 2**20 // picture))
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


def noises(x: Tensor, samples: int, seed: int, *, uniform: bool = False) -> Tensor:
    """Random numbers (samples, B, C, H, W): Gaussian of deviation 1, or uniform in -1 … 1."""
    generator = torch.Generator(x.device).manual_seed(seed)
    draw = torch.rand if uniform else torch.randn
    n = draw(samples, *x.shape, generator=generator, dtype=x.dtype, device=x.device)
    return 2 * n - 1 if uniform else n


def as_baseline(baseline: Baseline, x: Tensor) -> Tensor:
    """A number, or a tensor that broadcasts against the inputs, as a tensor of their shape."""
    try:
        if isinstance(baseline, float) and not math.isfinite(baseline):
            raise ValueError("nan or infinite")
        given = torch.as_tensor(baseline, dtype=x.dtype, device=x.device)
        if given.ndim and not given.isfinite().all():
            raise ValueError("nan or infinite")
        return given.detach().to_dense().expand_as(x)
    except (TypeError, ValueError, RuntimeError) as error:
        given = f"shape {tuple(baseline.shape)}" if isinstance(baseline, Tensor) else repr(baseline)
        needs = f"a number or a tensor that fits the inputs' {tuple(x.shape)}"
        raise CourseError(f"A baseline is {needs}, not {given:.80}.") from error
