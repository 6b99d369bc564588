"""Rating: blinded, in random order, by keys, going on where it was broken off."""

import pytest

from helpers.ground.errors import CourseError
from helpers.lesson.answers import Store
from helpers.lesson.rating import Item, Question, Rating, by_condition, counterbalanced

YES_NO = (Question("one rule", "Do 80 % of the firings follow one rule?", ("no", "yes")),)
RUBRIC = (
    Question("words", "What does it detect?"),
    Question("confidence", "How confident are you?", ("not", "a little", "rather", "fully")),
    Question("all", "Is all of it explained?", ("no", "yes")),
    Question(
        "specific",
        "How specific?",
        ("0", "1", "2", "3"),
        applies=lambda answers: not answers["all"],
    ),
)


def items(count=12):
    return [
        Item(f"neuron {i:02}", "SoLU" if i % 2 else "GELU", f"content {i}") for i in range(count)
    ]


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_the_order_is_random_fixed_for_a_folder_and_hides_how_items_came(tmp_path):
    keys = [item.key for item in Rating("r", items(), YES_NO, tmp_path).items]
    assert keys != sorted(keys)
    assert sorted(keys) == [item.key for item in items()]
    assert [item.key for item in Rating("r", reversed(items()), YES_NO, tmp_path).items] == keys
    orders = {
        tuple(i.key for i in Rating("r", items(), YES_NO, tmp_path / str(n)).items)
        for n in range(6)
    }
    assert len(orders) == 6  # another folder, another order


def test_keys_answer_and_a_wrong_one_gets_a_sentence(tmp_path):
    rating = Rating("r", items(2), YES_NO, tmp_path)
    for key, words in (
        ("2", "from 0 to 1, not 2"),
        ("x", "press a digit"),
        ("²", "press a digit"),
        ("", "press a digit"),
        ("01", "press a digit"),
    ):
        with pytest.raises(CourseError, match=words):
            rating.press(key)
    assert not rating.given
    rating.press("1")
    rating.press("0")
    assert rating.done
    assert rating.item is rating.question is None
    assert [rating.given[item.key] for item in rating.items] == [{"one rule": 1}, {"one rule": 0}]
    for action in (lambda: rating.press("1"), rating.skip, lambda: rating.give(1)):
        with pytest.raises(CourseError, match="Everything is rated"):
            action()


def test_questions_follow_one_another_and_some_only_where_they_apply(tmp_path):
    rating = Rating("rubric", items(2), RUBRIC, tmp_path)
    with pytest.raises(CourseError, match="few words"):
        rating.give("  ")
    rating.give(" Arabic script ")
    rating.press("3")
    rating.press("1")  # all explained: the fourth question is not asked
    rating.give("a mixture")
    rating.press("1")
    rating.press("0")
    assert rating.question.key == "specific"
    rating.press("2")
    answers = [record.answer for record in Store("rubric", tmp_path).records()]
    assert answers == [
        {"words": "Arabic script", "confidence": 3, "all": 1},
        {"words": "a mixture", "confidence": 1, "all": 0, "specific": 2},
    ]


def test_numbers_may_start_at_one(tmp_path):
    rating = Rating("r", items(1), [Question("stars", "?", ("bad", "good"), first=1)], tmp_path)
    with pytest.raises(CourseError, match="from 1 to 2"):
        rating.press("0")
    rating.press("2")
    assert next(iter(rating.given.values())) == {"stars": 2}


def test_back_undoes_an_answer_and_then_returns_to_the_item_before(tmp_path):
    rating = Rating("r", items(3), RUBRIC[1:3], tmp_path)
    first = rating.item
    rating.press("3")
    rating.press("b")
    assert rating.question.key == "confidence"
    assert rating.item is first
    rating.press("b")  # nothing before the first
    rating.press("2")
    rating.press("1")
    assert rating.item is not first
    rating.press("b")
    assert rating.item is first
    assert rating.answers == {}
    rating.press("0")
    rating.press("0")
    assert rating.given[first.key] == {"confidence": 0, "all": 0}
    assert rating.item is rating.items[1]  # on to the first without an answer
    last = by_condition(rating.store.records())
    assert [record.answer["confidence"] for records in last.values() for record in records] == [
        0
    ]  # the later one counts


def test_it_goes_on_where_it_was_broken_off(tmp_path):
    rating = Rating("r", items(), RUBRIC[1:3], tmp_path)
    for key in ("3", "1", "s", "2"):  # one item done, one passed over, one half done
        rating.press(key)
    again = Rating("r", items(), RUBRIC[1:3], tmp_path)
    assert len(again.given) == 2
    assert again.item.key == rating.items[2].key
    assert again.answers == {}
    while not again.done:
        again.press("1")
    assert Rating("r", items(), RUBRIC[1:3], tmp_path).done
    assert (
        sum(map(len, by_condition(again.store.records()).values())) == 11
    )  # the one passed over has no rating


def test_seconds_count_from_showing_to_the_last_answer(tmp_path):
    clock = Clock()
    rating = Rating("r", items(3), RUBRIC[1:3], tmp_path, limit=120, clock=clock)
    assert rating.seconds is None
    clock.now = 500.0  # reading the instructions is not rating
    rating.start()
    clock.now += 30
    rating.press("3")
    clock.now += 15
    rating.press("1")
    clock.now += 7
    rating.skip()
    assert [record.seconds for record in rating.store.records()] == [45.0, 7.0]


def test_what_cannot_be_a_rating(tmp_path):
    with pytest.raises(CourseError, match="same key"):
        Rating("r", [*items(2), items(1)[0]], YES_NO, tmp_path)
    with pytest.raises(CourseError, match="single digits"):
        Rating("r", items(2), [Question("q", "?", tuple("abcdefghijk"))], tmp_path)
    assert Rating("r", [], YES_NO, tmp_path).done


def test_counterbalancing_is_a_latin_square():
    keys, conditions = [f"k{i}" for i in range(9)], ("nothing", "map", "queries")
    rows = [counterbalanced(keys, conditions, f"{person:08x}") for person in range(3)]
    for row in rows:
        assert [key for key, _ in row] == keys
        assert {
            condition: [c for _, c in row].count(condition) for condition in conditions
        } == dict.fromkeys(conditions, 3)
    for place in range(9):
        assert {row[place][1] for row in rows} == set(conditions)
