"""A unit simulated from its tokens alone."""

from types import SimpleNamespace

import pytest
import torch

from data.recipes import sae_kinds

ROWS = torch.arange(64).view(4, 16) % 8  # token t at every place t, t + 8, …


def simulated(acts, shown):
    seen = SimpleNamespace(
        top=torch.arange(20).view(1, 20) * 3,
        uniform=torch.full((1, 12, 3), -1),
        maximum=torch.tensor([10.0]),
    )
    if not shown:
        seen.top = torch.full((1, 20), -1)
    return sae_kinds.by_tokens(acts, seen, 0, ROWS)


def test_a_unit_that_follows_the_token_is_simulated_and_one_that_follows_the_place_is_not():
    by_token = ROWS.float()
    by_place = (torch.arange(16.0) // 2).expand(ROWS.shape)
    assert simulated(by_token, shown=True) == pytest.approx(1)
    assert simulated(by_place, shown=True) < 0.9
    assert simulated(by_token, shown=False) == 0
