"""What is promised around the mathematics: models left alone, clear errors, any chunks."""

from collections import OrderedDict
from functools import partial

import pytest
import torch
from torch import nn

from helpers import saliency
from helpers.ground.errors import CourseError
from helpers.saliency import core, metrics
from tests.benchmarks.bench import peak_mb
from tests.saliency.conftest import make_net

METHODS = {
    "gradient": saliency.gradient,
    "gradient_x_input": saliency.gradient_x_input,
    "smoothgrad": partial(saliency.smoothgrad, samples=5),
    "squared": partial(saliency.smoothgrad, samples=5, squared=True),
    "integrated_gradients": partial(saliency.integrated_gradients, steps=6),
    "ig_smoothgrad": partial(saliency.ig_smoothgrad, samples=3, steps=4),
    "guided_backprop": saliency.guided_backprop,
    "grad_cam": partial(saliency.grad_cam, layer="last"),
    "occlusion": partial(saliency.occlusion, window=5, stride=4),
    "rise": partial(saliency.rise, masks=20, cells=4),
    "scores": saliency.scores,
}
MAPS = {name: method for name, method in METHODS.items() if name != "scores"}


@pytest.fixture
def x():
    return torch.randn(
        3, 3, 17, 13, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )


def snapshot(model: nn.Module) -> dict:
    return {
        "modes": [m.training for m in model.modules()],
        "asked": [p.requires_grad for p in model.parameters()],
        "grads": [None if p.grad is None else p.grad.clone() for p in model.parameters()],
        "state": {k: v.clone() for k, v in model.state_dict().items()},
        "hooks": [
            (len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks))
            for m in model.modules()
        ],
        "forwards": [m.forward.__func__ for m in model.modules()],
    }


def assert_same(before: dict, after: dict):
    for key in ("modes", "asked", "hooks", "forwards"):
        assert before[key] == after[key], key
    for a, b in zip(before["grads"], after["grads"], strict=True):
        assert (a is None and b is None) or torch.equal(a, b)
    assert all(torch.equal(before["state"][k], after["state"][k]) for k in before["state"])


@pytest.fixture
def used_model():
    """In the middle of somebody's training: mixed modes, gradients, frozen parts, their hook."""
    model = make_net("in-place").train()
    model.norm.eval()
    model.second.weight.requires_grad_(False)
    model.head.weight.grad = torch.ones_like(model.head.weight)
    model.first.register_forward_hook(lambda *_: None)
    return model


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("mode", ["normal", "no_grad", "inference"])
def test_the_model_is_left_as_it_was(name, mode, used_model, x):
    used_model.norm.train()  # would move its statistics, were it not switched off
    before, picture = snapshot(used_model), x.clone()
    with {"normal": torch.enable_grad, "no_grad": torch.no_grad, "inference": torch.inference_mode}[
        mode
    ]():
        result = METHODS[name](used_model, x.clone() if mode == "inference" else x, 1)
    assert not result.requires_grad
    assert result.isfinite().all()
    assert_same(before, snapshot(used_model))
    assert torch.equal(x, picture)
    assert x.grad is None
    assert not x.requires_grad
    torch.testing.assert_close(result.clone(), METHODS[name](make_net("in-place"), x, 1))


class Fails(nn.Module):
    def forward(self, x):
        raise RuntimeError("somewhere in the middle")


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("error", ["in the model", "in the target"])
def test_also_after_an_error(name, error, used_model, x):
    if error == "in the model":
        used_model.relu3 = Fails()
    before = snapshot(used_model)
    with pytest.raises(RuntimeError if error == "in the model" else CourseError):
        METHODS[name](used_model, x, 1 if error == "in the model" else 17)
    assert_same(before, snapshot(used_model))
    assert (
        torch.relu(torch.tensor([1.0], requires_grad=True)).grad_fn is not None
    )  # no mode is left behind
    assert torch.overrides._get_current_function_mode() is None


def test_an_input_in_place_layer_does_not_touch_the_picture(x):
    model = nn.Sequential(nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(3 * 17 * 13, 4)).double()
    picture = x.clone()
    for name in ("gradient", "integrated_gradients", "guided_backprop", "occlusion", "rise"):
        METHODS[name](model, x, 0)
    assert torch.equal(x, picture)


@pytest.mark.parametrize("name", METHODS)
def test_chunks_change_nothing(name, x, monkeypatch):
    whole = METHODS[name](make_net("batch norm"), x, [0, 1, 2])
    monkeypatch.setattr(core, "chunk_size", lambda x: 2)
    torch.testing.assert_close(METHODS[name](make_net("batch norm"), x, [0, 1, 2]), whole)


@pytest.mark.parametrize("name", METHODS)
def test_a_batch_is_its_pictures_one_by_one(name, x):
    if name in ("smoothgrad", "squared", "ig_smoothgrad"):
        pytest.skip("each picture of a batch has its own noise")
    net, targets = make_net("residual"), [4, 0, 2]
    batch = METHODS[name](net, x, torch.tensor(targets))
    for i, target in enumerate(targets):
        torch.testing.assert_close(METHODS[name](net, x[i : i + 1], target), batch[i : i + 1])


def test_seeds(x):
    net = make_net("plain")
    for method in (MAPS["smoothgrad"], MAPS["rise"], MAPS["ig_smoothgrad"]):
        assert torch.equal(method(net, x, 0, seed=1), method(net, x, 0, seed=1))
        assert not torch.allclose(method(net, x, 0, seed=1), method(net, x, 0, seed=2))


def test_out_of_memory_halves_the_chunk_and_changes_nothing(x):
    net, calls = make_net("plain"), []

    def short_of_memory(module, args):
        calls.append(len(args[0]))
        if len(args[0]) > 4:
            raise torch.OutOfMemoryError("out of memory")

    whole = {
        name: MAPS[name](net, x, 0)
        for name in ("smoothgrad", "integrated_gradients", "rise", "occlusion")
    }
    net.register_forward_pre_hook(short_of_memory)
    for name, expected in whole.items():
        calls.clear()
        torch.testing.assert_close(MAPS[name](net, x, 0), expected)
        assert max(calls) > 4 >= min(calls)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("name", MAPS)
def test_gpu_agrees(name, x):
    if name in ("smoothgrad", "squared", "ig_smoothgrad"):
        pytest.skip("the two devices draw other noise")
    on_gpu = MAPS[name](make_net("batch norm").cuda(), x.cuda(), 1)
    assert on_gpu.is_cuda
    torch.testing.assert_close(
        on_gpu.cpu(), MAPS[name](make_net("batch norm"), x, 1), rtol=1e-6, atol=1e-9
    )


def test_rise_asks_once_a_mask_and_finds_the_corner_that_a_model_sees():
    class Corner(nn.Module):
        def __init__(self):
            super().__init__()
            self.seen = 0

        def forward(self, x):
            self.seen += len(x)
            return torch.stack([x[:, 0, :6, :6].mean((1, 2)) * 20 - 5, torch.zeros(len(x))], dim=1)

    picture, model = torch.ones(1, 3, 24, 24), Corner()
    seen = saliency.rise(model, picture, 0, masks=500, cells=4)
    assert model.seen == 500
    assert seen[0, 0, :6, :6].mean() > seen[0, 0, 12:, 12:].mean() + 0.05


# ---------------------------------------------------------------- bad input: one sentence each


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: x[:0], "batch is empty"),
        (
            lambda x: x.index_fill(3, torch.tensor([2]), float("nan")),
            "153 of the inputs' 1989 values are NaN",
        ),
        (lambda x: (x * 255).byte(), "float tensor .* not torch.uint8"),
        (lambda x: x.numpy(), "float tensor"),
    ],
)
def test_bad_pictures(name, change, words, x):
    with pytest.raises(CourseError, match=words) as caught:
        METHODS[name](make_net("plain"), change(x), 0)
    assert "\n" not in str(caught.value)


MEASURES = {
    "completeness_error": lambda net, x, c: saliency.completeness_error(net, x, c, x),
    "deletion": lambda net, x, c: metrics.deletion(net, x, c, x[:, 0]),
    "infidelity": lambda net, x, c: metrics.infidelity(net, x, c, x, samples=3),
}


@pytest.mark.parametrize("name", [*METHODS, *MEASURES])
@pytest.mark.parametrize("part", ["first.weight", "last.bias", "head.bias"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_model_that_gives_no_numbers_is_named(name, part, value, x):
    """With head.bias alone the gradients would be numbers, and the map would look like one."""
    net = make_net("plain")
    net.get_parameter(part).data.fill_(value)
    with pytest.raises(CourseError, match="scores or gradients .* are NaN or infinite"):
        (METHODS | MEASURES)[name](net, x, 0)


@pytest.mark.parametrize("name", METHODS)
def test_a_sparse_picture_is_the_same_picture(name, x):
    x = x.relu()
    torch.testing.assert_close(
        METHODS[name](make_net("plain"), x.to_sparse(), 0), METHODS[name](make_net("plain"), x, 0)
    )


def test_tensors_without_numbers_are_refused(x):
    for picture in (x.to("meta"), torch.nested.nested_tensor(list(x), layout=torch.jagged)):
        with pytest.raises(CourseError, match="not a nested or a meta one"):
            saliency.gradient(make_net("plain"), picture, 0)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (5, "Class 5 does not exist: this model has 5 classes, 0 to 4"),
        (-1, "Class -1 does not exist"),
        ([0, 1], "3 pictures need one target for all or one each.*\\(2,\\)"),
        (1.0, "whole number of a class, not 1.0"),
        (torch.zeros(3, 5), "whole number"),
        ("cat", "whole number of a class, not 'cat'"),
        (None, "whole number of a class, not None"),
        ([[0, 1], [2]], "whole number"),
        (2**70, "whole number"),
        ([0, 9, 1], "Class 9"),
    ],
)
def test_bad_targets(target, words, x):
    for method in (saliency.gradient, MAPS["grad_cam"], MAPS["occlusion"]):
        with pytest.raises(CourseError, match=words):
            method(make_net("plain"), x, target)


class Wraps(nn.Module):
    def __init__(self, after):
        super().__init__()
        self.net, self.after = make_net("plain"), after

    def forward(self, x):
        return self.after(self.net(x))


@pytest.mark.parametrize("after", [torch.detach, lambda s: s.argmax(1, keepdim=True).double()])
@pytest.mark.parametrize(
    "method", [saliency.gradient, partial(saliency.grad_cam, layer="net.last")]
)
def test_a_score_without_gradient(after, method, x):
    with pytest.raises(CourseError, match="no gradient.*occlusion\\(\\) and rise\\(\\) need none"):
        method(Wraps(after), x, 0)
    assert saliency.occlusion(Wraps(after), x, 0, window=5, stride=5).isfinite().all()


def test_a_score_that_comes_another_way():
    here, elsewhere = (torch.ones(2, requires_grad=True) for _ in range(2))
    with pytest.raises(CourseError, match="no gradient with respect to what is to be explained"):
        core.derivative(elsewhere * 2, here)
    assert core.derivative(elsewhere * 2, elsewhere).tolist() == [2, 2]


GELU = [nn.Conv2d(3, 4, 3), nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]


@pytest.mark.parametrize(
    ("method", "model", "words"),
    [
        ("gradient", Wraps(lambda s: {"logits": s}), "gave a dict.*self.model\\(x\\).logits"),
        ("gradient", Wraps(lambda s: s[:, 0]), "\\(B, classes\\), but gave a Tensor \\(3,\\)"),
        ("guided_backprop", nn.Sequential(*GELU).double(), "called none"),
        *((name, lambda x: x.mean((2, 3)), "an nn.Module, not a function") for name in METHODS),
    ],
)
def test_bad_models(method, model, words, x):
    with pytest.raises(CourseError, match=words):
        METHODS[method](model, x, 0)


@pytest.mark.parametrize("how", ["script", "trace"])
def test_scripted_models_have_gradients_and_no_layers(how, x):
    layers = {"last": nn.Conv2d(3, 4, 3), "relu": nn.ReLU(), "flat": nn.Flatten()}
    net = nn.Sequential(OrderedDict(layers | {"head": nn.Linear(660, 5)})).double().eval()
    scripted = torch.jit.script(net) if how == "script" else torch.jit.trace(net, x)
    torch.testing.assert_close(saliency.gradient(scripted, x, 0), saliency.gradient(net, x, 0))
    for method in ("guided_backprop", "grad_cam"):
        with pytest.raises(CourseError, match="scripted or traced"):
            METHODS[method](scripted, x, 0)


def test_frozen_scripts_have_gradients_and_exported_models_are_named(x):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(660, 5)).double()
    frozen = torch.jit.freeze(torch.jit.script(net.eval()))
    torch.testing.assert_close(saliency.gradient(frozen, x, 0), saliency.gradient(net, x, 0))
    exported = torch.export.export(net, (x,)).module()
    with pytest.raises(CourseError, match="exported .*: use the nn.Module it was made from"):
        saliency.gradient(exported, x, 0)


@pytest.mark.parametrize("name", METHODS)
def test_a_picture_without_its_batch_is_named(name, x):
    with pytest.raises(CourseError, match=r"not \(3, 17, 13\); picture\[None\] adds the B"):
        METHODS[name](make_net("plain"), x[0], 0)


@pytest.mark.parametrize("what", ["weights", "a buffer"])
def test_weights_from_inference_mode_are_named(what, x):
    net = make_net("batch norm")
    with torch.inference_mode():
        if what == "weights":
            net = make_net("plain")
        else:
            net.norm.running_mean = torch.zeros_like(net.norm.running_mean)
    for method in METHODS.values():
        with pytest.raises(CourseError, match=r"made in torch.inference_mode\(\): make it outside"):
            method(net, x, 0)


def test_a_layer_of_which_another_output_is_used_is_named(x):
    class Two(nn.Module):
        def forward(self, x):
            return x, x * 1

    class Second(nn.Module):
        def __init__(self):
            super().__init__()
            self.two, self.net = Two(), make_net("plain")

        def forward(self, x):
            return self.net(self.two(x)[1])

    with pytest.raises(CourseError, match="of which another output is used .choose one inside it"):
        saliency.grad_cam(Second(), x, 0, layer="two")


def test_bad_layers(x):
    net = make_net("plain")
    with pytest.raises(CourseError, match="no layer 'lst'; near it: last"):
        saliency.grad_cam(net, x, 0, layer="lst")
    with pytest.raises(CourseError, match="no layer 'zzzz'; near it: .*head"):
        saliency.grad_cam(net, x, 0, layer="zzzz")
    for other in (["last"], None, 3):
        with pytest.raises(CourseError, match="no layer .*; near it"):
            saliency.grad_cam(net, x, 0, layer=other)
    with pytest.raises(CourseError, match="no part of the model"):
        saliency.grad_cam(net, x, 0, layer=nn.ReLU())
    with pytest.raises(CourseError, match="layer with places.*\\(3, 5\\)"):
        saliency.grad_cam(net, x, 0, layer="head")
    net.unused = nn.Conv2d(3, 3, 1)
    with pytest.raises(CourseError, match="'unused' was not used"):
        saliency.grad_cam(net, x, 0, layer="unused")


def test_a_transformers_last_block_is_too_late():
    import timm

    net = timm.create_model("vit_tiny_patch16_224", num_classes=3).eval()
    with pytest.raises(CourseError, match="before the last attention"):
        saliency.grad_cam(net, torch.randn(1, 3, 224, 224), 0, layer="blocks.11")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (partial(saliency.occlusion, window=5, stride=8), "stride 8 and window 5"),
        (partial(saliency.occlusion, window=40), "window 40"),
        (partial(saliency.integrated_gradients, steps=0), "steps should be .* not 0"),
        (partial(saliency.smoothgrad, samples=0), "samples should be .* not 0"),
        (partial(saliency.ig_smoothgrad, samples=0), "samples should be"),
        (partial(saliency.ig_smoothgrad, steps=-1), "steps should be .* not -1"),
        (partial(saliency.rise, masks=0), "masks should be"),
        (partial(saliency.rise, cells=0), "cells should be"),
        (partial(saliency.rise, keep=0), "keep is the share .* not 0"),
        (partial(saliency.rise, keep=1.5), "keep is the share .* not 1.5"),
        *(
            (partial(method, baseline=baseline), words)
            for method in (saliency.integrated_gradients, METHODS["occlusion"])
            for baseline, words in (
                (torch.zeros(4), "fits the inputs' .*, not shape \\(4,\\)"),
                ([0.0, 1.0, 2.0, 3.0], "fits the inputs' .*, not \\[0.0"),
                ("black", "a number or a tensor .*, not 'black'"),
                (float("nan"), "a number or a tensor .*, not nan"),
                (torch.full((3, 17, 26), torch.nan), "a number or a tensor .*, not shape"),
            )
        ),
        (lambda m, x, t: saliency.occlusion(m, x[0], t), "picture\\[None\\]"),
    ],
)
def test_bad_options(call, words, x):
    with pytest.raises(CourseError, match=words):
        call(make_net("plain"), torch.cat((x, x), dim=3), 0)


def test_completeness_has_no_meaning_where_nothing_changes(x):
    net = make_net("plain")
    assert saliency.completeness_error(net, x, 0, torch.zeros_like(x), baseline=x).isnan().all()


# ---------------------------------------------------------------- number types


def test_more_masks_are_no_worse_in_half_precision(x):
    """Sums of 1,000 masks in bfloat16 itself agree to .95, of 4,000 to .60."""
    exact, half = (
        saliency.rise(make_net("plain").to(dtype), x[:1], 1, masks=2000, cells=4).double()
        for dtype in (torch.float64, torch.bfloat16)
    )
    assert torch.corrcoef(torch.stack((exact.flatten(), half.flatten())))[0, 1] > 0.995


# ---------------------------------------------------------------- measures


def test_measures():
    flat, single = torch.ones(1, 3, 10, 10), torch.zeros(1, 3, 10, 10)
    single[0, 0, 5, 5] = -4
    checker = (
        (torch.arange(10)[:, None] + torch.arange(10)[None])
        .remainder(2)
        .float()
        .expand(1, 1, 10, 10)
    )
    assert metrics.total_variation(flat).item() == metrics.concentration(flat).item() == 0
    assert metrics.total_variation(checker).item() == pytest.approx(
        4
    )  # steps of 1 both ways, mean of .5
    assert (
        metrics.total_variation(checker, block=2).item() == 0
    )  # black and white cancel in every block
    assert metrics.concentration(single).item() == pytest.approx(0.99)  # 1 - 1/N
    assert metrics.concentration(checker).item() == pytest.approx(0.5)
    noise = torch.randn(2, 3, 10, 10, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        metrics.total_variation(noise * -7), metrics.total_variation(noise)
    )  # scale and sign
    m = metrics.magnitude(noise)[0].flatten()
    gini = (m[:, None] - m[None]).abs().mean() / (2 * m.mean())  # its definition
    torch.testing.assert_close(metrics.concentration(noise)[0], gini)


LIGHT = {
    **METHODS,
    "occlusion": partial(saliency.occlusion, window=16, stride=16),
    "rise": partial(saliency.rise, masks=3, cells=4),
}


@pytest.mark.parametrize("name", LIGHT)
def test_memory_grows_by_no_more_than_eight_times_the_input(name):
    """A further picture costs copies of it and its map: the network's own memory is bounded."""
    model = make_net("batch norm").float().eval()
    many = torch.rand(800, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    target = torch.zeros(len(many), dtype=torch.long)
    few = peak_mb(lambda: LIGHT[name](model, many[:100], target[:100]))
    all_of_them = peak_mb(lambda: LIGHT[name](model, many, target))
    assert all_of_them <= few + 8 * many.nbytes / 1e6 + 40  # 40: what the allocator rounds up
