"""Rules that learners write: what they match, what a broken or endless one says, their scores."""

import json
import time

import pytest
import torch

from helpers.datasets import corpus
from helpers.datasets.excerpts import MOST_WORDS, Excerpt, Excerpts, excerpt, firings
from helpers.ground.errors import CourseError
from helpers.lesson import answers as store_module
from helpers.lesson.answers import pool
from notebooks.support.lesson08.neuron_puzzle import Puzzle, RuleRound, judge_sample
from notebooks.support.lesson08.puzzle_widget import coloured, rule_view
from notebooks.support.lesson08.rules import (
    Score,
    fires,
    levels,
    marked,
    score,
    words_of,
    words_of_tokens,
)

WORDS = words_of(["The king was singing; Sing, sing!", "A sing-along\n  in 1984 (x_1)"])


@pytest.fixture(autouse=True)
def no_memory_of_other_tests():
    store_module._answer_file.cache_clear()


def hit(kind, rule, words=WORDS):
    return [
        word for word, said in zip(words.strings, fires(kind, rule, words), strict=False) if said
    ]


def test_words_are_letters_and_digits_signs_or_a_line_break():
    assert WORDS.strings == [
        "The",
        "king",
        "was",
        "singing",
        ";",
        "Sing",
        ",",
        "sing",
        "!",
        "A",
        "sing",
        "-",
        "along",
        "\n  ",
        "in",
        "1984",
        "(",
        "x",
        "_",
        "1",
        ")",
    ]


@pytest.mark.parametrize(
    ("kind", "rule", "said"),
    [
        ("words", "sing, was", ["was", "Sing", "sing", "sing"]),
        ("words", "Sing", ["Sing"]),  # a capital in the rule counts
        ("prefix", "sin", ["singing", "Sing", "sing", "sing"]),
        ("suffix", "ing", ["king", "singing", "Sing", "sing", "sing"]),
        ("suffix", "4  a", ["A", "1984"]),
        ("regular expression", r"(?<=-)\w+", ["along"]),
        ("regular expression", r"g-a", ["sing", "-", "along"]),  # every word that is touched
        ("regular expression", r"\d+", ["1984", "1"]),
        ("regular expression", r"\bS", ["Sing"]),
        ("regular expression", "x*", ["x"]),  # empty matches touch nothing
        ("regular expression", "nowhere", []),
    ],
)
def test_what_a_rule_matches(kind, rule, said):
    assert hit(kind, rule) == said


def test_a_regular_expression_agrees_with_a_slow_way():
    import re

    rows = corpus.stream("heldout").contexts()[0][::900]
    words = words_of_tokens(rows)
    for pattern in (r"\w+ing\b", r"[0-9]+", r"\(.*?\)", r", \w"):
        slow = [
            any(
                m.start() < end and m.end() > start
                for m in re.finditer(pattern, words.texts[text], re.I)
            )
            for text, start, end in words.spans
        ]
        assert fires("regular expression", pattern, words).tolist() == slow


@pytest.mark.parametrize(
    ("kind", "rule", "sentence"),
    [
        ("suffix", "  ", "The rule is empty"),
        ("regular expression", "(", "This is no regular expression (missing )"),
        ("regular expression", "a{2,1}", "This is no regular expression"),
        ("regular expression", "a" * 201, "201 characters, and 200 is the most"),
        ("regular expression", "a{99999999999999999999}", "This is no regular expression"),
        ("free text", "a verb", "cannot be scored by a program"),
    ],
)
def test_a_rule_that_cannot_be_used_gets_one_sentence(kind, rule, sentence):
    with pytest.raises(CourseError) as caught:
        fires(kind, rule, WORDS)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_expression_that_never_ends_is_stopped():
    start = time.process_time()
    with pytest.raises(CourseError, match="still searching after 1 seconds and was stopped"):
        fires("regular expression", r"(a|aa)+$", words_of(["a" * 60 + "b"]), seconds=1)
    assert time.process_time() - start < 20


def test_tokens_find_their_words_in_every_script():
    assert (
        b"".join(
            corpus.token_bytes()[t] for t in corpus.encode("naïve قلب 日本", start=False)
        ).decode()
        == "naïve قلب 日本"
    )
    rows, domains = corpus.stream("heldout").contexts()
    japanese = (domains == corpus.DOMAINS.index("japanese")).all(dim=1).nonzero().flatten()[:3]
    rows = torch.cat([rows[:10], rows[japanese]])
    words = words_of_tokens(rows)
    assert len(words.word_of) == rows.numel()
    assert (words.word_of >= 0).float().mean() > 0.95
    without = set(range(len(words.spans))) - set(words.word_of.tolist())
    assert len(without) < 0.03 * len(words.spans)
    assert {words.strings[n] for n in without} <= {"'"}, "only the ' of 's shares a token"
    strings, token = words.strings, corpus.token_strings()
    for place, word in enumerate(words.word_of[:128].tolist()):
        if word >= 0 and token[rows[0, place]].strip().isalnum():
            assert token[rows[0, place]].strip() in strings[word]


def test_a_word_fires_as_its_strongest_token():
    words = words_of(["ab c"])._replace(word_of=torch.tensor([0, 0, -1, 1]))
    assert words.strongest(torch.tensor([1.0, 3.0, 9.0, -2.0])).tolist() == [3.0, -2.0]


def test_score_by_hand():
    acts = torch.tensor([4.0, 3.0, 2.0, 1.0, 0.0, -1.0, 0.5])
    assert levels(acts).tolist() == [4, 3, 2, 1, 0, 0, 1]
    s = score(torch.tensor([1, 0, 1, 0, 1, 0, 0], dtype=torch.bool), acts)
    assert s == Score((2, 2, 1, 1, 1), (1, 0, 1, 0, 1))
    assert (s.recall, s.precision, s.precision_any, s.f1) == pytest.approx(
        (1 / 2, 1 / 3, 2 / 3, 0.4)
    )
    assert s.covered == pytest.approx((0.5, 0, 1, 0, 1))
    nothing = score(torch.zeros(7, dtype=torch.bool), acts)
    assert (nothing.recall, nothing.precision, nothing.f1) == (0, 0, 0)
    assert levels(torch.zeros(3)).tolist() == [0, 0, 0]


SENTENCES = [
    "I love {A:running}, and {?:some} {B:sencha} tea.",
    "The king is {A:eating} {B:sensible} things.",
]


def puzzles():
    words, colours = marked(SENTENCES)
    assert words.texts[0] == "I love running, and some sencha tea."
    return [
        Puzzle(f"group {c}", f"group {c}", coloured(SENTENCES), words, acts, f"The key of {c}.")
        for c, acts in colours.items()
    ]


def test_marked_and_coloured():
    words, colours = marked(SENTENCES)
    assert {
        c: [w for w, a in zip(words.strings, acts, strict=False) if a]
        for c, acts in colours.items()
    } == {
        "A": ["running", "eating"],
        "B": ["sencha", "sensible"],
    }
    card = coloured(["<b> {A:running} {?:some}"])
    assert "&lt;b&gt;" in card._repr_html_()
    assert "<sup>A</sup>" in card._repr_html_()
    assert repr(card) == "<b> running[A] some[?]"


def test_the_board_ranks_and_keeps_everybodys_rules(tmp_path):
    mine = RuleRound(puzzles(), tmp_path)
    assert mine.submit("group A", "suffix", "ing").f1 == pytest.approx(4 / 5)
    mine.submit("group A", "words", "running")
    mine.submit("group A", "words", "running")
    with pytest.raises(CourseError):
        mine.submit("group A", "regular expression", "(")
    mine.submit(
        "group A", "free text", "verbs in -ing", {4: [True, False], 0: [False, False, True]}
    )
    (tmp_path / "rules-0000abcd.jsonl").write_text(
        "".join(
            json.dumps(r) + "\n"
            for r in (
                {
                    "activity": "rules",
                    "item": "group A",
                    "condition": "regular expression",
                    "answer": {
                        "rule": "(run|eat)ing",
                        "count": [9, 0, 0, 0, 2],
                        "said": [0, 0, 0, 0, 2],
                    },
                    "seconds": None,
                    "time": "2026-01-01T00:00:00+00:00",
                    "person": "0000abcd",
                    "id": "a",
                },
                {
                    "activity": "rules",
                    "item": "group A",
                    "condition": "words",
                    "answer": {"rule": "x", "count": [9], "said": "?"},
                    "seconds": None,
                    "time": "2026-01-01T00:00:00+00:00",
                    "person": "0000abcd",
                    "id": "b",
                },
            )
        )
    )
    board = mine.ranking("group A")
    assert [(r.rule, r.own) for r in board] == [
        ("(run|eat)ing", False),
        ("ing", True),
        ("running", True),
        ("verbs in -ing", True),
    ]
    assert board[-1].score == Score((3, 0, 0, 0, 2), (1, 0, 0, 0, 1))
    assert mine.ranking("group B") == []
    assert len(pool(tmp_path, "rules").records) == 6
    with pytest.raises(CourseError, match="free text needs"):
        mine.submit("group A", "free text", "verbs")


def test_a_whole_round_in_the_view(tmp_path):
    view = rule_view(RuleRound(puzzles(), tmp_path))
    assert view.value == []
    assert "running[A]" in repr(view.round.puzzles["group A"].shown)
    view.text.value = "ing"  # Enter
    assert [r.rule for r in view.value] == ["ing"]
    assert view.text.value == ""
    assert view.sentence == ""
    view.kind.value, view.text.value = "regular expression", "("
    assert "no regular expression" in view.sentence
    assert len(view.value) == 1
    assert view.text.value == "("
    view.kind.value, view.text.value = "free text", "a verb"
    asked = len(judge_sample(view.round.puzzles["group A"]))
    assert len(view.judging) == asked == 5
    assert view.panel.layout.display == ""
    for _ in range(asked):
        view.yes.click()
    assert view.panel.layout.display == "none"
    assert view.value[-1].score == Score((3, 0, 0, 0, 2), (3, 0, 0, 0, 2))
    view.no.click()  # a late click does nothing
    view.neuron.value = "group B"
    assert view.value == []
    view.kind.value, view.text.value = "prefix", "sen"
    assert view.value[0].score.f1 == 1.0


def test_judging_shows_words_of_all_levels_in_random_order():
    words = words_of(["w " * 200])
    puzzle = Puzzle("p", "p", None, words, torch.arange(200.0) - 50)
    picks = judge_sample(puzzle, each=3)
    assert (
        sorted(n for n, _ in picks)
        == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3 + [4] * 3
        != [n for n, _ in picks]
    )
    assert all(levels(puzzle.acts)[word] == n for n, word in picks)


def test_excerpts_stay_in_their_document_and_below_sixty_words():
    tokens = torch.cat(
        [corpus.encode("First text. " * 5), corpus.encode("A short one about tea; " * 40)]
    )[None]
    acts = torch.arange(tokens.shape[1]).float()
    start = int((tokens[0] == corpus.END).nonzero()[1])
    shown = firings(lambda rows: acts.expand(len(rows), -1), tokens, torch.tensor([start + 5, -1]))
    assert len(shown) == 1
    assert "First" not in "".join(shown[0].pieces)
    assert shown[0].values[shown[0].at] == start + 5
    long = excerpt(tokens[0], acts, tokens.shape[1] - 1, before=400)
    assert len("".join(long.pieces).split()) <= MOST_WORDS
    assert long.values[long.at] == tokens.shape[1] - 1
    assert firings(lambda rows: acts, tokens, torch.tensor([-1])) == []


def test_excerpts_show_text_as_text():
    made = Excerpts([Excerpt(("<b>", "hot", " tea"), (0.0, 1.0, 0.5), 1)], 1.0, "a & b")
    page = made._repr_html_()
    assert "&lt;b&gt;" in page
    assert "a &amp; b" in page
    assert page.count("background:rgba") == 2
    assert page.count("outline") == 1
    assert repr(made) == "a & b\n<b>[hot] tea"
