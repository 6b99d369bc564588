"""The experiments of lessons 04 and 05 against slow, written-out versions of themselves."""

import math

import pytest
import torch

from helpers.attention import faithfulness
from helpers.attention import model as M
from tests.attention.texts import build, questions, texts

IMPORTANCES = (faithfulness.gradient_importance, faithfulness.leave_one_out)


def test_jsd_by_hand_and_its_bound():
    p, q = torch.tensor([1.0, 0, 0]), torch.tensor([0.0, 0.5, 0.5])
    ln2 = math.log(2)
    assert faithfulness.jsd(p, q).item() == pytest.approx(ln2, abs=1e-6)  # nothing in common
    assert faithfulness.jsd(p, p).item() == pytest.approx(0, abs=1e-7)
    half = torch.tensor([0.5, 0.5, 0])
    to_p = math.log(1 / 0.75)
    to_half = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    assert faithfulness.jsd(p, half).item() == pytest.approx((to_p + to_half) / 2, abs=1e-6)
    random = torch.rand(2, 5000, 7).softmax(-1) ** 9
    random = random / random.sum(-1, keepdim=True)
    assert faithfulness.jsd(*random).max() <= ln2 + 1e-6
    with_zeros = p.clone().requires_grad_()
    faithfulness.jsd(with_zeros, q).backward()
    assert with_zeros.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_number_types(dtype):
    """1e-12, which keeps a logarithm finite, is 0 in half precision."""
    p, q = torch.tensor([0.5, 0.5, 0.0], dtype=dtype), torch.tensor([0.0, 0.5, 0.5], dtype=dtype)
    for measure in (faithfulness.kl, faithfulness.jsd, faithfulness.tvd):
        torch.testing.assert_close(measure(p, q).float(), measure(p.float(), q.float()))
    model, batch = build().to(dtype), M.collate(texts(3))
    exact = [importance(build(), batch) for importance in IMPORTANCES]
    for importance, expected in zip(IMPORTANCES, exact, strict=True):
        for mode in (torch.no_grad, torch.inference_mode):
            ours = mode()(importance)(model, batch)
            torch.testing.assert_close(ours.float(), expected.float(), atol=0.02, rtol=0.1)
            draw = torch.Generator().manual_seed(0)
            adversary = mode()(faithfulness.adversarial_attention)
            assert adversary(model, batch, generator=draw, steps=2).jsd.min() > 0.3
        assert (
            len(faithfulness.kendall(ours.clone().requires_grad_(), expected, batch.content)) == 3
        )


def test_tvd_of_two_outputs_is_the_change_of_the_probability():
    p, q = torch.tensor([0.3, 0.7]), torch.tensor([0.9, 0.1])
    assert faithfulness.tvd(p, q).item() == pytest.approx(0.6)


@pytest.mark.parametrize("asked", [False, True])
def test_leave_one_out_equals_a_loop_over_shortened_texts(asked):
    data = questions(6) if asked else texts(6)
    model, batch = build(outputs=6 if asked else 1, question=asked), M.collate(data)
    fast = faithfulness.leave_one_out(model, batch)
    slow = torch.zeros_like(fast)
    output = lambda example: M.probabilities(model(M.collate([example]))[0])[0]
    for i, (ids, *rest) in enumerate(data):
        for t in range(1, len(ids) - 1):
            shorter = (torch.cat([ids[:t], ids[t + 1 :]]), *rest)
            slow[i, t] = faithfulness.tvd(output(shorter), output(data[i]))
    torch.testing.assert_close(fast, slow.detach(), atol=1e-5, rtol=1e-4)


def test_gradient_importance_by_finite_differences_with_the_weights_held():
    model, batch = build(), M.collate(texts(3))
    model.double()
    fast = faithfulness.gradient_importance(model, batch)
    words = model.embedding(batch.words).detach()
    hidden, query = model.encode(batch, words)
    alpha = model.attend(hidden, batch.content, query).detach()
    output = lambda w: M.probabilities(model.decode(model.encode(batch, w)[0], alpha, None)).amax(
        -1
    )
    step = 1e-6
    for t in range(1, 4):  # along x_t: the slope is x_t . dy/dx_t
        up, down = words.clone(), words.clone()
        up[:, t], down[:, t] = words[:, t] * (1 + step), words[:, t] * (1 - step)
        slope = ((output(up) - output(down)) / (2 * step)).abs() * batch.content[:, t]
        torch.testing.assert_close(fast[:, t], slope.detach(), atol=1e-7, rtol=1e-4)
    assert all(p.grad is None for p in model.parameters())


def test_gradient_importance_goes_without_cudnn_and_restores_the_mode():
    """cuDNN's recurrent layers refuse a backward pass in evaluation mode (pytorch #5878)."""
    model, batch = build(), M.collate(texts(3))
    model.train()
    allowed = []
    encode = model.encode

    def watched(*args):
        allowed.append(torch.backends.cudnn.enabled)
        return encode(*args)

    model.encode = watched
    before = torch.backends.cudnn.enabled
    faithfulness.gradient_importance(model, batch)
    assert allowed == [False]
    assert torch.backends.cudnn.enabled == before
    assert model.training


def kept_and_decoded(model, monkeypatch) -> list:
    """All weights that the model's decoder is given from now on."""
    seen, decode = [], model.decode

    def watched(hidden, alpha, query):
        seen.append(alpha)
        return decode(hidden, alpha, query)

    monkeypatch.setattr(model, "decode", watched)
    return seen


def test_permutation_is_the_median_change_over_shuffled_words(monkeypatch):
    model, batch = build(), M.collate(texts())
    seen = kept_and_decoded(model, monkeypatch)
    generator = torch.Generator().manual_seed(0)
    change = faithfulness.permutation(model, batch, n=5, generator=generator)
    own, shuffled = seen
    assert shuffled.shape == (5, *own.shape)
    for alpha in shuffled:
        assert (alpha[~batch.content] == 0).all()
        torch.testing.assert_close(alpha.sort(-1).values, own.sort(-1).values)
    assert len({tuple(alpha[0].tolist()) for alpha in shuffled}) > 1
    output = lambda alpha: M.probabilities(model(batch, alpha)[0])
    each = torch.stack([faithfulness.tvd(output(a), output(own)) for a in shuffled])  # (5, B)
    torch.testing.assert_close(change, each.sort(0).values[2].detach(), atol=1e-6, rtol=1e-4)


def adversary(model, batch, **settings):
    settings = {"epsilon": 0.05, "steps": 150, "rate": 0.05} | settings
    generator = torch.Generator().manual_seed(0)
    return faithfulness.adversarial_attention(model, batch, generator=generator, **settings)


def test_the_adversary_keeps_the_output_and_moves_the_weights():
    model, batch = build(), M.collate(texts())
    result = adversary(model, batch)
    logits, own = model(batch)
    there = M.probabilities(model(batch, result.alpha)[0])
    change = faithfulness.tvd(there, M.probabilities(logits)).detach()
    assert (change <= 0.05 + 1e-5).all()
    torch.testing.assert_close(result.tvd, change, atol=1e-5, rtol=1e-3)
    distance = faithfulness.jsd(result.alpha, own).detach()
    torch.testing.assert_close(result.jsd, distance, atol=1e-5, rtol=1e-3)
    assert (result.alpha[~batch.content] == 0).all()
    assert (result.jsd <= math.log(2) + 1e-6).all()
    assert result.jsd.median() > 0.3


def sharp(seed=0):
    """A model whose output hangs on the weights: its decoder is 100 times as steep, about .5."""
    model = build(seed)
    with torch.no_grad():
        common = model(M.collate(texts()))[0].mean()
        model.out.bias.copy_(100 * (model.out.bias - common))
        model.out.weight.mul_(100)
    return model


def test_a_change_of_the_output_costs_from_the_margin_on():
    """With a margin of .01 the texts end near it; the penalty does not wait for 2 epsilon."""
    model, batch = sharp(), M.collate(texts())
    result = adversary(model, batch, steps=300)
    assert (result.tvd < 0.03).float().mean() > 0.9
    assert (result.jsd > 0).float().mean() > 0.9
    loose = adversary(model, batch, steps=300, margin=0.04)
    assert loose.tvd.mean() > result.tvd.mean() + 0.01


def test_where_no_restart_keeps_the_output_the_own_weights_stay():
    model, batch = sharp(), M.collate(texts())
    result = adversary(model, batch, epsilon=1e-9, steps=1, restarts=1)
    torch.testing.assert_close(result.alpha, model(batch)[1].detach())
    assert not result.jsd.any()
    assert not result.tvd.any()


def test_restarts_push_one_another_apart(monkeypatch):
    """The gradient of the first step, by hand, for two restarts of one text."""
    model, batch = build(), M.collate(texts(1))
    seen = []
    first_step = torch.optim.Adam.step

    def watched(optimizer, *args):
        (scores,) = optimizer.param_groups[0]["params"]
        seen.append((scores.detach().clone(), scores.grad.clone()))
        return first_step(optimizer, *args)

    monkeypatch.setattr(torch.optim.Adam, "step", watched)
    adversary(model, batch, restarts=2, steps=1)
    scores, gradient = seen[0]
    scores.requires_grad_()
    logits, own = (t.detach() for t in model(batch))
    alpha = scores.masked_fill(~batch.content, -torch.inf).softmax(-1)
    there = M.probabilities(model(batch, alpha[0])[0]), M.probabilities(model(batch, alpha[1])[0])
    reference = M.probabilities(logits)
    excess = [(faithfulness.tvd(p, reference) - 0.01).relu() for p in there]
    loss = 500 * sum(excess) - faithfulness.jsd(alpha, own).sum()
    loss = loss.sum() - faithfulness.jsd(alpha[0], alpha[1]).sum()
    (by_hand,) = torch.autograd.grad(loss, scores)
    torch.testing.assert_close(gradient, by_hand, atol=1e-6, rtol=1e-4)
