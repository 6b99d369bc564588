"""Numbers of the dictionaries' cards by hand, int8 files, and the export."""

import json

import numpy as np
import pytest
import scipy.sparse
import torch
from safetensors.torch import load_file

from data.recipes.sae import best_matches, export_saelens, matrices, pack, summary
from helpers.ground.artifacts import load_artifact, save_artifact
from helpers.sae.kinds import build
from helpers.sae.model import Dictionary, Settings, SparseAutoencoder
from helpers.sae.store import restore
from tests.recipes import smoke

META = {"scale": 1.7, "dictionaries": {"x": {"settings": {"neurons": 32, "features": 80}}}}


@pytest.fixture
def dictionary():
    sae = SparseAutoencoder(Settings(neurons=32, features=80))
    sae.b_dec.data.normal_(generator=torch.Generator().manual_seed(0))
    sae.b_enc.data.normal_(std=0.1, generator=torch.Generator().manual_seed(1))
    return Dictionary(sae, 1.7)


def acts(seed: int = 2) -> torch.Tensor:
    return torch.randn(100, 32, generator=torch.Generator().manual_seed(seed))


@smoke.recipes("sae")
def test_a_smoke_run_makes_measures_and_describes(recipe, tmp_path, monkeypatch):
    smoke.run_through(recipe, tmp_path, monkeypatch)


def test_the_numbers_of_a_card_by_hand():
    """Five features on 1,000 tokens: never, once, on 1 %, on 2 % and on every token."""
    fired = np.zeros((1000, 5), np.float32)
    fired[0, 1] = fired[:10, 2] = fired[:20, 3] = fired[:, 4] = 1.0
    sae = SparseAutoencoder(Settings(neurons=4, features=5))
    with torch.no_grad():
        sae.W_dec.copy_(torch.eye(5, 4))  # the last is not stored: a row of zeros
        sae.W_enc.copy_(2 * torch.eye(5, 4).T)
        sae.W_enc[1, 0] = 2.0  # at 45° to its direction
    numbers = summary(scipy.sparse.csc_matrix(fired), Dictionary(sae, 1.0))
    assert numbers["tokens"] == 1000
    assert numbers["L0"] == pytest.approx((1 + 10 + 20 + 1000) / 1000, abs=0.005)
    assert numbers["dead"] == 0.2
    assert numbers["ultra_low"] == 0.2  # of 1,000 tokens one is already 1e-3
    assert numbers["above_1_percent"] == 0.4  # exactly 1 % is not above
    assert numbers["median_density"] == 0.01
    assert numbers["cosine_median"] == 1.0
    assert numbers["cosine_quartiles"][0] == pytest.approx(0.927, abs=0.001)  # a quarter from 0.707
    assert sum(numbers["density_histogram"]) == 4
    assert numbers["density_edges"][0] == -6.5


def test_best_matches_agree_with_numpy():
    rng = np.random.default_rng(0)
    a, b = (np.maximum(rng.normal(size=(400, k)) - 0.7, 0) for k in (5, 9))
    b[:, 6] = a[:, 2] + 0.1 * b[:, 6]
    best, match = best_matches(scipy.sparse.csc_matrix(a), scipy.sparse.csc_matrix(b))
    wanted = np.corrcoef(a.T, b.T)[:5, 5:]
    np.testing.assert_allclose(best, wanted.max(axis=1), atol=1e-4)
    assert match.tolist() == wanted.argmax(axis=1).tolist()
    assert match[2] == 6


@pytest.mark.parametrize(("bits", "close"), [(8, 0.02), (4, 0.2)])
def test_rounded_and_read_again(dictionary, tmp_path, bits, close):
    how = {"version": 1, "meta": META, "bits": matrices("x", bits)}
    save_artifact(tmp_path / "d", pack(dictionary.sae, "x"), **how)
    again = restore(*load_artifact(tmp_path / "d", version=1), "x")
    wanted = dictionary.reconstruct(acts())
    assert (again.reconstruct(acts()) - wanted).norm() < close * wanted.norm()
    torch.testing.assert_close(again.directions, dictionary.directions, atol=close / 2, rtol=0)
    torch.testing.assert_close(again.sae.W_dec.norm(dim=1), torch.ones(80))


def test_silent_features_are_left_out_and_never_fire_again(dictionary):
    silent = torch.arange(80) % 3 == 0
    tensors = pack(dictionary.sae, "x", silent)
    assert len(tensors["x.W_e"]) == int((~silent).sum())
    again = restore(tensors, META, "x")
    features = again.features(acts())
    assert not features[:, silent].any()
    assert not again.directions[silent].any()
    wanted = dictionary.features(acts())[:, ~silent]
    torch.testing.assert_close(features[:, ~silent], wanted, atol=0.05, rtol=0.05)


def test_numbers_of_features_beyond_16_bits_come_back():
    settings = {"neurons": 2, "features": 40_000}
    sae = SparseAutoencoder(Settings(**settings))
    silent = torch.ones(40_000, dtype=torch.bool)
    silent[[5, 39_999]] = False
    sae.b_enc.data[39_999] = 7.0
    meta = {"scale": 1.0, "dictionaries": {"x": {"settings": settings}}}
    again = restore(pack(sae, "x", silent), meta, "x")
    assert again.sae.b_enc.nonzero().flatten().tolist() == [39_999]
    assert again.sae.W_dec.any(dim=1).nonzero().flatten().tolist() == [5, 39_999]


def test_export_computes_the_same_by_saelens_own_formula(dictionary, tmp_path):
    """sae-lens 6, "standard": f = ReLU((x − b_dec) @ W_enc + b_enc), x̂ = f @ W_dec + b_dec."""
    folder = export_saelens(dictionary, tmp_path / "sae")
    config = json.loads((folder / "cfg.json").read_text(encoding="utf-8"))
    w = load_file(folder / "sae_weights.safetensors")
    assert config["architecture"] == "standard"
    assert config["apply_b_dec_to_input"] is True
    assert config["normalize_activations"] == "none"
    assert {key: tuple(value.shape) for key, value in w.items()} == {
        "W_enc": (config["d_in"], config["d_sae"]),
        "b_enc": (config["d_sae"],),
        "W_dec": (config["d_sae"], config["d_in"]),
        "b_dec": (config["d_in"],),
    }
    f = torch.relu((acts() - w["b_dec"]) @ w["W_enc"] + w["b_enc"])
    close = {"rtol": 1e-4, "atol": 1e-5}
    torch.testing.assert_close(f @ w["W_dec"] + w["b_dec"], dictionary.reconstruct(acts()), **close)
    torch.testing.assert_close(f * dictionary.scale, dictionary.features(acts()), **close)


def test_export_loads_in_saelens_where_it_is_installed(dictionary, tmp_path):
    sae_lens = pytest.importorskip("sae_lens")
    folder = export_saelens(dictionary, tmp_path / "sae")
    sae = sae_lens.SAE.load_from_disk(str(folder), device="cpu")
    torch.testing.assert_close(sae(acts()), dictionary.reconstruct(acts()), rtol=1e-4, atol=1e-5)


def test_a_threshold_is_stored_with_its_dictionary():
    settings = {"neurons": 32, "features": 80, "kind": "batch_topk", "k": 5.0}
    sae = build(Settings(**settings)).eval()
    sae.threshold.fill_(0.7)
    again = restore(
        pack(sae, "x"), {"scale": 1.7, "dictionaries": {"x": {"settings": settings}}}, "x"
    )
    wanted = Dictionary(sae, 1.7).features(acts())
    features = again.features(acts())
    assert features[features > 0].min() > 0.7
    assert (features > 0).eq(wanted > 0).float().mean() > 0.99
