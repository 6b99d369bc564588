"""The neurons' activations on a stream of text: in shuffled batches for a dictionary, and unit by unit for a reader."""

from collections.abc import Iterator

import torch
from torch import Tensor

from helpers.transformer.model import OneLayerTransformer

CHUNK = 1024  # contexts computed and shuffled at once: 131,072 activations of 512 neurons in float16 are 134 MB


class Activations:
    """Shuffled batches of a model's activations on rows of tokens (R, T), rescaled to mean norm √N.

    The rows come in a random order, CHUNK of them at a time; inside a chunk all positions are shuffled. Every batch
    follows from the seed and its number alone, so that a killed training can go on in the middle.
    """

    def __init__(
        self, model: OneLayerTransformer, contexts: Tensor, *, seed: int = 0, bfloat16: bool = False
    ):
        self.model, self.contexts, self.seed, self.bfloat16 = model, contexts, seed, bfloat16
        self.order = torch.randperm(len(contexts), generator=torch.Generator().manual_seed(seed))
        self.scale = 1.0
        norms = self._of(self.order[:64]).norm(dim=-1)  # 8,192 activations
        self.scale = (model.settings.d_mlp**0.5 / norms.mean()).item()

    def batches(self, size: int, *, start: int = 0) -> Iterator[Tensor]:
        """Batches (size, N) float32 for ever, beginning with number `start`; after all rows they come again."""
        rows, positions = min(CHUNK, len(self.contexts)), self.contexts.shape[1]
        per_chunk = rows * positions // size
        if per_chunk == 0:
            raise ValueError(
                f"A batch of {size} is larger than the {rows * positions} activations at hand: give more text or a smaller batch."
            )
        chunk, first = divmod(start, per_chunk)
        while True:
            places = torch.arange(chunk * rows, (chunk + 1) * rows) % len(self.order)
            acts = self._of(self.order[places]).half()
            mixed = torch.randperm(
                len(acts), generator=torch.Generator().manual_seed(1000 * self.seed + chunk)
            )
            for i in range(first, per_chunk):
                yield acts[mixed[i * size : (i + 1) * size].to(acts.device)].float()
            chunk, first = chunk + 1, 0

    def sample(self, size: int, *, seed: int) -> Tensor:
        """Random activations (size, N), for resampling and for measurements on training text."""
        generator = torch.Generator().manual_seed(seed)
        rows = torch.randint(
            len(self.contexts), (max(1, size // self.contexts.shape[1]),), generator=generator
        )
        return self._of(rows)[:size]

    @torch.no_grad()
    def _of(self, rows: Tensor) -> Tensor:
        """Rescaled activations of some rows, (rows · T, N)."""
        device = self.model.embed.weight.device
        with torch.autocast(device.type, torch.bfloat16, enabled=self.bfloat16):
            parts = [
                self.model.activations(part.to(device)).flatten(0, 1).float()
                for part in self.contexts[rows].split(64)
            ]
        return torch.cat(parts) * self.scale
