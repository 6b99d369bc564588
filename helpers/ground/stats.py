"""Statistics that more than one lesson uses: bootstrap intervals."""

import numpy as np


def clustered_mean(
    values, clusters, *, draws: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    """The mean of `values` and its 95 % interval when whole clusters (reviews, pictures, people) are drawn again.

    values and clusters: sequences of one length. Cluster bootstrap, percentile interval: with fewer than about ten
    clusters it is too narrow. ValueError for fewer than two clusters.
    """
    values, (_, member) = (
        np.asarray(values, dtype=float),
        np.unique(np.asarray(clusters), return_inverse=True),
    )
    total, size = np.bincount(member, values), np.bincount(member)
    if len(size) < 2:
        raise ValueError(
            f"an interval over clusters needs at least two of them, here there is {len(size)}"
        )
    pick = np.random.default_rng(seed).integers(len(size), size=(draws, len(size)))
    low, high = np.quantile(total[pick].sum(1) / size[pick].sum(1), [0.025, 0.975])
    return float(values.mean()), float(low), float(high)


def interval(values: np.ndarray) -> list[float]:
    """The mean of one value a scene, and its 95 % bootstrap interval over scenes; where all are right, 3 / n of room (rule of three)."""
    draws = np.random.default_rng(0).choice(values, (4000, len(values))).mean(1)
    low, high = np.quantile(draws, (0.025, 0.975))
    low = min(low, 1 - 3 / len(values)) if values.min() == 1 else low
    return [round(float(x), 4) for x in (values.mean(), low, high)]
