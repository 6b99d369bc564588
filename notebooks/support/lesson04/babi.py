"""bAbI tasks 1-3: people walk, carry and drop things; where is somebody or something?

The released bAbI files cannot be shipped, but their grammar is public (Weston et al. 2015, "Towards
AI-complete question answering"), so the course writes its own stories from it. D1-12 asks one of
them: "Where is Sandra?"
"""

import random
from typing import NamedTuple

PEOPLE = ("John", "Mary", "Sandra", "Daniel")
PLACES = ("bedroom", "kitchen", "garden", "hallway", "bathroom", "office")
THINGS = ("football", "apple", "milk")
GO = ("went to the", "journeyed to the", "travelled to the", "moved to the")
TAKE = ("got the", "took the", "grabbed the", "picked up the")
DROP = ("dropped the", "discarded the", "put down the", "left the")


class Story(NamedTuple):
    words: list[str]  # the statements, joined by " . "
    question: list[str]  # without its question mark
    answer: str  # one of PLACES
    support: list[int]  # numbers of the statements the answer follows from


class _World:
    """Where everybody and everything is, and which statement put it there."""

    def __init__(self, rng: random.Random):
        self.rng, self.lines = rng, []
        self.person = {}  # name -> (place, line)
        self.holder = {}  # thing -> (person, line)
        self.trail = {thing: [] for thing in THINGS}  # thing -> [(place, lines that show it), ...]

    def _note(self, thing: str, lines: list[int]) -> None:
        who, _ = self.holder[thing]
        if who in self.person:
            place, _ = self.person[who]
            if not self.trail[thing] or self.trail[thing][-1][0] != place:
                self.trail[thing].append((place, lines))

    def go(self) -> None:
        who, place = self.rng.choice(PEOPLE), self.rng.choice(PLACES)
        if self.person.get(who, ("", 0))[0] == place:  # nobody walks to where they are
            self.go()
            return
        self.person[who] = (place, len(self.lines))
        self.lines.append(f"{who} {self.rng.choice(GO)} {place}")
        for thing, (holder, taken) in self.holder.items():
            if holder == who:
                self._note(thing, [taken, len(self.lines) - 1])

    def handle(self) -> None:
        """Somebody who is somewhere takes a free thing, or drops one they hold."""
        held = [(thing, who) for thing, (who, _) in self.holder.items() if who]
        free = [thing for thing in THINGS if not self.holder.get(thing, ("", 0))[0]]
        if held and (not free or self.rng.random() < 0.4):
            self._drop(*self.rng.choice(held))
        elif not self.person or not free or not self._take(self.rng.choice(free)):
            self.go()

    def _drop(self, thing: str, who: str) -> None:
        self.lines.append(f"{who} {self.rng.choice(DROP)} {thing}")
        self.holder[thing] = ("", len(self.lines) - 1)

    def _take(self, thing: str) -> bool:
        """Whether somebody is where the thing lies (anywhere, the first time), and takes it."""
        here = self.trail[thing][-1][0] if self.trail[thing] else None
        placed = [who for who in PEOPLE if who in self.person]
        able = [who for who in placed if here is None or self.person[who][0] == here]
        if able:
            who = self.rng.choice(able)
            self.lines.append(f"{who} {self.rng.choice(TAKE)} {thing}")
            self.holder[thing] = (who, len(self.lines) - 1)
            self._note(thing, [len(self.lines) - 1, self.person[who][1]])
        return bool(able)


def _ask(world: _World, task: int, rng: random.Random) -> tuple | None:
    """(question, answer, support) for the world as it stands; None where nothing can be asked."""
    if task == 1:
        who = rng.choice(sorted(world.person))
        place, line = world.person[who]
        return f"Where is {who}", place, [line]
    known = [thing for thing in THINGS if len(world.trail[thing]) >= task - 1]
    if not known:
        return None
    thing = rng.choice(known)
    place, lines = world.trail[thing][-1]
    if task == 2:
        return f"Where is the {thing}", place, sorted(lines)
    before, earlier = world.trail[thing][-2]
    return f"Where was the {thing} before the {place}", before, sorted({*earlier, *lines})


def generate(task: int = 1, n: int = 1000, *, seed: int = 0) -> list[Story]:
    """`n` questions of bAbI task 1 (one supporting fact), 2 or 3, each with the story up to it.

    Task 1 asks after every second of ten statements; tasks 2 and 3 ask about things people carry.
    Two people may end in the same place, as on D1-12. After the README of the bAbI task generator.
    """
    if task not in (1, 2, 3):
        raise ValueError(f"There are story tasks 1, 2 and 3, and this asked for {task!r}.")
    rng, stories = random.Random(f"stories-{task}-{seed}"), []
    while len(stories) < n:
        world = _World(rng)
        for _ in range(5):
            for _ in range(2 if task == 1 else rng.randint(2, 4)):
                if task == 1 or rng.random() < 0.5:
                    world.go()
                else:
                    world.handle()
            asked = _ask(world, task, rng)
            if asked:
                question, answer, support = asked
                words = " . ".join(world.lines).split()
                stories.append(Story(words, question.split(), answer, support))
    return stories[:n]


def slide_story() -> Story:
    """The story and question of D1-12, Figure 4."""
    text = "John travelled to the garden . Sandra travelled to the garden"
    return Story(text.split(), ["Where", "is", "Sandra"], "garden", [1])
