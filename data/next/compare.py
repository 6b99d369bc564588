"""The held-out losses of the second edition beside the first's: `python -m data.next.compare`.

Two vocabularies cut the same text into different tokens, so that nats per token cannot be compared.
Nats per byte can: the summed loss of a text's tokens over its length in UTF-8. Both models read the
same documents, whole ones, each after END, in rows of 128 tokens.
"""

import argparse

import torch

from helpers.datasets import corpus as first
from helpers.transformer import model as first_models
from helpers.transformer.measure import token_losses

from . import corpus, train_lm

BYTES = 100_000  # of each kind of text


def texts_of(domain: str) -> list[str]:
    """The first held-out documents of a kind, about BYTES of them."""
    texts, total = [], 0
    for text in corpus.documents(domain):
        texts.append(text)
        total += len(text.encode())
        if total > BYTES:
            break
    return texts


def nats_per_byte(model, edition, texts: list[str]) -> float:
    """`edition` is a corpus module. All tokens but the first of each row count."""
    length = torch.tensor([len(raw) for raw in edition.token_bytes()])
    length[edition.END] = 0
    tokens = torch.cat([edition.encode(text) for text in texts])
    rows = len(tokens) // edition.CONTEXT
    contexts = tokens[: rows * edition.CONTEXT].view(rows, edition.CONTEXT)
    losses = token_losses(model, contexts)  # (rows, 127)
    return (losses.sum() / length[contexts[:, 1:]].sum()).item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="?", default="lm_relu")
    name = parser.parse_args().name
    torch.set_num_threads(1)
    old, new = first_models.load(name), train_lm.load(name)
    steps = train_lm.stored(name)[1]["step"]
    print(f"{name}, nats per byte of the same held-out text; second edition after {steps} steps")
    for domain in corpus.DOMAINS:
        texts = texts_of(domain)
        a = nats_per_byte(old, first, texts)
        b = nats_per_byte(new, corpus, texts)
        print(f"| {domain} | {a:.3f} | {b:.3f} |", flush=True)


if __name__ == "__main__":
    main()
