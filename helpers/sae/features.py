"""What units do: how often they fire, where, and for which kind of text."""

from typing import NamedTuple

import numpy as np
import torch
from scipy.sparse import coo_matrix, csc_matrix, vstack
from torch import Tensor

from helpers.datasets import corpus
from helpers.ground.errors import checked
from helpers.transformer.measure import Edit, rows_at_once

PROXIES = (*corpus.DOMAINS, "arabic script", "latex")  # exact: yes or no for every token
TOP = 20  # strongest firings that are kept
INTERVALS = 12  # of activation, between 0 and a unit's maximum


@checked
@torch.no_grad()
def sparse_activations(units: Edit | None, model, contexts: Tensor) -> csc_matrix:
    """Positive activations of units on rows of tokens (R, T), by column: (R · T, M) float32.

    `units` maps the neurons' activations (…, N) to (…, M), such as `dictionary.features`; None
    means the neurons themselves.
    """
    device = model.embed.weight.device
    parts = []
    for rows in contexts.split(rows_at_once(device)):
        acts = model.activations(rows.to(device)).flatten(0, 1)  # (rows · T, N)
        parts.append(compressed(acts if units is None else units(acts)))  # (rows · T, M)
    return vstack(parts).tocsc()


def compressed(acts: Tensor) -> coo_matrix:
    """The positive ones of activations (T, M): only what fires leaves the device."""
    places = (acts > 0).nonzero(as_tuple=True)
    values = acts[places].float().cpu().numpy()
    where = tuple(place.cpu().numpy() for place in places)
    return coo_matrix((values, where), shape=tuple(acts.shape))


class Examples(NamedTuple):
    """Where M units fire, as places in the held-out stream; −1: none. P: the kinds in PROXIES."""

    density: Tensor  # (M,) share of tokens on which the unit is positive
    maximum: Tensor  # (M,) largest activation seen
    top: Tensor  # (M, 20) places of the largest activations, one a context at most
    top_values: Tensor  # (M, 20)
    uniform: Tensor  # (M, 12, 3) places from twelve equal intervals up to the maximum, lowest first
    uniform_values: Tensor  # (M, 12, 3)
    specificity: Tensor  # (M, P) share of the unit's firings that lie in the kind of text
    specificity_top: Tensor  # (M, P) the same, of firings above half the maximum
    sensitivity: Tensor  # (M, P) share of the kind of text on which the unit fires
    correlation: Tensor  # (M, P) Pearson's, between activation and yes or no


@checked
def examples(fired: csc_matrix, tokens: Tensor, domains: Tensor, places: Tensor, *, seed=0):
    """Examples of activations (T, M) on tokens, domains and places in the stream, (T,) each."""
    return examples_in(fired, proxy_masks(tokens, domains), places, seed=seed)


def examples_in(fired: csc_matrix, proxies: np.ndarray, places: Tensor, *, seed=0) -> Examples:
    """The same for any kinds of text: proxies (P, T) says which tokens belong to each."""
    rng = np.random.default_rng(seed)
    units = []
    for unit in range(fired.shape[1]):
        span = slice(fired.indptr[unit], fired.indptr[unit + 1])
        at, values = fired.indices[span], fired.data[span]
        numbers = np.float32([len(at) / len(places), values.max(initial=0.0)])
        where = *_top(at, values, places.numpy()), *_uniform(at, values, places.numpy(), rng)
        units.append((*numbers, *where, *_kinds(at, values, proxies)))
    return Examples(*(torch.from_numpy(np.stack(field)) for field in zip(*units, strict=True)))


def _top(at: np.ndarray, values: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places and values (20,) of the strongest firings, the strongest of each context."""
    top = np.full(TOP, -1, np.int32)
    top_values = np.zeros(TOP, np.float32)
    order = np.argsort(-values, kind="stable")[:4000]
    _, first = np.unique(at[order] // corpus.CONTEXT, return_index=True)
    best = order[np.sort(first)[:TOP]]
    top[: len(best)] = places[at[best]]
    top_values[: len(best)] = values[best]
    return top, top_values


def _uniform(at, values: np.ndarray, places, rng) -> tuple[np.ndarray, np.ndarray]:
    """Places and values (12, 3) of up to three firings in each interval of activation."""
    uniform = np.full((INTERVALS, 3), -1, np.int32)
    uniform_values = np.zeros((INTERVALS, 3), np.float32)
    share = values / max(values.max(initial=0.0), 1e-9)
    interval = np.minimum((share * INTERVALS).astype(int), INTERVALS - 1)
    for i in range(INTERVALS):
        members = np.flatnonzero(interval == i)
        if len(members):
            drawn = rng.choice(members, min(3, len(members)), replace=False)
            uniform[i, : len(drawn)] = places[at[drawn]]
            uniform_values[i, : len(drawn)] = values[drawn]
    return uniform, uniform_values


def _kinds(at: np.ndarray, values: np.ndarray, proxies: np.ndarray) -> list[np.ndarray]:
    """Specificity, the same of strong firings, sensitivity and correlation, (P,) each."""
    total = proxies.shape[1]
    inside = proxies[:, at]  # (P, n) of the unit's n firings
    size = proxies.sum(axis=1)  # (P,)
    strong = values > values.max(initial=0.0) / 2
    share = size / total
    mean = values.sum() / total
    spread = np.sqrt(max((values**2).sum() / total - mean**2, 1e-12))
    covariance = (inside * values).sum(axis=1) / total - mean * share
    specific = inside.sum(axis=1) / max(len(at), 1)
    specific_top = inside[:, strong].sum(axis=1) / max(strong.sum(), 1)
    sensitive = inside.sum(axis=1) / np.maximum(size, 1)
    correlation = covariance / (spread * np.sqrt(np.maximum(share * (1 - share), 1e-12)))
    return [c.astype(np.float32) for c in (specific, specific_top, sensitive, correlation)]


def proxy_masks(tokens: Tensor, domains: Tensor) -> np.ndarray:
    r"""Which tokens belong to each of PROXIES, (P, T) bool; "latex": within \( \), \[ \], $ $."""
    tokens, domains = (values.flatten().cpu().numpy() for values in (tokens, domains))
    masks = {kind: domains == i for i, kind in enumerate(corpus.DOMAINS)}
    arabic = masks["arabic"] | masks["persian"]
    latex = masks["mathematics"] & _between_delimiters(tokens)
    return np.stack([*masks.values(), arabic, latex])


def _between_delimiters(tokens: np.ndarray) -> np.ndarray:
    """True inside LaTeX delimiters, counted anew from each document's beginning."""
    of_token = lambda count: np.array([count(s) for s in corpus.token_strings()])[tokens]
    opens = of_token(lambda s: s.count(r"\(") + s.count(r"\[") - s.count(r"\)") - s.count(r"\]"))
    half = of_token(lambda s: s.endswith("\\"))  # a delimiter may be cut in two: "\\" and "["
    rest = of_token(lambda s: s.startswith(("(", "[")) - s.startswith((")", "]")))
    opens[1:] += half[:-1] * rest[1:]
    dollars = of_token(lambda s: s.count("$") - 2 * s.count("$$"))
    start = np.maximum.accumulate(np.where(tokens == corpus.END, np.arange(len(tokens)), 0))
    depth, flips = np.cumsum(opens), np.cumsum(dollars)
    return (depth - depth[start] > 0) | ((flips - flips[start]) % 2 == 1)
