"""Lesson 01: the guided backward pass, baselines averaged, what a map's strongest pixels hold."""

from __future__ import annotations

import torch

from helpers.lesson.checks import compare, exercise


@exercise
def guided_relu6(backward) -> str | None:
    """backward(x, g) -> what Guided Backpropagation sends on through ReLU6.

    x: its input; g: the incoming gradient.
    """
    x = torch.tensor([-2.0, -1.0, 0.0, 1.0, 3.0, 5.0, 6.0, 7.0, 9.0])
    g = torch.tensor([0.5, -0.5, 2.0, -1.0, 2.0, -3.0, 1.5, 4.0, -1.0])
    positive = g.clamp(min=0)
    above, below = x > 0, x < 6
    ordinary = [g * above * below, g * above]
    forward = [x.clamp(0, 6), x.clamp(0, 6) * (g > 0)]
    closed = positive * (x >= 0) * (x <= 6)
    mistakes = {
        "right for ReLU; ReLU6 is flat above 6 too, and sends nothing back there": positive * above,
        "this is the ordinary gradient: the guided rule also stops negative gradients": ordinary,
        "this asks only about the gradient (the deconvolution network's rule); the input decides "
        "too, as in the ordinary ReLU": positive,
        "negative gradients are stopped, not turned round": ordinary[0].abs(),
        "you return the forward pass; wanted is g where it may pass, and 0 elsewhere": forward,
        "at exactly 0 and 6 torch's ReLU6 sends nothing back: < and >, not <= and >=": closed,
    }
    yours = torch.as_tensor(backward(x.clone(), g.clone())).float()
    line = f"for x = {x.tolist()} and g = {g.tolist()} yours gives {yours.tolist()}"
    return compare(yours, positive * above * below, mistakes, otherwise=line)


@exercise
def several_baselines(average) -> str | None:
    """average(ig, x, baselines) -> the mean map; ig(x, baseline) gives one map."""
    x = torch.tensor([[2.0, -1.0, 3.0]])
    places = ([0.0, 0.0, 0.0], [1.0, 1.0, -1.0], [4.0, -3.0, 2.0])
    baselines = [torch.tensor([place]) for place in places]

    def ig(point, baseline):  # of S = x1² x2 + x3², by 200 midpoints
        total = torch.zeros_like(point)
        for k in range(200):
            at = (baseline + (k + 0.5) / 200 * (point - baseline)).requires_grad_()
            score = (at[:, 0] ** 2 * at[:, 1] + at[:, 2] ** 2).sum()
            total += torch.autograd.grad(score, at)[0] / 200
        return (point - baseline) * total

    maps = torch.stack([ig(x, b) for b in baselines])  # (3, 1, 3)
    right, unsigned, middle = maps.mean(0), maps.abs().mean(0), maps.median(0).values
    mistakes = {
        "you average the baselines and make one map; the path to their mean is another path: "
        "average the maps": ig(x, torch.stack(baselines).mean(0)),
        "you add the maps: they sum to three differences of scores; divide by their "
        "number": maps.sum(0),
        "this is the map of one baseline alone; all 3 count": list(maps),
        "keep the signs: without them a map no longer sums to a difference of scores": unsigned,
        "this is the median: the sum of the map then has no meaning; take the mean": middle,
    }
    yours = torch.as_tensor(average(ig, x, baselines)).float()
    line = f"the mean of the three maps is {right[0].tolist()}, yours is {yours.tolist()}"
    return compare(yours, right, mistakes, otherwise=line)


@exercise
def top_share(share_of) -> str | None:
    """share_of(map, part) -> the share of its magnitude that its strongest pixels hold.

    part: how many pixels count as strongest, as a share of all.
    """
    m = torch.zeros(3, 10, 10)
    m[0].flatten()[:100:5] = torch.arange(1.0, 21)  # twenty pixels, 1 to 20, in one channel
    m[1].flatten()[:100:5] = -torch.arange(1.0, 21)  # the same again, negative
    m[2].flatten()[1] = 30.0  # one more: magnitudes 2, 4, … 40, and 30

    def falling(values):
        return values.flatten().sort(descending=True).values

    def held(values, count=10):
        return values[:count].sum() / values.sum()

    sizes, signed, alone = falling(m.abs().sum(0)), falling(m.sum(0).abs()), falling(m.abs())
    channels = [held(alone, 30), held(alone)]
    weakest, area = sizes[-10:].sum() / sizes.sum(), sizes[:10].sum() / 100
    counted = (sizes >= 0.1 * sizes.max()).float().mean()
    mistakes = {
        "the channels cancel in your version: take the size of every value first, then add the "
        "channels": held(signed),
        "you rank the channels' values one by one; a pixel is one place: add its channels "
        "first": channels,
        "these are the weakest pixels: sort the other way round": weakest,
        "you divide by the number of pixels; divide by the magnitude of the whole map": area,
        "you count pixels above a tenth of the largest; wanted is what the top tenth "
        "holds": counted,
        "you count pixels; add up their magnitudes": (sizes > sizes[10]).float().mean(),
        "give a share between 0 and 1, not per cent": 100 * held(sizes),
    }
    right, yours = held(sizes), torch.tensor(float(share_of(m.clone(), 0.1)))
    line = f"the top tenth of the test map holds {right:.3f} of it; yours says {yours:.3f}"
    return compare(yours, right, mistakes, otherwise=line)
