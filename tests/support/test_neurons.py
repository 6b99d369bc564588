"""Lesson 08's instruments on cases by hand, and the stand-in on neurons with a planted rule."""

import math

import pytest
import torch

from helpers.datasets import corpus
from helpers.transformer.model import OneLayerTransformer, Settings, initialise, solu
from notebooks.support.lesson08.neurons import (
    RuleList,
    best_rule,
    effective_neurons,
    inconsistent,
    loss_and_size,
    rotation,
    stages,
    strongest,
    verdicts,
)


def test_stages_are_those_of_the_model():
    model = OneLayerTransformer(Settings("solu", layer_norm=True, d_model=16, d_mlp=32))
    initialise(model, 0)
    generator = torch.Generator().manual_seed(0)
    rows = torch.randint(1, 2048, (70, 12), generator=generator)  # three parts of 32
    three = stages(model, rows)
    assert three.pre.shape == three.mid.shape == three.post.shape == (840, 32)
    torch.testing.assert_close(three.mid, solu(three.pre))
    torch.testing.assert_close(
        three.post, model.activations(rows).flatten(0, 1).detach(), atol=1e-5, rtol=1e-4
    )
    assert not three.post.requires_grad


def test_effective_neurons_counts_equal_ones_whatever_their_sign():
    for k in (1, 3, 8):
        acts = torch.zeros(1, 8)
        acts[0, :k] = -2.5
        acts[0, 0] = 2.5
        assert effective_neurons(acts).item() == pytest.approx(k)


def test_a_rotation_keeps_lengths_and_no_axis():
    turn = rotation(64, seed=3)
    torch.testing.assert_close(turn @ turn.T, torch.eye(64), atol=1e-5, rtol=0)
    assert turn.abs().max() < 0.8
    assert not torch.equal(turn, rotation(64, seed=4))
    assert torch.equal(turn, rotation(64, seed=3))


def test_strongest_takes_one_a_row_in_order():
    acts = torch.zeros(4, 5, 2)
    acts[0, 1, 0], acts[0, 2, 0], acts[2, 4, 0], acts[3, 0, 0] = 9, 8, 10, 1
    assert strongest(acts, 3)[0].tolist() == [2 * 5 + 4, 1, 3 * 5]
    assert strongest(acts, 3).shape == (2, 3)


@pytest.fixture(scope="module")
def text():
    rows, domains = corpus.stream("heldout").contexts()
    return rows[::160], domains[::160]  # 49 contexts


def test_a_planted_rule_is_found_and_a_common_one_is_not_used(text):
    rows, domains = text
    rules = RuleList(rows, domains)
    numbers = rules.follows("a number")
    assert 0 < numbers.float().mean().item() == pytest.approx(rules.base["a number"])
    strings = corpus.token_strings()
    assert all(
        strings[t].strip().isdigit() == bool(f)
        for t, f in zip(rows.flatten().tolist(), numbers, strict=False)
    )
    found = best_rule(numbers.nonzero().flatten()[:20], rules)
    assert found.passes
    assert found.share == 1
    assert found.rule in ("a number", f"is {strings[rows.flatten()[numbers][0]]!r}")
    reviews = (domains.flatten() == corpus.DOMAINS.index("reviews")).nonzero().flatten()
    assert rules.base["in reviews"] > 0.1
    assert "in reviews" not in rules.at(int(reviews[0]))
    spread = reviews[torch.randperm(len(reviews), generator=torch.Generator().manual_seed(0))[:20]]
    assert not best_rule(spread, rules).passes, "text that has nothing but a common kind in common"
    mixed = torch.cat([numbers.nonzero().flatten()[:15], spread[:5]])
    assert not best_rule(mixed, rules).passes
    assert best_rule(torch.cat([numbers.nonzero().flatten()[:16], spread[:4]]), rules).passes


def test_the_token_before_does_not_cross_a_row(text):
    rules = RuleList(*text)
    width = text[0].shape[1]
    assert not any(rule.startswith("after ") for rule in rules._all(width))
    before = corpus.token_strings()[text[0].flatten()[width]]
    assert f"after {before!r}" in rules._all(width + 1)
    for rule in (f"after {before!r}", "in reviews", "a number", "is ' the'"):
        assert rules.follows(rule).tolist() == [
            rule in rules._all(place) for place in range(len(rules.tokens))
        ]


def test_verdicts_find_a_planted_rule_and_sizes_are_counted(text):
    rules = RuleList(*text)
    acts = torch.rand(len(rules.tokens), 2, generator=torch.Generator().manual_seed(0))
    acts[:, 1] += rules.follows("a number")
    noise, planted = verdicts(acts, rules)
    assert planted.passes
    assert not noise.passes
    loss, size = loss_and_size(["lm_sizes/gelu-16"], text[0][:4], "cpu")
    assert size == {"lm_sizes/gelu-16": 70_896}
    assert 3 < loss["lm_sizes/gelu-16"] < 6


def test_inconsistent_by_hand():
    acts = torch.tensor([8.0, 7, 5, 4, 3.5, 3, 2, 1, 0, -1])
    follows = torch.tensor([1, 1, 1, 0, 1, 1, 1, 0, 0, 0], dtype=torch.bool)
    shares = inconsistent(acts, follows, torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0]))
    assert shares.tolist() == pytest.approx([1 / 2, 1 / 3, 0, 0])  # (0, 2]: 2 follows, 1 does not
    assert math.isnan(inconsistent(acts[:3], follows[:3], torch.tensor([0.0, 0.25, 0.5]))[0])
