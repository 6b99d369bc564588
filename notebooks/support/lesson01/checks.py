"""Lesson 01: SmoothGrad, Integrated Gradients, steps at u³ and Grad-CAM, written by the learner."""

from __future__ import annotations

import torch

from helpers.lesson.checks import compare, exercise


@exercise
def smoothgrad(method) -> str | None:
    """method(slope, x, n, sigma) -> the mean of slope(x + noise) over n noisy copies."""
    x, n, sigma = torch.linspace(-1, 1, 300).view(1, 3, 10, 10), 40, 0.5
    asked = []

    def slope(point):  # of S = Σ x³ / 3 - x: slopes of both signs
        asked.append(point.clone())
        return point**2 - 1

    before = torch.get_rng_state()
    yours = method(slope, x.clone(), n, sigma)
    torch.set_rng_state(before)
    if len(asked) != n:
        return f"slope should be called once for each of the {n} copies; yours called {len(asked)}"
    noise = torch.stack(asked) - x  # (n, 1, 3, 10, 10)
    spread = noise[0].std()
    if noise[0].abs().max() < 1e-4:
        return "the first copy has no noise: the slope is wanted at x plus noise"
    if spread < 1e-4:
        return "one number of noise for the whole picture: every pixel needs its own"
    if noise[0, 0, 0].std() < 1e-4:
        return "one number of noise for a whole colour: every pixel needs its own"
    if (noise[0, 0, 0] - noise[0, 0, 1]).std() < 1e-4:
        return "all colours have the same noise: draw it in the shape of x"
    if (noise[1] - noise[0]).std() < 1e-4:
        return "all copies have the same noise: draw it anew in the loop, with no seed inside"
    if noise[-1].std() > 2 * spread:
        return "the noise piles up: each copy is x plus noise, not the last copy plus noise"
    if abs(noise.std() - sigma * x.std()) < 0.015:
        return "sigma is the noise's own deviation; do not multiply it by the picture's"
    if abs(noise.std() - sigma**2) < 0.015:
        return "sigma is the deviation, not the variance: sigma * torch.randn(x.shape)"
    if noise.mean().abs() > 0.1:
        return "the noise has no mean of 0: torch.rand runs from 0 to 1, torch.randn is wanted"
    if abs(noise.std() - sigma) > 0.05:
        return f"the noise should have the deviation {sigma}; yours has {noise.std():.2f}"
    if noise.abs().max() < 2 * sigma:
        return "the noise never passes 2 sigma: draw it from a normal distribution, torch.randn"
    slopes = torch.stack([point**2 - 1 for point in asked])
    mistakes = {
        "this is the sum; divide by the number of copies": slopes.sum(0),
        "this is the last copy's slope alone; add them up": slopes[-1],
        "average the slopes, not the pictures": torch.stack(asked).mean(0),
        "average the slopes with their signs: no abs here": [
            slopes.abs().mean(0),
            slopes.mean(0).abs(),
        ],
    }
    return compare(yours, slopes.mean(0), mistakes, otherwise="this is not the slopes' mean")


@exercise
def integrated_gradients(method) -> str | None:
    """method(slope, x, x0, m) -> (x - x0) times the mean slope at m midpoints of the way."""
    x, x0, m = torch.tensor([[2.0, -1.0, 3.0]]), torch.tensor([[0.5, 1.0, -1.0]]), 4

    def slope(at):  # of S = x1² x2 + x3³
        a, b, c = at[0]
        return torch.stack([2 * a * b, a**2, 3 * c**2])[None]

    def mean_slope(places, way=x - x0, start=x0):
        return torch.stack([slope(start + a * way) for a in places]).mean(0)

    places = (torch.arange(m) + 0.5) / m
    mean, ends = mean_slope(places), (torch.arange(m) / m, (torch.arange(m) + 1) / m)
    mistakes = {
        "this is the mean slope; multiply it by the way, x - x0": mean,
        "multiply by the way x - x0, not by x: the baseline is not always 0": x * mean,
        "you add the slopes; divide by m": (x - x0) * mean * m,
        "this is (x - x0) times the slope at x alone: walk from x0 to x": (x - x0) * slope(x),
        "the way starts at x0: x0 + a (x - x0), not a x": (x - x0) * mean_slope(places, x, 0 * x),
        "you walk from x0 in steps of x; the way is x - x0": (x - x0) * mean_slope(places, x),
        "these are the steps' ends; take their middles, (k + 1/2) / m": [
            (x - x0) * mean_slope(end) for end in ends
        ],
        "linspace(0, 1, m) takes in both ends; take the steps' middles, (k + 1/2) / m": (
            (x - x0) * mean_slope(torch.linspace(0, 1, m))
        ),
        "right, but from x to x0: change the sign": -(x - x0) * mean,
    }
    return compare(method(slope, x.clone(), x0.clone(), m), (x - x0) * mean, mistakes)


@exercise
def crowded(places) -> str | None:
    """places(m) -> (a, w): a = u³ at m midpoints u, and each step's length in a, about 3u²/m."""
    m = 5
    u = (torch.arange(m) + 0.5) / m
    if len(yours := places(m)) != 2:
        return "two things are wanted, the places and their weights: return a, w"
    a, w = (torch.as_tensor(values).double() for values in yours)
    ends = ((torch.arange(m) + 1) / m, torch.arange(m) / m)
    mistakes = {
        "evenly spaced: a should be u³": u,
        "take the middle of each step, u = (k + 1/2) / m": [e**3 for e in ends],
        "the square of u; the third power is wanted": u**2,
        "these crowd near the picture; the leap is near the baseline": u ** (1 / 3),
    }
    if wrong := compare(a, u.double() ** 3, mistakes):
        return f"a: {wrong}"
    exact = ((torch.arange(m) + 1) / m) ** 3 - (torch.arange(m) / m) ** 3
    u2 = u.double() ** 2
    for lengths in (exact.double(), u2 / u2.sum()):  # true lengths, or scaled to add up to 1
        if torch.allclose(w, lengths, atol=1e-5):
            return None  # these do as well
    mistakes = {
        "steps of equal weight count the crowded ones too often: da = 3u² du": torch.ones(m) / m,
        "divide by m: the weights are lengths of steps and add up to about 1": 3 * u**2,
        "the derivative of u³ is 3u²; the 3 is missing": u**2 / m,
        "3u² is taken at u, not at a = u³": 3 * u**6 / m,
    }
    wrong = compare(w, 3 * u.double() ** 2 / m, mistakes)
    return wrong and f"w: {wrong}"


@exercise
def grad_cam(method) -> str | None:
    """method(A, dA) -> ReLU(Σ_k α_k A_k), (1, 1, h, w); A, dA: (1, K, h, w)."""
    A, dA = torch.randn(2, 1, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    alpha = dA.mean(dim=(2, 3), keepdim=True)
    each = alpha * A
    right = each.sum(1, keepdim=True).relu()
    mistakes = {
        "what speaks against the class is still there: ReLU comes last": each.sum(1, keepdim=True),
        "ReLU comes after the sum over the maps, not before": each.relu().sum(1, keepdim=True),
        "negative values are cut off (ReLU), not turned round": each.sum(1, keepdim=True).abs(),
        "alpha is the mean of a map's slopes over its places, not their sum": 9 * right,
        "add the maps up; yours is their mean": right / 4,
        "one weight a map: average dA over its places first": (dA * A).sum(1, keepdim=True).relu(),
        "the weights come from the slopes dA, not from the maps A": (
            (A.mean((2, 3), keepdim=True) * A).sum(1, keepdim=True).relu()
        ),
    }
    if (yours := torch.as_tensor(method(A.clone(), dA.clone()))).shape == A.shape:
        return "the maps are still apart: add them up, sum(dim=1, keepdim=True)"
    return compare(yours, right, mistakes)
