"""What features do: how often they fire, where, for which kind of text, and which features of two dictionaries agree."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

from helpers.datasets import corpus
from helpers.sae.model import Dictionary
from helpers.transformer.model import OneLayerTransformer

PROXIES = (*corpus.DOMAINS, "arabic script", "latex")  # exact proxies: yes or no for every token


@torch.no_grad()
def fire(
    units: Callable[[Tensor], Tensor] | None, model: OneLayerTransformer, contexts: Tensor
) -> scipy.sparse.csc_matrix:
    """Positive activations of units on rows of tokens (R, T), sparse and by column: (R · T, M) float32.

    `units` maps the neurons' activations (…, N) to (…, M), such as `dictionary.features`; None means the neurons themselves.
    """
    parts = []
    for part in contexts.split(16):
        acts = model.activations(part.to(model.embed.weight.device)).flatten(0, 1)
        parts.append(
            scipy.sparse.csr_matrix(
                (acts if units is None else units(acts)).clamp(min=0).cpu().numpy()
            )
        )
    return scipy.sparse.vstack(parts).tocsc()


def summary(fired: scipy.sparse.csc_matrix, dictionary: Dictionary) -> dict:
    """L0, dead and ultra-low shares and the histogram of log10 densities of activations (T, M); cos(encoder row, decoder column)."""
    density = torch.from_numpy(fired.getnnz(axis=0) / fired.shape[0])
    cosine = torch.cosine_similarity(dictionary.sae.W_e, dictionary.sae.W_d.T)[
        dictionary.sae.W_d.any(dim=0)
    ]  # of those stored
    counts, edges = np.histogram(
        density[density > 0].log10().numpy(), bins=np.arange(-6.5, 0.26, 0.25)
    )
    share = lambda mask: round(mask.float().mean().item(), 4)
    return {
        "L0": round(fired.nnz / fired.shape[0], 2),
        "dead": share(density == 0),
        "ultra_low": share(density < 1e-5),
        "above_1_percent": share(density > 0.01),
        "median_density": round(density.median().item(), 6),
        "cosine_median": round(cosine.median().item(), 4),
        "tokens": fired.shape[0],
        "cosine_quartiles": [
            round(v, 3) for v in cosine.quantile(torch.tensor([0.25, 0.5, 0.75])).tolist()
        ],
        "density_histogram": counts.tolist(),
        "density_edges": edges.round(2).tolist(),
    }


class Examples(NamedTuple):
    """Where units fire, as places in the held-out stream (`corpus.stream("heldout").tokens[place]`); place −1 means none."""

    density: Tensor  # (M,) share of tokens on which the unit is positive
    maximum: Tensor  # (M,) largest activation seen
    top: Tensor  # (M, 20) places of the largest activations, one a context at most
    top_values: Tensor  # (M, 20)
    uniform: Tensor  # (M, 12, 3) places drawn from twelve equal intervals between 0 and the maximum, lowest first
    uniform_values: Tensor  # (M, 12, 3)
    specificity: (
        Tensor  # (M, P) share of the unit's firings that lie in the kind of text; P: PROXIES
    )
    specificity_top: Tensor  # (M, P) the same, of firings above half the maximum
    sensitivity: Tensor  # (M, P) share of the kind of text on which the unit fires
    correlation: Tensor  # (M, P) Pearson's, between activation and yes or no


def examples(
    fired: scipy.sparse.csc_matrix,
    tokens: Tensor,
    domains: Tensor,
    places: Tensor,
    *,
    seed: int = 0,
) -> Examples:
    """Collect everything in Examples from activations (T, M) on tokens (T,) of domains (T,) at places (T,) of the stream."""
    proxies = proxy_masks(tokens, domains)  # (P, T)
    rng = np.random.default_rng(seed)
    rows = []
    for unit in range(fired.shape[1]):
        span = slice(fired.indptr[unit], fired.indptr[unit + 1])
        rows.append(
            _example_row(fired.indices[span], fired.data[span], proxies, places.numpy(), rng)
        )
    return Examples(*(torch.from_numpy(np.stack(column)) for column in zip(*rows)))


def _example_row(
    at: np.ndarray, values: np.ndarray, proxies: np.ndarray, places: np.ndarray, rng
) -> tuple:
    """One unit's fields of Examples, from the tokens it fires on (n,) and its activations there (n,)."""
    total, largest = len(places), values.max(initial=0.0)
    top, top_values = np.full(20, -1, np.int32), np.zeros(20, np.float32)
    order = np.argsort(-values, kind="stable")[:4000]
    _, first = np.unique(
        at[order] // corpus.CONTEXT, return_index=True
    )  # the strongest of each context
    best = order[np.sort(first)[:20]]
    top[: len(best)], top_values[: len(best)] = places[at[best]], values[best]
    uniform, uniform_values = np.full((12, 3), -1, np.int32), np.zeros((12, 3), np.float32)
    interval = np.minimum((values / max(largest, 1e-9) * 12).astype(int), 11)
    for i in range(12):
        members = np.flatnonzero(interval == i)
        drawn = (
            rng.choice(members, min(3, len(members)), replace=False) if len(members) else members
        )
        uniform[i, : len(drawn)], uniform_values[i, : len(drawn)] = places[at[drawn]], values[drawn]
    inside, size = proxies[:, at], proxies.sum(axis=1)  # (P, n), (P,)
    strong = values > largest / 2
    mean, spread = (
        values.sum() / total,
        np.sqrt(max((values**2).sum() / total - (values.sum() / total) ** 2, 1e-12)),
    )
    share = size / total
    correlation = ((inside * values).sum(axis=1) / total - mean * share) / (
        spread * np.sqrt(np.maximum(share * (1 - share), 1e-12))
    )
    return (
        np.float32(len(at) / total),
        np.float32(largest),
        top,
        top_values,
        uniform,
        uniform_values,
        (inside.sum(axis=1) / max(len(at), 1)).astype(np.float32),
        (inside[:, strong].sum(axis=1) / max(strong.sum(), 1)).astype(np.float32),
        (inside.sum(axis=1) / np.maximum(size, 1)).astype(np.float32),
        correlation.astype(np.float32),
    )


def proxy_masks(tokens: Tensor, domains: Tensor) -> np.ndarray:
    r"""Which tokens belong to each of PROXIES, (P, T) bool. "latex" is what stands between \( and \), \[ and \], $ and $ in mathematics."""
    domains = domains.flatten().numpy()
    masks = [domains == i for i in range(len(corpus.DOMAINS))]
    masks.append(masks[corpus.DOMAINS.index("arabic")] | masks[corpus.DOMAINS.index("persian")])
    masks.append(
        _between_delimiters(tokens.flatten().numpy()) & masks[corpus.DOMAINS.index("mathematics")]
    )
    return np.stack(masks)


def _between_delimiters(tokens: np.ndarray) -> np.ndarray:
    """True inside LaTeX delimiters, counted anew from each document's beginning."""
    strings = corpus.token_strings()
    opens = np.array(
        [s.count(r"\(") + s.count(r"\[") - s.count(r"\)") - s.count(r"\]") for s in strings]
    )[tokens]
    half = np.array([s.endswith("\\") for s in strings])[
        tokens
    ]  # a delimiter may be cut in two: "\\" and "["
    rest = np.array([(s[:1] in ("(", "[")) - (s[:1] in (")", "]")) for s in strings])[tokens]
    opens[1:] += half[:-1] * rest[1:]
    dollars = np.array([s.count("$") - 2 * s.count("$$") for s in strings])[tokens]
    start = np.maximum.accumulate(np.where(tokens == corpus.END, np.arange(len(tokens)), 0))
    depth, flips = np.cumsum(opens), np.cumsum(dollars)
    return (depth - depth[start] > 0) | ((flips - flips[start]) % 2 == 1)


def best_matches(a: scipy.sparse.csc_matrix, b: scipy.sparse.csc_matrix) -> tuple[Tensor, Tensor]:
    """For each unit of a (T, M) the largest Pearson correlation of activations with a unit of b (T, K), and that unit: (M,), (M,).

    Bricken et al. 2023: the median over features, between dictionaries of two transformers, is .72.
    """
    best, match = [], []
    b_mean, b_std = _moments(b)
    b_rows = b.T.tocsr()
    for start in range(0, a.shape[1], 512):
        part = a[:, start : start + 512]
        mean, std = _moments(part)
        together = (b_rows @ part).toarray().T / a.shape[0]  # (512, K)
        correlation = (together - mean[:, None] * b_mean) / (std[:, None] * b_std)
        best.append(correlation.max(axis=1))
        match.append(correlation.argmax(axis=1))
    return torch.from_numpy(np.concatenate(best)).float(), torch.from_numpy(np.concatenate(match))


def _moments(x: scipy.sparse.csc_matrix) -> tuple[np.ndarray, np.ndarray]:
    mean = np.asarray(x.mean(axis=0)).ravel()
    return mean, np.sqrt(
        np.maximum(np.asarray(x.multiply(x).mean(axis=0)).ravel() - mean**2, 1e-12)
    )
