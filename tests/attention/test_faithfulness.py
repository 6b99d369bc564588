"""The experiments of lessons 04 and 05 against slow, written-out versions of themselves."""

import math

import pytest
import torch

from helpers.attention import faithfulness, train
from helpers.attention import model as M
from helpers.ground.errors import CourseError


def texts(n=24, seed=0, longest=12):
    g = torch.Generator().manual_seed(seed)
    length = lambda: int(torch.randint(3, longest, (1,), generator=g))
    return [
        (
            torch.tensor(
                [M.START, *torch.randint(4, 30, (length(),), generator=g).tolist(), M.END]
            ),
            i % 2,
        )
        for i in range(n)
    ]


def questions(n=20, seed=0):
    g = torch.Generator().manual_seed(seed)
    return [
        (*text, torch.tensor([M.START, *torch.randint(4, 30, (3,), generator=g).tolist(), M.END]))
        for text in texts(n, seed)
    ]


def build(seed=0, **settings):
    torch.manual_seed(seed)
    return M.AttentionModel(30, embed=8, hidden=16, **settings).eval()


SETTINGS = [
    dict(encoder=e, attention=a) for e in ("lstm", "cnn", "average") for a in ("tanh", "dot")
]


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: "-".join(s.values()))
@pytest.mark.parametrize("asked", [False, True])
def test_weights_are_a_distribution_over_words_alone(settings, asked):
    batch = M.collate(questions() if asked else texts(), range(20 if asked else 24))
    logits, alpha = build(outputs=6 if asked else 1, question=asked, **settings)(batch)
    assert (alpha[~batch.content] == 0).all() and torch.allclose(
        alpha.sum(-1), torch.ones(len(alpha)), atol=1e-5
    )
    assert logits.shape == (len(alpha), 6 if asked else 1)


@pytest.mark.parametrize("encoder", ["lstm", "cnn", "average"])
def test_padding_changes_nothing(encoder):
    data, model = texts(), build(encoder=encoder)
    together = model(M.collate(data, range(len(data))))[0]
    alone = torch.cat([model(M.collate([example], [0]))[0] for example in data])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


def test_jsd_by_hand_and_its_bound():
    p, q = torch.tensor([1.0, 0, 0]), torch.tensor([0.0, 0.5, 0.5])
    assert faithfulness.jsd(p, q).item() == pytest.approx(
        math.log(2), abs=1e-6
    )  # nothing in common
    assert faithfulness.jsd(p, p).item() == pytest.approx(0, abs=1e-7)
    half = torch.tensor([0.5, 0.5, 0])
    by_hand = 0.5 * (math.log(1 / 0.75)) + 0.5 * (
        0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    )
    assert faithfulness.jsd(p, half).item() == pytest.approx(by_hand, abs=1e-6)
    random = torch.rand(2, 5000, 7).softmax(-1) ** 9
    random = random / random.sum(-1, keepdim=True)
    assert faithfulness.jsd(*random).max() <= math.log(2) + 1e-6
    with_zeros = p.clone().requires_grad_()
    faithfulness.jsd(with_zeros, q).backward()
    assert with_zeros.grad.isfinite().all()


def test_tvd_of_two_outputs_is_the_change_of_the_probability():
    p, q = torch.tensor([0.3, 0.7]), torch.tensor([0.9, 0.1])
    assert faithfulness.tvd(p, q).item() == pytest.approx(0.6)


@pytest.mark.parametrize("asked", [False, True])
def test_leave_one_out_equals_a_loop_over_shortened_texts(asked):
    data = questions(6) if asked else texts(6)
    model, batch = build(outputs=6 if asked else 1, question=asked), M.collate(data, range(6))
    fast = faithfulness.leave_one_out(model, batch)
    slow = torch.zeros_like(fast)
    for i, example in enumerate(data):
        whole = M.probabilities(model(M.collate([example], [0]))[0])[0]
        for t in range(1, len(example[0]) - 1):
            shorter = (torch.cat([example[0][:t], example[0][t + 1 :]]), *example[1:])
            slow[i, t] = faithfulness.tvd(
                M.probabilities(model(M.collate([shorter], [0]))[0])[0], whole
            )
    torch.testing.assert_close(fast, slow.detach(), atol=1e-5, rtol=1e-4)


def test_gradient_importance_by_finite_differences_with_the_weights_held():
    model, batch = build(), M.collate(texts(3), range(3))
    model.double()
    fast = faithfulness.gradient_importance(model, batch)
    words = model.embedding(batch.words).detach()
    hidden, query = model.encode(batch, words)
    alpha = model.attend(hidden, batch.content, query).detach()
    output = lambda w: M.probabilities(model.decode(model.encode(batch, w)[0], alpha, None)).amax(
        -1
    )
    step = 1e-6
    for t in range(
        1, 4
    ):  # scaling word t by (1 + step) moves along x_t: the slope is x_t . dy/dx_t
        up, down = words.clone(), words.clone()
        up[:, t], down[:, t] = words[:, t] * (1 + step), words[:, t] * (1 - step)
        slope = (output(up) - output(down)) / (2 * step)
        torch.testing.assert_close(
            fast[:, t], (slope.abs() * batch.content[:, t]).detach(), atol=1e-7, rtol=1e-4
        )
    assert all(p.grad is None for p in model.parameters())


def test_permutation_shuffles_the_words_weights_and_nothing_else():
    model, batch = build(), M.collate(texts(), range(24))
    seen = []
    model.decode = lambda hidden, alpha, query, decode=model.decode: (
        seen.append(alpha),
        decode(hidden, alpha, query),
    )[1]
    change = faithfulness.permutation(model, batch, n=5, generator=torch.Generator().manual_seed(0))
    own, *shuffled = seen
    for alpha in shuffled:
        assert (alpha[~batch.content] == 0).all()
        torch.testing.assert_close(alpha.sort(-1).values, own.sort(-1).values)
    assert change.shape == (24,) and (change >= 0).all() and (change <= 1).all()


def test_the_adversary_keeps_the_output_and_moves_the_weights():
    model, batch = build(), M.collate(texts(), range(24))
    found = faithfulness.adversarial_attention(
        model, batch, epsilon=0.05, steps=150, rate=0.05, generator=torch.Generator().manual_seed(0)
    )
    own_logits, own = model(batch)
    moved = faithfulness.tvd(
        M.probabilities(model(batch, found.alpha)[0]), M.probabilities(own_logits)
    )
    assert (moved <= 0.05 + 1e-5).all()
    torch.testing.assert_close(
        found.jsd, faithfulness.jsd(found.alpha, own).detach(), atol=1e-5, rtol=1e-3
    )
    assert (found.alpha[~batch.content] == 0).all() and (found.jsd <= math.log(2) + 1e-6).all()
    assert found.jsd.median() > 0.3


def test_training_learns_which_word_decides_and_keeps_the_best_epoch():
    g = torch.Generator().manual_seed(0)
    data = []
    for i in range(400):
        words = torch.randint(6, 30, (8,), generator=g)
        words[int(torch.randint(8, (1,), generator=g))] = (
            4 + i % 2
        )  # word 4: negative, word 5: positive
        data.append((torch.tensor([M.START, *words.tolist(), M.END]), i % 2))
    torch.manual_seed(0)
    model = M.AttentionModel(30, embed=8, hidden=16)
    history = train.fit(model, data[:300], data[300:], train.Settings(epochs=12, rate=0.01))
    assert train.score(model, data[300:]) == pytest.approx(max(history)) and max(history) > 0.95


@pytest.mark.parametrize(
    "words, part", [([], "empty"), (["zzz"] * 3, "knows none"), (["good"] * 100_000, "100,000")]
)
def test_texts_that_cannot_be_read_end_in_a_sentence(words, part):
    with pytest.raises(CourseError, match=part):
        M.Vocabulary([["good", "film"]]).encode(words)
