"""Lesson 04: stories with answers, numbers beside the paper's, and the weighing game's drawing."""

import torch

from helpers.attention.tables import Table
from helpers.lesson.plots import COLOURS, canvas, dots, draw_words, figure, heat_words

# Jain & Wallace 2019, BiLSTM, additive: bAbI 1, Anemia, SST, IMDb. τ: attention with gradient,
# gradient with leave one out, attention with leave one out (their files name the first and the last
# the wrong way round). JSD: the mean of both classes' means, read off the authors' histograms.
PAPER_TAU = {
    "stories": (0.25, 0.50, 0.16),
    "notes": (0.46, 0.68, 0.47),
    "Rotten Tomatoes": (0.35, 0.66, 0.29),
    "IMDb": (0.44, 0.52, 0.34),
}
PAPER_JSD = {"stories": 0.47, "notes": 0.63, "Rotten Tomatoes": 0.485, "IMDb": 0.575}


def over_seeds(table: Table, what: str = "base") -> torch.Tensor:
    """Each of up to five seeds' mean tau over its texts (seeds, 3), in the order of PAPER_TAU."""
    taus = [table.tau[name] for name in table.starts(what)[:5]]
    return torch.stack(taus).nanmean(-1)[:, [0, 2, 1]]


def agreement(seeds: dict, pairs: list[str]):
    """A panel a pair of measures, a row a task, a dot a seed; {task: mean taus (seeds, pairs)}."""
    panel = lambda i: {task: {"": taus[:, i]} for task, taus in seeds.items()}
    paper = lambda i: {task: row[i] for task, row in PAPER_TAU.items()}
    caption = """Mean Kendall's τ over texts. A dot is a model trained from one seed (stories: one,
    else five), a bar their median. Diamonds: the paper's number for the data set that the task
    stands for."""
    return dots(
        {pair: panel(i) for i, pair in enumerate(pairs)},
        paper={pair: paper(i) for i, pair in enumerate(pairs)},
        **{"xlabel": "mean τ", "xlim": (-0.02, 0.9)},
        caption=caption,
    )


def beside_paper(tables: dict, seeds: dict, pairs: list[str]) -> str:
    """A Markdown table: mean (lowest to highest) over five seeds beside the paper's number."""
    spread = lambda v: f"{v.mean():.2f} ({v.min():.2f} to {v.max():.2f})"
    lines = ["| | ours | paper |", "|---|---|---|"]
    for name, table in tables.items():
        for i, pair in enumerate(pairs):
            ours = spread(seeds[name][:, i])
            lines.append(f"| {name}: τ of {pair} | {ours} | {PAPER_TAU[name][i]:.2f} |")
        found = torch.stack([table.jsd[start].mean() for start in table.starts("each")])
        lines.append(f"| {name}: mean divergence | {spread(found)} | {PAPER_JSD[name]:.2f} |")
    return "\n".join(lines)


def verdicts(rows: dict) -> str:
    """A Markdown table; rows: {model: (tau with gradient, gap, change when shuffled, JSD)}."""
    tests = (lambda v: v >= 0.5), (lambda v: v <= 0), (lambda v: v >= 0.25), (lambda v: v <= 0.35)
    lines = ["| | τ with gradient | gap | shuffle | adversary |", "|---|---|---|---|---|"]
    for name, values in rows.items():
        pairs = zip(values, tests, strict=True)
        cells = [f"{v:.2f} {'**yes**' if explains(v) else 'no'}" for v, explains in pairs]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def both_ways(words, own, elsewhere, output: float, there: float):
    """A review under the model's own weights (T,) and the adversary's, with their outputs."""
    rows = {f"original α: P(positive) = {output:.3f}": own}
    rows[f"adversarial α̃: P(positive) = {there:.3f}"] = elsewhere
    caption = """The review under the model's own weights and under the adversary's, each shaded
    relative to its own largest weight, with the output each gives."""
    return heat_words(words, rows, width=92, cols=2, caption=caption)


@figure
def answered(stories: dict, caption: str):
    """Stories in rows, words shaded by weight, weights of .1 and above beside their word.

    stories: {text: (answer, weights (T,))}.
    """
    fig, axes = canvas(len(stories), 1, height=0.62 * len(stories), squeeze=False)
    for ax, (text, (answer, weights)) in zip(axes[:, 0], stories.items(), strict=True):
        pairs = zip(text.split(), weights.tolist(), strict=True)
        words = [f"{word} {weight:.2f}" if weight >= 0.1 else word for word, weight in pairs]
        draw_words(ax, words, weights, width=112)
        ax.set_title(f"Where is Sandra?  {answer}", loc="left")
    return fig


@figure
def weighing(words, own, now, outputs: tuple[float, float], distance: float):
    """The text under the weights of now, and two bars: the output with the model's own and these.

    words: of a text of some 50 words; own, now: its weights (T,); outputs: with own and with now;
    distance: the JSD between the weights, in nats.
    """
    before, after = outputs
    fig, (left, right) = canvas(1, 2, height=2.6, width_ratios=(3.2, 1))
    draw_words(left, words, now, width=72)
    left.set_title(f"{distance:.2f} nats from the model's own weights (at most 0.69)", loc="left")
    right.barh(["now", "own"], [after, before], color=[COLOURS[1], COLOURS[0]])
    for place, output in enumerate((after, before)):
        right.text(min(output + 0.03, 0.7), place, f"{output:.3f}", va="center")
    right.axvline(0.5, color="0.4", linestyle=":")
    right.set(xlim=(0, 1), xlabel="P(positive)", title=f"moved by {abs(after - before):.3f}")
    return fig, (
        "Left, the text, darker where the weight is. Right, the output with the model's own "
        "weights and with those of now."
    )
