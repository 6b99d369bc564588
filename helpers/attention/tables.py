"""What `make attention_tables` stored: seeds, uniform weights, adversaries, the MLP diagnostic."""

from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from helpers.ground.artifacts import load_artifact, part_of
from helpers.ground.errors import CourseError, checked

VERSION = 1
SETS = {"findings": "Notes with talk", "rotten": "Rotten Tomatoes", "imdb": "IMDb"}


class Table(NamedTuple):
    """One data set's numbers by experiment: N test texts, M of them with weights, n with taus."""

    label: Tensor  # (N,)
    p: dict[str, Tensor]  # P(positive) (N,)
    alpha: dict[str, Tensor]  # attention weights (M, T), 0 after a text's end
    tau: dict[str, Tensor]  # attention-gradient, attention-leave one out, gradient-that: (3, n)
    jsd: dict[str, Tensor]  # an adversary's distance from its base model's weights, a text each
    tvd: dict[str, Tensor]  # and from its output; "each": made for one text at a time

    def seeds(self) -> list[str]:
        """The base model's experiments with other seeds."""
        return [name for name in self.p if name.startswith("seed ")]

    def starts(self, what: str = "base") -> list[str]:
        """The names of one experiment from all its random starts, the base model's first.

        what: "base"; "dot", "average" (other attention, other encoder); "long" (word vectors begun
        ten times as long); "uniform", "each", "adversary 0.001", "MLP own", ...
        """
        if what == "base":
            return ["base", *self.seeds()]
        others = [f"{what}, {seed}" for seed in self.seeds()]
        return [what, *(name for name in others if name in self.p | self.jsd)]

    def lams(self) -> list[float]:
        """The λ of the base model's trained adversaries, from small to large."""
        names = (name.removeprefix("adversary ") for name in self.p if name.startswith("adversary"))
        return sorted(float(lam) for lam in names if "seed" not in lam)


@checked
def load(name: str, *, where: str | Path | None = None, device="cpu") -> Table:
    """The stored numbers of "rotten", "findings" or "imdb"."""
    if name not in SETS:
        raise CourseError(f"No table of {name!r}: choose one of {', '.join(SETS)}.")
    stored = "attention_imdb_tables" if name == "imdb" else "attention_tables"
    tensors, _ = load_artifact(where or stored, version=VERSION, device=device)
    kinds = {"p": {}, "alpha": {}, "tau": {}, "jsd": {}, "tvd": {}}
    for key, value in part_of(tensors, f"{name}/").items():
        experiment, _, kind = key.rpartition("/")
        if kind in kinds:
            kinds[kind][experiment] = value.float()
    alpha = {key: value / value.sum(-1, keepdim=True) for key, value in kinds["alpha"].items()}
    return Table(tensors[f"{name}/label"], **kinds | {"alpha": alpha})


def load_variants(*, where: str | Path = "attention_tables", device="cpu") -> dict[str, dict]:
    """Kind of notes -> "label" (N,), and P(positive) of the MLP, "uniform" and "own" (seeds, N)."""
    tensors, _ = load_artifact(where, version=VERSION, device=device)
    kinds: dict[str, dict[str, Tensor]] = {}
    for key, value in part_of(tensors, "findings/variant ").items():
        kind, what = key.split("/")
        kinds.setdefault(kind, {})[what] = value
    return kinds
