import numpy as np
import pytest
import scipy.sparse
import torch

from data.recipes.sae import direction_map
from helpers.sae.splitting import Edges, children_of, edges, living


def test_edges_agree_with_the_written_formula():
    rng = np.random.default_rng(0)
    narrow = np.maximum(rng.normal(size=(500, 4)) - 0.8, 0)
    wide = np.maximum(rng.normal(size=(500, 7)) - 1.2, 0)
    wide[:, 0] = narrow[:, 1] * (rng.random(500) < 0.5)  # a child: its parent on half of its tokens
    found = edges(scipy.sparse.csc_matrix(narrow), scipy.sparse.csc_matrix(wide), threshold=0.2)
    listed = {(int(p), int(c)): (float(s), float(v)) for p, c, s, v in zip(*found, strict=True)}
    for i in range(4):
        for j in range(7):
            a, b = narrow[:, i], wide[:, j]
            cosines = [
                a[m] @ b[m] / np.linalg.norm(a[m]) / np.linalg.norm(b[m]) for m in (a > 0, b > 0)
            ]
            assert ((i, j) in listed) == (max(cosines) > 0.2)
            if (i, j) in listed:
                np.testing.assert_allclose(
                    listed[i, j], (max(cosines), a[b > 0].sum() / a.sum()), rtol=1e-5
                )
    assert listed[1, 0][0] > 0.999, (
        "a child that repeats its parent on a part of its tokens has masked similarity 1"
    )


def test_weak_firings_have_edges_too():
    """Their squares are 0 in float32, and an edge must not be lost for it."""
    narrow = np.array([[1e-25, 0.0], [2e-25, 0.0], [0.0, 1.0]], np.float32)
    wide = np.array([[1e-25, 0.0], [2e-25, 0.0], [0.0, 1e-30]], np.float32)
    found = edges(scipy.sparse.csc_matrix(narrow), scipy.sparse.csc_matrix(wide))
    assert found.parent.tolist() == [0, 1]
    assert found.child.tolist() == [0, 1]
    torch.testing.assert_close(found.similarity, torch.ones(2))
    torch.testing.assert_close(found.covered, torch.ones(2))


def test_dictionaries_that_never_fire_together_have_no_edges():
    narrow = scipy.sparse.csc_matrix(np.array([[1.0], [0.0]]))
    wide = scipy.sparse.csc_matrix(np.array([[0.0], [1.0]]))
    assert len(edges(narrow, wide).parent) == 0


def test_children_are_alive_and_meet_a_share_of_their_parent():
    columns = (
        [0, 1, 1, 0, 1],
        [5, 5, 6, 7, 4],
        [0.5, 0.6, 0.9, 0.99, 0.99],
        [0.1, 0.2, 0.3, 1, 0.04],
    )
    graph = Edges(*map(torch.tensor, columns))
    alive = torch.ones(8, dtype=torch.bool)
    alive[7] = False
    kept = living(graph, alive)
    assert list(zip(kept.parent.tolist(), kept.child.tolist(), strict=True)) == [
        (0, 5),
        (1, 5),
        (1, 6),
    ]
    assert [child for child, *_ in children_of(graph, 0)] == [7, 5]
    assert children_of(kept, 1)[0] == pytest.approx((6, 0.9, 0.3))
    assert len(living(graph, alive, floor=0).parent) == 4


def test_map_keeps_neighbours_together():
    centres = torch.nn.functional.normalize(
        torch.randn(3, 40, generator=torch.Generator().manual_seed(0)), dim=-1
    )
    points = torch.nn.functional.normalize(
        centres.repeat_interleave(30, 0)
        + 0.05 * torch.randn(90, 40, generator=torch.Generator().manual_seed(1)),
        dim=-1,
    )
    plane = direction_map(points)
    nearest = torch.cdist(plane, plane).fill_diagonal_(torch.inf).argmin(dim=1)
    assert (nearest // 30 == torch.arange(90) // 30).float().mean() > 0.95
