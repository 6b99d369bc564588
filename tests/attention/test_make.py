"""The IMDb models: how they are cut, packed and found again, and what the shipped ones can do."""

import json

import pytest
import torch

from helpers.attention import data as make
from helpers.attention import model as M
from helpers.attention.train import f1, predict
from helpers.datasets import reviews
from helpers.ground.artifacts import ROOT
from helpers.ground.errors import CourseError
from helpers.ground.runtime import hub_or_packaged, setup

SHIPPED = ROOT / "data" / make.NAME


def written(n: int, seed: int) -> reviews.Split:
    """`n` reviews of 5 to 14 words, whose label is one of their words."""
    g = torch.Generator().manual_seed(seed)
    texts = [
        " ".join(f"w{i}" for i in torch.randint(20, (5 + i % 10,), generator=g).tolist())
        for i in range(n)
    ]
    return reviews.Split(
        [f"{text} <{('bad', 'good')[i % 2]}>!" for i, text in enumerate(texts)],
        [i % 2 for i in range(n)],
    )


@pytest.fixture
def few_reviews(monkeypatch):
    parts = reviews.Reviews(written(200, 0), written(50, 1), written(50, 2))
    monkeypatch.setattr(reviews, "load", lambda source: parts)
    return parts


def test_words_are_lower_case_without_punctuation():
    assert make.words("It's the BEST film of 1999, isn't it?") == [
        "it's",
        "the",
        "best",
        "film",
        "of",
        "1999",
        "isn't",
        "it",
    ]


def test_long_texts_are_left_out_and_rare_words_unknown(few_reviews):
    size = make.Size(longest=10, at_least=2, reviews=80)
    data = make.imdb(size)
    assert (
        len(data.train) <= 80
        and len(data.dev) <= 20
        and all(len(ids) < 10 + 2 for part in data[1:] for ids, _ in part)
    )
    assert {"good", "bad"} <= set(data.vocabulary.words) and M.UNKNOWN not in data.train[0][0]


@pytest.mark.parametrize("attention", ["tanh", "dot"])
def test_packing_keeps_the_outputs(few_reviews, attention):
    data = make.imdb(make.SMOKE)
    model, history = make.train_one(
        data, make.Size(embed=16, hidden=16, epochs=3), seed=1, attention=attention
    )
    again = make.unpack(make.pack(model, "x"), "x", model.settings)
    assert (
        len(history) == 3
        and (predict(model, data.test)[0] - predict(again, data.test)[0]).abs().max() < 0.01
    )


def test_a_guide_and_a_seed_reach_the_training(few_reviews):
    data, size = make.imdb(make.SMOKE), make.Size(embed=8, hidden=8, epochs=1)
    one, two = (make.train_one(data, size, seed=seed)[0] for seed in (1, 2))
    assert not torch.equal(one.embedding.weight, two.embedding.weight)
    torch.testing.assert_close(make.train_one(data, size, seed=1)[0].out.weight, one.out.weight)
    before = torch.manual_seed(1) and M.AttentionModel(len(data.vocabulary), embed=8, hidden=8)
    guided, _ = make.train_one(data, size, seed=1, guide=M.uniform, dev_guide=M.uniform)
    assert torch.equal(guided.v.weight, before.v.weight) and not torch.equal(
        one.v.weight, before.v.weight
    )  # the attention learned nothing


def test_a_killed_run_goes_on_with_the_model_it_was_at(few_reviews, tmp_path, monkeypatch):
    usual, asked, out = make.train_one, [], tmp_path / "attention_imdb"

    def dies(data, size, *, attention, device):
        asked.append(attention)
        if asked == ["tanh", "dot"]:
            raise KeyboardInterrupt
        return usual(data, size, attention=attention, device=device)

    monkeypatch.setattr(make, "train_one", dies)
    with pytest.raises(KeyboardInterrupt):
        make.make(smoke=True, out=out)
    assert not out.exists()
    make.make(smoke=True, out=out)
    assert (
        asked == ["tanh", "dot", "dot"]
        and not (tmp_path / ".checkpoints" / "attention_imdb.pt").exists()
    )
    for attention in ("tanh", "dot"):
        model, vocabulary = make.load(attention, out=out)
        assert (
            model.settings["attention"] == attention
            and len(vocabulary) == model.settings["vocabulary"]
        )
    assert vocabulary.words == make.imdb(make.SMOKE).vocabulary.words
    with pytest.raises(ValueError, match="the stored models are tanh, dot"):
        make.load("additive", out=out)


def test_sst_is_read_as_the_hub_stores_it(tmp_path, monkeypatch):
    import huggingface_hub

    def fetched(repo, name, repo_type):
        (tmp_path / name).write_text(
            "".join(
                json.dumps({"text": f"{name} a\u2028b", "label": y, "label_text": "x"}) + "\n"
                for y in (0, 1)
            ),
            encoding="utf-8",
        )
        return str(tmp_path / name)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fetched)
    found = make.sst()
    assert found.dev.texts == ["dev.jsonl a\u2028b"] * 2 and found.test.labels == [0, 1]


def test_without_the_hub_one_sentence_says_what_is_read_instead(few_reviews, monkeypatch, capsys):
    import huggingface_hub

    def no_network(*args, **kwargs):
        raise ConnectionError("no network")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", no_network)
    with monkeypatch.context() as patch:
        patch.setenv("COURSE_SOURCE", "hub")
        setup(quiet=True)
        read = hub_or_packaged(
            "Stanford Sentiment Treebank", make.sst, lambda: reviews.load("rotten")
        )  # lesson 04's line
    setup(quiet=True)
    assert read is few_reviews
    assert capsys.readouterr().out == (
        "Stanford Sentiment Treebank: not to be had from the hub (ConnectionError: no network); "
        "the packaged stand-in is used\n"
    )


# ---- what is shipped
@pytest.mark.parametrize("attention", ["tanh", "dot"])
def test_the_shipped_model_reads_reviews(attention):
    model, vocabulary = make.load(attention)
    test = make.examples(reviews.load("imdb").test, vocabulary, 200, most=400)
    assert f1(model, test) > 0.8
    assert sum(f.stat().st_size for f in SHIPPED.iterdir()) < 2e6
    assert "python -m helpers make attention_imdb" in (SHIPPED / "README.md").read_text(
        encoding="utf-8"
    )


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "empty"),
        ("!!! ...", "empty"),
        ("qwzx " * 3, "knows none"),
        ("good " * 100_000, "100,000"),
    ],
)
def test_a_review_that_cannot_be_read_ends_in_a_sentence(text, part):
    with pytest.raises(CourseError, match=part):
        make.load()[1].encode(make.words(text))
