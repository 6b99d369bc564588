"""Training the attention models: length buckets, class weights, the epoch chosen on a dev split."""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from sklearn.metrics import f1_score, roc_auc_score
from torch import Tensor
from tqdm.auto import tqdm

from helpers.attention.model import AttentionModel, Batch, collate, probabilities


@dataclass(frozen=True)
class Settings:
    """The papers' training (Jain & Wallace 2019, appendix A), the number of epochs apart."""

    epochs: int = 8
    """passes through the training texts"""
    batch: int = 32
    """texts a step"""
    rate: float = 1e-3
    """Adam's learning rate (amsgrad)"""
    decay: float = 1e-5
    """weight decay, on everything but the attention's own weights"""
    seed: int = 0
    """of the order of the batches; seed the model yourself before you build it"""


def batches(
    data: list[tuple], size: int, *, generator: torch.Generator | None = None, device="cpu"
):
    """Batches of texts of similar length: less padding to compute. Shuffled where a generator is given."""
    lengths = torch.tensor([len(example[0]) for example in data], dtype=torch.float)
    if generator is not None:  # similar, not sorted: 10 % noise on the lengths
        lengths = lengths * (1 + 0.1 * torch.rand(len(data), generator=generator))
    groups = lengths.argsort().split(size)
    order = (
        torch.randperm(len(groups), generator=generator)
        if generator is not None
        else range(len(groups))
    )
    for g in order:
        batch = collate([data[i] for i in groups[g]], groups[g])
        yield Batch(*(None if part is None else part.to(device) for part in batch))


def label_loss(
    model: AttentionModel, data: list[tuple]
) -> Callable[[AttentionModel, Batch], Tensor]:
    """Cross-entropy with the labels; with two classes the rarer one weighs more (weight N/N+ - 1, as in the papers)."""
    if model.outputs > 1:
        return lambda model, batch, alpha: F.cross_entropy(model(batch, alpha)[0], batch.label)
    positives = max(sum(example[1] for example in data), 1)
    weight = torch.tensor(len(data) / positives - 1)
    return lambda model, batch, alpha: F.binary_cross_entropy_with_logits(
        model(batch, alpha)[0].squeeze(-1),
        batch.label.float(),
        pos_weight=weight.to(batch.words.device),
    )


def pick(guide: list[Tensor] | Callable | None, batch: Batch) -> Tensor | None:
    """The weights that a guide prescribes for a batch: None, a function of the content mask, or one row a text."""
    if guide is None:
        return None
    if callable(guide):
        return guide(batch.content)
    rows = torch.nn.utils.rnn.pad_sequence(
        [guide[i] for i in batch.index.tolist()], batch_first=True
    )
    return rows.to(batch.words.device)


def fit(
    model: AttentionModel,
    train: list[tuple],
    dev: list[tuple],
    settings: Settings = Settings(),
    *,
    guide=None,
    dev_guide=None,
    loss: Callable | None = None,
) -> list[float]:
    """Trains in place and keeps the epoch with the best dev score; returns the dev score of each epoch.

    `guide` prescribes attention weights instead of the model's own (`uniform`, or one (T,) row a text).
    `loss(model, batch, alpha)` replaces the label loss; then the last epoch is kept.
    One of the papers chose the epoch on its TEST split (Wiegreffe & Pinter's published code): here it is the dev split.
    """
    attention = {id(p) for part in (model.W1, model.W2, model.v) for p in part.parameters()} | {
        id(model.query)
    }
    own = [p for p in model.parameters() if id(p) in attention]
    rest = [p for p in model.parameters() if id(p) not in attention]
    optimiser = torch.optim.Adam(
        [{"params": rest, "weight_decay": settings.decay}, {"params": own}],
        lr=settings.rate,
        amsgrad=True,
    )
    generator = torch.Generator().manual_seed(settings.seed)
    objective = loss or label_loss(model, train)
    device, history, best = next(model.parameters()).device, [], None
    for _ in tqdm(range(settings.epochs), desc="epochs", leave=False):
        model.train()
        for batch in batches(train, settings.batch, generator=generator, device=device):
            optimiser.zero_grad()
            objective(model, batch, pick(guide, batch)).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimiser.step()
        history.append(score(model, dev, guide=dev_guide))
        if loss is None and history[-1] >= max(history):
            best = copy.deepcopy(model.state_dict())
    if best is not None:
        model.load_state_dict(best)
    model.eval()
    return history


@torch.no_grad()
def predict(
    model: AttentionModel, data: list[tuple], *, guide=None, size: int = 128
) -> tuple[Tensor, list[Tensor]]:
    """Probabilities (N, C) and the attention weights of each text (T,), in the order of `data`."""
    model.eval()
    device = next(model.parameters()).device
    probs, alphas = [None] * len(data), [None] * len(data)
    for batch in batches(data, size, device=device):
        logits, alpha = model(batch, pick(guide, batch))
        for row, i in enumerate(batch.index.tolist()):
            probs[i], alphas[i] = (
                probabilities(logits[row]).cpu(),
                alpha[row, : len(data[i][0])].cpu(),
            )
    return torch.stack(probs), alphas


def score(model: AttentionModel, data: list[tuple], *, guide=None) -> float:
    """ROC-AUC for two classes, accuracy for more."""
    probs, labels = (
        predict(model, data, guide=guide)[0],
        torch.tensor([example[1] for example in data]),
    )
    if model.outputs > 1:
        return (probs.argmax(-1) == labels).float().mean().item()
    return float(roc_auc_score(labels, probs[:, 1]))


def f1(model: AttentionModel, data: list[tuple], *, guide=None) -> float:
    """F1 of the positive class, what the papers report; accuracy for question answering."""
    if model.outputs > 1:
        return score(model, data, guide=guide)
    probs = predict(model, data, guide=guide)[0]
    return float(f1_score([example[1] for example in data], probs[:, 1] > 0.5))
