import pytest
import torch
import torch.nn.functional as F

from helpers.ground.errors import CourseError
from helpers.transformer.model import (
    OneLayerTransformer,
    Settings,
    initialise,
    load,
    quick_gelu,
    solu,
)

TINY = {"d_model": 16, "d_mlp": 24, "heads": 2, "context": 12, "vocabulary": 40}


def tiny(**changes) -> OneLayerTransformer:
    model = OneLayerTransformer(Settings(**TINY | changes))
    initialise(model, seed=0)
    return model.double().eval()


def test_the_slides_three_examples():
    expected = {
        (4.0, 1.0, 4.0, 1.0): (1.905148, 0.023713, 1.905148, 0.023713),
        (4.0, 0.0, 0.0, 0.0): (3.791660, 0, 0, 0),
        (1.0, 1.0, 1.0, 1.0): (0.25,) * 4,
    }
    for given, wanted in expected.items():
        torch.testing.assert_close(
            solu(torch.tensor(given, dtype=torch.float64)),
            torch.tensor(wanted, dtype=torch.float64),
            atol=1e-6,
            rtol=0,
        )


def test_quick_gelu_is_off_by_at_most_0_0205():
    x = torch.linspace(-6, 6, 24001, dtype=torch.float64)
    error = (quick_gelu(x) - F.gelu(x)).abs().max().item()
    assert 0.0200 < error < 0.0206


def test_solu_with_layer_norm_is_transformerlens_solu_ln():
    """pre → x · softmax(x) over the neurons → LayerNorm with weight and bias, eps 1e-5."""
    model = tiny(activation="solu", layer_norm=True)
    x = torch.randn(2, 5, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    torch.nn.init.normal_(model.norm_neurons.weight), torch.nn.init.normal_(model.norm_neurons.bias)
    pre, mid, post = model.neurons(x)
    by_hand = pre * torch.exp(pre) / torch.exp(pre).sum(-1, keepdim=True)
    centred = by_hand - by_hand.mean(-1, keepdim=True)
    normed = (
        centred / (centred.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt() * model.norm_neurons.weight
        + model.norm_neurons.bias
    )
    torch.testing.assert_close(mid, by_hand)
    torch.testing.assert_close(post, normed)
    torch.testing.assert_close(
        pre,
        F.layer_norm(x, (16,), model.norm_2.weight, model.norm_2.bias) @ model.W_in.weight.T
        + model.W_in.bias,
    )


def test_layer_norm_makes_the_softmax_denominator_irrelevant():
    x = torch.randn(7, 24, dtype=torch.float64)
    norm = lambda v: F.layer_norm(v, (24,), eps=0)
    torch.testing.assert_close(norm(solu(x)), norm(x * x.exp()))


def test_no_position_sees_the_future():
    model = tiny()
    tokens = torch.randint(0, 40, (3, 12), generator=torch.Generator().manual_seed(0))
    changed = tokens.clone()
    changed[:, 7] = (changed[:, 7] + 1) % 40
    a, b = model(tokens), model(changed)
    torch.testing.assert_close(a[:, :7], b[:, :7], rtol=0, atol=1e-12)
    assert (a[:, 7:] - b[:, 7:]).abs().max() > 1e-4


def test_attention_is_the_written_formula():
    model = tiny()
    x = torch.randn(2, 6, 16, dtype=torch.float64)
    q, k, v = (t.unflatten(-1, (2, 8)).transpose(1, 2) for t in model.qkv(x).split(16, dim=-1))
    scores = (q @ k.transpose(-1, -2)) / 8**0.5  # by the written formula
    weights = scores.masked_fill(torch.ones(6, 6).triu(1).bool(), -torch.inf).softmax(dim=-1)
    reference = (weights @ v).transpose(1, 2).flatten(-2)
    torch.testing.assert_close(model.attend(x), model.attention_out(reference))


def test_edit_reaches_the_logits_and_only_them():
    model = tiny()
    tokens = torch.randint(0, 40, (2, 8))
    torch.testing.assert_close(model(tokens), model(tokens, lambda acts: acts))
    model.W_out.weight.data.zero_()
    torch.testing.assert_close(model(tokens), model(tokens, torch.zeros_like))


def test_logit_effects_are_the_direct_path_with_median_zero():
    model = tiny()
    gamma = torch.linspace(0.2, 3.0, 16, dtype=torch.float64)
    model.norm_final.weight.data = gamma
    effects = model.logit_effects(torch.eye(24, dtype=torch.float64))
    assert effects.shape == (24, 40)
    by_hand = model.W_out.weight.T[3] * model.norm_final.weight @ model.unembed.weight.T
    torch.testing.assert_close(effects[3], by_hand - by_hand.median())


def test_initial_weights_follow_from_the_seed_alone():
    a, b, other = (OneLayerTransformer(Settings(**TINY)) for _ in range(3))
    initialise(a, 0), initialise(b, 0), initialise(other, 1)
    assert torch.equal(a.W_in.weight, b.W_in.weight)
    assert not torch.equal(a.W_in.weight, other.W_in.weight)
    assert a.W_in.weight.std().item() == pytest.approx(16**-0.5, rel=0.15)
    assert a.unembed.weight.std().item() == pytest.approx(0.02, rel=0.15)
    assert not a.W_in.bias.any()
    assert (a.norm_1.weight == 1).all()


def test_loading_leaves_the_readers_random_numbers_alone():
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    load("lm_relu")
    assert torch.equal(torch.rand(3), wanted)


@pytest.mark.parametrize(("bad", "message"), [({"activation": "tanh"}, "relu, gelu, solu")])
def test_unknown_activation(bad, message):
    with pytest.raises(CourseError, match=message):
        OneLayerTransformer(Settings(**bad))


def test_tokens_of_any_whole_type_and_what_is_none():
    model, tokens = tiny(), torch.arange(6).view(1, 6)
    for dtype in (torch.int16, torch.uint8, torch.int32):  # a stream's are int16
        assert torch.equal(model(tokens.to(dtype)), model(tokens))
    for wrong in (tokens[0], tokens.float(), tokens.tolist(), "hello"):
        with pytest.raises(CourseError, match="whole numbers .B, T., not "):
            model(wrong)


def test_too_long_a_text_speaks():
    with pytest.raises(CourseError, match="12 positions"):
        tiny()(torch.zeros(1, 13, dtype=torch.long))


def test_shipped_model_loads_and_has_learned():
    from data.recipes.lm import heldout
    from helpers.transformer.measure import ablate, token_losses

    model, rows = load("lm_relu"), heldout()[0][:40]
    loss, ablated = token_losses(model, rows).mean(), token_losses(model, rows, ablate).mean()
    assert loss < 3.7
    assert ablated > loss + 0.7


def test_missing_model_names_the_command():
    with pytest.raises(CourseError, match="make lm_nothing"):
        load("lm_nothing")
