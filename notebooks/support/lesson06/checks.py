"""Lesson 06: a misleading function, Shapley values, the twin's piece, a deletion by gradient."""

import torch

from helpers.lesson.checks import compare, exercise


@exercise
def zero_but_sensitive(f) -> str | None:
    """f(z): attribution 0 at z = 3 with baseline 0, slope -2 there."""
    at = lambda z: float(torch.as_tensor(f(torch.tensor([float(z)]))).reshape(-1)[0])
    chord, right, left = at(3) - at(0), (at(3.01) - at(3)) / 0.01, (at(3) - at(2.99)) / 0.01
    near = lambda value, expected: abs(value - expected) < 1e-2
    if abs(chord) > 1e-4:
        return (
            f"the attribution is not zero: f(3) − f(0) is {chord:.3g}, and for one feature that is "
            "all there is to attribute"
        )
    if near(left, 0) and near(right, 0):
        return "your function is flat at 3: its zero attribution tells the truth; make it move"
    if near(right, 2) or (near(left, 2) and not near(right, -2)):
        return "the slope at 3 is +2, and −2 was asked: turn the function upside down"
    if not near(left, right):
        return (
            f"there is a kink at 3 itself: the slope is {left:.3g} before and {right:.3g} after; "
            "move the kink away from the point"
        )
    return None if near(right, -2) else f"the slope at 3 is {right:.3g}, and −2 was asked"


@exercise
def shapley_two(shapley) -> str | None:
    """shapley(f, x, baseline) -> two numbers; f takes two numbers."""
    f = lambda a, b: 3 * a + 5 * b + 4 * a * b * b
    baseline = (0.5, -2.0)
    yours = torch.as_tensor(shapley(f, (2.0, 1.0), baseline)).double()

    def orders(a0: float, b0: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Each feature's effect when it comes first, and when it comes last."""
        only_a, only_b, both, none = f(2.0, b0), f(a0, 1.0), f(2.0, 1.0), f(a0, b0)
        first = torch.tensor([only_a - none, only_b - none])
        return first, torch.tensor([both - only_b, both - only_a])

    first, last = orders(*baseline)
    right = (first + last) / 2
    mistakes = {
        "you add both orders and forget to halve: they should sum to f(x) − f(baseline)": 2 * right,
        "this is each feature's effect when it comes first; average it with that when last": first,
        "this is each feature's effect when it comes last; average it with that when first": last,
        "the values are right and in the wrong order: feature 1 first": right.flip(0),
        "an absent feature has its baseline value, not always zero: you never used `baseline`": sum(
            orders(0.0, 0.0)
        )
        / 2,
    }
    return compare(yours, right, mistakes)


@exercise
def piece(silent_piece) -> str | None:
    """silent_piece(z, x, background) -> 0 up to 0.1 from x, rising beyond, mean 0 on background."""
    x, background = 1.0, torch.tensor([0.0, 0.3, 0.6, 1.3, 1.7])
    z = torch.tensor([0.4, 0.95, 1.0, 1.05, 1.6, 2.0])
    value = lambda points: torch.as_tensor(silent_piece(points, x, background)).double()
    beyond, below = (lambda z: (z - x - 0.1).relu()), (lambda z: (x - 0.1 - z).relu())
    right = beyond(z) - beyond(background).mean() / below(background).mean() * below(z)
    shifted = beyond(z) - beyond(background).mean()
    mistakes = {
        "its mean over the background is not 0: SHAP would see it; add a part below x": beyond(z),
        "moved down it is balanced but no longer silent at x: balance it with a part below x": (
            shifted
        ),
        "the part below x has the right size and the wrong sign: the two add up": (
            2 * beyond(z) - right
        ),
        "the ratio is upside down: mean of the part beyond x over mean of the part below": (
            beyond(z) - below(background).mean() / beyond(background).mean() * below(z)
        ),
        "both parts have slope 1, so the mean is 0 only by luck: scale the one below": (
            beyond(z) - below(z)
        ),
        "turned round: it has to rise beyond x": -right,
    }
    if (hint := compare(value(z), right, mistakes, otherwise="other")) != "other":
        return hint
    if value(z)[1:4].abs().max() > 1e-6:
        return "it moves within 0.1 of x, where the gradient at x would feel it"
    if abs(value(background).mean()) > 1e-5:
        return f"its mean over the background is {value(background).mean():.3g}, not 0"
    falls = value(z)[-2:].diff().item() <= 0
    return "turned round: it has to rise beyond x" if falls else None


@exercise
def deletion(falls_by_gradient) -> str | None:
    """falls_by_gradient(vectors, slope) -> (T,): the first-order fall when each word is deleted."""
    vectors = torch.tensor([[1.0, 2], [3, -1], [0, 4], [2, 2]], dtype=torch.float64)
    slope = torch.tensor([0.5, -1], dtype=torch.float64)
    yours = falls_by_gradient(vectors, slope)
    share, centred = vectors @ slope, (vectors - vectors.mean(0)) @ slope
    mistakes = {
        "this is gradient × input: it moves a word to zero; deleting moves the mean to the mean of "
        "the others": [share, share / 4, share / 3],
        "the sum is shared by the n - 1 words that stay: divide by n - 1, not by n": centred / 4,
        "the direction is right; how far does the mean move? divide by n - 1": centred,
        "turned round: a fall is f before minus f after": -centred / 3,
    }
    return compare(yours, centred / 3, mistakes)
