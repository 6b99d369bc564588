import pytest
import torch

from data.recipes.lm import heldout
from helpers.datasets import corpus
from helpers.ground.errors import CourseError
from helpers.sae.store import FOLDERS, load, load_examples, load_numbers
from helpers.transformer.measure import loss_recovered
from helpers.transformer.model import load as load_transformer


def test_names_that_do_not_exist_speak():
    for loader in (load, load_numbers):
        with pytest.raises(CourseError, match="a0, a1"):
            loader("a9")
    assert set(FOLDERS.values()) == {"sae_a", "sae_b", "sae_a2", "sae_seed", "sae_topk"}


def test_loading_leaves_the_readers_random_numbers_alone():
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    load("a0")
    assert torch.equal(torch.rand(3), wanted)


@torch.no_grad()
def test_stored_a1_reaches_its_mark():
    model, a1, rows = load_transformer("lm_relu"), load("a1"), heldout()[0][::4][:100]
    parts = [(a1.features(model.activations(part)) > 0).sum(-1).float() for part in rows.split(25)]
    assert torch.cat(parts).mean() <= 30
    assert loss_recovered(model, rows, a1.reconstruct) >= 0.8


@torch.no_grad()
def test_stored_examples_point_at_tokens_that_really_fire():
    model, a1, found = load_transformer("lm_relu"), load("a1"), load_examples("a1")
    rows = corpus.stream("heldout").contexts()[0]
    for unit in found.density.argsort(descending=True)[100:110].tolist():
        row, place = divmod(int(found.top[unit, 0]), corpus.CONTEXT)
        value = a1.features(model.activations(rows[row : row + 1]))[0, place, unit].item()
        assert value == pytest.approx(found.top_values[unit, 0].item(), rel=0.02)
