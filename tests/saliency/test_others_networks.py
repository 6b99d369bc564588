"""Networks as others build them, tiny and untrained: a right map, or one plain sentence."""

from functools import partial

import pytest
import timm
import torch
import torch.nn.functional as F
import transformers
from open_clip.coca_model import CoCa
from torch import nn

from helpers import saliency
from helpers.clip import maps, score
from helpers.ground.errors import CourseError
from tests.test_fuzz import or_sentence

SIDES = {"image_size": (32, 48), "patch_size": 8}  # 4 x 6 patches
WIDTH = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
PLAIN = SIDES | WIDTH | {"intermediate_size": 32}
WINDOWS = {"image_size": (32, 48), "patch_size": 2, "window_size": 4}
STAGES = {"hidden_sizes": [8, 16], "depths": [1, 1]}
HUGGING_FACE = {  # settings; the layer: the last part of this name; its places
    "ViT": (PLAIN, "layernorm_before", (4, 6)),
    "DeiT": (PLAIN, "layernorm_before", (4, 6)),
    "Beit": (PLAIN | {"use_mask_token": False}, "layernorm_before", (4, 6)),
    "Dinov2WithRegisters": (SIDES | WIDTH | {"image_size": 32}, "norm1", (4, 4)),
    "Siglip": ({"vision_config": PLAIN | {"image_size": 32}}, "layer_norm1", (4, 4)),
    "Swin": (
        WINDOWS | {"embed_dim": 8, "depths": [1, 1], "num_heads": [2, 2]},
        "layernorm_before",
        (8, 12),
    ),
    "ConvNext": (STAGES | {"num_stages": 2}, "dwconv", (4, 6)),
    "ResNet": (STAGES | {"embedding_size": 8, "layer_type": "basic"}, "layer", (4, 6)),
}


class Wrapped(nn.Module):
    """As the sentence says that a model which returns an object is to be wrapped."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model(x).logits


def hugging_face(name: str) -> nn.Module:
    settings, layer, grid = HUGGING_FACE[name]
    config = getattr(transformers, f"{name}Config")(num_labels=5, **settings)
    torch.manual_seed(0)
    return Wrapped(getattr(transformers, f"{name}ForImageClassification")(config)).double().eval()


def cam_by_hand(net, x, layer, grid) -> torch.Tensor:
    """Σ_k α_k A_k over the places of a layer that gives maps, or tokens whose last are places."""
    kept = []
    handle = layer.register_forward_hook(lambda _, __, out: kept.append(out) or out.clone())
    score = net(x)[:, 1].sum()
    handle.remove()
    A, dA = (
        (t.flatten(2).mT if t.ndim == 4 else t)[:, -grid[0] * grid[1] :]
        for t in (kept[0], *torch.autograd.grad(score, kept))
    )
    cam = (A * dA.mean(1, keepdim=True)).sum(-1).relu().view(len(x), 1, *grid).detach()
    return F.interpolate(cam, x.shape[2:], mode="bilinear", align_corners=False)


def map_or_sentence(call, *args, size, **options):
    result = or_sentence(call, *args, **options)
    if torch.is_tensor(result):
        assert len(result) == 2
        assert result.shape[-len(size) :] == size
        assert result.isfinite().all()
    return result


@pytest.mark.parametrize("name", HUGGING_FACE)
def test_networks_of_hugging_face(name):
    net, (_, last, grid) = hugging_face(name), HUGGING_FACE[name]
    size = (32, 48) if grid[1] > grid[0] else (32, 32)
    x = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0)).double()
    either = partial(map_or_sentence, size=size)
    with pytest.raises(
        CourseError, match=r"gave a \w+Output\w* of \d\. Wrap it .*self.model\(x\).logits"
    ):
        saliency.gradient(net.model, x, 1)
    assert saliency.gradient(net, x, 1).any()
    assert saliency.occlusion(net, x, 1, window=16, stride=16).any()
    layers = dict(net.named_modules())
    layer = [part for name, part in layers.items() if name.endswith(f".{last}")][-1]
    cam = saliency.grad_cam(net, x, 1, layer=layer)
    torch.testing.assert_close(cam, cam_by_hand(net, x, layer, grid), rtol=1e-9, atol=1e-12)
    said = [either(saliency.grad_cam, net, x, 1, layer=name) for name in list(layers)[1:]]
    assert any(torch.is_tensor(result) for result in said)
    for method in (saliency.relevance, saliency.rollout, saliency.attn_lrp):
        assert "attention" in either(method, net, x, 1)  # Siglip's pooling reads others' tokens
    either(saliency.guided_backprop, net, x, 1)


# ---- what fits a picture by its shape alone
@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "visformer_tiny"])
def test_attention_weights_are_no_places(name):
    net = timm.create_model(name, num_classes=5).eval()
    for layer in net.modules():
        layer.fused_attn = False
    x = torch.rand(1, 3, 224, 224)
    names = [name for name, _ in net.named_modules() if name.endswith("attn_drop")]
    with pytest.raises(CourseError, match="attention weights, who reads whom, and no places"):
        saliency.grad_cam(net, x, 1, layer=names[-2])
    saliency.grad_cam(net, x, 1, layer=names[-2].replace("attn.attn_drop", "norm1"))


def test_tokens_out_of_order_are_no_places():
    """Hiera puts those of one mask unit beside each other, as many as a square picture has."""
    settings = {"embed_dim": 16, "num_heads": 1, "stages": (1, 1, 1, 1)}
    net = timm.create_model("hiera_tiny_224", num_classes=5, **settings).eval()
    x = torch.rand(1, 3, 224, 224)
    with pytest.raises(CourseError, match="do not stand in the picture's order"):
        saliency.grad_cam(net, x, 1, layer="blocks.1.norm1")
    saliency.grad_cam(net, x, 1, layer="patch_embed.proj")


# ---- attention that is more than attention
class Reads(nn.Module):
    """Patches of 8 pixels and one attention of torch, called in one way."""

    def __init__(self, call, **options):
        super().__init__()
        torch.manual_seed(0)
        self.patches, self.head = nn.Conv2d(3, 16, 8, 8), nn.Linear(16, 5)
        self.layer = nn.MultiheadAttention(16, 2, batch_first=True, **options)
        self.call = call

    def forward(self, x):
        t = self.patches(x).flatten(2).mT  # (B, T, 16)
        return self.head(self.call(self.layer, t)[:, 0])


def later(t, infinite=True):
    """A mask (T, T) of the tokens behind the one that reads."""
    return torch.full((t.shape[1],) * 2, -torch.inf if infinite else -3.0).to(t).triu(1)


def with_weights(layer, t):
    values, weights = layer(t, t, t)
    return weights @ values


FOLLOWED = {
    "plain": lambda layer, t: layer(t, t, t)[0],
    "by keywords": lambda layer, t: layer(query=t, key=t, value=t)[0],
    "masked": lambda layer, t: layer(t, t, t, attn_mask=later(t), is_causal=True)[0],
}
REFUSED = {
    "another reads": lambda layer, t: layer(t.mean(1, keepdim=True), t, t)[0],
    "others are read": lambda layer, t: layer(t, t.flip(0), t.flip(0))[0],
    "true or false": lambda layer, t: layer(t, t, t, attn_mask=later(t) < 0)[0],
    "mask by place": lambda layer, t: layer(t, t, t, None, False, later(t, infinite=False))[0],
    "padding": lambda layer, t: layer(t, t, t, key_padding_mask=t[..., 0] > 0)[0],
    "one by one": lambda layer, t: torch.stack([layer(row, row, row)[0] for row in t]),
    "never called": lambda layer, t: t,
    "its weights used": with_weights,
    "all are averaged at last": lambda layer, t: layer(t, t, t)[0].mean(1, keepdim=True),
}
LRP_ALONE = ("never called", "its weights used", "all are averaged at last")  # AttnLRP follows all


@pytest.mark.parametrize("method", [saliency.rollout, saliency.relevance, saliency.attn_lrp])
@pytest.mark.parametrize("way", [*FOLLOWED, *REFUSED])
def test_what_is_written_out_is_compared_with_what_the_layer_does(method, way):
    net = Reads((FOLLOWED | REFUSED)[way]).double().eval()
    x = torch.randn(2, 3, 32, 48, generator=torch.Generator().manual_seed(0)).double()
    before = net(x)
    if way in FOLLOWED or (way in LRP_ALONE and method is saliency.attn_lrp):
        assert method(net, x, 1).any()
    else:
        with pytest.raises(CourseError, match="cannot be followed|follow nothing|nothing can be"):
            method(net, x, 1)
    assert torch.backends.mha.get_fastpath_enabled()
    torch.testing.assert_close(net(x), before, rtol=0, atol=0)


class Unfolded(Reads):
    """No convolution says how large its patches are: 17 tokens are 1 + 4 x 4, or 8 + 3 x 3."""

    def __init__(self):
        super().__init__(None)
        self.patches, self.token = nn.Linear(192, 16), nn.Parameter(torch.randn(1, 1, 16))

    def forward(self, x):
        t = self.patches(F.unfold(x, 8, stride=8).mT)
        t = torch.cat([self.token.expand(len(t), -1, -1), t], dim=1)
        return self.head(self.layer(t, t, t)[0][:, 0])


@pytest.mark.parametrize("method", [saliency.rollout, saliency.relevance])
def test_the_grid_that_is_asked_for_can_be_given(method):
    net, x = Unfolded().eval(), torch.rand(2, 3, 32, 32)
    with pytest.raises(CourseError, match=r"give grid=\(h, w\), such as \(3, 3\) or \(4, 4\)"):
        method(net, x, 1)
    assert method(net, x, 1, grid=(4, 4)).shape == (2, 1, 32, 32)


METHODS = saliency.rollout, saliency.relevance, saliency.attn_lrp


@pytest.mark.parametrize("method", METHODS)
def test_number_types_and_pictures_from_inference_mode(method):
    net, x = Reads(FOLLOWED["plain"]).double().eval(), torch.rand(2, 3, 32, 48).double()
    exact = method(net, x, 1)
    with torch.inference_mode():
        kept = x.clone()
        torch.testing.assert_close(method(net, kept, 1).clone(), exact)
    torch.testing.assert_close(method(net, kept, 1), exact)
    for dtype in (torch.float16, torch.bfloat16):
        half = method(Reads(FOLLOWED["plain"]).to(dtype).eval(), x, 1)
        assert half.dtype == torch.float32  # summed there, and NumPy knows no bfloat16
        assert (half - exact).norm() < 0.05 * exact.norm()


@pytest.mark.parametrize("method", METHODS)
def test_a_traced_model_is_named(method):
    net, x = Reads(FOLLOWED["plain"]).eval(), torch.rand(2, 3, 32, 48)
    traced = torch.jit.trace(net, x, check_trace=False)
    with pytest.raises(CourseError, match="scripted or traced"):
        method(traced, x, 1)


@pytest.mark.parametrize("options", [{"add_bias_kv": True}, {"add_zero_attn": True}])
def test_an_attention_with_more_weights_is_refused(options):
    with pytest.raises(CourseError, match="cannot be followed"):
        saliency.rollout(Reads(FOLLOWED["plain"], **options), torch.rand(1, 3, 32, 32))


@pytest.mark.parametrize("method", [saliency.rollout, saliency.relevance, saliency.attn_lrp])
def test_torchs_own_encoder_is_followed_although_it_has_a_faster_way(method):
    torch.manual_seed(0)
    block = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    net = Reads(lambda encoder, t: encoder(t))
    net.layer = nn.TransformerEncoder(block, 2, enable_nested_tensor=False)
    assert method(net.eval(), torch.rand(1, 3, 32, 48), 1).any()


@pytest.mark.parametrize("name", ["eva02_tiny_patch14_224", "vit_small_patch16_rope_224"])
def test_timms_attention_with_turned_tokens_is_refused(name):
    net = timm.create_model(name, num_classes=5, depth=1, img_size=56).eval()
    for method in (saliency.rollout, saliency.relevance, saliency.attn_lrp):
        with pytest.raises(CourseError, match="followed"):
            method(net, torch.rand(1, 3, 56, 56), 0)


def test_an_activation_that_works_in_place_passes_as_much_on():
    x, maps_of = torch.rand(2, 3, 32, 48), []
    for inplace in (False, True):
        net = Reads(FOLLOWED["plain"])
        net.head = nn.Sequential(nn.Linear(16, 16), nn.SiLU(inplace=inplace), nn.Linear(16, 5))
        maps_of.append(saliency.attn_lrp(net, x, 1))
    torch.testing.assert_close(*maps_of)


# ---- CLIP with a captioner
def test_maps_of_coca():
    size = {"context_length": 16, "vocab_size": 100, "width": 32, "heads": 2, "layers": 1}
    picture = {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8}
    pooled = {"attentional_pool": True, "attn_pooler_heads": 2, "output_tokens": True}
    torch.manual_seed(0)
    model = CoCa(
        32,
        multimodal_cfg=size | {"attn_pooler_heads": 2},
        text_cfg=size | {"embed_cls": True, "output_tokens": True},
        vision_cfg=picture | pooled,
    ).eval()
    image = maps.scaled(model, torch.rand(3, 50, 70, generator=torch.Generator().manual_seed(0)))
    texts = F.normalize(torch.randn(2, 32, generator=torch.Generator().manual_seed(1)), dim=-1)
    fewer = {"crops": {"crops": 4}, "RISE": {"masks": 4}, "occlusion": {"window": 16, "stride": 16}}
    methods = score.methods(model)
    methods["named"] = partial(maps.grad_cam, layer=model.visual.transformer.resblocks[0])
    for name, method in methods.items():
        values = map_or_sentence(method, model, image, texts, size=(50, 70), **fewer.get(name, {}))
        assert torch.is_tensor(values) != (name == "relevance"), values
