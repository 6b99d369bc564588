"""With and without an explanation: the networks, the plan, a round, and a class's files."""

import random
import shutil
from collections import Counter

import pytest

from helpers.ground.errors import CourseError
from helpers.lesson.answers import pool
from helpers.lesson.widgets import rating_view
from notebooks.support.lesson06 import figures
from notebooks.support.lesson06.user_study import (
    ACTIVITY,
    CONDITIONS,
    INTRO,
    ROUGHNESS,
    SIMULATED,
    TRIES,
    Answerer,
    judge,
    networks,
    new_round,
    plan,
    simulated_class,
    summary,
)


def play(rating, seed=0):
    """A whole round, answered as a simulated person answers."""
    rng = random.Random(seed)
    while rating.item:
        one, condition = rating.item.content
        rating.give(int(Answerer().decide(one, condition, rng)))
        rating.give(rng.randint(1, 5))
    return rating


def test_the_networks_are_balanced_in_kind_and_truth():
    kinds = Counter((one.kind, one.rises) for one in networks())
    assert kinds == dict.fromkeys(
        [(kind, rises) for kind in ROUGHNESS for rises in (True, False)], 3
    )
    assert len({one.key for one in networks()}) == 12
    assert all(len(one.tries) == TRIES for one in networks())


def test_plans_are_counterbalanced():
    plans = [plan(f"{number:08x}") for number in range(18)]
    met = Counter(pair for one in plans for pair in one.items())
    assert len(met) == 36
    assert set(met.values()) == {6}
    known = {one.key: one for one in networks()}
    for given in plans:
        cells = Counter((c, known[key].kind, known[key].rises) for key, c in given.items())
        assert len(cells) == 12  # every condition meets each kind and truth once
        assert set(cells.values()) == {1}


def test_a_round_is_stored_and_goes_on_where_it_stopped(tmp_path):
    first = new_round(tmp_path)
    for _ in range(2):
        first.give(1)
        first.give(3)
    again = play(new_round(tmp_path))
    assert [record.answer for record in again.store.records()[:2]] == [
        {"rises": 1, "helpful": 3}
    ] * 2
    results = judge(pool(tmp_path, ACTIVITY))
    assert (results.people, len(results.rows)) == (1, 12)
    with pytest.raises(CourseError, match="at least two people"):
        summary(results)


def test_the_view_shows_no_more_than_the_condition(tmp_path):
    view = rating_view(new_round(tmp_path), figures.question, INTRO)
    view.begin.click()
    seen = set()
    while view.rating.item:
        condition = view.rating.item.content[1]
        seen.add(condition)
        said = view.result.caption_text
        shows = {"attribution": "attribution", "tried": "queries"}
        assert {word for word in shows if word in said} == {
            word for word, kind in shows.items() if kind == condition
        }
        view.choices[1].click()
        view.choices[3].click()
    assert seen == set(CONDITIONS)
    assert all(answer == {"rises": 1, "helpful": 4} for answer in view.value.values())


@pytest.fixture
def class_files(tmp_path):
    """Twelve people's files collected in one folder: four of them damaged, two there twice."""
    gathered = tmp_path / "gathered"
    gathered.mkdir()
    for number in range(12):
        home = tmp_path / f"home{number}"
        home.mkdir()
        (home / "person.txt").write_text(f"{number + 0xABC000:08x}\n")
        rating = play(new_round(home), seed=number)
        shutil.copy(home / f"{ACTIVITY}-{rating.store.person}.jsonl", gathered)
    files = sorted(gathered.glob("*.jsonl"))
    files[0].write_bytes(files[0].read_bytes()[:-200])  # cut off: the last answer is gone
    files[1].write_bytes(b"\x00\xff" * 500)  # not text at all
    lines = files[2].read_text().splitlines()
    files[2].write_text("\n".join([*lines[:4], "{broken", *lines[5:]]) + "\n")
    files[3].write_text(
        files[3].read_text().replace('"rises": ', '"rises": 7')
    )  # no answers of ours
    for file in files[4:6]:
        shutil.copy(file, gathered / f"copy of {file.name}")
    return gathered


def test_files_some_damaged_some_twice(class_files):
    results = judge(pool(class_files, ACTIVITY))
    assert (results.people, len(results.rows), results.simulated) == (8, 96, False)
    said = "\n".join(results.left_out)
    for text in ("person 00abc000: 11 of 12", "00abc001", "person 00abc002: 11 of 12", "00abc003"):
        assert text in said, said
    caption = figures.verdict(results, summary(results)).caption_text
    assert "8 people" in caption
    assert "SIMULATED" not in caption
    assert all(sentence in caption for sentence in results.left_out)


def test_a_later_answer_replaces_an_earlier_one(tmp_path):
    rating = play(new_round(tmp_path))
    last = rating.items[-1].key
    rating.back()
    truth = next(one.rises for one in networks() if one.key == last)
    for right in (False, True):
        rating.store.add(
            last, rating.items[-1].condition, {"rises": int(truth == right), "helpful": 2}
        )
    rows = judge(rating.store.records()).rows
    assert len(rows) == 12
    assert sum(row.helpful == 2 and row.right for row in rows) >= 1


def test_simulated_people_never_mix_with_people(tmp_path):
    real, made_up = play(new_round(tmp_path)).store.records(), simulated_class(4)
    assert {record.activity for record in made_up} == {SIMULATED} != {ACTIVITY}
    with pytest.raises(ValueError, match="never pooled together"):
        judge([*real, *made_up])
    results = judge(made_up)
    assert (results.simulated, results.people) == (True, 4)


def test_the_simulated_class_follows_its_stated_model():
    """Who always follows the attribution is as right as the attribution is, kind by kind."""
    table = summary(judge(simulated_class(180, answerer=Answerer(trust=1, lapse=0))))
    for kind in ROUGHNESS:
        fits = [(o.attribution[0] > 0) == o.rises for o in networks() if o.kind == kind]
        assert table["attribution"][kind][0] == pytest.approx(sum(fits) / 6, abs=1e-9)
        assert table["prediction"][kind][0] == pytest.approx(0.5, abs=0.08)


def test_foreign_answers_are_left_out():
    records = simulated_class(3)
    odd = [
        r._replace(answer={"rises": 1, "helpful": 9}) if r.person == "00000001" else r
        for r in records
    ]
    results = judge(odd)
    assert results.people == 2
    assert any("00000001" in sentence for sentence in results.left_out)
    assert judge([]).people == 0
