"""Every generated answer must follow from the story, by a simulation that knows nothing of the
generator.
"""

import pytest

from notebooks.support.lesson04 import babi as stories

WALK, TAKE, DROP = (
    {phrase.split()[0] for phrase in phrases}
    for phrases in (stories.GO, stories.TAKE, stories.DROP)
)


def simulate(words):
    """Where people and things are after the story, and each place a thing has been, in order."""
    person, holder, trail = {}, {}, {thing: [] for thing in stories.THINGS}
    for line in " ".join(words).split(" . "):
        who, verb, *_, last = line.split()
        if last in stories.PLACES:
            assert verb in WALK
            person[who] = last
        elif verb in TAKE:
            holder[last] = who
        else:
            assert verb in DROP
            assert holder.pop(last) == who
        for thing, owner in holder.items():
            if owner in person and trail[thing][-1:] != [person[owner]]:
                trail[thing].append(person[owner])
    return person, trail


@pytest.mark.parametrize("task", [1, 2, 3])
def test_answers_follow_from_the_story(task):
    for story in stories.generate(task, 600, seed=3):
        person, trail = simulate(story.words)
        if task == 1:
            assert person[story.question[-1]] == story.answer
        elif task == 2:
            assert trail[story.question[-1]][-1] == story.answer
        else:
            thing, before = story.question[3], story.question[-1]
            assert trail[thing][-2:] == [story.answer, before]
        lines = " ".join(story.words).split(" . ")
        assert any(story.answer in lines[i] for i in story.support)


def test_same_seed_same_stories_and_the_slide():
    assert (
        stories.generate(2, 50, seed=1)
        == stories.generate(2, 50, seed=1)
        != stories.generate(2, 50, seed=2)
    )
    assert stories.slide_story().answer == "garden"
    with pytest.raises(ValueError, match="1, 2 and 3"):
        stories.generate(4)
