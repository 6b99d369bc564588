"""The measures of a map beside captum's, in float64, and beside hand-written formulas."""

from functools import partial

import pytest
import torch
from captum import metrics as captum
from torch import nn

from helpers import saliency
from helpers.ground.errors import CourseError
from helpers.saliency import core, metrics, sanity
from tests.saliency.conftest import Smooth, make_net

close = partial(torch.testing.assert_close, rtol=1e-9, atol=1e-12)
TARGET = torch.tensor([3, 0, 4])


@pytest.mark.parametrize("normalise", [False, True])
def test_infidelity_is_captums(net, x, normalise):
    attribution = saliency.gradient_x_input(net, x, TARGET)
    change = 0.3 * core.noises(x, 9, 5)  # the same noise for both: (n, B, C, H, W)

    def perturb(inputs):  # captum repeats each picture n times
        noise = change.transpose(0, 1).flatten(0, 1)
        return noise, inputs - noise

    theirs = captum.infidelity(
        net, perturb, x, attribution, target=TARGET, n_perturb_samples=9, normalize=normalise
    )
    close(
        metrics.infidelity(
            net, x, TARGET, attribution, noise=0.3, samples=9, normalise=normalise, seed=5
        ),
        theirs,
    )


def test_sensitivity_max_is_captums(net, x):
    r = 0.05 * core.noises(x, 7, 2, uniform=True)
    ours = metrics.sensitivity_max(
        saliency.gradient, net, x, TARGET, radius=0.05, samples=7, seed=2
    )

    def explain(inputs, target):  # captum gives a tensor, or a tuple of one
        return (
            saliency.gradient(
                net, inputs if isinstance(inputs, torch.Tensor) else inputs[0], target
            ),
        )

    theirs = captum.sensitivity_max(
        explain,
        x,
        target=TARGET,
        n_perturb_samples=7,
        perturb_func=lambda inputs, radius: inputs + r.transpose(0, 1).flatten(0, 1),
    )
    close(ours, theirs)


def test_infidelity_of_a_linear_network_is_zero_for_its_weights(x):
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(x[0].numel(), 5)).double()
    w = saliency.gradient(net, x, TARGET)
    assert metrics.infidelity(net, x, TARGET, w).max() < 1e-20
    assert (metrics.infidelity(net, x, TARGET, 3 * w) > 0.01).all()
    assert (
        metrics.infidelity(net, x, TARGET, 3 * w, normalise=True).max() < 1e-20
    )  # the scale no longer counts


def by_hand(model, x, target, heat, steps, start, end):
    """One picture and one pixel after the other."""
    curves = []
    for i in range(len(x)):
        order, picture, curve = (
            heat[i].flatten().argsort(descending=True, stable=True),
            start[i].clone(),
            [],
        )
        for k in range(steps + 1):
            for pixel in order[: -(-k * len(order) // steps)].tolist():
                row, col = divmod(pixel, x.shape[3])
                picture[:, row, col] = end[i, :, row, col]
            curve.append(model(picture[None]).softmax(1)[0, target[i]].detach())
        curves.append(torch.stack(curve))
    return torch.stack(curves)


def test_deletion_and_insertion_pixel_by_pixel(net, x):
    heat = metrics.magnitude(saliency.gradient(net, x, TARGET))
    blurred = x.mean(dim=(2, 3), keepdim=True).expand_as(x)
    ours = metrics.deletion(net, x, TARGET, heat, steps=6, baseline=0.5)
    close(ours, by_hand(net, x, TARGET, heat, 6, x, torch.full_like(x, 0.5)))
    close(
        metrics.insertion(net, x, TARGET, heat, steps=6, start=blurred),
        by_hand(net, x, TARGET, heat, 6, blurred, x),
    )
    close(ours[:, 0], saliency.scores(net, x, TARGET, softmax=True))


def test_area_is_the_papers_formula():
    curve = torch.rand(3, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    close(metrics.area(curve), (curve.sum(1) - curve[:, 0] / 2 - curve[:, -1] / 2) / 8)


def test_a_map_of_what_counts_wins_and_its_reverse_loses():
    """A network that reads one patch: with its map deletion falls and insertion rises at once."""

    class Patch(torch.nn.Module):
        def forward(self, x):
            s = x[:, 0, 2:4, 2:4].sum(dim=(1, 2)) * 3
            return torch.stack((s, 6 - s), 1)

    x, heat = torch.ones(1, 1, 8, 8), torch.zeros(1, 8, 8)
    heat[0, 2:4, 2:4] = 1
    good, bad = (metrics.area(metrics.deletion(Patch(), x, 0, h, steps=16)) for h in (heat, -heat))
    assert good < 0.1 < 0.9 < bad
    good, bad = (metrics.area(metrics.insertion(Patch(), x, 0, h, steps=16)) for h in (heat, -heat))
    assert bad < 0.1 < 0.9 < good


def test_pointing_game_and_energy_by_hand():
    heat = torch.zeros(3, 6, 8)
    heat[0, 1, 2], heat[1, 5, 7], heat[2, 0, 0], heat[2, 3, 3] = 1, 2, 3, -5
    heat[0, 4, 4] = 0.5
    boxes = torch.tensor([[2, 1, 4, 3], [0, 0, 7, 6], [1, 0, 8, 6]])  # left, top, right, bottom
    assert metrics.pointing_game(heat, boxes).tolist() == [1, 0, 0]
    assert metrics.pointing_game(heat, [2, 1, 4, 3]).tolist() == [1, 0, 0]  # one box for all
    close(metrics.energy_in_box(heat, boxes), torch.tensor([2 / 3, 0, 0]))
    with pytest.raises(CourseError, match="3 heat maps need boxes .* not \\(2, 4\\)"):
        metrics.pointing_game(heat, boxes[:2])


@pytest.mark.parametrize("measure", [metrics.pointing_game, metrics.energy_in_box])
@pytest.mark.parametrize("value", [0.0, float("nan")])
def test_an_empty_map_points_nowhere(measure, value):
    heat = torch.full((1, 4, 4), value)
    assert measure(heat, torch.tensor([[0, 0, 2, 2]])).isnan().all()
    heat[0, 1, 1] = 1
    assert measure(heat, torch.tensor([[0, 0, 2, 2]])).isnan().all() == (value != 0)


def test_energy_counts_what_is_positive():
    assert metrics.energy_in_box(-torch.rand(1, 4, 4), torch.tensor([[0, 0, 2, 2]])).isnan().all()


@pytest.mark.parametrize(
    "curve",
    [
        lambda net, x, heat: metrics.deletion(net, x, 0, heat),
        lambda net, x, heat: metrics.insertion(net, x, 0, heat),
    ],
)
def test_nan_has_no_place_in_an_order(curve, x):
    heat = x.sum(1)
    heat[0, 2, 3] = torch.nan
    with pytest.raises(CourseError, match="1 of the heat map's .* values are NaN"):
        curve(make_net("plain"), x, heat)


@pytest.mark.parametrize(
    "count",
    [
        lambda net, x: metrics.deletion(net, x, 0, x.sum(1), steps=0),
        lambda net, x: metrics.insertion(net, x, 0, x.sum(1), steps=0),
        lambda net, x: metrics.infidelity(net, x, 0, x, samples=0),
        lambda net, x: metrics.sensitivity_max(saliency.gradient, net, x, 0, samples=0),
    ],
)
def test_no_steps_and_no_samples(count, x):
    with pytest.raises(CourseError, match="should be a whole number of 1 or more, not 0"):
        count(make_net("plain"), x)


WRONG = {
    "no neighbours in blocks of 9": lambda x, m: metrics.total_variation(m, block=9),
    "block should be": lambda x, m: metrics.total_variation(m, block=0),
    "Curves should be": lambda x, m: metrics.area(m[0, 0, 0]),
    "heat should be .* not .2,": lambda x, m: metrics.deletion(make_net("plain"), x, 0, m[:2, 0]),
    "not 'left'": lambda x, m: metrics.pointing_game(m[:, 0], "left"),
    "not None": lambda x, m: metrics.energy_in_box(m[:, 0], None),
    "3 pictures need a map each, not 2 of": lambda x, m: metrics.infidelity(
        make_net("plain"), x, 0, m[:2]
    ),
    "Maps should be .* not a Tensor .3, 1": lambda x, m: saliency.completeness_error(
        make_net("plain"), x, 0, m[:, 0]
    ),
    "3 x 3 cells of 99": lambda x, m: sanity.edges(m, m, cell=99),
    "not of one size": lambda x, m: sanity.structural(m, m[:2]),
    "by their names": lambda x, m: sanity.cascade(
        make_net("plain"), [nn.ReLU()], saliency.gradient, x, 0
    ),
    "nn.Module, not a function": lambda x, m: sanity.layers_of(lambda x: x),
}


@pytest.mark.parametrize("said", WRONG)
def test_what_cannot_be_measured_ends_in_a_sentence(said, x):
    with pytest.raises(CourseError, match=said) as caught:
        WRONG[said](x, x * 1)
    assert "\n" not in str(caught.value)


def test_measures_take_lists_arrays_one_map_for_all_and_a_single_name(x):
    m, heat = x * 1, x.sum(1)
    torch.testing.assert_close(metrics.area([[0.0, 1, 1]]), torch.tensor([0.75]))
    net = make_net("plain")
    curve = metrics.deletion(net, x, 0, heat.numpy())
    assert torch.equal(curve, metrics.deletion(net, x, 0, heat))
    for alike in sanity.SIMILARITIES.values():
        torch.testing.assert_close(alike(m, m[:1]), alike(m, m[:1].expand_as(m)))
    one, same = (sanity.cascade(net, of, saliency.gradient, x, 0) for of in ("head", ["head"]))
    assert torch.equal(one, same)


def test_sensitivity_of_a_smooth_network_grows_with_the_radius(x):
    small, large = (
        metrics.sensitivity_max(saliency.gradient, Smooth(0).double(), x, 1, radius=r)
        for r in (0.01, 0.1)
    )
    assert (small > 0).all()
    assert (small < large).all()


def test_heat_of_another_shape_is_named(x):
    net = make_net("plain")
    box, heat = [0, 0, 9, 9], metrics.magnitude(x)
    for measure in (metrics.pointing_game, metrics.energy_in_box):
        assert torch.equal(measure(heat.numpy(), box), measure(heat, box))
        with pytest.raises(
            CourseError, match="Maps should be \\(B, H, W\\), not a Tensor \\(3, 3, "
        ):
            measure(x, box)
    with pytest.raises(CourseError, match="2 pictures|3 pictures need a map each, not 1"):
        metrics.infidelity(net, x, TARGET, x[:1], samples=2)
    with pytest.raises(CourseError, match="Maps should be \\(B, H, W\\)"):
        metrics.deletion(net, x, TARGET, saliency.gradient(net, x, TARGET))
