"""Feature splitting: which features of a wide dictionary a feature of a narrow one became."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.sparse import csc_matrix
from torch import Tensor

from helpers.ground.errors import CourseError, checked


class Edges(NamedTuple):
    """The splitting graph between two dictionaries on the same activations."""

    parent: Tensor  # (E,) features of the narrow dictionary
    child: Tensor  # (E,) features of the wide one
    similarity: Tensor  # (E,) the larger of the two masked cosine similarities
    covered: Tensor  # (E,) share of the parent's activation on tokens where the child fires


@checked
def edges(narrow: ArrayLike, wide: ArrayLike, *, threshold: float = 0.4) -> Edges:
    """Edges where the larger masked cosine exceeds the threshold; narrow (T, M), wide (T, K).

    A similarity is masked by one of the two features: only tokens on which that one fires count,
    so that a child that fires on a part of its parent's tokens is found. Bricken et al. 2023,
    "Feature Splitting".
    """
    narrow = csc_matrix(narrow, dtype=np.float64)  # a weak firing's square can be 0 in float32
    wide = csc_matrix(wide, dtype=np.float64)
    if narrow.shape[0] != wide.shape[0]:
        given = f"{narrow.shape[0]} and {wide.shape[0]}"
        raise CourseError(f"Both dictionaries fire on the same tokens; these are {given}.")
    pairs = (_on(narrow).T @ _on(wide)).tocsr()
    pairs.sort_indices()
    parent, child = pairs.nonzero()  # (E,) that fire together

    def at_pairs(of_narrow: csc_matrix, of_wide: csc_matrix) -> np.ndarray:
        """Σ over tokens of one's value times the other's, for each pair."""
        return np.asarray((of_narrow.T @ of_wide)[parent, child]).ravel()

    together = at_pairs(narrow, wide)
    wide_on_narrow = at_pairs(_on(narrow), wide.power(2))  # Σ f_child² where the parent fires
    narrow_on_wide = at_pairs(narrow.power(2), _on(wide))
    masked_by_parent = together / np.sqrt(_total(narrow.power(2))[parent] * wide_on_narrow)
    masked_by_child = together / np.sqrt(narrow_on_wide * _total(wide.power(2))[child])
    similarity = np.maximum(masked_by_parent, masked_by_child)
    covered = at_pairs(narrow, _on(wide)) / _total(narrow)[parent]
    keep = similarity > threshold
    columns = np.int32(parent), np.int32(child), np.float32(similarity), np.float32(covered)
    return Edges(*(torch.from_numpy(column[keep]) for column in columns))


@checked
def living(graph: Edges, alive: Tensor, *, floor: float = 0.05) -> Edges:
    """The edges to living children that fire on at least this share of their parent's activation.

    alive: (K,) bool. What fires a few times inside a large feature resembles it there by chance.
    """
    keep = alive.cpu()[graph.child.long()] & (graph.covered >= floor)
    return Edges(*(column[keep] for column in graph))


@checked
def children_of(graph: Edges, parent: int) -> list[tuple[int, float, float]]:
    """(child, similarity, covered) of one feature, the most similar first."""
    mine = (graph.parent == parent).nonzero().flatten()
    mine = mine[graph.similarity[mine].argsort(descending=True, stable=True)]
    return list(zip(*(column[mine].tolist() for column in graph[1:]), strict=True))


def _on(x: csc_matrix) -> csc_matrix:
    """1 where a feature fires."""
    return (x > 0).astype(np.float64)


def _total(x: csc_matrix) -> np.ndarray:
    """Each feature's sum over tokens."""
    return np.asarray(x.sum(axis=0)).ravel()
