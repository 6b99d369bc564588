"""A pretend GPU: its numbers lie on the CPU, but its tensors say `cuda:0` and keep a GPU's rules.

    with pretend_gpu(T4) as gpu:
        net = network().to("cuda")
        ...
    gpu.waits  # line -> how often the host waited for the device there

What a real card refuses is refused, in its own words: mixing devices, `.numpy()`, a CPU generator
for device tensors, the backward pass of cuDNN's recurrent layers in evaluation mode, bfloat16 on
a T4, more memory than there is. It cannot show speed, other kernels' rounding, autocast's types.

How: PyTorch keeps a free device type for backends from outside (PrivateUse1). A tensor subclass of
that type wraps a CPU tensor, a dispatch mode runs each operation on what is wrapped, and a function
mode answers the calls that never reach the dispatcher.
"""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from types import SimpleNamespace
from unittest import mock

import torch
import torch.utils.backend_registration as registration
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from helpers.ground import ROOT, runtime

GIB = 2**30
CUDA = torch.device("cuda", 0)
NAME = "pretend"
SETUP = "_setup_privateuseone_for_python_backend"  # private in torch: it may change its name


@dataclass(frozen=True)
class Card:
    """What a card is."""

    name: str
    memory: int  # bytes
    bfloat16: bool  # whether its units compute with it
    capability: tuple[int, int]


T4 = Card("Tesla T4", 15 * GIB, bfloat16=False, capability=(7, 5))
SMALL = Card("GeForce GTX 1650", 4 * GIB, bfloat16=False, capability=(7, 5))
A100 = Card("NVIDIA A100-SXM4-40GB", 40 * GIB, bfloat16=True, capability=(8, 0))


@dataclass
class Gpu:
    """One card while it is in use."""

    card: Card
    waits: Counter[str] = field(default_factory=Counter)  # line -> times the host waited
    launches: float = 0  # kernels sent to the device
    operations: float = 0  # additions and multiplications in products, convolutions and LSTMs
    weight: float = 1  # how often what is done now stands for itself: see `counting`
    large: Callable | None = None  # (name, operations): counted only, the result is made up
    held: int = 0  # bytes
    peak: int = 0  # bytes
    owners: Counter[int] = field(default_factory=Counter)  # storage -> tensors that share it

    def wait(self) -> None:
        self.waits[line()] += 1

    def count(self, launches: float, operations: float = 0) -> None:
        self.launches += self.weight * launches
        self.operations += self.weight * operations


_gpu: Gpu | None = None


@contextlib.contextmanager
def counting(times: float):
    """Inside, launches and operations count so many times: for a loop of which few turns run."""
    gpu = _gpu or Gpu(T4)  # without a card nobody reads it
    gpu.weight *= times
    try:
        yield
    finally:
        gpu.weight /= times


def available() -> str:
    """Why this PyTorch offers no pretend device; empty where it does."""
    missing = [
        f"torch.{name}"
        for home, name in (
            (registration, SETUP),
            (torch.Tensor, "_make_wrapper_subclass"),
            (torch.__future__, "set_overwrite_module_params_on_conversion"),
        )
        if not hasattr(home, name)
    ]
    return f"this PyTorch has no {', '.join(missing)}" if missing else ""


class Hooks(torch._C._acc.PrivateUse1Hooks):
    """Outside `pretend_gpu` the device type has its name, and no device."""

    def is_available(self) -> bool:
        return _gpu is not None

    def has_primary_context(self, index) -> bool:
        return True

    def is_built(self) -> bool:
        return True


@cache
def register() -> torch.device:
    """Give the free device type its name, once a process."""
    module = SimpleNamespace(
        is_initialized=lambda: True,
        is_available=lambda: False,
        current_device=lambda: 0,
        device_count=lambda: 0,
        manual_seed_all=lambda seed: None,
        _is_in_bad_fork=lambda: False,
    )
    getattr(registration, SETUP)(NAME, backend_module=module, hook=Hooks())
    return torch.device(NAME, 0)


if not available():  # now: the first backward pass of a process counts the devices for good
    register()


def line() -> str:
    """The innermost line of the course that is being run: "helpers/sae/train.py:91"."""
    frame = sys._getframe(1)
    while frame:
        name = frame.f_code.co_filename
        ours = name.startswith((str(ROOT), "<lesson")) and "site-packages" not in name
        if ours and name != __file__:
            return f"{name.removeprefix(f'{ROOT}/')}:{frame.f_lineno}"
        frame = frame.f_back
    return "backward pass"


# ---------------------------------------------------------------- tensors


class Lease:
    """Device memory held by one tensor; views share their storage's."""

    def __init__(self, gpu: Gpu, raw: Tensor):
        storage = raw.untyped_storage()
        size = storage.nbytes()
        self.gpu, self.key, self.size = gpu, storage._cdata, size
        if not gpu.owners[self.key]:
            free = gpu.card.memory - gpu.held
            if size > free:
                raise torch.OutOfMemoryError(
                    f"CUDA out of memory. Tried to allocate {size / 2**20:.2f} MiB. GPU 0 has a "
                    f"total capacity of {gpu.card.memory / GIB:.2f} GiB of which "
                    f"{free / 2**20:.2f} MiB is free."
                )
            gpu.held += size
            gpu.peak = max(gpu.peak, gpu.held)
        gpu.owners[self.key] += 1

    def __del__(self):
        if not hasattr(self, "key"):
            return
        self.gpu.owners[self.key] -= 1
        if not self.gpu.owners[self.key]:
            del self.gpu.owners[self.key]
            self.gpu.held -= self.size


class DeviceTensor(Tensor):
    """A tensor on the pretend device: `raw` holds its numbers."""

    @staticmethod
    def __new__(cls, raw: Tensor):
        if raw.dtype == torch.bfloat16 and not _gpu.card.bfloat16:
            raise RuntimeError(f"{_gpu.card.name} has no bfloat16")
        return torch.Tensor._make_wrapper_subclass(
            cls,
            raw.shape,
            strides=raw.stride(),
            storage_offset=raw.storage_offset(),
            dtype=raw.dtype,
            device=register(),
            requires_grad=raw.requires_grad,
        )

    def __init__(self, raw: Tensor):
        self.raw = raw
        self.lease = Lease(_gpu, raw)

    device = property(lambda self: CUDA)
    is_cuda = property(lambda self: True)
    is_cpu = property(lambda self: False)

    def __repr__(self, **_):
        if _gpu:
            _gpu.wait()
        return repr(self.raw).removesuffix(")") + ", device='cuda:0')"

    def __format__(self, spec):
        _gpu.wait()
        return format(self.raw.item() if self.raw.ndim == 0 else self.raw, spec)

    @classmethod
    def __torch_dispatch__(cls, op, types, args=(), kwargs=None):
        return run(op, args, kwargs or {})


def wrapped(value):
    return DeviceTensor(value) if isinstance(value, Tensor) else value


def raw(value):
    return value.raw if isinstance(value, DeviceTensor) else value


def each(function, value):
    """The function of a value, or of all values in lists, tuples and dicts."""
    if isinstance(value, (list, tuple)):
        return type(value)([each(function, v) for v in value])
    if isinstance(value, dict):
        return {key: each(function, v) for key, v in value.items()}
    return function(value)


def tensors_in(values) -> list[Tensor]:
    found = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, (list, tuple)):
            found += tensors_in(value)
    return found


# ---------------------------------------------------------------- operations

# The host needs a number, or the size of the result: it waits for the device.
WAITING = {
    "_local_scalar_dense",
    "bincount",
    "equal",
    "masked_select",
    "nonzero",
    "repeat_interleave",
    "unique_dim",
    "unique_consecutive",
    "_unique",
    "_unique2",
}
# A CPU tensor may meet a device tensor here: copies, and indices of a device tensor.
MIXING = {"copy_", "_to_copy", "index", "index_put", "index_put_", "_index_put_impl_", "set_"}


def on_device(device) -> bool:
    return device is not None and torch.device(device).type in ("cuda", NAME)


def check_devices(name: str, args: tuple, tensors: list[Tensor]) -> None:
    """Refuse tensors of two devices, but for single numbers, copies and indices."""
    ours = [t for t in tensors if isinstance(t, DeviceTensor)]
    theirs = [t for t in tensors if not isinstance(t, DeviceTensor)]
    if not ours or not theirs:
        return
    indexing = "index" in name and name in MIXING
    if indexing and not isinstance(args[0], DeviceTensor):
        raise RuntimeError(
            "indices should be either on cpu or on the same device as the indexed tensor (cpu)"
        )
    if indexing:  # what is written must lie on the device
        theirs = tensors_in(args[2:3])
    written_on_cpu = name.endswith("_") and not isinstance(args[0], DeviceTensor)
    many = [t for t in theirs if t.ndim > 0 and not isinstance(t, DeviceTensor)]
    if (many or written_on_cpu) and (name not in MIXING or indexing):
        raise RuntimeError(
            "Expected all tensors to be on the same device, but found at least two devices, "
            f"cuda:0 and cpu! ({name})"
        )


@cache
def written(op) -> tuple[str, ...]:
    """The arguments that an operation writes to and hands back, by name; none where it is pure."""
    names = {
        frozenset(argument.alias_info.before_set): argument.name
        for argument in op._schema.arguments
        if argument.alias_info and argument.alias_info.is_write
    }
    back = [r.alias_info for r in op._schema.returns if r.alias_info and r.alias_info.is_write]
    return tuple(names[frozenset(info.before_set)] for info in back)


def on_meta(value):
    return value.to("meta") if isinstance(value, Tensor) else value


def made_up(shape):
    """Numbers for a result whose shape alone is known: one in forty is positive."""
    if not isinstance(shape, Tensor):
        return shape
    drawn = numbers()
    repeated = drawn.repeat(shape.numel() // len(drawn) + 1)[: shape.numel()]
    return repeated.view(shape.shape).to(shape.dtype)


@cache
def numbers() -> Tensor:
    generator = torch.default_generator.clone_state().manual_seed(0)
    return torch.randn(2**20, generator=generator) - 2


@cache
def is_view(op) -> bool:
    """Whether nothing is computed: the result is another look at what is there."""
    aliases = [r.alias_info for r in op._schema.returns]
    named = op._schema.name == "aten::_unsafe_view"  # by its schema it is none
    return named or any(alias and not alias.is_write for alias in aliases)


def run(op, args: tuple, kwargs: dict):
    """One operation, by a card's rules, on what the tensors wrap."""
    name = op._schema.name.split("::")[1]
    tensors = tensors_in(args) + tensors_in(kwargs.values())
    ours = any(isinstance(t, DeviceTensor) for t in tensors)
    target = kwargs.get("device")
    if not ours and not on_device(target):
        return op(*args, **kwargs)
    check_devices(name, args, tensors)
    cpu = {"device": torch.device("cpu")} if target is not None else {}
    pinned = {"pin_memory": False} if "pin_memory" in kwargs else {}
    given, more = each(raw, args), each(raw, kwargs) | cpu | pinned
    count = flop_registry.get(op._overloadpacket)
    out = None
    if count and _gpu.large:
        shapes = op(*each(on_meta, given), **each(on_meta, more))
        if _gpu.large(name, count(*given, **more, out_val=shapes)):
            out = each(made_up, shapes)
    if out is None:
        out = op(*given, **more)
    if not is_view(op):
        _gpu.count(1, count(*given, **more, out_val=out) if count else 0)

    stays = on_device(target) if target is not None else ours
    to_host = not stays or (name == "copy_" and not isinstance(args[0], DeviceTensor))
    masked = "index" in name and any(t.dtype == torch.bool for t in tensors_in(args[1:2]))
    if ours and (to_host or masked or name in WAITING):
        _gpu.wait()
    if torch.Tag.inplace_view in op.tags:  # squeeze_, t_: the wrapper's own shape changes too
        with no_dispatch():
            op(*args, **kwargs)
    if names := written(op):
        given = dict(zip((a.name for a in op._schema.arguments), args, strict=False)) | kwargs
        back = [given[n] for n in names]
        return back[0] if len(back) == 1 else tuple(back)
    return each(wrapped, out) if stays else out


class Operations(TorchDispatchMode):
    """`torch.zeros(3, device="cuda")` has no tensor argument: it arrives here."""

    def __torch_dispatch__(self, op, types, args=(), kwargs=None):
        return run(op, args, kwargs or {})


# ---------------------------------------------------------------- what the dispatcher never sees


def as_pretend(device):
    """The device's name as this PyTorch knows it: it has no driver for "cuda"."""
    named = isinstance(device, (str, torch.device)) and str(device).startswith("cuda")
    return register() if named else device


def make_tensor(function, data, *args, device=None, **kwargs):
    """`torch.tensor`, `torch.as_tensor` and their like: made on the CPU, then moved."""
    if isinstance(data, DeviceTensor):
        device = CUDA if device is None else device
        made = data
        if function is not torch.as_tensor:
            made = data.detach().clone()
        dtype = kwargs.get("dtype") or (args[0] if args else None) or made.dtype
        return made.to(as_pretend(device), dtype)
    made = function(each(number, data), *args, **kwargs)
    return made.to(as_pretend(device)) if device is not None else made


def new_tensor(_, x, data, *, dtype=None, device=None, **kwargs):
    return make_tensor(torch.tensor, data, dtype=dtype or x.dtype, device=device or CUDA, **kwargs)


def number(value):
    return value.item() if isinstance(value, DeviceTensor) else value


def no_numpy(_, x, *args, **kwargs):
    raise TypeError(
        "can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy the tensor to "
        "host memory first."
    )


def to_list(_, x):
    _gpu.wait()
    return x.raw.tolist()


def attention(
    _, q, k, v, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False
):
    """The formula; the CPU's fused kernel has no derivative on another device."""
    return torch._scaled_dot_product_attention_math(
        q, k, v, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
    )[0]


class Recurrent(torch.autograd.Function):
    """An LSTM or GRU by the CPU's kernel, with cuDNN's rule for its backward pass."""

    @staticmethod
    def forward(ctx, function, args, training, *tensors):
        inputs = [t.raw.detach().requires_grad_(t.requires_grad) for t in tensors]
        left = iter(inputs)
        args = each(lambda a: next(left) if isinstance(a, Tensor) else a, args)
        with torch.enable_grad():
            outs = one_text(function, args) if _gpu.large else function(*args)
        ctx.inputs, ctx.outs = inputs, outs
        ctx.refused = torch.backends.cudnn.enabled and not training
        ctx.cost = recurrent_cost(inputs, outs[0])
        _gpu.count(*ctx.cost)
        return tuple(DeviceTensor(out.detach()) for out in outs)

    @staticmethod
    def backward(ctx, *gradients):
        if ctx.refused:
            raise RuntimeError("cudnn RNN backward can only be called in training mode")
        _gpu.count(*(2 * cost for cost in ctx.cost))
        wanted = [x for x in ctx.inputs if x.requires_grad]
        grads = torch.autograd.grad(
            ctx.outs, wanted, [raw(g) for g in gradients], retain_graph=True
        )
        left = iter(grads)
        return (
            None,
            None,
            None,
            *(DeviceTensor(next(left)) if x.requires_grad else None for x in ctx.inputs),
        )


def one_text(function, args) -> tuple[Tensor, ...]:
    """The layer on the first text of a batch, and the same for all of them: the shapes are right.

    args: input (B, T, E) and state (layers, B, H), or a list of the LSTM's two; batch first.
    """
    x, state, *more = args
    first = each(lambda s: s[:, :1].contiguous(), state)
    outs = function(x[:1], first, *more)
    return (outs[0].expand(len(x), -1, -1), *(s.expand(-1, len(x), -1) for s in outs[1:]))


def recurrent_cost(tensors: list[Tensor], out: Tensor) -> tuple[int, int]:
    """Kernels and operations of a recurrent layer's forward pass; the backward pass takes twice it.

    Each weight matrix is applied to each item: cuDNN takes about two kernels a time step and
    direction, PyTorch's own code ten.
    """
    texts, words = out.shape[:2]  # batch first
    matrices = [t for t in tensors[1:] if t.ndim == 2]  # two a direction
    each_step = 2 if torch.backends.cudnn.enabled else 10
    kernels = each_step * words * len(matrices) // 2
    return kernels, 2 * texts * words * sum(m.numel() for m in matrices)


def recurrent(function, *args):
    """`torch.lstm(input, state, weights, bias, layers, dropout, training, …)`, or `torch.gru`."""
    tensors = tensors_in(args)
    check_devices(function.__name__, args, tensors)
    return Recurrent.apply(function, args, args[6], *tensors)


SPECIAL = {
    torch.tensor: make_tensor,
    torch.as_tensor: make_tensor,
    torch.asarray: make_tensor,
    Tensor.cuda: lambda _, x, *args, **kwargs: x.to(register()),
    Tensor.pin_memory: lambda _, x, *args: x,
}


def indices(index):
    """Lists, ranges and NumPy's arrays in an index as tensors, which may index from the CPU."""
    if isinstance(index, tuple):
        return tuple(indices(i) for i in index)
    if isinstance(index, range):
        return torch.tensor(list(index))
    if isinstance(index, list) or hasattr(index, "__array_interface__"):
        return torch.tensor(each(number, index) if isinstance(index, list) else index)
    return index


SPECIAL_ON_DEVICE = {
    Tensor.__getitem__: lambda f, x, index: f(x, indices(index)),
    Tensor.__setitem__: lambda f, x, index, value: f(x, indices(index), value),
    Tensor.numpy: no_numpy,
    Tensor.__array__: no_numpy,
    Tensor.new_tensor: new_tensor,
    Tensor.tolist: to_list,
    torch.lstm: recurrent,
    torch.gru: recurrent,
    torch.nn.functional.scaled_dot_product_attention: attention,
}


class Calls(TorchFunctionMode):
    """Names of devices, generators, and the calls in the two tables above."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if kwargs.get("device") is not None:
            kwargs["device"] = as_pretend(kwargs["device"])
        if function is Tensor.to:
            args = tuple(map(as_pretend, args))
        if kwargs.get("generator") is not None:
            check_generator(kwargs, args)
        ours = any(isinstance(t, DeviceTensor) for t in tensors_in(args))
        special = SPECIAL.get(function) or (ours and SPECIAL_ON_DEVICE.get(function))
        return special(function, *args, **kwargs) if special else function(*args, **kwargs)


class Generator(torch.Generator):
    """A generator of either device; both draw what a CPU's draws."""

    def __new__(cls, device="cpu"):
        return super().__new__(cls, "cpu")

    def __init__(self, device="cpu"):
        self.home = CUDA if on_device(device) else torch.device("cpu")

    device = property(lambda self: self.home)


def check_generator(kwargs: dict, args: tuple) -> None:
    ours = any(isinstance(t, DeviceTensor) for t in tensors_in(args))
    expected = "cuda" if on_device(kwargs.get("device")) or ours else "cpu"
    given = kwargs["generator"].device.type
    if given != expected:
        raise RuntimeError(f"Expected a '{expected}' device type for generator but found '{given}'")


# ---------------------------------------------------------------- what torch.cuda says


def of_cuda(gpu: Gpu) -> dict:
    """What stands in `torch.cuda` while there is a pretend card."""
    card = gpu.card
    major, minor = card.capability
    properties = SimpleNamespace(
        name=card.name, total_memory=card.memory, major=major, minor=minor, multi_processor_count=40
    )
    return {
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "_lazy_init": lambda: None,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "get_device_name": lambda device=None: card.name,
        "get_device_capability": lambda device=None: card.capability,
        "get_device_properties": lambda device=None: properties,
        "is_bf16_supported": lambda including_emulation=True: card.bfloat16 or including_emulation,
        "mem_get_info": lambda device=None: (card.memory - gpu.held, card.memory),
        "memory_reserved": lambda device=None: gpu.held,
        "memory_allocated": lambda device=None: gpu.held,
        "max_memory_allocated": lambda device=None: gpu.peak,
        "reset_peak_memory_stats": lambda device=None: None,
        "empty_cache": lambda: None,
        "synchronize": lambda device=None: gpu.wait(),
        "manual_seed": lambda seed: None,
        "manual_seed_all": lambda seed: None,
        "get_rng_state": lambda device=None: torch.zeros(0, dtype=torch.uint8),
        "set_rng_state": lambda state, device=None: None,
        "is_current_stream_capturing": lambda: False,  # the optimisers of torch 2.11 ask
    }


def autocast(device_type: str, dtype=None, enabled: bool = True, cache_enabled=None):
    """On the pretend device types stay as they are; one that the card lacks is refused."""
    if not on_device(device_type):
        return AUTOCAST(device_type, dtype, enabled, cache_enabled)
    if enabled and dtype == torch.bfloat16 and not _gpu.card.bfloat16:
        raise RuntimeError(f"{_gpu.card.name} has no bfloat16")
    return contextlib.nullcontext()


AUTOCAST = torch.autocast


@contextlib.contextmanager
def pretend_gpu(card: Card = T4, *, large: Callable | None = None):
    """Inside, `torch.cuda` finds this card, and "cuda" means it. Yields the Gpu, which counts.

    large: (name, operations) -> whether a product is only counted, and its numbers made up; then
    an LSTM reads the first text of a batch for all of them.
    """
    global _gpu
    register()
    gpu = Gpu(card, large=large)
    overwriting = torch.__future__.get_overwrite_module_params_on_conversion()
    with contextlib.ExitStack() as stack:
        stack.callback(globals().update, _gpu=_gpu)
        stack.callback(torch.__future__.set_overwrite_module_params_on_conversion, overwriting)
        _gpu = gpu
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        stack.enter_context(mock.patch.multiple(torch.cuda, **of_cuda(gpu)))
        stack.enter_context(mock.patch.object(runtime, "_course", None))  # its own set-up
        accelerator = {"current_accelerator": lambda *_, **__: CUDA, "is_available": lambda: True}
        stack.enter_context(mock.patch.multiple(torch.accelerator, **accelerator))
        stack.enter_context(mock.patch.multiple(torch, Generator=Generator, autocast=autocast))
        stack.enter_context(Operations())
        stack.enter_context(Calls())
        yield gpu
