import hashlib

import pytest

from helpers.datasets import reviews
from helpers.ground.errors import CourseError


@pytest.mark.parametrize(
    ("source", "sizes"), [("imdb", (19922, 2490, 2490)), ("rotten", (6824, 852, 854))]
)
def test_sizes_balance_and_no_leak(source, sizes):
    parts = reviews.load(source)
    assert tuple(len(part.texts) for part in parts) == sizes
    for part in parts:
        assert len(part.texts) == len(part.labels)
        assert abs(sum(part.labels) / len(part.labels) - 0.5) < 0.01
    seen = [{text.lower() for text in part.texts} for part in parts]
    assert not (seen[0] & seen[1])
    assert not (seen[0] & seen[2])
    assert not (seen[1] & seen[2])
    assert sum(map(len, seen)) == sum(sizes), "a text stands twice in one part"


@pytest.mark.parametrize(
    ("source", "expected"), [("imdb", "db2fd1a0fe4df7ba"), ("rotten", "0aefce2bfcd3f38e")]
)
def test_the_division_is_the_same_everywhere(source, expected):
    test = reviews.load(source).test
    assert hashlib.sha256("\n".join(test.texts).encode()).hexdigest()[:16] == expected


def test_clean_drops_markup_and_keeps_faces():
    assert (
        reviews.clean("Good.<br /><br />Very  good &amp; short <i>too</i> >.<\n")
        == "Good. Very good & short too >.<"
    )
    assert not any("<br" in text for part in reviews.load("imdb") for text in part.texts)


@pytest.mark.parametrize("text", [None, b"good", ["good"]])
def test_what_is_no_text_is_named(text):
    with pytest.raises(CourseError, match=f"not a {type(text).__name__}"):
        reviews.plain_text(text)


def test_unknown_source_speaks_to_the_learner():
    with pytest.raises(CourseError, match="imdb, rotten"):
        reviews.load("sst")
