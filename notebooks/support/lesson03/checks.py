"""Lesson 03: rank correlation without signs, the correlation on the ink alone, and the area under a deletion curve."""

from __future__ import annotations

import torch
from scipy.stats import spearmanr

from helpers.lesson.checks import close, exercise

A = torch.tensor([[3.0, -1.0, 0.0, 100.0], [0.5, -7.0, 2.0, 0.0]])
B = torch.tensor([[-2.0, 1.5, 0.0, 4.0], [0.0, 9.0, -3.0, 1.0]])


def rho(a, b) -> float:
    return float(spearmanr(a.flatten(), b.flatten()).statistic)


def pearson(a, b) -> float:
    return float(torch.corrcoef(torch.stack((a.flatten(), b.flatten())))[0, 1])


@exercise
def rank_correlation(correlate) -> str | None:
    """correlate(a, b) -> Spearman's ρ of two maps (H, W), signs ignored."""
    yours = float(correlate(A.clone(), B.clone()))
    if close(yours, rho(A.abs(), B.abs()), rtol=1e-4):
        same = float(correlate(A.clone(), -A))
        return (
            None
            if close(same, 1.0, rtol=1e-4)
            else f"the maps x and −x should give 1, yours gives {same:.2f}"
        )
    if close(yours, rho(A, B), rtol=1e-4):
        return "signs count in your version: the maps x and −x should give 1, yours gives −1"
    if close(yours, pearson(A.abs(), B.abs()), rtol=1e-4) or close(yours, pearson(A, B), rtol=1e-4):
        return "this is Pearson's: one pixel of 100 decides it; correlate the ranks, not the values"
    order = [m.abs().flatten().argsort().argsort().float() for m in (A, B)]
    if close(yours, pearson(*order), rtol=1e-4):
        return "ties get different ranks in your version: two pixels of equal size share their mean rank"
    if close(yours, pearson(*(m.abs().flatten().argsort().float() for m in (A, B))), rtol=1e-4):
        return "argsort gives the pixel at each place, not the place of each pixel: sort twice, or use scipy's rankdata"
    return f"for the two test maps ρ is {rho(A.abs(), B.abs()):.3f}; yours gives {yours:.3f}"


@exercise
def on_ink(correlate) -> str | None:
    """correlate(a, b, x) -> Spearman's ρ of two maps without signs, over the pixels where the picture x is not 0."""
    generator = torch.Generator().manual_seed(0)
    x = torch.zeros(6, 6)
    x[1:5, 2:4] = torch.rand(4, 2, generator=generator) + 0.2
    x[2, 2] = -0.4
    a, b = (torch.randn(6, 6, generator=generator) * x for _ in range(2))
    ink = x != 0
    right = rho(a[ink].abs(), b[ink].abs())
    yours = float(correlate(a.clone(), b.clone(), x.clone()))
    if close(yours, right, rtol=1e-4):
        return None
    if close(yours, rho(a.abs(), b.abs()), rtol=1e-4):
        return "these are all pixels: the ties of the empty ones make the correlation high"
    if close(yours, rho(a[x > 0].abs(), b[x > 0].abs()), rtol=1e-4):
        return "a negative pixel is not empty: choose x != 0, not x > 0"
    if close(yours, rho(a[ink], b[ink]), rtol=1e-4):
        return "the right pixels, but signs count in your version"
    if close(yours, rho((a / x)[ink].abs(), (b / x)[ink].abs()), rtol=1e-4):
        return "you divided the picture out again: compare the maps as they are"
    return f"on the ink of the test maps ρ is {right:.3f}; yours gives {yours:.3f}"


@exercise
def area_under(area) -> str | None:
    """area(curve) -> the area under a curve of equally spaced values over a width of 1, by trapezoids."""
    curve = torch.tensor([1.0, 0.9, 0.3, 0.1, 0.25])
    yours = float(area(curve.clone()))
    named = {
        float(
            curve.mean()
        ): "this is the mean: the first and the last value border on one interval only, so they count half",
        float(
            torch.trapezoid(curve)
        ): "the width of the whole curve is 1: divide by the number of intervals",
        float(
            torch.trapezoid(curve) / len(curve)
        ): f"{len(curve)} values make {len(curve) - 1} intervals",
        float(
            curve[:-1].mean()
        ): "this takes each interval's left value; take the mean of its two ends",
        float(
            curve[1:].mean()
        ): "this takes each interval's right value; take the mean of its two ends",
        1 - float(torch.trapezoid(curve) / 4): "this is the area above the curve",
    }
    if close(yours, torch.trapezoid(curve) / 4, rtol=1e-4):
        one = float(area(torch.ones(11)))
        return (
            None
            if close(one, 1.0, rtol=1e-4)
            else f"a curve that stays at 1 has the area 1; yours gives {one:.3f}"
        )
    for value, mistake in named.items():
        if close(yours, value, rtol=1e-4):
            return mistake
    return f"for {[round(v, 2) for v in curve.tolist()]} the area is {float(torch.trapezoid(curve) / 4):.3f}; yours is {yours:.3f}"
