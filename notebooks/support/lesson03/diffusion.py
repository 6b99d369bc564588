"""A small diffusion model that draws handwritten digits of 16 pixels, for the discussion of D1-10.

A picture x0 is mixed with noise e by an angle a between 0 (all picture) and π/2 (all noise): x = cos a · x0 + sin a · e.
The network sees x, the angle and the class, and predicts v = cos a · e - sin a · x0, from which both parts follow. Sampling
turns the angle down in a few steps, without new noise (DDIM): the drawing is a differentiable function of its first noise.
"""

import math
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers.ground.artifacts import Checkpoint, load_artifact, save_artifact, write_card
from helpers.nets import digits

SIDE, NO_CLASS, WIDTH = 16, 10, 32
NAME = "diffusion"


class Block(nn.Module):
    """x + convolutions of x, told about angle and class in between. (B, C, h, w) -> the same."""

    def __init__(self, channels: int, told: int):
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(4, channels), nn.GroupNorm(4, channels)
        self.conv1, self.conv2 = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))
        self.tell = nn.Linear(told, channels)

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x))) + self.tell(told)[:, :, None, None]
        return x + self.conv2(F.silu(self.norm2(h)))


class Denoiser(nn.Module):
    """Predicts v from x (B, 1, 16, 16), the angle (B,) and the class (B,), 10 meaning "none given". (B, 1, 16, 16)."""

    def __init__(self, width: int = WIDTH):
        super().__init__()
        told = 4 * width
        self.angle, self.classes = (
            nn.Sequential(nn.Linear(16, told), nn.SiLU(), nn.Linear(told, told)),
            nn.Embedding(11, told),
        )
        self.stem, self.out = nn.Conv2d(4, width, 3, padding=1), nn.Conv2d(width, 4, 3, padding=1)
        self.down, self.up = (
            nn.Conv2d(width, 2 * width, 2, stride=2),
            nn.ConvTranspose2d(2 * width, width, 2, stride=2),
        )
        self.blocks = nn.ModuleList(Block(c * width, told) for c in (1, 2, 2, 1))
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor, angle: Tensor, label: Tensor) -> Tensor:
        waves = angle[:, None] * 2 ** torch.arange(8, device=x.device)  # (B, 8)
        told = F.silu(self.angle(torch.cat((waves.sin(), waves.cos()), 1)) + self.classes(label))
        a = self.blocks[0](self.stem(F.pixel_unshuffle(x, 2)), told)  # (B, w, 8, 8)
        b = self.blocks[2](self.blocks[1](self.down(a), told), told)  # (B, 2w, 4, 4)
        return F.pixel_shuffle(self.out(F.silu(self.blocks[3](a + self.up(b), told))), 2)


def velocity(
    model: nn.Module, x: Tensor, angle: float, label: Tensor, guidance: float | Tensor
) -> Tensor:
    """v without a class, plus guidance · (v with the class - v without). guidance: a number, or one a pixel, (B, 1, 16, 16).

    1 follows the class as trained, more exaggerates it, 0 ignores it. Source: Ho & Salimans 2022 (classifier-free guidance).
    """
    angles, none = x.new_full((len(x),), angle), torch.full_like(label, NO_CLASS)
    given, free = model(torch.cat((x, x)), angles.repeat(2), torch.cat((label, none))).chunk(2)
    return free + guidance * (given - free)


def path(
    model: nn.Module,
    noise: Tensor,
    label: Tensor,
    *,
    steps: int = 12,
    guidance: float | Tensor = 2.0,
    start: int = 0,
) -> list[Tensor]:
    """From noise (B, 1, 16, 16) to drawings in -1 (paper) … 1 (ink): all steps, [noise, ..., drawing].

    start: begin at this step, `noise` being the picture there; the last entry is then the same function of that picture.
    Source: Song et al. 2021 (DDIM), in the angles of Salimans & Ho 2022.
    """
    x, out = noise, [noise]
    for k in range(start, steps):
        now, then = ((1 - j / steps) * math.pi / 2 for j in (k, k + 1))
        v = velocity(model, x, now, label, guidance)
        x0, e = math.cos(now) * x - math.sin(now) * v, math.sin(now) * x + math.cos(now) * v
        x = math.cos(then) * x0 + math.sin(then) * e
        out.append(x)
    return out


def load(folder: Path | None = None) -> Denoiser:
    """The shipped model, evaluation mode, frozen, on the CPU. CourseError names the command where a file is damaged."""
    tensors, meta = load_artifact(
        (folder or Path(NAME)).name, version=1, root=folder and folder.parent
    )
    model = Denoiser(meta["width"])
    model.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    return model.eval().requires_grad_(False)


def train(
    steps: int,
    checkpoint: Checkpoint,
    *,
    batch: int = 32,
    lr: float = 2e-3,
    width: int = WIDTH,
    device="cpu",
    report=print,
) -> tuple[nn.Module, float]:
    """Adam on the squared error of v; returns the running mean of the weights, and CPU seconds.

    Every step's pictures and noise follow from its number, so a run that was killed and resumed ends with the same weights.
    """
    data = digits.digits(side=SIDE)
    images, labels = (data.images * 2 - 1).to(device), data.digit.to(device)
    torch.manual_seed(0)
    model = Denoiser(width).to(device)
    mean = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.998)
    )
    optimiser, done, begun = torch.optim.Adam(model.parameters(), lr=lr), 0, time.process_time()
    if state := checkpoint.load():
        model.load_state_dict(state["model"])
        mean.load_state_dict(state["mean"])
        optimiser.load_state_dict(state["optimiser"])
        done, begun = state["done"], begun - state["seconds"]
    for step in range(done, steps):
        generator = torch.Generator(device).manual_seed(step)
        draw = lambda *shape, generator=generator: torch.rand(
            *shape, generator=generator, device=device
        )
        rows = (draw(batch) * len(labels)).long()
        label = torch.where(
            draw(batch) < 0.15, NO_CLASS, labels[rows]
        )  # learn to draw without a class too
        angle = draw(batch) * math.pi / 2
        x0, noise = (
            images[rows],
            torch.randn(batch, 1, SIDE, SIDE, generator=generator, device=device),
        )
        c, s = (f(angle)[:, None, None, None] for f in (torch.cos, torch.sin))
        loss = F.mse_loss(model(c * x0 + s * noise, angle, label), c * noise - s * x0)
        for group in optimiser.param_groups:
            group["lr"] = lr * min(1.0, (step + 1) / 100, 2 * (1 - step / steps))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        mean.update_parameters(model)
        if (step + 1) % 250 == 0 or step + 1 == steps:
            checkpoint.save(
                {
                    "model": model.state_dict(),
                    "mean": mean.state_dict(),
                    "optimiser": optimiser.state_dict(),
                    "done": step + 1,
                    "seconds": time.process_time() - begun,
                }
            )
            report(f"step {step + 1}: squared error {float(loss.detach()):.3f}", flush=True)
    return mean.module.eval(), time.process_time() - begun


def make(*, scale: str = "small", smoke: bool = False, out: Path | None = None) -> None:
    """Train and store the model; `python -m helpers make diffusion`."""
    out = out or Path(__file__).parents[3] / "data" / NAME
    checkpoint = Checkpoint(out.name, root=out.parent / ".checkpoints" if smoke else None)
    steps, width = (3, 8) if smoke else (5000, WIDTH) if scale == "small" else (50_000, 64)
    model, seconds = train(
        steps, checkpoint, width=width, device="cuda" if torch.cuda.is_available() else "cpu"
    )
    tensors = {name: tensor.half() for name, tensor in model.state_dict().items()}
    save_artifact(
        out.name, tensors, version=1, meta={"steps": steps, "width": width}, root=out.parent
    )
    if not smoke:
        rows = "\n".join(f"| {name} | {value:.3f} |" for name, value in measure(out=out).items())
        write_card(
            out.name, CARD.format(steps=steps, minutes=seconds / 60, rows=rows), root=out.parent
        )
    checkpoint.clear()


def measure(*, out: Path | None = None) -> dict[str, float]:
    """Of 500 drawings: the share that a classifier, trained on real digits of that size, reads as the class asked for."""
    model, data, test = load(out), digits.digits(side=SIDE), digits.digits("test", side=SIDE)
    enlarge = lambda images: F.interpolate(images, (28, 28), mode="bilinear", align_corners=False)
    judge = digits.train(enlarge(data.images), data.digit)
    noise = torch.randn(500, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    label = torch.arange(500) % 10
    with torch.no_grad():
        drawn = {
            w: path(model, noise, label, guidance=w)[-1].clamp(-1, 1) / 2 + 0.5
            for w in (0.0, 1.0, 2.0)
        }
    found = {
        f"drawings read as asked, guidance {w:g}": digits.accuracy(judge, enlarge(drawings), label)
        for w, drawings in drawn.items()
    }
    return {
        **found,
        "real digits read rightly": digits.accuracy(judge, enlarge(test.images), test.digit),
    }


CARD = """# diffusion

A diffusion model for handwritten digits of 16 pixels, told which digit to draw: a small U-Net, v-prediction, class left out
in 15 % of the examples. Lesson 03 asks what there is to explain about a drawing.

* **Made by** `python -m helpers make diffusion` (resumable): {steps} steps of 32 digits, {minutes:.1f} CPU minutes. **Measured by**
  `python -m helpers measure diffusion`.
* **Files**: the running mean of the weights, in half precision, SHA-256 in `manifest.json`.
* **Data**: the 1,200 training digits of `helpers/nets/digits.py` (scikit-learn's `load_digits`, from the UCI repository's
  "Optical Recognition of Handwritten Digits", CC BY 4.0); none is stored here.

| of 500 drawings, and of 597 real digits | |
|---|---|
{rows}
"""
