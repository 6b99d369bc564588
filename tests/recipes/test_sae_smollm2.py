"""How surprising an answer is, for a model that finds every token equally likely."""

import math
from types import SimpleNamespace

import pytest
import torch

from data.recipes import sae_smollm2


class Letters:
    """A tokenizer: a letter is a token."""

    def apply_chat_template(self, said, **options):
        return "".join(line["content"] for line in said) + ">"

    def __call__(self, text):
        return {"input_ids": [ord(letter) for letter in text]}


class Even:
    """A language model that finds all 128 letters equally likely, but is sure of "b" after "a"."""

    device = "cpu"

    def __call__(self, ids):
        logits = torch.zeros(*ids.shape, 128)
        logits[ids == ord("a"), ord("b")] = 100.0
        return SimpleNamespace(logits=logits)


def test_surprise_is_the_mean_loss_of_the_answers_tokens_alone():
    say = lambda text: sae_smollm2.surprise(Even(), Letters(), "aaaa", text)
    assert say("xy") == pytest.approx(math.log(128))
    assert say("xab") == pytest.approx(math.log(128) * 2 / 3, abs=1e-4)
    assert say("") == 0
