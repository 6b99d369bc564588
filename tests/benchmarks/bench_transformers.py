"""Maps from attention beside captum (weights and slopes, layer by layer) and lxt (AttnLRP's rules).

A ViT of DINOv2-small's size with random weights: twelve layers, six heads, 224 pixels. captum has
no relevance; its gradient × activation at every layer gives A · dS/dA, and the same roll follows.
lxt patches no timm model; its rules for normalisation, activation and attention are put into one.
"""

import copy
import sys
from functools import partial
from importlib.metadata import version

import timm
import torch
from captum.attr import LayerGradientXActivation
from torch import nn

from helpers.saliency import attention_maps
from tests.benchmarks import bench
from tests.benchmarks.bench import Contest

PEERS = ("lxt==2.1", "zennit")


def network() -> nn.Module:
    torch.manual_seed(0)
    model = timm.create_model("vit_small_patch14_dinov2", img_size=224, num_classes=5)
    for block in model.blocks:
        block.attn.fused_attn = False
    return model.eval().requires_grad_(False)


def captums(model: nn.Module, x: torch.Tensor, target: int) -> torch.Tensor:
    layers = [block.attn.attn_drop for block in model.blocks]
    products = LayerGradientXActivation(model, layers).attribute(x, target)
    ones = [torch.ones_like(product) for product in products]
    return attention_maps.on_patches(model, attention_maps.roll_weighted(products, ones)[:, 0], x)


def with_lxts_rules(model: nn.Module) -> nn.Module:
    from lxt.efficient.patches import (
        layer_norm_forward,
        non_linear_forward,
        wrap_attention_forward,
    )

    def eager(_module, q, k, v, scale):
        return (q * scale @ k.mT).softmax(-1) @ v

    def attention(layer, x, **_):
        q, k, v = layer.qkv(x).unflatten(2, (3, layer.num_heads, -1)).permute(2, 0, 3, 1, 4)
        out = wrap_attention_forward(eager)(layer, q, k, v, layer.scale)
        return layer.proj(out.transpose(1, 2).flatten(2))

    model = copy.deepcopy(model)
    for part in model.modules():
        if isinstance(part, nn.LayerNorm):
            part.forward = partial(layer_norm_forward, part)
        elif isinstance(part, nn.GELU):
            part.original_forward = part.forward
            part.forward = partial(non_linear_forward, part)
        elif attention_maps.is_timms(part):
            part.forward = partial(attention, part)
    return model


def lxts(model: nn.Module, x: torch.Tensor, target: int) -> torch.Tensor:
    x = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(model(x)[:, target].sum(), x)
    return (x * slope).detach()


def contests() -> list[Contest]:
    model = network()
    patched = with_lxts_rules(model)
    x = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    two = {"items": 2, "unit": "image"}
    return [
        Contest(
            "relevance, 2 pictures",
            lambda: attention_maps.relevance(model, x, 3),
            lambda: captums(model, x, 3),
            f"captum {version('captum')}, and the roll",
            1e-4,
            **two,
        ),
        Contest(
            "AttnLRP, 2 pictures",
            lambda: attention_maps.attn_lrp(model, x, 3),
            lambda: lxts(patched, x, 3),
            "lxt 2.1's rules",
            1e-3,
            **two,
        ),
    ]


if __name__ == "__main__":
    torch.set_num_threads(2)
    sys.exit(bench.run(contests, sys.argv[1:]))
