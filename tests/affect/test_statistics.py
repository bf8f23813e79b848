"""The statistics of a table on random data: as scipy and statsmodels have them, and honest where there is nothing."""

import numpy as np
import pytest
from scipy.stats import rankdata, wilcoxon
from statsmodels.stats.multitest import multipletests

from affect.evaluation.people import collect, statistics
from affect.evaluation.statistics import holm, interval, paired, rank_biserial, signed_rank


@pytest.mark.parametrize("seed", range(5))
def test_tests_are_those_of_the_libraries(seed: int) -> None:
    """Holm as statsmodels', Wilcoxon as scipy's, the interval around the mean of scipy's bootstrap."""
    random = np.random.default_rng(seed)
    p = random.uniform(0, 0.2, random.integers(1, 30))
    np.testing.assert_allclose(holm(p.tolist()), multipletests(p, method="holm")[1])
    people = int(random.integers(6, 40))
    mine, other = random.normal(0.62, 0.1, people), random.normal(0.6, 0.1, people)
    found = paired(mine, other)
    assert found.p == pytest.approx(wilcoxon(mine, other).pvalue)
    assert found.difference.mean == pytest.approx((mine - other).mean())
    assert found.difference.sd == pytest.approx((mine - other).std(ddof=1))
    assert (found.helped, found.hurt) == ((mine > other).sum(), (mine < other).sum())
    assert interval(mine).low < mine.mean() < interval(mine).high


def test_tests_with_ties_and_zeros_are_scipys() -> None:
    """Accuracies of few trials: many people differ by the same, or by nothing."""
    random = np.random.default_rng(0)
    difference = (random.binomial(10, 0.6, (24, 50)) - random.binomial(10, 0.6, (24, 50))) / 10
    expected = [wilcoxon(column).pvalue for column in difference.T]
    np.testing.assert_allclose(signed_rank(difference), expected)
    assert signed_rank(np.zeros((5, 2))).tolist() == [1, 1]


def test_the_effect_is_what_wilcoxons_ranks_say() -> None:
    """r = 1 − 2 W / S of the smaller rank sum W, with the sign of the larger; ±1 where all agree, 0 of nothing."""
    random = np.random.default_rng(1)
    for _ in range(50):
        difference = random.normal(0.3, 1, random.integers(2, 30)).round(1)
        known = difference[difference != 0]
        if not len(known):
            continue
        ranks = rankdata(np.abs(known))
        smaller = min(ranks[known > 0].sum(), ranks[known < 0].sum())
        assert abs(rank_biserial(difference)) == pytest.approx(1 - 2 * smaller / ranks.sum())
    assert rank_biserial(np.array([0.1, 0.2, 0.0])) == 1
    assert rank_biserial(np.array([-0.1, -0.2])) == -1
    assert rank_biserial(np.zeros(3)) == 0
    assert paired(np.array([1.0, 2.0]), np.array([2.0, 3.0]), lower_is_better=True).effect == 1


def test_seeds_are_nested_in_people() -> None:
    """A person counts once: standard deviation and interval are over people's means, whatever the number of seeds."""
    seeds = [{p: {"accuracy": v + noise} for p, v in {"a": 0.5, "b": 0.7}.items()} for noise in (-0.1, 0.0, 0.1)]
    found = statistics(collect(seeds), None)["accuracy"]
    assert found["people"] == 2
    assert found["mean"] == pytest.approx(0.6)
    assert found["sd"] == pytest.approx(np.std([0.5, 0.7], ddof=1))


@pytest.mark.parametrize("trials", [None, 40], ids=["continuous", "of 40 trials"])
def test_nothing_is_found_where_there_is_nothing(trials: int | None) -> None:
    """1,000 experiments of 24 people: source-only against itself with other noise is rejected in 5 % ± 1.5."""
    random = np.random.default_rng(2)
    ability = random.normal(0.62, 0.08, (24, 1000)).clip(0, 1)

    def scores() -> np.ndarray:
        if trials is None:
            return ability + random.normal(0, 0.03, ability.shape)
        return random.binomial(trials, ability) / trials

    rejected = (signed_rank(scores() - scores()) < 0.05).mean()
    assert 0.035 <= rejected <= 0.065
