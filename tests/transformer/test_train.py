import pytest
import torch
import torch.nn.functional as F

from helpers.datasets import corpus
from helpers.ground.artifacts import Checkpoint
from helpers.ground.errors import CourseError
from helpers.transformer.activations import ActivationBuffer
from helpers.transformer.model import OneLayerTransformer, Settings, initialise
from helpers.transformer.train import Training, backward, batch, share_of_peak, train

SETTINGS = Settings(d_model=16, d_mlp=32, heads=2, vocabulary=30)
TRAINING = Training(tokens=12 * 4 * corpus.CONTEXT, batch=4, micro=2, warmup=3)
STREAM = torch.randint(
    0, 30, (40 * corpus.CONTEXT + 1,), generator=torch.Generator().manual_seed(0)
).to(torch.int16)


class Killed(Exception):
    pass


def dies_at(step, monkeypatch):
    def batch_or_death(stream, now, training):
        if now == step:
            raise Killed
        return batch(stream, now, training)

    monkeypatch.setattr("helpers.transformer.train.batch", batch_or_death)


def test_a_killed_run_ends_with_the_same_bits(tmp_path, monkeypatch):
    whole = train(SETTINGS, TRAINING, STREAM)
    checkpoint = Checkpoint("lm", tmp_path)
    with monkeypatch.context() as patch:
        dies_at(9, patch)
        with pytest.raises(Killed):
            train(SETTINGS, TRAINING, STREAM, checkpoint=checkpoint, save_every=0)
    assert checkpoint.load()["step"] == 9
    resumed = train(SETTINGS, TRAINING, STREAM, checkpoint=checkpoint, save_every=0)
    for a, b in zip(
        whole.model.state_dict().values(), resumed.model.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b)
    assert whole.losses == resumed.losses


def test_saving_goes_by_the_clock_and_the_end_is_saved(tmp_path, monkeypatch):
    checkpoint = Checkpoint("lm", tmp_path)
    with monkeypatch.context() as patch:
        dies_at(9, patch)
        with pytest.raises(Killed):
            train(SETTINGS, TRAINING, STREAM, checkpoint=checkpoint)
    assert checkpoint.load() is None, "nine steps take no two minutes"
    train(SETTINGS, TRAINING, STREAM, checkpoint=checkpoint)
    assert checkpoint.load()["step"] == 12


def test_looks_are_noted_and_a_resumed_run_keeps_them(tmp_path, monkeypatch):
    monkeypatch.setattr("helpers.transformer.train.LOOK", 4 * 4 * corpus.CONTEXT)
    look = lambda model: model.W_in.weight.mean().item()
    whole = train(SETTINGS, TRAINING, STREAM, look=look)
    assert len(whole.looks) == 3
    checkpoint = Checkpoint("lm", tmp_path)
    with monkeypatch.context() as patch:
        dies_at(9, patch)
        with pytest.raises(Killed):
            train(SETTINGS, TRAINING, STREAM, checkpoint=checkpoint, save_every=0, look=look)
    again = train(SETTINGS, TRAINING, STREAM, checkpoint=checkpoint, save_every=0, look=look)
    assert again.looks == whole.looks


def test_a_run_whose_time_is_over_stops_after_a_save(tmp_path, monkeypatch):
    monkeypatch.setattr(Checkpoint, "until", 0.0)
    checkpoint = Checkpoint("lm", tmp_path)
    for wanted in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            train(SETTINGS, TRAINING, STREAM, checkpoint=checkpoint, save_every=0)
        assert checkpoint.load()["step"] == wanted


@pytest.mark.parametrize("bfloat16", [False, True])
def test_the_loss_in_pieces_is_cross_entropy(bfloat16, monkeypatch):
    monkeypatch.setattr("helpers.transformer.train.ROWS", 100)
    rows = batch(STREAM, 0, TRAINING)
    found = []
    for model in (OneLayerTransformer(SETTINGS), OneLayerTransformer(SETTINGS)):
        initialise(model, 0)
        if found:
            loss = backward(model, rows, Training(micro=2, bfloat16=bfloat16))
        else:
            loss = F.cross_entropy(model(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten())
            loss.backward()
        found.append(
            torch.cat([loss.detach()[None], *(p.grad.flatten() for p in model.parameters())])
        )
    wrong = (found[1] - found[0]).norm() / found[0].norm()
    assert wrong < (0.02 if bfloat16 else 1e-5)


def test_weights_that_are_not_numbers_end_in_a_sentence_and_keep_the_good_checkpoint(
    tmp_path, monkeypatch
):
    def poisoned(model, rows, training):
        loss = backward(model, rows, training)
        if len(steps) == 6:
            model.W_in.weight.grad[0, 0] = torch.nan
        steps.append(loss)
        return loss

    steps, checkpoint = [], Checkpoint("lm", tmp_path)
    monkeypatch.setattr("helpers.transformer.train.backward", poisoned)
    with pytest.raises(CourseError, match="after 7 steps some of its numbers are NaN"):
        train(SETTINGS, TRAINING, STREAM, checkpoint=checkpoint, save_every=0)
    state = checkpoint.load()
    assert state["step"] == 6
    assert all(value.isfinite().all() for value in state["model"].values())


def test_the_learning_rate_rises_in_a_line_and_falls_along_a_cosine(steps):
    train(SETTINGS, TRAINING, STREAM)
    rates = [rate / TRAINING.learning_rate for rate, _ in steps]
    assert rates[:4] == pytest.approx([1 / 3, 2 / 3, 1, 1])
    halfway = 3 + 9 / 2  # between the end of the rise and the end of the run
    assert share_of_peak(halfway, TRAINING) == pytest.approx(0.55)
    assert rates[-1] == pytest.approx(share_of_peak(11, TRAINING))
    assert 0.1 < rates[-1] < 0.15
    assert rates[3:] == sorted(rates[3:], reverse=True)


def test_training_learns():
    pattern = (torch.arange(40 * corpus.CONTEXT + 1) % 7).to(torch.int16)
    training = Training(
        tokens=60 * 4 * corpus.CONTEXT, batch=4, micro=4, warmup=5, learning_rate=1e-2
    )
    model = train(SETTINGS, training, pattern).model
    guess = model(pattern[None, :100].long()).argmax(-1)[0, 5:]
    assert (guess == pattern[6:101].long()).float().mean() > 0.95


def test_micro_batches_give_the_same_gradient():
    rows = batch(STREAM, 0, TRAINING)
    gradients = []
    for micro in (1, 2, 4):
        model = OneLayerTransformer(SETTINGS)
        initialise(model, 0)
        backward(model, rows, Training(micro=micro))
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    torch.testing.assert_close(gradients[0], gradients[2], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(gradients[1], gradients[2], rtol=1e-4, atol=1e-6)


def test_every_row_comes_once_a_turn_and_in_another_order_the_next():
    numbers = torch.arange(40 * corpus.CONTEXT + 1)
    training = Training(batch=6, micro=6)  # turns begin inside a batch
    rows = torch.cat([batch(numbers, step, training)[:, 0] for step in range(14)])
    turns = (rows // corpus.CONTEXT)[:80].view(2, 40)
    assert all(sorted(turn.tolist()) == list(range(40)) for turn in turns)
    assert not torch.equal(*turns)
    inside = batch(numbers, 0, training)
    assert (inside[:, 1:] - inside[:, :-1] == 1).all()


def test_training_leaves_the_readers_random_numbers_alone():
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    train(SETTINGS, Training(tokens=2 * 4 * corpus.CONTEXT, batch=4), STREAM)
    assert torch.equal(torch.rand(3), wanted)


def test_activations_are_rescaled_shuffled_and_can_go_on_in_the_middle(monkeypatch):
    monkeypatch.setattr("helpers.transformer.activations.CHUNK", 8)
    model = OneLayerTransformer(SETTINGS).eval()
    inputs = ActivationBuffer(model, STREAM[:-1].view(40, corpus.CONTEXT).long())
    batches = [b for b, _ in zip(inputs.batches(256), range(11), strict=False)]
    assert abs(torch.cat(batches).norm(dim=-1).mean() - 32**0.5) < 0.3
    later = inputs.batches(256, start=7)
    for i in range(7, 11):
        assert torch.equal(batches[i], next(later))
    distinct = {tuple(row.tolist()) for row in torch.cat(batches[:4])}
    assert len(distinct) > 900, "a chunk's batches do not repeat positions"
