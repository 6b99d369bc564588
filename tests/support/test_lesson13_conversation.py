"""Lesson 13's conversation: ways of steering, the blinded rating, the explorer's pages."""

from types import SimpleNamespace

import pytest
import torch

from helpers.sae.model import Dictionary, Settings, SparseAutoencoder
from helpers.sae.residual import Seen, T
from notebooks.support.lesson13 import checks, conversation
from notebooks.support.lesson13.conversation import HOW, QUESTIONS, Topic

D, M = 8, 20
TOPIC = Topic("films", 3, r"\bfilm")


@pytest.fixture
def dictionary():
    return Dictionary(SparseAutoencoder(Settings(neurons=D, features=M)), 0.5)


def seen(**fields) -> Seen:
    blank = {"top": torch.full((M, 12), -1), "uniform": torch.full((M, 12), -1)}
    blank |= {"maximum": torch.full((M,), 4.0), "density": torch.full((M,), 0.01)}
    blank |= {"kinds": torch.full((M, 3), 1 / 3)} | fields
    return Seen(**(dict.fromkeys(Seen._fields) | blank))


def test_what_is_added_has_the_length_of_so_many_maxima(dictionary):
    x = torch.randn(5, D, generator=torch.Generator().manual_seed(0))
    gap = torch.randn(D, generator=torch.Generator().manual_seed(1))
    edits = conversation.steered(dictionary, seen(), TOPIC, gap, 2.0)
    for how, direction in (("feature", dictionary.directions[3]), ("difference", gap)):
        moved = edits[how](x) - x
        torch.testing.assert_close(moved.norm(dim=1), torch.full((5,), 2 * 4.0 / 0.5))
        cosine = torch.cosine_similarity(moved, direction.expand(5, D))
        torch.testing.assert_close(cosine, torch.ones(5))
    moved = edits["pinned"](x) - x
    wanted = (8.0 - dictionary.features(x)[:, 3]) / 0.5
    torch.testing.assert_close(moved, wanted[:, None] * dictionary.directions[3])


def test_the_difference_is_within_a_kind_of_text():
    """Kind 1 lies 100 away and names the topic oftener: that is not what the topic is about."""
    domains = torch.tensor([0, 0, 0, 1, 1, 1])
    yes = torch.tensor([True, False, False, True, True, False])
    means = torch.tensor([3.0, 1.0, 1.0, 104.0, 106.0, 101.0])[:, None]
    gap = conversation.apart(means, domains, yes)
    assert gap.tolist() == pytest.approx([(1 * (3 - 1) + 2 * (105 - 101)) / 3])


def test_a_name_in_other_words():
    topic = Topic("horror films", 0, r"horror|ghost|\bzombie")
    assert conversation.names(topic, "HORROR!")
    assert not conversation.names(topic, "Horror!", own=False)
    assert conversation.names(topic, "a ghostly Horror", own=False)
    assert not conversation.names(topic, "a weekend")


@pytest.fixture
def answers(monkeypatch):
    topics = (TOPIC, Topic("sums", 5, "sum"))
    monkeypatch.setattr(conversation, "TOPICS", topics)
    hows = [*conversation.WAYS, *conversation.WINDOW]
    rows = [("", "as it is", q) for q in QUESTIONS]
    rows += [(t.name, how, q) for t in topics for how in hows for q in QUESTIONS]
    return [
        {"topic": t, "how": h, "question": q, "text": f"{h} of a film", "nats": 1.0}
        for t, h, q in rows
    ]


def test_an_items_condition_is_the_order_of_its_answers_and_is_not_shown(answers):
    items = conversation.items(answers)
    assert len(items) == 2 * 2 == len({item.key for item in items})
    for item in items:
        told = [text.split(",")[0].split(" of ")[0] for text in item.content.texts]
        assert told == item.condition.split()
        assert sorted(told) == sorted(HOW)
        assert item.condition not in repr(item.content)
    assert len({item.condition for item in items}) > 1


def test_the_tally_by_hand():
    given = {"prompt": 2, "feature": 1, "sense 0": 0, "sense 1": 2, "sense 2": 1}
    other = {"prompt": 1, "feature": 3, "sense 0": 2, "sense 1": 2, "sense 2": 0}
    make = lambda order, answer: SimpleNamespace(condition=order, answer=answer)
    records = [
        make("feature prompt difference", given),  # both right
        make("difference prompt feature", other),  # the feature alone
    ]
    rows = conversation.tally(records)
    assert rows["prompt"] == {"found": 0.5, "sense": 1.0}
    assert rows["feature"] == {"found": 1.0, "sense": 0.0}
    assert rows["difference"] == {"found": None, "sense": 0.75}


def test_shares_that_name_the_topic(answers, capsys):
    shares = conversation.compare(answers, conversation.WAYS)
    assert shares == dict.fromkeys(conversation.WAYS.values(), 0.5), "of two topics one is named"
    assert "a prompt        names 0.50" in capsys.readouterr().out


def test_one_way_minus_another_by_hand(answers, capsys):
    for answer in answers:
        if answer["how"] == "feature, 2 times":
            answer["text"] = "neither"
    conversation.minus(answers, "prompt", "feature, 2 times")
    assert "prompt minus feature, 2 times: 0.50 (0.00 to 1.00" in capsys.readouterr().out


def test_a_page_shades_what_fires_and_frames_the_place(dictionary, monkeypatch):
    rows = torch.randint(0, 9, (4, T), generator=torch.Generator().manual_seed(0))
    x = torch.randn(4, T - 1, D, generator=torch.Generator().manual_seed(1))
    monkeypatch.setattr(conversation, "stream", lambda lm, some: x[[2, 0]])
    tokenizer = SimpleNamespace(decode=lambda ids: f" w{ids[0]}")
    top = torch.full((M, 12), -1)
    top[3, :2] = torch.tensor([2 * T + 50, 5])
    explorer = conversation.Explorer(None, tokenizer, dictionary, seen(top=top), rows)
    page = explorer.page(3)
    first, second = page.excerpts
    assert first.pieces[first.at] == f" w{rows[2, 50]}"
    assert second.pieces[second.at] == f" w{rows[0, 5]}"
    wanted = dictionary.features(x[2, 49])[3]
    assert first.values[first.at] == pytest.approx(float(wanted)), "place 50 is the 49th kept"
    assert "never fires" in repr(explorer.page(4))


HINTS = {
    "the other way": lambda x, yes, no, n: right(x, no, yes, n),
    "divide the difference by its norm": lambda x, yes, no, n: x + n * (yes.mean(0) - no.mean(0)),
    "means, not sums": lambda x, yes, no, n: x + n * unit(yes.sum(0) - no.sum(0)),
    "subtract the mean of the other": lambda x, yes, no, n: x + n * unit(yes.mean(0)),
    "a mean for each of the D": lambda x, yes, no, n: x + n * (yes.mean() - no.mean()),
    "the vector alone": lambda x, yes, no, n: n * unit(yes.mean(0) - no.mean(0)),
    "nothing is added": lambda x, yes, no, n: x,
    "makes a new one": lambda x, yes, no, n: x.add_(n * unit(yes.mean(0) - no.mean(0))),
}


def unit(v):
    return v / v.norm()


def right(x, yes, no, length):
    return x + length * unit(yes.mean(0) - no.mean(0))


def test_the_solution_passes_and_each_mistake_has_its_hint():
    assert checks.steering.verdict(right) == "✓"
    for hint, answer in HINTS.items():
        assert hint in checks.steering.verdict(answer)
