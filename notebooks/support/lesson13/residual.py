"""A dictionary on a real language model: SmolLM2's residual stream after block 9.

Shapes: R windows of T = 128 tokens, D = 576, M features. A window's first token is left out: its
vector is far longer than the others (lesson 12's attention sink).
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from scipy.sparse import csc_matrix, vstack
from torch import Tensor

from helpers.datasets import corpus, reviews
from helpers.ground.artifacts import load_artifact
from helpers.ground.errors import MayBe0, checked
from helpers.ground.runtime import in_chunks
from helpers.pretrained.hooks import hooked
from helpers.sae.features import compressed
from helpers.sae.model import Dictionary
from helpers.sae.store import restore

VERSION = 1

LAYER = 9  # of 30, counted from 0: ten blocks are a third of the price of a whole pass
T = 128
END = 0  # <|endoftext|>
SHARES = {"reviews": 0.6, "mathematics": 0.28, "code": 0.12}
DOMAINS = tuple(SHARES)
CHUNK = 256  # windows whose activations are mixed: 32,512, 75 MB
BATCH = 16  # windows at once
SEEN = 512  # held-out windows in which firing is noted: 65,536 tokens


@checked
def windows(tokenizer, split: str = "heldout", *, size: int = SEEN) -> tuple[Tensor, Tensor]:
    """Windows of text (R, T) int64 in these SHARES, mixed, and each one's place in DOMAINS (R,)."""
    parts = []
    for domain, share in SHARES.items():
        wanted = round(share * size)
        tokens = np.fromiter(islice(_tokens(tokenizer, domain, split), wanted * T), np.int64)
        parts.append(torch.from_numpy(tokens[: len(tokens) // T * T]).view(-1, T))
    domains = torch.arange(len(parts)).repeat_interleave(torch.tensor([len(p) for p in parts]))
    order = torch.randperm(len(domains), generator=torch.Generator().manual_seed(0))
    return torch.cat(parts)[order], domains[order]


def _tokens(tokenizer, domain: str, split: str) -> Iterator[int]:
    documents = _documents(domain, split)  # one after another, END behind each
    while some := list(islice(documents, 100)):
        for ids in tokenizer(some, verbose=False)["input_ids"]:
            yield from ids
            yield END


def _documents(domain: str, split: str) -> Iterator[str]:
    """As the dictionary learned them, from version 1 of the corpus: IMDb alone, mpmath alone."""
    if domain == "mathematics":
        return corpus.documents(domain, split)
    if domain == "reviews":
        imdb = reviews.load("imdb")
        texts = imdb.test.texts if split == "heldout" else imdb.train.texts
    else:
        texts = corpus.pieces("mpmath", lambda name: corpus.belongs(name, split, heldout=0.3))
    return iter(corpus.shuffled(texts, salt=domain))


@torch.no_grad()
def stream(lm, tokens: Tensor, layer: MayBe0 = LAYER) -> Tensor:
    """The stream after a block, without first tokens and later blocks: (R, T) → (R, T − 1, D)."""
    body = lm.model
    x = body.embed_tokens(tokens.to(lm.device))  # (R, T, D)
    places = torch.arange(tokens.shape[1], device=lm.device)[None]
    turned = body.rotary_emb(x, places)
    for block in body.layers[: layer + 1]:
        out = block(x, attention_mask=None, position_embeddings=turned, position_ids=places)
        x = out[0] if isinstance(out, tuple) else out
    return x[:, 1:]


class Stream:
    """Shuffled batches of the stream on windows (R, T), at mean norm √D; as `ActivationBuffer`."""

    def __init__(self, lm, rows: Tensor):
        self.lm, self.rows = lm, rows
        self.scale = 1.0
        norms = self._of(rows[:64]).norm(dim=-1)
        self.scale = (lm.config.hidden_size**0.5 / norms.mean()).item()

    def batches(self, size: int, *, start: int = 0) -> Iterator[Tensor]:
        """Batches (size, D) for ever, from number `start` on; the windows come again."""
        at_once = min(CHUNK, len(self.rows))
        whole = at_once * (T - 1) // size * size  # activations used of a chunk
        chunk, first = divmod(start, whole // size)
        while True:
            places = torch.arange(chunk * at_once, (chunk + 1) * at_once) % len(self.rows)
            acts = self._of(self.rows[places])
            draw = torch.Generator().manual_seed(chunk)
            mixed = torch.randperm(len(acts), generator=draw)[:whole]
            for batch in mixed.split(size)[first:]:
                yield acts[batch.to(acts.device)]
            chunk, first = chunk + 1, 0

    def sample(self, size: int, *, seed: int) -> Tensor:
        """Activations (size, D) of windows drawn at random."""
        draw = torch.Generator().manual_seed(seed)
        rows = torch.randint(len(self.rows), (size // (T - 1) + 1,), generator=draw)
        return self._of(self.rows[rows])[:size]

    def _of(self, rows: Tensor) -> Tensor:
        """(R, T) → (R · (T − 1), D)."""
        of = lambda part: stream(self.lm, part).flatten(0, 1)
        return in_chunks(of, rows, chunk=BATCH) * self.scale


@torch.no_grad()
def loss(lm, rows: Tensor, edit: Callable[[Tensor], Tensor] | None = None) -> Tensor:
    """Mean cross-entropy of each window's next tokens (R,) in nats; first ones stay, uncounted."""
    found = []
    for part in rows.to(lm.device).split(4):  # logits: 4 · 128 · 49,152 numbers, 100 MB
        with hooked(lm, {("residual", LAYER): each([edit] * len(part))}):
            logits = lm(part).logits[:, 1:-1]
        nats = F.cross_entropy(logits.mT, part[:, 2:], reduction="none")  # (r, T − 2)
        found.append(nats.mean(1))
    return torch.cat(found)


def each(edits: Sequence[Callable[[Tensor], Tensor] | None]) -> Callable[[Tensor], Tensor]:
    """Row b of a stream (B, T, D) through edit b (None: as it is), but for a text's first token."""

    def edit_rows(x: Tensor) -> Tensor:
        first = 0 if x.shape[1] == 1 else 1  # one token alone comes later in a text
        rows = [row if e is None else e(row) for e, row in zip(edits, x[:, first:], strict=True)]
        return torch.cat([x[:, :first], torch.stack(rows)], dim=1)

    return edit_rows


# ---------------------------------------------------------------- what is stored
class Seen(NamedTuple):
    """Where M features fire, as places in the held-out windows' tokens (R · T); −1: none."""

    density: Tensor  # (M,) share of tokens on which the feature fires
    maximum: Tensor  # (M,) largest activation seen
    top: Tensor  # (M, 12) places of the strongest firings, one a window at most
    top_values: Tensor  # (M, 12)
    uniform: Tensor  # (M, 12) a place from each of twelve equal intervals up to the maximum
    uniform_values: Tensor  # (M, 12)
    kinds: Tensor  # (M, 3) share of the firings in each of DOMAINS
    one_token: Tensor  # (M,) share of the firings that lie on the feature's commonest token


def load(*, device: torch.device | str = "cpu") -> tuple[Dictionary, Seen]:
    """The stored dictionary of SmolLM2's stream, and where its features fire in `windows`."""
    tensors, meta = load_artifact("sae_smollm2", version=VERSION, device=device)
    seen = Seen(*(tensors[field].cpu() for field in Seen._fields))
    return restore(tensors, meta, "smollm2"), seen


@torch.no_grad()
def fired_on(lm, dictionary: Dictionary, rows: Tensor) -> csc_matrix:
    """Features on windows (R, T), by column: (R · T, M). On first tokens nothing fires."""
    parts = []
    for part in rows.split(BATCH):
        f = dictionary.features(stream(lm, part))  # (R, T − 1, M)
        parts.append(compressed(F.pad(f, (0, 0, 1, 0)).flatten(0, 1)))
    return vstack(parts).tocsc()
