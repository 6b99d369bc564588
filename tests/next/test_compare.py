"""Nats per byte, with a model that knows nothing: every token costs ln V, whatever its length."""

import math

import pytest
import torch

from data.next import compare, corpus
from helpers.datasets import corpus as first
from helpers.transformer.model import OneLayerTransformer, Settings


@pytest.mark.parametrize("edition", [first, corpus])
def test_a_model_that_knows_nothing(edition):
    settings = Settings("relu", d_model=16, d_mlp=16, vocabulary=edition.VOCABULARY)
    model = OneLayerTransformer(settings).eval()
    torch.nn.init.zeros_(model.unembed.weight)
    text = "心 the heart, قلب! " * 40
    tokens = edition.encode(text)[:128]
    length = len(edition.decode(tokens[1:]).encode())
    found = compare.nats_per_byte(model, edition, [text])
    if len(edition.encode(text)) < 256:  # one row
        assert found == pytest.approx(127 * math.log(edition.VOCABULARY) / length, rel=1e-3)
    else:
        assert found == pytest.approx(127 * math.log(edition.VOCABULARY) / length, rel=0.05)


def test_both_editions_hold_the_compared_texts_out():
    for domain in ("code", "mathematics", "japanese"):
        texts = set(compare.texts_of(domain))
        assert not texts & set(first.documents(domain, "train"))
        assert not texts & set(corpus.documents(domain, "train"))
