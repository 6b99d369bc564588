"""Lesson 00: how much of a map lies in a box, a score fair to the rare case, units switched off."""

from __future__ import annotations

import torch

from helpers.lesson.checks import close, compare, exercise


@exercise
def share_inside(share) -> str | None:
    """share(gradients, rows, columns) of (B, 1, H, W) -> the share of |gradient| inside the box."""
    gradients = torch.zeros(1, 1, 4, 4)
    gradients[0, 0, 0, :] = torch.tensor([3.0, -1.0, 5.0, -2.0])
    gradients[0, 0, 3, 3] = 5.0  # |.| inside the box: 4 of 16; with signs: 2 of 10
    box = slice(0, 2), slice(0, 2)
    yours = torch.as_tensor(share(gradients, *box)).double().squeeze()
    if yours.ndim:
        return (
            "one number is expected for all maps together; yours has shape "
            f"{tuple(yours.shape)}: sum over everything"
        )
    mistakes = {
        "signs count in your version: +3 and −1 cancel, though the output feels both; take .abs() "
        "before you sum": 0.2,
        "this is the sum inside the box: divide it by the sum over the whole map": 4.0,
        "you divide by what lies outside the box: divide by the whole map, so that the full map "
        "gives 1": 4 / 12,
        "you compare means, which is a density: compare sums": 1.0,
        "a share goes from 0 to 1; yours goes to 100": 25.0,
        "you square the gradients, so that a few large ones decide: take .abs()": 10 / 64,
    }
    known = f"for a map with 4 of its 16 inside the box the share is 0.25; yours gives {yours:.3g}"
    two = torch.cat([gradients, torch.zeros(1, 1, 4, 4)])
    return compare(yours, 0.25, mistakes, otherwise=known) or compare(
        torch.as_tensor(share(two, *box)).squeeze(),
        0.25,
        otherwise="use all the maps, not the first one alone",
    )


@exercise
def balanced(score) -> str | None:
    """score(predicted, present), both (N,) bool -> the mean of the two hit rates."""
    present = torch.tensor([True] * 5 + [False] * 15)
    predicted = torch.tensor([True] * 3 + [False] * 2 + [True] * 3 + [False] * 12)  # 3/5, 12/15
    yours = torch.as_tensor(score(predicted, present)).double()
    if yours.ndim or not torch.isfinite(yours):
        return f"one finite number is expected; yours is {yours.tolist()}"
    mistakes = {
        "this is plain accuracy: somebody who always says no would get 0.75 here and know "
        "nothing": 0.75,
        "this looks at the notes WITH the finding only: somebody who always says yes would get "
        "1": 0.6,
        "this looks at the notes WITHOUT the finding only: somebody who always says no would get "
        "1": 0.8,
        "this is precision, the share of the yeses that are right: ask instead which share of each "
        "kind of note is got right": 0.5,
        "you add the two hit rates: take their mean": 1.4,
    }
    known = (
        "with 3 of 5 and 12 of 15 right the score is the mean of 0.6 and 0.8, 0.7; yours gives "
        f"{yours:.3g}"
    )
    return compare(yours, 0.7, mistakes, otherwise=known) or compare(
        torch.as_tensor(score(torch.ones(20, dtype=torch.bool), present)),
        0.5,
        otherwise="somebody who always says yes should get 0.5",
    )


@exercise
def ablate(switch_off) -> str | None:
    """switch_off(hidden, units, usual): a copy of hidden (B, H), the units at their usual value."""
    hidden = torch.tensor([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 9.0]])
    given = hidden.clone()
    units = torch.tensor([1, 3])
    usual = torch.tensor([10.0, 20.0, 30.0, 40.0])
    yours = torch.as_tensor(switch_off(given, units, usual))
    right = torch.tensor([[1.0, 20.0, 3.0, 40.0], [5.0, 20.0, 7.0, 40.0]])
    if yours.shape != hidden.shape:
        return f"the answer should have the shape of hidden, (2, 4); yours has {tuple(yours.shape)}"
    if close(yours[:, units], torch.zeros(2, 2)):
        return (
            "you set the units to 0; here they go to their usual value, so that the rest of the "
            "network sees nothing odd"
        )
    others = torch.tensor([[10.0, 2.0, 30.0, 4.0], [10.0, 6.0, 30.0, 9.0]])
    rows = torch.stack([hidden[0], usual])
    mistakes = {
        "you switched off all the OTHER units": others,
        "you switched off every unit: only those in `units` should change": usual.expand(2, 4),
        "you replaced whole notes (rows): units are columns, hidden[:, units]": rows,
        "nothing changed: return the copy that you changed": hidden,
    }
    known = f"for units 1 and 3 the answer is {right.tolist()}; yours is {yours.tolist()}"
    return compare(yours, right, mistakes, otherwise=known) or compare(
        given,
        hidden,
        otherwise="right, but you also changed the hidden layer you were given: start with "
        "hidden.clone()",
    )
