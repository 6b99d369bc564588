"""Lesson 12: rollout, the knock-out, the logit lens."""

import torch

from helpers.lesson.checks import compare, exercise


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@exercise
def rollout(roll) -> str | None:
    """roll(A): the table (T, T) of one picture; A is a list by layer, (heads, T, T) each."""
    A = list(draw(3, 2, 4, 4).softmax(-1))
    one = torch.eye(4)
    mean = [weights.mean(0) for weights in A]
    steps = [(one + m) / 2 for m in mean]
    mistakes = {
        "the path around attention is missing: add the identity": mean[2] @ mean[1] @ mean[0],
        "the order is turned round: the first layer acts first, so it stands last in the product": (
            steps[0] @ steps[1] @ steps[2]
        ),
        "rows should sum to 1: halve (identity + mean)": (
            (one + mean[2]) @ (one + mean[1]) @ (one + mean[0])
        ),
        "average the heads, do not add them": torch.linalg.multi_dot(
            [(one + weights.sum(0)) / 2 for weights in A[::-1]]
        ),
        "this is the last layer alone: multiply all": steps[2],
        "this multiplies element by element: @ is the matrix product": (
            steps[0] * steps[1] * steps[2]
        ),
    }
    return compare(
        roll([weights.clone() for weights in A]),
        steps[2] @ steps[1] @ steps[0],
        mistakes,
    )


@exercise
def knock_out(cut) -> str | None:
    """cut(weights, edges): weights (B, heads, T, T) after it, edges (T, T) True where cut."""
    weights = draw(2, 3, 5, 5).softmax(-1)
    edges = torch.zeros(5, 5, dtype=torch.bool)
    edges[4, 1] = edges[3, 2] = True
    zeroed = weights * ~edges
    right = zeroed / zeroed.sum(-1, keepdim=True)
    other = weights * ~edges.T
    mistakes = {
        "rows no longer sum to 1: divide by what is left": zeroed,
        "the edges are turned round: a row is the token that reads": [
            other / other.sum(-1, keepdim=True),
            other,
        ],
        "what is cut stays, and all else goes: `edges` is True where to cut": weights * edges,
        "these are weights already: divide by their sum, a softmax makes them nearly even": [
            zeroed.softmax(-1),
            weights.masked_fill(edges, -torch.inf).softmax(-1),
        ],
        "divide by the sum over the tokens that are read, the last dimension": (
            (zeroed / zeroed.sum(-2, keepdim=True)).nan_to_num()
        ),
        "nothing is cut yet": weights,
    }
    given = weights.clone()
    said = compare(cut(given, edges), right, mistakes)
    if said is None and not torch.equal(given, weights):
        return "the weights you were given have changed: work on a copy"
    return said


@exercise
def logit_lens(lens) -> str | None:
    """lens(stream, norm, unembed, token): its probability by layer (L,); stream (L, D)."""
    stream, unembed = draw(4, 6), draw(9, 6, seed=1)
    scale = draw(6, seed=2).abs() + 0.5

    def norm(x):
        return x / x.square().mean(-1, keepdim=True).sqrt() * scale

    logits = norm(stream) @ unembed.T  # (L, V)
    mistakes = {
        "the model normalises the stream before it reads it: norm(stream)": (
            (stream @ unembed.T).softmax(-1)[:, 5]
        ),
        "these are logits: a softmax over the words makes probabilities": logits[:, 5],
        "the softmax runs over the layers: take the last dimension, the words": (
            logits.softmax(0)[:, 5]
        ),
        "these are logarithms of probabilities": logits.log_softmax(-1)[:, 5],
        "this is the last layer alone: one number a layer": logits.softmax(-1)[-1, 5].expand(4),
    }
    return compare(lens(stream, norm, unembed, 5), logits.softmax(-1)[:, 5], mistakes)
