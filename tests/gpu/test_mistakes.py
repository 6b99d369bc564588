"""Ten device mistakes, planted one at a time in the course's functions: each is noticed."""

import contextlib
import inspect
import sys
import textwrap
from types import FunctionType

import pytest
import torch

from helpers.attention import diagnostic, faithfulness, train
from helpers.ground import runtime
from helpers.ground.errors import CourseError
from helpers.saliency import core, gradients, metrics
from helpers.transformer import measure
from tests.gpu import on_saliency, test_functions
from tests.pretend_gpu import Card, pretend_gpu

# mistake -> where it is planted, what stands there, what stands there instead, whose test sees it
SEEN = (RuntimeError, TypeError, AssertionError, CourseError)  # the gate says it in a sentence
MISTAKES = {
    "a constant on the CPU": (
        metrics.concentration,
        ", device=m.device",
        "",
        "saliency.metrics.concentration",
    ),
    "a CPU generator": (
        core.noises,
        "torch.Generator(x.device)",
        "torch.Generator()",
        "saliency.gradients.smoothgrad",
    ),
    "numpy() on the device": (
        faithfulness.kendall,
        "wide(a.detach()).cpu()",
        "wide(a.detach()).numpy()",
        "attention.faithfulness.kendall",
    ),
    "a wait in every step": (
        faithfulness.adversarial_attention,
        "optimizer.step()",
        "optimizer.step(); loss.item()",
        "attention.faithfulness.adversarial_attention",
    ),
    "a wait for every batch": (
        train.predict,
        "logits, alpha = model",
        "probs.sum().item(); logits, alpha = model",
        "attention.train.predict",
    ),
    "a result on the CPU": (
        metrics.area,
        "(curve.shape[1] - 1)",
        "(curve.shape[1] - 1) + 0 * curve[:, 0].cpu()",
        "saliency.metrics.area",
    ),
    "a model on the CPU": (
        diagnostic.train_one,
        ".to(device)",
        "",
        "attention.diagnostic.train_one",
    ),
    "tokens on the CPU": (
        measure.token_losses,
        "rows = rows.to(device)",
        "pass",
        "transformer.measure.token_losses",
    ),
    "boxes on the CPU": (
        metrics.in_boxes,
        "*heat.shape[1:]), device=heat.device)",
        "*heat.shape[1:]))",
        "saliency.metrics.in_boxes",
    ),
    "cuDNN left on": (
        faithfulness.gradient_importance,
        "enabled=False",
        "enabled=True",
        "attention.faithfulness.gradient_importance",
    ),
    "bfloat16 on a T4": (
        runtime.half_precision,
        "including_emulation=False",
        "including_emulation=True",
        "clip.model.train_step",
    ),
}


@contextlib.contextmanager
def planted(function: FunctionType, old: str, new: str):
    """Inside, one piece of the function's source is another; all who imported it run that."""
    function = inspect.unwrap(function)
    source = textwrap.dedent(inspect.getsource(function))
    assert old in source, f"{function.__name__} no longer has {old!r}"
    names = dict(vars(sys.modules[function.__module__]))
    exec(source.replace(old, new), names)
    code = function.__code__
    function.__code__ = inspect.unwrap(names[function.__name__]).__code__
    try:
        yield
    finally:
        function.__code__ = code


@pytest.mark.parametrize("name", MISTAKES)
def test_noticed(name):
    function, old, new, seen_by = MISTAKES[name]
    with planted(function, old, new), pytest.raises(SEEN):
        test_functions.test_on_the_device(seen_by)


def long_path() -> torch.Tensor:
    """400 steps of Integrated Gradients where two pictures at a time fit."""
    card = Card("a small one", 200_000, bfloat16=True, capability=(8, 0))
    with pretend_gpu(card):
        net, x = on_saliency.network("cuda"), on_saliency.x("cuda")
        return gradients.integrated_gradients(net, x, 1, steps=400).cpu()


def test_memory_ignored_is_noticed():
    assert long_path().isfinite().all()
    ignored = planted(core.chunk_size, "return chunk_for(256 * picture, x.device)", "return 10**6")
    with ignored, pytest.raises(torch.OutOfMemoryError):
        long_path()
