"""Trains and measures data/diffusion: `python -m helpers make diffusion`."""

import math
import time

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from data.recipes.base import Run, table
from helpers.ground.artifacts import Checkpoint, still_numbers
from helpers.nets import digits
from notebooks.support.lesson03.diffusion import NO_CLASS, SIDE, Denoiser, load, path


def make(run: Run) -> None:
    """Train the model and store the running mean of its weights. Resumable."""
    steps, width = run.pick((5000, 32), (5000, 64), (3, 8))
    checkpoint = run.checkpoint()
    model, minutes = train(steps, checkpoint, width=width, device=run.device)
    tensors = {name: tensor.half() for name, tensor in model.state_dict().items()}
    run.save(tensors, version=1, meta={"steps": steps, "width": width})
    run.card(f"""# diffusion
A diffusion model for handwritten digits of 16 pixels, told which digit to draw: a small U-Net,
v-prediction, class left out in 15 % of the examples. Lesson 03 asks what there is to explain about
a drawing.

* **Made by** `python -m helpers make diffusion` (resumable): {steps} steps of 32 digits in
  {minutes:.1f} minutes. **Measured by** `python -m helpers measure diffusion`.
* **Files**: the running mean of the weights, in half precision, SHA-256 in `manifest.json`.
* **Data**: the 1,200 training digits of `helpers/nets/digits.py` (scikit-learn's `load_digits`,
  from the UCI repository's "Optical Recognition of Handwritten Digits", CC BY 4.0); none is here.

{table({"share": measure(run)})}""")
    checkpoint.clear()


def train(
    steps: int, checkpoint: Checkpoint, *, width: int = 32, batch: int = 32, lr=2e-3, device="cpu"
) -> tuple[nn.Module, float]:
    """Adam on the squared error of v; returns the running mean of the weights, and minutes.

    Every step's pictures and noise follow from its number: a run that was killed and resumed ends
    with the same weights.
    """
    data = digits.digits(side=SIDE, device=device)
    images = data.images * 2 - 1  # (N, 1, 16, 16), ink is 1, paper -1
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        model = Denoiser(width).to(device)
    mean = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.998))
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    done, begun = 0, time.perf_counter()
    if state := checkpoint.load():
        model.load_state_dict(state["model"])
        mean.load_state_dict(state["mean"])
        optimizer.load_state_dict(state["optimizer"])
        done, begun = state["done"], begun - state["seconds"]
    for step in range(done, steps):
        loss = squared_error(model, *examples(images, data.digit, batch, step))
        for group in optimizer.param_groups:
            group["lr"] = lr * min(1.0, (step + 1) / 100, 2 * (1 - step / steps))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        mean.update_parameters(model)
        if (step + 1) % 250 == 0 or step + 1 == steps:
            still_numbers(model.parameters(), f"{step + 1} steps")
            parts = {"model": model, "mean": mean, "optimizer": optimizer}
            state = {name: part.state_dict() for name, part in parts.items()}
            seconds = time.perf_counter() - begun
            checkpoint.save(state | {"done": step + 1, "seconds": seconds})
            print(f"step {step + 1}: squared error {float(loss.detach()):.3f}", flush=True)
    return mean.module.eval(), (time.perf_counter() - begun) / 60


def examples(images: Tensor, labels: Tensor, batch: int, step: int) -> tuple[Tensor, ...]:
    """The step's pictures x0, noise e, angles and classes; 15 % learn to draw without a class."""
    device = images.device
    generator = torch.Generator(device).manual_seed(step)
    at, drop, angle = (torch.rand(batch, generator=generator, device=device) for _ in range(3))
    rows = (at * len(labels)).long()
    label = torch.where(drop < 0.15, NO_CLASS, labels[rows])
    noise = torch.randn(batch, 1, SIDE, SIDE, generator=generator, device=device)
    return images[rows], noise, angle * math.pi / 2, label


def squared_error(model, x0: Tensor, noise: Tensor, angle: Tensor, label: Tensor) -> Tensor:
    """The mean squared error of v = cos a · e - sin a · x0 at x = cos a · x0 + sin a · e."""
    cos, sin = angle.cos()[:, None, None, None], angle.sin()[:, None, None, None]
    return F.mse_loss(model(cos * x0 + sin * noise, angle, label), cos * noise - sin * x0)


@torch.no_grad()
def measure(run: Run) -> dict[str, float]:
    """The share of drawings that a classifier, trained on real digits, reads as asked for."""
    drawings = 10 if run.smoke else 500
    model = load(run.out, device=run.device)
    data, test = (digits.digits(part, side=SIDE, device=run.device) for part in ("train", "test"))
    with torch.enable_grad():
        judge = digits.train(enlarge(data.images), data.digit, epochs=1 if run.smoke else 8)
    shares = {"real digits read rightly": digits.accuracy(judge, enlarge(test.images), test.digit)}
    noise = torch.randn(drawings, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    label = (torch.arange(drawings) % 10).to(run.device)
    for guidance in (0.0, 1.0, 2.0):
        drawn = path(model, noise.to(run.device), label, guidance=guidance)[-1].clamp(-1, 1)
        read = digits.accuracy(judge, enlarge(drawn / 2 + 0.5), label)
        shares[f"{drawings} drawings read as asked, guidance {guidance:g}"] = read
    return shares


def enlarge(images: Tensor) -> Tensor:
    """(N, 1, 16, 16) -> (N, 1, 28, 28), the size that the digits network reads."""
    return F.interpolate(images, (28, 28), mode="bilinear", align_corners=False)
