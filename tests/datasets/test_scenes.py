"""Scenes: the boxes are where the things are, and what is held out was never in training."""

import random
from itertools import combinations

import numpy as np
import pytest

from helpers.datasets import scenes


def names(scene):
    return scene.names


def test_a_seed_fixes_everything_and_another_seed_changes_it():
    one, two, other = scenes.sample(20, 3), scenes.sample(20, 3), scenes.sample(20, 4)
    assert all(
        (a.image == b.image).all() and a.caption == b.caption and a.things == b.things
        for a, b in zip(one, two, strict=True)
    )
    assert any(a.caption != b.caption for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_boxes_hold_the_ink_and_nothing_is_painted_outside(count, monkeypatch):
    """On a background that no picture contains, what is painted and what the boxes say must agree to a pixel of soft edge."""
    from PIL import Image

    key = (255, 0, 254)
    monkeypatch.setattr(
        scenes, "_background", lambda rng: Image.new("RGB", (scenes.SIZE, scenes.SIZE), key)
    )
    for scene in scenes.sample(30, count, count=count):
        painted = np.abs(scene.image.astype(int) - key).sum(-1) > 0
        inside = np.zeros_like(painted)
        for x0, y0, x1, y1 in scene.boxes:
            assert 0 <= x0 < x1 <= scenes.SIZE and 0 <= y0 < y1 <= scenes.SIZE
            inside[y0:y1, x0:x1] = True
            box = painted[y0:y1, x0:x1]  # ink touches each of its four sides
            assert box[0].any() and box[-1].any() and box[:, 0].any() and box[:, -1].any()
        strong = (
            np.abs(scene.image.astype(int) - key).max(-1) > 60
        )  # the box leaves out only what is nearly transparent
        assert not (strong & ~inside).any()
        assert len(scene.things) == count == len(scene.names)


def test_captions_name_every_thing_and_deny_none():
    for scene in scenes.sample(400, 0):
        for thing in scene.things:
            assert any(name in scene.caption for name in scenes.concepts()[thing.concept].names), (
                scene.caption,
                scene.names,
            )
        words = scene.caption.lower().split()
        assert not {"no", "not", "without", "nothing", "nobody"} & set(words)


def test_positions_in_captions_are_true():
    seen = 0
    for scene in scenes.sample(600, 1, count=2):
        a, b = scene.things
        for words, axis in ((" left of ", 0), (" above ", 1)):
            first, found, second = scene.caption.partition(words)
            if not found or " the right " in scene.caption or "to the" in first:
                continue
            seen += 1
            before, after = (
                (a, b) if any(n in first for n in scenes.concepts()[a.concept].names) else (b, a)
            )
            assert sum(before.box[axis::2]) < sum(after.box[axis::2]), scene.caption
    assert seen > 20


def test_repeats_are_counted_in_words():
    scene = scenes.draw(random.Random(0), 2, repeats=1.0)
    assert scene.names[0] == scene.names[1] and "two " in scene.caption
    assert (
        scenes._plural("cherries") == "pairs of cherries"
        and scenes._plural("fox") == "foxes"
        and scenes._plural("bus") == "buses"
    )
    assert (
        scenes._plural("ladybird") == "ladybirds"
        and scenes._plural("baby") == "babies"
        and scenes._plural("monkey") == "monkeys"
    )


def test_held_out_pairs_never_meet_in_training_and_always_do_in_testing():
    training = [scene for count in (2, 3, 4) for scene in scenes.sample(300, count, count=count)]
    testing = [
        scene
        for count in (2, 3, 4)
        for scene in scenes.sample(100, count, count=count, held_out=True)
    ]
    assert not any(
        scenes.is_held_out(a, b) for scene in training for a, b in combinations(scene.names, 2)
    )
    assert all(
        any(scenes.is_held_out(a, b) for a, b in combinations(scene.names, 2)) for scene in testing
    )
    assert not {frozenset(scene.names) for scene in training} & {
        frozenset(scene.names) for scene in testing
    }


def test_held_out_wordings_and_phrasings_are_not_in_training_but_their_facts_are():
    rng = random.Random(0)
    for i, concept in enumerate(scenes.concepts()):
        trained = {scenes.question(rng, i) for _ in range(400)}
        kept = {scenes.question(rng, i, held_out=True) for _ in range(40)}
        assert kept and not kept & trained, concept.names
        for fact in concept.facts:  # the fact itself is no secret, whatever the frame
            assert any(fact in text for text in trained), fact
        assert set(scenes.frames(concept.names[0], scenes.FRAMES, held_out=True)).isdisjoint(
            scenes.frames(concept.names[0], scenes.FRAMES, held_out=False)
        )
    captions = {s.caption for s in scenes.sample(3000, 5, count=1)}
    assert not captions & {s.caption for s in scenes.sample(500, 6, count=1, held_out=True)}


def test_the_training_pairs_of_the_model_keep_to_the_rule():
    """The stream that the CLIP is trained on, crops included: no held-out pair of concepts, no held-out question."""
    from helpers.clip.model import draw_pairs

    held = {
        f.format(fact)
        for c in scenes.concepts()
        for fact in c.facts
        for f in scenes.frames(
            fact, scenes.WHO if c.kind == "person" else scenes.WHAT, held_out=True
        )
    }
    rng, several = random.Random(0), 0
    for _ in range(400):
        for pair in draw_pairs(rng, 0.35):
            called = {scenes.concepts()[concept].names[0] for concept, _ in pair.content}
            several += len(called) > 1
            assert not any(scenes.is_held_out(a, b) for a, b in combinations(called, 2))
            assert pair.text not in held
    assert several > 100


def test_facts_belong_to_one_concept_each():
    facts = [fact for concept in scenes.concepts() for fact in concept.facts]
    assert len(facts) == len(set(facts)) and 150 <= len(scenes.concepts()) <= 300
    assert sum(concept.kind == "person" for concept in scenes.concepts()) >= 40


def test_visible_counts_the_share_inside_the_window():
    thing = scenes.Thing(0, "", (10, 10, 20, 20))
    assert scenes.visible([thing], (0, 0, 96, 96)) == [thing]
    assert scenes.visible([thing], (15, 0, 96, 96)) == [thing]
    assert scenes.visible([thing], (16, 0, 96, 96)) == []


def test_index_finds_any_name_and_says_what_to_do():
    assert scenes.concepts()[scenes.index("Chef")].names[0] == "cook"
    with pytest.raises(ValueError, match="scenes.concepts"):
        scenes.index("platypus")
