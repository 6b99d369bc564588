"""The recipes of the attention models: smoke runs, killed and resumed; packing; tau by a loop."""

import math

import pytest
import torch

from data.recipes import attention_imdb, attention_tables
from data.recipes.base import Run
from helpers.attention import data, faithfulness, tables
from helpers.attention import model as M
from helpers.attention.diagnostic import train_one
from helpers.attention.train import f1, predict
from helpers.datasets import reviews
from helpers.ground.errors import CourseError
from helpers.ground.runtime import hub_or_packaged
from tests.attention.reviews import few_reviews  # noqa: F401
from tests.attention.texts import build, texts


@pytest.mark.parametrize("attention", ["tanh", "dot"])
def test_packing_keeps_the_outputs(few_reviews, tmp_path, attention):  # noqa: F811
    part = data.texts("imdb", attention_imdb.SMOKE)
    size = data.Size(60, 5, embed=16, hidden=16, epochs=3, batch=64, rate=2e-3)
    model, history = train_one(part, size, seed=1, attention=attention)
    run = Run(tmp_path / "attention_imdb", smoke=True)
    tensors = attention_imdb.pack(model, attention) | {"words": torch.zeros(1, dtype=torch.uint8)}
    run.save(tensors, version=1, meta={"models": {attention: model.settings}})
    again, _ = data.load(attention, where=run.out)
    assert len(history) == 3
    assert (predict(model, part.test)[0] - predict(again, part.test)[0]).abs().max() < 0.01
    assert tensors[f"{attention}/embedding.weight"].dtype == torch.int8


def test_a_killed_run_goes_on_with_the_model_it_was_at(few_reviews, tmp_path, monkeypatch):  # noqa: F811
    asked, run = [], Run(tmp_path / "attention_imdb", smoke=True)

    def dies(*args, attention, **kwargs):
        asked.append(attention)
        if asked == ["tanh", "dot"]:
            raise KeyboardInterrupt
        return train_one(*args, attention=attention, **kwargs)

    monkeypatch.setattr(attention_imdb, "train_one", dies)
    with pytest.raises(KeyboardInterrupt):
        attention_imdb.make(run)
    assert not run.out.exists()
    attention_imdb.make(run)
    assert asked == ["tanh", "dot", "dot"]
    assert not run.checkpoint().path.exists()
    for attention in ("tanh", "dot"):
        model, vocabulary = data.load(attention, where=run.out)
        assert model.settings["attention"] == attention
        assert len(vocabulary) == model.settings["vocabulary"]
    assert vocabulary.words == data.texts("imdb", attention_imdb.SMOKE).vocabulary.words
    assert "| additive attention |" in (run.out / "README.md").read_text(encoding="utf-8")
    assert attention_imdb.counted(60) > 0.9  # the label is a word
    with pytest.raises(CourseError, match="the stored models are tanh, dot"):
        data.load("additive", where=run.out)


@pytest.fixture
def small(monkeypatch):
    """Fewer experiments of each kind."""
    monkeypatch.setattr(attention_tables, "FIVE", (10, 50))
    monkeypatch.setattr(attention_tables, "ALL", ((50,), (1e-3,), (10, 50), (10, 50)))
    monkeypatch.setattr(attention_tables, "FEWER", {})
    monkeypatch.setattr(attention_tables, "ASKED", {"imdb": 3, "findings": 3})
    monkeypatch.setattr(attention_tables, "EACH", 5)
    monkeypatch.setattr(attention_tables, "VARIANTS", {"no history, talk": {}})
    monkeypatch.setattr(data, "TEXTS", 12)


def test_killed_experiments_go_on_where_they_were(small, tmp_path, monkeypatch):
    monkeypatch.setattr(attention_tables, "STORED", {"attention_tables": ("findings",)})
    asked, run = [], Run(tmp_path / "attention_tables", smoke=True)

    def dies(*args, **kwargs):
        asked.append(kwargs["seed"])
        if asked == [10, 50]:
            raise KeyboardInterrupt
        return train_one(*args, **kwargs)

    monkeypatch.setattr(attention_tables, "train_one", dies)
    with pytest.raises(KeyboardInterrupt):
        attention_tables.make(run)
    assert not run.out.exists()
    attention_tables.make(run)
    assert asked[:4] == [10, 50, 50, 10]  # the base model once; then uniform weights
    table = tables.load("findings", where=run.out)
    assert len(table.label) == 12
    assert set(table.alpha) == {"base", "seed 50", "adversary 0.001"}
    for what in ("uniform", "dot", "average", "long", "adversary 0.001", "MLP own"):
        assert table.starts(what) == [what, f"{what}, seed 50"]
        assert set(table.starts(what)) <= set(table.p)
    assert table.starts() == ["base", "seed 50"]
    assert table.starts("each") == ["each", "each, seed 50"]
    assert set(table.starts("dot") + table.starts("long")) < set(table.tau)
    assert all(tau.shape == (3, 3) for tau in table.tau.values())
    torch.testing.assert_close(table.alpha["base"].sum(-1), torch.ones(12))
    assert len(table.jsd["each"]) == len(table.jsd["long each, seed 50"]) == 5
    assert max(jsd.max() for jsd in table.jsd.values()) <= math.log(2) + 1e-3
    beside = table.jsd["adversary 0.001"], table.alpha["base"], table.alpha["adversary 0.001"]
    torch.testing.assert_close(beside[0], faithfulness.jsd(*beside[1:]), atol=1e-3, rtol=0.01)
    assert not torch.equal(table.jsd["adversary 0.001"], table.jsd["adversary 0.001, seed 50"])
    (variant,) = tables.load_variants(where=run.out).values()
    assert variant["own"].shape == (2, 12)
    next(run.out.glob("*.safetensors")).write_bytes(b"cut off")
    with pytest.raises(CourseError, match="make attention_tables"):
        tables.load("findings", where=run.out)


def test_the_imdb_tables_in_a_smoke_run(small, few_reviews, tmp_path):  # noqa: F811
    run = Run(tmp_path / "attention_imdb_tables", smoke=True)
    attention_tables.make(run)
    table = tables.load("imdb", where=run.out)
    assert table.seeds() == ["seed 50"]
    assert table.lams() == [0.001]
    assert set(attention_tables.measure(run)) == {"IMDb", "IMDb, a reader without context"}


def test_the_taus_are_those_of_a_loop_over_texts():
    model, part = build(3), texts(12)
    taus = attention_tables.agreement(model, part)
    one = M.collate(part[11:])
    measures = (
        model(one)[1].detach(),
        faithfulness.gradient_importance(model, one),
        faithfulness.leave_one_out(model, one),
    )
    for row, (a, b) in zip(taus[:, 11], ((0, 1), (0, 2), (1, 2)), strict=True):
        ((tau, _),) = faithfulness.kendall(measures[a], measures[b], one.content)
        assert row.item() == pytest.approx(tau, abs=1e-3)


@pytest.mark.long
def test_the_papers_row_at_the_papers_size():
    """Jain & Wallace's row of SST by the shipped code and its settings of scale full, one start.

    SST is on the hub alone; without it its source stands in, the sentences of Rotten Tomatoes.
    """
    size, sst = data.FULL["rotten"], "Stanford Sentiment Treebank"
    corpus = hub_or_packaged(sst, data.sst, lambda: reviews.load("rotten"))
    part = data.texts("rotten", size, corpus)
    model, _ = train_one(part, size)
    even, _ = train_one(part, size, guide=M.uniform, dev_guide=M.uniform)
    taus = attention_tables.agreement(model, part.test[:200]).nanmean(1).tolist()
    jsd = attention_tables.one_text_at_a_time(model, part)["jsd"].mean().item()
    scores = f1(model, part.test), f1(even, part.test, guide=M.uniform)
    row = dict(zip(attention_tables.ROWS, (*taus, jsd, *scores), strict=True))
    paper = dict(zip(attention_tables.ROWS, attention_tables.PAPER["rotten"][1], strict=True))
    for name, value in row.items():
        print(f"{name:28} {value:.3f}   paper, SST {paper[name]:.3f}")
    attention_gradient, attention_left_out, gradient_left_out = taus
    assert 0.1 < attention_gradient < 0.5
    assert 0.1 < attention_left_out < 0.5
    assert 0.55 < gradient_left_out < 0.85
    assert 0.4 < jsd < 0.6
    assert min(scores) > 0.7
    assert abs(scores[0] - scores[1]) < 0.05
