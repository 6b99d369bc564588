"""A text model with one attention layer, small enough to take apart (Jain & Wallace 2019; Wiegreffe & Pinter 2019).

words -> embedding -> encoder -> attention weights -> weighted sum -> decoder. Pass `alpha` to `forward` to replace the
attention weights and keep everything else: that is how every experiment of lessons 04 and 05 is made.
Shapes: B examples, T tokens, Q question tokens, H hidden width, C outputs.
"""
import math
from collections import Counter
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers.course.runtime import CourseError

PAD, UNKNOWN, START, END = range(4)
SHORT = 0.1  # word vectors begin at N(0, 0.1²): at N(0, 1) a few epochs cannot move them
LONGEST_TEXT = 2_000   # words a learner may type in; the training texts have fewer than 400


class Vocabulary:
    """Words seen at least `at_least` times, numbered after the four marks (padding, unknown, start, end)."""

    def __init__(self, texts, at_least: int = 1):
        counts = Counter(word for text in texts for word in text)
        self.words = ["<pad>", "<unk>", "<start>", "<end>"] + sorted(w for w, c in counts.items() if c >= at_least)
        self.index = {word: i for i, word in enumerate(self.words)}

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, words: list[str]) -> Tensor:
        """(T,) ids with a start and an end mark; CourseError when there is nothing in the text that the model knows."""
        if not words:
            raise CourseError("The text is empty: type at least one word.")
        if len(words) > LONGEST_TEXT:
            raise CourseError(f"The text has {len(words):,} words; give at most {LONGEST_TEXT:,} of them.")
        ids = [self.index.get(word, UNKNOWN) for word in words]
        if all(i == UNKNOWN for i in ids):
            raise CourseError(f"The model knows none of these {len(words)} words (the first is {words[0]!r}): "
                              "use words from the texts it was trained on.")
        return torch.tensor([START, *ids, END])


class Batch(NamedTuple):
    words: Tensor       # (B, T) ids, padded
    content: Tensor     # (B, T) bool: True for words, False for padding and the two marks
    label: Tensor       # (B,)
    index: Tensor       # (B,) place of each example in its data set
    question: Tensor | None = None   # (B, Q) ids, padded


def collate(examples: list[tuple], index) -> Batch:
    """Pads (ids, label) or (ids, label, question ids) examples to a batch."""
    pad = lambda column: nn.utils.rnn.pad_sequence(column, batch_first=True, padding_value=PAD)
    words = pad([e[0] for e in examples])
    content = (words != PAD) & (words != START) & (words != END)
    question = pad([e[2] for e in examples]) if len(examples[0]) > 2 else None
    return Batch(words, content, torch.tensor([e[1] for e in examples]), torch.as_tensor(index), question)


def uniform(content: Tensor) -> Tensor:
    """The same weight for every word, 0 on marks and padding: (B, T)."""
    return content / content.sum(-1, keepdim=True)


class Encoder(nn.Module):
    """Embedded words (B, T, E) to hidden states (B, T, H): `lstm` sees both sides, `cnn` 1-7 neighbours, `average` none."""

    def __init__(self, kind: str, embed: int, hidden: int):
        super().__init__()
        self.kind = kind
        if kind == "lstm":
            self.net = nn.ModuleList(nn.LSTM(embed, hidden // 2, batch_first=True) for _ in range(2))   # forwards, backwards
        elif kind == "cnn":
            self.net = nn.ModuleList(nn.Conv1d(embed, hidden // 4, width, padding=width // 2) for width in (1, 3, 5, 7))
        elif kind == "average":
            self.net = nn.Linear(embed, hidden)
        else:
            raise ValueError(f"encoder={kind!r}: choose 'lstm', 'cnn' or 'average'.")

    def forward(self, embedded: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden states (B, T, H) and one summary of the text (B, H)."""
        real = torch.arange(embedded.shape[1], device=embedded.device) < lengths.to(embedded.device)[:, None]
        if self.kind == "lstm":     # no packed sequences: with lengths that differ, their backward pass takes 8 times as long
            place, end = torch.arange(embedded.shape[1], device=embedded.device), lengths.to(embedded.device)[:, None] - 1
            turned = torch.where(place <= end, end - place, place)[..., None]         # (B, T, 1) the words from last to first
            ahead = self.net[0](embedded)[0]                                          # (B, T, H/2)
            back = self.net[1](embedded.take_along_dim(turned, 1))[0].take_along_dim(turned, 1)
            last = torch.cat([ahead.take_along_dim(end[..., None], 1)[:, 0], back[:, 0]], -1)
            return torch.cat([ahead, back], -1) * real[..., None], last
        if self.kind == "cnn":
            hidden = torch.cat([F.relu(conv(embedded.mT)) for conv in self.net], 1).mT
        else:
            hidden = torch.tanh(self.net(embedded))
        hidden = hidden * real[..., None]
        return hidden, hidden.sum(1) / lengths.to(hidden)[:, None]


class AttentionModel(nn.Module):
    """Classifier (`outputs=1`: one logit, positive against negative) or question answerer (`outputs` places).

    attention "tanh" is additive (Bahdanau et al. 2015), v . tanh(W1 h + W2 q); "dot" is scaled, h . q / sqrt(H).
    Without a question, the additive form has no q and the dot form learns one q for all texts.
    """

    def __init__(self, vocabulary: int, *, outputs: int = 1, encoder: str = "lstm", attention: str = "tanh",
                 embed: int = 100, hidden: int = 128, question: bool = False):
        super().__init__()
        if attention not in ("tanh", "dot"):
            raise ValueError(f"attention={attention!r}: choose 'tanh' (additive) or 'dot' (scaled).")
        self.settings = dict(vocabulary=vocabulary, outputs=outputs, encoder=encoder, attention=attention,
                             embed=embed, hidden=hidden, question=question)
        self.kind, self.outputs = attention, outputs
        self.embedding = nn.Embedding(vocabulary, embed, padding_idx=PAD)
        with torch.no_grad():
            self.embedding.weight *= SHORT
        self.encoder = Encoder(encoder, embed, hidden)
        self.question_encoder = Encoder(encoder, embed, hidden) if question else None
        self.W1, self.W2 = nn.Linear(hidden, hidden // 2), nn.Linear(hidden, hidden // 2, bias=False)
        self.v = nn.Linear(hidden // 2, 1, bias=False)
        self.query = nn.Parameter(torch.randn(hidden) * .1)
        self.mix_context, self.mix_query = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden, bias=False)
        self.out = nn.Linear(hidden, outputs)

    def encode(self, batch: Batch, embedded: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Hidden states (B, T, H) and the question's summary (B, H) or None. `embedded` replaces the word vectors."""
        embedded = self.embedding(batch.words) if embedded is None else embedded
        hidden, _ = self.encoder(embedded, (batch.words != PAD).sum(-1))
        if self.question_encoder is None:
            return hidden, None
        return hidden, self.question_encoder(self.embedding(batch.question), (batch.question != PAD).sum(-1))[1]

    def attend(self, hidden: Tensor, content: Tensor, query: Tensor | None) -> Tensor:
        """Attention weights (B, T); exactly 0 on padding and marks, and 1 in all."""
        if self.kind == "tanh":
            asked = 0 if query is None else self.W2(query)[:, None]
            scores = self.v(torch.tanh(self.W1(hidden) + asked)).squeeze(-1)             # (B, T)
        else:
            asked = self.query.expand(len(hidden), -1) if query is None else query
            scores = torch.einsum("bth,bh->bt", hidden, asked) / math.sqrt(hidden.shape[-1])
        return scores.masked_fill(~content, -torch.inf).softmax(-1)

    def decode(self, hidden: Tensor, alpha: Tensor, query: Tensor | None) -> Tensor:
        """Logits (..., B, C) from hidden states (B, T, H) and weights (..., B, T): a weighted sum, then the decoder."""
        context = torch.einsum("...bt,bth->...bh", alpha, hidden)
        if query is not None:
            context = torch.tanh(self.mix_context(context) + self.mix_query(query))
        return self.out(context)

    def forward(self, batch: Batch, alpha: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Logits (B, C) and the attention weights used (B, T)."""
        hidden, query = self.encode(batch)
        alpha = self.attend(hidden, batch.content, query) if alpha is None else alpha.to(hidden)
        return self.decode(hidden, alpha, query), alpha


def probabilities(logits: Tensor) -> Tensor:
    """(..., C): a single logit becomes the two probabilities (negative, positive), more logits a softmax."""
    if logits.shape[-1] > 1:
        return logits.softmax(-1)
    positive = torch.sigmoid(logits)
    return torch.cat([1 - positive, positive], -1)
