import math

import pytest
import torch
import torch.nn.functional as F

from data.recipes.lm import by_domain
from helpers.transformer.measure import loss_recovered, token_losses
from helpers.transformer.model import OneLayerTransformer, Settings


class ByHand(torch.nn.Module):
    """Logits of two tokens that depend on one "activation" a position: edit it, and see."""

    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(2, 1)
        self.settings = Settings(vocabulary=2)

    def forward(self, tokens, edit=None):
        acts = torch.full((*tokens.shape, 1), 2.0)
        acts = edit(acts) if edit else acts
        return torch.cat([torch.zeros_like(acts), acts], dim=-1)


def test_loss_recovered_on_a_case_by_hand():
    rows = torch.ones(1, 4, dtype=torch.long)  # token 1 always follows; its logit is the activation
    loss = lambda a: math.log(1 + math.exp(-a))
    model = ByHand()
    assert token_losses(model, rows).mean().item() == pytest.approx(loss(2), abs=1e-6)
    half = loss_recovered(model, rows, lambda acts: acts / 2)
    assert half == pytest.approx((loss(0) - loss(1)) / (loss(0) - loss(2)), abs=1e-5)
    assert loss_recovered(model, rows, lambda acts: acts) == pytest.approx(1)
    assert loss_recovered(model, rows, torch.zeros_like) == pytest.approx(0)
    assert loss_recovered(model, rows, lambda acts: -acts) < 0, "worse than no MLP"


def test_each_loss_is_of_the_token_that_comes_next():
    """Row by row and place by place, through several chunks."""
    model = OneLayerTransformer(Settings(d_model=8, d_mlp=8, heads=2, context=9, vocabulary=11))
    torch.nn.init.normal_(model.unembed.weight, generator=torch.Generator().manual_seed(0))
    rows = torch.randint(0, 11, (20, 7), generator=torch.Generator().manual_seed(1))
    losses = token_losses(model.eval(), rows)
    assert losses.shape == (20, 6)
    for row, place in ((0, 0), (3, 5), (19, 2)):
        logits = model(rows[row : row + 1, : place + 1])[0, -1]
        torch.testing.assert_close(
            losses[row, place], F.cross_entropy(logits, rows[row, place + 1]).detach()
        )


def test_by_domain_averages_each_kind():
    losses, domains = torch.tensor([[1.0, 3.0], [5.0, 7.0]]), torch.tensor([[0, 0], [1, 1]])
    assert by_domain(losses, domains) == {"all": 4.0, "reviews": 2.0, "mathematics": 6.0}
