"""Training the attention models: length buckets, class weights, the epoch chosen on a dev split."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm.auto import tqdm

from helpers.attention.model import AttentionModel, Batch, collate, probabilities
from helpers.ground.artifacts import still_numbers
from helpers.ground.errors import CourseError, MayBe0, checked, same_shape

Guide = Tensor | Callable[[Tensor], Tensor] | None  # weights that replace a model's own, see `pick`
ATTENTION = ("W1", "W2", "v", "query")  # the parts of a model that no weight decay touches


@checked
@dataclass(frozen=True)
class Settings:
    """The papers' training (Jain & Wallace 2019, appendix A), the number of epochs apart."""

    epochs: MayBe0 = 8  # passes through the training texts
    batch: int = 32  # texts a step
    rate: float = 1e-3  # Adam's learning rate (amsgrad)
    decay: float = 1e-5  # weight decay, on everything but the attention's own weights
    seed: int = 0  # of the order of the batches; a model has its own, see `new_model`


def batches(data: list, size: int, *, generator=None, device="cpu") -> Iterator[Batch]:
    """Batches of texts of similar length; generator (CPU): shuffles, with 10 % noise on lengths."""
    words, content, label, index, question = collate(data, device=device)
    lengths = torch.tensor([len(example[0]) for example in data])
    noise = 0 if generator is None else 0.1 * torch.rand(len(data), generator=generator)
    by_length = (lengths * (1.0 + noise)).argsort()
    widths = [int(lengths[group].max()) for group in by_length.split(size)]
    groups = by_length.to(device).split(size)
    order = range(len(groups))
    for g in order if generator is None else torch.randperm(len(groups), generator=generator):
        rows, width = groups[g], widths[g]
        asked = None if question is None else question[rows]
        yield Batch(words[rows, :width], content[rows, :width], label[rows], index[rows], asked)


def label_loss(model: AttentionModel, data: list[tuple]) -> Callable:
    """Cross-entropy with the labels; a positive text counts N / N+ - 1 times: both weigh alike."""
    if model.outputs > 1:
        return lambda model, batch, alpha: F.cross_entropy(model(batch, alpha)[0], batch.label)
    positives = max(sum(example[1] for example in data), 1)
    weight = torch.tensor(len(data) / positives - 1, device=model.device)

    def loss(model: AttentionModel, batch: Batch, alpha: Tensor | None) -> Tensor:
        logits = model(batch, alpha)[0][:, 0]
        label = batch.label.float()
        return F.binary_cross_entropy_with_logits(logits, label, pos_weight=weight)

    return loss


def pick(guide: Guide, batch: Batch) -> Tensor | None:
    """Weights (B, T) by a guide: a function such as `uniform`, or (N, T) of all texts; or None."""
    if guide is None or callable(guide):
        return guide and same_shape(guide(batch.content), batch.content, "What guide gives")
    return guide[batch.index, : batch.words.shape[1]]


def optimizer_for(model: AttentionModel, settings: Settings) -> torch.optim.Optimizer:
    """Adam with amsgrad, and weight decay on everything but the attention's own weights."""
    decayed, attention = [], []
    for name, parameter in model.named_parameters():
        (attention if name.split(".")[0] in ATTENTION else decayed).append(parameter)
    groups = [{"params": decayed, "weight_decay": settings.decay}, {"params": attention}]
    return torch.optim.Adam(groups, lr=settings.rate, amsgrad=True)


@checked
def fit(
    model, train, dev, settings=Settings(), *, guide: Guide = None, dev_guide=None, loss=None
) -> list[float]:
    """Train in place, keep the epoch with the best dev score, return each epoch's dev score.

    guide, dev_guide: attention weights in place of the model's own, see `pick`. loss: in place of
    `label_loss`; then the last epoch is kept. (Wiegreffe & Pinter's published code chooses the
    epoch on the TEST split.)
    """
    optimizer = optimizer_for(model, settings)
    generator = torch.Generator().manual_seed(settings.seed)
    objective = loss or label_loss(model, train)
    history, best = [], None
    for _ in tqdm(range(settings.epochs), desc="epochs", leave=False):
        model.train()
        for batch in batches(train, settings.batch, generator=generator, device=model.device):
            optimizer.zero_grad()
            objective(model, batch, pick(guide, batch)).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
        history.append(score(model, dev, guide=dev_guide))
        if loss is None and history[-1] >= max(history):
            best = copy.deepcopy(model.state_dict())
    if best is not None:
        model.load_state_dict(best)
    model.eval()
    return history


@checked
@torch.no_grad()
def predict(model, data: list, *, guide: Guide = None, size=128) -> tuple[Tensor, Tensor]:
    """Probabilities (N, C) and attention weights (N, T), 0 after a text's end, on its device."""
    model.eval()
    longest = max((len(example[0]) for example in data), default=0)
    probs = torch.zeros(len(data), max(model.outputs, 2), device=model.device)
    weights = torch.zeros(len(data), longest, device=model.device)
    for batch in batches(data, size, device=model.device):
        logits, alpha = model(batch, pick(guide, batch))
        probs[batch.index] = probabilities(logits).to(probs)
        weights[batch.index, : alpha.shape[1]] = alpha.to(weights)
    still_numbers([probs], "training")
    return probs, weights


@checked
def score(model: AttentionModel, data: list[tuple], *, guide: Guide = None) -> float:
    """ROC-AUC for two classes, accuracy for more."""
    from sklearn.metrics import roc_auc_score  # here: it takes 80 MB from who only looks

    probs = predict(model, data, guide=guide)[0].cpu()
    labels = torch.tensor([example[1] for example in data])
    if model.outputs > 1:
        return (probs.argmax(-1) == labels).float().mean().item()
    if len(labels.unique()) < 2:
        raise CourseError("ROC-AUC compares two classes; all of these texts are of one.")
    return float(roc_auc_score(labels, probs[:, 1]))


@checked
def f1(model: AttentionModel, data: list[tuple], *, guide: Guide = None) -> float:
    """F1 of the positive class, what the papers report; accuracy for question answering."""
    from sklearn.metrics import f1_score

    if model.outputs > 1:
        return score(model, data, guide=guide)
    probs = predict(model, data, guide=guide)[0].cpu()
    return float(f1_score([example[1] for example in data], probs[:, 1] > 0.5))
