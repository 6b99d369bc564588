"""The hypothesis-test simulation: easy class, rough class, growth with queries; bounds from five
seeds with margins.
"""

import numpy as np
import torch

from notebooks.support.lesson06.simulation import (
    average_change,
    evidence,
    queries,
    random_networks,
    score_card,
    trial,
)

SEEDS = range(5)


def cards(roughness, reach=1.0, count=400, ks=(1, 4, 16)):
    """{method: the score cards of five seeds}."""
    found = {}
    for seed in SEEDS:
        g = torch.Generator().manual_seed(seed)
        t = trial(count, roughness=roughness, generator=g)
        rises = average_change(t.f, t.x, 0, reach=reach) > 0
        for name, score in evidence(t, reach=reach, generator=g, ks=ks).items():
            found.setdefault(name, []).append(score_card(score, rises))
    return found


def mean(found, name, what="accuracy"):
    return float(np.mean([card[what] for card in found[name]]))


def test_linear_networks_are_the_easy_class():
    for name, rows in cards(0).items():
        assert all(row["accuracy"] > 0.999 and row["AUC"] > 0.999 for row in rows), name


def test_rough_networks_leave_attributions_near_or_below_chance_and_queries_not():
    rough = cards(4)
    assert mean(rough, "IG") < 0.57
    assert mean(rough, "Shapley") < 0.52
    assert mean(rough, "gradient") < 0.70
    assert mean(rough, "16 queries", "AUC") > mean(rough, "IG", "AUC") + 0.2
    assert (
        mean(rough, "1 query") < mean(rough, "4 queries") - 0.04 < mean(rough, "16 queries") - 0.05
    )


def test_accuracy_falls_with_roughness_and_with_the_step():
    gradients = [mean(cards(r), "gradient") for r in (0.5, 2, 8)]
    assert gradients[0] > gradients[1] + 0.08 > gradients[2] + 0.12
    assert mean(cards(1, reach=0.1), "gradient") > mean(cards(1, reach=2.0), "gradient") + 0.15


def test_queries_converge_to_the_truth_but_do_not_ask_it():
    g = torch.Generator().manual_seed(0)
    t = trial(300, roughness=4, generator=g)
    truth = average_change(t.f, t.x, 0, reach=1.0)
    errors = [
        (queries(t.f, t.x, 0, k=k, reach=1.0, generator=g) - truth).abs().mean().item()
        for k in (1, 16, 256)
    ]
    assert errors[0] > 2.5 * errors[1] > 5 * errors[2] > 0  # about 1 / sqrt(k)


def test_networks_do_not_see_each_other():
    f = random_networks(5, 3, roughness=2, generator=torch.Generator().manual_seed(1))
    x = torch.rand(5, 3)
    moved = x.clone()
    moved[2] += 1
    same = f(x) == f(moved)
    assert same.tolist() == [True, True, False, True, True]
    torch.testing.assert_close(f(torch.stack([x, moved])), torch.stack([f(x), f(moved)]))


def test_the_networks_are_one_relu_layer():
    """Along a line the network is piecewise linear: second differences vanish but at kinks."""
    f = random_networks(1, 2, roughness=1, generator=torch.Generator().manual_seed(2), hats=4)
    t = torch.linspace(0, 2, 20001).double()

    def line(t):
        return f(torch.stack([t, t], -1)[:, None])[:, 0]

    f64 = line(t.float()).double()
    bends = (f64[2::100] - 2 * f64[1:-1:100] + f64[:-2:100]).abs()
    assert (bends < 1e-6).double().mean() > 0.8
    assert f64.std() > 0.01


def test_score_card_by_hand():
    card = score_card(
        torch.tensor([1.0, -1.0, 2.0, -2.0]), torch.tensor([True, True, False, False])
    )
    assert card == {"accuracy": 0.5, "sensitivity": 0.5, "specificity": 0.5, "AUC": 0.5}
