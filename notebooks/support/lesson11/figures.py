"""Lesson 11: the splitting graph, the map of directions under the mouse, the toy world's planes."""

from __future__ import annotations

import html
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from helpers.datasets import corpus
from helpers.datasets.excerpts import firings
from helpers.lesson.plots import COLOURS, as_array, canvas, figure, printable
from helpers.sae.model import SparseAutoencoder
from helpers.sae.splitting import children_of
from notebooks.support.lesson11.feature_browser import Atlas
from notebooks.support.lesson11.toy import Found, World

LETTERS = 34  # of a firing under a node
GREY = "#999"


def grow(atlas: Atlas, root: int, most: int, below: int) -> tuple[list[list[int]], list[tuple]]:
    """A root's `most` closest children, `below` of each child's own, and so on, narrow to wide.

    Columns of features, each once, and edges (level, parent, child, similarity).
    """
    levels, columns, edges = list(atlas.sizes), [[root]], []
    for level, pair in enumerate(zip(levels, levels[1:], strict=False)):
        for parent in columns[-1]:
            closest = children_of(atlas.graphs[pair], parent)[: below if level else most]
            edges += [(level, parent, child, closeness) for child, closeness, _ in closest]
        here = [child for at, _, child, _ in edges if at == level]
        columns.append(list(dict.fromkeys(here)))
    return columns, edges


@figure
def tree(atlas: Atlas, root: int, most: int = 6, below: int = 2):
    """The graph as the paper draws it, from narrow to wide, with two firings under each name."""
    columns, edges = grow(atlas, root, most, below)
    tall = max(map(len, columns))
    fig, ax = canvas(height=0.72 * tall + 0.4)
    ax.set(xlim=(-0.05, len(columns) - 0.1), ylim=(tall - 0.3, -0.9))
    ax.set_axis_off()
    middles = lambda count: (np.arange(count) + 0.5) * tall / count - 0.5  # of equal parts
    row = [dict(zip(c, middles(len(c)), strict=True)) for c in columns]
    for x, (where, column) in enumerate(zip(atlas.sizes, columns, strict=True)):
        title = f"{atlas.called(where, 0)[:-2]}: {atlas.sizes[where]:,} features"
        ax.text(x, -0.75, title, fontweight="bold", color=COLOURS[x])
        for number in column:
            name = atlas.name(where, number).partition(" · ")[0]
            said = printable(f"{atlas.called(where, number)}  {name}")
            ax.text(x, row[x][number] - 0.12, said, fontsize=8.5, color=COLOURS[x])
            firing = printable("\n".join(shortened(atlas, where, number)))
            ax.text(x, row[x][number] - 0.05, firing, fontsize=7, va="top", color="0.25")
    for x, parent, child, closeness in edges:
        look = {"color": "0.6", "linewidth": 4 * (closeness - 0.35) + 0.5}
        ax.plot([x + 0.78, x + 0.97], [row[x][parent], row[x + 1][child]], **look)
    return fig, (
        "Under each name two of the feature's strongest firings. An edge is as wide as the two "
        "features' activations are similar."
    )


def shortened(atlas: Atlas, where: str, number: int, count: int = 2) -> list[str]:
    """Strongest firings in a few letters each, the token in brackets."""
    places = atlas.examples[where].top[number, :count]
    cut = {"before": 10, "after": 4}
    lines = []
    for e in firings(lambda rows: atlas.acts(where, number, rows), atlas.rows, places, **cut):
        before, after = "".join(e.pieces[: e.at]), "".join(e.pieces[e.at + 1 :])
        token = f"[{e.pieces[e.at].strip()}]"
        room = LETTERS - len(token)
        lines.append(f"…{before[-room * 2 // 3 :].lstrip()} {token}{after[: room // 3]}")
    return lines


class HoverMap:
    """Directions in the plane, `points` (n, 2) a dictionary, as a drawing that says the name of
    what is under the mouse: rings for the narrow one; a root and its children with black rims.

    Each sign is an HTML element with a title: JupyterLab shows no stored SVG with titles before
    its cell has run, and prints the titles instead.
    """

    def __init__(self, atlas: Atlas, points: Mapping[str, Tensor], root: int):
        narrow, wide = points
        flat = torch.cat([points[name][atlas.alive(name)] for name in points])
        low, span = flat.amin(0), flat.amax(0) - flat.amin(0)
        at = {n: ((p - low) / span * 96 + 2).tolist() for n, p in points.items()}  # in %
        domains = slice(len(corpus.DOMAINS))
        kinds = {n: atlas.examples[n].specificity_top[:, domains].argmax(dim=1) for n in points}
        common = kinds[wide][atlas.alive(wide)].bincount().argsort(descending=True)[:5].tolist()
        colour = dict(zip(common, COLOURS, strict=False))
        family = {
            narrow: {root},
            wide: {c for c, *_ in children_of(atlas.graphs[narrow, wide], root)},
        }
        signs = []  # (whether of the family, HTML): the family is drawn on top
        for name in points:
            for number in atlas.alive(name).nonzero().flatten().tolist():
                said = html.escape(f"{atlas.called(name, number)} · {atlas.name(name, number)}")
                ink, mine = colour.get(int(kinds[name][number]), GREY), number in family[name]
                x, y = at[name][number]
                look = ring(ink, mine) if name == narrow else dot(ink, mine)
                look = f"position:absolute;left:{x:.1f}%;top:{y:.1f}%;border-radius:9px;{look}"
                signs.append((mine, f'<span title="{said}" style="{look}"></span>'))
        self.signs = [sign for _, sign in sorted(signs, key=lambda pair: pair[0])]
        kinds = {corpus.DOMAINS[kind]: ink for kind, ink in colour.items()} | {"other": GREY}
        spots = [f'<span style="color:{ink}">●</span> {kind}' for kind, ink in kinds.items()]
        self.legend = " &nbsp; ".join(spots)
        first, second = (atlas.called(name, 0)[:-2] for name in points)
        self.caption = (
            f"Directions of {first} (rings) and {second} (dots), laid out by t-SNE. Black rims: "
            f"{atlas.called(narrow, root)} and its children."
        )

    def __repr__(self) -> str:
        return self.caption

    def _repr_html_(self) -> str:
        return (
            f'<div style="background:#fff;color:#111;max-width:800px">{self.legend}'
            f'<div role="img" aria-label="{self.caption}" style="position:relative;'
            f'padding-top:70%">{"".join(self.signs)}</div><i>{self.caption}</i></div>'
        )


def ring(ink: str, mine: bool) -> str:
    """The style of a narrow dictionary's sign; mine: black."""
    return f"margin:-6px;padding:5px;border:{'2px solid #000' if mine else f'1px solid {ink}'}"


def dot(ink: str, mine: bool) -> str:
    """The style of a wide dictionary's sign; mine: with a black rim."""
    rim = "padding:3px;border:1px solid #000" if mine else "padding:2.5px"
    return f"margin:-3px;{rim};background-color:{ink}"


@figure
def planes(world: World, sae: SparseAutoencoder, found: Found):
    """One cluster, one arc and one pair, each in a plane of its own: what is true, what is learned.

    Learned: the directions whose owner is drawn.
    """
    d, owner = world.directions(), found.owner
    many, members = world.clusters * world.members, d["members"][0]  # (4, N)
    centre = members.mean(dim=0)
    across = torch.linalg.svd(members - centre).Vh[0]  # where members differ most
    first_pair = many + world.arcs
    angles = torch.linspace(-world.angle, world.angle, 25, device=centre.device)
    arc = angles.cos()[:, None] * d["middle"][0] + angles.sin()[:, None] * d["bend"][0]
    pair = torch.stack([d["parents"][0], d["children"][0]])
    panels = {
        "a cluster: four features": (members, [centre, across], range(world.members)),
        "an arc: one feature": (arc, [d["middle"][0], d["bend"][0]], [many]),
        "a pair: parent right, child up": (pair, pair, [first_pair, first_pair + world.pairs]),
    }
    fig, axes = canvas(1, 3, height=3.0)
    for ax, (title, (truth, plane, mine)) in zip(axes, panels.items(), strict=True):
        q, r = torch.linalg.qr(torch.stack(list(plane)).T)  # (N, 2), (2, 2)
        base = q * r.diagonal().sign()
        mine = torch.isin(owner, torch.tensor(list(mine), device=owner.device))
        learned = as_array(sae.W_dec.detach()[mine] @ base)  # (m, 2)
        truth = as_array(truth @ base)
        if "arc" in title:
            ax.plot(*truth.T, color="0.75", linewidth=7, label="true")
        else:
            arrows(ax, truth, color="0.75", width=0.035)
        arrows(ax, learned, color=COLOURS[0], width=0.012)
        ax.set(title=title, xlim=(-0.3, 1.15), ylim=(-1.1, 1.1), aspect="equal")
        ax.set(xticks=[0, 1], yticks=[-1, 0, 1])
    return fig, f"Grey: what is true. Blue: what a dictionary of {len(owner)} learned for it."


def arrows(ax, vectors: np.ndarray, **style) -> None:
    """Arrows from the origin to vectors (n, 2)."""
    if len(vectors):
        scale = {"angles": "xy", "scale_units": "xy", "scale": 1}
        ax.quiver(*np.zeros_like(vectors).T, *vectors.T, **scale, **style)
