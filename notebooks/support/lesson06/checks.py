"""Lesson 06: a function that fools an attribution, Shapley values, and what a test is worth."""

import torch

from helpers.lesson.checks import close, compare, exercise


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
def sensitivity_specificity(rates) -> str | None:
    """rates(says, truth) -> (sensitivity, specificity), both arguments of bool."""
    says = torch.tensor([1, 1, 1, 0, 0, 0, 0, 1, 1, 0], dtype=torch.bool)
    truth = torch.tensor([1, 1, 1, 1, 0, 0, 0, 0, 0, 0], dtype=torch.bool)  # finds 3 of 4, 4 of 6
    yours = torch.tensor([float(rate) for rate in rates(says, truth)])
    mistakes = {
        "the two are swapped: sensitivity is about the networks that do rise": (4 / 6, 3 / 4),
        "the second is the share of false alarms; specificity is one minus that": (3 / 4, 2 / 6),
        "you divide by how often the test says `rises`; divide by how many do rise": (3 / 5, 4 / 5),
        "you divide by all networks; divide by those that rise, or fall": (3 / 10, 4 / 10),
        "this is the accuracy, twice: separate the networks that rise from the others": (0.7, 0.7),
    }
    return compare(yours, (3 / 4, 4 / 6), mistakes)


@exercise
def lift(lift_of) -> str | None:
    """lift_of(says, truth) -> accuracy minus that of the best constant answer."""
    says = torch.tensor([1, 1, 0, 0, 0, 0, 0, 0, 0, 1], dtype=torch.bool)
    truth = torch.tensor([1, 1, 1, 0, 0, 0, 0, 0, 0, 0], dtype=torch.bool)  # 8 right, "no" gets 7
    yours, other = float(lift_of(says, truth)), float(lift_of(~says, ~truth))
    if close(yours, 0.5) or close(other, 0.5):
        return (
            "your base rate is the share of one answer; the best constant answer is the more "
            "frequent one, whichever it is"
        )
    mistakes = {
        "you compare with a coin; where most parts fall, always saying `falls` beats it": 0.3,
        "this is the accuracy; take away what the best constant answer reaches": 0.8,
        "turned round: accuracy minus base rate, so that above zero is better than guessing": -0.1,
    }
    return compare(yours, 0.1, mistakes)
