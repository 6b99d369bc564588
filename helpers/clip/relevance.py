"""Relevance: a text's similarity followed back through all attention layers of a stock ViT."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers.clip.maps import Similarity, put_back, whole
from helpers.ground.errors import CourseError
from helpers.ground.runtime import in_chunks
from helpers.saliency.core import finite, frozen_eval


def relevance(model, image: Tensor, texts: Tensor, *, first: int = 0) -> Tensor:
    """R ← R + mean over heads of (A · ∂s/∂A)⁺ R, layer by layer; the map is the class token's row.

    For ViTs as open_clip builds them, unpatched, all texts at once: one forward pass, and one
    `autograd.grad` over all layers. first: the layer to begin with (-1: the last alone). Returns
    (Q, H, W), never negative. Source: Chefer et al. 2021, eq. 5-6 (their CLIP demo).
    """
    visual = model.visual
    by_token = hasattr(visual, "transformer") and getattr(visual, "pool_type", None) == "tok"
    if not by_token or visual.attn_pool is not None:  # CoCa pools all tokens
        tower = f"this model's picture tower, a {type(visual).__name__}, has none"
        raise CourseError(f"Relevance follows a class token; {tower}: take a ViT, or grad_cam.")
    with frozen_eval(model), attention_in_graph(visual) as A:  # A: (1, heads, T, T) a layer
        s = Similarity(model, texts)(whole(model, image).requires_grad_())[0]  # (Q,)

        def rows(which: Tensor) -> Tensor:  # (q, Q) -> (q, T - 1)
            dA = torch.autograd.grad(s, A, which, is_grads_batched=True, retain_graph=True)
            R = torch.eye(A[0].shape[-1]).to(s).expand(len(which), -1, -1)  # (q, T, T)
            for weights, slope in zip(A[first:], dA[first:], strict=True):
                cam = (weights * slope).clamp(min=0).mean(2)[:, 0].detach()  # (q, T, T)
                R = R + cam.to(R) @ R
            return R[:, 0, 1:]

        each = torch.eye(len(texts)).to(s)
        patches = in_chunks(rows, each, bytes_per_item=8 * sum(a.nbytes for a in A))
        patches = finite(patches + 0 * s.detach().sum())
    return put_back(patches.unflatten(1, visual.grid_size), image)


@contextmanager
def attention_in_graph(visual) -> Iterator[list[Tensor]]:
    """Inside, a ViT's attention weights (B, heads, T, T) are part of the graph; a list by layer.

    torch's own attention never forms them, or returns a copy that nothing depends on. So the
    modules' `forward`s are swapped, and put back afterwards; the results stay the same.
    """
    layers = [m for m in visual.transformer.modules() if isinstance(m, nn.MultiheadAttention)]
    if len(layers) != len(visual.transformer.resblocks):
        raise CourseError("Relevance follows nn.MultiheadAttention, and this tower has another.")
    before = [vars(layer).get("forward") for layer in layers]
    weights = []
    try:
        for layer in layers:
            layer.forward = partial(attend, layer, weights)
        yield weights
    finally:
        for layer, forward in zip(layers, before, strict=True):
            vars(layer).pop("forward", None)
            if forward is not None:
                layer.forward = forward


def attend(layer, weights: list[Tensor], x: Tensor, *_, attn_mask=None, **__):
    """Self-attention of x (B, T, D), written out: what `layer` does, but its weights are kept."""
    x = x if layer.batch_first else x.transpose(0, 1)
    qkv = F.linear(x, layer.in_proj_weight, layer.in_proj_bias)  # (B, T, 3 D)
    q, k, v = qkv.unflatten(2, (3, layer.num_heads, -1)).permute(2, 0, 3, 1, 4)  # (B, heads, T, d)
    scores = q @ k.mT / q.shape[-1] ** 0.5  # (B, heads, T, T)
    weights.append((scores if attn_mask is None else scores + attn_mask).softmax(-1))
    out = layer.out_proj((weights[-1] @ v).transpose(1, 2).flatten(2))  # (B, T, D)
    return (out if layer.batch_first else out.transpose(0, 1)), None
