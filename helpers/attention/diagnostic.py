"""What Wiegreffe & Pinter (2019) train to find out whether the attention weights matter."""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from helpers.attention.data import Data, Size
from helpers.attention.faithfulness import jsd, kl, tvd
from helpers.attention.model import AttentionModel, Batch, new_model, probabilities, uniform
from helpers.attention.train import Guide, fit, pick, predict
from helpers.ground.errors import CourseError, checked

SEED = 10  # the base model's, as in the paper's code


@checked
def train_one(
    data, size, *, seed=SEED, guide: Guide = None, dev_guide=None, device="cpu", **settings
) -> tuple[AttentionModel, list[float]]:
    """A model from one seed, and its dev ROC-AUC after each epoch; the best epoch is kept.

    guide, dev_guide: see `train.fit`. settings: more of AttentionModel's, such as attention="dot".
    """
    settings = {"embed": size.embed, "hidden": size.hidden} | settings
    model = new_model(len(data.vocabulary), seed=seed, **settings).to(device)
    training = size.training(seed)
    return model, fit(model, data.train, data.dev, training, guide=guide, dev_guide=dev_guide)


class Distance(NamedTuple):
    """How far two models are apart on N texts (Wiegreffe & Pinter 2019, fig. 3)."""

    jsd: Tensor  # (N,) between their attention weights
    tvd: Tensor  # (N,) between their outputs
    largest: Tensor  # (N,) the first model's largest weight


@checked
def distance(base: AttentionModel, other: AttentionModel, data: list[tuple]) -> Distance:
    """The distances of `other` from `base` on the same texts."""
    p, alpha = predict(base, data)
    q, beta = predict(other, data)
    return Distance(jsd(alpha, beta), tvd(p, q), alpha.amax(-1))


@checked
def adversary_loss(base_probs: Tensor, base_alpha: Tensor, lam: float) -> Callable:
    """TVD(output, base's output) - lam * KL(weights || base's weights), eq. (1) of the paper.

    The mean over a batch. base_probs (N, C), base_alpha (N, T): of all training texts. The larger
    lam, the more it looks elsewhere. The published code halves the TVD of two classes once more.
    """

    def loss(model: AttentionModel, batch: Batch, alpha: Tensor | None) -> Tensor:
        logits, weights = model(batch, alpha)
        change = tvd(probabilities(logits), base_probs[batch.index])  # (B,)
        divergence = kl(weights, pick(base_alpha, batch))  # (B,)
        return (change - lam * divergence).mean()

    return loss


@checked
def train_adversary(base, data, size, *, lam: float, seed=SEED + 1, copy=False) -> AttentionModel:
    """A model that imitates base's outputs and looks as far elsewhere as lam makes it (sec. 4).

    It trains twice as long as `base`, at half the rate, and its word vectors begin at base's (the
    papers' begin at the same pre-trained ones): else it often ended where it imitated nothing.
    copy: all of it begins at base's.
    """
    model = new_model(seed=seed, **base.settings).to(base.device)
    model.embedding.load_state_dict(base.embedding.state_dict())
    if copy:
        model.load_state_dict(base.state_dict())
    loss = adversary_loss(*predict(base, data.train), lam)
    fit(model, data.train, data.dev, size.training(seed, patience=2), loss=loss)
    return model


@checked
def mlp_diagnostic(data: Data, size: Size, *, guide, seed=SEED, device="cpu") -> Tensor:
    """P(positive) (N,) of the test texts by a network that reads each word alone, under a guide.

    guide: a model whose attention weights are taken over, "uniform", or "own" (it learns its own).
    If weights say which words matter, they help a reader who sees no context (sec. 3.4, Table 3).
    """

    def weights(part: list[tuple]) -> Guide:
        if isinstance(guide, AttentionModel):
            return predict(guide, part)[1]
        if guide not in (known := {"uniform": uniform, "own": None}):
            raise CourseError(f"guide={guide!r:.60}: give a model, 'uniform' or 'own'.")
        return known[guide]

    given = {"guide": weights(data.train), "dev_guide": weights(data.dev)}
    model, _ = train_one(data, size, seed=seed, device=device, encoder="average", **given)
    return predict(model, data.test, guide=weights(data.test))[0][:, 1]
