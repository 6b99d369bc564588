import json

import pytest
import torch
from safetensors.torch import load_file

from helpers.ground.artifacts import ROOT, load_artifact, save_artifact
from helpers.ground.errors import CourseError
from helpers.sae.model import Dictionary, Settings, SparseAutoencoder
from helpers.sae.store import FOLDERS, export_saelens, load, load_examples, pack, unpack

made = pytest.mark.skipif(
    not (ROOT / "data" / "sae_a").exists(),
    reason="data/sae_a is not made yet: python -m helpers make sae_a",
)


@pytest.fixture
def dictionary():
    sae = SparseAutoencoder(Settings(neurons=32, features=80))
    sae.b_d.data.normal_(generator=torch.Generator().manual_seed(0))
    sae.b_e.data.normal_(std=0.1, generator=torch.Generator().manual_seed(1))
    return Dictionary(sae, 1.7)


def test_int8_round_trip(dictionary, tmp_path):
    save_artifact(
        "d",
        pack(dictionary.sae, "x"),
        version=1,
        root=tmp_path,
        meta={"scale": 1.7, "dictionaries": {"x": {"settings": {"neurons": 32, "features": 80}}}},
    )
    again = unpack(*load_artifact("d", version=1, root=tmp_path), "x")
    acts = torch.randn(100, 32)
    assert (
        again.reconstruct(acts) - dictionary.reconstruct(acts)
    ).norm() < 0.02 * dictionary.reconstruct(acts).norm()
    torch.testing.assert_close(again.directions, dictionary.directions, atol=0.01, rtol=0)
    torch.testing.assert_close(again.sae.W_d.norm(dim=0), torch.ones(80))


def test_silent_features_are_left_out_and_never_fire_again(dictionary, tmp_path):
    silent = torch.arange(80) % 3 == 0
    tensors = pack(dictionary.sae, "x", silent)
    assert len(tensors["x.W_e"]) == int((~silent).sum())
    again = unpack(
        tensors,
        {"scale": 1.7, "dictionaries": {"x": {"settings": {"neurons": 32, "features": 80}}}},
        "x",
    )
    acts = torch.randn(100, 32, generator=torch.Generator().manual_seed(2))
    features = again.features(acts)
    assert not features[:, silent].any() and again.directions[silent].norm() == 0
    torch.testing.assert_close(
        features[:, ~silent], dictionary.features(acts)[:, ~silent], atol=0.05, rtol=0.05
    )


@pytest.mark.parametrize("damage", ["missing", "cut off", "another byte", "another version"])
def test_damage_is_noticed_and_names_the_command(dictionary, tmp_path, damage):
    folder = save_artifact(
        "sae_a",
        pack(dictionary.sae, "a1"),
        version=2 if damage == "another version" else 1,
        meta={},
        root=tmp_path,
    )
    file = next(folder.glob("*.safetensors"))
    if damage == "missing":
        file.unlink()
    elif damage == "cut off":
        file.write_bytes(file.read_bytes()[:-100])
    elif damage == "another byte":
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(bytes(content))
    with pytest.raises(CourseError, match="python -m helpers make sae_a"):
        load_artifact("sae_a", version=1, root=tmp_path)


def test_export_computes_the_same_by_saelens_own_formula(dictionary, tmp_path):
    """sae-lens 6, "standard": f = ReLU((x − b_dec) @ W_enc + b_enc), x̂ = f @ W_dec + b_dec (SAE.load_from_disk reads these two files)."""
    folder = export_saelens(dictionary, tmp_path / "sae")
    config = json.loads((folder / "cfg.json").read_text(encoding="utf-8"))
    w = load_file(folder / "sae_weights.safetensors")
    assert (
        config["architecture"] == "standard"
        and config["apply_b_dec_to_input"] is True
        and config["normalize_activations"] == "none"
    )
    assert {key: tuple(value.shape) for key, value in w.items()} == {
        "W_enc": (config["d_in"], config["d_sae"]),
        "b_enc": (config["d_sae"],),
        "W_dec": (config["d_sae"], config["d_in"]),
        "b_dec": (config["d_in"],),
    }
    acts = torch.randn(50, 32)
    f = torch.relu((acts - w["b_dec"]) @ w["W_enc"] + w["b_enc"])
    torch.testing.assert_close(
        f @ w["W_dec"] + w["b_dec"], dictionary.reconstruct(acts), rtol=1e-4, atol=1e-5
    )
    torch.testing.assert_close(
        f * dictionary.scale, dictionary.features(acts), rtol=1e-4, atol=1e-5
    )


def test_export_loads_in_saelens_where_it_is_installed(dictionary, tmp_path):
    sae_lens = pytest.importorskip("sae_lens")
    sae = sae_lens.SAE.load_from_disk(
        str(export_saelens(dictionary, tmp_path / "sae")), device="cpu"
    )
    acts = torch.randn(50, 32)
    torch.testing.assert_close(sae(acts), dictionary.reconstruct(acts), rtol=1e-4, atol=1e-5)


def test_names_that_do_not_exist_speak():
    with pytest.raises(CourseError, match="a0, a1"):
        load("a9")
    assert set(FOLDERS.values()) == {"sae_a", "sae_b", "sae_a2"}


@made
def test_shipped_a1_reaches_its_mark():
    from data.recipes.sae import _few
    from helpers.transformer.measure import loss_recovered
    from helpers.transformer.model import load as load_transformer

    model, a1, rows = load_transformer("lm_relu"), load("a1"), _few()[:100]
    l0 = torch.cat(
        [
            (a1.features(model.activations(part)) > 0).sum(-1).float().flatten()
            for part in rows.split(25)
        ]
    ).mean()
    assert l0 <= 30 and loss_recovered(model, rows, a1.reconstruct) >= 0.8


@made
def test_shipped_examples_point_at_tokens_that_really_fire():
    from helpers.datasets import corpus
    from helpers.transformer.model import load as load_transformer

    model, a1, found = load_transformer("lm_relu"), load("a1"), load_examples("a1")
    rows = corpus.stream("heldout").contexts()[0]
    for unit in found.density.argsort(descending=True)[100:110].tolist():
        place = int(found.top[unit, 0])
        row, position = divmod(place, corpus.CONTEXT)
        value = a1.features(model.activations(rows[row : row + 1]))[0, position, unit].item()
        assert value == pytest.approx(found.top_values[unit, 0].item(), rel=0.02)
