"""Lesson 01: the guided backward pass, baselines averaged, and how much of a map its strongest pixels hold."""

from __future__ import annotations

import torch

from helpers.lesson.checks import close, exercise


@exercise
def guided_relu6(backward) -> str | None:
    """backward(x, g) -> what Guided Backpropagation sends on through ReLU6, for its input x and incoming gradient g."""
    x = torch.tensor([-2.0, -1.0, 0.0, 1.0, 3.0, 5.0, 6.0, 7.0, 9.0])
    g = torch.tensor([0.5, -0.5, 2.0, -1.0, 2.0, -3.0, 1.5, 4.0, -1.0])
    yours = torch.as_tensor(backward(x.clone(), g.clone())).float()
    low, high, positive = x > 0, x < 6, g > 0
    if yours.shape != x.shape:
        return f"the gradient keeps its shape, {tuple(x.shape)}; yours has {tuple(yours.shape)}"
    if close(yours, g * low * high * positive):
        return None
    if close(yours, g * low * positive):
        return "right for ReLU; ReLU6 is flat above 6 too, and sends nothing back there"
    if close(yours, g * low * high) or close(yours, g * low):
        return (
            "this is the ordinary gradient: the guided rule also stops gradients that are negative"
        )
    if close(yours, g * positive):
        return "this asks only about the gradient (the deconvolution network's rule); the input decides too, as in the ordinary ReLU"
    if close(yours, (g * low * high).abs()):
        return "negative gradients are stopped, not turned round"
    if close(yours, x.clamp(0, 6)) or close(yours, x.clamp(0, 6) * positive):
        return "you return the forward pass; wanted is g where it may pass, and 0 elsewhere"
    if close(yours, g * (x >= 0) * (x <= 6) * positive):
        return "at exactly 0 and 6 torch's ReLU6 sends nothing back: < and >, not <= and >="
    return f"for x = {x.tolist()} and g = {g.tolist()} yours gives {yours.tolist()}"


@exercise
def several_baselines(average) -> str | None:
    """average(ig, x, baselines) -> the mean map over baselines; ig(x, baseline) gives one map."""
    x, seen = torch.tensor([[2.0, -1.0, 3.0]]), []
    baselines = [
        torch.tensor([[0.0, 0.0, 0.0]]),
        torch.tensor([[1.0, 1.0, -1.0]]),
        torch.tensor([[4.0, -3.0, 2.0]]),
    ]

    def ig(point, baseline):  # exact, for S = x1² x2 + x3², by ten midpoints (a cubic needs few)
        seen.append(torch.as_tensor(baseline).float().clone())
        total = torch.zeros_like(point)
        for a in (torch.arange(200) + 0.5) / 200:
            at = (baseline + a * (point - baseline)).requires_grad_()
            total += (
                torch.autograd.grad((at[:, 0] ** 2 * at[:, 1] + at[:, 2] ** 2).sum(), at)[0] / 200
            )
        return (point - baseline) * total

    maps = torch.stack([ig(x, b) for b in baselines])  # (3, 1, 3)
    at_mean = ig(x, torch.stack(baselines).mean(0))
    seen.clear()
    yours = torch.as_tensor(average(ig, x, baselines)).float()
    if yours.shape != x.shape:
        return f"one map of the shape {tuple(x.shape)} is expected; yours has {tuple(yours.shape)}"
    if close(yours, maps.mean(0)):
        return None
    if close(yours, at_mean):
        return "you average the baselines and make one map; the path to their mean is another path: average the maps"
    if close(yours, maps.sum(0)):
        return (
            "you add the maps: then they sum to three differences of scores; divide by their number"
        )
    if any(close(yours, m) for m in maps):
        return f"this is the map of one baseline alone; all {len(baselines)} count"
    if close(yours, maps.abs().mean(0)):
        return "keep the signs: without them the map no longer sums to a difference of scores"
    if close(yours, maps.median(0).values):
        return "this is the median: the sum of the map then has no meaning; take the mean"
    return f"the mean of the three maps is {maps.mean(0).flatten().tolist()}, yours is {yours.flatten().tolist()}"


@exercise
def top_share(share_of) -> str | None:
    """share_of(map, part) -> the share of a map's magnitude that its strongest pixels, `part` of all, hold."""
    m = torch.zeros(3, 10, 10)
    m[0].flatten()[:100:5] = torch.arange(1.0, 21)  # twenty pixels, 1 to 20, in one channel
    m[1].flatten()[:100:5] = -torch.arange(1.0, 21)  # the same again, negative
    m[2].flatten()[1] = 30.0  # one more: magnitudes 2, 4, … 40, and 30
    sizes = m.abs().sum(0).flatten().sort(descending=True).values
    right = float(sizes[:10].sum() / sizes.sum())
    yours = float(share_of(m.clone(), 0.1))
    signed, alone = m.sum(0).flatten(), m.abs().flatten().sort(descending=True).values
    named = {
        float(
            signed.abs().sort(descending=True).values[:10].sum() / signed.abs().sum()
        ): "the channels cancel in your version: take the size of every value first, then add the channels",
        float(
            alone[:30].sum() / alone.sum()
        ): "you rank the channels' values one by one; a pixel is one place: add its channels first",
        float(
            alone[:10].sum() / alone.sum()
        ): "you rank the channels' values one by one; a pixel is one place: add its channels first",
        float(
            sizes[-10:].sum() / sizes.sum()
        ): "these are the weakest pixels: sort the other way round",
        float(
            sizes[:10].sum() / 100
        ): "you divide by the number of pixels; divide by the magnitude of the whole map",
        float(
            (sizes >= 0.1 * sizes.max()).float().mean()
        ): "you count pixels above a tenth of the largest; wanted is what the top tenth holds",
        float((sizes > sizes[10]).float().mean()): "you count pixels; add up their magnitudes",
    }
    if close(yours, right):
        return None
    for value, mistake in named.items():
        if close(yours, value):
            return mistake
    if close(yours, 100 * right):
        return "give a share between 0 and 1, not per cent"
    return f"the top tenth of the test map holds {right:.3f} of it; yours says {yours:.3f}"
