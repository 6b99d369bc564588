"""Lesson 05: attention as strips, and F1 beside the paper's."""

from collections.abc import Mapping, Sequence

from helpers.lesson.plots import dots, heat


def strips(weights, columns: Sequence[str], *, caption: str, **axes):
    """Weights (2, T), trained and uniform, as strips over places, as on D1-16 to D1-18."""
    rows = ["trained", "frozen uniform"]
    return heat(
        weights, rows, columns, numbers=None, label="weight", cmap="hot", caption=caption, **axes
    )


def scores(ours: Mapping[str, Mapping], paper: Mapping[str, Mapping], text: str):
    """F1 of several models, a line a data set: ours are filled, the paper's hollow."""
    rows = {f"{name} (here)": values for name, values in ours.items()}
    rows |= {f"{name} (paper)": values for name, values in paper.items()}
    theirs = [f"{name} (paper)" for name in paper]
    return dots(rows, hollow=theirs, span=True, xlabel="F1 of the positive class", caption=text)
