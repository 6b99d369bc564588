"""Small texts and models for the tests of the attention subject."""

import torch

from helpers.attention import model as M
from helpers.attention.data import Data, Size


def texts(n: int = 24, seed: int = 0, longest: int = 12) -> list[tuple]:
    """(ids, label) of n texts of 3 to `longest` random words, without a meaning."""
    g = torch.Generator().manual_seed(seed)
    data = []
    for i in range(n):
        length = int(torch.randint(3, longest, (1,), generator=g))
        words = torch.randint(4, 30, (length,), generator=g).tolist()
        data.append((torch.tensor([M.START, *words, M.END]), i % 2))
    return data


def questions(n: int = 20, seed: int = 0) -> list[tuple]:
    """The same with a question of three words."""
    g = torch.Generator().manual_seed(seed)
    ask = lambda: torch.tensor([M.START, *torch.randint(4, 30, (3,), generator=g).tolist(), M.END])
    return [(*text, ask()) for text in texts(n, seed)]


def telling(n: int, seed: int = 0) -> list[tuple]:
    """Texts of eight words: word 4 (negative) or 5 (positive) stands somewhere among others."""
    g = torch.Generator().manual_seed(seed)
    data = []
    for i in range(n):
        words = torch.randint(6, 30, (8,), generator=g)
        words[int(torch.randint(8, (1,), generator=g))] = 4 + i % 2
        data.append((torch.tensor([M.START, *words.tolist(), M.END]), i % 2))
    return data


VOCABULARY = M.Vocabulary([[f"w{i:02}" for i in range(26)]])  # 30 numbers with the special ones
QUICK = Size(60, 1, embed=8, hidden=16, epochs=10, batch=32, rate=0.01)


def data_set() -> Data:
    return Data(VOCABULARY, telling(300), telling(60, 1), telling(60, 2))


def build(seed: int = 0, **settings) -> M.AttentionModel:
    return M.new_model(30, seed=seed, embed=8, hidden=16, **settings).eval()
