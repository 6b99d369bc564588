"""Lesson 05: strips, F1 beside the paper's, adversaries in the plane, what weights tell."""

from collections.abc import Mapping, Sequence

import torch
from sklearn.feature_extraction import DictVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier
from torch import Tensor

from helpers.attention.faithfulness import jsd
from helpers.attention.model import uniform
from helpers.attention.tables import Table
from helpers.lesson.plots import dots, heat, heat_words, scatter

# Wiegreffe & Pinter 2019, F1. Table 2: trained, frozen uniform. Table 3, a reader without context
# under four guides: uniform, its own, the base LSTM's; the adversary's row is quoted from memory.
TABLE2 = {
    "SST": (0.831, 0.822),
    "IMDb": (0.902, 0.879),
    "Anemia": (0.938, 0.899),
    "Diabetes": (0.775, 0.706),
    "AG News": (0.964, 0.960),
    "20 News": (0.942, 0.934),
}
TABLE3 = {
    "Diabetes": (0.404, 0.699, 0.753, 0.503),
    "Anemia": (0.873, 0.920, 0.931, 0.932),
    "SST": (0.812, 0.817, 0.824, 0.592),
    "IMDb": (0.863, 0.888, 0.905, 0.700),
}
STANDS_FOR = {"notes": "Anemia", "Rotten Tomatoes": "SST", "IMDb": "IMDb"}
PAPER_JSD = {"SST": 0.05, "IMDb": 0.08}  # fig. 3, read from the picture


def spread(values: Tensor) -> str:
    """Mean, and lowest to highest seed, with signs."""
    return f"{values.mean():+.3f} ({values.min():+.3f} to {values.max():+.3f})"


def strips(weights, columns: Sequence[str], *, caption: str, **axes):
    """Weights (2, T), trained and uniform, as strips over places, as on D1-16 to D1-18."""
    rows = ["trained", "frozen uniform"]
    return heat(
        weights, rows, columns, numbers=None, label="weight", cmap="hot", caption=caption, **axes
    )


def scores(ours: Mapping[str, Mapping], paper: Mapping[str, Sequence], caption: str, *, floor):
    """F1 of several models, a line a data set: ours are filled, the paper's hollow.

    floor: the F1 of always saying "positive" on each of our sets.
    """
    rows = {f"{k} (here)": v | {"always positive": floor[k]} for k, v in ours.items()}
    kinds = next(iter(ours.values()))
    theirs = {f"{name} (paper)": dict(zip(kinds, row, strict=True)) for name, row in paper.items()}
    colours = {"trained": 0, "base LSTM": 0, "uniform": 1, "its own": 2, "adversary": 3}
    look = {"colours": colours | {"always positive": 6}, "xlabel": "F1 of the positive class"}
    return dots(rows | theirs, hollow=list(theirs), span=True, caption=caption, **look)


def marks(table: Table) -> dict[str, tuple[Tensor, Tensor]]:
    """{kind of model: (mean TVD, mean JSD)} from the base model, for `plane`."""
    p, own = table.p["base"], table.alpha["base"]

    def away(names: list[str]) -> tuple[Tensor, Tensor]:
        tvd = torch.stack([(p - table.p[name]).abs().mean() for name in names])
        return tvd, torch.stack([jsd(own, table.alpha[name]).mean() for name in names])

    change = (p - table.p["uniform"]).abs().mean()
    return {
        "trained adversary": away([f"adversary {lam:g}" for lam in table.lams()]),
        "other seeds": away(table.seeds()),
        "frozen uniform": (change, jsd(own, uniform(own > 0)).mean()),
        "one text at a time": (table.tvd["each"].mean(), table.jsd["each"].mean()),
    }


def plane(points: Mapping[str, Mapping], caption: str) -> list:
    """Distance from the base model, outputs across and weights up: two data sets a figure."""
    kinds = ("trained adversary", "other seeds", "frozen uniform", "one text at a time")
    look = {"xlim": (-0.02, 0.42), "ylim": (-0.02, 0.74), "lines": kinds[:1]}
    look["colours"] = {kind: place for place, kind in enumerate(kinds)}
    look |= {"xlabel": "mean TVD of the outputs", "ylabel": "mean JSD of the weights (nats)"}
    names = list(points)
    pairs = [{name: points[name] for name in names[i : i + 2]} for i in range(0, len(names), 2)]
    return [scatter(pair, **look, caption=caption) for pair in pairs]


def two_models(table: Table, words: Sequence[str], other: str, note: int):
    """One note under the weights of the base model and of another experiment."""
    rows = {
        f"{name}: P(positive) = {table.p[name][note]:.3f}": table.alpha[name][
            note, 1 : len(words) + 1
        ]
        for name in ("base", other)
    }
    moved = jsd(table.alpha["base"], table.alpha[other])[note]
    caption = f"One note, darker where the weight is. JSD {moved:.2f} of 0.69 nats."
    return heat_words(words, rows, cols=2, caption=caption)


def codes(weights: Tensor, notes: Sequence, label: Tensor) -> dict[str, float]:
    """Share of held-out notes whose label a small tree tells from the weights (N, T).

    It gets the heaviest word of each note, or only the size of its weight; it learns on the first
    half of the notes and is scored on the second.
    """
    labels, half = label.tolist(), len(label) // 2

    def told(facts: list[dict]) -> float:
        tree = DecisionTreeClassifier(min_samples_leaf=5, random_state=0)
        fitted = make_pipeline(DictVectorizer(), tree).fit(facts[:half], labels[:half])
        return fitted.score(facts[half:], labels[half:])

    heaviest, top = (values.tolist() for values in weights.max(1))
    texts = [["<start>", *note.words, "<end>"] for note in notes]
    words = [{"word": text[place]} for text, place in zip(texts, top, strict=True)]
    sizes = [{"weight": weight} for weight in heaviest]
    return {"the heaviest word": told(words), "its weight, no word": told(sizes)}


def beside_paper(ours: Mapping[str, Mapping[str, Tensor]], distance: Mapping[str, Tensor]) -> str:
    """A Markdown table: F1 of all seeds and the median JSD between seeds, ours and the paper's."""
    lines = ["| | here: mean (lowest to highest) | paper |", "|---|---|---|"]
    for name, kinds in ours.items():
        theirs = STANDS_FOR[name]
        for i, (kind, values) in enumerate(kinds.items()):
            here = f"{values.mean():.3f} ({values.min():.3f} to {values.max():.3f})"
            lines.append(f"| {name}, F1 {kind} | {here} | {theirs} {TABLE2[theirs][i]:.3f} |")
        if theirs in PAPER_JSD:
            row = f"{distance[name].median():.3f} | {theirs} {PAPER_JSD[theirs]:.2f} |"
            lines.append(f"| {name}, median JSD to other seeds | {row}")
    return "\n".join(lines)
