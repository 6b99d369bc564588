"""The texts of lessons 04 and 05, the sizes they are trained at, and the shipped IMDb models."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from helpers.attention.model import AttentionModel, Vocabulary, new_model
from helpers.attention.train import Settings
from helpers.datasets import clinical_notes, reviews
from helpers.ground.artifacts import load_artifact, part_of
from helpers.ground.errors import CourseError, checked

VERSION = 1
TEXTS = 500  # test texts of Rotten Tomatoes and of the notes


@checked
@dataclass(frozen=True)
class Size:
    """How large a model is, and what it is trained on."""

    longest: int  # texts with fewer words than this
    at_least: int  # a word seen less often in the training texts is unknown
    embed: int  # numbers a word
    hidden: int  # numbers a hidden state, half of them from each direction
    epochs: int  # passes through the training texts
    batch: int  # texts a step
    rate: float  # Adam's learning rate
    texts: int | None = None  # so many training texts; a quarter (of notes a fifth) for dev

    def training(self, seed: int, patience: int = 1) -> Settings:
        """Settings of `train.fit`; patience: so many times the epochs, at so much lower a rate."""
        return Settings(self.epochs * patience, self.batch, self.rate / patience, seed=seed)


SMALL = {
    "imdb": Size(200, 20, embed=64, hidden=128, epochs=3, batch=64, rate=2e-3),
    "rotten": Size(60, 2, embed=50, hidden=64, epochs=4, batch=64, rate=4e-3),
    "findings": Size(80, 2, embed=50, hidden=64, epochs=8, batch=32, rate=4e-3, texts=1500),
}
FULL = {  # the papers': reviews up to 400 words, 300 numbers a word, 256 a hidden state
    "imdb": Size(400, 5, embed=300, hidden=256, epochs=3, batch=32, rate=1e-3),
    "rotten": Size(60, 2, embed=300, hidden=256, epochs=4, batch=32, rate=1e-3),
    "findings": Size(80, 2, embed=300, hidden=256, epochs=8, batch=32, rate=1e-3, texts=3000),
}


class Data(NamedTuple):
    """A data set; its parts are lists of (ids (T,), label)."""

    vocabulary: Vocabulary
    train: list[tuple]
    dev: list[tuple]
    test: list[tuple]


def words(text: str) -> list[str]:
    """Lower-case words and numbers, no punctuation: as the slide's review (D1-14) is written."""
    return re.findall(r"[a-z0-9']+", text.lower())


def examples(split: reviews.Split, vocabulary: Vocabulary, longest: int, most=None) -> list[tuple]:
    """(ids, label) of the first `most` texts with fewer than `longest` words, but more than one."""
    pairs = [(words(text), label) for text, label in zip(*split, strict=True)]
    return [(vocabulary.encode(w), label) for w, label in pairs if 1 < len(w) < longest][:most]


@checked
def texts(name: str, size: Size, corpus: reviews.Reviews | None = None) -> Data:
    """Texts of "imdb", "rotten" (Tomatoes) or "findings" (`notes`); corpus: others, as of `sst`."""
    if name == "findings":
        return notes(size)
    if name not in SMALL:
        raise CourseError(f"No texts {name!r}: choose one of {', '.join(SMALL)}.")
    fewest = {"imdb": 2, "rotten": 5}[name]
    few = size.texts and size.texts // 4
    parts = []
    for split, most in zip(corpus or reviews.load(name), (size.texts, few, few), strict=True):
        pairs = [(words(text), label) for text, label in zip(*split, strict=True)]
        parts.append([(w, label) for w, label in pairs if fewest <= len(w) < size.longest][:most])
    if name == "rotten":  # sorted by a hash: the first are a fair sample
        parts[2] = parts[2][:TEXTS]
    return _numbered(parts, size)


@checked
def notes(size: Size, *, talk: bool = True, history: tuple[int, int] = (0, 0), **more) -> Data:
    """Generated notes; talk: real sentences between the findings. More: see `clinical_notes`."""
    more |= {"history": history} | ({"fillers": clinical_notes.talk()} if talk else {})
    counts = {0: size.texts, 2: size.texts // 5, 1: TEXTS}  # by seed: train, dev, test
    parts = [clinical_notes.load(count, seed=seed, **more) for seed, count in counts.items()]
    return _numbered([[(note.words, note.label) for note in part] for part in parts], size)


def _numbered(parts: list[list[tuple]], size: Size) -> Data:
    vocabulary = Vocabulary((w for w, _ in parts[0]), at_least=size.at_least)
    return Data(vocabulary, *([(vocabulary.encode(w), y) for w, y in part] for part in parts))


def sst() -> reviews.Reviews:
    """The Stanford Sentiment Treebank, two classes, in its own three parts, from the hub."""
    from huggingface_hub import hf_hub_download

    parts = []
    for name in ("train", "dev", "test"):
        file = hf_hub_download("SetFit/sst2", f"{name}.jsonl", repo_type="dataset")
        with open(file, encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines if line.strip()]
        texts, labels = [row["text"] for row in rows], [int(row["label"]) for row in rows]
        parts.append(reviews.Split(texts, labels))
    return reviews.Reviews(*parts)


@checked
def load(
    attention="tanh", *, where: str | Path = "attention_imdb", device: torch.device | str = "cpu"
) -> tuple[AttentionModel, Vocabulary]:
    """The shipped IMDb model with "tanh" (additive) or "dot" attention, and its vocabulary."""
    tensors, meta = load_artifact(where, version=VERSION)
    if attention not in meta["models"]:
        stored = ", ".join(meta["models"])
        raise CourseError(f"attention={attention!r}: the stored models are {stored}.")
    state = {key: tensor.float() for key, tensor in part_of(tensors, f"{attention}/").items()}
    state["embedding.weight"] *= state.pop("embedding.scale")  # int8 with one scale a word
    model = new_model(**meta["models"][attention])
    model.load_state_dict(model.state_dict() | state)  # what only questions use is not stored
    vocabulary = Vocabulary([bytes(tensors["words"].tolist()).decode().split("\n")])
    return model.to(device).eval(), vocabulary
