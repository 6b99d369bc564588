"""The measures of a map beside captum's, in float64, on random networks; beside hand-written formulas; and what they must do."""

from functools import partial

import pytest
import torch
from captum import metrics as captum

from helpers import saliency
from helpers.ground.errors import CourseError
from helpers.saliency import metrics
from notebooks.support.lesson03 import roar
from tests.saliency.conftest import Smooth, make_net

close = partial(torch.testing.assert_close, rtol=1e-9, atol=1e-12)
TARGET = torch.tensor([3, 0, 4])


@pytest.mark.parametrize("normalise", [False, True])
def test_infidelity_is_captums(net, x, normalise):
    attribution = saliency.gradient_x_input(net, x, TARGET)
    change = 0.3 * metrics.noises(x, 9, 5)  # the same noise for both: (n, B, C, H, W)

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
    r = 0.05 * metrics.noises(x, 7, 2, uniform=True)
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
    heat, blurred = (
        metrics.magnitude(saliency.gradient(net, x, TARGET)),
        x.mean(dim=(2, 3), keepdim=True).expand_as(x),
    )
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
    """A network that reads one patch: deletion falls at once for the map of the patch, insertion rises at once."""

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
    assert metrics.pointing_game(heat, boxes).tolist() == [True, False, False]
    assert metrics.pointing_game(heat, boxes, tolerance=1).tolist() == [True, True, True]
    close(metrics.energy_in_box(heat, boxes), torch.tensor([2 / 3, 0, 0]))
    assert (
        metrics.energy_in_box(-(heat[:1] ** 2), boxes[:1]).isnan().all()
    )  # nothing positive: no share


def test_remove_takes_the_top_share_and_nothing_else():
    images, heat = torch.rand(2, 3, 5, 4), torch.arange(40.0).view(2, 5, 4)
    less = metrics.remove(images, heat, 0.25, 9.0)
    assert (less == 9).all(1).flatten(1).sum(1).tolist() == [5, 5] and (less[:, :, -1] == 9).all()
    assert torch.equal(less[:, :, :3], images[:, :, :3])
    assert torch.equal(metrics.remove(images, heat, 0.0, 9.0), images)


def test_sensitivity_of_a_smooth_network_grows_with_the_radius(x):
    small, large = (
        metrics.sensitivity_max(saliency.gradient, Smooth(0).double(), x, 1, radius=r)
        for r in (0.01, 0.1)
    )
    assert (small > 0).all() and (small < large).all()


def test_heat_of_another_shape_is_named(x):
    net = make_net("plain")
    with pytest.raises(CourseError, match="one value a pixel"):
        metrics.deletion(net, x, TARGET, saliency.gradient(net, x, TARGET))


def test_sobel_is_the_textbooks(x):
    from scipy.ndimage import sobel

    grey = x.mean(1).numpy()
    expected = [
        (sobel(g, 0, mode="nearest") ** 2 + sobel(g, 1, mode="nearest") ** 2) ** 0.5 for g in grey
    ]
    close(roar.sobel(None, x, 0)[:, 0], torch.stack([torch.from_numpy(e) for e in expected]))


def test_make_roar_runs_and_is_read_back(tmp_path):
    roar.make(smoke=True, out=tmp_path / "roar")
    assert set(roar.measure(out=tmp_path / "roar")) == set(roar.METHODS)
