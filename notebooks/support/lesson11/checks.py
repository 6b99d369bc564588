"""Lesson 11: the similarity behind the splitting graph, what children cover of their parent, and
discovery beside splitting.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from helpers.lesson.checks import close, exercise


@exercise
def masked_cosine(similarity) -> str | None:
    """similarity(parent, child), activations (T,) each -> the larger of the two cosines on the
    tokens where one of them fires.
    """
    parent = torch.tensor([2.0, 1.0, 0.0, 3.0, 0.0, 1.0])
    child = torch.tensor([0.0, 1.0, 0.5, 2.5, 4.0, 0.0])
    cosine = lambda mask: F.cosine_similarity(parent[mask], child[mask], dim=0)
    on_parent, on_child = cosine(parent > 0), cosine(child > 0)
    yours = torch.as_tensor(similarity(parent.clone(), child.clone()), dtype=torch.float)
    if close(yours, max(on_parent, on_child)):
        swapped = torch.as_tensor(similarity(child.clone(), parent.clone()), dtype=torch.float)
        return (
            None
            if close(swapped, yours)
            else "exchange parent and child, and the similarity should stay: take the larger of "
            "both masks"
        )
    if close(yours, min(on_parent, on_child)):
        return (
            "this is the smaller of the two masks: a child that fires on a part of its parent's "
            "tokens would be lost"
        )
    if close(yours, F.cosine_similarity(parent, child, dim=0)):
        return (
            "this is the cosine over all tokens: mask it, first by the parent's firing, then by "
            "the child's"
        )
    if close(yours, cosine((parent > 0) & (child > 0))):
        return (
            "you keep the tokens where both fire: two features that meet once would look alike; "
            "mask by one of them at a time"
        )
    if close(yours, torch.corrcoef(torch.stack([parent, child]))[0, 1]):
        return "this is Pearson's correlation: no mean is taken off here"
    return (
        f"for the check's two features the masks give {on_parent:.3f} and {on_child:.3f}, so "
        f"{max(on_parent, on_child):.3f}; yours gives {float(yours):.3f}"
    )


@exercise
def covered(share) -> str | None:
    """share(parent, children), activations (T,) and (T, C) -> share of the parent's activation
    where at least one child fires.
    """
    parent = torch.tensor([4.0, 2.0, 1.0, 0.0, 3.0])
    children = torch.tensor([[1.0, 2.0], [0.0, 0.5], [0.0, 0.0], [2.0, 0.0], [0.0, 0.0]])
    on = children > 0
    yours = torch.as_tensor(share(parent.clone(), children.clone()), dtype=torch.float)
    if close(yours, torch.tensor(0.6)):
        return None
    if close(yours, torch.stack([parent[on[:, i]].sum() for i in (0, 1)]).sum() / parent.sum()):
        return (
            "you add the children's shares: where two children fire, the parent's activation is "
            "counted twice"
        )
    if close(yours, ((parent > 0) & on.any(dim=1)).sum() / (parent > 0).sum()):
        return "you count tokens: weigh each by the parent's activation there"
    if close(yours, parent[on.all(dim=1)].sum() / parent.sum()):
        return "you ask for all children at once: one is enough"
    if close(yours, children[parent > 0].sum() / children.sum()):
        return (
            "this is the share of the children's activation that falls on the parent's tokens: the "
            "question goes the other way"
        )
    return (
        "the parent's 10 are spread as 4, 2, 1, 0, 3, and a child fires on the first, the second "
        f"and the fourth token: .6; yours gives {float(yours):.3f}"
    )


@exercise
def first_and_more(count) -> str | None:
    """count(owner), the true feature of each direction (M,), −1 for dead ones -> (true features
    found, further directions).
    """
    first, more = (int(v) for v in count(torch.tensor([3, 3, 7, -1, 7, 7, 0, -1])))
    if (first, more) == (3, 3):
        return None
    if (first, more) == (4, 4):
        return (
            "−1 is no true feature: those directions are dead, so leave them out before you count"
        )
    if (first, more) == (3, 5):
        return "the dead directions (−1) are among your further ones: leave them out"
    if (first, more) == (3, 6):
        return (
            "your second number is all living directions: take off the one that found each true "
            "feature"
        )
    return (
        "3, 3, 7, −1, 7, 7, 0, −1 are three true features, found by six living directions, so "
        f"three further ones: (3, 3); yours gives ({first}, {more})"
    )
