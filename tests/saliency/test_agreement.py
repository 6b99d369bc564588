"""The methods beside captum and pytorch-grad-cam, in float64, and beside hand-written formulas."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from captum import attr
from torch import nn

from helpers import saliency
from helpers.ground.errors import CourseError
from helpers.saliency import cam
from helpers.saliency.perturbation import soft_masks, windows
from tests.saliency.conftest import Smooth, make_net

close = partial(torch.testing.assert_close, rtol=1e-9, atol=1e-12)
TARGET = torch.tensor([3, 0, 4])


def close_32(ours, theirs):
    """Where captum computes in float32 on the way."""
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() < 1e-6 * theirs.abs().max()


def test_gradient_and_times_input(net, x):
    close(saliency.gradient(net, x, TARGET), attr.Saliency(net).attribute(x, TARGET, abs=False))
    close(saliency.gradient_x_input(net, x, TARGET), attr.InputXGradient(net).attribute(x, TARGET))


@pytest.mark.parametrize("baseline", [0.0, -0.5, "picture"])
def test_integrated_gradients(net, x, baseline):
    base = x.flip(0) * 0.3 if baseline == "picture" else baseline
    ours = saliency.integrated_gradients(net, x, TARGET, steps=11, baseline=base)
    theirs, delta = attr.IntegratedGradients(net).attribute(
        x, base, TARGET, n_steps=11, method="riemann_middle", return_convergence_delta=True
    )
    close_32(ours, theirs)  # captum's midpoints are float32
    difference = saliency.scores(net, x, TARGET) - saliency.scores(
        net, torch.zeros_like(x) + base, TARGET
    )
    close(
        saliency.completeness_error(net, x, TARGET, ours, baseline=base),
        (delta / difference).abs(),
        rtol=1e-4,
        atol=1e-6,
    )


@pytest.mark.parametrize("squared", [False, True])
def test_smoothgrad(net, x, squared, monkeypatch):
    seen = []

    def of(model, noisy, target):
        seen.append(noisy)
        return saliency.gradient(model, noisy, target)

    ours = saliency.smoothgrad(net, x, TARGET, samples=7, noise=0.2, squared=squared, of=of, seed=3)
    noise = torch.cat(seen).view(7, *x.shape) - x  # (samples, B, C, H, W)
    assert 0.18 < noise.std() < 0.22  # the pictures' range is 1
    monkeypatch.setattr(torch, "normal", lambda mean, std: noise.transpose(0, 1).flatten(0, 1))
    theirs = attr.NoiseTunnel(attr.Saliency(net)).attribute(
        x,
        nt_type="smoothgrad_sq" if squared else "smoothgrad",
        nt_samples=7,
        stdevs=0.2,
        target=TARGET,
        abs=False,
    )
    close(ours, theirs)


def test_smoothing_another_map_is_its_mean_over_the_same_copies(x):
    net, copies = make_net("batch norm"), []

    def of(model, noisy, target):
        copies.append(noisy)
        return saliency.integrated_gradients(model, noisy, target, steps=4)

    saliency.smoothgrad(net, x, 2, samples=5, of=of, seed=9)
    each = [
        saliency.integrated_gradients(net, n, 2, steps=4)
        for n in torch.cat(copies).view(5, *x.shape)
    ]
    close(saliency.ig_smoothgrad(net, x, 2, samples=5, steps=4, seed=9), torch.stack(each).mean(0))


@pytest.mark.parametrize(
    "kind", ["plain", "batch norm", "strided"]
)  # captum allows no in-place and no shared ReLU
def test_guided_backprop(kind, x):
    net = make_net(kind)
    close(saliency.guided_backprop(net, x, TARGET), attr.GuidedBackprop(net).attribute(x, TARGET))


def test_grad_cam(net, x):
    ours = saliency.grad_cam(net, x, TARGET, layer="last")
    coarse = attr.LayerGradCam(make_like(net), None)
    coarse.layer = coarse.forward_func.last
    theirs = coarse.attribute(x, TARGET, relu_attributions=True)
    close(ours, F.interpolate(theirs, x.shape[2:], mode="bilinear", align_corners=False))


def make_like(net):
    """The same network, no ReLU in place: captum keeps no copy of a layer's output."""
    from copy import deepcopy

    other = deepcopy(net)
    for module in other.modules():
        if hasattr(module, "inplace"):
            module.inplace = False
    return other


def test_grad_cam_beside_pytorch_grad_cam(x):
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    net = make_net("batch norm").float()
    with GradCAM(net, [net.second]) as cam:
        theirs = torch.tensor(cam(x.float(), [ClassifierOutputTarget(int(t)) for t in TARGET]))
    ours = saliency.grad_cam(net, x.float(), TARGET, layer="second")[:, 0]
    high = ours.amax((1, 2), keepdim=True)  # theirs is scaled to 0 … 1
    low = ours.amin((1, 2), keepdim=True)
    torch.testing.assert_close((ours - low) / (high - low), theirs, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", ["plain", "batch norm", "strided"])
def test_guided_grad_cam(kind, x):
    net = make_net(kind)
    theirs = attr.GuidedGradCam(net, net.last).attribute(x, TARGET, interpolate_mode="bilinear")
    cam = saliency.grad_cam(net, x, TARGET, layer=net.last)
    close(saliency.guided_backprop(net, x, TARGET) * cam, theirs)


@pytest.mark.parametrize(("window", "stride"), [(5, 3), (4, 4), (13, 2)])
def test_occlusion(x, window, stride):
    net = make_net("batch norm")
    base = x.mean((2, 3), keepdim=True)
    theirs = attr.Occlusion(net).attribute(
        x, (3, window, window), (3, stride, stride), base.expand_as(x), TARGET
    )
    ours = saliency.occlusion(net, x, TARGET, window=window, stride=stride, baseline=base)
    close_32(ours.expand_as(x), theirs.double())  # captum's sums are float32
    assert windows(17, 5, 3).sum(0).min() >= 1  # every pixel is covered


def test_rise_is_the_formula(x):
    """Σ p(x · M) M / (N · keep), written out, one mask and one picture at a time."""
    net, n = make_net("residual"), 20
    ours = saliency.rise(net, x, TARGET, masks=n, cells=4, keep=0.3, seed=5)
    generator = torch.Generator().manual_seed(5)
    grids = (torch.rand(n, 1, 4, 4, generator=generator) < 0.3).to(x)
    masks = soft_masks(grids, torch.rand(n, 2, generator=generator), x.shape[2:])
    for i, target in enumerate(TARGET):
        total = sum(net(x[i : i + 1] * m).softmax(1)[0, target] * m for m in masks)
        close(ours[i, 0], total.detach() / (n * 0.3))


def test_soft_masks_are_shifted_cuts_of_the_enlarged_grid():
    grid = (torch.rand(1, 1, 3, 3, generator=torch.Generator().manual_seed(0)) < 0.5).double()
    large = F.interpolate(grid, (16, 12), mode="bilinear", align_corners=False)[0, 0]
    mask = soft_masks(grid, torch.tensor([[0.5, 0.99]]), (11, 9))[0]  # shifts: 2 of 4, 2 of 3
    close(mask, large[2:13, 2:11])
    many = soft_masks((torch.rand(4000, 1, 7, 7) < 0.5).float(), torch.rand(4000, 2), (28, 28))
    assert abs(many.mean() - 0.5) < 0.01
    assert many.min() >= 0
    assert many.max() <= 1


# ---------------------------------------------------------------- ReLUs in all spellings


SPELLINGS = {
    "shared": nn.ReLU(),
    "in-place": nn.ReLU(inplace=True),
    "F.relu": F.relu,
    "F.relu_": partial(F.relu, inplace=True),
    "torch.relu": torch.relu,
    "torch.relu_": torch.relu_,
    "tensor.relu": lambda x: x.relu(),
    "tensor.relu_": lambda x: x.relu_(),
    "clamp(0)": lambda x: x.clamp(0),
    "clamp(min=0)": lambda x: x.clamp(min=0),
    "clamp_(min=0)": lambda x: x.clamp_(min=0),
    "clamp_min": lambda x: x.clamp_min(0),
    "torch.clip": lambda x: torch.clip(x, 0.0),
    "threshold": nn.Threshold(0, 0),
    "shared 6": nn.ReLU6(),
    "in-place 6": nn.ReLU6(inplace=True),
    "F.relu6": F.relu6,
    "clamp(0, 6)": lambda x: x.clamp(0, 6),
    "hardtanh 6": lambda x: F.hardtanh(x, 0.0, 6.0),
    "hardtanh 6, named": lambda x: F.hardtanh(x, max_val=6.0, min_val=0.0),
}


class Spelled(nn.Module):
    """The same function each time: two convolutions with one ReLU(6) each."""

    def __init__(self, act):
        super().__init__()
        torch.manual_seed(2)
        self.a, self.b, self.head = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Linear(4, 5)
        self.act = act
        self.double()

    def forward(self, x):
        return self.head(self.act(self.b(self.act(self.a(x) * 4))).mean(dim=(2, 3)))


class Guided(torch.autograd.Function):
    """The rule of the paper, written down: g · [0 < x < ceiling] · [g > 0]."""

    @staticmethod
    def forward(ctx, x, ceiling):
        ctx.gate = (x > 0) & (x < ceiling)
        return x.clamp(0, ceiling)

    @staticmethod
    def backward(ctx, g):
        return g * ctx.gate * (g > 0), None


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_of_relu(spelling):
    x = torch.randn(2, 3, 9, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2
    net = Spelled(SPELLINGS[spelling])
    ceiling = 6.0 if "6" in spelling else float("inf")
    leaf = x.clone().requires_grad_()
    hidden = Guided.apply(net.a(leaf) * 4, ceiling)
    assert ceiling == float("inf") or (hidden == 6).any()  # the upper gate is at work
    score = net.head(Guided.apply(net.b(hidden), ceiling).mean(dim=(2, 3)))[:, 1].sum()
    close(saliency.guided_backprop(net, x, 1), torch.autograd.grad(score, leaf)[0])
    plain = saliency.gradient(net, x, 1)
    assert not torch.allclose(saliency.guided_backprop(net, x, 1), plain)
    close(saliency.gradient(net, x, 1), plain)  # and the ReLUs are themselves again


class Floor(nn.Module):
    def forward(self, x):
        return x.clamp(min=-1).clamp(max=1)


@pytest.mark.parametrize("act", [nn.Hardtanh(), Floor()])
def test_other_bounds_are_no_relu(act, x):
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), act, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    ).double()
    leaf = x.clone().requires_grad_()
    score = Guided.apply(net[1](net[0](leaf)), float("inf")).mean((2, 3))[:, 0].sum()
    close(saliency.guided_backprop(net, x, 0), torch.autograd.grad(score, leaf)[0])


# ---------------------------------------------------------------- properties


@pytest.mark.parametrize("seed", range(5))
def test_completeness_below_one_percent_at_64_steps_on_smooth_networks(seed):
    net = Smooth(seed).double()
    x = torch.randn(
        4, 3, 12, 11, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )
    errors = []
    for steps in (4, 64):
        ig = saliency.integrated_gradients(net, x, seed % 4, steps=steps, baseline=-1.0)
        errors.append(saliency.completeness_error(net, x, seed % 4, ig, baseline=-1.0).max().item())
    assert errors[1] < 0.01
    assert errors[1] < errors[0]


def test_gradient_x_input_sums_to_the_score_without_biases(x):
    net = make_net("plain")
    for module in net.modules():
        if getattr(module, "bias", None) is not None:
            nn.init.zeros_(module.bias)
    close(saliency.gradient_x_input(net, x, TARGET).sum((1, 2, 3)), saliency.scores(net, x, TARGET))


class Saturated(nn.Module):
    """1 - ReLU(1 - x) for a single number."""

    def forward(self, x):
        return 1 - torch.relu(1 - x)


def test_steps_at_a_power_of_u_are_weighed_by_their_spacing():
    class Cubed(torch.nn.Module):
        def forward(self, x):
            return x.flatten(1).sum(1, keepdim=True) ** 3

    x, u = torch.full((1, 1, 2, 2), 0.5), (torch.arange(8) + 0.5) / 8  # S = 8, dS/dx = 12 a²
    want = (0.5 * 12 * u**6 * 3 * u**2).mean().item()
    got = saliency.integrated_gradients(Cubed(), x, 0, steps=8, power=3)
    torch.testing.assert_close(got, torch.full_like(x, want))


def test_saturation_gradient_0_integrated_gradients_1():
    x = torch.tensor([[2.0]])
    assert saliency.gradient(Saturated(), x, 0).item() == 0
    assert saliency.integrated_gradients(Saturated(), x, 0, steps=64).item() == pytest.approx(1)


def test_guided_backprop_depends_on_the_implementation():
    """x as it stands and as ReLU(x) - ReLU(-x): the gradient is 1 for both, guided 0 for one."""

    class Split(nn.Module):
        def forward(self, x):
            return torch.relu(x) - torch.relu(-x)

    x = torch.tensor([[-1.0]])
    assert saliency.gradient(Split(), x, 0).item() == 1
    assert saliency.guided_backprop(Split(), x, 0).item() == 0


# ---------------------------------------------------------------- the layout of a layer's output


def cam_by_hand(net, x, layer, patches, grid):
    """patches(output) -> (B, h w, K) of what the layer puts out."""
    kept = []
    handle = layer.register_forward_hook(lambda m, i, out: kept.append(out))
    score = net(x).gather(1, TARGET[: len(x), None]).sum()
    handle.remove()
    A, dA = patches(kept[0]), patches(torch.autograd.grad(score, kept[0])[0])
    cam = (A * dA.mean(1, keepdim=True)).sum(-1).relu().view(len(x), 1, *grid).detach()
    return F.interpolate(cam, x.shape[2:], mode="bilinear", align_corners=False)


PADDED = {"dynamic_img_size": True, "dynamic_img_pad": True}
VIT = ("vit_tiny_patch16_224", PADDED, "blocks.10.norm1")


@pytest.mark.parametrize(
    ("size", "name", "options", "layer", "grid"),
    [
        ((96, 160), *VIT, (6, 10)),
        ((97, 131), *VIT, (7, 9)),
        ((96, 160), "swin_tiny_patch4_window7_224", {"img_size": (96, 160)}, "layers.3", (3, 5)),
        ((96, 160), "convnext_atto", {"conv_mlp": False}, "stages.3.blocks.1.norm", (3, 5)),
    ],
)
def test_stock_layouts_of_pictures_that_are_not_square(size, name, options, layer, grid):
    import timm

    torch.manual_seed(0)
    net = timm.create_model(name, num_classes=5, **options).double().eval()
    x = torch.randn(1, 3, *size, dtype=torch.float64)
    by_hand = cam_by_hand(
        net,
        x,
        net.get_submodule(layer),
        lambda t: t.flatten(1, -2)[:, -grid[0] * grid[1] :],
        grid,
    )
    close(saliency.grad_cam(net, x, TARGET[:1], layer=layer), by_hand, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("shape", "grid", "words"),
    [
        ((2, 34, 6), None, "34 tokens are no grid .* 32 x 32 .* give grid"),
        ((2, 17, 6), None, "17 tokens are more than one grid .* such as \\(3, 3\\) or \\(4, 4\\)"),
        ((2, 8, 8, 9), None, "both as .* and .* proportions of the picture: give grid"),
        ((2, 49, 6), (8, 8), "A grid 8 x 8 needs 64 tokens; this layer has 49"),
        ((2, 6, 3, 9), None, "the proportions of the picture: give grid"),
        ((2, 6, 8, 8), (4, 4), "the grid \\(4, 4\\): give grid"),
        ((49, 2, 6), None, "\\(49, 2, 6\\) for 2 pictures"),
        ((2, 6), None, "a layer with places"),
    ],
)
def test_what_fits_no_layout_is_refused(shape, grid, words):
    with pytest.raises(CourseError, match=words):
        cam.as_maps(torch.rand(shape), torch.rand(2, 3, 32, 32), grid)


@pytest.mark.parametrize(
    "name", ["vit_tiny_patch16_224", "resnet18", "convnext_atto", "mobilenetv3_small_050"]
)
def test_stock_networks(name):
    """Every method runs on networks that were not written for it (random weights)."""
    import timm

    torch.manual_seed(0)
    net = timm.create_model(name, num_classes=7).eval()
    x = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    layer = {
        "vit_tiny_patch16_224": "blocks.11.norm1",
        "resnet18": "layer4",
        "convnext_atto": "stages.3",
        "mobilenetv3_small_050": "blocks.5",
    }[name]
    for m in (
        saliency.gradient(net, x, 3),
        saliency.grad_cam(net, x, 3, layer=layer),
        saliency.occlusion(net, x, 3, window=112, stride=112),
        saliency.rise(net, x, 3, masks=8),
    ):
        assert m.shape[0] == 2
        assert m.shape[2:] == (224, 224)
        assert m.isfinite().all()
        assert m.abs().sum() > 0
