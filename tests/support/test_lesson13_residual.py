"""The dictionary on SmolLM2's stream, on a stream that a test can know."""

import hashlib
from itertools import islice

import torch

from notebooks.support.lesson13 import residual


def test_each_text_gets_its_own_edit_and_the_first_token_none():
    edit = residual.each([None, lambda x: x + 1])
    x = torch.arange(12.0).view(2, 3, 2)
    out = edit(x)
    assert torch.equal(out[0], x[0])
    assert torch.equal(out[1, 1:], x[1, 1:] + 1)
    assert torch.equal(out[1, 0], x[1, 0])


def test_the_texts_are_still_those_in_which_firing_was_noted():
    """The places in data/sae_smollm2 point into them; a new version of the corpus is none of it."""
    documents = [islice(residual._documents(kind, "heldout"), 100) for kind in residual.DOMAINS]
    text = "".join(text for part in documents for text in part)
    assert hashlib.sha256(text.encode()).hexdigest()[:12] == "d05a5de5ae40"
