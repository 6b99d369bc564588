"""Lesson 00: a gradient map, the share of pairs in order, units switched off."""

import torch

from helpers.lesson.checks import close, compare, exercise


@exercise
def gradient_map(gradient) -> str | None:
    """gradient(model, images, target) of (B, C, H, W): d score of the target / d pixel."""
    images = torch.tensor([[1.0, -2.0], [3.0, 4.0]]).reshape(2, 1, 1, 2)
    weight = torch.tensor([[2.0, 1.0], [-1.0, 0.5]])  # (class, pixel)

    def model(x):  # scores of two classes, each a weighted sum of squares
        return x.flatten(1) ** 2 @ weight.T

    given = images.clone()
    yours = gradient(model, given, 1)
    if isinstance(yours, tuple):
        return "this is a tuple with a gradient for each input: take its first, [0]"
    yours = torch.as_tensor(yours).detach()
    right = 2 * images * weight[1]  # (2, 1, 1, 2)
    chance = model(images).softmax(1)[:, 1].reshape(2, 1, 1, 1)
    other = 2 * images * weight[0]
    mistakes = {
        "this is the gradient of class 0: take the column `target` of the scores": other,
        "you add up the scores of all classes: take the column `target` alone": right + other,
        "you took the mean over the pictures, so each gradient is divided by their number: take "
        "the sum": right / 2,
        "only the first picture has a gradient: add up the scores of all of them": right
        * torch.tensor([1.0, 0.0]).reshape(2, 1, 1, 1),
        "the sign is lost: return the gradient itself": right.abs(),
        "you multiplied by the picture, which is another map (lesson 01)": right * images,
        "you differentiate the probability: take the score, before the softmax": chance
        * (1 - chance)
        * (right - other),
    }
    said = compare(yours, right, mistakes)
    if said is None:
        zero = torch.as_tensor(gradient(model, images.clone(), 0)).detach()
        fixed = "this is always of class 1: take the column `target`, whichever it is"
        said = compare(zero, other, {fixed: right}, otherwise="right for target 1, not for 0")
    return said or (
        "right, but the pictures you were given now track gradients: start with images.clone()"
        if given.requires_grad
        else None
    )


@exercise
def auc(score) -> str | None:
    """score(z, even), both (N,): the share of pairs whose even member has the larger z."""
    z = torch.tensor([3.0, 1.0, 2.0, -1.0, 0.5])
    even = torch.tensor([True, True, False, False, False])
    more = torch.tensor([9.0, 8.0, 7.0, 5.0, 3.0, 2.0, 1.0, -1.0, -2.0])
    more_even = torch.tensor([True, False, True, True, False, True, False, True, False])
    yours = torch.as_tensor(score(z, even)).double()
    mistakes = {
        "this counts pairs with the ODD scan above the even one: turn the comparison round": 1 / 6,
        "this is a number of pairs: divide by how many pairs there are": 5.0,
        "this divides by all pairs of scans: count only pairs of one even and one odd scan": [
            5 / 25,
            5 / 10,
        ],
        "this is the accuracy at threshold 0: AUC needs no threshold, compare in pairs": 0.6,
        "this is a difference of means: count pairs instead": 1.5,
    }
    known = f"in 5 of these 6 pairs the even scan is above, which is 0.833; yours gives {yours}"
    return (
        compare(yours, 5 / 6, mistakes, otherwise=known)
        or compare(
            torch.as_tensor(score(z - 100, even)),
            5 / 6,
            otherwise="the answer changes when all margins fall by 100; the order does not",
        )
        or compare(  # accuracies that are 5 / 6 above by chance
            torch.as_tensor(score(more, more_even)).double(),
            13 / 20,
            {
                "this is the balanced accuracy at its best threshold: count pairs": 0.675,
                "this is the balanced accuracy at the median margin: count pairs": 0.55,
            },
            otherwise="right for five scans; for nine, with 13 of 20 pairs in order, 0.65 is right",
        )
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
