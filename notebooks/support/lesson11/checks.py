"""Lesson 11: whose child a feature is, discovery beside splitting, and absorption."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.lesson.checks import compare, exercise
from notebooks.support.lesson11 import toy


def right_children(
    parent: Tensor, wide: Tensor, similar=0.4, floor=0.05, *, masks="either", by="similarity"
) -> list[int]:
    """The children of a feature (T,) among those of a wide dictionary (T, M), the closest first.

    masks, by: what known mistakes do instead.
    """
    measured = []
    for f in wide.T:
        on_parent, on_child = parent > 0, f > 0
        chosen = {"parent": [on_parent], "child": [on_child], "both": [on_parent & on_child]}
        chosen["none"] = [torch.ones_like(on_child)]
        pairs = chosen.get(masks, [on_parent, on_child])
        cosines = torch.stack([F.cosine_similarity(parent * m, f * m, dim=0) for m in pairs])
        closeness = cosines.amin() if masks == "smaller" else cosines.amax()
        mistaken = {
            "own share": (f * on_parent).sum() / f.sum().clamp(min=1e-9),  # of the child's
            "overlap": torch.minimum(parent, f).sum() / parent.sum(),
            "tokens": (on_parent & on_child).sum() / on_parent.sum(),
        }
        covered = mistaken.get(by, (parent * on_child).sum() / parent.sum())
        measured.append(torch.stack([closeness, covered]))
    rows = enumerate(torch.stack(measured).tolist())  # one wait for the device
    found = [(c if by == "coverage" else s, n) for n, (s, c) in rows if s > similar and c >= floor]
    return [number for _, number in sorted(found, reverse=by != "rising")]


def _family() -> tuple[Tensor, Tensor]:
    """A parent (T,) and a wide dictionary (T, M) on which every known mistake shows."""
    parent = torch.zeros(70)
    parent[:25] = torch.linspace(1, 3, 25)
    wide = torch.zeros(70, 9)
    wide[:4, 0] = parent[:4]  # a part of it
    wide[4:16, 1] = parent[4:16] + torch.linspace(0, 2, 12)
    wide[23:25, 2] = 2.0  # two tokens, 0.12 of the activation
    wide[0, 3] = 1.0  # one token, 0.02 of the activation
    wide[8:25, 4], wide[30:, 4] = parent[8:25] / 10, 3.0  # meets it, but fires mostly elsewhere
    wide[24, 5], wide[30:40, 5] = 0.3, 3.0  # meets it once
    wide[10:20, 6], wide[30:34, 6] = parent[10:20], 3.0
    wide[:2, 7] = 1.0  # 2 tokens of 25, 0.04 of the activation
    wide[16:22, 8] = torch.linspace(0.02, 0.1, 6)  # fires weakly
    return parent, wide


MISTAKES = {  # in exercise 11.1: what is said, and how `right_children` makes them
    "the most similar first: your list begins with the least": {"by": "rising"},
    "sort by similarity: yours begins with what covers most": {"by": "coverage"},
    "coverage is missing: a feature that fires once or twice is nobody's child": {"floor": 0},
    "coverage asks what share of the PARENT's activation a child meets": {"by": "own share"},
    "coverage weighs each token by the parent's activation; yours counts them": {"by": "tokens"},
    "where the child fires, coverage counts the parent's WHOLE activation": {"by": "overlap"},
    "this is the cosine over all tokens (or where either fires: the same): mask by one at a time": {
        "masks": "none"
    },
    "you keep tokens where both fire: mask by one of them at a time": {"masks": "both"},
    "mask by the child's firing, too, and take the larger": {"masks": "parent"},
    "mask by the parent's firing, too, and take the larger": {"masks": "child"},
    "take the larger of the two cosines; yours is the smaller": {"masks": "smaller"},
    "similarity has to exceed 0.4": {"similar": -1.0},
}


@exercise
def children(yours) -> str | None:
    """yours(parent, wide): (T,), (T, M) -> the children's numbers, the most similar first."""
    parent, wide = _family()
    said = [int(number) for number in yours(parent.clone(), wide.clone())]
    right = right_children(parent, wide)
    for hint, how in MISTAKES.items():
        if said != right and said == right_children(parent, wide, **how):
            return hint
    otherwise = f"for the check's features the children are {right}; yours gives {said}"
    return None if said == right else otherwise


@exercise
def first_and_more(count) -> str | None:
    """count(owner), the true feature of each direction (M,), −1 for dead ones -> (true features
    found, further directions).
    """
    cases = torch.tensor([3, 3, 7, -1, 7, 7, 0, -1]), torch.tensor([1, 1, 0])
    found = torch.as_tensor([int(number) for owner in cases for number in count(owner)])
    hints = {
        "−1 is no true feature: leave dead directions out before you count": [4, 4, 2, 1],
        "the dead directions (−1) are among your further ones": [3, 5, 2, 1],
        "take off the direction that found each true feature": [3, 6, 2, 3],
        "you take one off for −1, even where no direction is dead": [3, 3, 1, 2],
    }
    hints = {hint: torch.tensor(wrong) for hint, wrong in hints.items()}
    otherwise = "3, 3, 7, −1, 7, 7, 0, −1: six directions of three true features: (3, 3)"
    return compare(found, torch.tensor([3, 3, 2, 1]), hints, otherwise=otherwise)


@exercise
def absorption(measure) -> str | None:
    """measure(f, parent, child), (B,) each -> how much oftener the latent f is silent where its
    parent comes with the child than where it comes alone.
    """
    parent = torch.tensor([1.0, 2, 1, 1, 1, 1, 1, 0, 0, 0])
    child = torch.tensor([0.0, 0, 0, 0, 1, 1, 1, 0, 1, 0])
    f = torch.tensor([1.0, 3, 0, 1, 0, 0, 1, 0, 0, 0])
    with_child, alone, silent = (parent > 0) & (child > 0), (parent > 0) & (child == 0), f == 0
    share = lambda where: silent[where].float().mean()
    hints = {
        "the other way round: absorption is positive": share(alone) - share(with_child),
        "take off how often it is silent where the parent comes alone": share(with_child),
        "how often it FIRES with the child; ask how often it is silent": 1 - share(with_child),
        "the child alone is no case: ask only where the parent is": share(child > 0) - share(alone),
        "how OFTEN it is silent is asked, not how strong it is": f[alone].mean()
        - f[with_child].mean(),
        "without the child, but with the parent": share(with_child) - share(child == 0),
        "divide by the cases with parent and child, not by all samples": (
            (silent & with_child).sum() - (silent & alone).sum()
        )
        / len(f),
    }
    return compare(measure(f, parent, child), toy.absorption(f, parent, child), hints)
