"""A small network that reads film reviews: the mean of its words' vectors, then two layers."""

import re
from collections import Counter

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.nn.utils.rnn import pad_sequence

from helpers.datasets.reviews import Split, plain_text
from helpers.ground.errors import CourseError

PADDING, RARE = 0, 1


def tokens(text: str) -> list[str]:
    """Words and the four signs that end or divide a sentence."""
    return re.findall(r"[a-z']+|[.,!?]", plain_text(text).lower())


class Reader(nn.Module):
    """`decide(mean of embed's rows)`: above 0 is a positive review."""

    def __init__(self, texts: list[str], width: int = 64):
        super().__init__()
        counts = Counter(word for text in texts for word in tokens(text))
        known = [word for word, count in counts.items() if count > 1]
        self.ids = {word: number for number, word in enumerate(known, 2)}
        self.embed = nn.EmbeddingBag(len(known) + 2, width, mode="mean", padding_idx=PADDING)
        hidden = nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()
        self.decide = nn.Sequential(*hidden, nn.Linear(width, 1), nn.Flatten(0))

    def encode(self, text: str) -> Tensor:
        """The words' numbers, (T,), on the network's device."""
        numbers = [self.ids.get(word, RARE) for word in tokens(text)]
        return torch.tensor(numbers or [RARE], device=self.embed.weight.device)

    def forward(self, words: Tensor) -> Tensor:
        """(B, T) -> (B,), the logit."""
        return self.decide(self.embed(words))


def train_reader(train: Split, *, seed: int = 0, epochs: int = 5, device="cpu") -> Reader:
    """Train a Reader; in each step about a third of the words is hidden."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        reader = Reader(train.texts).to(device)
    generator = torch.Generator().manual_seed(seed)
    texts = pad_sequence([reader.encode(text) for text in train.texts], batch_first=True)
    labels = torch.tensor(train.labels, dtype=torch.float32, device=device)
    optimizer = torch.optim.Adam(reader.parameters(), lr=3e-3)
    for _ in range(epochs):
        for batch in torch.randperm(len(texts), generator=generator).to(device).split(64):
            words = texts[batch]
            shown = (torch.rand(words.shape, generator=generator) > 0.3).to(words)
            loss = binary_cross_entropy_with_logits(reader(words * shown), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return reader.requires_grad_(False)


def accuracy(reader: Reader, part: Split) -> float:
    """The share of a part's texts that it judges right."""
    texts = pad_sequence([reader.encode(text) for text in part.texts], batch_first=True)
    return ((reader(texts) > 0).cpu() == torch.tensor(part.labels)).float().mean().item()


def fall_without(reader: Reader, words: Tensor) -> Tensor:
    """How far the output falls when each word is deleted, (T,): one evaluation a word.

    CourseError for a single word: nothing would be left.
    """
    n = len(words)
    if n < 2:
        raise CourseError("Type at least two words. Of one, nothing would be left.")
    others = torch.stack([torch.cat([words[:i], words[i + 1 :]]) for i in range(n)])  # (T, T - 1)
    return reader(words[None]) - reader(others)
