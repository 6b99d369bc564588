"""Lesson 05: attention as strips, F1 beside the papers', texts by largest weight and class."""

from collections.abc import Mapping, Sequence

from helpers.attention.faithfulness import by_largest_weight
from helpers.lesson.plots import dots, heat


def strips(weights, columns: Sequence[str], *, caption: str, **axes):
    """Weights (2, T), trained and uniform, as strips over places, as on D1-16 to D1-18."""
    rows = ["trained", "frozen uniform"]
    return heat(
        weights, rows, columns, numbers=None, label="weight", cmap="hot", caption=caption, **axes
    )


def scores(
    ours: Mapping[str, Mapping[str, float]],
    paper: Mapping[str, Mapping[str, float]],
    text: str,
    hidden: Sequence[str] = (),
):
    """F1 of several models, a line a data set: filled marks were measured here, hollow ones there.

    hidden: series that are left out of the drawing (the slide blanks one).
    """
    rows = {f"{name} (here)": values for name, values in ours.items()}
    rows |= {f"{name} (paper)": values for name, values in paper.items()}
    shown = {
        row: {name: value for name, value in values.items() if name not in hidden}
        for row, values in rows.items()
    }
    theirs = [f"{name} (paper)" for name in paper]
    return dots(shown, hollow=theirs, span=True, xlabel="F1 of the positive class", caption=text)


def by_weight_and_class(table, values) -> dict:
    """{bin of the base model's largest weight: {class: the texts' values}}, for `plots.dots`."""
    largest, label = table.alpha["base"].amax(1), table.label[: len(values)]
    kinds = {"positive": label == 1, "negative": label == 0}
    bins = {kind: by_largest_weight(largest[it], values[it]) for kind, it in kinds.items()}
    return {name: {kind: bins[kind][name] for kind in kinds} for name in bins["positive"]}
