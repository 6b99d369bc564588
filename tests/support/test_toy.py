import pytest
import torch
import torch.nn.functional as F

from helpers.ground.errors import CourseError
from helpers.sae.model import Settings, SparseAutoencoder
from notebooks.support.lesson11 import hub, toy


def test_a_world_is_what_it_says():
    world = toy.World(seed=3)
    d = world.directions()
    cosines = torch.einsum("cmn,ckn->cmk", d["members"], d["members"])
    torch.testing.assert_close(d["members"].norm(dim=-1), torch.ones(8, 4))
    assert cosines[:, ~torch.eye(4, dtype=torch.bool)].mean() == pytest.approx(0.7, abs=0.05)
    for one, other in (("middle", "bend"), ("parents", "children")):
        assert (d[one] * d[other]).sum(dim=1).abs().max() < 1e-5
    x, true = world.draw(20_000, seed=1)
    assert true.shape == (20_000, 48)
    assert (true[:, :32].view(-1, 8, 4) > 0).sum(dim=2).max() == 1, (
        "one member of a cluster at a time"
    )
    parents, children = true[:, 40:44] > 0, true[:, 44:] > 0
    assert not (children & ~parents).any()
    rates = (true > 0).float().mean(dim=0)
    assert rates[32:44].mean() == pytest.approx(0.04, rel=0.1)
    assert rates[44:].mean() == pytest.approx(0.04 * 0.4, rel=0.15)
    free = toy.World(seed=3, nested=False).draw(20_000, seed=1)[1][:, 40:] > 0
    for lone in (False, True):  # as often with their parent as without
        together = (free[:, :4] != lone) & free[:, 4:]
        assert together.float().mean() == pytest.approx(0.04 * 0.4, rel=0.15)
    for where, direction in ((5, d["members"][1, 1]), (41, d["parents"][1])):
        alone = ((true > 0).sum(dim=1) == 1) & (true[:, where] > 0)
        expected = direction.expand(int(alone.sum()), -1)
        torch.testing.assert_close(F.normalize(x[alone], dim=1), expected, rtol=1e-4, atol=1e-4)
    assert torch.equal(world.draw(10, seed=1)[0], world.draw(10, seed=1)[0])
    assert not torch.equal(world.draw(10, seed=1)[0], world.draw(10, seed=2)[0])


def perfect(world, directions):
    """A dictionary whose features are given directions, read out with a high threshold."""
    sae = SparseAutoencoder(Settings(neurons=world.dimensions, features=len(directions)))
    unit = F.normalize(directions, dim=1)
    sae.load_state_dict(
        {
            "W_enc": unit.T,
            "W_dec": unit,
            "b_enc": torch.full((len(unit),), -0.8 * world.dimensions**0.5),
            "b_dec": torch.zeros(world.dimensions),
        }
    )
    return sae


def test_discovery_and_splitting_are_told_apart_by_their_owners():
    world = toy.World(clusters=2, arcs=1, pairs=1, members=2, dimensions=64, cosine=0.2, angle=1.5)
    d = world.directions()
    both_ends = [d["middle"] + d["bend"], d["middle"] - d["bend"]]
    wide = toy.found(perfect(world, torch.cat([d["members"].flatten(0, 1), *both_ends])), world)
    assert wide.owner.tolist() == [0, 1, 2, 3, 4, 4]
    narrow = toy.found(perfect(world, torch.cat([d["members"].sum(dim=1), d["middle"]])), world)
    assert narrow.owner[2] == 4
    assert narrow.owner[0] in (0, 1)
    assert narrow.owner[1] in (2, 3)
    found = {family.parent: family for family in toy.families(narrow, wide)}
    assert found[4].splits
    assert found[4].children == [4, 4]
    others = [family for parent, family in found.items() if parent != 4]
    assert others
    assert not any(family.splits for family in others)


PLAIN = {"architecture": "standard"}


@pytest.fixture
def weights():
    """A plain dictionary in the field's names."""
    sae = SparseAutoencoder(Settings(neurons=16, features=40))
    torch.nn.init.normal_(sae.b_enc, generator=torch.Generator().manual_seed(0))
    return {key: value.detach().clone() for key, value in sae.state_dict().items()}


def test_a_public_dictionary_computes_what_its_formula_says(weights):
    x = torch.rand(9, 16, generator=torch.Generator().manual_seed(1))
    for factor in (1, 3):  # directions need not have length 1
        w = weights | {"W_dec": weights["W_dec"] * factor}
        f = torch.relu((x - w["b_dec"]) @ w["W_enc"] + w["b_enc"])
        ours = hub.from_saelens(w, PLAIN | {"normalize_activations": "none", "d_sae": 40})
        torch.testing.assert_close(ours.reconstruct(x), f @ w["W_dec"] + w["b_dec"])
        torch.testing.assert_close(ours.sae.W_dec.norm(dim=1), torch.ones(40))
    for wrong in ({"W_dec": weights["W_enc"]}, {"b_enc": weights["b_dec"]}):
        with pytest.raises(ValueError, match="should be"):
            hub.from_saelens(weights | wrong, PLAIN)
    numbers = {name: value.numpy() for name, value in weights.items()}  # as an .npz has them
    torch.testing.assert_close(hub.from_saelens(numbers, PLAIN).sae.W_enc, weights["W_enc"])


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"threshold": torch.ones(40)}, "it has threshold"),  # JumpReLU: Gemma Scope
        ({"k": torch.tensor(8)}, "it has k"),  # TopK
        ({"scaling_factor": torch.ones(40)}, "it has scaling_factor"),
        ({"b_gate": torch.ones(40), "b_enc": None}, "it lacks b_enc; it has b_gate"),
    ],
)
def test_a_dictionary_of_another_kind_is_refused(weights, change, named):
    other = {key: value for key, value in (weights | change).items() if value is not None}
    with pytest.raises(CourseError, match=named):
        hub.from_saelens(other, PLAIN)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"architecture": "topk"}, "architecture: 'topk'"),  # the same four names
        ({}, "architecture: None"),
        (
            PLAIN | {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": 8}},
            "activation_fn_str: 'topk'",
        ),
        (PLAIN | {"apply_b_dec_to_input": False}, "apply_b_dec_to_input: False"),
        (PLAIN | {"normalize_activations": "layer_norm"}, "normalize_activations: 'layer_norm'"),
    ],
)
def test_a_dictionary_whose_configuration_says_more_is_refused(weights, config, said):
    """SAELens once stored a TopK as "standard"; and others center or scale in another way."""
    with pytest.raises(CourseError, match=f"cfg.json says {said}.*SAELens instead"):
        hub.from_saelens(weights, config)


def test_weights_that_are_not_numbers_are_refused(weights):
    weights["b_enc"][3] = torch.nan
    with pytest.raises(CourseError, match="not numbers"):
        hub.from_saelens(weights, PLAIN)
