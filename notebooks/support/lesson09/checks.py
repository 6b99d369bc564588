"""Lesson 09: what one neuron should do, the slide's autoencoder mended fault by fault, and two
measures of a dictionary.
"""

from __future__ import annotations

import copy
import inspect
import math

import torch
from torch import Tensor, nn

from helpers.lesson.checks import UNANSWERED, close, compare, exercise


@exercise
def neuron_loss(loss) -> str | None:
    """loss(p, fires) -> the best cross-entropy a reader of one binary neuron can reach, in nats."""
    p, fires = torch.tensor([0.4, 0.3, 0.2, 0.1]), torch.tensor([True, True, False, False])
    yours, groups = float(loss(p, fires)), [torch.tensor([0.4, 0.3]), torch.tensor([0.2, 0.1])]
    right = sum(-(g * (g / g.sum()).log()).sum() for g in groups).item()
    if close(yours, right):
        always = float(loss(p, torch.zeros(4, dtype=torch.bool)))
        one_group = f"a neuron that never fires has one group only: yours gives {always} there"
        return None if math.isfinite(always) else one_group
    shares = [g / g.sum() for g in groups]
    mistakes = {
        "these are bits: take the natural logarithm": right / math.log(2),
        "both groups count the same in yours: weigh each by how often it occurs": sum(
            -(s * s.log()).sum().item() for s in shares
        ),
        "this is the loss without any neuron: within a group, the reader knows that the others "
        "are out": -(p * p.log()).sum().item(),
    }
    told = (
        "for p = .4, .3, .2, .1 and a neuron that fires on the first two the loss is "
        f"{right:.3f}; yours gives {yours:.3f}"
    )
    return compare(yours, right, mistakes, otherwise=told)


@exercise
def recovered(share) -> str | None:
    """share(intact, replaced, ablated) -> loss recovered."""
    yours = float(share(3.0, 3.5, 5.0))
    mistakes = {
        "this is the share that is lost: 1 should mean that the dictionary explains all": 0.25,
        "this is a ratio of losses; a loss of 0 is not the goal here: count from the ablated model "
        "to the intact one": 6 / 7,
        "this is a ratio of losses; measure from the ablated model down to the intact one": 0.7,
        "the sign is turned: losses fall as the dictionary gets better": -0.75,
    }
    told = (
        "of the 2 nats between 5.0 (no MLP) and 3.0 (intact), 3.5 keeps 1.5: .75; yours gives "
        f"{yours:.3g}"
    )
    return compare(yours, 0.75, mistakes, otherwise=told)


@exercise
def without_feature(edit) -> str | None:
    """edit(x, f, d, i): x (B, N), features f (B, M), unit directions d (M, N) -> x without f_i."""
    generator = torch.Generator().manual_seed(0)
    x, f, d = (torch.randn(*shape, generator=generator) for shape in ((5, 8), (5, 20), (20, 8)))
    f, d = f.relu(), nn.functional.normalize(d, dim=-1)
    yours, part = torch.as_tensor(edit(x.clone(), f.clone(), d, 3)), f[:, 3, None] * d[3]
    if yours.shape != x.shape:
        return (
            f"the result should have the shape of x, {tuple(x.shape)}; yours has "
            f"{tuple(yours.shape)}"
        )
    silent = f.clone()
    silent[:, 3] = 0
    mistakes = {
        "this is the reconstruction without the feature: it also drops everything that the "
        "dictionary does not explain": silent @ d,
        "you add the feature instead of taking it out": x + part,
        "the direction alone has length 1: take it f_i times": x - d[3],
    }
    told = "with one feature out, x should change by f_i times d_i, and by nothing else"
    return compare(yours, x - part, mistakes, otherwise=told)


# ---- the slide's code, mended rung by rung ----
@exercise
@torch.random.fork_rng()
def mend(source: str, acts: Tensor) -> str | None:
    """Python text that defines the slide's class -> the first fault that is left; acts (B, 512) are
    real activations.
    """
    acts = acts.cpu()  # where the learner's class is built
    for number, rung in enumerate(RUNGS, start=1):
        try:
            fault = rung(source, acts)
        except _Broken as broken:
            fault = str(broken)
        if fault:
            begun = "" if number > 1 else f"{UNANSWERED}: "
            name = rung.__name__.strip("_").replace("_", " ").replace("relu", "ReLU")
            return f"{begun}{number - 1} of {len(RUNGS)} mended · next, {name}: {fault}"
    return None


class _Broken(Exception):
    """The text cannot be used so far; the message says why."""


def _first(error: BaseException) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:160]}"


def _class(source: str) -> type[nn.Module]:
    names: dict = {}
    try:
        exec(compile(source, "<your code>", "exec"), names)
    except Exception as error:
        raise _Broken(f"running your text ends in {_first(error)}") from None
    found = [
        value
        for value in names.values()
        if inspect.isclass(value)
        and issubclass(value, nn.Module)
        and value.__module__ == "builtins"
    ]
    if len(found) != 1:
        raise _Broken(f"your text should define one nn.Module; it defines {len(found)}")
    return found[0]


def _built(source: str) -> nn.Module:
    """The learner's module, always with the same weights."""
    try:
        torch.default_generator.manual_seed(0)  # the CPU's alone
        return _class(source)(0.01)
    except _Broken:
        raise
    except Exception as error:
        hint = (
            ": call super().__init__() first, it prepares the module to hold parameters"
            if "__init__() call" in str(error)
            else ""
        )
        raise _Broken(f"SparseAutoEncoder(0.01) ends in {_first(error)}{hint}") from None


def _call(function, *args):
    try:
        return function(*args)
    except Exception as error:
        raise _Broken(f"{function.__name__} ends in {_first(error)}") from None


def _own_width(model: nn.Module, acts: Tensor) -> Tensor:
    return acts[:, : model.bias_d.shape[0]]


def _syntax(source: str, acts: Tensor) -> str | None:
    try:
        compile(source, "<your code>", "exec")
    except SyntaxError as error:
        line = (error.text or "").strip()
        return f"Python cannot read line {error.lineno}, `{line}`" + (
            ": `lambda` is a word of the language, so nothing can bear that name"
            if "lambda" in line
            else ""
        )
    return None


def _construction(source: str, acts: Tensor) -> str | None:
    _built(source)
    return None


def _the_relu(source: str, acts: Tensor) -> str | None:
    model = _built(source)
    try:
        output = model(_own_width(model, acts[:4]))
    except Exception as error:
        return f"forward ends in {_first(error)}" + (
            ": nn.ReLU(...) builds a layer and takes your tensor for its switch `inplace`; apply "
            "F.relu to the tensor"
            if "ReLU" in str(error)
            else ""
        )
    if not (isinstance(output, tuple) and len(output) == 2 and (output[1] >= 0).all()):
        return "forward should return the reconstruction and the features, and no feature below 0"
    return None


def _the_target(source: str, acts: Tensor) -> str | None:
    wanted = [
        p
        for p in inspect.signature(_class(source).loss).parameters.values()
        if p.default is p.empty
    ]
    if len(wanted) > 2:
        return (
            "loss(x, y) asks for a target: an autoencoder's target is its own input, and any other "
            "y is a mistake waiting; take y away"
        )
    return None


def _penalty_and_batch(source: str, acts: Tensor) -> str | None:
    model = _built(source)
    one = _own_width(model, acts[:1])
    single, many = (float(_call(model.loss, x).detach()) for x in (one, one.repeat(64, 1)))
    if abs(many - single) > 0.01 * abs(single):
        return (
            f"the same activation once costs {single:.3g}, and 64 times in one batch {many:.3g}: "
            "the error is a mean over the batch, "
            "the penalty a sum; sum |f| over the features, then take the mean over the batch"
        )
    return None


def _the_width(source: str, acts: Tensor) -> str | None:
    width = _built(source).bias_d.shape[0]
    if width != acts.shape[1]:
        return (
            f"the activations have {acts.shape[1]} numbers each and your input takes {width}: that "
            "is the residual stream's width; "
            "a dictionary explains the neurons of the MLP"
        )
    return None


def _the_bias(source: str, acts: Tensor) -> str | None:
    bias = _built(source).bias_d.detach()
    far, near = (acts - bias).norm(dim=1).mean(), acts.norm(dim=1).mean()
    if far > 1.001 * near:
        return (
            f"it starts {far:.3g} away from a typical activation, further than 0 does "
            f"({near:.3g}): start at 0, at the mean, "
            "or, as the paper, at the geometric median of some activations"
        )
    return None


def _cheating_by_rescaling(source: str, acts: Tensor) -> str | None:
    honest = _built(source)
    cheat = copy.deepcopy(honest)
    with torch.no_grad():
        for parameter in cheat.W_e.parameters():
            parameter /= 10
        cheat.W_d.weight *= 10
    for model in (honest, cheat):
        getattr(model, "normalise", lambda: None)()
    before, after = (float(_call(model.loss, acts[:256]).detach()) for model in (honest, cheat))
    same = close(*(model(acts[:256])[0].detach() for model in (honest, cheat)))
    if same and after < 0.999 * before:
        return (
            "encoder divided by 10, decoder times 10: the reconstruction stays and the loss falls "
            f"from {before:.3g} to {after:.3g}; give every decoder column length 1, in a method "
            "`normalise` that training calls after each step"
        )
    return None


def _dead_features(source: str, acts: Tensor) -> str | None:
    model = _built(source)
    if not hasattr(model, "resample"):
        return (
            "a feature that never fires gets no gradient and stays dead for ever: write "
            "`resample(self, x)`, which gives each feature "
            "that is silent on all of x the direction of some x, less bias_d, and bias 0"
        )
    with torch.no_grad():
        model.W_e.weight[:10], model.W_e.bias[:10] = 0, -1
    _call(model.resample, acts)
    with torch.no_grad():
        alive = (model(acts)[1][:, :10] > 0).any(dim=0)
    if not alive.all():
        return (
            f"10 features were silenced, resample was called, and {int((~alive).sum())} of them "
            "still never fire on the same activations"
        )
    return None


RUNGS = (
    _syntax,
    _construction,
    _the_relu,
    _the_target,
    _penalty_and_batch,
    _the_width,
    _the_bias,
    _cheating_by_rescaling,
    _dead_features,
)
