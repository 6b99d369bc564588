"""Stored experiments of lessons 04 and 05: seeds, uniform weights, adversaries, the MLP diagnostic.

`python -m helpers make attention_tables attention_imdb_tables` trains the models, writes down what
they put out and where they look, and drops them.
"""

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from helpers.ground.artifacts import load_artifact

VERSION = 1
SETS = {"findings": "Notes with talk", "rotten": "Rotten Tomatoes", "imdb": "IMDb"}


class Table(NamedTuple):
    """One data set's numbers by experiment: N test texts, T places.

    M of the N texts have weights (all but for IMDb), n of them have taus.
    """

    label: Tensor  # (N,)
    p: dict[str, Tensor]  # P(positive) (N,)
    alpha: dict[str, Tensor]  # attention weights (M, T), 0 after a text's end
    tau: dict[str, Tensor]  # attention-gradient, attention-leave one out, gradient-that: (3, n)
    each: dict[str, Tensor]  # "jsd" and "tvd" of adversaries made for one text at a time

    def seeds(self) -> list[str]:
        """The experiments with other seeds than the base model's."""
        return [name for name in self.p if name.startswith("seed ")]

    def lams(self) -> list[float]:
        """The λ of the trained adversaries, from small to large."""
        return sorted(float(name.split()[1]) for name in self.p if name.startswith("adversary "))


def load(
    name: str, *, where: str | Path | None = None, device: torch.device | str = "cpu"
) -> Table:
    """The stored numbers of "rotten", "findings" or "imdb"."""
    if name not in SETS:
        raise ValueError(f"No table of {name!r}: choose one of {', '.join(SETS)}.")
    stored = "attention_imdb_tables" if name == "imdb" else "attention_tables"
    tensors, _ = load_artifact(where or stored, version=VERSION, device=device)
    kinds = {"p": {}, "alpha": {}, "tau": {}, "jsd": {}, "tvd": {}}
    for key, value in tensors.items():
        *experiment, kind = key.removeprefix(f"{name}/").split("/")
        if key.startswith(f"{name}/") and kind in kinds:
            kinds[kind]["/".join(experiment)] = value.float()
    alpha = {key: value / value.sum(-1, keepdim=True) for key, value in kinds["alpha"].items()}
    each = {kind: kinds[kind]["each"] for kind in ("jsd", "tvd")}
    return Table(tensors[f"{name}/label"], kinds["p"], alpha, kinds["tau"], each)


def load_variants(
    *, where: str | Path = "attention_tables", device: torch.device | str = "cpu"
) -> dict[str, dict[str, Tensor]]:
    """Kind of notes -> "label" (N,), and P(positive) of the MLP, "uniform" and "own" (seeds, N)."""
    tensors, _ = load_artifact(where, version=VERSION, device=device)
    kinds: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("findings/variant "):
            kind, what = key.removeprefix("findings/variant ").split("/")
            kinds.setdefault(kind, {})[what] = value
    return kinds
