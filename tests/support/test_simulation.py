"""The simulation of tests: easy class, rough class, growth with queries; bounds from five seeds."""

import pytest
import torch

from helpers.saliency.shapley import shapley
from notebooks.support.lesson06.simulation import (
    average_change,
    changes,
    evidence,
    queries,
    random_networks,
    rates,
    trial,
)


def accuracy(roughness, reach=1.0, ks=(1, 4, 16)):
    """{method: mean share of right answers over five sets of 400 networks}."""
    found = {}
    for seed in range(5):
        g = torch.Generator().manual_seed(seed)
        t = trial(400, roughness=roughness, generator=g)
        rises = average_change(t.f, t.x, 0, reach=reach) > 0
        for name, score in evidence(t, reach=reach, generator=g, ks=ks).items():
            found.setdefault(name, []).append(((score > 0) == rises).float().mean())
    return {name: torch.stack(shares).mean().item() for name, shares in found.items()}


def test_linear_networks_are_the_easy_class():
    right = accuracy(0)
    assert right.pop("output alone") < 0.6  # no explanation: a high output does not fall here
    assert min(right.values()) > 0.999


def test_on_straight_lines_shapley_values_with_people_tell_the_side_of_them():
    """Why section 4's reading of a sign fails with a background, without any twins."""
    g = torch.Generator().manual_seed(0)
    f, x = trial(400, roughness=0, generator=g)
    people = 2 * torch.rand(64, 1, 3, generator=g)
    says, rises = shapley(f, x, people)[:, 0] > 0, average_change(f, x, 0, reach=1) > 0
    assert torch.equal(says == rises, x[:, 0] > people[:, 0, 0].mean())


def test_rough_networks_leave_attributions_near_or_below_chance_and_queries_not():
    rough = accuracy(4)
    assert rough["IG"] < 0.57
    assert rough["Shapley"] < 0.52
    assert rough["gradient"] < 0.70
    # the baseline's place comes first: only ahead of x does it help to hold the other features
    assert rough["IG"] + 0.05 < rough["−IG, baseline ahead"] < rough["−IG, ahead in 1 only"] - 0.1
    assert rough["IG, zero in 1 only"] < rough["IG"] - 0.05
    assert rough["1 query"] + 0.04 < rough["4 queries"] < rough["16 queries"] - 0.01


def test_accuracy_falls_with_roughness_and_with_the_step():
    gradients = [accuracy(r)["gradient"] for r in (0.5, 2, 8)]
    assert gradients[0] > gradients[1] + 0.08 > gradients[2] + 0.12
    assert accuracy(1, reach=0.1)["gradient"] > accuracy(1, reach=2.0)["gradient"] + 0.15


def test_on_smooth_networks_the_place_helps_and_holding_the_others_behind_does_not():
    smooth = accuracy(0.25)
    assert (
        smooth["IG"] + 0.08 < smooth["−IG, baseline ahead"] < smooth["−IG, ahead in 1 only"] - 0.03
    )
    assert smooth["IG, zero in 1 only"] == pytest.approx(smooth["IG"], abs=0.03)


def test_the_gradient_stays_above_a_coin_on_the_roughest_networks_and_the_others_do_not():
    roughest = accuracy(8)
    assert max(roughest["IG"], roughest["Shapley"]) < 0.5
    assert 0.52 < roughest["gradient"] < 0.6


def test_a_neighbouring_step_tells_less_the_rougher_the_network():
    """The step of 0.6 asked, the step of 0.7 meant."""
    told = []
    for roughness in (0.25, 2, 8):
        g = torch.Generator().manual_seed(0)
        f, x = trial(1500, roughness=roughness, generator=g)
        rises = changes(f, x, 0, torch.tensor([0.6, 0.7])) > 0  # (2, 1500)
        told.append((rises[0] == rises[1]).float().mean().item())
    assert told[0] > 0.96 > told[1] > 0.93 > 0.89 > told[2] > 0.8


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
    assert (f(x) == f(moved)).tolist() == [True, True, False, True, True]
    torch.testing.assert_close(f(torch.stack([x, moved])), torch.stack([f(x), f(moved)]))


def test_the_networks_are_one_relu_layer():
    """Along a line the network is piecewise linear: second differences vanish but at kinks."""
    f = random_networks(1, 2, roughness=1, generator=torch.Generator().manual_seed(2), hats=4)
    t = torch.linspace(0, 2, 20001)
    line = f(torch.stack([t, t], -1)[:, None])[:, 0].double()
    bends = (line[2::100] - 2 * line[1:-1:100] + line[:-2:100]).abs()
    assert (bends < 1e-6).double().mean() > 0.8
    assert line.std() > 0.01


def test_rates_by_hand():
    says = torch.tensor([True, False, False, False, True])
    assert rates(says, torch.tensor([True, True, False, False, False])) == pytest.approx(
        (1 / 2, 2 / 3)
    )
