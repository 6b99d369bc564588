import numpy as np
import pytest
import scipy.sparse
import torch

from helpers.datasets import corpus
from helpers.sae.features import PROXIES, best_matches, examples, fire, proxy_masks
from helpers.transformer.model import OneLayerTransformer, Settings

LENGTH = corpus.CONTEXT


def test_fire_is_the_positive_part_of_the_activations():
    model = OneLayerTransformer(
        Settings("gelu", d_model=16, d_mlp=24, heads=2, vocabulary=50)
    ).eval()
    rows = torch.randint(0, 50, (35, 20), generator=torch.Generator().manual_seed(0))
    wanted = model.activations(rows).flatten(0, 1).clamp(min=0).detach().numpy()
    np.testing.assert_allclose(fire(None, model, rows).toarray(), wanted, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(
        fire(lambda a: a[..., :5] - 0.1, model, rows).toarray(),
        (model.activations(rows).flatten(0, 1)[:, :5] - 0.1).clamp(min=0).detach().numpy(),
        rtol=1e-4,
        atol=1e-6,
    )


def test_examples_on_a_case_by_hand():
    tokens, domains = torch.full((40, LENGTH), 5), torch.zeros(40, LENGTH, dtype=torch.uint8)
    domains[30:] = corpus.DOMAINS.index("dna")
    acts = np.zeros((40 * LENGTH, 2), np.float32)
    acts[31 * LENGTH : 39 * LENGTH : 4, 0] = np.linspace(
        0.5, 1.0, 256
    )  # fires on DNA only, on a fifth of it
    acts[7, 0] = 0.25  # and weakly once on a review
    places = torch.arange(40 * LENGTH) + 1000
    found = examples(scipy.sparse.csc_matrix(acts), tokens, domains, places)
    dna = PROXIES.index("dna")
    assert found.density[0] == pytest.approx(257 / 5120) and found.maximum[0] == 1
    assert (
        found.specificity[0, dna] == pytest.approx(256 / 257) and found.specificity_top[0, dna] == 1
    )
    assert found.sensitivity[0, dna] == pytest.approx(256 / 1280)
    assert found.correlation[0, dna] == pytest.approx(
        np.corrcoef(acts[:, 0], (domains.flatten() == dna).numpy())[0, 1], abs=1e-4
    )
    top = found.top[0][found.top[0] >= 0] - 1000
    assert len(top) == 9 and len(set((top // LENGTH).tolist())) == 9, "one a context"
    assert top[0] == acts[:, 0].argmax() and found.top_values[0, 0] == 1
    assert found.uniform[0, 3, 0] == 1007 and found.uniform_values[0, 3, 0] == 0.25, (
        "a weak firing stands in its own interval"
    )
    assert (
        (found.uniform[0, :3] == -1).all() and (found.top[1] == -1).all() and found.density[1] == 0
    )


def test_latex_proxy_follows_the_delimiters():
    text = r"The sum \( a + b \) is $x^2$ and then words. \[ y = 1 \] End."
    tokens = corpus.encode(text)
    domains = torch.full((len(tokens),), corpus.DOMAINS.index("mathematics"), dtype=torch.uint8)
    inside = proxy_masks(tokens, domains)[PROXIES.index("latex")]
    shown = "".join(s for s, yes in zip((corpus.token_strings()[t] for t in tokens), inside) if yes)
    assert (
        "a" in shown
        and "x" in shown
        and "y" in shown
        and "words" not in shown
        and "End" not in shown
    )


def test_best_matches_agree_with_numpy():
    rng = np.random.default_rng(0)
    a, b = (np.maximum(rng.normal(size=(400, k)) - 0.7, 0) for k in (5, 9))
    b[:, 6] = a[:, 2] + 0.1 * b[:, 6]
    best, match = best_matches(scipy.sparse.csc_matrix(a), scipy.sparse.csc_matrix(b))
    wanted = np.corrcoef(a.T, b.T)[:5, 5:]
    np.testing.assert_allclose(best, wanted.max(axis=1), atol=1e-4)
    assert match.tolist() == wanted.argmax(axis=1).tolist() and match[2] == 6
