"""The generated notes: what they promise to the lessons, and that counting words does not solve
them.
"""

import hashlib

import pytest
import torch
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from helpers.datasets import clinical_notes
from helpers.ground.errors import CourseError

NOTES = clinical_notes.load(3000)


def test_the_same_arguments_write_the_same_notes():
    assert clinical_notes.load(50) == NOTES[:50]
    assert clinical_notes.load(50, seed=1) != NOTES[:50]
    assert clinical_notes.load(1)[0].text.startswith(FIRST)


FIRST = "woman in the 80s ."  # the stream is Python's own and the same on every platform


def test_length_rate_and_balance():
    assert all(
        30 <= len(note.words) <= 60
        for mentions in [(0, 0), (1, 2), (2, 5)]
        for note in clinical_notes.load(500, mentions=mentions)
    )
    mentions = [mention for note in NOTES for mention in note.mentions]
    assert 0.52 < sum(not mention.affirmed for mention in mentions) / len(mentions) < 0.58
    assert 0.5 < sum(note.label for note in NOTES) / len(NOTES) < 0.65
    assert (
        len(
            {note.words for note in NOTES}
            & {note.words for note in clinical_notes.load(1000, seed=1)}
        )
        == 0
    )


def test_a_mention_is_where_it_says_and_its_cue_stands_before_it():
    for note in NOTES[:500]:
        for mention in note.mentions:
            assert (
                note.words[mention.position]
                == mention.word
                in clinical_notes.FINDINGS[mention.finding]
            )
            before = note.words[mention.position - 2 : mention.position]
            cue = (
                before[1]
                if before[1] in (*clinical_notes.NEGATIONS, *clinical_notes.AFFIRMATIONS)
                else before[0]
            )
            assert cue in (
                clinical_notes.AFFIRMATIONS if mention.affirmed else clinical_notes.NEGATIONS
            )
            assert note.has(mention.finding) == mention.affirmed
        words = {word for pair in clinical_notes.FINDINGS.values() for word in pair}
        assert sum(word in words for word in note.words) == len(note.mentions)
        assert note.label == any(mention.affirmed for mention in note.mentions)


def test_counting_words_is_not_enough_and_pairs_of_words_are():
    """Accuracy on 1,000 notes of another seed, five seeds: words .75 to .82, words in threes above
    .97 (measured here).
    """
    test = clinical_notes.load(1000, seed=1)

    def accuracy(longest: int) -> float:
        count = CountVectorizer(ngram_range=(1, longest), token_pattern=r"\S+")
        model = LogisticRegression(max_iter=300, C=10).fit(
            count.fit_transform(n.text for n in NOTES), [n.label for n in NOTES]
        )
        return model.score(count.transform(n.text for n in test), [n.label for n in test])

    assert accuracy(1) < 0.87
    assert accuracy(3) > 0.95


def test_every_word_has_a_number():
    assert clinical_notes.vocabulary()[0] == clinical_notes.PADDING
    used = {word for note in NOTES for word in note.words}
    assert used == set(clinical_notes.vocabulary()[1:])
    rows = clinical_notes.encode(NOTES[:3])
    assert rows.shape == (3, 60)
    assert rows.dtype == torch.long
    back = [clinical_notes.vocabulary()[number] for number in rows[1] if number]
    assert tuple(back) == NOTES[1].words
    assert torch.equal(clinical_notes.encode([NOTES[0].text]), rows[:1])
    assert torch.equal(
        clinical_notes.encode(["Has fever."])[0, :3], clinical_notes.encode(["has fever ."])[0, :3]
    )


def test_longer_notes_and_filler_of_ones_own():
    talk = clinical_notes.talk()
    banned = {word for pair in clinical_notes.FINDINGS.values() for word in pair}
    assert len(talk) > 5000
    assert not any(banned & set(sentence.split()) for sentence in talk)
    notes = clinical_notes.load(50, history=(0, 0), words=(120, 200), fillers=talk)
    assert all(100 <= len(note.words) <= 270 for note in notes)
    assert len({word for note in notes for word in note.words}) > 1000
    for note in notes:
        assert [note.words[m.position] for m in note.mentions] == [m.word for m in note.mentions]


def test_the_usual_notes_are_what_they_were():
    """Lesson 00's network and its claims rest on these very notes."""
    digest = lambda notes: hashlib.sha256(
        "\n".join(note.text for note in notes).encode()
    ).hexdigest()[:16]
    assert digest(clinical_notes.load(300)) == "d23242ba202eb402"
    assert digest(clinical_notes.load(300, mentions=(2, 5), history=(0, 2))) == "2867aee6fbdde793"


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: clinical_notes.load(3, mentions=(3, 2)), "fewest"),
        (lambda: clinical_notes.load(3, mentions=(2, 6)), "0 .. 5"),
        (lambda: clinical_notes.load(3, history=(0, 4)), "0 .. 3"),
        (lambda: NOTES[0].has("gout"), "choose one of fever"),
        (lambda: clinical_notes.load(3, words=(120, 200)), "more filler"),
        (lambda: clinical_notes.encode(["has gout ."]), "'gout'"),
        (lambda: clinical_notes.encode(["has fever . " * 30]), "shorten it"),
    ],
)
def test_errors_say_what_to_do(call, says):
    with pytest.raises(CourseError, match=says):
        call()
