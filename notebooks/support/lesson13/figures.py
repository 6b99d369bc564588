"""Lesson 13: its figures, and the numbers printed beside them."""

from statistics import fmean

import numpy as np
import torch
from IPython.display import Markdown, display
from torch import Tensor

from helpers.ground.stats import clustered_mean
from helpers.lesson import plots
from notebooks.support.lesson13.world import World

NAMES = {"l1": "L1", "topk": "TopK", "batch_topk": "BatchTopK", "jumprelu": "JumpReLU"}
NAMES |= {"matryoshka": "Matryoshka"}
SCORES = ("f1", "mcc", "variance")
# SynthSAEBench-16k at L0 25 (SAELens, docs/synth_sae_bench.md)
PAPER = {
    name: dict(zip(SCORES, values, strict=True))
    for name, values in {
        "l1": (0.556, 0.604, 0.765),
        "batch_topk": (0.732, 0.757, 0.792),
        "jumprelu": (0.732, 0.753, 0.795),
        "matryoshka": (0.879, 0.793, 0.779),
        "matching pursuit": (0.446, 0.693, 0.835),
    }.items()
}


def name_of(kind: str) -> str:
    return NAMES.get(kind, kind)


def rates(world: World, strengths: Tensor):
    """How often each feature is on, the most frequent first; strengths (B, n)."""
    often = (strengths > 0).float().mean(0)
    rank = torch.arange(1, len(often) + 1)
    lines = {"measured": often, "0.5 / i": 0.5 / rank}
    look = {"log": "xy", "xlabel": "feature i", "ylabel": "share of inputs", "ylim": (1e-5, 1)}
    return plots.curves(rank, lines, **look, caption="How often each feature is on.")


def one_input(world: World, strengths: Tensor) -> None:
    """Print what is on in one input, strengths (1, n), each behind its parents; the first is 1."""
    for i in strengths[0].nonzero().flatten().tolist():
        line = [i]
        while (parent := int(world.parent[line[0]])) >= 0:
            line.insert(0, parent)
        print(f"{' → '.join(str(n + 1) for n in line):24} strength {strengths[0, i]:.1f}")


def known(rows: dict, kinds: list[str]):
    """How good each kind's latents are, a dot a world; L0 and dead are printed."""
    shown = {"f1": "F1", "mcc": "MCC"}
    panels = {
        title: {name_of(kind): {"": rows[kind][score]} for kind in kinds}
        for score, title in shown.items()
    }
    paper = {
        title: {name_of(kind): {"": PAPER[kind][score]} for kind in kinds if kind in PAPER}
        for score, title in shown.items()
    }
    for kind in kinds:
        L0, dead = (fmean(rows[kind][score]) for score in ("L0", "dead"))
        print(f"{name_of(kind):17} L0 {L0:.2f}, dead {dead:.3f}")
    caption = "Dots: worlds. Diamonds: SynthSAEBench-16k, sixteen times as large."
    return plots.dots(panels, paper=paper, caption=caption)


def reconstruction(rows: dict, kinds: list[str]):
    """Variance explained and F1, a dot a world; the variance, as it is and free, is printed."""
    for kind in kinds:
        own, free = (fmean(rows[kind][score]) for score in ("variance", "variance_free"))
        print(f"{name_of(kind):17} variance explained {own:.3f}, free {free:.2f}")
    points = {name_of(k): (rows[k]["variance"], rows[k]["f1"]) for k in kinds}
    look = {"xlabel": "variance explained", "ylabel": "F1 of the latents", "size": 7}
    return plots.scatter(points, **look, caption="Reconstruction and latents; a dot is a world.")


def absorbed(rows: dict, kinds: list[str]):
    """Absorption beside its control, a dot a world; the means are printed."""
    beside = {"absorbed": "a child", "unrelated": "an unrelated feature"}
    values = {
        name_of(kind): {title: rows[kind][score] for score, title in beside.items()}
        for kind in kinds
    }
    for kind, row in values.items():
        print(f"{kind:17}", ", ".join(f"{title} {fmean(v):.2f}" for title, v in row.items()))
    look = {"xlabel": "missed beside it, minus missed alone", "hollow": [beside["unrelated"]]}
    caption = "How much oftener a parent is missed beside another feature; a mark is a world."
    return plots.dots(values, **look, caption=caption)


def frozen(rows: dict, names: list[str]):
    shown = {"batch_topk": "trained"}
    scores = {"f1_best": "F1, best fit", "variance": "variance explained"}
    panels = {
        title: {shown.get(name, name): {"": rows[name][score]} for name in names}
        for score, title in scores.items()
    }
    return plots.dots(panels, caption="BatchTopK, whole, with a random half, and untrained.")


def real(rows: dict):
    """Lesson 10's scores of each set of units: means, 95 % over units or kinds of text."""
    panels = {}
    for score in ("rule", "probe", "simulation"):
        panels[score] = {
            name_of(units): {"": clustered_mean(torch.tensor(row[score]), range(len(row[score])))}
            for units, row in rows.items()
        }
    for units, row in rows.items():
        L0, explained = row["L0"][0], row.get("variance", [float("nan")])[0]
        means = ", ".join(f"{score} {fmean(row[score]):.2f}" for score in panels)
        print(f"{name_of(units):19} L0 {L0:4.1f}, variance explained {explained:.2f} · {means}")
    controls = [name for name in panels["rule"] if name not in [*NAMES.values(), "neurons"]]
    caption = "Three scores of units; hollow: controls. Bars: 95 % over units or kinds of text."
    return plots.dots(panels, hollow=controls, caption=caption)


def difference(rows: dict, score: str, one: str, other: str) -> None:
    """Print how much higher one set's mean score is: 95 %, the units of both drawn again."""
    draw = np.random.default_rng(0)
    means = [  # (4000,) each
        draw.choice(values, (4000, len(values))).mean(1)
        for values in (rows[name][score] for name in (one, other))
    ]
    low, high = np.quantile(means[0] - means[1], [0.025, 0.975])
    gap = fmean(rows[one][score]) - fmean(rows[other][score])
    print(f"{score}, {name_of(one)} minus {other}: {gap:.2f} ({low:.2f} to {high:.2f})")


def detection(found: list[dict], sizes: tuple[int, ...]) -> dict[str, list[float]]:
    """AUC of each detector by labels, with 95 % over kinds of text; returns the means."""
    panels, means = {}, {name: [] for name in found[0]}
    for size, aucs in zip(sizes, found, strict=True):
        panel = {}
        for name, values in aucs.items():  # (kinds, samples)
            kinds = torch.arange(len(values)).repeat_interleave(values.shape[1])
            panel[name] = {"": clustered_mean(values.flatten().cpu(), kinds.tolist())}
            means[name].append(panel[name][""][0])
        panels[f"{size:,} labels"] = panel
    caption = "Finding one of twelve kinds of text. Bars: 95 % over the kinds."
    plots.dots(panels, xlabel="AUC", xlim=(0.55, 1.01), caption=caption)
    for name, values in means.items():
        print(f"{name:20}", *(f"{value:.3f}" for value in values))
    return means


def beside_paper(rows: dict) -> None:
    """Show F1, MCC and variance explained beside SynthSAEBench's."""
    lines = ["| | F1 | paper | MCC | paper | variance | paper |", "|---" * 7 + "|"]
    for kind, numbers in PAPER.items():
        cells = [
            f"{fmean(rows[kind][score]):.2f} | {number:.2f}" for score, number in numbers.items()
        ]
        lines.append(f"| {name_of(kind)} | {' | '.join(cells)} |")
    display(Markdown("\n".join(lines)))
