"""The neurons' activations on a stream of text, in shuffled batches for a dictionary."""

from collections.abc import Iterator

import torch
from torch import Tensor

from helpers.ground.artifacts import still_numbers
from helpers.ground.errors import CourseError, checked
from helpers.ground.runtime import in_chunks
from helpers.transformer.model import OneLayerTransformer

CHUNK = 1024  # contexts shuffled at once: 131,072 activations of 512 neurons, 134 MB in float16


@checked
class ActivationBuffer:
    """Shuffled batches of a model's activations on rows of tokens (R, T), at mean norm √N.

    The rows come in a random order, CHUNK of them at a time; inside a chunk all positions are
    shuffled. A batch follows from the seed and its number alone, so a killed training can go on.
    """

    def __init__(self, model: OneLayerTransformer, contexts: Tensor, *, seed=0, bfloat16=False):
        self.model = model
        self.device = model.embed.weight.device
        self.contexts = contexts.to(self.device)  # 10 M tokens: 80 MB as int64, 20 MB as int16
        self.seed = seed
        self.bfloat16 = bfloat16
        self.order = self._shuffled(len(contexts), seed)
        self.scale = 1.0
        norms = self._of(self.order[:64]).norm(dim=-1)  # 8,192 activations
        self.scale = (model.settings.d_mlp**0.5 / norms.mean()).item()
        still_numbers([torch.tensor(self.scale)], "its training")

    def batches(self, size: int, *, start: int = 0) -> Iterator[Tensor]:
        """Batches (size, N) float32 for ever, from number `start` on; the rows come again."""
        rows = min(CHUNK, len(self.contexts))
        positions = rows * self.contexts.shape[1]
        if not 0 < size <= positions:
            raise CourseError(f"A batch has 1 to {positions} of the activations here, not {size}.")
        per_chunk = positions // size
        chunk, first = divmod(start, per_chunk)
        while True:
            places = torch.arange(chunk * rows, (chunk + 1) * rows) % len(self.order)
            acts = self._of(self.order[places.to(self.device)]).half()
            mixed = self._shuffled(len(acts), 1000 * self.seed + chunk)
            for batch in mixed[: per_chunk * size].split(size)[first:]:
                yield acts[batch].float()
            chunk, first = chunk + 1, 0

    def sample(self, size: int, *, seed: int) -> Tensor:
        """Random activations (size, N), for resampling and for measurements on training text."""
        generator = torch.Generator().manual_seed(seed)
        count = max(1, size // self.contexts.shape[1])
        rows = torch.randint(len(self.contexts), (count,), generator=generator)
        return self._of(rows.to(self.device))[:size]

    def _shuffled(self, count: int, seed: int) -> Tensor:
        """A random order of `count` things, drawn on the CPU and moved once."""
        order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
        return order.to(self.device)

    @torch.no_grad()
    def _of(self, rows: Tensor) -> Tensor:
        """Rescaled activations of some rows, (rows · T, N)."""
        of = lambda part: self.model.activations(part).flatten(0, 1).float()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            return in_chunks(of, self.contexts[rows], chunk=64) * self.scale
