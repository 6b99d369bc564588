"""Rollout, relevance and AttnLRP beside formulas written out another way, on random networks."""

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import nn

from helpers import saliency
from helpers.ground.errors import CourseError
from helpers.saliency.attention_maps import (
    attend,
    attention_in_graph,
    attn_lrp,
    lrp_rules,
    relevance,
    roll,
    rollout,
)


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class OneAttention(nn.Module):
    """Patches of 2 x 2 pixels, one attention with two heads, the mean token, three classes."""

    def __init__(self, norm=False):
        super().__init__()
        self.patches = nn.Conv2d(1, 4, 2, 2, bias=False)
        self.norm = nn.LayerNorm(4, bias=False) if norm else nn.Identity()
        self.attention = nn.MultiheadAttention(4, 2, bias=False, batch_first=True)
        self.head = nn.Linear(4, 3, bias=False)
        for seed, p in enumerate(self.parameters()):
            p.data = draw(*p.shape, seed=seed)
        self.double().eval()

    def forward(self, x):
        tokens = self.norm(self.patches(x).flatten(2).mT)
        return self.head(self.attention(tokens, tokens, tokens, need_weights=False)[0].mean(1))


@pytest.fixture
def vit():
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        model = timm.create_model(
            "vit_tiny_patch16_224",
            img_size=(32, 48),
            depth=3,
            num_classes=5,
            patch_size=8,
        )
    for block in model.blocks:  # sharper than timm's first weights
        block.attn.qkv.weight.data *= 8
    return model.double().eval()


def test_attn_lrp_of_one_attention_is_the_paper_s_rules():
    """Relevance followed from the class down to the pixels, product by product."""
    model, x = OneAttention(), draw(1, 1, 4, 4, seed=9)
    t = model.patches(x).flatten(2)[0].T  # (T, 4)
    W = model.attention.in_proj_weight
    q, k, v = ((t @ w.T).view(4, 2, 2).transpose(0, 1) for w in W.chunk(3))  # (heads, T, d)
    S = q @ k.mT / 2**0.5
    A = S.softmax(-1)
    out = A @ v
    up = model.attention.out_proj.weight.T @ model.head.weight[1]  # of each token's out, / 4
    R_out = out * up.view(2, 1, 2) / 4
    R_A = (A[..., None] * v[:, None] * (R_out / (2 * out))[:, :, None]).sum(-1)
    R_v = (A[..., None] * v[:, None] * (R_out / (2 * out))[:, :, None]).sum(1)
    R_S = S * (R_A - A * R_A.sum(-1, keepdim=True))
    share = q[:, :, None] * k[:, None] / 2**0.5 * (R_S / (2 * S))[..., None]
    R = torch.cat([share.sum(2), share.sum(1), R_v])  # (3 · heads, T, d)
    values = torch.cat([q, k, v])
    w = W.view(6, 2, 4)
    R_t = (t[None, :, None] * w[:, None] * (R / values)[..., None]).sum((0, 2))  # (T, 4)
    pixels = F.unfold(x, 2, stride=2)[0].T  # (T, 4)
    kernels = model.patches.weight.flatten(1)  # (4, 4)
    R_x = (pixels[:, None] * kernels[None] * (R_t / t)[..., None]).sum(1)  # (T, 4)
    expected = F.fold(R_x.T[None], (4, 4), 2, stride=2)
    torch.testing.assert_close(attn_lrp(model, x, 1), expected, rtol=1e-8, atol=1e-12)


def test_a_normalisation_and_an_activation_lose_no_relevance():
    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(
                nn.Flatten(),
                nn.Linear(16, 8, bias=False),
                nn.LayerNorm(8, bias=False),
                nn.GELU(),
                nn.Linear(8, 3, bias=False),
            )
            self.unused = nn.MultiheadAttention(4, 2)

        def forward(self, x):
            return self.body(x)

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        model = Plain().double()
    x = draw(3, 1, 4, 4)
    total = attn_lrp(model, x, 2).sum((1, 2, 3))
    torch.testing.assert_close(total, model(x)[:, 2].detach(), rtol=1e-9, atol=1e-12)
    plain = saliency.gradient_x_input(model, x, 2).sum((1, 2, 3))
    assert not torch.allclose(plain, total, rtol=0.05)


def test_rollout_and_relevance_written_as_loops(vit):
    x = draw(2, 3, 32, 48)
    with attention_in_graph(vit) as A:
        score = vit(x.requires_grad_())[:, 3].sum()
    dA = torch.autograd.grad(score, A)
    one = torch.eye(25, dtype=torch.float64)
    for b in range(2):
        R, P = one, one
        for weights, slope in zip(A, dA, strict=True):
            heads = [(weights[b, h] * slope[b, h]).clamp(min=0) for h in range(3)]
            R = R + sum(heads) / 3 @ R
            P = (one + sum(weights[b]) / 3) / 2 @ P
        for method, table in ((relevance, R), (rollout, P)):
            small = table[0, 1:].view(1, 1, 4, 6)
            large = F.interpolate(small, (32, 48), mode="bilinear")[0]
            torch.testing.assert_close(method(vit, x, 3)[b], large, rtol=1e-8, atol=1e-14)
    torch.testing.assert_close(roll(A).sum(-1), torch.ones(2, 25, dtype=torch.float64))


def test_only_rollout_ignores_the_class(vit):
    x = draw(1, 3, 32, 48)
    torch.testing.assert_close(rollout(vit, x, 0), rollout(vit, x, 4))
    for method in (relevance, attn_lrp):
        assert not torch.allclose(method(vit, x, 0), method(vit, x, 4))


def test_torchs_attention_and_timms_say_the_same_opened_and_are_put_back(vit):
    x, picture = draw(2, 3, 32, 48), draw(1, 1, 4, 4)
    for model, inputs in ((vit, x), (OneAttention(norm=True), picture)):
        plain, before = model(inputs), [dict(vars(m)) for m in model.modules()]
        with attention_in_graph(model) as A:
            torch.testing.assert_close(model(inputs), plain)
        torch.testing.assert_close(A[0].sum(-1), torch.ones_like(A[0][..., 0]))
        with lrp_rules(model):
            torch.testing.assert_close(model(inputs), plain)
        with pytest.raises(AssertionError), lrp_rules(model):
            raise AssertionError
        assert [dict(vars(m)) for m in model.modules()] == before


def test_attend_reads_no_later_token_under_a_mask():
    layer, x = OneAttention().attention, draw(1, 5, 4)
    mask = torch.full((5, 5), -torch.inf).double().triu(1)
    keep = []
    out, _ = attend(layer, keep, x, attn_mask=mask)
    expected, weights = layer(x, x, x, attn_mask=mask, average_attn_weights=False)
    torch.testing.assert_close(out, expected)
    torch.testing.assert_close(keep[0], weights)


@pytest.mark.parametrize("method", [relevance, rollout, attn_lrp])
def test_a_model_without_attention_is_one_sentence(method):
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    with pytest.raises(CourseError, match="No attention that can be followed was found"):
        method(model, torch.rand(1, 3, 2, 2), 0)
