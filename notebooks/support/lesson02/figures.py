"""Lesson 02: maps over pictures."""

from __future__ import annotations

import random
from collections.abc import Callable

import torch

from helpers.clip import maps as clip_maps
from helpers.datasets import photos
from helpers.ground.stats import interval
from helpers.lesson import plots


def overlays(image, maps: dict, caption: str, boxes: dict | None = None, cols: int | None = None):
    """The picture, then {title: map (H, W)} over its greys: red for, blue against, at zero grey.

    Titles may be anything that a learner types. boxes: {title: box}, framed on that map: where the
    answer is.
    """
    panels = {"the picture": plots.as_array(image)} | maps
    bar = ("against", "0", "for")
    return plots.maps(
        panels, over=image, signed=True, boxes=boxes, cols=cols, bar=bar, caption=caption
    )


def asker(model, tokenizer, methods: dict, shelf: dict, art: str) -> Callable:
    """`ask` for the playground: maps of up to three queries, on a picture of the shelf or an own.

    methods: {name: method(model, image, texts)}; the titles tell the whole picture's cosines.
    """

    def ask(first, second, third, picture, own_picture, method):
        own = own_picture.strip()
        seen = photos.open_picture(own) if own else shelf[picture]
        wanted = [text for text in (first, second, third) if text.strip()]
        texts = clip_maps.encode_queries(model, tokenizer, wanted)
        pixels = clip_maps.scaled(model, seen)
        with torch.no_grad():
            fits = clip_maps.Similarity(model, texts)(clip_maps.whole(model, pixels))[0].tolist()
        titles = [f"{text} (cosine {c:.2f})" for text, c in zip(wanted, fits, strict=True)]
        drawn = methods[method](model, pixels, texts)
        caption = f"{method}; the cosine is the whole picture's. {art}"
        return overlays(seen, dict(zip(titles, drawn, strict=True)), caption)

    return ask


def one_question(model, tokenizer, query: str, caption: str) -> Callable:
    """The deck's map of one query, as a function of the picture: 300 crops.

    The smallest crop has the demo's 50 pixels; on a small picture 22 % of a side.
    """

    def draw(image):
        texts = clip_maps.encode_queries(model, tokenizer, [query])
        smallest = 50 if min(image.shape[:2]) > 100 else 0.22
        pixels = clip_maps.scaled(model, image)
        m = clip_maps.crop_map(model, pixels, texts, crops=300, smallest=smallest)
        return overlays(image, {query: m[0]}, caption, cols=3)

    return draw


def ahead(table: dict, names: list[str]):
    """Relevance less four other maps, scene by scene; table: {kind: (scenes, maps, Q, measures)}"""
    others = ("sum", "shrunk, by 1/area", "RISE", "occlusion")
    gaps = {"hits": {}, "energy": {}}
    for w, what in enumerate(gaps):
        for kind, scores in table.items():
            by = dict(zip(names, scores[..., w].mean(2).T, strict=True))  # (scenes,) a map
            less = {name: interval(by["relevance"] - by[name]) for name in others}
            gaps[what][kind] = {name: tuple(gap) for name, gap in less.items()}
    caption = "Relevance less four other maps: paired differences, 95 % intervals."
    colours = {name: 2 + i for i, name in enumerate(others)}
    return plots.dots(gaps, caption=caption, zero=True, height=4.5, colours=colours)


def square_round(box, size: int = 96) -> tuple[int, int, int, int]:
    """The smallest square on a picture of this size that holds the box."""
    left, top, right, bottom = box
    side = max(right - left, bottom - top)
    left, top = min(left, size - side), min(top, size - side)
    return left, top, left + side, top + side


def empty_square(boxes, side: int = 24, size: int = 96) -> tuple[int, int, int, int]:
    """A square, drawn with seed 0, that touches none of the boxes on a picture of this size."""
    free = [
        (x, y)
        for x in range(size - side + 1)
        for y in range(size - side + 1)
        if not any(
            x < right and left < x + side and y < bottom and top < y + side
            for left, top, right, bottom in boxes
        )
    ]
    x, y = random.Random(0).choice(free)
    return x, y, x + side, y + side
