"""The runner of the transformers: exact shortcuts, and runs that go on after a kill."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from data.next import corpus, train_lm
from helpers.course.artifacts import Checkpoint
from helpers.transformer.model import OneLayerTransformer, Settings, initialise
from helpers.transformer.train import Training

SMALL = Settings("relu", d_model=16, d_mlp=32, vocabulary=corpus.VOCABULARY)
SHORT = Training(tokens=40 * 2 * 128, batch=2, micro=1, warmup=4)


def test_the_cross_entropy_and_its_gradient_are_pytorchs():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(7, 50, dtype=torch.float64, generator=generator).mul(9).requires_grad_()
    targets = torch.randint(50, (7,), generator=generator)
    ours = train_lm.CrossEntropy.apply(logits * 1.0, targets) / 7
    theirs = F.cross_entropy(logits, targets)
    torch.testing.assert_close(ours, theirs)
    for a, b in zip(
        torch.autograd.grad(ours, logits), torch.autograd.grad(theirs, logits), strict=True
    ):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("activation", ["relu", "solu"])
def test_the_fast_transformer_is_the_plain_one(activation):
    fast = train_lm.FastTransformer(replace(SMALL, activation=activation, layer_norm=True))
    plain = OneLayerTransformer(fast.settings)
    initialise(fast, seed=3)
    plain.load_state_dict(fast.state_dict())
    tokens = torch.randint(4096, (2, 128), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(fast(tokens), plain(tokens), rtol=1e-4, atol=1e-5)


def test_the_learning_rate_rises_stays_and_falls():
    training = Training(tokens=1000 * 16 * 128, warmup=100)
    rate = [train_lm.learning_rate(step, 0, training) for step in range(1000)]
    assert rate[0] == 0.01
    assert set(rate[99:801]) == {1.0}
    assert rate[900] == pytest.approx(0.5)
    assert rate[999] == pytest.approx(0.005)
    assert train_lm.learning_rate(500, 500, training) == 0.01, "a new start from weights warms up"


@pytest.fixture
def runner(tmp_path, monkeypatch):
    """`train_lm` with a small model, its files in a folder of their own."""
    monkeypatch.setattr(train_lm, "MODELS", {"small": (SMALL, SHORT)})
    monkeypatch.setattr(train_lm, "HERE", tmp_path)
    monkeypatch.setattr(train_lm, "Checkpoint", lambda name: Checkpoint(name, tmp_path))
    monkeypatch.setattr(train_lm, "SAVE_SECONDS", -1)
    monkeypatch.setattr(train_lm, "EVERY", 10 * 2 * 128)
    monkeypatch.setattr(train_lm, "heldout_losses", lambda model: {"all": 0.0})
    part = corpus.stream("heldout", size=100_000)
    monkeypatch.setattr(train_lm.corpus, "stream", lambda split: part)
    return train_lm


class Killed(Exception):
    pass


def run_until(runner, monkeypatch, last: int) -> None:
    """Run, and be killed at the beginning of a step."""
    batch = runner.batch

    def dies(stream, step, training):
        if step == last:
            raise Killed
        return batch(stream, step, training)

    monkeypatch.setattr(runner, "batch", dies)
    with pytest.raises(Killed):
        runner.run("small", SHORT)
    monkeypatch.setattr(runner, "batch", batch)


def test_a_killed_run_ends_with_the_same_bits(runner, monkeypatch):
    runner.run("small", SHORT)
    whole, header = runner.stored("small")
    assert header["step"] == 40
    assert [entry["tokens"] for entry in header["history"]] == [2560, 5120, 7680, 10240]
    (runner.HERE / "small.safetensors").unlink()
    (runner.HERE / "next-small.pt").unlink()
    run_until(runner, monkeypatch, 17)
    runner.run("small", SHORT)
    resumed, _ = runner.stored("small")
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


def test_without_a_checkpoint_it_goes_on_from_the_stored_weights(runner, monkeypatch):
    run_until(runner, monkeypatch, 25)
    assert runner.stored("small")[1]["step"] == 20
    (runner.HERE / "next-small.pt").unlink()  # a new machine
    steps = []
    batch = runner.batch

    def notes(stream, step, training):
        steps.append(step)
        return batch(stream, step, training)

    monkeypatch.setattr(runner, "batch", notes)
    runner.run("small", SHORT)
    assert steps == list(range(20, 40))
    assert runner.stored("small")[1]["step"] == 40
    assert runner.load("small").settings == SMALL
