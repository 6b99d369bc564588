"""The feature explorer of lesson 11 as data for a page without a kernel, from stored tables."""

from __future__ import annotations

import torch

from helpers.datasets import corpus
from helpers.datasets.excerpts import excerpt
from helpers.sae.features import PROXIES
from helpers.sae.splitting import Edges, living
from helpers.sae.store import load_examples, load_tables
from notebooks.support.lesson11.feature_browser import ALIVE, spoken


def features() -> dict:
    """The living features of A/0 and A/1.

    {"kinds": kinds of text, "rows": [[dictionary, number, x, y, name, kind, firings in 10,000
    tokens, row of the closest parent or -1, text before, token, text after]]}; x and y are places
    on the lesson's map, 0 to 999.
    """
    tokens = corpus.stream("heldout").tokens.long()
    tables, examples = load_tables(), [load_examples(name) for name in ("a0", "a1")]
    plane = tables["map"].float()
    points = plane[torch.cat([found.density > ALIVE for found in examples])]
    low, high = points.amin(0), points.amax(0)
    plane = (999 * (plane - low) / (high - low)).round().int().tolist()
    rows, row_of = [], {}
    for where, found in enumerate(examples):
        kinds = found.specificity_top[:, : len(corpus.DOMAINS)].argmax(dim=1).tolist()
        for number in (found.density > ALIVE).nonzero().flatten().tolist():
            places = found.top[number][found.top[number] >= 0]
            at = int(places[0])
            window = tokens[max(at - 12, 0) : at + 5]
            e = excerpt(window, torch.zeros(len(window)), min(at, 12), before=12)
            cut = "".join(e.pieces[: e.at]), e.pieces[e.at], "".join(e.pieces[e.at + 1 :])
            row_of[where, number] = len(rows)
            often = round(10_000 * float(found.density[number]), 1)
            said = spoken(tokens, places.long())
            place = plane[512 * where + number]
            rows.append([where, number, *place, said, kinds[number], often, -1, *cut])
    graph = Edges(*(tables[f"a0>a1.{field}"] for field in Edges._fields))
    graph = living(graph, examples[1].density > ALIVE)
    columns = (column.tolist() for column in (graph.similarity, graph.parent, graph.child))
    for _, parent, child in sorted(zip(*columns, strict=True)):
        if (0, parent) in row_of:  # the closest comes last
            rows[row_of[1, child]][7] = row_of[0, parent]
    return {"kinds": list(PROXIES), "rows": rows}
