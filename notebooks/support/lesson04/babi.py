"""bAbI task 1: people walk between places; where is one of them?

The released bAbI files cannot be shipped, but their grammar is public (Weston et al. 2015, "Towards
AI-complete question answering"), so the course writes its own stories from it. D1-12 asks one of
them: "Where is Sandra?"
"""

import random
from typing import NamedTuple

from helpers.attention.data import Data, Size
from helpers.attention.model import Vocabulary

PEOPLE = ("John", "Mary", "Sandra", "Daniel")
PLACES = ("bedroom", "kitchen", "garden", "hallway", "bathroom", "office")
GO = ("went to the", "journeyed to the", "travelled to the", "moved to the")
# chosen on dev (seeds 11, 12): word vectors begun at N(0, .1²) needed half as many epochs again
SIZE = Size(100, 1, embed=64, hidden=64, epochs=12, batch=50, rate=2e-3)
MODEL = {"outputs": len(PLACES), "question": True, "embedding_std": 1.0}


class Story(NamedTuple):
    words: list[str]  # the statements, joined by " . "
    question: list[str]  # without its question mark
    answer: str  # one of PLACES

    def encode(self, vocabulary: Vocabulary) -> tuple:
        """(word ids, number of the place, question ids): an example as the models read it."""
        read = vocabulary.encode
        return read(self.words), PLACES.index(self.answer), read(self.question)


def generate(n: int = 1000, *, seed: int = 0) -> list[Story]:
    """`n` questions, one after every second of ten statements, each with the story up to it.

    Two people may end in the same place, as on D1-12. After the README of the bAbI task generator.
    """
    rng, stories = random.Random(f"stories-1-{seed}"), []
    while len(stories) < n:
        where, lines = {}, []  # where: name -> place
        for line in range(10):
            who, place = rng.choice(PEOPLE), rng.choice(PLACES)
            while where.get(who) == place:  # nobody walks to where they are
                who, place = rng.choice(PEOPLE), rng.choice(PLACES)
            where[who] = place
            lines.append(f"{who} {rng.choice(GO)} {place}")
            if line % 2:
                who = rng.choice(sorted(where))
                words = " . ".join(lines).split()
                stories.append(Story(words, ["Where", "is", who], where[who]))
    return stories[:n]


def data() -> Data:
    """2,700 stories to train on, 300 for dev, and 200 new ones for the test, of all lengths."""
    told, fresh = generate(3000, seed=0), generate(1000, seed=1)
    asked = [story for i, story in enumerate(fresh) if i % 5 == i // 5 % 5]  # one a story
    vocabulary = Vocabulary([*(s.words for s in told), *(s.question for s in told)])
    parts = told[:2700], told[2700:], asked
    return Data(vocabulary, *([story.encode(vocabulary) for story in part] for part in parts))


def story(text: str) -> Story:
    """A typed story with the slide's question, "Where is Sandra?"."""
    return Story(text.split(), ["Where", "is", "Sandra"], PLACES[0])
