"""Saliency beside captum (as it comes, and with its best setting found here) and pytorch-grad-cam,
at equal work; Integrated Gradients also at equal error.

"As it comes" is captum's default for everything but the integration rule, which has to be ours for
the outputs to be equal. At equal error each takes its best rule, and the fewest steps with which
the maps of two photographs miss at most a tenth of the score, on average, and with more steps too
(the error does not fall evenly): ours spaces them at u^3, captum as Gauss and Legendre do, its
default; where 128 are not enough, the name says what they miss. captum has no RISE.
"""

import sys
from functools import partial
from importlib.metadata import version

import torch
import torch.nn.functional as F
from captum import attr, metrics
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn

from helpers import saliency
from helpers.datasets import photos
from helpers.pretrained import imagenet
from helpers.saliency.core import noises
from helpers.saliency.metrics import infidelity
from tests.benchmarks import bench

CAPTUM, CAM = f"captum {version('captum')}", f"pytorch-grad-cam {version('grad-cam')}"
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
MISSED = 0.1  # share of the score, at equal error
STEPS = (8, 12, 16, 24, 32, 48, 64, 96, 128)


def small_cnn() -> nn.Module:
    """A ReLU network for 28-pixel digits, 24,000 parameters, random weights."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 16, 3, padding=1), nn.ReLU()]
    layers += [nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU()]
    layers += [nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.ReLU()]
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)]
    return nn.Sequential(*layers).eval().to(DEVICE)


def fastest(make, choices) -> tuple[object, int]:
    """The peer's call with its best setting, and this setting: the shorter of two times counts."""
    best = min(choices, key=lambda choice: min(bench.time_of(make(choice)) for _ in range(2)))
    return make(best), best


def pair(name, ours, peer, choices, *, tolerance=5e-3, **rest) -> list[bench.Contest]:
    """Beside captum as it comes, peer(None), and beside its best of the choices."""
    best, choice = fastest(peer, choices)
    return [
        bench.Contest(name, ours, peer(None), f"{CAPTUM}, as it comes", tolerance, **rest),
        bench.Contest(name, ours, best, f"{CAPTUM}, best: {choice} at once", tolerance, **rest),
    ]


def captums_ig(net, x, t, steps, size, method="riemann_middle"):
    options = {"n_steps": steps, "method": method, "internal_batch_size": size}
    return partial(attr.IntegratedGradients(net).attribute, x, 0.0, t, **options)


def on_digits() -> list[bench.Contest]:
    net, x = small_cnn(), torch.rand(64, 1, 28, 28, device=DEVICE)
    t = torch.arange(64, device=DEVICE) % 10
    many, few = {"items": 64, "unit": "image"}, {"items": 16, "unit": "image"}
    last_maps = net[5]

    def occlusion(size):
        method, windows = attr.Occlusion(net).attribute, ((1, 7, 7), (1, 3, 3))
        return partial(method, x[:16], *windows, 0.0, t[:16], perturbations_per_eval=size or 1)

    def smoothgrad(size):
        options = {"nt_samples": 25, "nt_samples_batch_size": size, "stdevs": 0.15, "abs": False}
        return partial(
            attr.NoiseTunnel(attr.Saliency(net)).attribute, x, "smoothgrad", target=t, **options
        )

    def captums_infidelity():
        """With our draws: captum asks for the 25 of each picture in a row."""
        change = 0.2 * noises(x, 25, 0).transpose(0, 1).flatten(0, 1)  # (64 · 25, 1, 28, 28)
        moved = lambda copies: (change, copies - change)
        options = {"n_perturb_samples": 25, "max_examples_per_batch": len(change)}
        return metrics.infidelity(net, moved, x, maps, target=t, **options)

    maps = saliency.gradient(net, x, t)
    equal = {  # one call each, with equal results
        "gradient": (saliency.gradient, partial(attr.Saliency(net).attribute, abs=False)),
        "gradient × input": (saliency.gradient_x_input, attr.InputXGradient(net).attribute),
        "Guided Backpropagation": (
            saliency.guided_backprop,
            attr.GuidedBackprop(net).attribute,
        ),
        "Guided Grad-CAM": (
            lambda *of: saliency.guided_backprop(*of) * saliency.grad_cam(*of, layer=last_maps),
            partial(attr.GuidedGradCam(net, last_maps).attribute, interpolate_mode="bilinear"),
        ),
    }
    return [
        *pair(
            "IG, 64 digits, 50 steps",
            partial(saliency.integrated_gradients, net, x, t, steps=50),
            partial(captums_ig, net, x, t, 50),
            (64, 128, 256, 1024),
            **many,
        ),
        *pair(
            "IG, 1 digit, 50 steps",
            partial(saliency.integrated_gradients, net, x[:1], 3, steps=50),
            partial(captums_ig, net, x[:1], 3, 50),
            (10, 25, 50),
        ),
        *pair(
            "occlusion, 16 digits, 64 windows",
            partial(saliency.occlusion, net, x[:16], t[:16], window=7, stride=3),
            occlusion,
            (4, 8, 16, 64),
            **few,
        ),
        *pair(
            "SmoothGrad, 64 digits, 25 samples",
            partial(saliency.smoothgrad, net, x, t),
            smoothgrad,
            (1, 2, 5, 25),
            tolerance=float("inf"),
            apart="other noise",
            **many,
        ),
        *(
            bench.Contest(
                f"{name}, 64 digits",
                partial(ours, net, x, t),
                partial(peer, x, target=t),
                CAPTUM,
                1e-4,
                **many,
            )
            for name, (ours, peer) in equal.items()
        ),
        bench.Contest(
            "infidelity, 64 digits, 25 samples",
            partial(infidelity, net, x, t, maps, samples=25),
            captums_infidelity,
            CAPTUM,
            1e-3,
            **many,
        ),
    ]


def on_photographs() -> list[bench.Contest]:
    net = imagenet.efficientnet_lite0().to(DEVICE)
    x = torch.cat(
        [photos.preprocess(p.image) for p in photos.load("cat", "coffee", "camera", "palace")]
    ).to(DEVICE)
    t = net(x).argmax(1)
    few = {"items": 4, "unit": "image"}

    def occlusion(size):  # captum repeats the map for each colour
        return lambda: attr.Occlusion(net).attribute(
            x[:1], (3, 56, 56), (3, 28, 28), 0.0, t[:1], perturbations_per_eval=size or 1
        )[:, :1]

    def captum_cam():
        coarse = attr.LayerGradCam(net, net.bn2).attribute(x, t, relu_attributions=True)
        return F.interpolate(coarse, x.shape[2:], mode="bilinear", align_corners=False)

    def other_cam():
        with GradCAM(net, [net.bn2]) as cam:
            return cam(x.clone().requires_grad_(), [ClassifierOutputTarget(int(c)) for c in t])

    return [
        *pair(
            "IG, 1 photograph, 16 steps",
            partial(saliency.integrated_gradients, net, x[:1], t[:1], steps=16),
            partial(captums_ig, net, x[:1], t[:1], 16),
            (4, 8, 16),
            tolerance=1e-2,
        ),
        at_equal_error(net, x[:2], t[:2]),
        *pair(
            "occlusion, 1 photograph, 49 windows",
            partial(saliency.occlusion, net, x[:1], t[:1], window=56, stride=28),
            occlusion,
            (4, 8, 16),
            tolerance=1e-3,
        ),
        bench.Contest(
            "Grad-CAM, 4 photographs",
            partial(saliency.grad_cam, net, x, t, layer="bn2"),
            captum_cam,
            CAPTUM,
            1e-3,
            **few,
        ),
        bench.Contest(
            "Grad-CAM, 4 photographs",
            partial(saliency.grad_cam, net, x, t, layer="bn2"),
            other_cam,
            CAM,
            float("inf"),
            apart="theirs is scaled to 0 … 1",
            **few,
        ),
    ]


def at_equal_error(net, x, t) -> bench.Contest:
    """Each with the fewest steps that miss at most MISSED; captum with 8 pictures at once."""

    def fewest(make) -> tuple[int, float]:
        missed = lambda n: saliency.completeness_error(net, x, t, make(n)()).mean().item()
        errors = {n: missed(n) for n in STEPS}
        enough = [n for n in STEPS if max(errors[m] for m in STEPS if m >= n) <= MISSED]
        return min(enough, default=STEPS[-1]), errors[min(enough, default=STEPS[-1])]

    ours = lambda n: partial(saliency.integrated_gradients, net, x, t, steps=n, power=3)
    peer = lambda n: captums_ig(net, x, t, n, 8, "gausslegendre")
    (n, error), (many, theirs) = fewest(ours), fewest(peer)
    name = f"IG, {len(x)} photographs, error {error:.0%} with {n} steps, {theirs:.0%} with {many}"
    apart = {"tolerance": float("inf"), "apart": "other steps, as near to completeness"}
    rest = {"items": len(x), "unit": "image"}
    return bench.Contest(name, ours(n), peer(many), f"{CAPTUM}, Gauss-Legendre", **apart, **rest)


def contests() -> list[bench.Contest]:
    return on_digits() + on_photographs()


if __name__ == "__main__":
    torch.set_num_threads(2)
    sys.exit(bench.run(contests, sys.argv[1:]))
