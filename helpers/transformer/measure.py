"""A transformer's loss on held-out text, by kind of text, intact and with its neurons edited."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.ground.artifacts import still_numbers
from helpers.ground.errors import checked
from helpers.ground.runtime import in_chunks
from helpers.ground.stats import wide
from helpers.transformer.model import OneLayerTransformer

Edit = Callable[[Tensor], Tensor]  # the neurons' activations (B, T, F) → what W_out gets instead


def ablate(acts: Tensor) -> Tensor:
    """An `edit` that silences the neurons: what "loss recovered" is measured from."""
    return torch.zeros_like(acts)


@checked
@torch.no_grad()
def token_losses(model: OneLayerTransformer, contexts: Tensor, edit: Edit | None = None) -> Tensor:
    """Cross-entropy of each next token in nats, (R, T − 1), for rows of tokens (R, T)."""
    device = model.embed.weight.device

    def of(rows: Tensor) -> Tensor:
        rows = rows.to(device)
        logits = model(rows[..., :-1], edit)  # (rows, T − 1, V): at t what comes at t + 1
        after = rows[:, 1:].long()
        losses = F.cross_entropy(wide(logits).flatten(0, 1), after.flatten(), reduction="none")
        return losses.view_as(after)

    return in_chunks(of, contexts, chunk=rows_at_once(device))


def rows_at_once(device: torch.device) -> int:
    """Rows of text a pass: 16 fit a processor's cache; 64 rows of 16,384 features are 0.5 GB."""
    return 16 if device.type == "cpu" else 64


def loss_recovered(model: OneLayerTransformer, contexts: Tensor, edit: Edit) -> float:
    """(ablated − edited) / (ablated − intact): 1 changes nothing, 0 is as bad as no MLP."""
    intact = token_losses(model, contexts).mean()
    edited = token_losses(model, contexts, edit).mean()
    ablated = token_losses(model, contexts, ablate).mean()
    still_numbers([intact, edited], "its training")
    return ((ablated - edited) / (ablated - intact)).item()
