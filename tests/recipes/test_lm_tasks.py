import pytest
import torch

from data.recipes.lm_tasks import Counts, Question, Task, accuracy, tasks
from helpers.transformer.model import OneLayerTransformer, Settings


def test_counting_models_are_distributions_and_bigram_wins_on_a_pattern():
    stream = torch.tensor([0, 1, 2] * 200)
    counts = Counts(stream, vocabulary=4)
    pairs = torch.tensor([[a, b] for a in range(4) for b in range(4)])
    for kind in (counts.unigram, counts.bigram):
        total = (-kind(pairs)).exp().view(4, 4).sum(dim=1)
        torch.testing.assert_close(total[:3], torch.ones(3), rtol=1e-4, atol=1e-4)
    rows = stream[:60].view(1, 60)
    assert counts.bigram(rows).mean() < 0.05 < counts.unigram(rows).mean()


def test_tasks_are_balanced_and_have_one_token_answers():
    for task in tasks(60):
        assert len(task.questions) >= 40
        assert all(0 <= q.right < len(q.candidates) for q in task.questions)
        assert task.chance == pytest.approx(1 / len(task.questions[0].candidates), abs=1e-6)


def test_accuracy_counts_right_answers():
    model = OneLayerTransformer(Settings(d_model=8, d_mlp=8, heads=2, vocabulary=10)).eval()
    prompt = torch.tensor([1, 2, 3])
    best = int(model(prompt[None])[0, -1].argmax())
    candidates = [(best + 1) % 10, best]
    questions = [Question(prompt, candidates, right) for right in (1, 0)]
    assert accuracy(model, Task("t", 0.5, questions)) == 0.5


def test_of_a_long_prompt_the_model_reads_the_end():
    seen = []
    model = OneLayerTransformer(Settings(d_model=8, d_mlp=8, heads=2, vocabulary=10, context=4))
    model.register_forward_pre_hook(lambda _, args: seen.append(args[0].tolist()))
    accuracy(model.eval(), Task("t", 0.5, [Question(torch.arange(7), [1, 2], 0)]))
    assert seen == [[[3, 4, 5, 6]]]
