from dataclasses import replace

import pytest
import torch

from helpers.ground.artifacts import Checkpoint
from helpers.sae.model import Settings, SparseAutoencoder
from helpers.sae.train import Training, backward, resample, train


class Toy:
    """Inputs that are sparse sums of known directions, in the interface of `Activations`."""

    def __init__(self, neurons=8, true=12, seed=0):
        generator = torch.Generator().manual_seed(seed)
        self.directions = torch.nn.functional.normalize(
            torch.randn(true, neurons, generator=generator), dim=-1
        )

    def batch(self, size, seed):
        generator = torch.Generator().manual_seed(seed)
        on = torch.rand(size, len(self.directions), generator=generator) < 0.1
        return (on * torch.rand(on.shape, generator=generator) * 3) @ self.directions + 0.5

    def batches(self, size, *, start=0):
        while True:
            yield self.batch(size, start)
            start += 1

    def sample(self, size, *, seed):
        return self.batch(size, 10_000 + seed)


SETTINGS = Settings(neurons=8, features=24, l1=0.02)
TRAINING = Training(tokens=60 * 64, batch=64, learning_rate=3e-3)


def test_training_together_equals_training_alone():
    settings = [
        SETTINGS,
        replace(SETTINGS, features=16, seed=1),
        replace(SETTINGS, l1=0.05, seed=2, input_bias=False),
        replace(SETTINGS, unit_norm=False),
        replace(SETTINGS, resample=False),
    ]
    together = [SparseAutoencoder(s) for s in settings]
    train(together, Toy(), TRAINING)
    for s, joint in zip(settings, together):
        train([alone := SparseAutoencoder(s)], Toy(), TRAINING)
        for a, b in zip(joint.parameters(), alone.parameters()):
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    "settings",
    [
        SETTINGS,
        replace(SETTINGS, input_bias=False),
        replace(SETTINGS, l1=0.0),
        replace(SETTINGS, unit_norm=False),
    ],
)
def test_sparse_gradients_are_autograds(settings, monkeypatch):
    x, sae = Toy().batch(32, 0), SparseAutoencoder(settings)
    sae.b_d.data.normal_(generator=torch.Generator().manual_seed(1))
    sae.b_e.data.normal_(generator=torch.Generator().manual_seed(2))
    found = []
    for few in (0, 1):  # never, always by the sparse products
        monkeypatch.setattr("helpers.sae.train.FEW", few)
        sae.zero_grad()
        loss, f = backward(sae, x, bfloat16=False)
        torch.testing.assert_close(f, sae.encode(x).detach(), rtol=1e-4, atol=1e-5)
        found.append([*loss, *(p.grad for p in sae.parameters() if p.requires_grad)])
    for dense, sparse in zip(*found, strict=True):
        torch.testing.assert_close(sparse, dense, rtol=1e-4, atol=1e-6)


def test_sparse_gradients_of_a_batch_in_which_nothing_fires():
    sae = SparseAutoencoder(SETTINGS)
    sae.b_e.data.fill_(-100.0)
    x = Toy().batch(32, 0)
    loss, _ = backward(sae, x, bfloat16=False)
    assert loss.sparsity == 0 and sae.W_e.grad.abs().max() == 0 and sae.W_d.grad.abs().max() == 0
    torch.testing.assert_close(sae.b_d.grad, 2 * (sae.b_d.detach() - x).mean(dim=0) / 8)


class Killed(Exception):
    pass


class DiesAt(Toy):
    def batches(self, size, *, start=0):
        for i, x in enumerate(super().batches(size, start=start), start):
            if i == 37:
                raise Killed
            yield x


@pytest.mark.parametrize("few", [0, 1])
def test_a_killed_run_ends_with_the_same_bits(few, tmp_path, monkeypatch):
    monkeypatch.setattr("helpers.sae.train.FEW", few)
    whole = [SparseAutoencoder(SETTINGS), SparseAutoencoder(replace(SETTINGS, features=16))]
    history = train(whole, Toy(), TRAINING).history
    parts = [SparseAutoencoder(SETTINGS), SparseAutoencoder(replace(SETTINGS, features=16))]
    checkpoint = Checkpoint("sae", tmp_path)
    try:
        train(parts, DiesAt(), TRAINING, checkpoint=checkpoint, every=10)
        raise AssertionError("it should have been killed")
    except Killed:
        pass
    parts = [SparseAutoencoder(SETTINGS), SparseAutoencoder(replace(SETTINGS, features=16))]
    resumed = train(parts, Toy(), TRAINING, checkpoint=checkpoint, every=10)
    assert resumed.history == history
    for a, b in zip(whole, parts):
        assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters()))


def test_training_finds_known_directions_and_keeps_columns_at_length_one():
    toy = Toy()
    sae = SparseAutoencoder(SETTINGS)
    train([sae], toy, Training(tokens=700 * 256, batch=256, learning_rate=5e-3))
    torch.testing.assert_close(sae.W_d.norm(dim=0), torch.ones(24))
    cosine = (toy.directions @ sae.W_d).max(dim=1).values
    assert cosine.median() > 0.9, cosine


def test_resampling_revives_dead_features_only():
    sae = SparseAutoencoder(SETTINGS)
    optimiser = torch.optim.Adam(sae.parameters(), lr=1e-3)
    x = Toy().batch(256, 0)
    sae.loss(x, sae.encode(x)).total.backward()
    optimiser.step()
    before = {name: p.detach().clone() for name, p in sae.named_parameters()}
    moments = optimiser.state[sae.W_e]["exp_avg"].clone()
    dead = torch.zeros(24, dtype=torch.bool)
    dead[[3, 7]] = True
    resample(sae, optimiser, dead, x, seed=0)
    alive = ~dead
    assert torch.equal(sae.W_d[:, alive], before["W_d"][:, alive]) and torch.equal(
        sae.W_e[alive], before["W_e"][alive]
    )
    assert torch.equal(optimiser.state[sae.W_e]["exp_avg"][alive], moments[alive])
    torch.testing.assert_close(sae.W_d[:, dead].norm(dim=0), torch.ones(2))
    torch.testing.assert_close(
        sae.W_e[dead].norm(dim=-1), (0.2 * before["W_e"][alive].norm(dim=-1).mean()).expand(2)
    )
    assert (
        sae.b_e[dead].abs().max() == 0
        and optimiser.state[sae.W_d]["exp_avg_sq"][:, dead].abs().max() == 0
    )
    directions = torch.nn.functional.normalize(x - sae.b_d, dim=-1)
    assert ((directions @ sae.W_d[:, dead]).max(dim=0).values > 0.999).all(), (
        "the new directions are inputs"
    )
    assert (sae.encode(x)[:, dead] > 0).any(dim=0).all()


def test_inputs_explained_badly_are_drawn_more_often():
    sae = SparseAutoencoder(replace(SETTINGS, l1=0.0))
    optimiser = torch.optim.Adam(sae.parameters())
    x = torch.zeros(100, 8)
    x[0, 2] = 50.0
    dead = torch.arange(24) < 20
    resample(sae, optimiser, dead, x, seed=0)
    assert (sae.W_d[2, dead] > 0.99).all(), "only one input has a loss worth speaking of"


def test_resampling_happens_in_proportion_to_the_run():
    assert Training(tokens=1000 * 64, batch=64).resampling_steps() == [100, 250, 400, 550, 700]
