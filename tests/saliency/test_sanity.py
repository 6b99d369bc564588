"""Randomising layers: what falls, what is restored, and the four similarity measures."""

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn
from torch.nn.utils import parametrizations, parametrize

from helpers import saliency
from helpers.ground.errors import CourseError
from helpers.nets import digits
from helpers.saliency import sanity
from tests.pretend_gpu import available, pretend_gpu
from tests.saliency.conftest import make_net


def weights(net):
    return {name: value.clone() for name, value in net.state_dict().items()}


def moved(before, net):
    state = net.state_dict()
    return {name for name, value in state.items() if not torch.equal(value, before[name])}


def changed(before, net):
    return {name.rsplit(".", 1)[0] for name in moved(before, net)}


def test_only_the_named_layers_fall_and_all_come_back(net):
    before, layers = weights(net), sanity.layers_of(net)
    with sanity.randomised(net, ["head", ("last", "second")]):
        assert changed(before, net) == {"head", "last", "second"}
    assert not changed(before, net)
    try:
        with sanity.randomised(net, layers):
            assert changed(before, net) == set(layers)
            _ = 1 / 0
    except ZeroDivisionError:
        pass
    assert not changed(before, net)


def test_a_cascade_destroys_as_it_is_told(net):
    drawn = lambda f, x, c: f.head.weight.detach().clone()
    zeroed = lambda part: [p.zero_() for p in part.parameters()]
    maps = sanity.cascade(net, ["head"], drawn, None, None, initialise=zeroed)
    assert maps[0].any()
    assert not maps[1].any()
    assert net.head.weight.any(), "all weights are back"


class Token(nn.Module):
    """Parts as transformers and norms of others have them: none knows how to begin anew."""

    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 1, 6))
        self.empty = nn.Parameter(torch.zeros(3))
        self.scale = nn.Parameter(torch.full((6,), 1e-5))
        self.register_buffer("mask", torch.full((2, 2), -torch.inf))
        self.register_buffer("running_mean", torch.randn(6))
        self.register_buffer("running_var", torch.rand(6) + 1)


class Clipped(nn.Module):
    """A parametrisation of others: it fails where a weight is not a number."""

    def forward(self, weight):
        u, s, v = torch.linalg.svd(weight, full_matrices=False)
        return u @ torch.diag(s.clamp(max=1)) @ v


class Keeps(nn.Linear):
    """Its initialiser brings back what it began with, and its state holds more than tensors."""

    def __init__(self):
        super().__init__(4, 5)
        self.start = None

    def reset_parameters(self):
        super().reset_parameters()
        if getattr(self, "start", None):
            self.load_state_dict(self.start, strict=False)

    def get_extra_state(self):
        return {"scale": None}

    def set_extra_state(self, state):
        pass


def clipped():
    part = nn.Linear(4, 5)
    parametrize.register_parametrization(part, "weight", Clipped())
    return nn.Sequential(part)


def trained(make):
    """A part as a training leaves it: no weight is where its initialiser would put it."""
    torch.manual_seed(0)
    part = make()
    with torch.no_grad():
        for name, value in part.state_dict().items():
            if value.is_floating_point() and "mask" not in name:
                value.add_(torch.rand_like(value))
    return part


STAY = {"mask", "0.num_batches_tracked"}


@pytest.mark.parametrize(
    "make",
    [
        Token,
        lambda: nn.MultiheadAttention(8, 2, add_bias_kv=True),
        lambda: nn.TransformerEncoderLayer(8, 2, 16),
        lambda: nn.Sequential(nn.BatchNorm2d(4), nn.Linear(4, 5), nn.Sequential(nn.Linear(5, 2))),
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.LayerNorm(4), nn.GroupNorm(2, 4), nn.PReLU()),
        lambda: nn.Sequential(nn.LSTM(3, 4, bidirectional=True), nn.Embedding(5, 3)),
        lambda: nn.Sequential(parametrizations.weight_norm(nn.Linear(4, 5))),
        lambda: nn.Sequential(nn.utils.weight_norm(nn.Linear(4, 5))),
        lambda: nn.Sequential(parametrizations.spectral_norm(nn.Linear(4, 5))),
        lambda: nn.Sequential(nn.utils.spectral_norm(nn.Linear(4, 5))),
        lambda: nn.Sequential(parametrizations.orthogonal(nn.Linear(4, 4))),
        clipped,
    ],
)
def test_nothing_that_was_learned_is_left(make):
    """Parts whose initialiser does not reach everything, and containers with several parts."""
    net = nn.ModuleDict({"part": trained(make), "other": nn.Linear(2, 2)})
    before = weights(net)
    learned = {name for name in before if name.startswith("part") and name[5:] not in STAY}
    learned = {name for name in learned if not name.endswith(".base")}  # orthogonal's fixed base
    with sanity.randomised(net, ["part"]):
        assert moved(before, net) - {"part.0.num_batches_tracked"} == learned
        assert all(p.isfinite().all() for p in net.parameters())
    assert not moved(before, net)


def test_an_initialiser_that_brings_trained_weights_back():
    part = Keeps()
    part.start = {n: p.detach().clone() for n, p in part.named_parameters()}
    before = dict(part.start)
    with sanity.randomised(nn.ModuleDict({"part": part}), ["part"]):
        assert not any(torch.equal(p, before[n]) for n, p in part.named_parameters())
    assert all(torch.equal(p, before[n]) for n, p in part.named_parameters())


def test_what_a_state_dict_leaves_out_comes_back_too():
    part = nn.BatchNorm1d(4)
    for name in ("running_mean", "running_var"):
        part.register_buffer(name, torch.rand(4) + 1, persistent=False)
    before = {n: b.clone() for n, b in part.named_buffers()}
    with sanity.randomised(nn.ModuleDict({"part": part}), ["part"]):
        assert part.running_mean.eq(0).all()
    assert all(torch.equal(b, before[n]) for n, b in part.named_buffers())


def test_reset_by_itself_and_of_weights_that_are_whole_numbers():
    part = nn.Sequential(nn.Linear(3, 4))
    part.packed = nn.Parameter(torch.arange(9), requires_grad=False)
    before = weights(part)
    with pytest.warns(UserWarning, match="Kept, as they cannot be drawn: packed"):
        sanity.reset(part)
    assert moved(before, part) == {"0.weight", "0.bias"}
    assert all(p.requires_grad for p in part[0].parameters())


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("norm", [parametrizations.spectral_norm, nn.utils.spectral_norm])
def test_a_spectral_norm_follows_its_new_weights(norm, training):
    """Beside vectors of the trained weights a random layer would be many times too large."""
    torch.manual_seed(0)
    net = nn.ModuleDict({"part": norm(nn.Linear(40, 30, bias=False))}).train(training)
    with sanity.randomised(net, ["part"]):
        assert all(part.training == training for part in net.modules())
        weight = net.eval()["part"](torch.eye(40))
        assert 0.95 < torch.linalg.matrix_norm(weight, 2) < 1.15


def test_weights_that_do_not_exist_yet_are_named():
    net = nn.Sequential(nn.Flatten(), nn.LazyLinear(4))
    for use in (saliency.gradient, saliency.occlusion):
        with pytest.raises(CourseError, match="model\\(inputs\\) once"):
            use(net, torch.rand(1, 3, 40, 40), 0)
    with pytest.raises(CourseError, match="once"), sanity.randomised(net, ["1"]):
        pass


class Table(nn.Module):
    """A codebook kept as a buffer, and an initialiser that wants to be told how wide."""

    def __init__(self):
        super().__init__()
        self.register_buffer("codes", torch.randn(5, 4))
        self.weight = nn.Parameter(torch.randn(4))

    def reset_parameters(self, width):
        self.weight.normal_(0, width)


def test_buffers_that_may_have_been_learned_are_named_and_odd_initialisers_replaced():
    net = nn.ModuleDict({"part": Table()})
    before = weights(net)
    with pytest.warns(UserWarning, match="Kept, .*: codes"), sanity.randomised(net, ["part"]):
        assert moved(before, net) == {"part.weight"}


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "convnext_atto"])
def test_a_transformers_tokens_and_scales_fall_too(name):
    import timm

    net = timm.create_model(name, num_classes=3)
    before, layers = weights(net), sanity.layers_of(net)
    assert "" not in layers
    with torch.no_grad():
        for p in net.parameters():
            p.add_(torch.rand_like(p))
    before = weights(net)
    with sanity.randomised(net, layers):
        assert moved(before, net) == set(before)
    if "cls_token" in before:
        with sanity.randomised(net, ["cls_token"]):
            assert moved(before, net) == {"cls_token"}


def test_every_part_of_a_container_begins_as_its_own_initialiser_says():
    nested = nn.Sequential(nn.BatchNorm1d(9), nn.Linear(9, 4))
    net = nn.ModuleDict({"part": trained(lambda: nn.Sequential(nn.LayerNorm(9), nested))})
    with sanity.randomised(net, ["part"]):
        norm, (batch_norm, linear) = net.part
        for part in (norm, batch_norm):
            assert part.weight.eq(1).all()
            assert part.bias.eq(0).all()
        assert batch_norm.running_mean.eq(0).all()
        assert 0.1 < linear.weight.abs().max() <= 1 / 3  # uniform within 1 / √9


def test_what_no_initialiser_draws_keeps_its_size():
    part = Token()
    with torch.no_grad():
        part.token.copy_(3 * torch.randn(1, 1, 6) + 40)
    net = nn.ModuleDict({"part": part})
    size = part.token.square().mean().sqrt()
    with sanity.randomised(net, ["part"]):
        assert 0.2 * size < part.token.square().mean().sqrt() < 2 * size
        assert part.scale.abs().max() < 1e-4
        assert 0 < part.empty.abs().max() < 0.1
        assert part.running_mean.eq(0).all()
        assert part.running_var.eq(1).all()
        assert part.mask.isneginf().all()


def test_frozen_and_batch_norm_layers_fall_and_the_global_streams_are_left_alone(monkeypatch):
    net = make_net("batch norm").requires_grad_(False)
    before, stream = weights(net), torch.random.get_rng_state()
    monkeypatch.setattr(torch, "manual_seed", None)  # it would seed every GPU as well
    with sanity.randomised(net, ["norm"]):
        assert changed(before, net) == {"norm"}
        assert not any(p.requires_grad for p in net.parameters())
    digits.network(3)
    assert torch.equal(torch.random.get_rng_state(), stream)
    assert not changed(before, net)


def test_cascading_and_independent(x):
    net, seen = make_net("plain"), []
    before = weights(net)

    def method(model, inputs, target):
        seen.append((changed(before, model), weights(model)))
        return saliency.gradient(model, inputs, target)

    layers = list(reversed(sanity.layers_of(net)))
    maps = sanity.cascade(net, layers, method, x, 1, seed=4)
    assert maps.shape == (len(layers) + 1, *x.shape)
    assert torch.equal(maps[0], saliency.gradient(net, x, 1))
    assert [names for names, _ in seen] == [set(layers[:k]) for k in range(len(layers) + 1)]
    cascading, seen = seen, []
    alone = sanity.cascade(net, layers, method, x, 1, seed=4, independent=True)
    assert [names for names, _ in seen] == [set(), *({layer} for layer in layers)]
    assert torch.equal(alone[1], maps[1])
    assert not torch.equal(alone[2], maps[2])
    for depth, layer in enumerate(layers, start=1):  # one layer's random weights: the same in both
        for name, value in seen[depth][1].items():
            assert not name.startswith(layer) or torch.equal(value, cascading[-1][1][name])
    other = sanity.cascade(net, layers[:1], saliency.gradient, x, 1, seed=5)
    assert not torch.equal(other[1], maps[1])


def test_a_layer_without_weights_or_a_wrong_name_is_named():
    net = digits.network()
    for layer, words in (("relu1", "no weights to randomise"), ("fc2", "fc1")):
        with pytest.raises(CourseError, match=words), sanity.randomised(net, [layer]):
            pass
    assert sanity.layers_of(net) == list(reversed(digits.LAYERS))


@pytest.mark.skipif(bool(available()), reason=available() or "here")
def test_random_weights_are_the_same_on_every_device():
    here, there = (make_net("batch norm").float() for _ in range(2))
    layers = ["head", ("norm", "first")]
    with sanity.randomised(here, layers):
        expected = weights(here)
    with pretend_gpu():
        there = there.to("cuda")
        with sanity.randomised(there, layers):
            state = {name: value.cpu() for name, value in there.state_dict().items()}
    assert all(torch.equal(value, state[name]) for name, value in expected.items())


# ---- similarities ----
def test_rank_correlations_are_scipys():
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(3, 2, 9, 9, generator=generator).round(decimals=1) for _ in range(2))
    a[0, :, :5] = b[0, :, :5] = 0  # rounded, and empty in part: with ties
    flat = {
        sanity.rank_correlation: lambda m: m.abs().sum(0).flatten(),
        sanity.signed_correlation: lambda m: m.sum(0).flatten(),
    }
    for ours, f in flat.items():
        expected = [spearmanr(f(p), f(q)).statistic for p, q in zip(a, b, strict=True)]
        np.testing.assert_allclose(ours(a, b), expected, rtol=1e-12)
    assert sanity.rank_correlation(a, -a).sub(1).abs().max() < 1e-12
    assert sanity.signed_correlation(a, -a).add(1).abs().max() < 1e-12
    assert sanity.rank_correlation(a, a * 0).isnan().all()
    a[1, 0, 0, 0] = torch.nan  # a map with a hole has no order: nan, not a low rank
    assert sanity.rank_correlation(a, b).isnan().tolist() == [False, True, False]


@pytest.mark.parametrize("name", sanity.SIMILARITIES)
def test_maps_of_any_kind_and_those_that_cannot_be_compared(name):
    measure, m = sanity.SIMILARITIES[name], torch.rand(2, 1, 14, 14)
    assert measure(m.numpy(), m.numpy()).sub(1).abs().max() < 1e-6
    for wrong, said in ((m[:, 0], "B, C, H, W"), ("map", "not 'map'"), (m[..., 1:], "one size")):
        with pytest.raises(CourseError, match=said):
            measure(m, wrong)
    if name == "SSIM":
        with pytest.raises(CourseError, match="11 x 11"):
            measure(m[..., 5:, :], m[..., 5:, :])


@pytest.mark.parametrize("measure", [sanity.structural, sanity.edges])
def test_pictures_of_maps(measure):
    m = torch.randn(3, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    m = nn.functional.avg_pool2d(m, 3, 1, 1)
    assert measure(m, m).sub(1).abs().max() < 1e-9
    assert measure(m, 7 * m).sub(1).abs().max() < 1e-4  # scale does not count
    assert measure(m, m.roll(1, 0)).abs().max() < 0.35


@pytest.mark.parametrize(("side", "cell"), [(224, 16), (28, 7)])
def test_hog_cells_are_the_papers_on_photographs_and_smaller_on_digits(side, cell):
    m = torch.rand(1, 1, side, side)
    assert torch.equal(sanity.edges(m, m.flip(3)), sanity.edges(m, m.flip(3), cell=cell))


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_weights_of_one_byte_are_drawn_too(dtype):
    layer = nn.Linear(16, 16)
    trained = layer.weight.detach().to(dtype)
    layer.weight = nn.Parameter(trained.clone(), requires_grad=False)
    layer.register_buffer("table", torch.arange(5.0).to(dtype))
    with pytest.warns(UserWarning, match="Kept, as they cannot be drawn: table"):
        sanity.reset(layer)
    new, old = layer.weight.float(), trained.float()
    assert (new != old).float().mean() > 0.8
    assert 0.7 < new.std() / old.std() < 1.4
    layer.weight.copy_(trained)
    with pytest.warns(UserWarning, match="table"), sanity.randomised(nn.Sequential(layer), ["0"]):
        assert not layer.weight.float().equal(old)
    assert layer.weight.float().equal(old)


def test_weights_that_torch_cannot_draw_are_named():
    layer = nn.Linear(4, 4)
    layer.scale = nn.Parameter(torch.ones(3).to(torch.float8_e8m0fnu), requires_grad=False)
    with pytest.warns(UserWarning, match="Kept, as they cannot be drawn: scale"):
        sanity.reset(layer)
