"""The runner of the dictionaries: it trains both kinds, goes on after a kill, and from weights."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse
import torch

from data.next import corpus, train_lm, train_sae
from data.next.batch_top_k import BatchTopK, TopKSettings
from helpers.course.artifacts import Checkpoint
from helpers.sae.model import Settings as PlainSettings
from helpers.sae.train import Training
from helpers.transformer.model import OneLayerTransformer, Settings, initialise

TRAINING = Training(tokens=40 * 128, batch=128)
JOBS = {
    "plain": train_sae.Job("lm", PlainSettings(neurons=32, features=48), TRAINING),
    "top": train_sae.Job("lm", TopKSettings(neurons=32, features=48, k=4), TRAINING),
}


@pytest.fixture
def runner(tmp_path, monkeypatch):
    """`train_sae` with a small untrained transformer, its files in a folder of their own."""
    model = OneLayerTransformer(Settings("relu", d_model=16, d_mlp=32, vocabulary=4096)).eval()
    initialise(model, seed=0)
    part = corpus.stream("heldout", size=100_000)
    monkeypatch.setattr(train_sae, "JOBS", JOBS)
    monkeypatch.setattr(train_sae, "HERE", tmp_path)
    monkeypatch.setattr(train_sae, "EVERY", 10 * 128)
    monkeypatch.setattr(train_sae, "SAVE_SECONDS", -1)
    monkeypatch.setattr(train_sae, "Checkpoint", lambda name: Checkpoint(name, tmp_path))
    monkeypatch.setattr(train_sae, "transformer", lambda name: model)
    monkeypatch.setattr(train_sae.corpus, "stream", lambda split: part)
    return train_sae


class Killed(Exception):
    pass


def run_until(runner, monkeypatch, name: str, last: int) -> None:
    """Run, and be killed at the beginning of a step."""
    rate = runner.learning_rate

    def dies(step, restart, steps):
        if step == last:
            raise Killed
        return rate(step, restart, steps)

    monkeypatch.setattr(runner, "learning_rate", dies)
    with pytest.raises(Killed):
        runner.run(name)
    monkeypatch.setattr(runner, "learning_rate", rate)


@pytest.mark.parametrize("name", JOBS)
def test_a_killed_run_ends_with_the_same_bits(runner, monkeypatch, name):
    runner.run(name)
    whole, meta = runner.load(name)
    assert meta["step"] == 40
    assert isinstance(whole.sae, BatchTopK) == (name == "top")
    (runner.HERE / f"next-sae-{name}.pt").unlink()
    for file in (runner.HERE / f"sae_{name}").iterdir():
        file.unlink()
    run_until(runner, monkeypatch, name, 17)
    runner.run(name)
    resumed, _ = runner.load(name)
    for a, b in zip(
        whole.sae.state_dict().values(), resumed.sae.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b)


@pytest.mark.parametrize("name", JOBS)
def test_without_a_checkpoint_it_goes_on_from_the_stored_weights(runner, monkeypatch, name):
    run_until(runner, monkeypatch, name, 25)
    assert runner.load(name)[1]["step"] == 20
    (runner.HERE / f"next-sae-{name}.pt").unlink()  # a new machine
    run_until(runner, monkeypatch, name, 20)  # it begins with step 20, or this would not be raised
    runner.run(name)
    assert runner.load(name)[1]["step"] == 40
    assert (runner.HERE / f"sae_{name}.json").exists()


def test_the_learning_rate():
    found = [train_sae.learning_rate(step, 0, 100) for step in (0, 80, 90)]
    assert found == pytest.approx([1, 1, 0.5])
    assert train_sae.learning_rate(500, 500, 1000) == 1 / train_sae.WARMUP


def test_a_dictionary_waits_for_its_transformer(monkeypatch):
    monkeypatch.setattr(train_lm, "stored", lambda name: ({}, {"step": 3}))
    with pytest.raises(SystemExit, match="3 steps only"):
        train_sae.transformer("lm_relu")


def test_the_permuted_control_keeps_every_entry(monkeypatch):
    settings = replace(train_lm.MODELS["lm_relu"][0], d_model=16, d_mlp=32)
    model = OneLayerTransformer(settings)
    initialise(model, seed=0)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    steps = train_lm.MODELS["lm_relu"][1].steps
    monkeypatch.setattr(train_lm, "stored", lambda name: ({}, {"step": steps}))
    monkeypatch.setattr(train_lm, "load", lambda name: model)
    after = train_sae.transformer("permuted").state_dict()
    for key, value in before.items():
        assert torch.equal(value.flatten().sort().values, after[key].flatten().sort().values)
    assert not torch.equal(before["W_in.weight"], after["W_in.weight"])


def test_features_that_speak_of_one_token():
    """Feature 0 fires on 7 strongly and on others weakly; feature 1 on any; feature 2 rarely."""
    tokens = torch.arange(60 * corpus.CONTEXT) % 9
    contexts = np.arange(60) * corpus.CONTEXT
    sevens = contexts + (7 - contexts) % 9
    fired = np.zeros((len(tokens), 3), np.float32)
    fired[sevens, 0] = 4.0
    fired[sevens[:30] + 1, 0] = 2.0
    fired[contexts, 1] = 1.0
    fired[:30, 2] = 1.0
    found = train_sae.token_focus(scipy.sparse.csc_matrix(fired), tokens)
    assert found["rateable"] == 2
    assert found["one_token"] == 0.5
    assert found["firings_on_that_token"] == pytest.approx(60 / 90)
    assert found["activation_on_that_token"] == pytest.approx(240 / 300)
