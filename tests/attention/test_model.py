"""The network against torch's own LSTM, its formulas by hand, and how it is begun."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from helpers.attention import model as M
from helpers.ground.errors import CourseError
from tests.attention.texts import build, questions, texts

SETTINGS = [{"encoder": e, "attention": a} for e in ("lstm", "average") for a in ("tanh", "dot")]


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: "-".join(s.values()))
@pytest.mark.parametrize("asked", [False, True])
def test_weights_are_a_distribution_over_words_alone(settings, asked):
    batch = M.collate(questions() if asked else texts())
    logits, alpha = build(outputs=6 if asked else 1, question=asked, **settings)(batch)
    assert (alpha[~batch.content] == 0).all()
    torch.testing.assert_close(alpha.sum(-1), torch.ones(len(alpha)))
    assert logits.shape == (len(alpha), 6 if asked else 1)


def test_content_is_every_word_known_or_not_and_nothing_else():
    long, short = torch.tensor([M.START, 7, M.UNKNOWN, 9, M.END]), torch.tensor([M.START, 8, M.END])
    batch = M.collate([(long, 1), (short, 0)])
    assert batch.content.long().tolist() == [[0, 1, 1, 1, 0], [0, 1, 0, 0, 0]]
    assert batch.words[1].tolist() == [M.START, 8, M.END, M.PAD, M.PAD]
    torch.testing.assert_close(M.uniform(batch.content)[0], torch.tensor([0, 1, 1, 1, 0]) / 3)


@pytest.mark.parametrize("encoder", ["lstm", "average"])
def test_padding_changes_nothing(encoder):
    data, model = texts(), build(encoder=encoder)
    together = model(M.collate(data))[0]
    alone = torch.cat([model(M.collate([example]))[0] for example in data])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


def test_the_encoder_is_a_bidirectional_lstm_on_packed_texts():
    """Each hidden state belongs to its own word, and the summary is the last state each way."""
    ours = M.Encoder("lstm", 5, 8)
    theirs = nn.LSTM(5, 4, batch_first=True, bidirectional=True)
    forwards, backwards = ours.net
    for name, value in forwards.named_parameters():
        theirs.get_parameter(name).data.copy_(value.data)
    for name, value in backwards.named_parameters():
        theirs.get_parameter(f"{name}_reverse").data.copy_(value.data)
    embedded = torch.randn(3, 7, 5, generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([7, 4, 1])
    hidden, summary = ours(embedded, lengths)
    packed = nn.utils.rnn.pack_padded_sequence(embedded, lengths, batch_first=True)
    expected, (last, _) = theirs(packed)
    expected, _ = nn.utils.rnn.pad_packed_sequence(expected, batch_first=True)
    torch.testing.assert_close(hidden, expected)
    torch.testing.assert_close(summary, torch.cat(tuple(last), -1))


@pytest.mark.parametrize("asked", [False, True])
def test_dot_scores_are_divided_by_the_root_of_the_width(asked):
    model = build(attention="dot", question=asked, outputs=6 if asked else 1)
    batch = M.collate(questions() if asked else texts())
    hidden, query = model.encode(batch)
    alpha = model.attend(hidden, batch.content, query)
    for row in range(3):
        q = query[row] if asked else model.query
        scores = hidden[row][batch.content[row]] @ q / math.sqrt(16)
        torch.testing.assert_close(alpha[row][batch.content[row]], scores.softmax(0))


def test_the_word_vectors_begin_as_wide_as_asked():
    short, long = build().embedding.weight, build(embedding_std=1.0).embedding.weight
    torch.testing.assert_close(long, 10 * short)
    assert 0.09 < short[1:].std() < 0.11
    assert (short[M.PAD] == 0).all()
    assert build().settings["embedding_std"] == 0.1


def test_a_new_model_follows_from_its_seed_and_leaves_the_global_stream_alone():
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    one, again, other = build(1), build(1), build(2)
    assert torch.equal(torch.rand(4), expected)
    assert torch.equal(one.out.weight, again.out.weight)
    assert not torch.equal(one.out.weight, other.out.weight)


@pytest.mark.parametrize(
    ("words", "part"),
    [([], "empty"), (["zzz"] * 3, "knows none"), (["good"] * 100_000, "100,000")],
)
def test_texts_that_cannot_be_read_end_in_a_sentence(words, part):
    with pytest.raises(CourseError, match=part):
        M.Vocabulary([["good", "film"]]).encode(words)


@pytest.mark.parametrize("given", ["good film", ("good", "film"), np.array(["good", "film"])])
def test_one_text_is_its_words_and_not_its_letters(given):
    vocabulary = M.Vocabulary([["good", "film"]])
    assert torch.equal(vocabulary.encode(given), vocabulary.encode(["good", "film"]))


def test_what_is_not_offered_is_named():
    with pytest.raises(CourseError, match="'lstm' or 'average'"):
        build(encoder="gru")
    with pytest.raises(CourseError, match="'tanh'"):
        build(attention="cosine")
