"""Bootstrap and correlations beside SciPy's, with clusters, axes, ties and nan."""

import numpy as np
import pytest
import torch
from scipy import stats as scipy_stats

from helpers.ground.errors import CourseError
from helpers.ground.stats import clustered_mean, interval, mean_ranks, pearson, spearman


def test_large_clusters_weigh_more_in_the_mean_and_in_the_interval():
    """90 ones from one review, ten zeros from ten: every draw holds the large one or misses it."""
    values = [1.0] * 90 + [0.0] * 10
    clusters = ["large"] * 90 + [f"small {i}" for i in range(10)]
    mean, low, high = clustered_mean(values, clusters)
    assert mean == pytest.approx(0.9)
    assert low == 0  # a third of the draws do not hold the large review
    assert 0.95 < high < 1


def test_answers_of_one_cluster_count_less_than_independent_ones():
    rng = np.random.default_rng(0)
    alike = np.repeat(rng.random(20), 10)
    people = np.repeat(np.arange(20), 10)
    of_people, of_answers = clustered_mean(alike, people), clustered_mean(alike, range(200))
    assert of_people[0] == of_answers[0]
    assert of_people[2] - of_people[1] > 2 * (of_answers[2] - of_answers[1])


def test_the_interval_is_scipys_where_every_value_is_its_own_cluster():
    values = np.random.default_rng(1).random(60)
    options = {"n_resamples": 20_000, "method": "percentile", "rng": 0}
    reference = scipy_stats.bootstrap((values,), np.mean, **options).confidence_interval
    _, low, high = clustered_mean(torch.tensor(values), torch.arange(60), draws=20_000)
    assert (low, high) == pytest.approx(tuple(reference), abs=0.003)


def test_a_seed_repeats_and_one_cluster_is_refused():
    values, clusters = np.random.default_rng(0).random(40), np.arange(40) % 15
    assert clustered_mean(values, clusters, seed=1) == clustered_mean(values, clusters, seed=1)
    assert clustered_mean(values, clusters, seed=1) != clustered_mean(values, clusters, seed=2)
    with pytest.raises(CourseError, match="at least two of them, not 1"):
        clustered_mean([1, 0, 1], ["a", "a", "a"])


def test_interval_of_what_is_always_right_leaves_the_rule_of_three():
    assert interval(np.ones(60)) == [1.0, 0.95, 1.0]
    mean, low, high = interval(np.arange(2.0).repeat(50))
    assert mean == 0.5
    assert 0.39 < low < 0.42
    assert 0.58 < high < 0.61


def stacks(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Two stacks (3, 4, 5) with ties, alike to a degree."""
    generator = torch.Generator().manual_seed(seed)
    a = torch.randint(0, 6, (3, 4, 5), generator=generator).double()
    return a, a + torch.randint(-2, 3, (3, 4, 5), generator=generator)


@pytest.mark.parametrize(
    ("ours", "scipys"), [(pearson, scipy_stats.pearsonr), (spearman, scipy_stats.spearmanr)]
)
def test_correlations_are_scipys_one_for_each_pair_of_a_stack(ours, scipys):
    a, b = stacks()
    expected = [scipys(p.flatten(), q.flatten()).statistic for p, q in zip(a, b, strict=True)]
    assert ours(a, b).tolist() == pytest.approx(expected)
    assert ours(a, -a).tolist() == pytest.approx([-1] * 3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int64])
def test_a_correlation_of_many_pixels_of_any_number_type(dtype):
    """In half precision the sums of 50,176 products are infinite, and of integers there is none."""
    generator = torch.Generator().manual_seed(0)
    a = (100 * torch.rand(1, 224, 224, generator=generator)).round()
    b = a + (50 * torch.rand(1, 224, 224, generator=generator)).round()
    for correlation in (pearson, spearman):
        exact = correlation(a.double(), b.double()).item()
        assert correlation(a.to(dtype), b.to(dtype)).item() == pytest.approx(exact, abs=1e-2)


def test_equal_values_share_their_mean_rank():
    ranks = mean_ranks(torch.tensor([[3.0, 1.0, 3.0, 2.0]]))
    assert ranks.tolist() == [[3.5, 1, 3.5, 2]]
    assert ranks.dtype == torch.float64  # of many pixels float32 could not tell one rank apart


@pytest.mark.parametrize("correlation", [pearson, spearman])
def test_constants_and_nan_give_nan_and_leave_the_others_alone(correlation):
    a, b = stacks()
    expected = correlation(a, b)
    a[0] = 2.0
    b[1, 0, 0] = torch.nan
    assert correlation(a, b).isnan().tolist() == [True, True, False]
    assert correlation(a, b)[2] == expected[2]
