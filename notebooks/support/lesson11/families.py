"""Lesson 11: what families of features are compared with."""

import numpy as np
import scipy.sparse
import torch
import torch.nn.functional as F
from scipy.sparse import csc_matrix
from torch import Tensor

from helpers.datasets import corpus
from helpers.sae.features import Examples
from helpers.sae.splitting import Edges, edges, living
from notebooks.support.lesson11.feature_browser import Atlas


def by_parent(graph: Edges, alive: Tensor, least: int = 2) -> dict[int, list[int]]:
    """{living parent: its children}, of a graph as `living` leaves it, from `least` children on."""
    found: dict[int, list[int]] = {}
    for parent, child in zip(graph.parent.tolist(), graph.child.tolist(), strict=True):
        if alive[parent]:
            found.setdefault(parent, []).append(child)
    return {parent: kids for parent, kids in found.items() if len(kids) >= least}


def strangers(
    family: dict[int, list[int]], examples: Examples, alive: Tensor, *, seed: int = 0
) -> dict[int, list[int]]:
    """For each child a living feature of no kin that fires about as often, {parent: as many}."""
    rng = np.random.default_rng(seed)
    pool = alive.nonzero().flatten()
    density = examples.density[pool]
    found = {}
    for parent, kids in family.items():
        others = ~torch.isin(pool, torch.tensor(kids))
        nearest = [
            pool[others][(density[others] - examples.density[kid]).abs().argsort()[:20]]
            for kid in kids
        ]
        found[parent] = [int(twenty[rng.integers(len(twenty))]) for twenty in nearest]
    return found


def shifted(fired: csc_matrix, tokens: int) -> csc_matrix:
    """Activations (T, M) moved along the text, so that each meets tokens it has not to do with."""
    rows = fired.tocsr()
    return scipy.sparse.vstack([rows[tokens:], rows[:tokens]]).tocsc()


@torch.no_grad()
def alike(atlas: Atlas, family: dict[int, list[int]]) -> Tensor:
    """How alike parents of A/0 and groups of A/1 are where edges do not look, (families, 3).

    The mean cosine of directions with the parent's, and with each other; how much larger the share
    of firings in the main kind of text is, group minus parent.
    """
    d, purity = {}, {}
    for name in ("a0", "a1"):
        d[name] = atlas.dictionaries[name].directions  # (M, N)
        kinds = atlas.examples[name].specificity[:, : len(corpus.DOMAINS)]
        purity[name] = kinds.amax(dim=1).to(atlas.device)
    rows = []
    for p, c in family.items():
        near = (d["a0"][p] @ d["a1"][c].T).mean()
        among = (d["a1"][c] @ d["a1"][c].T).fill_diagonal_(0).sum() / (len(c) * (len(c) - 1))
        narrower = purity["a1"][c].mean() - purity["a0"][p]
        rows.append(torch.stack([near, among, narrower]))
    return torch.stack(rows).cpu()


@torch.no_grad()
def unlearned(atlas: Atlas, rows: Tensor, *, seed: int = 0) -> Tensor:
    """Cosine of parent and child where nothing was learned, the mean of each family (families,).

    Directions are tokens' activations, without the mean, of rows (R, T); each feature fires above
    a threshold, on as few tokens as one of A/0 (256 of them) or of A/1 (1,000).
    """
    generator = torch.Generator().manual_seed(seed)
    x = atlas.model.activations(rows).flatten(0, 1).cpu()  # (T, N)
    x = x - x.mean(dim=0)
    drawn = torch.randperm(len(x), generator=generator)[:1256].split([256, 1000])
    directions, fired = [], []
    for name, places in zip(("a0", "a1"), drawn, strict=True):
        density = atlas.examples[name].density[atlas.alive(name)]
        density = density[torch.randperm(len(density), generator=generator)[: len(places)]]
        directions.append(F.normalize(x[places], dim=1))
        acts = x @ directions[-1].T  # (T, count)
        least = [a.quantile(1 - q) for a, q in zip(acts.T, density, strict=True)]
        fired.append(csc_matrix(F.relu(acts - torch.stack(least)).numpy()))
    graph = living(edges(*fired), torch.ones(1000, dtype=torch.bool))
    cosine = (directions[0] @ directions[1].T)[graph.parent.long(), graph.child.long()]
    return torch.stack([cosine[graph.parent == p].mean() for p in graph.parent.unique()])
