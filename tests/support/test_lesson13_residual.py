"""The dictionary on SmolLM2's stream, on a stream that a test can know."""

import torch

from notebooks.support.lesson13 import residual


def test_each_text_gets_its_own_edit_and_the_first_token_none():
    edit = residual.each([None, lambda x: x + 1])
    x = torch.arange(12.0).view(2, 3, 2)
    out = edit(x)
    assert torch.equal(out[0], x[0])
    assert torch.equal(out[1, 1:], x[1, 1:] + 1)
    assert torch.equal(out[1, 0], x[1, 0])
