"""Saliency beside captum (as it comes, and with its best setting found here) and pytorch-grad-cam,
at equal work.

"As it comes" is captum's default for everything but the integration rule, which has to be ours for
the outputs to be equal.
"""

import sys
import time
from functools import partial
from importlib.metadata import version

import torch
import torch.nn.functional as F
from captum import attr
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn

from helpers import saliency
from helpers.datasets import photos
from helpers.pretrained import imagenet
from tests.benchmarks import bench

CAPTUM, CAM = f"captum {version('captum')}", f"pytorch-grad-cam {version('grad-cam')}"
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def small_cnn() -> nn.Module:
    """A ReLU network for 28-pixel digits, 24,000 parameters, random weights."""
    torch.manual_seed(0)
    return (
        nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(64, 10),
        )
        .eval()
        .to(DEVICE)
    )


def fastest(make, choices) -> tuple[object, int]:
    """The peer's best setting.

    Each is run twice, the shorter time counts. Returns the call and the setting.
    """

    def seconds(choice):
        call = make(choice)
        return min(_time(call) for _ in range(2))

    best = min(choices, key=seconds)
    return make(best), best


def _time(call) -> float:
    start = time.perf_counter()
    call()
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def pair(name, ours, peer, choices, *, tolerance=5e-3, **rest) -> list[bench.Contest]:
    """Beside captum as it comes, peer(None), and beside its best of the choices."""
    best, choice = fastest(peer, choices)
    return [
        bench.Contest(name, ours, peer(None), f"{CAPTUM}, as it comes", tolerance, **rest),
        bench.Contest(name, ours, best, f"{CAPTUM}, best: {choice} at once", tolerance, **rest),
    ]


def on_digits() -> list[bench.Contest]:
    net, x = small_cnn(), torch.rand(64, 1, 28, 28, device=DEVICE)
    t = torch.arange(64, device=DEVICE) % 10
    many, few = {"items": 64, "unit": "image"}, {"items": 16, "unit": "image"}

    def ig(size):
        return partial(
            attr.IntegratedGradients(net).attribute,
            x,
            0.0,
            t,
            n_steps=50,
            method="riemann_middle",
            internal_batch_size=size,
        )

    def ig_one(size):
        return partial(
            attr.IntegratedGradients(net).attribute,
            x[:1],
            0.0,
            3,
            n_steps=50,
            method="riemann_middle",
            internal_batch_size=size,
        )

    def occlusion(size):
        return partial(
            attr.Occlusion(net).attribute,
            x[:16],
            (1, 7, 7),
            (1, 3, 3),
            0.0,
            t[:16],
            perturbations_per_eval=size or 1,
        )

    def smoothgrad(size):
        return partial(
            attr.NoiseTunnel(attr.Saliency(net)).attribute,
            x,
            "smoothgrad",
            nt_samples=25,
            nt_samples_batch_size=size,
            stdevs=0.15,
            target=t,
            abs=False,
        )

    return [
        *pair(
            "IG, 64 digits, 50 steps",
            partial(saliency.integrated_gradients, net, x, t, steps=50),
            ig,
            (64, 128, 256, 1024),
            **many,
        ),
        *pair(
            "IG, 1 digit, 50 steps",
            partial(saliency.integrated_gradients, net, x[:1], 3, steps=50),
            ig_one,
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
        bench.Contest(
            "gradient, 64 digits",
            partial(saliency.gradient, net, x, t),
            partial(attr.Saliency(net).attribute, x, t, abs=False),
            CAPTUM,
            1e-4,
            **many,
        ),
        bench.Contest(
            "Guided Backpropagation, 64 digits",
            partial(saliency.guided_backprop, net, x, t),
            partial(attr.GuidedBackprop(net).attribute, x, t),
            CAPTUM,
            1e-4,
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

    def ig(size):
        return partial(
            attr.IntegratedGradients(net).attribute,
            x[:1],
            0.0,
            t[:1],
            n_steps=16,
            method="riemann_middle",
            internal_batch_size=size,
        )

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
            ig,
            (4, 8, 16),
            tolerance=1e-2,
        ),
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


def contests() -> list[bench.Contest]:
    return on_digits() + on_photographs()


if __name__ == "__main__":
    torch.set_num_threads(2)
    sys.exit(bench.run(contests, sys.argv[1:]))
