"""BatchTopK by hand: what stays, what an input alone gives, and whom the auxiliary loss moves."""

import pytest
import torch
from safetensors.torch import load_file

from data.next import batch_top_k
from data.next.batch_top_k import BatchTopK, TopKSettings, keep_largest, largest_entries
from helpers.sae.model import Dictionary

SETTINGS = TopKSettings(neurons=2, features=3, k=1, dead_after=4, k_aux=1)


def by_hand() -> BatchTopK:
    """Two neurons and three features: right, up, and left."""
    sae = BatchTopK(SETTINGS)
    sae.W_e.data = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    sae.W_d.data = sae.W_e.data.T.clone()
    return sae


def test_the_largest_of_the_whole_batch_stay():
    f = torch.tensor([[5.0, 4.0, 1.0], [0.0, 2.0, 3.0]])
    assert keep_largest(f, 3).tolist() == [[5, 4, 0], [0, 0, 3]]


@pytest.mark.parametrize("guess", [0.0, 1.0, 9.0])
def test_the_short_way_finds_the_same_entries(guess):
    f = torch.randn(20, 30, generator=torch.Generator().manual_seed(0)).relu()
    short = largest_entries(f, 50, at_least=torch.tensor(guess))
    assert torch.equal(short.to_dense(), keep_largest(f, 50))


def test_an_input_can_have_more_than_k_features_and_another_none():
    x = torch.tensor([[5.0, 4.0], [1.0, 2.0]])
    f = by_hand().encode_batch(x)
    assert f.tolist() == [[5, 4, 0], [0, 0, 0]]


def test_outside_training_the_threshold_decides():
    sae, x = by_hand(), torch.tensor([[5.0, 4.0], [1.0, 2.0]])
    sae.backward(x)
    assert sae.threshold == 4, "the smallest that stayed"
    assert sae.encode(torch.tensor([[5.0, 4.1], [1.0, 2.0]])).tolist()[1] == [0, 0, 0]
    assert sae.encode(torch.tensor([[5.0, 4.1]])).tolist()[0] == pytest.approx([5, 4.1, 0])
    sae.note_firing(torch.tensor([[0.0, 0.0, 5.0]]).to_sparse_csr())
    assert sae.threshold == pytest.approx(4.001), "it follows slowly"


def test_the_loss_and_its_gradient():
    """The second input is not explained: errors (0, 0) and (1, 2) give (1 + 4) / 4."""
    sae = by_hand()
    loss, _ = sae.backward(torch.tensor([[5.0, 4.0], [1.0, 2.0]]))
    assert loss.mse == pytest.approx(5 / 4)
    assert loss.auxiliary == 0
    assert sae.b_e.grad.abs().max() == 0, "what fires is exact, what does not has no gradient"
    assert sae.b_d.grad.tolist() == pytest.approx([-0.5, -1.0])


@pytest.mark.parametrize("seed", range(3))
def test_sparse_products_give_autograds_gradients(seed, monkeypatch):
    generator = torch.Generator().manual_seed(seed)
    settings = TopKSettings(neurons=8, features=24, k=3, dead_after=0, k_aux=4, seed=seed)
    x = torch.randn(32, 8, generator=generator)
    found = []
    for sparse in (True, False):
        monkeypatch.setattr(batch_top_k, "SPARSE", sparse)
        sae = BatchTopK(settings)
        sae.b_d.data.fill_(0.1)
        sae.silent_for[:5] = 1e6  # three of them will fire, perhaps; the others are dead
        loss, f = sae.backward(x)
        assert len(f.values()) == 3 * 32
        found.append([*loss, f.to_dense(), *(p.grad for p in sae.parameters())])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_the_auxiliary_loss_moves_dead_features_alone():
    sae = by_hand()
    sae.silent_for[2] = 100.0  # left is dead
    x = torch.tensor([[5.0, 0.0], [-1.0, 2.0]])
    dead = torch.tensor([False, False, True])
    f = torch.tensor([[5.0, 0.0, 0.0], [0.0, 2.0, 0.0]]).to_sparse_csr()
    loss = sae.auxiliary_loss(x, f, dead)
    assert loss == 0, "left explains all that is left over: (−1, 0)"
    sae.W_d.data[:, 2] = torch.tensor([0.0, 1.0])
    loss = sae.auxiliary_loss(x, f, dead)
    loss.backward()
    assert loss.item() == pytest.approx((1 + 1) / 4)
    assert sae.W_d.grad[:, :2].abs().max() == 0
    assert sae.W_e.grad[:2].abs().max() == 0
    assert sae.W_d.grad[:, 2].tolist() == pytest.approx([0.5, 0.5])
    assert sae.b_d.grad is None


def test_the_export_computes_the_same_by_saelens_own_formula(tmp_path):
    """sae-lens 6, "jumprelu": f = ReLU(z) where z > threshold, z = (x − b_dec) W_enc + b_enc."""
    sae = BatchTopK(TopKSettings(neurons=8, features=24, seed=1))
    sae.b_d.data.fill_(0.2)
    sae.b_e.data.fill_(-0.1)
    sae.threshold.fill_(0.4)
    dictionary = Dictionary(sae, scale=1.7)
    folder = batch_top_k.export(dictionary, tmp_path / "sae")
    w = load_file(folder / "sae_weights.safetensors")
    x = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
    z = (x - w["b_dec"]) @ w["W_enc"] + w["b_enc"]
    f = z.relu() * (z > w["threshold"])
    assert 0 < f.count_nonzero() < (z > 0).sum(), "the threshold does something"
    torch.testing.assert_close(f * 1.7, dictionary.features(x), rtol=1e-4, atol=1e-5)
    ours = dictionary.reconstruct(x)
    torch.testing.assert_close(f @ w["W_dec"] + w["b_dec"], ours, rtol=1e-4, atol=1e-5)
    sae_lens = pytest.importorskip("sae_lens")
    theirs = sae_lens.SAE.load_from_disk(str(folder), device="cpu")
    torch.testing.assert_close(theirs(x), ours, rtol=1e-4, atol=1e-5)
