"""Lesson 13: its checks, its known world and its scores by hand, its detectors."""

import itertools
from math import isnan

import pytest
import torch
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import roc_auc_score

from helpers.lesson.checks import RIGHT
from helpers.sae.kinds import build
from helpers.sae.model import Settings
from notebooks.support.lesson13 import checks as check
from notebooks.support.lesson13 import detectors, world
from tests.notebook_cells import solved

ANSWERS = solved("13", torch=torch, linear_sum_assignment=linear_sum_assignment)


def kept(f, k, values=None):
    best = f.topk(k)
    values = best.values if values is None else values(best.values)
    return torch.zeros_like(f).scatter(-1, best.indices, values)


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (ANSWERS["activate"], RIGHT),
        (lambda a, k: build(Settings(4, 12, kind="topk", k=k)).activate(a), RIGHT),
        (lambda a, k: kept(a, k), "ReLU first"),
        (lambda a, k: kept(a.abs(), k), "the largest by size"),
        (lambda a, k: kept(a.relu(), k, torch.ones_like), "put the values back, not ones"),
        (lambda a, k: a.relu().topk(k).values, "a place for each"),
        (lambda a, k: a.relu() - kept(a.relu(), k), "the ones to take away"),
        (lambda a, k: a.relu(), "nothing is taken away"),
        (
            lambda a, k: a.relu() * (a >= a.relu().flatten().topk(k * len(a)).values[-1]),
            "that is BatchTopK",
        ),
        (lambda a, k: a.relu() * (a >= a.relu().topk(k, 0).values[-1]), "of each row"),
        (lambda a, k: kept(a.relu(), 3), "k is given"),
        (lambda a, k: 2 * kept(a.relu(), k), "yours gives"),
    ],
)
def test_topk(answer, hint):
    assert hint in check.topk.verdict(answer)


def paired(table, maximize=True):
    rows, columns = linear_sum_assignment(table.numpy(), maximize=maximize)
    return torch.as_tensor(rows), torch.as_tensor(columns)


def greedy(cosine):
    alike, total = cosine.abs().clone(), 0.0
    for row in range(len(alike)):
        column = alike[row].argmax()
        total += float(alike[row, column])
        alike[:, column] = -1
    return total / len(alike)


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (ANSWERS["mcc"], RIGHT),
        (lambda c: world.match(c)[1].mean(), RIGHT),
        (lambda c: c.abs().amax(1).mean(), "each feature may be taken once"),
        (greedy, "another pairing has a larger sum"),
        (lambda c: c[paired(c)].mean(), "the sign does not count"),
        (lambda c: c[paired(c.abs())].mean(), "their |cosine| is the score"),
        (lambda c: c.abs()[paired(c.abs(), False)].mean(), "maximize=True"),
        (lambda c: c.abs()[paired(c.abs())].sum(), "divide by M"),
        (lambda c: c.abs()[paired(c**2)].mean(), "nor by squares"),
        (lambda c: c.abs()[paired(c[:, : len(c)].abs())].mean(), "not the first M alone"),
        (lambda c: 0.123, "yours gives"),
    ],
)
def test_matching(answer, hint):
    assert hint in check.matching.verdict(answer)


def test_the_matching_is_the_best_of_all():
    cosine = torch.randn(4, 6, generator=torch.Generator().manual_seed(3)).tanh()
    best = max(
        sum(abs(float(cosine[i, j])) for i, j in enumerate(columns))
        for columns in itertools.permutations(range(6), 4)
    )
    assert float(world.match(cosine)[1].sum()) == pytest.approx(best, rel=1e-5)


@pytest.fixture(scope="module")
def small():
    return world.World(3)


def test_the_world_is_as_it_is_described(small):
    on = small.strengths(20_000, seed=0) > 0
    often = on.float().mean(0)
    outside = (small.parent < 0).nonzero().flatten()
    wanted = 0.5 / (outside + 1.0)
    torch.testing.assert_close(often[outside], wanted, rtol=0.5, atol=0.004)
    assert 3 < on.float().sum(1).mean() < 4.2
    assert 2.6 < on[:, : world.WIDTH].float().sum(1).mean() < 3.5, "k is 3"
    children = (small.parent >= 0).nonzero().flatten()
    assert len(children) == 8 * (4 + 16 + 64)
    assert not (on[:, children] & ~on[:, small.parent[children]]).any(), "never without the parent"
    for parent in small.parent[children].unique().tolist():
        siblings = (small.parent == parent).nonzero().flatten()
        assert len(siblings) == 4
        assert on[:, siblings].sum(1).max() <= 1, "siblings exclude each other"
        assert (siblings > parent).all()


def test_children_scale_with_their_parent(small):
    f = small.strengths(50_000, seed=1)
    child = int((small.parent >= 0).nonzero()[0])
    parent = int(small.parent[child])
    both = f[f[:, child] > 0]
    shared = torch.corrcoef(both[:, [parent, child]].T)[0, 1]
    free = f[(f[:, 0] > 0) & (f[:, 1] > 0)]
    apart = torch.corrcoef(free[:, [0, 1]].T)[0, 1] if small.parent[1] < 0 else 0.0
    assert shared > 0.3 > apart


def test_a_dictionary_that_has_the_truth_scores_so(small):
    sae = build(Settings(world.DIMENSIONS, world.WIDTH))
    sae.W_dec.data = small.directions[: world.WIDTH].clone()
    x, on = small.test
    f = torch.zeros(len(x), world.WIDTH)

    def truth(x):
        return on[:, : world.WIDTH] * 4.5 * small.scale

    told = world.score(sae, small, truth)
    assert told.f1 > 0.99
    assert told.mcc > 0.999
    assert told.variance > 0.7
    assert told.f1_best > 0.99
    assert told.variance < told.variance_free
    assert abs(told.absorbed) < 1e-6
    nothing = world.score(sae, small, lambda x: f)
    assert nothing.f1 == 0
    assert nothing.dead == 1


def test_absorption_by_hand(small):
    """The parent's latent is silent on every second firing beside a child, on a quarter of those
    beside a feature outside of trees that is on as often, and on none alone."""
    child = int((small.parent >= 0).nonzero()[0])
    parent = int(small.parent[child])
    outside = set(range(world.FEATURES)) - set(small.parent.tolist())
    other = min(i for i in outside if small.parent[i] < 0)
    on = torch.zeros(160, world.FEATURES, dtype=torch.bool)
    on[:, parent] = on[:40, child] = on[40:80, other] = True
    fired = torch.ones(160, 1, dtype=torch.bool)
    fired[0:40:2] = fired[40:80:4] = False
    told = world.absorbed(fired, on, torch.tensor([parent]), small)
    assert told == pytest.approx((0.5 - 10 / 120, 0.25))
    few = slice(0, 160, 4)  # ten beside a child
    assert all(map(isnan, world.absorbed(fired[few], on[few], torch.tensor([parent]), small)))


def test_firings_find_their_feature_whatever_its_direction():
    """Latent 0 fires with feature 2, latent 1 on half of feature 1's, latent 2 never."""
    draw = torch.Generator().manual_seed(0)
    on = torch.rand(4000, 5, generator=draw) < 0.3
    half = on[:, 1] & (torch.arange(4000) % 2 == 0)
    fired = torch.stack([on[:, 2], half, torch.zeros(4000, dtype=torch.bool)], dim=1)
    assert world.best_f1(fired, on).tolist() == pytest.approx([1, 2 / 3, 0], abs=0.03)


def test_free_strengths_undo_shrinkage_and_bring_back_nothing_that_did_not_fire(small):
    sae = build(Settings(world.DIMENSIONS, world.DIMENSIONS))
    sae.W_dec.data = torch.eye(world.DIMENSIONS)
    sae.b_dec.data.zero_()
    f = torch.randn(500, world.DIMENSIONS, generator=torch.Generator().manual_seed(0)).relu()
    assert world.free(f, 0.1 * f, sae) == pytest.approx(1, abs=1e-4)
    silent = 0.1 * f
    silent[:, :40] = 0
    assert world.free(f, silent, sae) < 0.6


def test_matching_pursuit_takes_the_closest_direction_again_and_again():
    sae = build(Settings(3, 4))
    sae.W_dec.data = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [0.6, 0.8, 0]])
    x = torch.tensor([[0.0, 2, 5], [3, 4, 0]])
    f = world.pursue(x, sae, k=2)
    torch.testing.assert_close(f, torch.tensor([[0.0, 2, 5, 0], [0, 0, 0, 5]]))


def test_auc_is_sklearns():
    draw = torch.Generator().manual_seed(0)
    y = torch.rand(300, generator=draw) < 0.3
    score = (torch.randn(300, generator=draw) + y).round(decimals=1)  # with ties
    assert float(detectors.auc(score, y)) == pytest.approx(roc_auc_score(y, score), abs=1e-6)


def test_each_detector_finds_what_is_there():
    """Unit 2 says it alone; units 4 and 5 only together."""
    draw = torch.Generator().manual_seed(0)
    y = torch.arange(400) % 2 == 0
    x = torch.randn(400, 8, generator=draw)
    x[:, 2] -= 1.0 * y
    assert detectors.best_units(x, y).nonzero().flatten().tolist() == [2]
    assert detectors.best_units(x, y)[2] < 0
    assert detectors.difference(x, y).argmin() == 2
    shared = 5 * torch.randn(400, generator=draw)
    x[:, 4], x[:, 5] = shared + 2.0 * y, shared
    told = {
        name: float(detectors.auc(x @ fit(x, y).float(), y))
        for name, (_, fit) in detectors.DETECTORS.items()
    }
    assert told["probe"] > 0.95
    assert told["difference of means"] < 0.9


def test_labels_are_half_and_half_and_follow_from_the_seed():
    kind = torch.arange(300) % 3
    at = detectors.labels(kind, 1, 20, seed=5)
    assert (kind[at] == 1).sum() == 10
    assert len(at.unique()) == 20
    assert torch.equal(at, detectors.labels(kind, 1, 20, seed=5))
    assert not torch.equal(at, detectors.labels(kind, 1, 20, seed=6))
