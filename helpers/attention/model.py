"""A text model with one attention layer (Jain & Wallace 2019; Wiegreffe & Pinter 2019).

words -> embedding -> encoder -> attention weights -> weighted sum -> decoder. `alpha` in `forward`
replaces the attention weights and keeps everything else: what lessons 04 and 05 do all the time.
Shapes: B examples, T tokens, Q question tokens, E embedding width, H hidden width, C outputs.
"""

import math
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from helpers.datasets import reviews
from helpers.ground.errors import CourseError, checked, same_shape

PAD, UNKNOWN, START, END = range(4)
LONGEST_TEXT = 2_000  # words a learner may type in; the training texts have fewer than 400


@checked
class Vocabulary:
    """Words seen at least `at_least` times, numbered after padding, unknown, start and end."""

    def __init__(self, texts: Iterable[Iterable[str]], at_least: int = 1):
        split = lambda text: reviews.typed_words(text) if isinstance(text, str) else text
        counts = Counter(word for text in texts for word in split(text))
        known = sorted(word for word, count in counts.items() if count >= at_least)
        self.words = ["<pad>", "<unk>", "<start>", "<end>", *known]
        self.index = {word: i for i, word in enumerate(self.words)}

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, words: Iterable[str] | str) -> Tensor:
        """(T,) ids of words, or of a typed text; CourseError where the model knows none of them."""
        listed = isinstance(words, Iterable) and not isinstance(words, (str, bytes))
        words = list(words) if listed else reviews.typed_words(words)
        if not all(isinstance(word, str) for word in words):
            raise CourseError("Words are texts; some of these are not.")
        if not words:
            raise CourseError("The text is empty: type at least one word.")
        if len(words) > LONGEST_TEXT:
            raise CourseError(f"The text has {len(words):,} words; give at most {LONGEST_TEXT:,}.")
        ids = [self.index.get(word, UNKNOWN) for word in words]
        if all(i == UNKNOWN for i in ids):
            known = "use words from the texts it was trained on"
            raise CourseError(f"The model knows none of these {len(words)} words: {known}.")
        return torch.tensor([START, *ids, END])


class Batch(NamedTuple):
    """Texts, padded to rows of one length."""

    words: Tensor  # (B, T) ids
    content: Tensor  # (B, T) bool: True for words, False for padding and the special tokens
    label: Tensor  # (B,)
    index: Tensor  # (B,) place of each example in its data set
    question: Tensor | None = None  # (B, Q) ids

    def to(self, device: torch.device | str) -> "Batch":
        return Batch(*(None if part is None else part.to(device) for part in self))


@checked
def collate(examples: list[tuple], index=None, *, device: torch.device | str = "cpu") -> Batch:
    """Pad (ids, label) or (ids, label, question ids) examples to a batch on the device."""
    pad = lambda rows: nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAD)
    try:
        words = pad([example[0] for example in examples])
        label = torch.tensor([example[1] for example in examples])
    except (AttributeError, IndexError, RuntimeError, TypeError, ValueError) as error:
        what = "A batch is made of (ids, label) pairs, one or more, the ids a tensor (T,)"
        raise CourseError(f"{what}: see data.texts.") from error
    content = (words != PAD) & (words != START) & (words != END)
    index = torch.as_tensor(range(len(examples)) if index is None else index)
    same_shape(index, label, "index")
    question = pad([example[2] for example in examples]) if len(examples[0]) > 2 else None
    return Batch(words, content, label, index, question).to(device)


@checked
def uniform(content: Tensor) -> Tensor:
    """The same weight for every word, 0 on padding and special tokens: (B, T)."""
    return content / content.sum(-1, keepdim=True)


class Encoder(nn.Module):
    """Embedded words (B, T, E) to hidden states (B, T, H): an `lstm` each way, or word by word."""

    def __init__(self, kind: str, embed: int, hidden: int):
        super().__init__()
        self.kind = kind
        if kind == "lstm":  # forwards, backwards
            both = (nn.LSTM(embed, hidden // 2, batch_first=True) for _ in range(2))
            self.net = nn.ModuleList(both)
        elif kind == "average":
            self.net = nn.Linear(embed, hidden)
        else:
            raise CourseError(f"encoder={kind!r}: choose 'lstm' or 'average'.")

    def forward(self, embedded: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden states (B, T, H), 0 on padding, and one summary of each text (B, H)."""
        place = torch.arange(embedded.shape[1], device=embedded.device)  # (T,)
        real = (place < lengths[:, None])[..., None]  # (B, T, 1)
        if self.kind == "lstm":
            hidden, summary = self._both_ways(embedded, place, lengths)
            return hidden * real, summary
        hidden = torch.tanh(self.net(embedded)) * real
        return hidden, hidden.sum(1) / lengths.to(hidden)[:, None]

    def _both_ways(self, embedded: Tensor, place: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """What nn.LSTM(bidirectional=True) gives for packed texts, 8 times as fast on a CPU."""
        end = lengths[:, None] - 1  # (B, 1)
        turned = torch.where(place <= end, end - place, place)[..., None]  # (B, T, 1) last to first
        ahead = self.net[0](embedded)[0]  # (B, T, H/2)
        back = self.net[1](embedded.take_along_dim(turned, 1))[0].take_along_dim(turned, 1)
        last = torch.cat([ahead.take_along_dim(end[..., None], 1)[:, 0], back[:, 0]], -1)
        return torch.cat([ahead, back], -1), last


@checked
class AttentionModel(nn.Module):
    """Classifier (`outputs=1`: the logit of positive) or question answerer (`outputs` places).

    attention "tanh" is additive (Bahdanau et al. 2015), v . tanh(W1 h + W2 q); "dot" is scaled,
    h . q / sqrt(H) (Vaswani et al. 2017). Without a question, the additive form has no q and the
    dot form learns one q for all texts. embedding_std: the spread of untrained word vectors; at
    torch's own 1.0 they are so long that a few epochs cannot turn them.
    """

    def __init__(
        self,
        vocabulary: int,
        *,
        outputs: int = 1,
        encoder: str = "lstm",
        attention: str = "tanh",
        embed: int = 100,
        hidden: int = 128,
        question: bool = False,
        embedding_std: float = 0.1,
    ):
        super().__init__()
        if attention not in ("tanh", "dot"):
            raise CourseError(f"attention={attention!r}: choose 'tanh' (additive) or 'dot'.")
        if hidden % 2:
            raise CourseError(f"hidden={hidden}: give an even number, half for each direction.")
        self.settings = {"vocabulary": vocabulary, "outputs": outputs, "question": question}
        self.settings |= {"encoder": encoder, "attention": attention}
        self.settings |= {"embed": embed, "hidden": hidden, "embedding_std": embedding_std}
        self.kind = attention
        self.outputs = outputs
        self.embedding = nn.Embedding(vocabulary, embed, padding_idx=PAD)
        self.embedding.weight.data *= embedding_std
        self.encoder = Encoder(encoder, embed, hidden)
        self.question_encoder = Encoder(encoder, embed, hidden) if question else None
        self.W1 = nn.Linear(hidden, hidden // 2)
        self.W2 = nn.Linear(hidden, hidden // 2, bias=False)
        self.v = nn.Linear(hidden // 2, 1, bias=False)
        self.query = nn.Parameter(torch.randn(hidden) * 0.1)
        self.mix_context = nn.Linear(hidden, hidden)
        self.mix_query = nn.Linear(hidden, hidden, bias=False)
        self.out = nn.Linear(hidden, outputs)

    @property
    def device(self) -> torch.device:
        return self.out.weight.device

    def encode(self, batch: Batch, embedded: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Hidden states (B, T, H) and the question's summary or None; embedded: other vectors."""
        embedded = self.embedding(batch.words) if embedded is None else embedded
        hidden, _ = self.encoder(embedded, (batch.words != PAD).sum(-1))
        if self.question_encoder is None:
            return hidden, None
        lengths = (batch.question != PAD).sum(-1)
        return hidden, self.question_encoder(self.embedding(batch.question), lengths)[1]

    def attend(self, hidden: Tensor, content: Tensor, query: Tensor | None) -> Tensor:
        """Attention weights (B, T); exactly 0 on padding and special tokens, and 1 in all."""
        if self.kind == "tanh":
            asked = 0 if query is None else self.W2(query)[:, None]
            scores = self.v(torch.tanh(self.W1(hidden) + asked)).squeeze(-1)  # (B, T)
        else:
            asked = self.query.expand(len(hidden), -1) if query is None else query  # (B, H)
            scores = torch.einsum("bth,bh->bt", hidden, asked) / math.sqrt(hidden.shape[-1])
        return scores.masked_fill(~content, -torch.inf).softmax(-1)

    def decode(self, hidden: Tensor, alpha: Tensor, query: Tensor | None) -> Tensor:
        """Logits (..., B, C) of hidden states (B, T, H) under the weights (..., B, T)."""
        context = torch.einsum("...bt,bth->...bh", alpha, hidden)
        if query is not None:
            context = torch.tanh(self.mix_context(context) + self.mix_query(query))
        return self.out(context)

    def forward(self, batch: Batch, alpha: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Logits (B, C) and the attention weights used (B, T): the model's own, or `alpha`."""
        hidden, query = self.encode(batch)
        if alpha is None:
            alpha = self.attend(hidden, batch.content, query)
        alpha = same_shape(alpha, batch.content, "alpha").to(hidden)
        return self.decode(hidden, alpha, query), alpha


@checked
def new_model(vocabulary: int, *, seed: int = 0, **settings) -> AttentionModel:
    """An untrained AttentionModel drawn from `seed`; torch's global stream stays where it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # the CPU's alone, unlike torch.manual_seed
        return AttentionModel(vocabulary, **settings)


@checked
def probabilities(logits: Tensor) -> Tensor:
    """(..., C): one logit becomes the two probabilities (negative, positive), more a softmax."""
    if logits.shape[-1] > 1:
        return logits.softmax(-1)
    positive = torch.sigmoid(logits)
    return torch.cat([1 - positive, positive], -1)
