"""Lesson 00: how much of a map lies in a box, a score that is fair to the rare case, and switching units off."""

from __future__ import annotations

import torch

from helpers.lesson.checks import close, exercise


@exercise
def share_inside(share) -> str | None:
    """share(gradients, rows, columns) of gradients (B, 1, H, W) -> the share of all |gradient| inside the box."""
    gradients = torch.zeros(1, 1, 4, 4)
    gradients[0, 0, 0, :] = torch.tensor([3.0, -1.0, 5.0, -2.0])
    gradients[0, 0, 3, 3] = 5.0  # |.| inside the box: 4 of 16; with signs: 2 of 10
    yours = torch.as_tensor(share(gradients, slice(0, 2), slice(0, 2))).double().squeeze()
    if yours.ndim:
        return f"one number is expected for all maps together; yours has shape {tuple(yours.shape)}: sum over everything"
    if close(yours, 0.2):
        return "signs count in your version: +3 and −1 cancel, though the output feels both; take .abs() before you sum"
    for wrong, mistake in {
        4.0: "this is the sum inside the box: divide it by the sum over the whole map",
        4
        / 12: "you divide by what lies outside the box: divide by the whole map, so that the full map gives 1",
        1.0: "you compare means, which is a density: compare sums",
        25.0: "a share goes from 0 to 1; yours goes to 100",
        10 / 64: "you square the gradients, so that a few large ones decide: take .abs()",
    }.items():
        if close(yours, wrong):
            return mistake
    if not close(yours, 0.25):
        return f"for a map with 4 of its 16 inside the box the share is 0.25; yours gives {yours.item():.3g}"
    two = torch.cat([gradients, torch.zeros(1, 1, 4, 4)])
    return (
        None
        if close(torch.as_tensor(share(two, slice(0, 2), slice(0, 2))).squeeze(), 0.25)
        else "use all the maps, not the first one alone"
    )


@exercise
def balanced(score) -> str | None:
    """score(predicted, present), both (N,) bool -> the mean of the two hit rates."""
    present = torch.tensor([True] * 5 + [False] * 15)
    predicted = torch.tensor(
        [True] * 3 + [False] * 2 + [True] * 3 + [False] * 12
    )  # 3 of 5 and 12 of 15: 0.6 and 0.8
    yours = torch.as_tensor(score(predicted, present)).double()
    if yours.ndim or not torch.isfinite(yours):
        return f"one finite number is expected; yours is {yours.tolist()}"
    mistakes = {
        0.75: "this is plain accuracy: somebody who always says no would get 0.75 here and know nothing",
        0.6: "this looks at the notes WITH the finding only: somebody who always says yes would get 1",
        0.8: "this looks at the notes WITHOUT the finding only: somebody who always says no would get 1",
        0.5: "this is precision, the share of the yeses that are right: ask instead which share of each kind of note is got right",
        1.4: "you add the two hit rates: take their mean",
    }
    for wrong, mistake in mistakes.items():
        if close(yours, wrong):
            return mistake
    if not close(yours, 0.7):
        return f"with 3 of 5 and 12 of 15 right the score is the mean of 0.6 and 0.8, 0.7; yours gives {yours.item():.3g}"
    always = torch.as_tensor(score(torch.ones(20, dtype=torch.bool), present))
    return None if close(always, 0.5) else "somebody who always says yes should get 0.5"


@exercise
def ablate(switch_off) -> str | None:
    """switch_off(hidden, units, usual): a copy of hidden (B, H) with these units at their usual value."""
    hidden = torch.tensor([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 9.0]])
    given, units, usual = (
        hidden.clone(),
        torch.tensor([1, 3]),
        torch.tensor([10.0, 20.0, 30.0, 40.0]),
    )
    yours = torch.as_tensor(switch_off(given, units, usual))
    if yours.shape != hidden.shape:
        return f"the answer should have the shape of hidden, (2, 4); yours has {tuple(yours.shape)}"
    right = torch.tensor([[1.0, 20.0, 3.0, 40.0], [5.0, 20.0, 7.0, 40.0]])
    if close(yours, right):
        return (
            None
            if torch.equal(given, hidden)
            else "right, but you also changed the hidden layer you were given: start with hidden.clone()"
        )
    if close(yours[:, units], torch.zeros(2, 2)):
        return "you set the units to 0; here they go to their usual value, so that the rest of the network sees nothing odd"
    if close(yours, torch.tensor([[10.0, 2.0, 30.0, 4.0], [10.0, 6.0, 30.0, 9.0]])):
        return "you switched off all the OTHER units"
    if close(yours, usual.expand(2, 4)):
        return "you switched off every unit: only those in `units` should change"
    if close(yours, torch.tensor([[1.0, 2.0, 3.0, 4.0], [10.0, 20.0, 30.0, 40.0]])):
        return "you replaced whole notes (rows): units are columns, hidden[:, units]"
    if close(yours, hidden):
        return "nothing changed: return the copy that you changed"
    return f"for units 1 and 3 the answer is {right.tolist()}; yours is {yours.tolist()}"
