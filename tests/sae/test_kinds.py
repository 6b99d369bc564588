"""Each kind by its written formula, and in training."""

from dataclasses import replace

import pytest
import torch

from helpers.ground.errors import CourseError
from helpers.sae import train as training
from helpers.sae.kinds import KINDS, PREFIXES, build
from helpers.sae.model import Dictionary, Settings
from helpers.sae.train import Training, backward, train
from tests.sae.test_train import Toy

BASE = Settings(neurons=8, features=32, k=3, k_aux=4, dead_after=50, bandwidth=0.2)


def inputs(size: int = 40) -> torch.Tensor:
    """No two alike: of equal values at the edge all stay."""
    noise = torch.randn(size, 8, generator=torch.Generator().manual_seed(2))
    return Toy().batch(size, 0) + 0.1 * noise


def made(kind: str, **changes):
    sae = build(replace(BASE, kind=kind, **changes))
    draw = torch.Generator().manual_seed(1)
    for bias in (sae.b_enc, sae.b_dec):
        bias.data = 0.1 * torch.randn(bias.shape, generator=draw)
    return sae


def pre(sae, x):
    return (x - sae.b_dec) @ sae.W_enc + sae.b_enc


def test_topk_keeps_the_k_largest_of_each_row():
    sae, x = made("topk"), inputs()
    f, a = sae.encode(x), pre(sae, x).relu()
    for row, kept in zip(a, f, strict=True):
        order = row.argsort(descending=True)
        torch.testing.assert_close(kept[order[:3]], row[order[:3]])
        assert not kept[order[3:]].any()


def test_batch_topk_keeps_the_largest_of_the_batch_and_one_threshold_in_use():
    sae, x = made("batch_topk"), inputs()
    a = pre(sae, x).relu()
    f = sae.encode(x)
    assert int((f > 0).sum()) == 3 * len(x)
    assert f[f > 0].min() > a[f == 0].max()
    torch.testing.assert_close(f[f > 0], a[f > 0])
    sae.observe(f.detach())
    assert sae.threshold == f[f > 0].min()  # the first, then a running mean
    sae.observe(2 * f.detach())
    torch.testing.assert_close(sae.threshold, 1.01 * f[f > 0].min().detach())
    sae.eval()
    alone = torch.cat([sae.encode(row[None]) for row in x])
    torch.testing.assert_close(alone, a * (a > sae.threshold))


def test_the_guess_changes_nothing():
    sae, x = made("batch_topk"), inputs()
    f = sae.encode(x)
    for guess in (f[f > 0].min().item(), 1e6):  # a good one, and one that leaves too few
        sae.threshold.fill_(guess)
        assert torch.equal(sae.encode(x), f)


def test_jumprelu_by_hand():
    """One input, one neuron, two features: a = (1.05, 0.5), θ = (1, 1), bandwidth .2."""
    sae = build(Settings(1, 2, kind="jumprelu", k=2, auxiliary=0.5, bandwidth=0.2))
    with torch.no_grad():
        sae.W_enc.copy_(torch.tensor([[1.05, 0.5]]))
        sae.W_dec.fill_(1.0)
        sae.threshold.fill_(1.0)
    x = torch.ones(1, 1)
    loss, f = backward(sae, x, bfloat16=False)
    assert f.tolist() == [[pytest.approx(1.05), 0.0]]
    assert loss.mse.item() == pytest.approx(0.05**2, rel=1e-4)
    assert loss.total.item() == pytest.approx(0.05**2 + 0.5 * (1 / 2 - 1) ** 2, rel=1e-4)
    of_error = 2 * 0.05 * -(1.0 / 0.2)  # d mse / d f · (−θ / ε)
    of_count = 0.5 * 2 * (1 / 2 - 1) / 2 * -(1 / 0.2)  # λ · d(L0/k − 1)² / d L0 · (−1 / ε)
    assert sae.threshold.grad.tolist() == [pytest.approx(of_error + of_count, rel=1e-4), 0.0]
    assert sae.W_enc.grad.tolist() == [[pytest.approx(2 * 0.05, rel=1e-4), 0.0]]


def test_matryoshka_adds_up_what_prefixes_miss():
    sae, x = made("matryoshka"), inputs()
    f = sae.encode(x)
    errors = []
    for share in PREFIXES:
        m = round(share * 32)
        errors.append((f[:, :m] @ sae.W_dec[:m] + sae.b_dec - x).square().mean())
    torch.testing.assert_close(sae.loss(x, f).mse, sum(errors) / len(errors))


def test_dead_features_learn_what_the_living_leave_over():
    sae, x = made("topk"), inputs()
    sae.b_enc.data[:6] = -5.0
    sae.silent_for[:6] = 51
    sae.b_enc.data[4:6] = 0.3  # two of them answer, if asked
    f = sae.encode(x)
    f[:, :6] = 0
    f = f.detach()
    g = pre(sae, x).relu()[:, :6]
    left = x - (f @ sae.W_dec + sae.b_dec)
    wanted = (g @ sae.W_dec[:6] - left.detach()).square().mean()  # at most 4 of 6 fire
    torch.testing.assert_close(sae.extra(x, f), wanted)
    sae.extra(x, f).backward()
    assert sae.W_dec.grad[4:6].any()
    assert not sae.W_dec.grad[6:].any()
    sae.silent_for.zero_()
    assert sae.extra(x, f) == 0


@pytest.mark.parametrize("kind", ["topk", "batch_topk"])
@pytest.mark.parametrize("dead", [0, 5])
@pytest.mark.parametrize("bfloat16", [False, True])
def test_sparse_steps_have_the_dense_ones_gradients(kind, dead, bfloat16, monkeypatch):
    results = []
    for few in (0, 1):
        monkeypatch.setattr(training, "FEW", few)
        sae = made(kind)
        sae.silent_for[:dead] = 1000
        sae.b_enc.data[:dead] -= 3
        loss, _ = backward(sae, inputs(), bfloat16=bfloat16)
        results.append([*loss, *(p.grad for p in sae.parameters())])
    for dense, sparse in zip(*results, strict=True):
        close = {"rtol": 0.05, "atol": 1e-3} if bfloat16 else {"rtol": 1e-4, "atol": 1e-6}
        torch.testing.assert_close(sparse, dense.detach(), **close)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_learns_and_keeps_its_count(kind):
    prices = {"jumprelu": {"auxiliary": 1.0}, "l1": {"l1": 0.02}}.get(kind, {})
    sae = build(replace(BASE, kind=kind, **prices))
    before = sae.error(inputs(500), sae.encode(inputs(500))).item()
    train([sae], Toy(), Training(tokens=600 * 64, batch=64, learning_rate=5e-3))
    x, sae = Toy().batch(2000, 5), sae.eval()
    f = sae.encode(x)
    assert sae.error(x, f) < 0.5 * before
    assert (f >= 0).all()
    if kind != "l1":
        assert 2 < (f > 0).float().sum(1).mean() < 4, "k = 3"


def test_half_of_a_dictionary_can_be_frozen():
    for part in ("W_enc", "W_dec"):
        sae = build(replace(BASE, kind="batch_topk"))
        getattr(sae, part).requires_grad_(False)
        before = {name: p.detach().clone() for name, p in sae.named_parameters()}
        train([sae], Toy(), Training(tokens=10 * 64, batch=64))
        moved = {n for n, p in sae.named_parameters() if (p - before[n]).abs().max() > 1e-6}
        assert moved == set(before) - {part}


def test_an_unknown_kind_speaks():
    with pytest.raises(CourseError, match="matryoshka"):
        build(replace(BASE, kind="gated"))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "l1"])
@pytest.mark.parametrize("k", [0, -1, 33, float("nan")])
def test_more_features_than_there_are_or_none_are_refused(kind, k):
    """JumpReLU's thresholds would be nan, and nothing would ever fire."""
    with pytest.raises(CourseError, match="k should be "):
        build(replace(BASE, kind=kind, k=k))


@pytest.mark.parametrize("kind", KINDS)
def test_one_feature_alone_is_that_of_all_and_pinning_starts_from_it(kind):
    sae = made(kind)
    if hasattr(sae, "threshold"):
        sae.threshold.data.fill_(0.5)  # many pre-activations lie between 0 and this
    dictionary, acts = Dictionary(sae, 2.0), inputs()
    f = dictionary.features(acts)
    alone = torch.stack([dictionary.feature(acts, i) for i in range(f.shape[1])], dim=1)
    torch.testing.assert_close(alone, f)
    change = dictionary.with_feature(1, 3.0)(acts) - acts
    torch.testing.assert_close(change, (3 - f[:, 1:2]) * sae.W_dec[1] / 2)
