"""The pretend GPU keeps a GPU's rules."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from helpers.ground.runtime import chunk_for, free_memory, half_precision, in_chunks
from tests.gpu import lessons
from tests.pretend_gpu import A100, GIB, SMALL, T4, Card, pretend_gpu


@pytest.fixture
def gpu():
    with pretend_gpu(T4) as card:
        yield card


def ones(*shape):
    return torch.ones(*shape, device="cuda")


REFUSED = {
    "two devices": lambda: ones(3) + torch.ones(3),
    "a layer elsewhere": lambda: nn.Linear(3, 2)(ones(1, 3)),
    "an index for a CPU tensor": lambda: torch.ones(3)[ones(2).long()],
    "a CPU mask": lambda: ones(3).masked_fill(torch.ones(3, dtype=torch.bool), 0),
    "a CPU value written": lambda: ones(3).index_put((torch.tensor([0, 1]),), torch.ones(2)),
    "a result on the CPU": lambda: torch.ones(3).add_(ones(3)),
    "numpy": lambda: ones(3).numpy(),
    "numpy by itself": lambda: np.asarray(ones(3)),
    "a CPU generator": lambda: torch.rand(3, device="cuda", generator=torch.Generator()),
    "a CPU generator in place": lambda: ones(3).normal_(generator=torch.Generator()),
    "a device generator on the CPU": lambda: torch.rand(3, generator=torch.Generator("cuda")),
    "bfloat16 on a T4": lambda: ones(3).bfloat16(),
    "autocast to bfloat16 on a T4": lambda: torch.autocast("cuda", torch.bfloat16),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(gpu, name):
    with pytest.raises((RuntimeError, TypeError), match="device|Generator|generator|bfloat16"):
        REFUSED[name]()


ALLOWED = {
    "a number": lambda: ones(3) + torch.tensor(2.0),
    "an index from the CPU": lambda: ones(3)[torch.tensor([0, 2])],
    "a list as an index": lambda: ones(3, 4)[:, [0, 2]],
    "a copy": lambda: ones(3).copy_(torch.zeros(3)),
    "a generator of its own": lambda: torch.rand(
        3, device="cuda", generator=torch.Generator("cuda").manual_seed(0)
    ),
    "a tensor of numbers": lambda: torch.tensor([1.0, 2.0], device="cuda"),
    "a moved layer": lambda: nn.Linear(3, 2).to("cuda")(ones(1, 3)),
    "a shape changed in place": lambda: ones(1, 3).squeeze_(0) + ones(3),
    "attention": lambda: nn.functional.scaled_dot_product_attention(*[ones(1, 2, 4, 4)] * 3),
}


@pytest.mark.parametrize("name", ALLOWED)
def test_allowed(gpu, name):
    assert ALLOWED[name]().device == torch.device("cuda", 0)


def test_a_list_says_where_to_write(gpu):
    x = torch.zeros(2, 3, device="cuda")
    x[:, [0, 2]] = ones(2)
    x[range(2), range(2)] = 5
    assert x.tolist() == [[5, 0, 1], [1, 5, 1]]


def recurrent_gradient(training: bool):
    net = nn.LSTM(3, 4, batch_first=True).to("cuda").train(training)
    x = ones(2, 5, 3).requires_grad_()
    return torch.autograd.grad(net(x)[0].sum(), x)[0]


def test_recurrent_layers_have_a_gradient_in_training_or_without_cudnn(gpu):
    assert recurrent_gradient(training=True).shape == (2, 5, 3)
    with pytest.raises(RuntimeError, match="cudnn RNN backward"):
        recurrent_gradient(training=False)
    with torch.backends.cudnn.flags(enabled=False):
        assert recurrent_gradient(training=False).shape == (2, 5, 3)


def test_waits_are_counted_by_line(gpu):
    x = ones(4)
    for _ in range(3):
        x.sum().item()
    x + x
    assert list(gpu.waits.values()) == [3]
    assert "test_device.py" in next(iter(gpu.waits))


@pytest.mark.parametrize(
    "wait",
    [
        lambda x: x.cpu(),
        lambda x: x.tolist(),
        lambda x: x.nonzero(),
        lambda x: x[x > 0],
        lambda x: bool(x.any()),
        lambda x: f"{x.sum():.1f}",
        lambda x: torch.zeros(4).copy_(x),
    ],
)
def test_a_wait(gpu, wait):
    wait(ones(4))
    assert gpu.waits.total() == 1


@pytest.mark.parametrize("card", [T4, SMALL, A100], ids=lambda card: card.name)
def test_memory_and_chunks_follow_the_card(card):
    with pretend_gpu(card):
        held = ones(2**20)
        assert free_memory("cuda") == card.memory - held.nbytes
        assert chunk_for(GIB, "cuda") == (card.memory - held.nbytes) // (2 * GIB)
        assert half_precision("cuda") is card.bfloat16


def test_out_of_memory_halves_the_chunk():
    with pretend_gpu(Card("a small one", 2**20, bfloat16=True, capability=(8, 0))) as gpu:
        x = ones(64, 1024)  # a quarter of the memory
        sizes = []

        def wasteful(rows):
            sizes.append(len(rows))
            return (rows.repeat(1, 8) + 1).sum(1)

        assert in_chunks(wasteful, x).shape == (64,)
        assert sizes[:2] == [64, 32]
        assert gpu.peak <= gpu.card.memory


def test_what_is_dropped_is_free_again(gpu):
    x = ones(1000)
    view = x[:10]
    del x
    assert gpu.held == 4000  # the view holds it
    del view
    assert gpu.held == 0


def test_afterwards_there_is_no_card():
    with pretend_gpu(T4):
        assert torch.cuda.is_available()
    assert torch.Generator().device.type == "cpu"
    assert torch.autocast("cpu").device == "cpu"
    assert torch.cuda.mem_get_info.__module__ == "torch.cuda.memory"


def operations(run) -> tuple[float, float]:
    with pretend_gpu(T4) as gpu:
        x = ones(4, 4)
        before = gpu.launches
        run(x)
        return gpu.launches - before, gpu.operations


PRODUCT = 2 * 4**3  # additions and multiplications


@pytest.mark.parametrize(
    ("run", "counted"),
    [
        (lambda x: x @ x, (1, PRODUCT)),
        (lambda x: x.t()[:2].reshape(8), (1, 0)),  # the reshape copies, the rest are views
        (lambda x: x + x, (1, 0)),
        (lambda x: nn.functional.conv2d(x[None, None], x[None, None]), (1, 2 * 16)),
    ],
)
def test_kernels_and_operations(run, counted):
    assert operations(run) == counted


def test_a_recurrent_layers_operations():
    net = nn.LSTM(3, 4, batch_first=True, bidirectional=True)

    def run(x):
        net.to("cuda")(ones(2, 5, 3))

    # 2 texts of 5 words, 2 directions, 4 gates of 4: from 3 numbers a word and 4 a hidden state
    assert operations(run)[1] == 2 * (2 * 5) * 2 * (4 * 4) * (3 + 4)


def repeated(x, steps=30):
    for _ in range(steps):
        x @ x


@dataclass
class Plan:
    steps: int = 30


def planned(x, settings):
    repeated(x, settings.steps)


CELL = "for _ in range(30):\n    x @ x\nfor step, y in zip(range(1, 31), [x] * 40):\n    y @ y"


def cell(x):
    exec(compile(lessons.shortened_source(CELL, "cell"), "cell", "exec"), {"x": x} | lessons.NAMES)


@pytest.mark.parametrize(
    ("run", "times"),
    [
        (lessons.capped(repeated), 30),
        (lambda x: lessons.capped(repeated)(x, 60), 60),
        (lambda x: lessons.capped(planned)(x, Plan()), 30),
        (cell, 60),
    ],
)
def test_what_is_left_out_counts(run, times):
    assert operations(run) == pytest.approx((times, times * PRODUCT))


def test_large_products_are_counted_and_made_up():
    net = nn.LSTM(8, 4, batch_first=True)
    with pretend_gpu(T4, large=lambda name, operations: operations > 100) as gpu:
        x = ones(4, 8)
        small, large = x[:2] @ x.t()[:, :2], x @ x.t()
        assert small.unique().tolist() == [8]
        assert large.shape == (4, 4)
        assert large.unique().numel() == 16
        assert gpu.operations == 2 * 8 * (2 * 2 + 4 * 4)
        words = ones(3, 5, 8).requires_grad_()
        hidden = net.to("cuda")(words)[0]
        assert torch.autograd.grad(hidden.sum(), words)[0].shape == (3, 5, 8)
