"""The stream, its dictionary's inputs, and steered answers, on a tiny model of SmolLM2's kind."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from helpers.pretrained.hooks import hooked
from helpers.sae.model import Dictionary, Settings, SparseAutoencoder
from notebooks.support.lesson13.residual import CHUNK, Stream, T, fired_on, stream
from notebooks.support.lesson13.steering import answers

D, LAYER = 16, 1
PROMPT = [3, 7, 1, 9]


class Spelled:
    """A tokenizer whose text is its tokens' numbers."""

    eos_token_id = 2

    def apply_chat_template(self, said, **_):
        return " ".join(m["content"] for m in said)

    def __call__(self, text):
        return {"input_ids": [int(n) for n in text.split()]}

    def decode(self, ids):
        return list(ids)


@pytest.fixture(scope="module")
def lm():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        sizes = {"hidden_size": D, "intermediate_size": 32, "num_hidden_layers": 3}
        heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": 50}
        model = LlamaForCausalLM(LlamaConfig(**sizes, **heads, initializer_range=0.5))
    return model.eval().requires_grad_(False)


def by_hand(lm, edit, tokens: int) -> list[int]:
    """The likeliest tokens, the whole text read again for each, nothing kept."""
    ids = list(PROMPT)

    def hook(_module, _inputs, out):
        x = out[0] if isinstance(out, tuple) else out
        x = torch.cat([x[:, :1], edit(x[0, 1:])[None]], dim=1)
        return (x, *out[1:]) if isinstance(out, tuple) else x

    handle = lm.model.layers[LAYER].register_forward_hook(hook)
    for _ in range(tokens):
        ids.append(int(lm(torch.tensor([ids])).logits[0, -1].argmax()))
    handle.remove()
    return ids[len(PROMPT) :]


def ask(lm, edits, text="3 7 1 9", **how):
    how = {"tokens": 8, "temperature": 0, "layer": LAYER} | how
    return answers(lm, Spelled(), text, edits, **how)


def test_answers_are_those_of_a_forward_pass_by_hand(lm):
    v = 3 * torch.randn(D, generator=torch.Generator().manual_seed(1))
    edits = [None, lambda x: x + v, lambda x: x * 0.5]
    said = ask(lm, edits)
    for edit, line in zip([lambda x: x, *edits[1:]], said, strict=True):
        wanted = by_hand(lm, edit, 8)
        end = wanted.index(2) if 2 in wanted else 8
        assert line == wanted[:end]
    assert said[0] != said[1], "the edit does something"
    assert ask(lm, edits[:1]) == said[:1], "and a row does not know of the others"


def test_a_seed_draws_and_a_system_message_comes_first(lm):
    first, again, other = (ask(lm, [None], temperature=3.0, seed=s) for s in (0, 0, 1))
    assert first == again != other
    assert ask(lm, [None], system="40 8") == ask(lm, [None], "40 8 3 7 1 9") != ask(lm, [None])


def test_what_draws_follows_the_softmax(lm):
    said = [ask(lm, [None], tokens=1, temperature=2.0, seed=s)[0] for s in range(300)]
    p = (lm(torch.tensor([PROMPT])).logits[0, -1] / 2).softmax(-1)
    best = int(p.argmax())
    share = sum(line == [best] for line in said) / 300
    assert share == pytest.approx(float(p[best]), abs=0.1)


def test_the_stream_is_that_of_the_whole_pass(lm):
    rows = torch.randint(0, 50, (3, 12), generator=torch.Generator().manual_seed(0))
    with hooked(lm, {("residual", LAYER): None}) as kept:
        lm(rows)
    torch.testing.assert_close(stream(lm, rows, LAYER), kept["residual", LAYER][:, 1:])


def test_batches_are_of_one_length_and_a_killed_run_goes_on(lm, monkeypatch):
    monkeypatch.setattr(
        "notebooks.support.lesson13.residual.stream", lambda lm, rows: stream(lm, rows, LAYER)
    )
    rows = torch.randint(0, 50, (9, T), generator=torch.Generator().manual_seed(0))
    inputs = Stream(lm, rows)
    per_chunk = min(CHUNK, 9) * (T - 1) // 100
    batches = [x for x, _ in zip(inputs.batches(100), range(per_chunk + 2), strict=False)]
    norms = torch.cat(batches).norm(dim=-1)
    assert float(norms.mean()) == pytest.approx(D**0.5, rel=0.05)
    assert torch.equal(next(inputs.batches(100, start=per_chunk + 1)), batches[-1])
    assert not torch.equal(batches[0], batches[per_chunk]), "mixed anew"


def test_nothing_fires_on_first_tokens(lm, monkeypatch):
    monkeypatch.setattr(
        "notebooks.support.lesson13.residual.stream", lambda lm, rows: stream(lm, rows, LAYER)
    )
    rows = torch.randint(0, 50, (20, T), generator=torch.Generator().manual_seed(0))
    dictionary = Dictionary(SparseAutoencoder(Settings(neurons=D, features=24)), 1.0)
    fired = fired_on(lm, dictionary, rows).toarray().reshape(20, T, 24)
    assert not fired[:, 0].any()
    wanted = dictionary.features(stream(lm, rows, LAYER))
    torch.testing.assert_close(torch.from_numpy(fired[:, 1:]), wanted)
