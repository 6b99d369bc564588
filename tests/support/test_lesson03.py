"""Lesson 03's checks: each answer gets its own sentence. And what its figures draw.

Ranges of what the lesson claims about live trainings, over seeds 0 to 4; the bounds leave a margin
around them. They were measured by a script with one thread.
* Planted rule (the lesson trains the first pair): accuracy on swapped smudges .13 to .20 with the
  rule (claimed < .4), .96 to .97 without (> .85). The best method tells the two apart on 1.00 of
  the scans in each seed (> .9), as do all but Grad-CAM (.01, .53, .58, .84, .94). The best map of
  the network that reads the smudge puts .67 to .70 of itself elsewhere (> .2).
* Digits, 20 of them, |Spearman|: Guided Backprop .76 to .86 (softmax random; claimed > .65), .30 to
  .43 (all random, 0 to .6); Gradient .44 to .54 (softmax, < .65); Integrated Gradients .84 to .85
  (all random, > .7), with signs -.02 to .03 (within .2). SSIM: Guided Backprop minus Gradient .53
  to .62 (fc1, > .3), Guided Backprop .14 to .24 (all random, < .45).
* Random labels learned by heart .96 to 1.00 (> .85), SSIM Guided Backprop .39 to .45, Gradient .05
  to .12.
* Two verdicts (the lesson trains the first three), SSIM of Gradient × Input, trained and all
random:
  one .59 to .63, left .34 to .37, larger .46 to .49; one minus left .24 to .26 (> .15), larger
  minus
  left .10 to .15 (> .04). Two trained networks: Gradient × Input .80 to .87, .68 to .76, .67 to
  .75;
  Guided Backprop .68 to .77, .65 to .79, .57 to .74, and with a random one .28 to .34, .22 to .31,
  .25 to .36; Gradient .54 to .66, .45 to .56, .39 to .50, and with a random one under .07. So the
  control's smallest difference is .17 (> .08).
* Remove and retrain (stored, three seeds): half of the pixels by the Gradient cost .075 to .092
less
  than a random half (> .02).
"""

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from data.recipes import roar as recipe
from data.recipes.base import Run
from helpers.lesson.checks import RIGHT
from notebooks.support.lesson03 import checks as check
from notebooks.support.lesson03 import figures as draw
from notebooks.support.lesson03 import roar


def spearman(a, b):
    return spearmanr(a.flatten(), b.flatten()).statistic


def pearson(a, b):
    return torch.corrcoef(torch.stack((a.flatten(), b.flatten())))[0, 1]


@pytest.mark.parametrize(
    ("correlate", "said"),
    [
        (lambda a, b: spearman(a.abs(), b.abs()), RIGHT),
        (spearman, "x and −x should give 1"),
        (lambda a, b: pearson(a.abs(), b.abs()), "this is Pearson's"),
        (pearson, "this is Pearson's"),
        (
            lambda a, b: pearson(*(m.abs().flatten().argsort().argsort().float() for m in (a, b))),
            "share their mean rank",
        ),
        (
            lambda a, b: pearson(*(m.abs().flatten().argsort().float() for m in (a, b))),
            "sort twice",
        ),
        (lambda a, b: 0.123, "yours gives 0.123"),
    ],
)
def test_rank_correlation(correlate, said):
    assert said in check.rank_correlation.verdict(correlate)


@pytest.mark.parametrize(
    ("correlate", "said"),
    [
        (lambda a, b, x: spearman(a[x != 0].abs(), b[x != 0].abs()), RIGHT),
        (lambda a, b, x: spearman(a.abs(), b.abs()), "the ties of the empty ones"),
        (lambda a, b, x: spearman(a[x > 0].abs(), b[x > 0].abs()), "a negative pixel is not empty"),
        (lambda a, b, x: spearman(a[x != 0], b[x != 0]), "signs count"),
        (
            lambda a, b, x: spearman((a / x)[x != 0].abs(), (b / x)[x != 0].abs()),
            "divided the picture out",
        ),
        (lambda a, b, x: 0.123, "yours gives 0.123"),
    ],
)
def test_on_ink(correlate, said):
    assert said in check.on_ink.verdict(correlate)


@pytest.mark.parametrize(
    ("area", "said"),
    [
        (lambda c: (c.sum() - c[0] / 2 - c[-1] / 2) / (len(c) - 1), RIGHT),
        (lambda c: c.mean(), "this is the mean"),
        (torch.trapezoid, "the width of the whole curve is 1"),
        (lambda c: torch.trapezoid(c) / len(c), "5 values make 4 intervals"),
        (lambda c: c[:-1].mean(), "left value"),
        (lambda c: c[1:].mean(), "right value"),
        (lambda c: 1 - torch.trapezoid(c) / (len(c) - 1), "above the curve"),
        (lambda c: 0.123, "yours is 0.123"),
    ],
)
def test_area_under(area, said):
    assert said in check.area_under.verdict(area)


# ---- figures and the table: what they hold, not how it looks ----
def test_a_drawing_is_ink_on_white_and_its_maps_have_one_scale():
    maps = torch.rand(3, 1, 8, 8)
    steps = {"noise": maps[0], "drawing": -5 * maps[1]}
    fig = draw.drawing(steps, {"m": -2 * maps[2]}, (0, 0, 2, 2), caption="Drawing.")
    assert np.allclose(fig.axes[0].images[0].get_array(), (1 - maps[0, 0].numpy()) / 2)
    assert float(fig.axes[2].images[0].get_array().min()) == -1


def test_sobel_is_the_textbooks():
    from scipy.ndimage import sobel

    x = torch.rand(3, 3, 17, 13, dtype=torch.float64)
    grey = x.mean(1).numpy()
    both = [(sobel(g, 0, mode="nearest"), sobel(g, 1, mode="nearest")) for g in grey]
    expected = np.stack([np.hypot(a, b) for a, b in both])
    torch.testing.assert_close(roar.sobel(None, x, 0)[:, 0], torch.from_numpy(expected))


def test_make_roar_runs_and_is_read_back(tmp_path):
    run = Run(tmp_path / "roar", smoke=True)
    recipe.make(run)
    assert list(recipe.measure(run)) == ["10%"]
    assert set(recipe.measure(run)["10%"]) == set(roar.METHODS)
    assert "| Sobel |" in (tmp_path / "roar" / "README.md").read_text(encoding="utf-8")
