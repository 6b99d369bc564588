"""Lesson 06: a misleading function, Shapley values, the twin's piece, a deletion by gradient."""

import torch

from helpers.lesson.checks import compare, exercise


@exercise
def shapley_two(shapley) -> str | None:
    """shapley(f, x, baseline) -> two numbers; f takes two numbers."""
    inputs = (((2.0, 1.0), (0.5, -2.0)), ((-1.0, 3.0), (1.0, 0.5)))  # (x, baseline)
    return next(filter(None, (_shapley_at(shapley, *one) for one in inputs)), None)


def _shapley_at(shapley, x, baseline) -> str | None:
    f = lambda a, b: 3 * a + 5 * b + 4 * a * b * b + 2 * a * a * b

    def orders(a0: float, b0: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Each feature's effect when it comes first, and when it comes last."""
        only_a, only_b, both, none = f(x[0], b0), f(a0, x[1]), f(*x), f(a0, b0)
        first = torch.tensor([only_a - none, only_b - none])
        return first, torch.tensor([both - only_b, both - only_a])

    first, last = orders(*baseline)
    right, from_zero = (first + last) / 2, sum(orders(0.0, 0.0)) / 2
    mistakes = {
        "you add both orders and forget to halve: they should sum to f(x) − f(baseline)": 2 * right,
        "this is each feature's effect when it comes first; average it with that when last": first,
        "this is each feature's effect when it comes last; average it with that when first": last,
        "the values are right and in the wrong order: feature 1 first": right.flip(0),
        "an absent feature has its baseline value, not zero: you never used `baseline`": from_zero,
    }
    return compare(torch.as_tensor(shapley(f, x, baseline)).double(), right, mistakes)


@exercise
def piece(silent_piece) -> str | None:
    """silent_piece(z, x, background) -> 0 within 0.1 of x, slope 1 beyond, mean 0 on background."""
    inputs = ((1.0, [0.0, 0.3, 0.6, 1.3, 1.7]), (0.5, [0.1, 0.2, 0.9, 1.9]))
    return next(filter(None, (_piece_at(silent_piece, *one) for one in inputs)), None)


def _piece_at(silent_piece, x: float, background: list[float]) -> str | None:
    z, people = x + torch.linspace(-1, 1.5, 251), torch.tensor(background)
    value = lambda points: torch.as_tensor(silent_piece(points, x, people)).double()
    beyond, below = (lambda z: (z - x - 0.1).relu()), (lambda z: (x - 0.1 - z).relu())
    ratio = beyond(people).mean() / below(people).mean()
    right = beyond(z) - ratio * below(z)
    mistakes = {
        "its mean over the background is not 0: SHAP would see it; add a part below x": beyond(z),
        "moved down it is balanced but no longer silent at x: balance it with a part below x": (
            beyond(z) - beyond(people).mean()
        ),
        "the part below x has the right size and the wrong sign: the two add up": (
            beyond(z) + ratio * below(z)
        ),
        "the ratio is upside down: mean of the part beyond x over mean of the part below": (
            beyond(z) - below(z) / ratio
        ),
        "both parts have slope 1, so the mean is 0 only by luck: scale the one below": (
            beyond(z) - below(z)
        ),
        "turned round: it has to rise beyond x": -right,
    }
    hint = compare(value(z), right, mistakes, otherwise="other")
    if hint not in (None, "other"):
        return hint
    if not value(z).isfinite().all():
        return "it is not finite everywhere: below x - 0.1 it should be a number as well"
    together = value(torch.cat([people, z]))[: len(people)]
    for other in (value(people), torch.cat([value(one) for one in people.split(1)])):
        if not torch.allclose(together, other, rtol=0, atol=1e-4):
            return "its value at one point depends on the rest of z: take means over `background`"
    near, ahead, mean = (z - x).abs() < 0.099, z > x, value(people).mean()
    if value(z)[near].abs().max() > 1e-5:
        return "it moves within 0.1 of x, where the gradient at x would feel it"
    if not torch.allclose(value(z)[ahead], beyond(z)[ahead].double(), atol=1e-4):
        return "beyond x + 0.1 it should rise from 0 with slope 1: relu(z - x - 0.1)"
    return f"its mean over the background is {mean:.3g}, not 0" if mean.abs() > 1e-5 else None


@exercise
def deletion(falls_by_gradient) -> str | None:
    """falls_by_gradient(vectors, slope) -> (T,): the first-order fall when each word is deleted."""
    four, three = [[1.0, 2], [3, -1], [0, 4], [2, 2]], [[1.0, 0, 2], [-1, 3, 1], [4, 1, 1]]
    inputs = ((four, [0.5, -1]), (three, [1.0, 2, -1]))
    return next(filter(None, (_deletion_at(falls_by_gradient, *one) for one in inputs)), None)


def _deletion_at(falls_by_gradient, vectors: list, slope: list) -> str | None:
    vectors, slope = (torch.tensor(values, dtype=torch.float64) for values in (vectors, slope))
    n = len(vectors)
    share, centred = vectors @ slope, (vectors - vectors.mean(0)) @ slope
    mistakes = {
        "this is gradient × input: it moves a word to zero; deleting moves the mean to the mean of "
        "the others": [share, share / n, share / (n - 1)],
        "the sum is shared by the n - 1 words that stay: divide by n - 1, not by n": centred / n,
        "the direction is right; how far does the mean move? divide the word minus the mean by "
        "n - 1, or the word minus the mean of the rest by n": [centred, centred * n / (n - 1)],
        "turned round: a fall is f before minus f after": -centred / (n - 1),
    }
    return compare(falls_by_gradient(vectors, slope), centred / (n - 1), mistakes)
