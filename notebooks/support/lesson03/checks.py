"""Lesson 03: rank correlation without signs, the same on the ink alone, area under a curve."""

from __future__ import annotations

import torch

from helpers.ground.stats import pearson, spearman
from helpers.lesson.checks import close, compare, exercise

A = torch.tensor([[3.0, -1.0, 0.0, 100.0], [0.5, -7.0, 2.0, 0.0]])
B = torch.tensor([[-2.0, 1.5, 0.0, 4.0], [0.0, 9.0, -3.0, 1.0]])


def rho(a, b):
    return spearman(a.flatten()[None], b.flatten()[None])[0]


def r(a, b):
    return pearson(a.flatten()[None], b.flatten()[None])[0]


@exercise
def rank_correlation(correlate) -> str | None:
    """correlate(a, b) -> Spearman's ρ of two maps (H, W), signs ignored."""
    a, b = A.abs(), B.abs()
    first = [m.flatten().argsort().float() for m in (a, b)]
    second = [m.flatten().argsort().argsort().float() for m in (a, b)]
    mistakes = {
        "signs count in your version: the maps x and −x should give 1, yours gives −1": rho(A, B),
        "this is Pearson's: one pixel of 100 decides it; correlate the ranks, not the values": [
            r(a, b),
            r(A, B),
        ],
        "ties get different ranks in your version: two pixels of equal size share their mean "
        "rank": r(*second),
        "argsort gives the pixel at each place, not the place of each pixel: sort twice, or use "
        "scipy's rankdata": r(*first),
    }
    yours = float(correlate(A.clone(), B.clone()))
    line = f"for the two test maps ρ is {rho(a, b):.3f}; yours gives {yours:.3f}"
    if hint := compare(yours, rho(a, b), mistakes, otherwise=line, rtol=1e-4):
        return hint
    same = float(correlate(A.clone(), -A))
    return None if close(same, 1.0) else f"the maps x and −x should give 1, yours gives {same:.2f}"


@exercise
def on_ink(correlate) -> str | None:
    """correlate(a, b, x) -> Spearman's ρ of two maps without signs, where picture x is not 0."""
    generator = torch.Generator().manual_seed(0)
    x = torch.zeros(6, 6)
    x[1:5, 2:4] = torch.rand(4, 2, generator=generator) + 0.2
    x[2, 2] = -0.4
    a, b = (torch.randn(6, 6, generator=generator) * x for _ in range(2))
    ink = x != 0
    sizes = a.abs(), b.abs()
    divided = rho((a / x)[ink].abs(), (b / x)[ink].abs())
    mistakes = {
        "these are all pixels: the ties of the empty ones make the correlation high": rho(*sizes),
        "a negative pixel is not empty: choose x != 0, not x > 0": rho(*(m[x > 0] for m in sizes)),
        "the right pixels, but signs count in your version": rho(a[ink], b[ink]),
        "you divided the picture out again: compare the maps as they are": divided,
    }
    right = rho(*(m[ink] for m in sizes))
    yours = float(correlate(a.clone(), b.clone(), x.clone()))
    line = f"on the ink of the test maps ρ is {right:.3f}; yours gives {yours:.3f}"
    return compare(yours, right, mistakes, otherwise=line, rtol=1e-4)


@exercise
def area_under(area) -> str | None:
    """area(curve) -> the area under equally spaced values over a width of 1, by trapezoids."""
    curve = torch.tensor([1.0, 0.9, 0.3, 0.1, 0.25])
    whole = torch.trapezoid(curve)
    right = whole / 4
    mistakes = {
        "this is the mean: the first and the last value border on one interval only, so they "
        "count half": curve.mean(),
        "the width of the whole curve is 1: divide by the number of intervals": whole,
        "5 values make 4 intervals": whole / 5,
        "this takes each interval's left value; take the mean of its two ends": curve[:-1].mean(),
        "this takes each interval's right value; take the mean of its two ends": curve[1:].mean(),
        "this is the area above the curve": 1 - right,
    }
    yours = float(area(curve.clone()))
    shown = [round(v, 2) for v in curve.tolist()]
    line = f"for {shown} the area is {right:.3f}; yours is {yours:.3f}"
    if hint := compare(yours, right, mistakes, otherwise=line, rtol=1e-4):
        return hint
    one = float(area(torch.ones(11)))
    return None if close(one, 1.0) else f"a curve that stays at 1 has area 1; yours gives {one:.3f}"
