"""Lesson 11: what families of features are compared with."""

import numpy as np
import scipy.sparse
import torch
import torch.nn.functional as F
from scipy.sparse import csc_matrix
from torch import Tensor

from helpers.datasets import corpus
from helpers.sae.features import Examples
from helpers.sae.splitting import Edges
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
    """How alike parents of A/0 and groups of A/1 are where edges do not look, (families, 4).

    The mean cosine of directions with the parent's, and with each other; of logit effects with the
    parent's; how much larger the share of firings in the main kind of text is, group minus parent.
    """
    d, effect, purity = {}, {}, {}
    for name in ("a0", "a1"):
        d[name] = atlas.dictionaries[name].directions  # (M, N)
        logits = atlas.dictionaries[name].logit_effects(atlas.model)  # (M, V)
        effect[name] = F.normalize(logits - logits.mean(dim=1, keepdim=True), dim=1)
        kinds = atlas.examples[name].specificity[:, : len(corpus.DOMAINS)]
        purity[name] = kinds.amax(dim=1).to(atlas.device)
    rows = []
    for p, c in family.items():
        near, same = (side["a0"][p] @ side["a1"][c].T for side in (d, effect))
        among = (d["a1"][c] @ d["a1"][c].T).fill_diagonal_(0).sum() / (len(c) * (len(c) - 1))
        narrower = purity["a1"][c].mean() - purity["a0"][p]
        rows.append(torch.stack([near.mean(), among, same.mean(), narrower]))
    return torch.stack(rows).cpu()
