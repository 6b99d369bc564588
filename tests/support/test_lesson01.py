"""Lesson 01: right answers pass, known mistakes get their sentences; what its slides say and its
cells do not claim."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F

from helpers import saliency
from helpers.datasets import photos
from helpers.ground.stats import spearman
from helpers.lesson.plots import as_picture
from helpers.pretrained import imagenet
from helpers.saliency.metrics import concentration, magnitude, total_variation
from notebooks.support.lesson01 import checks as check
from notebooks.support.lesson01.figures import red_maps


def mean_slope(noises, add=False, fold=sum):
    """A SmoothGrad whose noise of one copy is noises(x, sigma)."""

    def method(slope, x, n, sigma):
        slopes, point = [], x
        for _ in range(n):
            point = (point if add else x) + noises(x, sigma)
            slopes.append(slope(point))
        return fold(slopes) / (n if fold is sum else 1)

    return method


def normal(x, sigma):
    return sigma * torch.randn_like(x)


def seeded(x, sigma):
    return sigma * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))


def both_ends(slope, x, x0, m):
    return (x - x0) * sum(slope(x0 + a * (x - x0)) for a in torch.linspace(0, 1, m)) / m


def way(end=0.5, start=None, factor=None, sign=1):
    """Integrated Gradients with one thing changed."""

    def method(slope, x, x0, m):
        begin, step = (x0, x - x0) if start is None else start(x, x0)
        slopes = [slope(begin + (k + end) / m * step) for k in range(m)]
        return sign * ((x - x0) if factor is None else factor(x)) * sum(slopes) / m

    return method


def steps(power=3, middle=0.5, weight=lambda u, m: 3 * u**2 / m):
    return lambda m: (
        ((torch.arange(m) + middle) / m) ** power,
        weight((torch.arange(m) + 0.5) / m, m),
    )


def cam(A, dA, fold="sum"):
    return getattr(dA.mean((2, 3), keepdim=True) * A, fold)(1, keepdim=True)


ANSWERS = {  # {check: {what it says: answer}}
    check.smoothgrad: {
        "✓": mean_slope(normal),
        "not answered yet": lambda *_: ...,
        "called once for each": lambda slope, x, n, sigma: slope(x),
        "no noise": mean_slope(lambda x, sigma: 0),
        "all copies have the same noise": mean_slope(seeded),
        "one number of noise for the whole picture": mean_slope(
            lambda x, sigma: sigma * torch.randn(1)
        ),
        "one number of noise for a whole colour": mean_slope(
            lambda x, sigma: sigma * torch.randn(1, 3, 1, 1)
        ),
        "all colours have the same noise": mean_slope(
            lambda x, sigma: sigma * torch.randn(x.shape[2:])
        ),
        "piles up": mean_slope(normal, add=True),
        "do not multiply it by the picture's": mean_slope(
            lambda x, sigma: normal(x, sigma * x.std())
        ),
        "not the variance": mean_slope(lambda x, sigma: normal(x, sigma**2)),
        "torch.rand runs": mean_slope(lambda x, sigma: sigma * 12**0.5 * torch.rand_like(x)),
        "should have the deviation": mean_slope(lambda x, sigma: normal(x, 2 * sigma)),
        "never passes 2 sigma": mean_slope(
            lambda x, sigma: sigma * 12**0.5 * (torch.rand_like(x) - 0.5)
        ),
        "this is the sum": mean_slope(normal, fold=lambda slopes: sum(slopes)),
        "last copy's": mean_slope(normal, fold=lambda slopes: slopes[-1]),
        "with their signs": mean_slope(normal, fold=lambda slopes: sum(slopes).abs() / len(slopes)),
        "no abs here": mean_slope(normal, fold=lambda slopes: sum(map(abs, slopes)) / len(slopes)),
        "not the slopes' mean": mean_slope(normal, fold=lambda slopes: 3 * slopes[0]),
    },
    check.integrated_gradients: {
        "✓": way(),
        "multiply it by the way": way(factor=lambda x: 1),
        "not by x": way(factor=lambda x: x),
        "divide by m": way(sign=4),
        "the slope at x alone": lambda slope, x, x0, m: (x - x0) * slope(x),
        "the way starts at x0": way(start=lambda x, x0: (0 * x, x)),
        "in steps of x": way(start=lambda x, x0: (x0, x)),
        "steps' ends": way(end=1),
        "takes in both ends": both_ends,
        "change the sign": way(sign=-1),
        "the shape (1, 3) is expected": lambda slope, x, x0, m: slope(x).sum(),
    },
    check.crowded: {
        "✓": steps(),
        "evenly spaced": steps(power=1),
        "take the middle": steps(middle=0),
        "the square of u": steps(power=2),
        "near the picture": steps(power=1 / 3),
        "equal weight": steps(weight=lambda u, m: torch.ones(m) / m),
        "divide by m": steps(weight=lambda u, m: 3 * u**2),
        "the 3 is missing": steps(weight=lambda u, m: u**2 / m),
        "not at a": steps(weight=lambda u, m: 3 * u**6 / m),
        "return a, w": lambda m: torch.arange(m) / m,
    },
    check.grad_cam: {
        "✓": lambda A, dA: cam(A, dA).relu(),
        "ReLU comes last": cam,
        "not before": lambda A, dA: (dA.mean((2, 3), keepdim=True) * A).relu().sum(1, keepdim=True),
        "not turned round": lambda A, dA: cam(A, dA).abs(),
        "not their sum": lambda A, dA: 9 * cam(A, dA).relu(),
        "yours is their mean": lambda A, dA: cam(A, dA, "mean").relu(),
        "one weight a map": lambda A, dA: (dA * A).sum(1, keepdim=True).relu(),
        "not from the maps A": lambda A, dA: cam(A, A).relu(),
        "still apart": lambda A, dA: (dA.mean((2, 3), keepdim=True) * A).relu(),
    },
}
CASES = [(exercise, line) for exercise, answers in ANSWERS.items() for line in answers]


@pytest.mark.parametrize(("exercise", "line"), CASES, ids=lambda v: getattr(v, "__name__", v))
def test_each_answer_gets_its_sentence(exercise, line):
    torch.manual_seed(0)
    assert line in exercise.verdict(ANSWERS[exercise][line])


def test_the_steps_true_lengths_and_weights_that_add_up_to_one_are_right_too():
    def lengths(m):
        ends = (torch.arange(m + 1) / m) ** 3
        return ((torch.arange(m) + 0.5) / m) ** 3, ends.diff()

    def scaled(m):
        u = (torch.arange(m) + 0.5) / m
        return u**3, u**2 / (u**2).sum()

    assert check.crowded.verdict(lengths) == "✓"
    assert check.crowded.verdict(scaled) == "✓"


def test_red_maps_ignore_signs_and_start_at_white():
    m = torch.zeros(1, 3, 8, 8)
    m[0, 0, 2, 3], m[0, 1, 5, 5] = -1, 1
    fig = red_maps({"picture": as_picture(m), "a": m, "b": -m}, caption="two maps")
    one, other = (ax.images[0].get_array() for ax in fig.axes[1:])
    assert (one == other).all()
    assert one[2, 3] == one[5, 5] == 1
    assert one.sum() == 2
    assert fig.axes[1].images[0].cmap(0.0)[:3] == pytest.approx((1, 0.96, 0.94), abs=0.01)


# ---- sentences of D1-05 and D1-06 that the lesson shows without a printed claim ----
@pytest.fixture(scope="module")
def lesson():
    model, layer = imagenet.efficientnet_lite0(), "bn2"
    names = ("coffee", "cat", "camera", "palace", "flower")
    X = torch.cat([photos.preprocess(p.image) for p in photos.load(*names)])
    order = model(X).argsort(dim=1, descending=True)
    return model, layer, X, order, saliency.gradient(model, X, order[:, 0])


def test_the_gradient_keeps_small_promises_and_breaks_large_ones(lesson):
    model, _, X, order, g = lesson
    along, c = g / g.pow(2).sum((1, 2, 3), keepdim=True), order[:, 0]
    before = saliency.scores(model, X, c)
    small, large = (
        ((saliency.scores(model, X + h * along, c) - before) / h).mean() for h in (0.1, 10)
    )
    assert 0.85 < small < 1.1
    assert large < 0.6


def test_one_percent_of_noise_turns_two_signs_in_five_and_leaves_the_rough_places(lesson):
    model, _, X, order, g = lesson
    noise = torch.randn(X.shape, generator=torch.Generator().manual_seed(0))
    other = saliency.gradient(model, X + 0.02 * noise, order[:, 0])
    assert 0.35 < (g.sign() != other.sign()).float().mean() < 0.45
    fine, rough = (
        spearman(*(F.avg_pool2d(magnitude(m)[:, None], n) for m in (g, other))).mean()
        for n in (1, 16)
    )
    assert fine < 0.5
    assert rough > 0.65


def test_grad_cam_draws_another_map_for_a_class_that_is_not_there_and_guided_does_not(lesson):
    model, layer, X, order, _ = lesson
    for way_of, sixth, far in (
        (partial(saliency.grad_cam, layer=layer), 0.5, (-1, 0.5)),
        (saliency.guided_backprop, 0.9, (0.9, 1)),
    ):
        one, six, last = (magnitude(way_of(model, X, order[:, k])) for k in (0, 5, 499))
        assert spearman(one, six).mean() > sixth
        assert far[0] < spearman(one, last).mean() < far[1]


def test_a_map_times_the_picture_looks_like_the_picture_whatever_the_map(lesson):
    _, _, X, _, g = lesson
    random = torch.randn(X.shape, generator=torch.Generator().manual_seed(0))
    alone, times, control = (
        spearman(magnitude(m), magnitude(X)).mean() for m in (g, g * X, random * X)
    )
    assert alone < 0.25
    assert times > 0.4
    assert control > times


def test_a_blur_calms_the_gradient_without_the_network(lesson):
    from torchvision.transforms.functional import gaussian_blur

    *_, g = lesson
    blurred = gaussian_blur(magnitude(g)[:, None], kernel_size=25, sigma=6.0)
    assert (total_variation(blurred, block=8) / total_variation(g, block=8)).max() < 0.85
    assert (total_variation(blurred) / total_variation(g)).max() < 0.2
    assert (concentration(blurred) < concentration(g)).all()
