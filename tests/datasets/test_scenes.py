"""Scenes: the boxes are where the things are, and what is held out was never in training."""

import random
from functools import partial
from itertools import combinations

import numpy as np
import pytest
from PIL import Image

from data.recipes import scenes as recipe
from data.recipes.clip_emoji import draw_pairs
from helpers.datasets import scenes
from helpers.ground.errors import CourseError
from notebooks.support.lesson02 import grounds


def test_a_seed_fixes_everything_and_another_seed_changes_it():
    one, two, other = scenes.sample(20, 3), scenes.sample(20, 3), scenes.sample(20, 4)
    assert all(
        (a.image == b.image).all() and a.caption == b.caption and a.things == b.things
        for a, b in zip(one, two, strict=True)
    )
    assert any(a.caption != b.caption for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_boxes_hold_the_ink_and_nothing_is_painted_outside(count, monkeypatch):
    """On a background that no picture contains, ink and boxes agree to a pixel of soft edge."""
    key = (255, 0, 254)
    monkeypatch.setattr(
        scenes, "_background", lambda rng: Image.new("RGB", (scenes.SIZE, scenes.SIZE), key)
    )
    for scene in scenes.sample(30, count, count=count):
        painted = np.abs(scene.image.astype(int) - key).sum(-1) > 0
        inside = np.zeros_like(painted)
        for x0, y0, x1, y1 in scene.boxes:
            assert 0 <= x0 < x1 <= scenes.SIZE
            assert 0 <= y0 < y1 <= scenes.SIZE
            inside[y0:y1, x0:x1] = True
            box = painted[y0:y1, x0:x1]  # ink touches each of its four sides
            assert all(side.any() for side in (box[0], box[-1], box[:, 0], box[:, -1]))
        # the box leaves out only what is nearly transparent
        strong = np.abs(scene.image.astype(int) - key).max(-1) > 60
        assert not (strong & ~inside).any()
        assert len(scene.things) == count == len(scene.names)


def test_captions_name_every_thing_and_deny_none():
    for scene in scenes.sample(400, 0):
        for thing in scene.things:
            usual = scenes.concepts()[thing.concept].names
            assert any(name in scene.caption for name in usual), (scene.caption, scene.names)
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
            a_first = any(name in first for name in scenes.concepts()[a.concept].names)
            before, after = (a, b) if a_first else (b, a)
            assert sum(before.box[axis::2]) < sum(after.box[axis::2]), scene.caption
    assert seen > 20


def test_repeats_are_counted_in_words():
    scene = scenes.draw(random.Random(0), 2, repeats=1.0)
    assert scene.names[0] == scene.names[1]
    assert "two " in scene.caption
    ones = ["cherries", "fox", "bus", "ladybird", "baby", "monkey"]
    many = ["pairs of cherries", "foxes", "buses", "ladybirds", "babies", "monkeys"]
    assert [scenes._plural(name) for name in ones] == many


def test_held_out_pairs_never_meet_in_training_and_always_do_in_testing():
    training = [scene for count in (2, 3, 4) for scene in scenes.sample(300, count, count=count)]
    testing = [
        scene
        for count in (2, 3, 4)
        for scene in scenes.sample(100, count, count=count, held_out=True)
    ]

    def held_out(scene):
        return any(scenes.is_held_out(a, b) for a, b in combinations(scene.names, 2))

    assert not any(held_out(scene) for scene in training)
    assert all(held_out(scene) for scene in testing)
    seen, kept = ({frozenset(scene.names) for scene in part} for part in (training, testing))
    assert not seen & kept


def test_held_out_wordings_and_phrasings_are_not_in_training_but_their_facts_are():
    rng = random.Random(0)
    for i, concept in enumerate(scenes.concepts()):
        trained = {recipe.question(rng, i) for _ in range(400)}
        kept = {recipe.question(rng, i, held_out=True) for _ in range(40)}
        assert kept, concept.names
        assert not kept & trained, concept.names
        for fact in concept.facts:  # the fact itself is no secret, whatever the frame
            assert any(fact in text for text in trained), fact
        assert set(scenes.frames(concept.names[0], scenes.FRAMES, held_out=True)).isdisjoint(
            scenes.frames(concept.names[0], scenes.FRAMES, held_out=False)
        )
    captions = {s.caption for s in scenes.sample(3000, 5, count=1)}
    assert not captions & {s.caption for s in scenes.sample(500, 6, count=1, held_out=True)}


def test_the_training_pairs_of_the_model_keep_to_the_rule():
    """What the CLIP is trained on, crops included: no held-out pair and no held-out question."""
    held = {
        f.format(fact)
        for c in scenes.concepts()
        for fact in c.facts
        for f in scenes.frames(
            fact, recipe.WHO if c.kind == "person" else recipe.WHAT, held_out=True
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
    assert len(facts) == len(set(facts))
    assert 150 <= len(scenes.concepts()) <= 300
    assert sum(concept.kind == "person" for concept in scenes.concepts()) >= 40


def test_visible_counts_the_share_inside_the_window():
    thing = scenes.Thing(0, "", (10, 10, 20, 20))
    assert recipe.visible([thing], (0, 0, 96, 96)) == [thing]
    assert recipe.visible([thing], (15, 0, 96, 96)) == [thing]
    assert recipe.visible([thing], (16, 0, 96, 96)) == []


# ---- other grounds, sizes and artists
@pytest.mark.parametrize(
    "ground",
    [
        grounds.noise,
        grounds.pattern,
        partial(grounds.pattern, kinds=("rings",)),
        grounds.photograph,
        partial(grounds.photograph, names=("brick", "coins")),
    ],
)
def test_a_ground_follows_from_its_stream_and_lies_under_the_things(ground):
    one, two, other = (np.asarray(ground(random.Random(seed))) for seed in (1, 1, 2))
    assert one.shape == (scenes.SIZE, scenes.SIZE, 3)
    assert (one == two).all()
    assert (one != other).mean() > 0.5
    look = scenes.Look(lambda rng: Image.fromarray(one), sides=(0.3, 0.4))
    for scene in scenes.sample(12, 8, count=1, look=look):
        x0, y0, x1, y1 = scene.boxes[0]
        changed = (scene.image != one).any(-1)
        assert changed[y0:y1, x0:x1].mean() > 0.2
        changed[max(0, y0 - 1) : y1 + 1, max(0, x0 - 1) : x1 + 1] = False
        assert changed.mean() < 0.01


def test_white_noise_and_clouds_differ_in_how_alike_neighbours_are():
    alike = []
    for seed in range(40):
        ground = np.asarray(grounds.noise(random.Random(seed)), dtype=float)[..., 0]
        alike.append(np.corrcoef(ground[:, 1:].ravel(), ground[:, :-1].ravel())[0, 1])
    assert min(alike) < 0.1
    assert max(alike) > 0.8


@pytest.mark.parametrize("count", [0, -1, 5, 2.5])
def test_a_scene_has_one_to_four_things(count):
    with pytest.raises(CourseError, match=f"1 to 4 things, not {count}"):
        scenes.sample(1, 0, count=count)


def test_small_things_are_small():
    drawn = scenes.sample(12, 8, count=1, look=scenes.Look(sides=(0.15, 0.3)))
    sides = [np.ptp(scene.boxes[0][::2]) for scene in drawn]
    assert max(sides) <= 0.3 * scenes.SIZE + 1


def test_another_artists_folder_is_used_where_it_draws_the_concept(tmp_path):
    """A folder with one blue picture of each food: foods turn blue, all others stay Twemoji's."""
    foods = [i for i, concept in enumerate(scenes.concepts()) if concept.kind == "food"]
    blue = Image.new("RGBA", (72, 72), (0, 0, 255, 255))
    for food in foods:
        blue.save(tmp_path / f"{scenes.concepts()[food].pictures[0][0]}.png")
    assert len(scenes.drawn_by(tmp_path, foods[0])) == 1
    assert scenes.drawn_by(tmp_path, 0) == ()
    seen = set()
    for scene in scenes.sample(100, 9, count=1, look=scenes.Look(art=tmp_path)):
        x0, y0, x1, y1 = scene.boxes[0]
        middle = scene.image[(y0 + y1) // 2, (x0 + x1) // 2]
        seen.add(is_food := scene.things[0].concept in foods)
        assert (middle == (0, 0, 255)).all() == is_food
    assert seen == {True, False}


def test_arts_find_a_picture_by_any_name_that_a_package_gives_it(monkeypatch):
    """Codes with and without "emoji style" marks, names, aliases: one package knows the codes."""
    from data.recipes import arts

    (code, _), *_ = scenes.concepts()[-1].pictures
    packs = {
        ("noto", "chars.json"): {f"{code}-fe0f": "thing"},
        ("noto", "icons.json"): {"icons": {"thing": {"body": "<n/>"}}, "height": 32, "width": 32},
        ("new", "icons.json"): {
            "icons": {"other": {"body": "<o/>", "width": 20}},
            "aliases": {"thing": {"parent": "other"}},
        },
    }
    monkeypatch.setattr(arts, "SPELT", ("noto",))
    monkeypatch.setattr(arts, "read", lambda name, file: packs[name, file])
    arts.names.cache_clear()
    try:
        assert 'viewBox="0 0 32 32"><n/>' in arts.pictures("noto")[code]
        assert 'viewBox="0 0 20 16"><o/>' in arts.pictures("new")[code]
        assert len(arts.pictures("new")) == 1
    finally:
        arts.names.cache_clear()
