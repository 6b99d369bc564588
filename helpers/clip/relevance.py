"""Relevance: a text's similarity followed back through all attention layers of a stock ViT."""

import torch
from torch import Tensor

from helpers.clip.maps import Similarity, put_back, refuse_raw, whole
from helpers.ground.errors import CourseError
from helpers.ground.runtime import in_chunks
from helpers.saliency.attention_maps import attention_in_graph, roll_weighted
from helpers.saliency.core import finite, frozen_eval


def relevance(model, image: Tensor, texts: Tensor) -> Tensor:
    """R ← R + mean over heads of (A · ∂s/∂A)⁺ R, layer by layer; the map is the class token's row.

    For ViTs as open_clip builds them, unpatched, all texts at once: one forward pass, and one
    `autograd.grad` over all layers. Returns (Q, H, W), never negative.
    Source: Chefer et al. 2021, eq. 5-6 (their CLIP demo).
    """
    refuse_raw(model, image, texts)
    visual = model.visual
    by_token = hasattr(visual, "transformer") and getattr(visual, "pool_type", None) == "tok"
    if not by_token or visual.attn_pool is not None:  # CoCa pools all tokens
        tower = f"this model's picture tower, a {type(visual).__name__}, has none"
        raise CourseError(f"Relevance follows a class token; {tower}: take a ViT, or grad_cam.")
    with frozen_eval(model), attention_in_graph(visual) as A:  # A: (1, heads, T, T) a layer
        s = Similarity(model, texts)(whole(model, image).requires_grad_())[0]  # (Q,)

        def rows(which: Tensor) -> Tensor:  # (q, Q) -> (q, T - 1)
            dA = torch.autograd.grad(s, A, which, is_grads_batched=True, retain_graph=True)
            slopes = [slope[:, 0].to(s) for slope in dA]  # (q, heads, T, T)
            return roll_weighted([weights.detach() for weights in A], slopes)[:, 0, 1:]

        each = torch.eye(len(texts)).to(s)
        patches = in_chunks(rows, each, bytes_per_item=8 * sum(a.nbytes for a in A))
        patches = finite(patches + 0 * s.detach().sum())
    return put_back(patches.unflatten(1, visual.grid_size), image)
