from dataclasses import replace

import pytest
import torch

from helpers.ground.artifacts import Checkpoint
from helpers.ground.errors import CourseError
from helpers.sae.kinds import KINDS, build
from helpers.sae.model import Settings, SparseAutoencoder
from helpers.sae.train import Training, backward, resample, train


class Toy:
    """Inputs that are sparse sums of known directions, in the interface of `ActivationBuffer`."""

    def __init__(self, neurons=8, true=12, seed=0):
        generator = torch.Generator().manual_seed(seed)
        drawn = torch.randn(true, neurons, generator=generator)
        self.directions = torch.nn.functional.normalize(drawn, dim=-1)

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
TRAINING = Training(tokens=40 * 32, batch=32, learning_rate=3e-3)


def test_training_together_equals_training_alone():
    settings = [
        SETTINGS,
        replace(SETTINGS, features=16, seed=1, input_bias=False),
        replace(SETTINGS, unit_norm=False, resample=False),
    ]
    together = [SparseAutoencoder(s) for s in settings]
    train(together, Toy(), TRAINING)
    for s, joint in zip(settings, together, strict=True):
        train([alone := SparseAutoencoder(s)], Toy(), TRAINING)
        for a, b in zip(joint.parameters(), alone.parameters(), strict=True):
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
    sae.b_dec.data.normal_(generator=torch.Generator().manual_seed(1))
    sae.b_enc.data.normal_(generator=torch.Generator().manual_seed(2))
    results = []
    for few in (0, 1):  # never, always by the sparse products
        monkeypatch.setattr("helpers.sae.train.FEW", few)
        sae.zero_grad()
        loss, f = backward(sae, x, bfloat16=False)
        torch.testing.assert_close(f, sae.encode(x).detach(), rtol=1e-4, atol=1e-5)
        results.append([*loss, *(p.grad for p in sae.parameters() if p.requires_grad)])
    for dense, sparse in zip(*results, strict=True):
        torch.testing.assert_close(sparse, dense, rtol=1e-4, atol=1e-6)


def test_sparse_gradients_of_a_batch_in_which_nothing_fires():
    sae = SparseAutoencoder(SETTINGS)
    sae.b_enc.data.fill_(-100.0)
    x = Toy().batch(32, 0)
    loss, _ = backward(sae, x, bfloat16=False)
    assert loss.sparsity == 0
    assert not sae.W_enc.grad.any()
    assert not sae.W_dec.grad.any()
    torch.testing.assert_close(sae.b_dec.grad, 2 * (sae.b_dec.detach() - x).mean(dim=0) / 8)


class Killed(Exception):
    pass


class DiesAt(Toy):
    def batches(self, size, *, start=0):
        for i, x in enumerate(super().batches(size, start=start), start):
            if i == 27:
                raise Killed
            yield x


@pytest.mark.parametrize("few", [0, 1])
def test_a_killed_run_ends_with_the_same_bits(few, tmp_path, monkeypatch):
    monkeypatch.setattr("helpers.sae.train.FEW", few)
    new = lambda: [SparseAutoencoder(SETTINGS), SparseAutoencoder(replace(SETTINGS, features=16))]
    whole, checkpoint = new(), Checkpoint("sae", tmp_path)
    trained = train(whole, Toy(), TRAINING)
    with pytest.raises(Killed):
        train(new(), DiesAt(), TRAINING, checkpoint=checkpoint, save_every=0)
    resumed = train(parts := new(), Toy(), TRAINING, checkpoint=checkpoint, save_every=0)
    assert resumed.history == trained.history
    assert all(map(torch.equal, resumed.silent, trained.silent))
    for a, b in zip(whole, parts, strict=True):
        assert all(map(torch.equal, a.parameters(), b.parameters()))


def test_training_finds_known_directions_and_keeps_them_at_length_one():
    toy = Toy()
    sae = SparseAutoencoder(SETTINGS)
    train([sae], toy, Training(tokens=400 * 128, batch=128, learning_rate=8e-3))
    torch.testing.assert_close(sae.W_dec.norm(dim=1), torch.ones(24))
    cosine = (toy.directions @ sae.W_dec.T).max(dim=1).values
    assert cosine.median() > 0.9, cosine


# ---- what a run does at which step


def test_the_learning_rate_is_constant_and_falls_in_the_last_fifth(steps):
    train([SparseAutoencoder(SETTINGS)], Toy(), TRAINING)
    rates = [rate / TRAINING.learning_rate for rate, _ in steps]
    assert rates[:33] == pytest.approx([1] * 33)
    assert rates[33:] == pytest.approx([7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8])


@pytest.mark.parametrize("wanted", [True, False])
def test_training_resamples_features_that_have_died(wanted):
    """Two features are dead from the beginning: a run revives them where it is asked to."""
    sae = SparseAutoencoder(replace(SETTINGS, resample=wanted))
    sae.b_enc.data[[3, 7]] = -100.0
    trained = train([sae], Toy(), TRAINING)
    fires = (sae.encode(Toy().batch(500, 99)) > 0).any(dim=0)
    assert fires[[3, 7]].tolist() == [wanted, wanted]
    assert trained.silent[0][[3, 7]].tolist() == [not wanted, not wanted]


def test_resampling_happens_at_its_shares_of_the_run_with_those_silent_long_enough(monkeypatch):
    calls = []

    def noted(sae, optimizer, dead, x, *, seed):
        calls.append((seed, dead.nonzero().flatten().tolist()))

    monkeypatch.setattr("helpers.sae.train.resample", noted)
    sae = SparseAutoencoder(SETTINGS)
    sae.b_enc.data[[3, 7]] = -100.0
    train([sae], Toy(), replace(TRAINING, silent_for=0.2))
    assert [step for step, _ in calls] == [4, 10, 16, 22, 28]
    assert calls[0][1] == [], "eight steps of silence are asked for"
    assert all({3, 7} <= set(dead) for _, dead in calls[1:])


def test_history_is_error_and_features_a_sample_at_every_twentieth_step():
    sae = SparseAutoencoder(replace(SETTINGS, input_bias=False))
    x = next(Toy().batches(32))
    loss, f = sae.loss(x, sae.encode(x)), sae.encode(x)
    (history,) = train([sae], Toy(), TRAINING).history
    assert len(history) == 2
    wanted = [loss.mse.item(), (f > 0).sum().item() / 32]
    assert history[0] == pytest.approx(wanted, rel=1e-5)


class Broken(Toy):
    """One activation of one batch is no number, or is far too large."""

    def __init__(self, bad, value=torch.nan):
        super().__init__()
        self.bad, self.value = bad, value

    def batch(self, size, seed):
        x = super().batch(size, seed)
        x[0, 0] = self.value if seed == self.bad else x[0, 0]
        return x


def test_what_is_no_number_ends_in_a_sentence():
    with pytest.raises(CourseError, match="activations or weights are not numbers"):
        train([SparseAutoencoder(SETTINGS)], Broken(0), TRAINING)
    with pytest.raises(CourseError, match="after 40 steps some of its numbers are NaN"):
        train([SparseAutoencoder(SETTINGS)], Broken(20), TRAINING)  # at the end


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [torch.nan, torch.inf, 1e30])
def test_the_last_good_checkpoint_stays(kind, value, tmp_path):
    settings, checkpoint = replace(SETTINGS, kind=kind, k=3), Checkpoint("sae", tmp_path)
    with pytest.raises(CourseError, match="after 21 steps .* NaN .* checkpoint.* good"):
        train([build(settings)], Broken(20, value), TRAINING, checkpoint=checkpoint, save_every=0)
    state = checkpoint.load()
    assert state["step"] == 20
    for weights in (state["saes"][0], *state["optimizer"]["state"].values()):
        assert all(value.isfinite().all() for value in weights.values())
    train([build(settings)], Toy(), TRAINING, checkpoint=checkpoint)  # goes on from there
    with pytest.raises(CourseError, match="after 21 steps"):  # without one it is looked at as often
        train([build(settings)], Broken(20, value), TRAINING, save_every=0)


@pytest.mark.parametrize("value", [torch.nan, 1e30])
@pytest.mark.parametrize("bad", [3, 10_004])  # a batch; what is drawn to resample from
def test_resampling_meets_what_is_no_number_before_the_next_save(bad, value):
    sae = SparseAutoencoder(SETTINGS)
    sae.b_enc.data[[3, 7]] = -1e35
    with pytest.raises(CourseError, match="are (not numbers|NaN)"):
        train([sae], Broken(bad, value), TRAINING)


def test_activations_from_inference_mode_are_activations():
    class Kept(Toy):
        def batch(self, size, seed):
            with torch.inference_mode():
                return super().batch(size, seed)

    plain, kept = SparseAutoencoder(SETTINGS), SparseAutoencoder(SETTINGS)
    train([plain], Toy(), TRAINING)
    train([kept], Kept(), TRAINING)
    assert torch.equal(plain.W_enc, kept.W_enc)


# ---- resampling by itself


def test_resampling_revives_dead_features_only():
    sae = SparseAutoencoder(SETTINGS)
    optimizer = torch.optim.Adam(sae.parameters(), lr=1e-3)
    x = Toy().batch(256, 0)
    sae.loss(x, sae.encode(x)).total.backward()
    optimizer.step()
    before = {name: p.detach().clone() for name, p in sae.named_parameters()}
    moments = {
        (name, moment): optimizer.state[getattr(sae, name)][moment].clone()
        for name in ("W_enc", "W_dec", "b_enc")
        for moment in ("exp_avg", "exp_avg_sq")
    }
    dead = torch.zeros(24, dtype=torch.bool)
    dead[[3, 7]] = True
    resample(sae, optimizer, dead, x, seed=0)
    assert torch.equal(sae.W_dec[~dead], before["W_dec"][~dead])
    assert torch.equal(sae.W_enc[:, ~dead], before["W_enc"][:, ~dead])
    for (name, moment), old in moments.items():
        new = optimizer.state[getattr(sae, name)][moment]
        old, new = (old.T, new.T) if name == "W_enc" else (old, new)
        assert torch.equal(new[~dead], old[~dead]), (name, moment)
        assert not new[dead].any(), (name, moment)
    torch.testing.assert_close(sae.W_dec[dead].norm(dim=1), torch.ones(2))
    mean = before["W_enc"][:, ~dead].norm(dim=0).mean()
    torch.testing.assert_close(sae.W_enc[:, dead].norm(dim=0), (0.2 * mean).expand(2))
    assert not sae.b_enc[dead].any()
    directions = torch.nn.functional.normalize(x - sae.b_dec, dim=-1)
    nearest = (directions @ sae.W_dec[dead].T).max(dim=0).values
    assert (nearest > 0.999).all(), "the new directions are inputs"
    assert (sae.encode(x)[:, dead] > 0).any(dim=0).all()


def test_inputs_explained_badly_are_drawn_more_often():
    sae = SparseAutoencoder(replace(SETTINGS, l1=0.0))
    optimizer = torch.optim.Adam(sae.parameters())
    x = torch.zeros(100, 8)
    x[0, 2] = 50.0
    dead = torch.arange(24) < 20
    resample(sae, optimizer, dead, x, seed=0)
    assert (sae.W_dec[dead, 2] > 0.99).all(), "only one input has a loss worth speaking of"


def test_inputs_with_many_features_are_drawn_more_often():
    """The error is 0: what is left of the loss is λ times the features, 2,003 or 3 of them."""
    sae = SparseAutoencoder(Settings(neurons=8, features=10, l1=1.0))
    for weights in (sae.W_enc.data.T, sae.W_dec.data):
        weights.copy_(torch.eye(10, 8))
    x = torch.zeros(100, 8)
    x[:, 1] = 3.0
    x[0, 2] = 2000.0
    dead = torch.arange(10) >= 8
    resample(sae, torch.optim.Adam(sae.parameters()), dead, x, seed=0)
    assert (sae.W_dec[dead, 2] > 0.99).all()
