"""A few made-up reviews in place of the package's, for tests that train on them."""

import pytest
import torch

from helpers.datasets import reviews


def written(n: int, seed: int) -> reviews.Split:
    """`n` reviews of 6 to 15 words, whose label is one of their words."""
    g = torch.Generator().manual_seed(seed)
    texts = []
    for i in range(n):
        words = [f"w{number}" for number in torch.randint(20, (5 + i % 10,), generator=g).tolist()]
        texts.append(f"{' '.join(words)} <{('bad', 'good')[i % 2]}>!")
    return reviews.Split(texts, [i % 2 for i in range(n)])


@pytest.fixture
def few_reviews(monkeypatch):
    parts = reviews.Reviews(written(200, 0), written(50, 1), written(50, 2))
    monkeypatch.setattr(reviews, "load", lambda source: parts)
    return parts
