"""The diffusion model: exact where it can be, resumable, and good enough for the activity."""

import math
import shutil
from pathlib import Path

import pytest
import torch

from data.recipes import diffusion as recipe
from data.recipes.base import Run
from helpers.ground import ROOT
from helpers.ground.artifacts import Checkpoint
from helpers.ground.errors import CourseError
from helpers.ground.runtime import current
from helpers.nets import digits
from notebooks.support.lesson03 import diffusion

SHIPPED = ROOT / "data" / "diffusion"


class Oracle(torch.nn.Module):
    """The right answer where all pictures are the same: v follows from x and the angle."""

    def __init__(self, picture):
        super().__init__()
        self.picture = picture

    def forward(self, x, angle, label):
        c, s = (f(angle)[:, None, None, None] for f in (torch.cos, torch.sin))
        return c * (x - c * self.picture) / s.clamp_min(1e-6) - s * self.picture


def test_the_sampler_finds_the_picture_of_a_model_that_is_right():
    picture = torch.rand(1, 1, 16, 16, dtype=torch.float64)
    noise = torch.randn(3, 1, 16, 16, dtype=torch.float64)
    steps = diffusion.path(Oracle(picture), noise, torch.tensor([0, 1, 2]), steps=7)
    torch.testing.assert_close(steps[-1], picture.expand(3, -1, -1, -1))
    angle = (1 - 3 / 7) * math.pi / 2
    torch.testing.assert_close(
        steps[3], math.cos(angle) * picture + math.sin(angle) * noise
    )  # on the way: the right mixture


def test_the_learning_rate_rises_in_a_line_and_falls_in_another(steps, tmp_path):
    recipe.train(30, Checkpoint("tiny", root=tmp_path), width=8, batch=2, lr=1e-3)
    shares = [min((i + 1) / 100, 2 * (1 - i / 30)) for i in range(30)]
    assert [rate / 1e-3 for rate, _ in steps] == pytest.approx(shares)
    assert shares[-1] < shares[-5]


def test_a_path_may_begin_at_any_of_its_steps():
    model = diffusion.Denoiser(8).eval()
    torch.nn.init.normal_(model.out.weight, std=0.1)
    noise, label = torch.randn(2, 1, 16, 16), torch.tensor([3, 4])
    with torch.no_grad():
        whole = diffusion.path(model, noise, label)
        rest = diffusion.path(model, whole[5], label, start=5)
    assert len(whole) == 13
    assert len(rest) == 8
    torch.testing.assert_close(rest[-1], whole[-1])


def test_guidance_goes_from_no_class_to_the_class():
    model = diffusion.Denoiser(8).eval()
    torch.nn.init.normal_(model.out.weight, std=0.1)
    x, label, angle = torch.randn(2, 1, 16, 16), torch.tensor([3, 4]), torch.full((2,), 0.7)
    none, given = model(x, angle, torch.full((2,), diffusion.NO_CLASS)), model(x, angle, label)
    torch.testing.assert_close(diffusion.velocity(model, x, 0.7, label, 0.0), none)
    torch.testing.assert_close(diffusion.velocity(model, x, 0.7, label, 1.0), given)
    field = torch.zeros(2, 1, 16, 16)
    field[:, :, :8] = 1
    mixed = diffusion.velocity(model, x, 0.7, label, field)
    torch.testing.assert_close(mixed[:, :, :8], given[:, :, :8])
    torch.testing.assert_close(mixed[:, :, 8:], none[:, :, 8:])


def test_a_killed_run_resumes_with_the_same_weights(tmp_path):
    class Stop(Exception):
        pass

    class Dying(Checkpoint):
        def save(self, state):
            super().save(state)
            raise Stop

    straight, _ = recipe.train(252, Checkpoint("straight", root=tmp_path), batch=1, width=4)
    with pytest.raises(Stop):
        recipe.train(252, Dying("killed", root=tmp_path), batch=1, width=4)
    resumed, _ = recipe.train(252, Checkpoint("killed", root=tmp_path), batch=1, width=4)
    assert all(
        torch.equal(p, q) for p, q in zip(straight.parameters(), resumed.parameters(), strict=True)
    )


def test_the_shipped_model_draws_what_it_is_asked_for():
    """The card says .9 and more of 500 drawings, by another network and other noise; 50 leave some
    room."""
    model, train = diffusion.load(), digits.digits()
    judge, label = digits.train(*train, epochs=4), torch.arange(50) % 10
    with torch.no_grad():
        drawings = diffusion.path(
            model, torch.randn(50, 1, 16, 16, generator=torch.Generator().manual_seed(9)), label
        )[-1]
    enlarged = torch.nn.functional.interpolate(
        drawings.clamp(-1, 1) / 2 + 0.5, (28, 28), mode="bilinear"
    )
    assert digits.accuracy(judge, enlarged, label) > 0.6


def test_loading_leaves_the_global_stream_alone():
    before = torch.random.get_rng_state()
    model = diffusion.load()
    assert torch.equal(before, torch.random.get_rng_state())
    assert not any(p.requires_grad for p in model.parameters())


def test_smoke_and_a_damaged_file(tmp_path):
    run = Run(tmp_path / "diffusion", smoke=True)
    current()  # setting up seeds the global stream: it comes before the look
    before = torch.random.get_rng_state()
    recipe.make(run)
    assert torch.equal(before, torch.random.get_rng_state())
    assert isinstance(diffusion.load(run.out), diffusion.Denoiser)
    assert "guidance 2" in (run.out / "README.md").read_text(encoding="utf-8")
    folder = Path(shutil.copytree(SHIPPED, tmp_path / "shipped" / "diffusion"))
    path = next(folder.glob("tensors*"))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CourseError, match="make diffusion"):
        diffusion.load(folder)
