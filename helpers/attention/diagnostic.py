"""Attention is not not explanation: what Wiegreffe & Pinter (2019) train to find out whether the weights matter.

Frozen weights, other seeds, an adversary trained for a whole data set, and a network that reads every word alone and is
only told where to look.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from helpers.attention.faithfulness import jsd, kl, tvd
from helpers.attention.model import AttentionModel, Batch, probabilities, uniform
from helpers.attention.train import Settings, fit, pick, predict


class Distance(NamedTuple):
    jsd: Tensor  # (N,) between the two models' attention weights on each text
    tvd: Tensor  # (N,) between their outputs
    largest: Tensor  # (N,) the first model's largest weight on each text


def distance(base: AttentionModel, other: AttentionModel, data: list[tuple]) -> Distance:
    """How far two models are apart on the same texts, in attention and in output (Wiegreffe & Pinter 2019, fig. 3)."""
    p, alpha = predict(base, data)
    q, beta = predict(other, data)
    apart = torch.stack([jsd(a, b) for a, b in zip(alpha, beta)])
    return Distance(apart, tvd(p, q), torch.stack([a.max() for a in alpha]))


def adversary_loss(base_probs: Tensor, base_alpha: list[Tensor], lam: float):
    """TVD(output, base's output) - lam * KL(weights || base's weights), a mean over the batch: eq. (1) of the paper.

    Small lam: keep the output. Large lam: look elsewhere whatever it costs. The published code halves the TVD of two-class
    outputs once more; here it is the whole TVD, so that our lam is comparable up to a factor of two.
    """

    def loss(model: AttentionModel, batch: Batch, alpha: Tensor | None) -> Tensor:
        logits, weights = model(batch, alpha)
        target = base_probs[batch.index.cpu()].to(logits)
        others = pick(base_alpha, batch)
        return (tvd(probabilities(logits), target) - lam * kl(weights, others)).mean()

    return loss


def train_adversary(
    base: AttentionModel,
    train: list[tuple],
    dev: list[tuple],
    *,
    lam: float,
    settings: Settings = Settings(),
    seed: int = 0,
) -> AttentionModel:
    """A second model that imitates `base`'s outputs and attends as differently as lam makes it (section 4)."""
    torch.manual_seed(seed)
    model = AttentionModel(**base.settings).to(next(base.parameters()).device)
    probs, alphas = predict(base, train)
    fit(model, train, dev, settings, loss=adversary_loss(probs, alphas, lam))
    return model


def mlp_diagnostic(
    train: list[tuple],
    dev: list[tuple],
    test: list[tuple],
    *,
    guide: AttentionModel | str,
    settings: Settings = Settings(),
    seed: int = 0,
    **model_settings,
) -> Tensor:
    """Test probabilities (N, C) of a network that reads every word alone, guided by attention weights (section 3.4, Table 3).

    `guide`: a model whose weights are taken over, "uniform", or "own" (it learns its own). If a model's weights say
    which words matter, they help a reader who sees no context.
    """
    torch.manual_seed(seed)
    model = AttentionModel(**{**model_settings, "encoder": "average"})
    if guide == "own":
        weights = lambda data: None
    elif guide == "uniform":
        weights = lambda data: uniform
    else:
        weights = lambda data: predict(guide, data)[1]
    fit(model, train, dev, settings, guide=weights(train), dev_guide=weights(dev))
    return predict(model, test, guide=weights(test))[0]
