"""Lesson 06: functions that fool an attribution, Shapley values of two features, and what a test is worth."""

from __future__ import annotations

import torch

from helpers.lesson.checks import close, exercise


@exercise
def zero_but_sensitive(f) -> str | None:
    """f(z): attribution 0 at z = 3 with baseline 0, slope -2 there."""
    at = lambda z: float(torch.as_tensor(f(torch.tensor([float(z)]))).reshape(-1)[0])
    chord, right, left = at(3) - at(0), (at(3.01) - at(3)) / 0.01, (at(3) - at(2.99)) / 0.01
    if abs(chord) > 1e-4:
        return f"the attribution is not zero: f(3) − f(0) is {chord:.3g}, and for one feature that is all there is to attribute"
    if abs(left) < 1e-2 and abs(right) < 1e-2:
        return (
            "your function is flat at 3: its zero attribution tells the truth; make the output move"
        )
    if abs(right - 2) < 1e-2 or abs(left - 2) < 1e-2 and abs(right + 2) > 1e-2:
        return "the slope at 3 is +2, and −2 was asked: turn the function upside down"
    if abs(left - right) > 1e-2:
        return f"there is a kink at 3 itself: the slope is {left:.3g} before and {right:.3g} after; move the kink away from the point"
    return None if abs(right + 2) < 1e-2 else f"the slope at 3 is {right:.3g}, and −2 was asked"


@exercise
def shapley_two(shapley) -> str | None:
    """shapley(f, x, baseline) -> two numbers; f takes two numbers."""
    f = lambda a, b: 3 * a + 5 * b + 4 * a * b * b
    yours = torch.as_tensor(shapley(f, (2.0, 1.0), (0.5, -2.0))).double()
    fa, fb, both, none = f(2.0, -2.0), f(0.5, 1.0), f(2.0, 1.0), f(0.5, -2.0)
    right = torch.tensor([(fa - none + both - fb) / 2, (fb - none + both - fa) / 2])
    first, last = torch.tensor([fa - none, fb - none]), torch.tensor([both - fb, both - fa])
    if yours.shape != (2,):
        return f"two numbers are expected, one a feature; yours has shape {tuple(yours.shape)}"
    if close(yours, 2 * right):
        return "you add both orders and forget to halve: the two values should sum to f(x) − f(baseline)"
    if close(yours, right):
        return None
    if close(yours, first):
        return "this is each feature's effect when it comes first; average it with its effect when the other is there already"
    if close(yours, last):
        return "this is each feature's effect when it comes last; average it with its effect when it comes first"
    if close(yours, right.flip(0)):
        return "the values are right and in the wrong order: feature 1 first"
    zero = (
        torch.tensor(
            [
                f(2.0, 0.0) - f(0.0, 0.0) + both - f(0.0, 1.0),
                f(0.0, 1.0) - f(0.0, 0.0) + both - f(2.0, 0.0),
            ]
        )
        / 2
    )
    if close(yours, zero):
        return "an absent feature has its baseline value here, which is not always zero: you never used `baseline`"
    return f"for f = 3a + 5b + 4ab² at (2, 1) with baseline (0.5, −2) the values are {right.tolist()}, yours are {yours.tolist()}"


@exercise
def sensitivity_specificity(rates) -> str | None:
    """rates(says, truth) -> (sensitivity, specificity), both arguments of bool."""
    says = torch.tensor([1, 1, 1, 0, 0, 0, 0, 1, 1, 0], dtype=torch.bool)
    truth = torch.tensor(
        [1, 1, 1, 1, 0, 0, 0, 0, 0, 0], dtype=torch.bool
    )  # 3 of 4 risers found, 4 of 6 fallers
    yours = tuple(float(v) for v in rates(says, truth))
    named = {
        (3 / 4, 4 / 6): None,
        (4 / 6, 3 / 4): "the two are swapped: sensitivity is about the networks that do rise",
        (3 / 4, 2 / 6): "the second is the share of false alarms; specificity is one minus that",
        (
            3 / 5,
            4 / 5,
        ): "you divide by how often the test says `rises` or `falls`; divide by how many do rise, and do fall",
        (
            3 / 10,
            4 / 10,
        ): "you divide by all networks; divide by those that rise, and by those that fall",
        (
            0.7,
            0.7,
        ): "this is the accuracy, twice: separate the networks that rise from those that fall",
    }
    for pair, mistake in named.items():
        if close(yours, pair):
            return mistake
    return f"with 3 of 4 risers found and 4 of 6 fallers the answer is (0.75, 0.667); yours is {tuple(round(v, 3) for v in yours)}"


@exercise
def lift(lift_of) -> str | None:
    """lift_of(says, truth) -> accuracy less that of the best constant answer."""
    says = torch.tensor([1, 1, 0, 0, 0, 0, 0, 0, 0, 1], dtype=torch.bool)
    truth = torch.tensor(
        [1, 1, 1, 0, 0, 0, 0, 0, 0, 0], dtype=torch.bool
    )  # right 8 of 10; always "no": 7 of 10
    yours, other = float(lift_of(says, truth)), float(lift_of(~says, ~truth))
    if close(yours, 0.1) and close(other, 0.1):
        return None
    if close(yours, 0.8 - 0.3) or close(other, 0.8 - 0.3):
        return "your base rate is the share of one answer; the best constant answer is the more frequent one, whichever it is"
    if close(yours, 0.8 - 0.5):
        return (
            "you compare with a coin; where most parts fall, always saying `falls` beats the coin"
        )
    if close(yours, 0.8):
        return "this is the accuracy; take away what the best constant answer reaches"
    if close(yours, -0.1):
        return "turned round: accuracy less base rate, so that above zero is better than guessing"
    return f"8 of 10 right, 7 of 10 for always `falls`: the lift is 0.1, yours is {yours:.3g}"
