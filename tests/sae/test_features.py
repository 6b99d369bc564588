import numpy as np
import pytest
import scipy.sparse
import torch

from helpers.datasets import corpus
from helpers.sae.features import PROXIES, examples, proxy_masks, sparse_activations
from helpers.transformer.model import OneLayerTransformer, Settings

LENGTH = corpus.CONTEXT


def test_sparse_activations_are_those_above_zero_in_their_places():
    model = OneLayerTransformer(Settings("gelu", d_model=16, d_mlp=24, heads=2, vocabulary=50))
    model.eval()
    rows = torch.randint(0, 50, (35, 20), generator=torch.Generator().manual_seed(0))
    found = sparse_activations(None, model, rows)
    assert found.shape == (35 * 20, 24)
    assert found.dtype == np.float32
    row, place, neuron = 33, 7, 5  # in the third chunk
    value = float(model.activations(rows[row : row + 1])[0, place, neuron])
    assert found[row * 20 + place, neuron] == pytest.approx(max(value, 0), rel=1e-4, abs=1e-7)
    assert found.nnz == int((model.activations(rows) > 0).sum())
    five = sparse_activations(lambda acts: acts[..., :5] - 0.1, model, rows)
    wanted = (model.activations(rows)[..., :5].flatten(0, 1) - 0.1).clamp(min=0)
    np.testing.assert_allclose(five.toarray(), wanted.detach(), rtol=1e-4, atol=1e-6)


def test_examples_on_a_case_by_hand():
    tokens, domains = torch.full((40, LENGTH), 5), torch.zeros(40, LENGTH, dtype=torch.uint8)
    domains[30:] = corpus.DOMAINS.index("dna")
    acts = np.zeros((40 * LENGTH, 2), np.float32)
    acts[31 * LENGTH : 39 * LENGTH : 4, 0] = np.linspace(
        0.5, 1.0, 256
    )  # fires on DNA only, on a fifth of it
    acts[7, 0] = 0.25  # and weakly once on a review
    acts *= 3  # intervals and strong firings are shares of a unit's own maximum
    places = torch.arange(40 * LENGTH) + 1000
    found = examples(scipy.sparse.csc_matrix(acts), tokens, domains, places)
    dna = PROXIES.index("dna")
    assert found.density[0] == pytest.approx(257 / 5120)
    assert found.maximum[0] == 3
    assert found.specificity[0, dna] == pytest.approx(256 / 257)
    assert found.specificity_top[0, dna] == 1
    assert found.sensitivity[0, dna] == pytest.approx(256 / 1280)
    assert found.correlation[0, dna] == pytest.approx(
        np.corrcoef(acts[:, 0], (domains.flatten() == dna).numpy())[0, 1], abs=1e-4
    )
    top = found.top[0][found.top[0] >= 0] - 1000
    assert len(top) == 9
    assert len(set((top // LENGTH).tolist())) == 9, "one a context"
    assert top[0] == acts[:, 0].argmax()
    assert found.top_values[0, 0] == 3
    assert found.uniform[0, 3, 0] == 1007, "a weak firing stands in its own interval"
    assert found.uniform_values[0, 3, 0] == 0.75
    assert (found.uniform[0, :3] == -1).all()
    assert (found.top[1] == -1).all()
    assert found.density[1] == 0


def test_latex_proxy_follows_the_delimiters():
    text = r"The sum \( a + b \) is $x^2$ and then words. \[ y = 1 \] End."
    tokens = corpus.encode(text)
    domains = torch.full((len(tokens),), corpus.DOMAINS.index("mathematics"), dtype=torch.uint8)
    inside = proxy_masks(tokens, domains)[PROXIES.index("latex")]
    strings = [corpus.token_strings()[token] for token in tokens]
    shown = "".join(s for s, yes in zip(strings, inside, strict=True) if yes)
    assert all(letter in shown for letter in "axy")
    assert "words" not in shown
    assert "End" not in shown


def test_a_formula_that_is_left_open_ends_with_its_document():
    first, second = corpus.encode(r"\( a and $ b"), corpus.encode("No formula.")
    tokens = torch.cat([torch.tensor([corpus.END]), first, torch.tensor([corpus.END]), second])
    domains = torch.full((len(tokens),), corpus.DOMAINS.index("mathematics"), dtype=torch.uint8)
    inside = proxy_masks(tokens, domains)[PROXIES.index("latex")]
    assert inside[: len(first) + 1].any()
    assert not inside[-len(second) :].any()
