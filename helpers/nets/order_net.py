"""A small network that reads a note and orders tests (D1-02 in lesson 00, D2-02 in lesson 07).

It is trained on notes and orders alone: nobody tells it which patients have a fever. The rules are
invented, like the notes: nothing here is medicine.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers.datasets import clinical_notes
from helpers.datasets.clinical_notes import Note
from helpers.ground.artifacts import still_numbers
from helpers.ground.errors import checked

ORDERS: dict[str, tuple[str, str]] = {  # a test is ordered where BOTH of its findings are affirmed
    "swab": ("fever", "cough"),
    "blood test": ("fever", "rash"),
    "scan": ("headache", "dizziness"),
    "drip": ("nausea", "dizziness"),
}


@checked
class SymptomNet(nn.Module):
    """Words to orders: each unit looks at three words at a time, keeps its largest value, votes.

    tokens (B, T), on any device -> `windows` (B, T, H) -> `hidden` (B, H) -> `votes` (B, 4) logits.
    Window t ends at word t.
    """

    def __init__(self, units: int = 32, embedding: int = 16):
        super().__init__()
        self.embed = nn.Embedding(len(clinical_notes.vocabulary()), embedding, padding_idx=0)
        self.look = nn.Conv1d(embedding, units, kernel_size=3)
        self.votes = nn.Linear(units, len(ORDERS))

    def windows(self, tokens: Tensor) -> Tensor:
        """What each unit says to the words t-2, t-1, t: (B, T, H), never below zero."""
        tokens = tokens.to(self.embed.weight.device)
        vectors = self.embed(tokens).transpose(1, 2)  # (B, E, T)
        return self.look(F.pad(vectors, (2, 0))).relu().transpose(1, 2)  # (B, T, H)

    def hidden(self, tokens: Tensor) -> Tensor:
        """The hidden layer: each unit's largest value anywhere in the note, (B, H)."""
        return self.windows(tokens).amax(dim=1)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits of the four orders, (B, 4), in the order of ORDERS; above 0 means: order it."""
        return self.votes(self.hidden(tokens))


def notes(count: int, seed: int) -> list[Note]:
    """The network's notes: `findings` with two to five findings in each, so that pairs occur."""
    return clinical_notes.load(count, seed=seed, mentions=(2, 5), history=(0, 2))


def orders(batch: list[Note]) -> Tensor:
    """Which tests the rules order for each note, (B, 4) of 0.0 and 1.0."""
    rows = [[note.has(a) and note.has(b) for a, b in ORDERS.values()] for note in batch]
    return torch.tensor(rows, dtype=torch.float)


def train(*, seed=0, count=4000, epochs=14, units=32, quiet=0.2, device="cpu") -> SymptomNet:
    """A network trained on `count` notes, in seconds; quiet: what a unit pays for speaking."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = SymptomNet(units).to(device)
    batch = notes(count, seed)
    tokens = clinical_notes.encode(batch).to(device)  # (N, 60)
    wanted = orders(batch).to(device)  # (N, 4)
    rare = torch.tensor(4.0, device=device)  # an order is due in 7 of 100 notes: these count more
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    slower = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.02, total_iters=max(epochs, 1))
    for _ in range(epochs):
        for rows in torch.randperm(len(batch), generator=generator).to(device).split(50):
            windows = model.windows(tokens[rows])  # (50, 60, H)
            logits = model.votes(windows.amax(dim=1))
            mistakes = F.binary_cross_entropy_with_logits(logits, wanted[rows], pos_weight=rare)
            loss = mistakes + quiet * windows.mean()  # paths can be read by eye; 0 is as good
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        slower.step()
    still_numbers(model.parameters(), f"{epochs} epochs")
    return model.eval().requires_grad_(False)


@checked
@torch.no_grad()
def accuracy(model: SymptomNet, batch: list[Note]) -> Tensor:
    """For each order, the mean of its hit rates where it is due and where not: (4,); chance 0.5."""
    chosen = model(clinical_notes.encode(batch)) > 0  # (N, 4)
    due = orders(batch).to(chosen.device) > 0
    ordered = (chosen & due).sum(0) / due.sum(0)
    left_out = (~chosen & ~due).sum(0) / (~due).sum(0)
    return (ordered + left_out) / 2
