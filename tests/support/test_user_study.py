"""With and without an explanation: the plan, a round, its view, and a class's files, some of them
damaged.
"""

import math
import random
import shutil
from collections import Counter

import pytest

from helpers.ground.errors import CourseError
from helpers.lesson.answers import pool
from notebooks.support.lesson06 import user_study
from notebooks.support.lesson06.figures import verdict
from notebooks.support.lesson06.user_study import (
    ACTIVITY,
    CONDITIONS,
    HELPFUL,
    REACH,
    SIMULATED,
    TRIES,
    Answerer,
    Round,
    items,
    judge,
    plan,
    round_view,
    simulated_class,
    summary,
)


def people(count):
    return [f"{number:08x}" for number in range(count)]


def play(round, answerer=None, seed=0):
    """A whole round through the state machine, as a simulated person answers."""
    rng, answerer, known = (
        random.Random(seed),
        answerer or Answerer(),
        {item.key: item for item in items()},
    )
    while step := round.step:
        if step[0] == HELPFUL:
            round.rate(rng.randint(1, 5))
            continue
        said = answerer.decide(known[step[0]], step[1], rng)
        for size in said["tried"]:
            round.query(size)
        round.answer(said["rises"])
    return round


# ---- the items and the plan ----
def test_items_are_balanced_and_their_truth_is_the_mean_change():
    assert [item.rises for item in items()].count(True) == 6
    assert len({item.key for item in items()}) == 12
    for item in items():
        mean = sum(item.change(REACH * k / 64) for k in range(1, 65)) / 64
        assert (mean > 0) == item.rises
        assert math.isclose(item.change(1e-4), 0, abs_tol=1e-2)


def test_plans_are_counterbalanced():
    plans = [plan(person) for person in people(18)]
    met = Counter(step for steps in plans for step in steps if step[0] != HELPFUL)
    assert len(met) == 36
    assert set(met.values()) == {6}
    assert Counter(steps[0][1] for steps in plans) == dict.fromkeys(
        CONDITIONS, 6
    )  # each condition comes first equally often
    rises = {item.key: item.rises for item in items()}
    for steps in plans:
        assert len(steps) == 15
        assert len({step[0] for step in steps}) == 13
        for condition in CONDITIONS:
            block = [step for step in steps if step[1] == condition]
            assert block[-1] == (HELPFUL, condition)
            assert steps.index(block[-1]) - steps.index(block[0]) == 4
            assert sum(rises[key] for key, _ in block[:-1]) == 2  # half of them rise


# ---- a round ----
def test_a_whole_round_is_stored(tmp_path):
    ticks = iter(range(1000))
    done = play(Round(tmp_path, clock=lambda: 3.0 * next(ticks)))
    records = done.store.records()
    assert [(record.item, record.condition) for record in records] == plan(done.store.person)
    assert {record.seconds for record in records} == {3.0}
    tried = {
        record.condition: len(record.answer["tried"])
        for record in records
        if record.item != HELPFUL
    }
    assert tried == {"prediction": 0, "attribution": 0, "queries": TRIES}
    assert done.step is None
    assert done.item is None
    with pytest.raises(CourseError, match="not a network to judge"):
        done.answer(True)


def test_a_round_goes_on_where_it_stopped(tmp_path):
    first = Round(tmp_path)
    for _ in range(2):
        first.answer(True)
    again = Round(tmp_path)
    assert again.step == first.step == first.plan[2]


def test_what_is_not_offered_is_refused_in_words(tmp_path):
    round = Round(tmp_path)
    with pytest.raises(CourseError, match="Answer the networks of this part first"):
        round.rate(3)
    while round.step[1] != "queries":
        with pytest.raises(CourseError, match="Nothing can be tried"):
            round.query(0.5)
        round.answer(True) if round.item else round.rate(4)
    for step in (0, 1.5, float("nan")):
        with pytest.raises(CourseError, match="more than 0 and at most 1"):
            round.query(step)
    for _ in range(TRIES):
        round.query(0.5)
    with pytest.raises(CourseError, match="which is all there are"):
        round.query(0.5)
    while round.item:
        round.answer(False)
    with pytest.raises(CourseError, match="from 1 to 5"):
        round.rate(6)


def test_the_view_shows_no_more_than_the_condition(tmp_path):
    view = round_view(Round(tmp_path))
    assert "a round with and without" in repr(view)
    assert view.answers.layout.display == "none"
    view.begin.click()
    seen = set()
    while view.round.step:
        item, condition = view.round.step
        if item == HELPFUL:
            assert (view.answers.layout.display, view.rating.layout.display) == ("none", "")
            view.ratings[3].click()
            continue
        seen.add(condition)
        text = view.result.caption_text
        assert ("attribution" in text, "tried" in text) == (
            condition == "attribution",
            condition == "queries",
        )
        assert (view.trial.layout.display == "") == (condition == "queries")
        if condition == "queries":
            for step in (0.25, 0.5, 1.0):
                view.size.value = step
                view.try_it.click()
            view.try_it.click()
            assert "which is all there are" in view.sentence
        (view.up if sum(change for _, change in view.round.tried) > 0 else view.down).click()
    assert seen == set(CONDITIONS)
    assert view.value == 15
    results = judge(pool(tmp_path, ACTIVITY))
    assert results.people == 1
    assert [row.helpful for row in results.rows] == [4, 4, 4]
    with pytest.raises(CourseError, match="at least two people"):
        summary(results)


# ---- a class ----
@pytest.fixture
def class_files(tmp_path):
    """30 people's files as they are collected in one folder: 5 damaged in various ways, 3 also
    there as copies.
    """
    gathered = tmp_path / "gathered"
    gathered.mkdir()
    for number in range(30):
        home = tmp_path / f"home{number}"
        home.mkdir()
        (home / "person.txt").write_text(f"{number + 0xABC000:08x}\n")
        round = Round(home)
        play(round, seed=number)
        shutil.copy(home / f"{ACTIVITY}-{round.store.person}.jsonl", gathered)
    files = sorted(gathered.glob("*.jsonl"))
    files[0].write_bytes(files[0].read_bytes()[:-200])  # cut off: the last answers are gone
    files[1].write_bytes(b"\x00\xff" * 500)  # not text at all
    files[2].write_text("")  # empty
    lines = files[3].read_text().splitlines()
    files[3].write_text(
        "\n".join([*lines[:4], "{broken", *lines[5:]]) + "\n"
    )  # a line in the middle
    files[4].write_text(
        files[4].read_text().replace('"rises": true', '"rises": "yes"')
    )  # readable, but no answers of ours
    for file in files[5:8]:
        shutil.copy(file, gathered / f"copy of {file.name}")
    (gathered / "notes.txt").write_text("Group 3 was late.")
    return gathered


def test_thirty_files_some_damaged_some_twice(class_files):
    pooled = pool(class_files, ACTIVITY)
    results = judge(pooled)
    assert pooled.repeated == 45
    assert results.people == 25
    assert len(results.rows) == 75
    assert not results.simulated
    said = "\n".join(results.left_out)
    for name in (
        "00abc000",
        "00abc003",
        "00abc004",
    ):  # named as people, as their rounds are incomplete
        assert f"person {name}: " in said, said
    for name in ("00abc001", "00abc002", "notes.txt"):  # and these as files
        assert any(
            name in sentence and "person" not in sentence for sentence in results.left_out
        ), said
    assert "damaged line 5 left out" in said
    assert "14 of 15 steps" in said
    assert {row.person for row in results.rows}.isdisjoint({"00abc000", "00abc003", "00abc004"})
    table = summary(results)
    assert table["queries"]["accuracy"][0] > table["attribution"]["accuracy"][0] + 0.15
    for row in table.values():
        assert all(low < high for _, low, high in (row["accuracy"], row["helpful"]))


def test_the_pooled_figure_says_whom_it_left_out(class_files, capsys):
    results = judge(pool(class_files, ACTIVITY))
    fig = verdict(results, summary(results))
    assert "25 people" in fig.caption_text
    assert "SIMULATED" not in fig.caption_text
    for sentence in results.left_out:
        assert sentence in fig.caption_text
    places = [line for line in fig.axes[0].lines if line.get_marker() in "os^"]
    assert [line.get_ydata()[0] for line in places] == [
        summary(results)[c]["accuracy"][0] for c in CONDITIONS
    ]


def test_only_the_first_answer_counts(tmp_path):
    done = play(Round(tmp_path), seed=1)
    before = judge(done.store.records()).rows
    for item, condition in done.plan[:4]:
        done.store.add(item, condition, {"rises": True, "tried": []}, 1)
        done.store.add(item, condition, {"rises": False, "tried": []}, 1)
    assert judge(done.store.records()).rows == before


# ---- the class that is not there ----
def test_simulated_people_never_mix_with_people(tmp_path):
    real, made_up = play(Round(tmp_path)).store.records(), simulated_class(4)
    assert {record.activity for record in made_up} == {SIMULATED} != {ACTIVITY}
    with pytest.raises(ValueError, match="never pooled together"):
        judge([*real, *made_up])
    results = judge(made_up)
    assert results.simulated
    assert results.people == 4


def test_the_simulated_class_follows_its_stated_model():
    """Who always follows the attribution is as right as the attribution is; who reads queries well
    is better.
    """
    right = [(item.attribution[0] > 0) == item.rises for item in items()]
    table = summary(judge(simulated_class(180, answerer=Answerer(trust=1, lapse=0))))
    assert table["attribution"]["accuracy"][0] == pytest.approx(
        sum(right) / 12, abs=1e-9
    )  # counterbalanced: every item equally often
    assert table["prediction"]["accuracy"][0] == pytest.approx(0.5, abs=0.06)
    assert table["queries"]["accuracy"][0] > 0.85
    assert (
        table["attribution"]["helpful"][0] > table["prediction"]["helpful"][0] + 1
    )  # as it was put in


def test_simulated_figure_carries_its_name():
    results = judge(simulated_class())
    fig = verdict(results, summary(results))
    assert fig.caption_text.startswith("SIMULATED")
    assert "no human answer" in fig.get_suptitle()


def test_intervals_cluster_by_person():
    """With people who are all right or all wrong the interval is about that of so few coins."""
    records = simulated_class(16)
    truth = {item.key: item.rises for item in items()}
    lucky = [
        r._replace(answer={"rises": truth[r.item] == (int(r.person, 16) % 2 == 0), "tried": []})
        if r.item != HELPFUL
        else r
        for r in records
    ]
    mean, low, high = summary(judge(lucky))["queries"]["accuracy"]
    assert mean == 0.5
    assert high - low > 0.4


def test_foreign_ids_and_odd_ratings_are_left_out():
    records = simulated_class(3)
    odd = [r._replace(person="someone") if r.person == "00000001" else r for r in records]
    odd = [r._replace(answer=9) if r.person == "00000002" and r.item == HELPFUL else r for r in odd]
    results = judge(odd)
    assert results.people == 1
    assert len(results.left_out) == 2
    assert any("someone" in sentence for sentence in results.left_out)
    assert user_study.judge([]).people == 0


def test_seconds_are_the_median_whatever_the_number_of_networks(monkeypatch):
    """Six networks: two a condition."""
    few = items(6)
    monkeypatch.setattr(user_study, "items", lambda: few)
    records = simulated_class(1)
    for row in judge(records).rows:
        own = [r.seconds for r in records if r.condition == row.condition and r.item != HELPFUL]
        assert len(own) == 2
        assert row.seconds == pytest.approx(sum(own) / 2)
