import numpy as np
import scipy.sparse
import torch

from helpers.sae.splitting import direction_map, edges


def test_edges_agree_with_the_written_formula():
    rng = np.random.default_rng(0)
    narrow = np.maximum(rng.normal(size=(500, 4)) - 0.8, 0)
    wide = np.maximum(rng.normal(size=(500, 7)) - 1.2, 0)
    wide[:, 0] = narrow[:, 1] * (rng.random(500) < 0.5)  # a child: its parent on half of its tokens
    found = edges(scipy.sparse.csc_matrix(narrow), scipy.sparse.csc_matrix(wide), threshold=0.2)
    listed = {(int(p), int(c)): (float(s), float(v)) for p, c, s, v in zip(*found)}
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
