import torch

from helpers.datasets import corpus
from helpers.ground.artifacts import Checkpoint
from helpers.transformer.activations import Activations
from helpers.transformer.model import OneLayerTransformer, Settings
from helpers.transformer.train import Training, batch, train

SETTINGS = Settings(d_model=16, d_mlp=32, heads=2, vocabulary=30)
TRAINING = Training(tokens=12 * 4 * corpus.CONTEXT, batch=4, micro=2, warmup=3)
STREAM = torch.randint(
    0, 30, (40 * corpus.CONTEXT + 1,), generator=torch.Generator().manual_seed(0)
).to(torch.int16)


class Killed(Exception):
    pass


def test_a_killed_run_ends_with_the_same_bits(tmp_path, monkeypatch):
    whole = train(SETTINGS, TRAINING, STREAM)
    checkpoint, steps = Checkpoint("lm", tmp_path), []

    def dies_at_step_9(*args):
        steps.append(args[1])
        if args[1] == 9:
            raise Killed
        return batch(*args)

    monkeypatch.setattr("helpers.transformer.train.batch", dies_at_step_9)
    try:
        train(SETTINGS, TRAINING, STREAM, checkpoint=checkpoint, every=4)
    except Killed:
        pass
    monkeypatch.setattr("helpers.transformer.train.batch", batch)
    resumed = train(SETTINGS, TRAINING, STREAM, checkpoint=checkpoint, every=4)
    assert steps[-1] == 9
    for a, b in zip(whole.model.state_dict().values(), resumed.model.state_dict().values()):
        assert torch.equal(a, b)
    assert whole.losses == resumed.losses and resumed.seconds > 0


def test_training_learns():
    pattern = (torch.arange(40 * corpus.CONTEXT + 1) % 7).to(torch.int16)
    model = train(
        SETTINGS,
        Training(tokens=80 * 4 * corpus.CONTEXT, batch=4, micro=4, warmup=5, learning_rate=1e-2),
        pattern,
    ).model
    guess = model(pattern[None, :100].long()).argmax(-1)[0, 5:]
    assert (guess == pattern[6:101].long()).float().mean() > 0.95


def test_micro_batches_give_the_same_gradient():
    from helpers.transformer.train import _step

    rows = batch(STREAM, 0, TRAINING)
    gradients = []
    for micro in (1, 2, 4):
        model = OneLayerTransformer(SETTINGS)
        torch.manual_seed(0)
        for p in model.parameters():
            torch.nn.init.normal_(p, std=0.1)
        _step(model, rows, Training(micro=micro))
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    torch.testing.assert_close(gradients[0], gradients[2], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(gradients[1], gradients[2], rtol=1e-4, atol=1e-6)


def test_every_row_comes_once_a_turn():
    starts = torch.cat(
        [batch(torch.arange(40 * corpus.CONTEXT + 1), step, TRAINING)[:, 0] for step in range(10)]
    )
    assert sorted((starts // corpus.CONTEXT).tolist()) == list(range(40))


def test_activations_are_rescaled_shuffled_and_can_go_on_in_the_middle(monkeypatch):
    monkeypatch.setattr("helpers.transformer.activations.CHUNK", 8)
    model = OneLayerTransformer(SETTINGS).eval()
    inputs = Activations(model, STREAM[:-1].view(40, corpus.CONTEXT).long())
    batches = [b for b, _ in zip(inputs.batches(256), range(11))]
    assert abs(torch.cat(batches).norm(dim=-1).mean() - 32**0.5) < 0.3
    later = inputs.batches(256, start=7)
    for i in range(7, 11):
        assert torch.equal(batches[i], next(later))
    assert len({tuple(row.tolist()) for row in torch.cat(batches[:4])}) > 900, (
        "a chunk's batches do not repeat positions"
    )
