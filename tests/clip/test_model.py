"""The course's CLIP: loss against references, resuming, damage, loading by open_clip alone."""

import json
import os
import shutil
import subprocess
import sys
from math import log
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from data.recipes import clip_emoji as make
from data.recipes.base import Run
from helpers.clip import maps
from helpers.clip import model as clip
from helpers.datasets import scenes
from helpers.ground import ROOT
from helpers.ground.artifacts import Checkpoint
from helpers.ground.errors import CourseError

SHIPPED = ROOT / "data" / "clip_emoji"
FILES = [
    "manifest.json",
    "open_clip_config.json",
    "open_clip_model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
]


# ---- loss and schedule
def features(n=12, d=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    both = torch.randn(2, n, d, generator=generator, dtype=torch.float64)
    return F.normalize(both, dim=-1)


def test_loss_is_open_clips_where_all_contents_differ():
    from open_clip.loss import ClipLoss

    images, texts = features()
    scale = torch.tensor(20.0, dtype=torch.float64)
    ours = clip.contrastive_loss(images, texts, scale, torch.eye(12, dtype=torch.bool))
    torch.testing.assert_close(ours, ClipLoss()(images, texts, scale))


def test_loss_calls_neither_of_two_right_texts_wrong():
    """Pictures 0 and 1 show the same: half of the probability to each text is best, ln 2 each."""
    images = torch.eye(3, dtype=torch.float64)[[0, 0, 1]]
    same = torch.tensor([[1, 1, 0], [1, 1, 0], [0, 0, 1]], dtype=torch.bool)
    shared = float(clip.contrastive_loss(images, images, torch.tensor(100.0), same))
    assert shared == pytest.approx(2 / 3 * log(2))
    alone = torch.eye(3, dtype=torch.bool)
    hard = clip.contrastive_loss(images, images, torch.tensor(100.0), alone)
    assert float(hard) == pytest.approx(shared)
    apart = torch.eye(3, dtype=torch.float64)  # told apart in spite of the same content
    assert clip.contrastive_loss(apart, apart, torch.tensor(100.0), same) > 20


def test_schedule_depends_on_the_length_only_at_its_end():
    short, long = clip.Settings(steps=1000), clip.Settings(steps=4000)
    for step in range(0, 850, 50):
        assert clip.rate(step, short) == clip.rate(step, long)
        assert clip.dropped(step, short) == clip.dropped(step, long)
    assert 0 < clip.rate(999, short) < short.lr / 100
    assert clip.dropped(999, short) == 0
    assert clip.rate(0, long) == pytest.approx(long.lr / long.warm_up)
    assert clip.rate(long.warm_up, long) == long.lr
    assert [clip.dropped(step, long) for step in (0, long.easy)] == [0.7, 0.5]


def test_only_matrices_decay(monkeypatch, tmp_path):
    class Stop(Exception):
        pass

    def adamw(groups, **_):
        assert all(p.ndim > 1 for p in groups[0]["params"])
        assert all(p.ndim < 2 for p in groups[1]["params"])
        assert [group["weight_decay"] for group in groups] == [0.05, 0.0]
        raise Stop

    monkeypatch.setattr(torch.optim, "AdamW", adamw)
    settings = clip.Settings(width=32, layers=(1, 1))
    with pytest.raises(Stop):
        clip.train(make.build(settings, 50), None, settings, Checkpoint("none", root=tmp_path))


# ---- crops
def test_crops_lie_inside_and_use_the_whole_range():
    boxes = maps.crop_boxes(5000, 60, 90, 13, torch.Generator().manual_seed(0))
    side = boxes[:, 2] - boxes[:, 0]
    assert torch.equal(side, boxes[:, 3] - boxes[:, 1])
    assert (side.min(), side.max()) == (13, 59)
    assert boxes.min() == 0
    assert (boxes[:, 2].max(), boxes[:, 3].max()) == (90, 60)


def test_the_whole_picture_gains_nothing_over_itself():
    model = make.build(clip.Settings(width=32, layers=(1, 1)), 50).eval()
    image, texts = torch.rand(3, 96, 96), F.normalize(torch.randn(2, 32), dim=-1)
    gains = maps.crop_gains(model, image, texts, torch.tensor([[0, 0, 96, 96], [10, 10, 60, 60]]))
    assert gains.shape == (2, 2)
    assert gains[0].abs().max() < 1e-5 < gains[1].abs().max()


# ---- training
TRAINING = """
import os, signal, sys, torch
from pathlib import Path
from open_clip.tokenizer import HFTokenizer
from torch.utils.data import DataLoader
from data.recipes.clip_emoji import Batches, build
from helpers.clip import model as clip
from helpers.datasets import scenes
from helpers.ground.artifacts import Checkpoint
torch.set_num_threads(1)
folder, die_at = Path(sys.argv[1]), int(sys.argv[2])
def report(step, loss):
    if step == die_at:
        os.kill(os.getpid(), signal.SIGTERM)
settings = clip.Settings(steps=6, batch=8, width=32, layers=(1, 1), easy=4, decay=.34, warm_up=2)
tokenizer = HFTokenizer(str(folder / "tokenizer"), context_length=settings.context)
model = build(settings, len(tokenizer.tokenizer))
batches = lambda first: DataLoader(Batches(settings, tokenizer, first), batch_size=None)
before = torch.get_rng_state()
kept = Checkpoint("tiny", root=folder)
losses = clip.train(model, batches, settings, kept, every=2, report=report)
assert torch.equal(torch.get_rng_state(), before)
torch.save({"model": model.state_dict(), "losses": losses}, folder / "done.pt")
"""


def run_training(folder: Path, tokenizer: Path, die_at: int) -> int:
    folder.mkdir(exist_ok=True)
    shutil.copytree(tokenizer, folder / "tokenizer", dirs_exist_ok=True)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-c", TRAINING, str(folder), str(die_at)], env=environment, timeout=300
    ).returncode


def test_one_step_by_hand(steps, monkeypatch):
    """The loss at the model's own temperature, the step's rate, a gradient of length 1 at most."""
    settings = clip.Settings(steps=10, batch=4, width=32, layers=(1, 1), dropped=(0.0, 0.0))
    monkeypatch.setattr(clip, "half_precision", lambda device: False)
    model = make.build(settings, 50)
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(4, 3, 64, 64, generator=generator)
    tokens = torch.randint(1, 50, (4, settings.context), generator=generator)
    same = torch.eye(4, dtype=torch.bool)
    with torch.no_grad():
        model.logit_scale.fill_(4.65)  # e^4.65 is a little more than 100
        one, other = model.encode_image(images), model.encode_text(tokens)
        both = (F.normalize(features, dim=-1) for features in (one, other))
        wanted = clip.contrastive_loss(*both, torch.tensor(4.65).exp(), same)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.0)
    losses = [
        clip.train_step(model, optimizer, step, settings, (images, tokens, same)) for step in (3, 3)
    ]
    assert float(losses[0]) == pytest.approx(float(wanted), rel=1e-3)
    assert model.logit_scale <= log(100) + 1e-6
    assert [rate for rate, _ in steps] == [clip.rate(3, settings)] * 2
    assert all(norm <= 1 + 1e-4 for _, norm in steps)


def test_a_killed_run_resumes_with_the_same_bits(tmp_path):
    make.train_tokenizer(tmp_path / "tokenizer", 20)
    assert run_training(tmp_path / "straight", tmp_path / "tokenizer", -1) == 0
    assert run_training(tmp_path / "killed", tmp_path / "tokenizer", 4) != 0
    assert not (tmp_path / "killed" / "done.pt").exists()
    assert (tmp_path / "killed" / "tiny.pt").exists()
    assert run_training(tmp_path / "killed", tmp_path / "tokenizer", -1) == 0
    one, two = (torch.load(tmp_path / name / "done.pt") for name in ("straight", "killed"))
    assert one["losses"] == two["losses"]
    assert len(one["losses"]) == 6
    assert all(torch.equal(one["model"][key], two["model"][key]) for key in one["model"])
    vocabulary = len(one["model"]["token_embedding.weight"])
    fresh = make.build(clip.Settings(width=32, layers=(1, 1)), vocabulary).state_dict()
    assert not torch.equal(fresh["visual.proj"], one["model"]["visual.proj"])  # it did learn


def test_a_make_killed_in_its_second_stage_goes_on_there(tmp_path, monkeypatch):
    monkeypatch.setattr(make, "measure", lambda run: {})
    straight, killed = (Run(tmp_path / side / "clip_emoji", smoke=True) for side in "ab")
    make.make(straight)
    said = []

    def stop_at_the_third(step, loss):
        said.append(step)
        if len(said) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(make, "say", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        make.make(killed)
    assert not killed.out.exists()
    make.make(killed)
    assert said == [4, 8, 4, 8]
    one, two = (
        (run.out / "open_clip_model.safetensors").read_bytes() for run in (straight, killed)
    )
    assert one == two


def test_smoke_run_writes_a_folder_that_loads_and_clears_its_checkpoint(tmp_path):
    make.make(Run(tmp_path / "clip_emoji", smoke=True))
    assert sorted(path.name for path in (tmp_path / "clip_emoji").iterdir()) == [
        "README.md",
        *FILES,
    ]
    model, preprocess, tokenizer = clip.load(tmp_path / "clip_emoji")
    assert tokenizer(["Who puts out fires?"]).shape == (1, 20)
    assert not list((tmp_path / ".checkpoints").iterdir())


def test_loading_leaves_the_random_stream_alone():
    before = torch.get_rng_state()
    clip.load()
    assert torch.equal(torch.get_rng_state(), before)


# ---- the shipped model
ALONE = """
import sys, torch, open_clip
place = "local-dir:" + sys.argv[1]
model, _, preprocess = open_clip.create_model_and_transforms(place)
tokenizer = open_clip.get_tokenizer(place)
asked = tokenizer(["Who puts out fires?", "a firefighter", "a banana"])
texts = model.eval().encode_text(asked, normalize=True)
assert not [name for name in sys.modules if name.split(".")[0] == "helpers"]
from PIL import Image
side = preprocess(Image.new("RGB", (96, 96))).shape[-1]
print(float(texts[0] @ texts[1]), float(texts[0] @ texts[2]), side)
"""


@pytest.mark.parametrize("where", ["its parent", "elsewhere"])
def test_open_clip_loads_it_with_nothing_of_ours_from_any_folder(where, tmp_path):
    beside = where == "its parent"
    here, place = (SHIPPED.parent, "./clip_emoji") if beside else (tmp_path, str(SHIPPED))
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    options = {"capture_output": True, "text": True, "timeout": 300}
    options["env"] = environment | {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", ALONE, place], cwd=here, **options)
    assert done.returncode == 0, done.stderr[-2000:]
    right, wrong, size = (float(x) for x in done.stdout.split()[-3:])
    assert right > wrong + 0.3
    assert size == 64


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("harm", ["cut", "removed"])
def test_a_damaged_file_names_the_command(file, harm, tmp_path):
    folder = Path(shutil.copytree(SHIPPED, tmp_path / "clip_emoji"))
    content = (folder / file).read_bytes()
    (folder / file).unlink()
    if harm == "cut":
        (folder / file).write_bytes(content[: len(content) // 2])
    with pytest.raises(CourseError, match="make clip_emoji") as caught:
        clip.load(folder)
    assert "\n" not in str(caught.value)
    assert file in str(caught.value)


def test_the_manifest_lists_every_file():
    listed = json.loads((SHIPPED / "manifest.json").read_text(encoding="utf-8"))["files"]
    there = sorted(path.name for path in SHIPPED.iterdir())
    assert sorted([*listed, "manifest.json", "README.md"]) == there


def test_it_knows_what_it_should():
    """A small repetition of `python -m helpers measure clip_emoji`, with room for chance."""
    model, preprocess, tokenizer = clip.load()
    assert make.singles(model, preprocess, tokenizer, 150, scenes.Look()).mean() > 0.85
    assert min(both.mean() for both in make.retrieval(model, preprocess, tokenizer, 1)) > 0.75
    assert make.boxes_found(model, tokenizer, 6, 2).mean() > 0.7


def test_any_text_can_be_written_and_long_ones_end():
    _, _, tokenizer = clip.load()
    tokens = tokenizer(["", "word " * 1000, "Ürümqi 東京 🙂", "Who puts out fires?"])
    end = tokenizer.tokenizer.eos_token_id
    assert tokens.shape == (4, 20)
    assert (tokens == end).any(1).all()
    assert int(tokens.max()) == end
