"""Every public function of the learners' packages runs on a GPU as it does on the CPU."""

import inspect
from collections import Counter
from importlib.util import find_spec

import pytest
import torch
from torch import Tensor

from tests.gpu import on_attention, on_clip, on_nets, on_saliency, on_transformer
from tests.gpu.calls import Call, collect, leaves, plain
from tests.pretend_gpu import T4, DeviceTensor, pretend_gpu

TABLES = {
    "saliency": on_saliency,
    "attention": on_attention,
    "clip": on_clip,
    "transformer": on_transformer,
    "sae": on_transformer,
    "nets": on_nets,
    "pretrained": on_nets,
    "datasets": on_nets,
}
FOUND = {name: f for package in TABLES for name, f in collect(package).items()}
CALLS = {plain(f): call for table in TABLES.values() for f, call in table.CALLS.items()}
FOUND |= {f"{f.__module__}.{f.__qualname__}": f for f in CALLS if f not in FOUND.values()}
LEFT_OUT = {
    plain(f): why for table in TABLES.values() for why, fs in table.LEFT_OUT.items() for f in fs
}


def test_every_function_has_its_call():
    missing = [name for name, f in FOUND.items() if f not in CALLS and f not in LEFT_OUT]
    assert missing == []
    assert len(FOUND) > 40


def test_a_function_is_called_or_left_out():
    assert not set(CALLS) & set(LEFT_OUT)


def repeated(call: Call) -> bool:
    return len(inspect.signature(call.run).parameters) > 1


def results(call: Call, device: str, steps: int = 2) -> list:
    values = call.run(device, steps) if repeated(call) else call.run(device)
    return list(leaves(values))


def waits_of(call: Call, steps: int = 2) -> Counter:
    with pretend_gpu(T4) as gpu:
        results(call, "cuda", steps)
    return gpu.waits


@pytest.mark.parametrize("name", [name for name, f in FOUND.items() if f in CALLS])
def test_on_the_device(name):
    call = CALLS[FOUND[name]]
    if call.needs and find_spec(call.needs) is None:
        pytest.skip(f"{call.needs} is not installed")
    expected = results(call, "cpu")
    with pretend_gpu(T4) as gpu:
        found = results(call, "cuda")
        waits = Counter(gpu.waits)
        there = [isinstance(value, DeviceTensor) for value in found if isinstance(value, Tensor)]
        found = [v.cpu() if isinstance(v, Tensor) else v for v in found]
    assert len(found) == len(expected) > 0
    assert not any(there) if call.on_cpu else all(there)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=call.close, atol=call.close, equal_nan=True)
    assert waits.total() <= call.waits, waits
    if repeated(call):
        assert waits_of(call, 4).total() <= waits.total(), waits_of(call, 4)
