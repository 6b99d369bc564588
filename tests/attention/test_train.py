"""Training: the class weight, weight decay, guides, the epoch that is kept."""

import math

import pytest
import torch
import torch.nn.functional as F

from helpers.attention import model as M
from helpers.attention import train
from tests.attention.texts import build, telling, texts


def test_the_class_weight_makes_both_classes_weigh_the_same():
    """Two positive texts of eight: each counts 8 / 2 - 1 = 3 times, so six against six."""
    data = [(ids, int(i < 2)) for i, (ids, _) in enumerate(texts(8))]
    model, batch = build(), M.collate(data)
    logits = model(batch)[0][:, 0]
    positive = F.softplus(-logits)  # -log p
    negative = F.softplus(logits)
    by_hand = (3 * positive[:2].sum() + negative[2:].sum()) / 8
    loss = train.label_loss(model, data)(model, batch, None)
    assert loss.item() == pytest.approx(by_hand.item(), rel=1e-5)


def test_weight_decay_spares_the_attention_and_nothing_else():
    model = build()
    decayed, spared = train.optimizer_for(model, train.Settings(decay=0.1)).param_groups
    assert decayed["weight_decay"] == 0.1
    assert spared["weight_decay"] == 0
    names = {id(p): name for name, p in model.named_parameters()}
    attention = {names[id(p)] for p in spared["params"]}
    assert attention == {"W1.weight", "W1.bias", "W2.weight", "v.weight", "query"}
    assert len(decayed["params"]) + len(spared["params"]) == len(names)


def test_batches_hold_every_text_once_beside_texts_of_its_length():
    data = texts(50)
    for generator in (None, torch.Generator().manual_seed(0)):
        all_batches = list(train.batches(data, 8, generator=generator))
        index = torch.cat([batch.index for batch in all_batches])
        assert sorted(index.tolist()) == list(range(50))
        for batch in all_batches:
            for row, i in enumerate(batch.index.tolist()):
                ids, label = data[i]
                assert batch.words[row].tolist()[: len(ids)] == ids.tolist()
                assert (batch.words[row, len(ids) :] == M.PAD).all()
                assert batch.label[row] == label
        padding = sum((batch.words == M.PAD).sum().item() for batch in all_batches)
        assert padding < 100  # a third of what random batches have


def test_predict_keeps_the_order_of_the_data():
    model, data = build(), texts(20)
    probs, weights = train.predict(model, data, size=6)
    for i, (ids, label) in enumerate(data):
        logits, alpha = model(M.collate([(ids, label)]))
        torch.testing.assert_close(probs[i], M.probabilities(logits)[0].detach())
        torch.testing.assert_close(weights[i, : len(ids)], alpha[0].detach())
        assert (weights[i, len(ids) :] == 0).all()


def test_a_guide_is_picked_row_by_row():
    data = texts(10)
    guide = torch.rand(10, max(len(ids) for ids, _ in data))
    batch = next(train.batches(data, 4))
    rows = train.pick(guide, batch)
    torch.testing.assert_close(rows, guide[batch.index, : batch.words.shape[1]])
    assert train.pick(None, batch) is None
    assert torch.equal(train.pick(M.uniform, batch), M.uniform(batch.content))


def test_training_learns_which_word_decides_and_keeps_the_best_epoch():
    data = telling(400)
    model = build(0)
    history = train.fit(model, data[:300], data[300:], train.Settings(epochs=12, rate=0.01))
    assert train.score(model, data[300:]) == pytest.approx(max(history))
    assert max(history) > 0.95


def test_steps_are_cut_to_length_5_and_start_from_no_gradient(steps):
    """Each step's gradient is that of its own batch: of one text, repeated, it cannot add up."""
    model, data = build(2), telling(8)
    loss = lambda model, batch, alpha: 1e4 * model(batch, alpha)[0].mean()
    train.fit(model, data, data, train.Settings(epochs=3, batch=8), loss=loss)
    assert [norm for _, norm in steps] == pytest.approx([5.0] * 3, rel=1e-4)
    steps.clear()
    loss = lambda model, batch, alpha: model.out.bias.sum()
    train.fit(model, data, data, train.Settings(epochs=3, batch=8, rate=0.01), loss=loss)
    assert steps == [(0.01, 1.0)] * 3


def test_a_frozen_attention_learns_nothing():
    data = telling(60)
    model = build(1)
    before = model.v.weight.clone()
    train.fit(model, data, data, train.Settings(epochs=1), guide=M.uniform, dev_guide=M.uniform)
    assert torch.equal(model.v.weight, before)
    train.fit(model, data, data, train.Settings(epochs=1))
    assert not torch.equal(model.v.weight, before)


def test_f1_counts_the_positive_class():
    data = texts(30)
    model = build()
    probs = train.predict(model, data)[0][:, 1]
    label = torch.tensor([y for _, y in data])
    chosen = probs > 0.5
    hits = (chosen & (label == 1)).sum().item()
    by_hand = 2 * hits / max(chosen.sum().item() + label.sum().item(), 1)
    assert train.f1(model, data) == pytest.approx(by_hand)
    assert math.isfinite(train.score(model, data))
