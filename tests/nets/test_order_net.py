"""The symptom network learns the orders, and carries each symptom, though nobody asked for one."""

import pytest
import torch
from sklearn.linear_model import LogisticRegression

from helpers.datasets import clinical_notes
from helpers.nets import order_net


@pytest.fixture(scope="module")
def model():
    return order_net.train()


def test_the_rules():
    note = next(
        n
        for n in order_net.notes(200, seed=3)
        if n.has("fever") and n.has("rash") and not n.has("cough")
    )
    due = dict(zip(order_net.ORDERS, order_net.orders([note])[0].tolist(), strict=True))
    assert due["blood test"] == 1
    assert due["swab"] == 0


def test_accuracy_is_the_mean_of_two_hit_rates():
    class Always(torch.nn.Module):
        def forward(self, tokens):
            return torch.tensor([1.0, -1.0, 1.0, -1.0]).expand(len(tokens), 4)

    assert order_net.accuracy(Always(), order_net.notes(300, seed=2)).tolist() == [0.5] * 4


def test_it_orders_as_the_rules_do(model):
    """Eight seeds: each order's accuracy .997 and above."""
    assert order_net.accuracy(model, order_net.notes(1000, seed=9)).min() > 0.95
    untrained = order_net.train(count=100, epochs=0)
    assert order_net.accuracy(untrained, order_net.notes(1000, seed=9)).max() < 0.6


def test_the_steps_compose_and_have_their_shapes(model):
    tokens = clinical_notes.encode(order_net.notes(5, seed=4))
    windows = model.windows(tokens)
    assert windows.shape == (5, 60, 32)
    assert (windows >= 0).all()
    assert torch.equal(model.hidden(tokens), windows.amax(1))
    assert torch.equal(model(tokens), model.votes(model.hidden(tokens)))
    changed = tokens.clone()
    changed[:, 20] = 1  # a window sees its own word and the two before it
    moved = (model.windows(changed) != windows).any(2).any(0).nonzero().flatten().tolist()
    assert moved
    assert set(moved) <= {20, 21, 22}


def test_every_finding_can_be_read_from_the_hidden_layer(model):
    """400 labelled notes, a linear direction; eight seeds: .99 and above for every finding."""
    labelled, held_out = order_net.notes(400, seed=5), order_net.notes(1000, seed=6)
    h, h_new = (
        model.hidden(clinical_notes.encode(labelled)),
        model.hidden(clinical_notes.encode(held_out)),
    )
    for finding in clinical_notes.FINDINGS:
        probe = LogisticRegression(class_weight="balanced", max_iter=1000).fit(
            h, [n.has(finding) for n in labelled]
        )
        assert probe.score(h_new, [n.has(finding) for n in held_out]) > 0.95


def test_the_same_seed_gives_the_same_network_and_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    a, b, c = (order_net.train(seed=seed, count=200, epochs=1) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(a.look.weight, b.look.weight)
    assert torch.equal(a.votes.weight, b.votes.weight)
    assert not torch.equal(a.look.weight, c.look.weight)
