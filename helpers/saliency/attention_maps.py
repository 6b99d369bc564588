"""Maps from a transformer's attention: rollout, gradient-weighted relevance, AttnLRP.

They follow a class token through open_clip's, torchvision's and timm's vision transformers.
A: attention weights, a list by layer, (B, heads, T, T) each; a row is the token that reads.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers.ground.errors import CourseError
from helpers.saliency import core
from helpers.saliency.cam import Grid, as_maps, patch_sides
from helpers.saliency.core import Target, check, frozen_eval
from helpers.saliency.guided import refuse_scripted

SMOOTH = nn.GELU, nn.ReLU, nn.SiLU  # activations that AttnLRP passes relevance through
OTHER = (
    "A part of this model is no plain self-attention or LayerNorm (it reads other tokens than it "
    "writes, turns or masks them, or has more weights): it cannot be followed. Use grad_cam()."
)


# ---- from weights to one table: who has read whom ----
def roll(A: Sequence[Tensor]) -> Tensor:
    """R ← ½(1 + mean over heads of A) R: (B, T, T), rows sum to 1. Abnar & Zuidema 2020, eq. 1."""
    one = torch.eye(A[0].shape[-1]).to(core.wide(A[0]))
    R = one.expand(len(A[0]), -1, -1)
    for weights in A:
        R = (one + core.wide(weights).mean(1)) / 2 @ R
    return R


def roll_weighted(A: Sequence[Tensor], dA: Sequence[Tensor]) -> Tensor:
    """R ← R + mean over heads of (A · dS/dA)⁺ R: (B, T, T). Chefer et al. 2021, eq. 5-6."""
    R = torch.eye(A[0].shape[-1]).to(core.wide(dA[0])).expand(len(dA[0]), -1, -1)
    for weights, slope in zip(A, dA, strict=True):
        R = R + core.wide(weights * slope).clamp(min=0).mean(1).to(R) @ R
    return R


# ---- the methods: what the class token has read of each patch ----
def rollout(model, inputs, target: Target = 0, *, grid: Grid | None = None) -> Tensor:
    """Attention rollout, (B, 1, H, W); it knows no class, so the target changes nothing.

    grid: (h, w) of the patches, where they do not follow from the picture's proportions.
    """
    return followed(model, inputs, target, slice(-1, None), lambda A, _: roll(A), grid)


def relevance(model, inputs, target: Target, *, grid: Grid | None = None) -> Tensor:
    """Gradient-weighted attention, never negative: (B, 1, H, W). Source: Chefer et al. 2021."""
    return followed(model, inputs, target, slice(None), roll_weighted, grid)


def followed(model, inputs, target: Target, layers: slice, rule: Callable, grid) -> Tensor:
    """The class token's row of rule(A, dS/dA of these layers), on the patches: (B, 1, H, W)."""
    x, target = check(model, inputs, target, images=True)

    def one_batch(x, target):
        with attention_in_graph(model) as A:
            score = core.class_score(model, x.clone().requires_grad_(), target)
        dA = core.derivatives(score, at=A[layers])
        refuse_other_readers(dA[-1])
        return on_patches(model, rule(A, dA)[:, 0], x, grid).detach()

    with frozen_eval(model):
        return core.finite(core.in_batches(one_batch, x, target))


def attn_lrp(model: nn.Module, inputs: Tensor, target: Target) -> Tensor:
    """x · dS/dx under AttnLRP's rules, with signs: (B, C, H, W).

    1. A normalisation's deviation is a constant (its relevance passes on unchanged).
    2. An activation passes on what it lets through: y = x · (f(x) / x), the factor constant.
    3. A product of two activations gives each half: q · k, and weights · values.
    The epsilon rule elsewhere; of the paper's gamma rule for ViTs' linear layers nothing is here.
    Source: Achtibat et al. 2024, section 3.
    """
    x, target = check(model, inputs, target, images=True)

    def one_batch(x, target):
        x = x.clone().requires_grad_()
        with lrp_rules(model):
            score = core.class_score(model, x, target)
        return core.wide(x * core.derivative(score, at=x)).detach()

    with frozen_eval(model):
        return core.finite(core.in_batches(one_batch, x, target))


def refuse_other_readers(slope: Tensor) -> None:
    """CourseError where dS/dA of the last layer shows that not only the first token is read."""
    others = slope[:, :, 1:]
    if (others.isfinite() & (others != 0)).any():
        what = "This model's score depends on more tokens than the first: without a class token"
        raise CourseError(f"{what} the methods follow nothing. Use attn_lrp() or grad_cam().")


def on_patches(model, row: Tensor, x: Tensor, grid: Grid | None = None) -> Tensor:
    """One number a token (B, T) as a map of the pictures' size, (B, 1, H, W)."""
    coarse = as_maps(row[:, :, None], x, grid, patch_sides(model))  # (B, 1, h, w)
    return F.interpolate(coarse, x.shape[2:], mode="bilinear", align_corners=False)


# ---- the networks, opened ----
def attention_layers(model: nn.Module) -> list[nn.Module]:
    """A model's self-attentions in order: torch's, and timm's. CourseError where there is none."""
    refuse_scripted(model)
    layers = [m for m in model.modules() if isinstance(m, nn.MultiheadAttention) or is_timms(m)]
    if not layers:
        what = f"No attention that can be followed was found in this {type(model).__name__}"
        raise CourseError(f"{what}: nn.MultiheadAttention and timm's Attention are known.")
    return layers


def is_timms(layer: nn.Module) -> bool:
    plain = all(isinstance(getattr(layer, n, None), nn.Identity) for n in ("q_norm", "k_norm"))
    return plain and hasattr(layer, "qkv") and getattr(layer, "gate", None) is None


@contextmanager
def attention_in_graph(model: nn.Module) -> Iterator[list[Tensor]]:
    """Inside, the attention weights (B, heads, T, T) are part of the graph; a list by layer.

    torch's own attention never forms them, or returns a copy that nothing depends on. So the
    modules' `forward`s are swapped, and put back afterwards. CourseError where a layer did not
    give what its own `forward` gives, or where the layers do not share their tokens.
    """
    weights: list[Tensor] = []
    with swapped({layer: partial(attend, layer, weights) for layer in attention_layers(model)}):
        yield weights
    if len({A.shape[2:] for A in weights}) != 1:
        what = f"The attentions of this {type(model).__name__} cannot be followed"
        raise CourseError(f"{what}: they read no tokens, or not the same ones. Use grad_cam().")


@contextmanager
def lrp_rules(model: nn.Module) -> Iterator[None]:
    """Inside, gradients follow AttnLRP's rules (see `attn_lrp`); what the model says stays."""
    instead = {m: partial(attend, m, [], shared=halved) for m in attention_layers(model)}
    inside = {part for layer in instead for part in layer.modules()}
    for m in set(model.modules()) - inside:
        if isinstance(m, nn.LayerNorm):
            instead[m] = partial(normalise, m)
        elif isinstance(m, SMOOTH):
            instead[m] = partial(pass_on, m.forward)
    with swapped(instead):
        yield


@contextmanager
def swapped(forwards: dict[nn.Module, Callable]) -> Iterator[None]:
    """Inside, these modules have other forwards; CourseError, at the end, where one differs."""
    before = {module: vars(module).get("forward") for module in forwards}
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # it would call no module's forward
    differs: list[Tensor] = []
    try:
        for module, forward in forwards.items():
            module.forward = partial(compared, module.forward, forward, differs)
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for module, forward in before.items():
            vars(module).pop("forward", None)
            if forward is not None:
                module.forward = forward
    if differs and torch.stack(differs).any():  # one wait
        raise CourseError(OTHER)


def compared(own: Callable, other: Callable, differs: list[Tensor], *inputs, **options):
    """What the other forward gives; noted is whether it differs from what the module's own does."""
    with torch.no_grad():  # clones, as an activation may work in place
        expected = own(*(x.clone() if isinstance(x, Tensor) else x for x in inputs), **options)
    try:
        result = other(*inputs, **options)
        y, y0 = (out[0] if isinstance(out, tuple) else out for out in (result, expected))
        rounding = torch.finfo(y0.dtype).eps ** 0.5
        differs.append((core.wide(y.detach()) - y0).norm() > rounding * core.wide(y0).norm())
    except (TypeError, ValueError, IndexError, RuntimeError) as error:  # inputs of another kind
        if isinstance(error, torch.OutOfMemoryError):
            raise
        raise CourseError(OTHER) from error
    return result


def attend(layer, keep: list[Tensor], query, *_, attn_mask=None, shared=lambda x: x, **__):
    """What `layer` does to (B, T, D), its weights kept; each factor of a product is `shared`."""
    torchs = isinstance(layer, nn.MultiheadAttention)
    x = query if not torchs or layer.batch_first else query.transpose(0, 1)
    qkv = F.linear(x, layer.in_proj_weight, layer.in_proj_bias) if torchs else layer.qkv(x)
    q, k, v = qkv.unflatten(2, (3, layer.num_heads, -1)).permute(2, 0, 3, 1, 4)  # (B, heads, T, d)
    scores = shared(q) @ shared(k).mT / q.shape[-1] ** 0.5  # (B, heads, T, T)
    weights = (scores if attn_mask is None else scores + attn_mask).softmax(-1)
    keep.append(weights if torchs else layer.attn_drop(weights))
    out = (shared(keep[-1]) @ shared(v)).transpose(1, 2).flatten(2)  # (B, T, D)
    if not torchs:
        return layer.proj(out)
    out = layer.out_proj(out)
    return (out if layer.batch_first else out.transpose(0, 1)), weights.mean(1)


def halved(x: Tensor) -> Tensor:
    """The same number; its gradient is half."""
    return x / 2 + (x / 2).detach()


def normalise(norm: nn.LayerNorm, x: Tensor) -> Tensor:
    """LayerNorm whose deviation is a constant."""
    dims = tuple(range(-len(norm.normalized_shape), 0))
    centred = x - x.mean(dims, keepdim=True)
    deviation = (centred.square().mean(dims, keepdim=True) + norm.eps).sqrt().detach()
    y = centred / deviation
    y = y if norm.weight is None else y * norm.weight
    return y if norm.bias is None else y + norm.bias


def pass_on(activation: Callable, x: Tensor) -> Tensor:
    """activation(x) as x times a constant."""
    y = activation(x.clone())  # it may work in place
    return x * torch.where(x == 0, 0, y / torch.where(x == 0, 1, x)).detach()
