"""Lesson 09: a training step, the best strength, the slide's autoencoder mended by faults."""

from __future__ import annotations

import copy
import inspect

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers.ground.errors import first_line
from helpers.lesson.checks import UNANSWERED, close, compare, exercise


def _weights() -> tuple[Tensor, Tensor, Tensor]:
    """A small dictionary's W_enc (4, 6), b_enc (6,) and W_dec (6, 4) with rows of length 1."""
    generator = torch.Generator().manual_seed(0)
    W_enc, b_enc, W_dec = (torch.randn(*s, generator=generator) for s in ((4, 6), (6,), (6, 4)))
    return W_enc, b_enc, F.normalize(W_dec, dim=1)


def _loss(x, W_enc, b_enc, W_dec, lam, *, open_=False, batch="mean", features="sum", power=1):
    """The right loss, and those of known mistakes."""
    f = x @ W_enc + b_enc
    f = f if open_ else f.relu()
    penalty = getattr(f**power, features)(dim=-1)  # f ≥ 0 with a ReLU
    error = (f @ W_dec - x).pow(2)
    error = error.sum(-1).mean() if batch == "sum of the neurons" else error.mean()
    return error + lam * (penalty.sum() if batch == "sum" else penalty.mean())


@exercise
def step(train_step) -> str | None:
    """train_step(x, W_enc, b_enc, W_dec, optimizer, lam) -> the loss; it trains the weights."""
    x, lam = torch.randn(2, 16, 4, generator=torch.Generator().manual_seed(1)), 0.3
    yours, right, heaped = ([w.requires_grad_() for w in _weights()] for _ in range(3))
    sgd = torch.optim.SGD(yours, lr=0.5)
    losses = [torch.as_tensor(train_step(part, *yours, sgd, lam)).detach() for part in x]
    wrong = {
        "the features need a ReLU": {"open_": True},
        "the penalty sums over the batch: a larger batch would pay more": {"batch": "sum"},
        "the penalty is Σ|f|, a sum over the features; yours is their mean": {"features": "mean"},
        "the penalty is |f| and not its square: squares hardly punish small features": {"power": 2},
        "the error is a mean over the neurons as well": {"batch": "sum of the neurons"},
        "your loss leaves λ out": {"lam": 1.0},
        "your loss has no penalty": {"lam": 0.0},
    }
    hints = {hint: _loss(x[0], *right, **{"lam": lam, **how}) for hint, how in wrong.items()}
    if fault := compare(losses[0], _loss(x[0], *right, lam).detach(), hints):
        return fault
    if torch.equal(yours[0], _weights()[0]):
        return "the loss is right, but no weight has moved: backward(), then optimizer.step()"
    if not close(yours[2].norm(dim=1), torch.ones(6)):
        return "the rows of W_dec must have length 1 again after the step: divide by their norm"
    for part in x:
        for weights, forget in ((right, True), (heaped, False)):
            _loss(part, *weights, lam).backward()
            with torch.no_grad():
                for w in weights:
                    w -= 0.5 * w.grad
                    w.grad = None if forget else w.grad
                weights[2] /= weights[2].norm(dim=1, keepdim=True)
    kept = {"old gradients add up: call optimizer.zero_grad() in each step": heaped[0].detach()}
    return compare(yours[0].detach(), right[0].detach(), kept, otherwise="a step goes elsewhere")


@exercise
def best_strength(best) -> str | None:
    """best(a, lam, N) -> the f that makes (a − f)² / N + λ f smallest, for f ≥ 0."""
    grid = torch.linspace(0, 4, 40001, dtype=torch.double)
    right = [grid[((a - grid) ** 2 / 2 + 0.5 * grid).argmin()] for a in (2.0, 0.3)]
    yours = [float(best(a, 0.5, 2)) for a in (2.0, 0.3)]
    wrong = {
        "right for a strong feature; a weak one would get a negative strength": (1.5, -0.2),
        "the sign: the penalty pulls f down": (2.5, 0.8),
        "the derivative of (a − f)² / N has a factor of 2": (1.0, 0.0),
        "N belongs to the error, so it makes the penalty count more": (1.875, 0.175),
        "this is the true strength: the penalty costs something": (2.0, 0.3),
    }
    hints = {hint: torch.tensor(values) for hint, values in wrong.items()}
    return compare(yours, torch.stack(right), hints)


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


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {first_line(error)}"


def _class(source: str) -> type[nn.Module]:
    names: dict = {}
    try:
        exec(compile(source, "<your code>", "exec"), names)
    except Exception as error:
        raise _Broken(f"running your text ends in {_said(error)}") from None
    found = [v for v in names.values() if isinstance(v, type) and issubclass(v, nn.Module)]
    found = [v for v in found if v.__module__ == "builtins"]  # defined here, not imported
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
        raise _Broken(f"SparseAutoEncoder(0.01) ends in {_said(error)}{hint}") from None


def _call(function, *args):
    try:
        return function(*args)
    except Exception as error:
        raise _Broken(f"{function.__name__} ends in {_said(error)}") from None


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
        return f"forward ends in {_said(error)}" + (
            ": nn.ReLU(...) builds a layer and takes your tensor for its switch `inplace`; apply "
            "F.relu to the tensor"
            if "ReLU" in str(error)
            else ""
        )
    if not (isinstance(output, tuple) and len(output) == 2 and (output[1] >= 0).all()):
        return "forward should return the reconstruction and the features, and no feature below 0"
    return None


def _the_target(source: str, acts: Tensor) -> str | None:
    parameters = inspect.signature(_class(source).loss).parameters.values()
    if sum(p.default is p.empty for p in parameters) > 2:
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
            "the error is a mean over the batch and the penalty a sum; take its mean too"
        )
    return None


def _the_width(source: str, acts: Tensor) -> str | None:
    width = _built(source).bias_d.shape[0]
    if width != acts.shape[1]:
        return (
            f"the activations have {acts.shape[1]} numbers each and your input takes {width}: that "
            "is the residual stream's width; a dictionary explains the neurons of the MLP"
        )
    return None


def _the_bias(source: str, acts: Tensor) -> str | None:
    bias = _built(source).bias_d.detach()
    far, near = (acts - bias).norm(dim=1).mean(), acts.norm(dim=1).mean()
    if far > 1.001 * near:
        return (
            f"it starts {far:.3g} away from a typical activation, further than 0 does "
            f"({near:.3g}): start at 0, at the mean, or at the data's geometric median"
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


RUNGS = (
    _syntax,
    _construction,
    _the_relu,
    _the_target,
    _penalty_and_batch,
    _the_width,
    _the_bias,
    _cheating_by_rescaling,
)
