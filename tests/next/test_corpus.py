"""The second edition of the corpus: the same everywhere, nothing held out in training."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest
import torch

from data.next import corpus
from helpers.course.runtime import CourseError


@pytest.fixture(scope="module")
def heldout():
    return corpus.stream("heldout", size=100_000)


def digest(stream) -> str:
    content = stream.tokens.numpy().tobytes() + stream.domains.numpy().tobytes()
    return hashlib.sha256(content).hexdigest()[:16]


def test_the_streams_are_the_same_on_every_machine(heldout, tmp_path, monkeypatch):
    assert digest(heldout) == "83a3acfea3d4dc39"
    monkeypatch.setattr(corpus, "ROOT", tmp_path)  # no cache: made anew
    assert digest(corpus.stream("train", size=20_000)) == "0c5867246beef59d"


def test_shares_are_exact(heldout):
    assert sum(corpus.SHARES.values()) == pytest.approx(1)
    counts = torch.bincount(heldout.domains.long()).tolist()
    assert counts == [round(share * 100_000) for share in corpus.SHARES.values()]


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
    assert len(lines[0] & lines[1]) < 0.05 * max(1, len(lines[1])), "long lines are shared"


@pytest.mark.parametrize("domain", corpus.LANGUAGES)
def test_no_name_stands_in_both_streams(domain):
    for language in corpus.LANGUAGES[domain]:
        train, heldout = (corpus._names_in(language, split) for split in ("train", "heldout"))
        assert not set(train) & set(heldout)
        assert len(heldout) > 200


def test_base64_is_of_texts_of_the_same_split():
    """A held-out review must not be in training in another dress either."""
    from helpers.datasets import reviews

    parts = reviews.load("imdb")
    assert not set(parts.test.texts) & set(corpus.documents("reviews", "train"))
    assert not set(parts.dev.texts) & set(corpus.documents("reviews", "train"))
    train = set(corpus.documents("base64", "train"))
    dress = corpus.encodebytes
    assert not train & {dress(text.encode()[:900]).decode() for text in parts.test.texts}


def test_nothing_small_is_passed_over_hundreds_of_times():
    unique = corpus.unique_tokens()
    for domain, share in corpus.SHARES.items():
        assert share * 100e6 / unique[domain] < 50, domain
    size = corpus.SIZES["train"]
    for domain in ("reviews", "mathematics"):  # all of it is used, almost none of it twice
        assert unique[domain] < corpus.SHARES[domain] * size < 1.06 * unique[domain]


@pytest.mark.parametrize(
    "text",
    [
        "It cost $\\frac{1}{2}$ of ☕, said Ana.\n\tdef f(x):",
        "قلب أحمر",
        "心 и 하트",
        "𓀀 and \x07, <0xE7> and ⟨e7⟩",
        "",
    ],
)
def test_tokens_come_back_as_text(text):
    assert corpus.decode(corpus.encode(text)) == text
    tokens = corpus.encode(text, start=False).tolist()
    assert b"".join(corpus.token_bytes()[token] for token in tokens).decode() == text


def test_token_strings():
    strings = corpus.token_strings()
    assert len(strings) == corpus.VOCABULARY
    assert strings[corpus.END] == "<end>"
    for text in (" the", " \\)", " \\]", "$", "\n   ", "\n       ", " bad", " good", " 1", " 9"):
        assert text in strings, f"the tasks of lesson 08 need {text!r} as one token"
    assert strings[corpus.encode("𓀀", start=False)[0]] == "⟨f0⟩"


def test_rare_scripts_are_mostly_whole_characters():
    """The old tokenizer had .84 for Chinese, .69 for Japanese, .81 for Korean."""
    assert corpus.piece_share("chinese") < 0.5
    for domain in ("japanese", "korean"):
        assert corpus.piece_share(domain) < 0.25
    for domain in ("arabic", "persian", "russian", "latin", "reviews", "mathematics", "code"):
        assert corpus.piece_share(domain) < 0.01


def test_every_document_begins_with_the_end_token(heldout):
    starts = (heldout.tokens == corpus.END).nonzero().flatten()
    change = (heldout.domains[1:] != heldout.domains[:-1]).nonzero().flatten() + 1
    assert set(change.tolist()) <= set(starts.tolist())


SAVE_MANY = """
import sys; from pathlib import Path; import numpy as np; from data.next import corpus
for _ in range(30):
    corpus._save(Path(sys.argv[1]), np.full(100_000, int(sys.argv[2]), np.int16))
"""


def test_two_processes_can_write_the_cache_at_once(tmp_path):
    file = tmp_path / "tokens.npy"
    jobs = [
        subprocess.Popen([sys.executable, "-c", SAVE_MANY, str(file), value], cwd=corpus.ROOT)
        for value in "12"
    ]
    assert [job.wait() for job in jobs] == [0, 0]
    assert len(set(np.load(file).tolist())) == 1
    assert list(tmp_path.iterdir()) == [file]


def test_errors_speak_to_the_learner(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="train, heldout"):
        corpus.stream("test")
    monkeypatch.setattr(corpus, "TOKENIZER", tmp_path / "tokenizer.json")
    corpus.tokenizer.cache_clear()
    with pytest.raises(CourseError, match="make tokenizer"):
        corpus.stream("heldout", size=1000)
    corpus.tokenizer.cache_clear()
