"""Texts as the models read them, typed or stored, and what is shipped."""

import json

import pytest
import torch

from helpers.attention import data, tables
from helpers.attention import model as M
from helpers.attention.train import f1
from helpers.datasets import reviews
from helpers.ground import ROOT
from helpers.ground.errors import CourseError
from helpers.ground.runtime import hub_or_packaged, setup
from tests.attention.reviews import few_reviews  # noqa: F401


def test_words_are_lower_case_without_punctuation():
    words = "it's the best film of 1999 isn't it".split()  # noqa: SIM905
    assert data.words("It's the BEST film of 1999, isn't it?") == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("isn’t naïve", ["isn't", "naive"]),
        ("don`t ´tis ‘so’", ["don't", "'tis", "'so'"]),
        ("ｇｒｅａｔ ﬁlm", ["great", "film"]),
        ("İstanbul ÉCLAIR", ["istanbul", "eclair"]),
        ("مرحبا بك", ["مرحبا", "بك"]),
        ("映画は最高", ["映画は最高"]),
        ("हिन्दी फिल्म", ["हिन्दी", "फिल्म"]),
        ("good ❤️ 👍🏽 😀film", ["good", "❤", "👍", "😀", "film"]),
        ("ok \ud83d\ude00 half \ud83d", ["ok", "😀", "half"]),
        ("a\u200bb well—made, so_so", ["ab", "well", "made", "so", "so"]),
        ("!!! ...", []),
    ],
)
def test_typed_words_keep_what_people_type(text, words):
    assert reviews.typed_words(text) == words


def test_long_texts_are_left_out_and_rare_words_unknown(few_reviews):  # noqa: F811
    size = data.Size(10, 2, embed=8, hidden=8, epochs=1, batch=8, rate=1e-3, texts=80)
    part = data.texts("imdb", size)
    assert len(part.train) == 80
    assert len(part.dev) == 20
    assert all(len(ids) < 10 + 2 for split in part[1:] for ids, _ in split)
    assert {"good", "bad"} <= set(part.vocabulary.words)
    assert M.UNKNOWN not in part.train[0][0]


def test_notes_with_talk_have_other_words_than_plain_ones():
    size = data.Size(80, 1, embed=8, hidden=8, epochs=1, batch=8, rate=1e-3, texts=50)
    talk, plain = data.texts("findings", size), data.notes(size, talk=False, history=(1, 3))
    assert [len(split) for split in talk[1:]] == [50, 10, 500]
    assert len(talk.vocabulary) > 2 * len(plain.vocabulary)
    assert "smoking" in plain.vocabulary.words
    assert "smoking" not in data.notes(size, talk=False).vocabulary.words


def test_sst_is_read_as_the_hub_stores_it(tmp_path, monkeypatch):
    import huggingface_hub

    def fetched(repo, name, repo_type):
        rows = [{"text": f"{name} a\u2028b", "label": y, "label_text": "x"} for y in (0, 1)]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / name).write_text(text, encoding="utf-8")
        return str(tmp_path / name)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fetched)
    read = data.sst()
    assert read.dev.texts == ["dev.jsonl a\u2028b"] * 2
    assert read.test.labels == [0, 1]


def test_without_the_hub_one_sentence_says_what_is_read_instead(monkeypatch, capsys):
    import huggingface_hub

    def no_network(*args, **kwargs):
        raise ConnectionError("no network")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", no_network)
    name = "Stanford Sentiment Treebank"
    with monkeypatch.context() as patch:
        patch.setenv("COURSE_SOURCE", "hub")
        setup(quiet=True)
        assert hub_or_packaged(name, data.sst, lambda: "packaged") == "packaged"  # lesson 04's line
    setup(quiet=True)
    line = capsys.readouterr().out
    assert line.startswith(f"{name}: ")
    assert "no network" in line
    assert line.count("\n") == 1


# ---- what is shipped
@pytest.mark.parametrize("attention", ["tanh", "dot"])
def test_the_shipped_model_reads_reviews(attention):
    state = torch.get_rng_state()
    model, vocabulary = data.load(attention)
    assert torch.equal(torch.get_rng_state(), state)
    test = data.examples(reviews.load("imdb").test, vocabulary, 200, most=400)
    assert f1(model, test) > 0.8
    shipped = ROOT / "data" / "attention_imdb"
    assert sum(file.stat().st_size for file in shipped.iterdir()) < 2e6
    card = (shipped / "README.md").read_text(encoding="utf-8")
    assert "python -m helpers make attention_imdb" in card


def test_curly_apostrophes_change_no_verdict():
    model, vocabulary = data.load()
    read = lambda text: model(M.collate([(vocabulary.encode(reviews.typed_words(text)), 0)]))[0]
    straight = "This isn't a film I'd see again; it wasn't even funny."
    assert torch.equal(read(straight), read(straight.replace("'", "’")))


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "empty"),
        ("!!! ...", "empty"),
        ("مرحبا بك", "knows none of these 2 words"),
        ("😀", "knows none"),
        ("qwzx " * 3, "knows none"),
        ("good " * 100_000, "100,000"),
    ],
)
def test_a_review_that_cannot_be_read_ends_in_a_sentence(text, part):
    with pytest.raises(CourseError, match=part):
        data.load()[1].encode(reviews.typed_words(text))


def test_the_stored_tables():
    for name in tables.SETS:
        table = tables.load(name)
        weights = {"base", *table.seeds(), *(f"adversary {lam:g}" for lam in table.lams())}
        assert len(table.seeds()) >= 4
        assert len(table.lams()) >= 3
        assert {"uniform", "MLP uniform", "MLP own", "MLP base LSTM", "MLP adversary"} <= set(
            table.p
        )
        assert set(table.alpha) == weights <= set(table.p)
        for alpha in table.alpha.values():
            torch.testing.assert_close(alpha.sum(-1), torch.ones(len(alpha)))
            assert (alpha[:, 0] == 0).all()
            assert len(alpha) == (300 if name == "imdb" else len(table.label))
        for p in table.p.values():
            assert len(p) == len(table.label)
            assert ((p >= 0) & (p <= 1)).all()
        for tau in table.tau.values():
            assert tau.shape == (3, 40 if name == "imdb" else 200)
            assert tau.nan_to_num().abs().max() <= 1
        assert (table.tvd["each"] <= 0.05 + 1e-5).all()
    assert set(tables.load("imdb").tau) >= {"base", *tables.load("imdb").seeds()}
    with pytest.raises(CourseError, match="findings"):
        tables.load("sst")
