import math

import pytest
import torch

from helpers.transformer.measure import (
    Counts,
    Task,
    accuracy,
    by_domain,
    loss_recovered,
    tasks,
    token_losses,
)
from helpers.transformer.model import OneLayerTransformer, Settings, initialise


class ByHand(torch.nn.Module):
    """Logits of two tokens that depend on one "activation" a position: edit it, and the loss is known."""

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
    assert loss_recovered(model, rows, lambda acts: -acts) < 0, (
        "worse than no MLP at all is below 0"
    )


def test_by_domain_averages_each_kind():
    losses, domains = torch.tensor([[1.0, 3.0], [5.0, 7.0]]), torch.tensor([[0, 0], [1, 1]])
    assert by_domain(losses, domains) == {"all": 4.0, "reviews": 2.0, "mathematics": 6.0}


def test_counting_models_are_distributions_and_bigram_wins_on_a_pattern():
    stream = torch.tensor([0, 1, 2] * 200)
    counts = Counts(stream, vocabulary=4)
    pairs = torch.tensor([[a, b] for a in range(4) for b in range(4)])
    for kind in (counts.unigram, counts.bigram):
        total = (-kind(pairs)).exp().view(4, 4).sum(dim=1)
        torch.testing.assert_close(total[:3], torch.ones(3), rtol=1e-4, atol=1e-4)
    rows = stream[:60].view(1, 60)
    assert counts.bigram(rows).mean() < 0.05 < counts.unigram(rows).mean()


def test_tasks_are_balanced_and_have_one_token_answers():
    for task in tasks(60):
        assert len(task.questions) >= 40 and all(
            0 <= answer < len(candidates) for _, candidates, answer in task.questions
        )
        assert task.chance == pytest.approx(1 / len(task.questions[0][1]), abs=1e-6)


def test_accuracy_counts_right_answers():
    model = OneLayerTransformer(Settings(d_model=8, d_mlp=8, heads=2, vocabulary=10))
    initialise(model, 0)
    model.eval()
    prompt = torch.tensor([1, 2, 3])
    best = int(model(prompt[None])[0, -1].argmax())
    other = (best + 1) % 10
    assert (
        accuracy(model, Task("t", 0.5, [(prompt, [other, best], 1), (prompt, [other, best], 0)]))
        == 0.5
    )
