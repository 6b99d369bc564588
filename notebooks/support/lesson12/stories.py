"""Lesson 12: the slide's "Where is Sandra?" in many variants, of one length in tokens each."""

import random
from collections.abc import Callable
from copy import deepcopy
from typing import NamedTuple

import torch
from torch import Tensor, nn

from helpers.attention import faithfulness
from helpers.ground.errors import CourseError
from helpers.ground.stats import clustered_mean
from helpers.pretrained.hooks import hooked

PLACES = ["garden", "kitchen", "office", "bathroom", "bedroom", "park", "school", "library"]
FIRST = ["John", "Mary", "Daniel", "David", "Paul", "Tom"]  # a token each at a text's beginning
SECOND = ["Sandra", "Laura", "Emma", "Anna", "Sarah", "Julia"]  # and these after a blank
PARTS = {  # positions of the tokens
    "1st person": [0],
    "travelled to the": [1, 2, 3],
    "1st place": [4],
    ".": [5],
    "2nd person": [6],
    "travelled to the ": [7, 8, 9],
    "2nd place": [10],
    ". ": [11],
    "Where is": [12, 13],
    "asked?": [14, 15],
    "asked": [16],
    "is in": [17, 18],
    "the": [19],
}
LENGTH = 20


class Story(NamedTuple):
    first: str  # a person
    second: str
    there: str  # where the first is
    here: str  # where the second is
    asked: str  # one of the two

    @property
    def text(self) -> str:
        a, b, p, q, who = self
        said = f"{a} travelled to the {p}. {b} travelled to the {q}."
        return f"{said} Where is {who}? {who} is in the"

    @property
    def answer(self) -> str:
        return self.here if self.asked == self.second else self.there

    @property
    def other(self) -> str:
        return self.there if self.asked == self.second else self.here


SLIDE = Story("John", "Sandra", "garden", "garden", "Sandra")  # D1-12


def draw(pairs: int, seed: int) -> list[Story]:
    """Stories in pairs that differ in who is asked for alone: 2 · pairs."""
    rng = random.Random(seed)
    found = []
    for _pair in range(pairs):
        a, b = rng.choice(FIRST), rng.choice(SECOND)
        p, q = rng.sample(PLACES, 2)
        found += [Story(a, b, p, q, b), Story(a, b, p, q, a)]
    return found


def encode(tokenizer, stories: list[Story], *, device="cpu") -> Tensor:
    """Token numbers (B, 20)."""
    rows = [tokenizer(story.text).input_ids for story in stories]
    for story, row in zip(stories, rows, strict=True):
        if len(row) != LENGTH:
            raise CourseError(f"'{story.text}' has {len(row)} tokens: take words of one token.")
    return torch.tensor(rows, device=device)


def number(tokenizer, word: str) -> int:
    """The token of a word after a blank."""
    ids = tokenizer(f" {word}").input_ids
    if len(ids) != 1:
        raise CourseError(f"The model has no single token for '{word}': take another word.")
    return ids[0]


class Places(NamedTuple):
    """Which columns of the places' logits (B, 8) belong to each story."""

    answer: Tensor  # (B,)
    other: Tensor  # (B,)
    named: Tensor  # (B, 8), True for the one or two that the story names


def places(stories: list[Story], *, device="cpu") -> Places:
    columns = [[PLACES.index(s.answer), PLACES.index(s.other)] for s in stories]
    answer, other = torch.tensor(columns, device=device).T
    named = torch.zeros(len(stories), len(PLACES), dtype=torch.bool, device=device)
    rows = torch.arange(len(stories), device=device)
    named[rows, answer] = True
    named[rows, other] = True
    return Places(answer, other, named)


def given(tokenizer, pairs: int, seed: int, *, device="cpu") -> tuple[list[Story], Tensor, Places]:
    """`draw`'s stories, their tokens (B, 20) and their places; B = 2 · pairs."""
    told = draw(pairs, seed)
    return told, encode(tokenizer, told, device=device), places(told, device=device)


def finding(logits: Tensor, at: Places) -> Tensor:
    """Mean logit of the places named minus that of the others: (B, 8) -> (B,)."""
    named = at.named.to(logits)
    inside = (logits * named).sum(1) / named.sum(1)
    return inside - (logits * (1 - named)).sum(1) / (1 - named).sum(1)


def choosing(logits: Tensor, at: Places) -> Tensor:
    """Logit of the asked person's place minus the other person's: (B, 8) -> (B,)."""
    right = logits.gather(1, at.answer[:, None])
    return (right - logits.gather(1, at.other[:, None]))[:, 0]


def edges(reader: str, *read: str, device="cpu") -> Tensor:
    """The edges between parts, (20, 20), True where a token of `reader` reads one of `read`."""
    cut = torch.zeros(LENGTH, LENGTH, dtype=torch.bool, device=device)
    for row in PARTS[reader]:
        for part in read:
            cut[row, PARTS[part]] = True
    return cut


def describe(logits: Tensor, at: Places) -> tuple[Tensor, Tensor]:
    """The two scores, (B,) each; printed with their intervals over `draw`'s pairs of stories."""
    scores = {"finding": finding(logits, at), "choosing": choosing(logits, at)}
    for name, score in scores.items():
        pair = [i // 2 for i in range(len(score))]
        mean, low, high = clustered_mean(score, pair)
        print(f"{name:9} {mean:5.2f} nats ({low:.2f} to {high:.2f})")
    right = (scores["choosing"] > 0).view(-1, 2)  # asked for the second person, for the first
    print(f"right for both people of a story: {right.all(1).float().mean():.2f}")
    later = torch.cat([right[:, 0], ~right[:, 1]]).float().mean()
    print(f"the place named last is the likelier: {later:.2f}")
    return scores["finding"], scores["choosing"]


def typed(tokenizer, text: str, reader: str, read: str, *, device="cpu") -> tuple[Tensor, Tensor]:
    """A text's tokens (1, T), and its one edge from `reader` to `read` (T, T)."""
    ids = tokenizer(text, return_tensors="pt").input_ids.to(device)
    pieces = [tokenizer.decode(i).strip() for i in ids[0].tolist()]
    edge = torch.zeros(len(pieces), len(pieces), dtype=torch.bool, device=device)
    edge[place_of(pieces, reader), place_of(pieces, read)] = True
    return ids, edge


def place_of(pieces: list[str], word: str) -> int:
    """Where a word stands last among the tokens; else a CourseError lists them."""
    places = [i for i, piece in enumerate(pieces) if piece == word.strip()]
    if not places:
        raise CourseError(f"'{word}' is none of the tokens: {' | '.join(pieces)}")
    return places[-1]


def without(weights: Tensor, edges: Tensor, unused=False) -> Tensor:
    """Attention weights (B, heads, T, T) when `edges` are cut; what is freed goes to the rest,
    or is `unused`.

    edges: (T, T); or (copies, heads, T, T), one for each copy of each text (see `reading_on`).
    """
    if edges.dim() == 4:
        edges = edges.repeat(len(weights) // len(edges), 1, 1, 1)
    left = weights.masked_fill(edges, 0)
    return left if unused else left / left.sum(-1, keepdim=True)


def in_layers(layers, edges: Tensor, unused=False) -> dict:
    """Edits for `hooked` that cut edges in these layers: (T, T) in all heads; or as `without`'s
    copies; or (copies, L, heads, T, T), which differ in each layer."""
    in_layer = lambda i: edges[:, i] if edges.dim() == 5 else edges
    return {("attention", i): lambda w, i=i: without(w, in_layer(i), unused) for i in layers}


def reading_on(
    lm: nn.Module, ids: Tensor, at: Places, columns, *, start: int, copies=1
) -> Callable:
    """A function: edits → finding (B, copies). What stands before `start` is read once and kept.

    ids (B, T): each text is copied, and an edit may treat each copy differently.
    """
    from transformers import DynamicCache

    memory = DynamicCache(config=lm.config)
    lm.model(ids[:, :start], None, None, memory, use_cache=True)
    memory.batch_repeat_interleave(copies)
    rest = ids[:, start:].repeat_interleave(copies, 0)
    at = Places(*(v[: len(ids)].repeat_interleave(copies, 0) for v in at))

    words = lm.lm_head.weight[columns]  # of the places alone: (8, D)

    @torch.no_grad()
    def run(edits) -> Tensor:
        with hooked(lm, edits):
            stream = lm.model(rest, None, None, deepcopy(memory), use_cache=True)[0]
        return finding(stream[:, -1] @ words.T, at).view(len(ids), copies)

    return run


@torch.no_grad()
def last_reads(lm: nn.Module, ids: Tensor) -> Tensor:
    """What the last token of texts (B, T) reads, in every layer: (L, B, heads, T)."""
    sites = {("attention", i): None for i in range(lm.config.num_hidden_layers)}
    with hooked(lm, sites) as kept:
        lm(ids)
    return torch.stack([kept[site][:, :, -1] for site in sites])


def rivals(lost: Tensor, draws: int, rng: torch.Generator) -> tuple[Tensor, list]:
    """The eight costliest of heads (L, H), as numbers layer · H + head, and cases for `heads_off`:

    none, the eight, the eight from full stops, all others, and other eights of the same layers.
    """
    best = lost.flatten().topk(8).indices.cpu()
    layer = best // lost.shape[1]
    rest = torch.tensor([k for k in range(lost.numel()) if k not in best])
    beside = rest // lost.shape[1]
    beside = rest[(beside >= layer.min()) & (beside <= layer.max())]
    others = [beside[torch.randperm(len(beside), generator=rng)[:8]] for _ in range(draws)]
    cases = [([], "places"), (best, "places"), (best, "full stops"), (rest, "places")]
    return best, cases + [(some, "places") for some in others]


def heads_off(cases, shape: tuple[int, int], *, device="cpu") -> Tensor:
    """Cuts of the last token, a copy for each case (heads, what they may not read).

    heads: numbers layer · H + head; (copies, L, H, 1, T), True where cut.
    """
    layers, heads = shape
    read = {"places": ("1st place", "2nd place"), "full stops": (".", ". ")}
    off = torch.zeros(len(cases), layers * heads, 1, LENGTH, dtype=torch.bool)
    for copy, (some, parts) in enumerate(cases):
        for part in read[parts]:
            off[copy, torch.as_tensor(some).long(), :, PARTS[part][0]] = True
    return off.unflatten(1, (layers, heads)).to(device)


def kendall(weights: Tensor, moved: Tensor) -> Tensor:
    """Kendall's τ of each story in each layer: (L, B, n) and (L, B, n) -> (B, L)."""
    a, b = weights.flatten(0, 1), moved.flatten(0, 1)
    pairs = faithfulness.kendall(a, b, torch.ones_like(a).bool())
    return torch.tensor(pairs)[:, 0].view(weights.shape[:2]).T


def centred(values: Tensor) -> Tensor:
    """Each story's (L, B, n) minus the mean of all stories, token by token."""
    return values - values.mean(1, keepdim=True)


def orders(number: int, generator: torch.Generator) -> Tensor:
    """`number` orders of all tokens, and as many that leave the first: (2 · number, 1, 1, T)."""
    every = [torch.randperm(LENGTH, generator=generator) for k in range(number)]
    later = [1 + torch.randperm(LENGTH - 1, generator=generator) for k in range(number)]
    kept = [torch.cat([torch.zeros(1, dtype=torch.long), order]) for order in later]
    return torch.stack(every + kept)[:, None, None]


def direction(lm: nn.Module, final: Tensor, columns, at: Places) -> Tensor:
    """u (B, D): finding is u · final, the last stream (B, D), the last norm's deviation fixed."""
    inside = at.named / at.named.sum(1, keepdim=True)
    other = ~at.named / (~at.named).sum(1, keepdim=True)
    u = (inside - other) @ lm.lm_head.weight[columns]
    deviation = (final.square().mean(-1, keepdim=True) + lm.config.rms_norm_eps).sqrt()
    return u * lm.model.norm.weight / deviation
