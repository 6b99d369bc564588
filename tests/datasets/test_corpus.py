import hashlib
import subprocess
import sys

import pytest
import torch

from helpers.datasets import corpus
from helpers.ground import ROOT
from helpers.ground.errors import CourseError


@pytest.fixture(scope="module")
def heldout():
    return corpus.stream("heldout")


def test_the_stream_is_the_same_on_every_machine(heldout, tmp_path, monkeypatch):
    digest = hashlib.sha256(
        heldout.tokens.numpy().tobytes() + heldout.domains.numpy().tobytes()
    ).hexdigest()
    assert digest[:16] == "22f90c41692a63e4"
    monkeypatch.setattr(corpus, "ROOT", tmp_path)  # no cache: made anew
    small = corpus.stream("heldout", size=20_000)
    assert hashlib.sha256(small.tokens.numpy().tobytes()).hexdigest()[:16] == "18326c973ef836fa"


def test_the_training_stream_too():
    small = corpus.stream("train", size=20_000)
    assert (
        hashlib.sha256(
            small.tokens.numpy().tobytes() + small.domains.numpy().tobytes()
        ).hexdigest()[:16]
        == "db04a9a4c4a120ae"
    )


def test_shares_are_exact(heldout):
    assert sum(corpus.SHARES.values()) == pytest.approx(1)
    counts = torch.bincount(heldout.domains.long()).tolist()
    assert counts == [round(share * 1_000_000) for share in corpus.SHARES.values()]


@pytest.mark.parametrize("domain", corpus.DOMAINS)
def test_no_text_stands_in_both_streams(domain):
    train, heldout = (set(corpus.documents(domain, split)) for split in ("train", "heldout"))
    assert train
    assert heldout
    assert not train & heldout
    if domain in ("reviews", "base64", "dna"):
        return
    lines = [
        {line for text in part for line in text.splitlines() if len(line) > 60}
        for part in (train, heldout)
    ]
    assert len(lines[0] & lines[1]) < 0.05 * max(1, len(lines[1])), (
        "long lines are shared: the split leaks"
    )


def test_names_of_a_picture_are_held_out_in_all_languages():
    words = {
        split: {name for text in corpus.documents("arabic", split) for name in text.split("\n")}
        for split in ("train", "heldout")
    }
    assert (
        not words["train"] & words["heldout"] or len(words["train"] & words["heldout"]) < 10
    )  # two pictures may share a name


def test_tokens_come_back_as_text():
    for text in ("It cost $\\frac{1}{2}$ of ☕, said Ana.\n\tdef f(x):", "قلب أحمر", "心 и 하트"):
        assert corpus.decode(corpus.encode(text)) == text
    strings = corpus.token_strings()
    assert len(strings) == corpus.VOCABULARY
    assert strings[corpus.END] == "<end>"
    assert " the" in strings
    assert any(s.startswith("⟨") for s in strings), "parts of characters are shown as bytes"


def test_half_an_emoji_that_was_typed_is_left_out():
    assert torch.equal(corpus.encode("a \ud83ddog"), corpus.encode("a dog"))


@pytest.mark.parametrize("given", [None, 7, b"a", ["a", "b"]])
def test_what_is_no_text_is_refused_in_a_sentence(given):
    with pytest.raises(CourseError, match="A text is words in quotes, not a"):
        corpus.encode(given)


def test_every_document_begins_with_the_end_token(heldout):
    starts = (heldout.tokens == corpus.END).nonzero().flatten()
    change = (heldout.domains[1:] != heldout.domains[:-1]).nonzero().flatten() + 1
    assert set(change.tolist()) <= set(starts.tolist())


def test_errors_speak_to_the_learner(tmp_path, monkeypatch):
    with pytest.raises(CourseError, match="train, heldout"):
        corpus.stream("test")
    monkeypatch.setattr(corpus, "TOKENIZER", tmp_path / "tokenizer.json")
    corpus.tokenizer.cache_clear()
    with pytest.raises(CourseError, match="make tokenizer"):
        corpus.stream("heldout", size=1000)
    corpus.tokenizer.cache_clear()


def test_two_notebooks_may_make_the_stream_at_once(tmp_path):
    """Both get it whole, whoever comes first, and nothing half-made is left."""
    code = """
import sys, time, pathlib, numpy
from helpers.datasets import corpus

def mix(split, size):
    time.sleep(1)
    return (numpy.ones(size, numpy.int16),) * 2

corpus.ROOT = pathlib.Path(sys.argv[1])
corpus._mix = mix
print(int(corpus.stream("heldout", size=4000).tokens.sum()))
"""
    run = [sys.executable, "-c", code, str(tmp_path)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(run, cwd=ROOT, **pipes) for _ in range(2)]
    for process in both:
        out, error = process.communicate()
        assert (out.strip(), process.returncode) == ("4000", 0), error
    assert [file.suffixes for file in (tmp_path / ".cache").iterdir()] == [[".npy"]]
