import pytest
import torch
import torch.nn.functional as F

from helpers.sae.model import Dictionary, Settings, SparseAutoencoder
from helpers.sae.splitting import Edges, children_of, covered_by, forest
from helpers.sae.store import export_saelens
from notebooks.support.lesson11 import hub, toy


def test_a_world_is_what_it_says():
    world = toy.World(seed=3)
    members, middle, bend = world.directions()
    cosines = torch.einsum("cmn,ckn->cmk", members, members)
    torch.testing.assert_close(members.norm(dim=-1), torch.ones(8, 4))
    assert cosines[:, ~torch.eye(4, dtype=torch.bool)].mean() == pytest.approx(0.7, abs=0.05)
    assert (middle * bend).sum(dim=1).abs().max() < 1e-5
    x, true = world.draw(5000, seed=1)
    assert (true[:, :32].view(-1, 8, 4) > 0).sum(dim=2).max() == 1, (
        "one member of a cluster at a time"
    )
    assert (true > 0).float().sum(dim=1).mean() == pytest.approx(16 * 0.04, rel=0.1)
    alone = ((true > 0).sum(dim=1) == 1) & (true[:, 5] > 0)
    torch.testing.assert_close(
        F.normalize(x[alone], dim=1),
        members[1, 1].expand(int(alone.sum()), -1),
        rtol=1e-4,
        atol=1e-4,
    )
    assert torch.equal(world.draw(10, seed=1)[0], world.draw(10, seed=1)[0]) and not torch.equal(
        world.draw(10, seed=1)[0], world.draw(10, seed=2)[0]
    )


def perfect(world, directions):
    """A dictionary whose features are given directions, read out with a high threshold."""
    sae = SparseAutoencoder(Settings(neurons=world.dimensions, features=len(directions)))
    unit = F.normalize(directions, dim=1)
    sae.load_state_dict(
        {
            "W_e": unit,
            "W_d": unit.T,
            "b_e": torch.full((len(unit),), -0.8 * world.dimensions**0.5),
            "b_d": torch.zeros(world.dimensions),
        }
    )
    return sae


def test_discovery_and_splitting_are_told_apart_by_their_owners():
    world = toy.World(clusters=2, arcs=1, members=2, dimensions=64, cosine=0.2, angle=1.5)
    members, middle, bend = world.directions()
    wide = toy.found(
        perfect(world, torch.cat([members.flatten(0, 1), middle + bend, middle - bend])), world
    )
    assert wide.owner.tolist() == [0, 1, 2, 3, 4, 4]
    narrow = toy.found(perfect(world, torch.cat([members.sum(dim=1) * 1.0, middle])), world)
    assert narrow.owner[2] == 4 and narrow.owner[0] in (0, 1) and narrow.owner[1] in (2, 3)
    families = {group.parent: group.children for group in toy.families(narrow, wide)}
    assert families.get(4, [4, 4]) == [4, 4]
    assert (
        toy.share_split([toy.Family(0, [0, 1], 0.5), toy.Family(4, [4, 4], 0.5)]) == 0.5
        and toy.share_split([]) == 0
    )


def test_a_forest_gives_each_living_child_its_closest_parent():
    graph = Edges(
        *map(
            torch.tensor, ([0, 1, 1, 0], [5, 5, 6, 7], [0.5, 0.9, 0.6, 0.99], [0.1, 0.2, 0.3, 0.4])
        )
    )
    alive = torch.ones(8, dtype=torch.bool)
    alive[7] = False
    tree = forest(graph, alive=alive)
    assert list(zip(tree.parent.tolist(), tree.child.tolist())) == [(1, 5), (1, 6)]
    assert [child for child, *_ in children_of(graph, 0)] == [7, 5] and children_of(graph, 1)[0][
        1
    ] == pytest.approx(0.9)


def test_what_children_cover_counts_each_token_once():
    import scipy.sparse

    parent = scipy.sparse.csc_matrix([[4.0], [2.0], [1.0], [0.0], [3.0]])
    children = scipy.sparse.csc_matrix([[1.0, 2.0], [0.0, 0.5], [0.0, 0.0], [2.0, 0.0], [0.0, 0.0]])
    assert covered_by(parent, children) == pytest.approx(0.6)


def test_a_public_dictionary_comes_back_as_it_went_out(tmp_path):
    from safetensors.torch import load_file

    sae = SparseAutoencoder(Settings(neurons=16, features=40))
    torch.nn.init.normal_(sae.b_e, generator=torch.Generator().manual_seed(0))
    ours, x = Dictionary(sae, 2.5), torch.rand(9, 16, generator=torch.Generator().manual_seed(1))
    weights = load_file(export_saelens(ours, tmp_path / "out") / "sae_weights.safetensors")
    torch.testing.assert_close(hub.from_saelens(weights).reconstruct(x), ours.reconstruct(x))
    longer = weights | {
        "W_dec": weights["W_dec"] * 3,
        "W_enc": weights["W_enc"] / 3,
        "b_enc": weights["b_enc"] / 3,
    }
    again = hub.from_saelens(longer)
    torch.testing.assert_close(again.reconstruct(x), ours.reconstruct(x))
    torch.testing.assert_close(again.sae.W_d.norm(dim=0), torch.ones(40))
    with pytest.raises(ValueError, match="should be"):
        hub.from_saelens(weights | {"W_dec": weights["W_enc"]})
