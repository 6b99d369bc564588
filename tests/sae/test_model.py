import pytest
import torch

from helpers.ground.errors import CourseError
from helpers.sae.model import Dictionary, Settings, SparseAutoencoder, geometric_median

TINY = Settings(neurons=12, features=30, l1=0.1)


def tiny(**changes) -> SparseAutoencoder:
    from dataclasses import replace

    sae = SparseAutoencoder(replace(TINY, **changes)).double()
    sae.normalise()  # again, to float64's precision
    return sae


def inputs(n: int = 64, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, 12, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_encode_decode_and_loss_by_the_written_formula():
    sae, x = tiny(), inputs()
    sae.b_dec.data, sae.b_enc.data = inputs(1, 1)[0], torch.randn(30, dtype=torch.float64)
    assert sae.W_enc.shape == (12, 30)
    assert sae.W_dec.shape == (30, 12)
    f = torch.relu((x - sae.b_dec) @ sae.W_enc + sae.b_enc)
    x_hat = f @ sae.W_dec + sae.b_dec
    torch.testing.assert_close(sae.encode(x), f)
    torch.testing.assert_close(sae(x), x_hat)
    total, mse, sparsity = sae.loss(x, f)
    torch.testing.assert_close(mse, ((x - x_hat) ** 2).sum() / x.numel())
    torch.testing.assert_close(sparsity, f.abs().sum() / len(x))
    torch.testing.assert_close(total, mse + 0.1 * sparsity)


def test_the_loss_does_not_grow_with_the_batch():
    sae, x = tiny(), inputs()
    twice = torch.cat([x, x])
    torch.testing.assert_close(
        sae.loss(x, sae.encode(x)).total, sae.loss(twice, sae.encode(twice)).total
    )


def test_directions_have_length_one_and_the_gradient_keeps_it():
    sae, x = tiny(), inputs()
    torch.testing.assert_close(sae.W_dec.norm(dim=1), torch.ones(30, dtype=torch.float64))
    sae.loss(x, sae.encode(x)).total.backward()
    before = sae.W_dec.grad.clone()
    along = (before * sae.W_dec).sum(dim=1, keepdim=True)
    sae.project_gradient()
    assert (sae.W_dec.grad * sae.W_dec).sum(dim=1).abs().max() < 1e-12 < along.abs().max()
    torch.testing.assert_close(sae.W_dec.grad, before - sae.W_dec * along)


def test_without_unit_norm_neither_happens():
    sae, x = tiny(unit_norm=False), inputs()
    assert (sae.W_dec.norm(dim=1) - 1).abs().max() > 0.05
    sae.loss(x, sae.encode(x)).total.backward()
    before = sae.W_dec.grad.clone()
    sae.project_gradient()
    assert torch.equal(before, sae.W_dec.grad)


def test_rescaling_would_cheat_the_penalty():
    """Ten times longer directions, features a tenth as large: the same x̂ for a tenth."""
    sae, x = tiny(unit_norm=False), inputs()
    before = sae.loss(x, sae.encode(x))
    for p, factor in ((sae.W_enc, 0.1), (sae.b_enc, 0.1), (sae.W_dec, 10.0)):
        p.data *= factor
    after = sae.loss(x, sae.encode(x))
    torch.testing.assert_close(after.mse, before.mse)
    torch.testing.assert_close(after.sparsity, before.sparsity / 10)


def test_without_input_bias_nothing_moves_it():
    sae = tiny(input_bias=False)
    assert not sae.b_dec.requires_grad
    assert not sae.b_dec.any()


def test_geometric_median_of_a_square_with_an_outlier():
    points = torch.tensor([[0.0, 0], [0, 2], [2, 0], [2, 2], [1, 1], [100, 1]], dtype=torch.float64)
    found = geometric_median(points, steps=500)
    distance = lambda p: (points - p).norm(dim=-1).sum()
    assert all(
        distance(found) <= distance(found + torch.tensor(step)) + 1e-6
        for step in ([0.1, 0.0], [-0.1, 0.0], [0.0, 0.1], [0.0, -0.1])
    )
    assert found[0] < 1.6, "an outlier hardly moves it; the mean is at 17.5"


def test_a_dictionary_takes_the_transformers_own_units():
    sae = tiny()
    sae.b_dec.data = inputs(1, 1)[0]
    acts = inputs(20)
    torch.testing.assert_close(Dictionary(sae, 2.5).reconstruct(acts), sae(acts * 2.5) / 2.5)
    torch.testing.assert_close(Dictionary(sae, 2.5).features(acts), sae.encode(acts * 2.5))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_dictionary_takes_activations_of_any_number_type(dtype):
    dictionary, acts = Dictionary(tiny(), 2.5), inputs(20)
    half = Dictionary(tiny().to(dtype), 2.5)
    for mine, given in ((dictionary, acts.to(dtype)), (half, acts)):
        for which in ("features", "reconstruct"):
            ours, exact = getattr(mine, which)(given), getattr(dictionary, which)(acts)
            assert (ours.double() - exact).norm() < 0.02 * exact.norm()


@pytest.mark.parametrize("acts", [torch.rand(3, 7), torch.rand(3, 9), torch.tensor(1.0), "words"])
def test_activations_of_another_width_are_refused(acts):
    dictionary = Dictionary(SparseAutoencoder(Settings(neurons=8, features=12)), 2.0)
    uses = dictionary.features, dictionary.reconstruct, lambda acts: dictionary.feature(acts, 3)
    for use in uses:
        with pytest.raises(
            CourseError, match=r"activations \(..., 8\), not|should be a Tensor, not"
        ):
            use(acts)


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_pinning_moves_along_one_direction_only(value):
    sae = tiny()
    dictionary, acts = Dictionary(sae, 2.5), inputs(20)
    change = dictionary.with_feature(4, value)(acts) - acts
    wanted = (value - dictionary.features(acts)[:, 4:5]) * sae.W_dec[4] / 2.5
    torch.testing.assert_close(change, wanted)
    parts = dictionary.features(acts)
    parts[:, 4] = value
    reconstructed = dictionary.sae.decode(parts) / 2.5
    error = acts - dictionary.reconstruct(acts)
    torch.testing.assert_close(acts + change, reconstructed + error)
