"""Lesson 12: the next words before and after a cut."""

from helpers.lesson.plots import bars


def before_and_after(words, before, after, edge: tuple[str, str]):
    """The likeliest next words; before, after: their probabilities (n,)."""
    rows = zip(words, before.tolist(), after.tolist(), strict=True)
    values = {word: {"as it is": p, "cut": q} for word, p, q in rows}
    reader, read = edge
    caption = f"The next word, as it is and when '{reader}' may not read '{read}', in all heads."
    return bars(values, ylabel="probability", caption=caption)
