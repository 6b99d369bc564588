"""The scene classifier: plain, resumable, and good enough for maps."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from data.recipes import scene_classifier as recipe
from helpers.datasets import scenes
from helpers.ground.artifacts import ROOT, Checkpoint
from helpers.ground.errors import CourseError
from helpers.nets import scene_classifier

SHIPPED = ROOT / "data" / "scene_classifier"
TRAINING = """
import os, signal, sys, torch
from pathlib import Path
from data.recipes import scene_classifier
from helpers.ground.artifacts import Checkpoint
torch.set_num_threads(1)
folder, die_at = Path(sys.argv[1]), sys.argv[2]
def report(text, **_):
    if text.startswith(die_at):
        os.kill(os.getpid(), signal.SIGTERM)
model = scene_classifier.train(102, Checkpoint("tiny", root=folder), batch=1, report=report)
torch.save(model.state_dict(), folder / "done.pt")
"""


def test_it_is_plain_and_each_relu_is_its_own():
    model, x = scene_classifier.network(), torch.zeros(2, 3, 64, 64)
    kinds = {type(layer).__name__ for layer in model.modules()}
    pools = {"MaxPool2d", "AdaptiveAvgPool2d", "Flatten"}
    assert kinds == {"Sequential", "Conv2d", "ReLU", "Linear"} | pools
    assert model.features(x).shape == (2, 128, 8, 8)
    assert model(x).shape == (2, len(scenes.concepts()))
    assert len([m for m in model.modules() if isinstance(m, nn.ReLU)]) == 5


def test_the_seed_gives_the_weights_and_the_random_stream_stays():
    before = torch.get_rng_state()
    one, two, other = (scene_classifier.network(seed).head.weight for seed in (1, 1, 2))
    scene_classifier.load()
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_labels_say_what_is_there():
    drawn = scenes.sample(20, 0)
    table = recipe.labels(drawn)
    assert [set(row.nonzero().flatten().tolist()) for row in table] == [
        {t.concept for t in scene.things} for scene in drawn
    ]


def test_a_killed_run_resumes_with_the_same_bits(tmp_path):
    def run(folder, die_at):
        folder.mkdir(exist_ok=True)
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        return subprocess.run(
            [sys.executable, "-c", TRAINING, str(folder), die_at], env=environment, timeout=300
        ).returncode

    assert run(tmp_path / "straight", "never") == 0
    assert run(tmp_path / "killed", "step 100") in (-signal.SIGTERM, signal.SIGTERM, 1)
    assert run(tmp_path / "killed", "never") == 0
    one, two = (torch.load(tmp_path / name / "done.pt") for name in ("straight", "killed"))
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_the_learning_rate_rises_and_falls_and_steps_are_cut_to_length_5(steps, tmp_path):
    checkpoint = Checkpoint("tiny", root=tmp_path)
    recipe.train(26, checkpoint, batch=1, report=lambda *_, **__: None)
    rates = [rate / 1.5e-3 for rate, _ in steps]
    shares = [min((i + 1) / 200, 3 * (1 - i / 26)) for i in range(26)]
    assert rates == pytest.approx(shares)
    assert shares[-1] < shares[-2]  # the fall has begun
    assert max(norm for _, norm in steps) == pytest.approx(5, rel=1e-3)
    assert checkpoint.load()["done"] == 26


def test_the_shipped_network_sees_single_objects():
    model = scene_classifier.load()
    drawn = scenes.sample(200, 77, count=1, held_out=True)
    seen = model(scene_classifier.preprocess([s.image for s in drawn])).argmax(1)
    assert (seen == recipe.labels(drawn).argmax(1)).double().mean() > 0.75


def test_a_damaged_file_names_the_command(tmp_path):
    folder = Path(shutil.copytree(SHIPPED, tmp_path / "scene_classifier"))
    next(folder.glob("tensors*")).write_bytes(b"cut off")
    with pytest.raises(CourseError, match="make scene_classifier"):
        scene_classifier.load(folder)
