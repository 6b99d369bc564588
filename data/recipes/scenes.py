"""What training and measuring need beyond the scenes: questions, and what a window shows."""

import random

from helpers.datasets.scenes import Thing, concepts, frames

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


def question(rng: random.Random, concept: int, *, held_out: bool = False) -> str:
    """Asks for `concept` by one of its facts, in a frame that is (not) held out for this fact."""
    kind, _, _, facts = concepts()[concept]
    fact = rng.choice(facts)
    words = frames(fact, WHO if kind == "person" else WHAT, held_out=held_out)
    return rng.choice(words).format(fact)


def visible(things: list[Thing], window, share: float = 0.5) -> list[Thing]:
    """The things whose box lies in the window (left, top, right, bottom) by at least this share."""
    left, top, right, bottom = window
    seen = []
    for thing in things:
        x0, y0, x1, y1 = thing.box
        inside = max(0, min(x1, right) - max(x0, left)) * max(0, min(y1, bottom) - max(y0, top))
        if inside >= share * (x1 - x0) * (y1 - y0):
            seen.append(thing)
    return seen
