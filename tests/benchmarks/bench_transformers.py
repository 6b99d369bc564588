"""Maps from the attention of DINOv2-small and SmolLM2 beside captum and lxt (AttnLRP's rules), and
reading SmolLM2's activations beside TransformerLens.

captum has neither rollout nor relevance: it reads the weights A, and A · dS/dA, of every layer, and
the same roll follows. lxt patches no timm model; its rules for normalisation, activation and
attention are put into one, in double precision: there the maps differ by 1e-5 of the largest value,
in float32 by .006. (The course has no AttnLRP for language models.)

TransformerLens 4 reads through a bridge around a copy of the same loaded model; it wants the plain
attention of transformers ("eager"), ours is the course's `attend`. Both leave out the logits, and
for block 9 all later blocks.
"""

import copy
import sys
from functools import partial
from importlib.metadata import version
from types import SimpleNamespace

import torch
from captum.attr import LayerActivation, LayerGradientXActivation
from torch import Tensor, nn

from helpers.pretrained import dinov2, smollm2
from helpers.pretrained.hooks import hooked
from helpers.saliency import attention_maps
from notebooks.support.lesson13 import residual
from tests.benchmarks import bench
from tests.benchmarks.bench import Contest

PEERS = ("lxt==2.1", "zennit", "transformer-lens==4.3.0")


def with_lxts_rules(model: nn.Module) -> nn.Module:
    # lxt's own models ask transformers for a module that version 5 has not; its rules need none
    sys.modules["lxt.efficient.models"] = SimpleNamespace(get_default_map=dict)
    from lxt.efficient import patches as lxt

    def eager(_module, q, k, v, scale):
        return (q * scale @ k.mT).softmax(-1) @ v

    def attention(layer, x, **_):
        q, k, v = layer.qkv(x).unflatten(2, (3, layer.num_heads, -1)).permute(2, 0, 3, 1, 4)
        out = lxt.wrap_attention_forward(eager)(layer, q, k, v, layer.scale)
        return layer.proj(out.transpose(1, 2).flatten(2))

    model = copy.deepcopy(model)
    for part in model.modules():
        if isinstance(part, nn.LayerNorm):
            part.forward = partial(lxt.layer_norm_forward, part)
        elif isinstance(part, nn.GELU):
            part.original_forward = part.forward
            part.forward = partial(lxt.non_linear_forward, part)
        elif attention_maps.is_timms(part):
            part.forward = partial(attention, part)
    return model


def pictures() -> list[Contest]:
    vit, x = dinov2.load(), torch.randn(2, 3, 224, 224, generator=generator())
    probe = nn.Linear(384, 5).requires_grad_(False)
    probe.weight.copy_(torch.randn(5, 384, generator=generator()))
    model = nn.Sequential(vit, probe)
    layers = [block.attn.attn_drop for block in vit.blocks]
    exact, pixels = copy.deepcopy(model).double(), x.double()
    patched = with_lxts_rules(exact)

    def captums_rollout() -> Tensor:
        A = LayerActivation(model, layers).attribute(x)
        return attention_maps.on_patches(model, attention_maps.roll(A)[:, 0], x)

    def captums_relevance() -> Tensor:
        products = LayerGradientXActivation(model, layers).attribute(x, 3)
        R = attention_maps.roll_weighted(products, list(map(torch.ones_like, products)))
        return attention_maps.on_patches(model, R[:, 0], x)

    def lxts_map() -> Tensor:
        at = pixels.clone().requires_grad_()
        (slope,) = torch.autograd.grad(patched(at)[:, 3].sum(), at)
        return (at * slope).detach()

    captum, two = f"captum {version('captum')}, and the roll", {"items": 2, "unit": "image"}
    name = "DINOv2-small, 2 pictures: "
    ours = lambda method: lambda: method(model, x, 3)
    relevance = attention_maps.relevance
    attn_lrp = lambda: attention_maps.attn_lrp(exact, pixels, 3)
    return [
        Contest(
            name + "rollout", ours(attention_maps.rollout), captums_rollout, captum, 1e-4, **two
        ),
        Contest(name + "relevance", ours(relevance), captums_relevance, captum, 1e-4, **two),
        Contest(name + "AttnLRP", attn_lrp, lxts_map, "lxt 2.1's rules", 1e-3, **two),
    ]


def texts() -> list[Contest]:
    """The score is the logit of " garden" after each of four texts of twenty tokens."""
    lm, tokenizer = smollm2.load()
    ids = torch.randint(100, 10_000, (4, 20), generator=generator())
    (word,) = tokenizer(" garden").input_ids
    embedded = lm.model.embed_tokens(ids)
    layers = [block.self_attn.attn_drop for block in lm.model.layers]
    sites = {("attention", i): None for i in range(len(layers))}

    def score(embedded: Tensor) -> Tensor:
        return lm(inputs_embeds=embedded).logits[:, -1, word]

    def rollout() -> Tensor:
        with torch.no_grad(), hooked(lm, sites) as kept:
            score(embedded)
        return attention_maps.roll(list(kept.values()))[:, -1]

    def relevance() -> Tensor:
        with hooked(lm, sites) as kept:
            S = score(embedded.clone().requires_grad_()).sum()
        A = list(kept.values())
        dA = torch.autograd.grad(S, A)
        return attention_maps.roll_weighted([a.detach() for a in A], dA)[:, -1]

    def captums_rollout() -> Tensor:
        return attention_maps.roll(LayerActivation(score, layers).attribute(embedded))[:, -1]

    def captums_relevance() -> Tensor:
        products = LayerGradientXActivation(score, layers).attribute(embedded.clone())
        ones = list(map(torch.ones_like, products))
        return attention_maps.roll_weighted(products, ones)[:, -1]

    captum, four = f"captum {version('captum')}, and the roll", {"items": 4, "unit": "text"}
    name = "SmolLM2, 4 texts: "
    return [
        Contest(name + "rollout", rollout, captums_rollout, captum, 1e-4, **four),
        Contest(name + "relevance", relevance, captums_relevance, captum, 1e-3, **four),
    ]


def reading() -> list[Contest]:
    """The residual stream of eight texts of 128 tokens."""
    from transformer_lens.model_bridge import TransformerBridge

    lm, tokenizer = smollm2.load()
    ids = torch.randint(100, 10_000, (8, residual.T), generator=generator())
    how = {"hf_model": copy.deepcopy(lm), "tokenizer": tokenizer, "device": "cpu"}
    bridge = TransformerBridge.boot_transformers("SmolLM2", **how)
    layers = range(lm.config.num_hidden_layers)

    @torch.no_grad()
    def every_block() -> list[Tensor]:
        with hooked(lm, {("residual", i): None for i in layers}) as kept:
            lm.model(ids)
        return list(kept.values())

    @torch.no_grad()
    def bridges(layers) -> list[Tensor]:
        names = [f"blocks.{i}.hook_out" for i in layers]
        stop = layers[-1] + 1
        _, cache = bridge.run_with_cache(ids, names_filter=names, stop_at_layer=stop)
        return [cache[name] for name in names]

    layer = residual.LAYER
    one = lambda: bridges([layer])[0][:, 1:]  # `stream` leaves out each text's first token
    items = {"items": ids.numel(), "unit": "token"}
    name = "SmolLM2, 8 texts: "
    return [
        Contest(
            name + "the stream after all 30 blocks",
            every_block,
            partial(bridges, layers),
            PEERS[2],
            1e-3,
            **items,
        ),
        Contest(
            name + f"the stream after block {layer}",
            partial(residual.stream, lm, ids),
            one,
            PEERS[2],
            1e-3,
            **items,
        ),
    ]


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def contests() -> list[Contest]:
    return pictures() + texts() + reading()


if __name__ == "__main__":
    torch.set_num_threads(2)
    sys.exit(bench.run(contests, sys.argv[1:]))
