"""Lesson 04: additive attention, word vectors begun ten times as long, the adversary's loop."""

import math

import torch

from helpers.attention.faithfulness import jsd
from helpers.lesson.checks import compare, exercise


@exercise
def additive_attention(attend) -> str | None:
    """attend(h, W1, v, content): weights (T,); h (T, H), W1 (K, H), v (K,), content (T,) bool."""
    g = torch.Generator().manual_seed(0)
    h, W1, v = (torch.randn(*shape, generator=g) for shape in ((5, 3), (4, 3), (4,)))
    content = torch.tensor([False, True, True, True, False])
    by_hand = [
        sum(v[k] * math.tanh(sum(W1[k, j] * h[t, j] for j in range(3))) for k in range(4))
        for t in range(5)
    ]
    scores = torch.tensor(by_hand)
    right = torch.zeros(5)
    right[1:4] = scores[1:4].exp() / scores[1:4].exp().sum()
    zeroed_late = scores.softmax(0) * content
    zero_scores = (scores * content).softmax(0)
    linear = (h @ W1.T @ v).masked_fill(~content, -torch.inf).softmax(0)
    no_softmax = [scores, scores.masked_fill(~content, -torch.inf)]
    mistakes = {
        "the special tokens get weight: set their scores to -inf first": scores.softmax(0),
        "you zero the special tokens late: the weights no longer sum to 1": zeroed_late,
        "a score of 0 is not a weight of 0: minus infinity gives it": zero_scores,
        "the tanh is missing: without it, W1 and v are one linear map": linear,
        "these are the scores; a softmax makes them weights": no_softmax,
    }
    return compare(attend(h, W1, v, content), right, mistakes)


@exercise
def long_vectors(retrain, agreement=None, texts=()) -> str | None:
    """retrain(std): the model whose word vectors began at N(0, std²), its three mean taus (3,).

    agreement(model, texts): the lesson's taus (3, N), measured anew on the model that comes back.
    """
    result = retrain(1.0)
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        return "return two things: the model, and its three mean τ"
    model, tau = result
    if isinstance(model, tuple):
        return "`train_one` gives two things, the model and its history: keep the first"
    began = model.settings["embedding_std"]
    if began != 1.0:
        return f"the model's embedding_std is {began:g}: hand `std` on to `train_one`"
    tau = torch.as_tensor(tau)
    if tau.shape != (3,):
        return f"three means are expected, one a pair; yours has the shape {tuple(tau.shape)}"
    if tau.isnan().any():
        return "a text where one measure is constant has no tau: take `nanmean` over the texts"
    if tau[1] > 0.6:  # gradient and leave one out: .27 to .42 in five seeds, else .75 and above
        return "these look like the τ of section 3's model: measure the new one"
    right = agreement(model, texts).nanmean(1)
    order = {"these are the right three numbers in the reverse order: as PAIRS": right.flip(0)}
    found = ", ".join(f"{value:.2f}" for value in right.tolist())
    otherwise = f"your model's three τ on the first {len(texts)} test texts are {found}"
    return compare(tau, right, order, otherwise=otherwise, rtol=0, atol=0.02)


# what each of three words alone gives, before the sigmoid
VALUES = torch.tensor([0.0, 2.0, -2.0])  # a mixture of the last two gives what the first gives
HIGHER = torch.tensor([0.0, 0.05, 0.05])  # none does: the far end is .0125 away, .0025 over the due
EQUAL = torch.zeros(3)  # every one does: the distance alone decides
SPREAD, BEGUN = torch.tensor([[0.45, 0.5, 0.05], [0.55, 0.15, 0.3]])  # TVD stops at .55, 0, .45


@exercise
def adversary(attack) -> str | None:
    """attack(output, own, scores): weights (3,) far from `own`, the output within .05 of before.

    All of `own` lies on the first word; only a mixture of the other two gives the same output.
    With other values none does: there the fine, and from where it is due, decide how far it goes.
    Last, `own` lies on all words and the output never moves: TVD is content before JSD is.
    """
    own, asked = torch.tensor([1.0, 0.0, 0.0]), []

    def output(alpha, values=VALUES):
        asked.append(alpha.detach())
        p = torch.sigmoid(alpha @ values.to(alpha))
        return torch.stack([1 - p, p])

    for seed in range(3):
        scores = 0.3 * torch.randn(3, generator=torch.Generator().manual_seed(seed))
        scores[0] -= 3.0  # it begins away from `own`
        weights = torch.as_tensor(attack(output, own, scores.clone())).detach()
        if weights.shape != own.shape:
            return f"one weight a word, (3,), is expected; yours has {tuple(weights.shape)}"
        if (weights < 0).any() or abs(weights.sum() - 1) > 1e-3:
            return "these are no weights (0 or more, 1 in all): a softmax of the scores makes them"
        if len(asked) < 20 * (seed + 1):
            return f"the output was asked {len(asked)} times: take a few hundred steps"
        if torch.allclose(weights, scores.softmax(0), atol=1e-3):
            return "the scores never move: does the optimizer hold them, and is the loss theirs?"
        moved = abs(output(weights)[1] - 0.5)
        if moved > 0.05:
            return f"your weights move the output by {moved:.2f}: the fine is missing or too small"
        if jsd(weights, own) < 0.1:
            return (
                "you end near the model's own weights: the loss falls when the divergence RISES; "
                "or zero_grad, the rate, or where the fine begins (at .01) is not as asked"
            )
        if jsd(weights, own) < 0.6:
            return "the output stays, but there are weights farther away: more steps, or larger"
    weights = attack(lambda alpha: output(alpha, HIGHER), own, scores.clone())
    moved = abs(output(weights, HIGHER)[1] - 0.5)
    if moved > 0.0115:
        return (
            f"yours may move the output by {moved:.4f}: a fine of 500, due from .01 on, "
            "keeps it at .01; or the distance is not `jsd`"
        )
    weights = attack(lambda alpha: output(alpha, EQUAL), SPREAD, BEGUN.log())
    if jsd(weights, SPREAD) < 0.5:
        return "farther weights are left where the output never moves: is your distance `jsd`?"
    return None
