"""Lesson 05's experiments: distances and losses by hand, the adversary, the guided reader."""

import math

import pytest
import torch

from helpers.attention import diagnostic, faithfulness, train
from helpers.attention import model as M
from tests.attention.texts import QUICK, build, data_set, telling


@pytest.fixture(scope="module")
def trained():
    data = data_set()
    return diagnostic.train_one(data, QUICK)[0], data


def test_distance_is_zero_from_oneself_and_matches_a_loop():
    one, other, data = build(0), build(1), telling(12)
    same = diagnostic.distance(one, one, data)
    assert same.jsd.max() < 1e-6
    assert same.tvd.max() < 1e-6
    distance = diagnostic.distance(one, other, data)
    for i, example in enumerate(data):
        (a, alpha), (b, beta) = (m(M.collate([example])) for m in (one, other))
        change = (a.sigmoid() - b.sigmoid()).abs().item()
        assert distance.tvd[i].item() == pytest.approx(change, abs=1e-5)
        jsd = faithfulness.jsd(alpha, beta).item()
        assert distance.jsd[i].item() == pytest.approx(jsd, abs=1e-5)
        assert distance.largest[i].item() == pytest.approx(alpha.max().item(), abs=1e-6)


def peaked(seed):
    """A model with weights that are far from uniform: there KL has a direction."""
    model = build(seed)
    model.v.weight.data *= 400
    return model


def test_the_adversary_loss_by_hand():
    base, other, data = peaked(0), peaked(1), telling(6)
    probs, alphas = train.predict(base, data)
    batch = M.collate([data[4], data[1]], [4, 1])  # in another order than the data
    loss = diagnostic.adversary_loss(probs, alphas, lam=0.3)(other, batch, None)
    by_hand = []
    for i in (4, 1):
        logit, alpha = other(M.collate([data[i]]))
        a, b = alpha[0, 1:-1].tolist(), alphas[i][1:-1].tolist()
        kl = sum(x * math.log(x / y) for x, y in zip(a, b, strict=True))
        back = sum(y * math.log(y / x) for x, y in zip(a, b, strict=True))
        assert abs(kl - back) > 0.05  # or the test could not tell them apart
        by_hand.append(abs(logit.sigmoid().item() - probs[i, 1].item()) - 0.3 * kl)
    assert loss.item() == pytest.approx(sum(by_hand) / 2, abs=1e-5)


def test_a_greedy_adversary_moves_further_than_a_timid_one(trained):
    base, data = trained
    timid, greedy = (
        diagnostic.distance(base, diagnostic.train_adversary(base, data, QUICK, lam=lam), data.test)
        for lam in (1e-4, 1)
    )
    assert greedy.jsd.mean() > timid.jsd.mean() + 0.1
    assert timid.tvd.mean() < 0.1
    assert greedy.jsd.max() <= math.log(2) + 1e-6


class Pointer(M.AttentionModel):
    """Looks at the deciding word, or at all others."""

    def __init__(self, deciding: bool):
        super().__init__(30, embed=2, hidden=4)
        self.deciding = deciding

    def forward(self, batch, alpha=None):
        chosen = ((batch.words == 4) | (batch.words == 5)) == self.deciding
        return torch.zeros(len(batch.words), 1), M.uniform(chosen & batch.content)


def test_a_guide_that_points_at_the_deciding_word_helps_and_another_does_not(trained):
    _, data = trained
    label = torch.tensor([y for _, y in data.test])

    def right(guide) -> float:
        p = diagnostic.mlp_diagnostic(data, QUICK, guide=guide)
        return ((p > 0.5) == label).float().mean().item()

    assert right(Pointer(True)) == 1
    assert right(Pointer(False)) < 0.7
    assert right("own") > 0.9


def test_training_follows_from_the_seed_and_leaves_the_global_stream_alone():
    data = data_set()._replace(train=telling(40), dev=telling(20, 1))
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    one, again, other = (diagnostic.train_one(data, QUICK, seed=s)[0] for s in (1, 1, 2))
    diagnostic.train_adversary(one, data, QUICK, lam=0.1)
    diagnostic.mlp_diagnostic(data, QUICK, guide="uniform")
    assert torch.equal(torch.rand(4), expected)
    torch.testing.assert_close(one.out.weight, again.out.weight)
    assert not torch.equal(one.out.weight, other.out.weight)
