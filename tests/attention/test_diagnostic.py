"""Lesson 05's experiments: the distances and losses by hand, the adversary and the guided reader on texts of one deciding word."""

import math

import pytest
import torch

from helpers.attention import diagnostic, faithfulness, tables, train
from helpers.attention import model as M
from helpers.ground.errors import CourseError

QUICK = train.Settings(epochs=10, rate=0.01)


def texts(n, seed=0):
    """Word 4 (negative) or 5 (positive) stands somewhere among eight others."""
    g = torch.Generator().manual_seed(seed)
    data = []
    for i in range(n):
        words = torch.randint(6, 30, (8,), generator=g)
        words[int(torch.randint(8, (1,), generator=g))] = 4 + i % 2
        data.append((torch.tensor([M.START, *words.tolist(), M.END]), i % 2))
    return data


def build(seed=0):
    torch.manual_seed(seed)
    return M.AttentionModel(30, embed=8, hidden=16).eval()


@pytest.fixture(scope="module")
def trained():
    data = texts(300), texts(60, 1), texts(60, 2)
    model = build()
    train.fit(model, *data[:2], QUICK)
    return model, data


def test_distance_is_zero_from_oneself_and_matches_a_loop():
    one, other, data = build(0), build(1), texts(12)
    same = diagnostic.distance(one, one, data)
    assert same.jsd.max() < 1e-6 and same.tvd.max() < 1e-6
    apart = diagnostic.distance(one, other, data)
    for i, example in enumerate(data):
        (a, alpha), (b, beta) = (m(M.collate([example], [0])) for m in (one, other))
        assert apart.tvd[i].item() == pytest.approx(
            (a.sigmoid() - b.sigmoid()).abs().item(), abs=1e-5
        )
        assert apart.jsd[i].item() == pytest.approx(faithfulness.jsd(alpha, beta).item(), abs=1e-5)
        assert apart.largest[i].item() == pytest.approx(alpha.max().item(), abs=1e-6)


def test_the_adversary_loss_by_hand():
    base, other, data = build(0), build(1), texts(6)
    probs, alphas = train.predict(base, data)
    batch = M.collate([data[4], data[1]], [4, 1])  # in another order than the data
    loss = diagnostic.adversary_loss(probs, alphas, lam=0.3)(other, batch, None)
    by_hand = []
    for i in (4, 1):
        logit, alpha = other(M.collate([data[i]], [0]))
        p, a, b = logit.sigmoid().item(), alpha[0, 1:-1].tolist(), alphas[i][1:-1].tolist()
        by_hand.append(
            abs(p - probs[i, 1].item()) - 0.3 * sum(x * math.log(x / y) for x, y in zip(a, b))
        )
    assert loss.item() == pytest.approx(sum(by_hand) / 2, abs=1e-5)


def test_a_greedy_adversary_moves_further_than_a_timid_one(trained):
    base, data = trained
    timid, greedy = (
        diagnostic.distance(
            base, diagnostic.train_adversary(base, *data[:2], lam=lam, settings=QUICK), data[2]
        )
        for lam in (1e-4, 1)
    )
    assert greedy.jsd.mean() > timid.jsd.mean() + 0.1 and timid.tvd.mean() < 0.1
    assert greedy.jsd.max() <= math.log(2) + 1e-6


def test_a_guide_that_points_at_the_deciding_word_helps_and_one_that_points_away_does_not(trained):
    _, data = trained

    class Pointer(M.AttentionModel):
        """Looks at the deciding word, or at all others."""

        def __init__(self, away):
            super().__init__(30, embed=2, hidden=4)
            self.away = away

        def forward(self, batch, alpha=None):
            chosen = ((batch.words == 4) | (batch.words == 5)) != self.away
            return torch.zeros(len(batch.words), 1), M.uniform(chosen & batch.content)

    label = torch.tensor([example[1] for example in data[2]])
    right = lambda guide: (
        (
            (
                diagnostic.mlp_diagnostic(
                    *data, guide=guide, settings=QUICK, vocabulary=30, embed=8, hidden=16
                )[:, 1]
                > 0.5
            )
            == label
        )
        .float()
        .mean()
    )
    assert right(Pointer(False)) == 1 and right(Pointer(True)) < 0.7
    assert right("own") > 0.9


def test_a_killed_recipe_goes_on_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "STORED", {"attention_tables": ("findings",)})
    monkeypatch.setattr(tables, "SEEDS", (50,))
    monkeypatch.setattr(tables, "ASKED", 3)
    monkeypatch.setattr(tables, "LAMBDAS", (1e-3,))
    monkeypatch.setattr(tables, "VARIANTS", {"no history, talk": {"history": (0, 0)}})
    monkeypatch.setattr(tables, "TEXTS", 12)
    monkeypatch.setattr(tables, "GUIDES", ("uniform",))
    out, done = tmp_path / "data" / "attention_tables", []
    one = tables.train_one

    def dies(*args, **kwargs):
        done.append(kwargs.get("seed"))
        if kwargs.get("seed") == 50 and done.count(50) == 1:
            raise KeyboardInterrupt
        return one(*args, **kwargs)

    monkeypatch.setattr(tables, "train_one", dies)
    with pytest.raises(KeyboardInterrupt):
        tables.make(smoke=True, out=out)
    assert not out.exists()
    tables.make(smoke=True, out=out)
    assert done.count(None) == 2  # the base model once, the uniform one once
    table = tables.load("findings", out=out)
    assert len(table.label) == 12 and {
        "base",
        "seed 50",
        "uniform",
        "adversary 0.001",
        "MLP own",
    } <= set(table.p)
    assert {"base", "seed 50"} <= set(table.tau) and all(
        t.shape == (3, 3) and t.nan_to_num().abs().max() <= 1 for t in table.tau.values()
    )
    assert (
        torch.allclose(table.alpha["base"].sum(-1), torch.ones(12), atol=1e-5)
        and table.each["jsd"].max() <= math.log(2) + 1e-3
    )
    assert set(tables.load_variants(out=out)) == {"no history, talk"}
    (next(out.glob("*.safetensors"))).write_bytes(b"cut off")
    with pytest.raises(CourseError, match="make attention_tables"):
        tables.load("findings", out=out)


def test_the_taus_are_those_of_a_loop_over_texts():
    model, data = build(3), texts(12)
    found = tables.agreement(model, tables.Data(None, [], [], data))
    one = M.collate(data[11:], [0])
    measures = (
        model(one)[1].detach(),
        faithfulness.gradient_importance(model, one),
        faithfulness.leave_one_out(model, one),
    )
    for row, (a, b) in zip(found[:, 11], ((0, 1), (0, 2), (1, 2)), strict=True):
        assert row.item() == pytest.approx(
            faithfulness.kendall(measures[a], measures[b], one.content)[0][0], abs=1e-3
        )


def test_the_stored_tables():
    for name in tables.SETS:
        table = tables.load(name)
        assert {
            "base",
            "uniform",
            *(f"seed {s}" for s in tables.SEEDS[:4]),
            *(f"MLP {guide}" for guide in tables.GUIDES),
        } <= set(table.p)
        assert {
            f"adversary {lam:g}" for lam in tables.FEWER.get(name, (0, tables.LAMBDAS))[1]
        } <= set(table.p) & set(table.alpha)
        for alpha in table.alpha.values():
            assert (
                torch.allclose(alpha.sum(-1), torch.ones(len(alpha)), atol=1e-5)
                and (alpha[:, 0] == 0).all()
            )
            assert len(alpha) == min(len(table.label), tables.WEIGHTS.get(name, len(table.label)))
        assert all(
            ((p >= 0) & (p <= 1)).all() and len(p) == len(table.label) for p in table.p.values()
        )
        assert all(
            t.shape == (3, tables.ASKED) and t.nan_to_num().abs().max() <= 1
            for t in table.tau.values()
        )
        assert (table.each["tvd"] <= 0.05 + 1e-5).all()
    assert set(tables.load("imdb").tau) >= {"base", *(f"seed {seed}" for seed in tables.SEEDS[:4])}
    with pytest.raises(ValueError, match="findings"):
        tables.load("sst")
