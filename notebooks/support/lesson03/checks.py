"""Lesson 03: layers that fall one after the other, a measure on the ink alone, deletion."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn

from helpers.ground.stats import pearson, spearman
from helpers.lesson.checks import compare, exercise


@exercise
def cascade(fall) -> str | None:
    """fall(net, layers, draw) -> [draw(net), ...]: trained, then with one more layer random."""
    names = ("low", "middle", "top")
    with torch.random.fork_rng(devices=[]):
        net = nn.Sequential(OrderedDict((name, nn.Linear(4, 4)) for name in names))
        before = {name: p.detach().clone() for name, p in net.named_parameters()}

        def draw(net):  # a "map" that tells which layers have fallen
            now = [net.get_submodule(name).weight.detach() for name in names]
            moved = [not w.equal(before[f"{n}.weight"]) for n, w in zip(names, now, strict=True)]
            if any(weight.std() < 1e-6 for weight in now):
                return torch.full((3,), -1.0)
            pairs = [(w, before[f"{n}.weight"]) for n, w in zip(names, now, strict=True)]
            like = [abs(pearson(w.flatten()[None], old.flatten()[None])) for w, old in pairs]
            if any(m and r > 0.9 for m, r in zip(moved, like, strict=True)):
                return torch.full((3,), -2.0)
            same = [net.get_submodule(n).bias.equal(before[f"{n}.bias"]) for n in names]
            half = any(m and b for m, b in zip(moved, same, strict=True))
            return torch.full((3,), -3.0) if half else torch.tensor(moved).float()

        yours = torch.stack(list(fall(net, names[::-1], draw)))  # (4, 3)
    if any(not p.equal(before[name]) for name, p in net.named_parameters()):
        return "the network you were given has changed: work on a copy, deepcopy(net)"
    if (yours == -1).any():
        return "a constant is no random weight: reset_parameters() draws new ones"
    if (yours == -2).any():
        return "the old weights still show in yours: reset_parameters() draws new ones"
    if (yours == -3).any():
        return "the layers' biases stay trained in yours: reset_parameters() draws them anew too"
    if len(yours) == 3:
        return "4 maps are wanted for 3 layers: the first is drawn before any layer falls"
    right = torch.tensor([[0.0, 0, 0], [0, 0, 1], [0, 1, 1], [1, 1, 1]])
    alone = torch.cat((torch.zeros(1, 3), torch.eye(3).flip(1)))
    mistakes = {
        "one layer at a time in yours: in the cascade what has fallen stays random": alone,
        "from the input up in yours: take the layers as they are given": right.flip(1),
        "all layers fall at once in yours: draw inside the loop": right[[0, 3, 3, 3]],
        "no layer has fallen in yours: reset the copy that you draw": right[[0, 0, 0, 0]],
    }
    return compare(yours, right, mistakes, otherwise="these are not the cascade's maps")


@exercise
def on_ink(correlate) -> str | None:
    """correlate(a, b, x) -> Spearman's ρ of two maps without signs, where picture x is not 0."""
    generator = torch.Generator().manual_seed(0)
    x = torch.zeros(6, 6)
    x[1:5, 2:4] = torch.rand(4, 2, generator=generator) + 0.2
    x[2, 2], x[1, 2] = -0.4, 0.05
    a, b = torch.randn(2, 6, 6, generator=generator) * x
    a[2, 3], b[3, 3] = 0, 0  # a map may be zero on ink
    ink = x != 0
    rho = lambda change: spearman(*(change(m).flatten()[None] for m in (a, b)))[0]
    by = lambda p, q: spearman(abs(a[p != 0])[None], abs(b[q != 0])[None])[0]
    mistakes = {
        "these are all pixels: the ties of the empty ones make the correlation high": rho(abs),
        "a negative pixel is not empty: choose x != 0, not x > 0": rho(lambda m: abs(m[x > 0])),
        "faint ink is ink: choose x != 0": rho(lambda m: abs(m[abs(x) > 0.1])),
        "choose by the picture, x != 0: a map may be 0 on ink": [by(a, a), by(b, b), by(a, b)],
        "the right pixels, but signs count in your version": rho(lambda m: m[ink]),
        "you divided the picture out again": rho(lambda m: abs((m / x)[ink])),
    }
    right = rho(lambda m: abs(m[ink]))
    yours = correlate(a.clone(), b.clone(), x.clone())
    if hasattr(yours, "statistic"):
        return "spearmanr returns ρ and its p-value: .statistic is ρ"
    yours = float(yours)
    line = f"on the ink of the test maps ρ is {right:.3f}; yours gives {yours:.3f}"
    return compare(yours, right, mistakes, otherwise=line, rtol=1e-4)


@exercise
def deletion(score) -> str | None:
    """score(p, x, heat, n) -> the area under p while x (C, H, W) loses its pixels in n shares."""
    generator = torch.Generator().manual_seed(0)
    x, weight = 0.5 + torch.rand(2, 3, 4, 6, generator=generator)
    heat = torch.rand(4, 6, generator=generator)
    share = heat.flatten().argsort(descending=True).argsort().view(1, 4, 6) // 4  # 0 … 5
    curve = lambda kept: torch.stack([(weight * x * kept(k)).mean() for k in range(7)])
    area = lambda curve: torch.trapezoid(curve) / 6
    down = curve(lambda k: share >= k)
    one_channel = lambda k: torch.cat((share >= k, share >= 0, share >= 0))
    right = area(down)
    mistakes = {
        "hide the most important first; yours hides the least important, or shows pixels, which "
        "is insertion": area(curve(lambda k: share < k)),  # on black these two have one area
        "a pixel is hidden in all its channels; yours hides one": area(curve(one_channel)),
        "hidden pixels stay hidden in a deletion": area(curve(lambda k: share != k - 1)),
        "the width of the whole curve is 1: divide by n": 6 * right,
        "this is the curve's mean: the first and the last value count half": down.mean(),
        "the whole picture's p is the curve's first value": [area(down[1:]), 1.2 * area(down[1:])],
    }
    given = x.clone()
    yours = float(score(lambda picture: (weight * picture).mean(), given, heat.clone(), 6))
    if not given.equal(x):
        return "the picture you were given has changed: hide pixels in a copy, x.clone()"
    line = f"for the test picture the area is {right:.4f}; yours is {yours:.4f}"
    return compare(yours, right, mistakes, otherwise=line, rtol=1e-4)
