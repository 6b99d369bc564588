"""Feature splitting: which features of a wide dictionary a feature of a narrow one became, and a map of their directions."""

from typing import NamedTuple

import numpy as np
import scipy.sparse
import torch
from torch import Tensor


class Edges(NamedTuple):
    """The splitting graph between two dictionaries on the same activations."""

    parent: Tensor  # (E,) features of the narrow dictionary
    child: Tensor  # (E,) features of the wide one
    similarity: Tensor  # (E,) the larger of the two masked cosine similarities
    covered: (
        Tensor  # (E,) share of the parent's activation that falls on tokens where the child fires
    )


def edges(
    narrow: scipy.sparse.csc_matrix, wide: scipy.sparse.csc_matrix, *, threshold: float = 0.4
) -> Edges:
    """Edges where the larger masked cosine similarity of activations exceeds the threshold; narrow (T, M), wide (T, K).

    A similarity is masked by one of the two features: only tokens on which that one fires count, so that a child
    that fires on a part of its parent's tokens is found. Bricken et al. 2023, "Feature Splitting".
    """
    narrow, wide = narrow.tocsr(), wide.tocsr()
    together = _product(
        narrow, wide
    )  # Σ f_parent · f_child, nothing where they never fire together; (M, K)
    parent, child = together.nonzero()
    wide_on_narrow = _product(
        _on(narrow), wide.multiply(wide)
    ).data  # Σ f_child² where the parent fires
    narrow_on_wide = _product(narrow.multiply(narrow), _on(wide)).data
    masked_by_parent = together.data / np.sqrt(_squares(narrow)[parent] * wide_on_narrow)
    masked_by_child = together.data / np.sqrt(narrow_on_wide * _squares(wide)[child])
    similarity = np.maximum(masked_by_parent, masked_by_child)
    covered = _product(narrow, _on(wide)).data / np.asarray(narrow.sum(axis=0)).ravel()[parent]
    keep = similarity > threshold
    return Edges(
        *(
            torch.from_numpy(column[keep])
            for column in (
                parent.astype(np.int32),
                child.astype(np.int32),
                similarity.astype(np.float32),
                covered.astype(np.float32),
            )
        )
    )


def forest(graph: Edges, *, alive: Tensor) -> Edges:
    """Each living child once, with the parent it resembles most, the most similar first; alive: (K,) bool.

    A dictionary's dead features fire now and then beside anything, and would be everybody's children.
    """
    taken, keep = set(), []
    for edge in graph.similarity.argsort(descending=True, stable=True).tolist():
        child = int(graph.child[edge])
        if alive[child] and child not in taken:
            taken.add(child)
            keep.append(edge)
    return Edges(*(column[keep] for column in graph))


def children_of(graph: Edges, parent: int) -> list[tuple[int, float, float]]:
    """(child, similarity, covered) of one feature, the most similar first."""
    mine = (graph.parent == parent).nonzero().flatten()
    mine = mine[graph.similarity[mine].argsort(descending=True, stable=True)]
    return list(
        zip(
            graph.child[mine].tolist(),
            graph.similarity[mine].tolist(),
            graph.covered[mine].tolist(),
        )
    )


def covered_by(parent: scipy.sparse.csc_matrix, children: scipy.sparse.csc_matrix) -> float:
    """The share of a parent's activation (T, 1) that falls on tokens where at least one of its children (T, C) fires."""
    on = np.asarray(children.astype(bool).sum(axis=1)).ravel() > 0
    strength = parent.toarray().ravel()
    return float(strength[on].sum() / max(strength.sum(), 1e-9))


def direction_map(directions: Tensor, *, seed: int = 0) -> Tensor:
    """Unit directions (M, N) → a plane (M, 2) by t-SNE on cosine distances: neighbours stay neighbours, distances mean little."""
    from sklearn.manifold import TSNE

    plane = TSNE(metric="cosine", perplexity=15, init="random", random_state=seed).fit_transform(
        directions.numpy()
    )
    return torch.from_numpy(plane)


def _product(a: scipy.sparse.spmatrix, b: scipy.sparse.spmatrix) -> scipy.sparse.csr_matrix:
    """aᵀ b; all products of the same two dictionaries store the same (row, column) places in the same order."""
    product = (a.T.tocsr() @ b.tocsr()).tocsr()
    product.sort_indices()
    return product


def _squares(x: scipy.sparse.csr_matrix) -> np.ndarray:
    return np.asarray(x.multiply(x).sum(axis=0)).ravel()


def _on(x: scipy.sparse.csr_matrix) -> scipy.sparse.csr_matrix:
    """1 where a feature fires."""
    on = x.copy()
    on.data = np.ones_like(on.data)
    return on
