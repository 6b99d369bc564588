"""A training whose weights are no numbers any more ends in a sentence, not in a silent network."""

from types import SimpleNamespace

import pytest
import torch

from helpers.attention.train import fit
from helpers.clip import model as clip
from helpers.ground.artifacts import Checkpoint
from helpers.ground.errors import CourseError
from helpers.nets import digits, order_net
from notebooks.support.lesson00 import shortcut
from tests.attention.texts import build, telling

NAN = float("nan")


def scans(n=50):
    images, label = torch.full((n, 1, 24, 24), NAN), torch.zeros(n, dtype=torch.long)
    return SimpleNamespace(images=images, even=label)


def spoiled(model, batch, alpha):
    return model(batch, alpha)[0].mean() * NAN


@pytest.mark.parametrize(
    "train",
    [
        lambda: digits.train(torch.full((50, 1, 28, 28), NAN), torch.zeros(50).long(), epochs=1),
        lambda: shortcut.train(scans(), epochs=1),
        lambda: order_net.train(count=50, epochs=1, quiet=NAN),
        lambda: fit(build(), telling(40), telling(20, 1), loss=spoiled),
    ],
    ids=["digits", "shortcut", "order_net", "attention"],
)
def test_nan_stops_a_training(train):
    with pytest.raises(CourseError, match="some of its numbers are NaN"):
        train()


def test_nan_leaves_the_last_good_checkpoint(tmp_path, monkeypatch):
    """CLIP's loop: the fourth step spoils a weight, and what the second saved is kept."""

    def step(model, optimizer, number, settings, batch):
        model.weight.data[0, 0] = NAN if number == 3 else number
        return torch.tensor(1.0)

    monkeypatch.setattr(clip, "train_step", step)
    kept, settings = Checkpoint("clip", tmp_path), clip.Settings(steps=6)
    batches = lambda first: iter(range(first, 6))
    with pytest.raises(CourseError, match="after 4 steps some of its numbers are NaN"):
        clip.train(torch.nn.Linear(2, 2), batches, settings, kept, every=2)
    state = kept.load()
    assert state["losses"] == [1, 1]
    assert state["model"]["weight"].isfinite().all()
