"""Proxy A-distance on held-out groups, and the verdict on an adversary."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm

from affect.evaluation.divergence import adversary, proxy_a_distance

Array = NDArray[np.float64]
GROUPS, ROWS = 20, 25


def rows(seed: int, shift: float = 0, dim: int = 8, between_groups: float = 0) -> tuple[Array, NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(GROUPS), ROWS)
    x = rng.normal(size=(GROUPS * ROWS, dim)) + between_groups * rng.normal(size=(GROUPS, dim))[group]
    x[:, 0] += shift
    return x, group


def distance(source: tuple[Array, NDArray[np.int64]], target: tuple[Array, NDArray[np.int64]], seed: int = 0) -> float:
    value = proxy_a_distance(source[0], target[0], source[1], target[1], seed)
    assert value is not None
    return value


def test_equal_domains_are_near_0() -> None:
    found = [distance(rows(2 * seed), rows(2 * seed + 1)) for seed in range(10)]
    assert np.mean(found) < 0.1
    assert min(found) == 0  # clipped, not negative


def test_separable_domains_are_at_2() -> None:
    assert distance(rows(0), rows(1, shift=10)) == pytest.approx(2, abs=0.01)


def test_a_shift_between_gaussians_has_its_closed_form() -> None:
    """The best line errs by Φ(− shift / 2)."""
    expected = 2 * (1 - 2 * norm.cdf(-1 / 2))
    assert np.mean([distance(rows(2 * s), rows(2 * s + 1, shift=1)) for s in range(5)]) == pytest.approx(
        expected, abs=0.08
    )


def test_trials_that_are_told_by_heart_are_no_distance() -> None:
    """Trials lie apart, domains do not: tested on neighbouring rows, a probe tells domains by their trials."""
    pairs = [(rows(2 * s, dim=40, between_groups=2), rows(2 * s + 1, dim=40, between_groups=2)) for s in range(5)]
    by_row = [distance((a[0], np.arange(500)), (b[0], np.arange(500))) for a, b in pairs]
    by_trial = [distance(a, b) for a, b in pairs]
    assert np.mean(by_row) > 1.2
    assert np.mean(by_trial) < 0.5


def test_few_rows_of_the_target_do_not_hide_behind_many_of_the_source() -> None:
    few, group = rows(1, shift=1.5)
    assert distance(rows(0), (few[::10], group[::10])) > 0.8


def test_the_seed_decides_the_halves() -> None:
    source, target = rows(0, between_groups=1), rows(1, shift=0.5, between_groups=1)
    assert distance(source, target, seed=3) == distance(source, target, seed=3)
    assert len({distance(source, target, seed=s) for s in range(4)}) > 1


def test_no_distance_from_one_trial_or_from_a_run_that_diverged() -> None:
    x, group = rows(0)
    assert proxy_a_distance(x, x, group, np.zeros_like(group), 0) is None
    assert proxy_a_distance(x[:0], x, group[:0], group, 0) is None
    broken = x.copy()
    broken[3, 2] = np.nan
    assert proxy_a_distance(broken, x, group, group, 0) is None


@pytest.mark.parametrize(
    ("accuracy", "frozen", "chance", "far", "state"),
    [
        (0.52, 0.52, 0.5, 1.6, "dead"),  # the head sees nothing where a line sees much
        (0.52, 0.97, 0.5, 1.6, "alive"),  # fooled by the encoder while that moves, not blind
        (0.52, 0.52, 0.5, 0.4, "alive"),  # nothing to see: the encoder hides the domain
        (0.52, 0.52, 0.5, None, "alive"),
        (0.75, 0.9, 0.5, 1.6, "alive"),
        (0.97, 0.99, 0.5, 1.9, "wins"),
        (0.97, 0.97, 0.96, 0.2, "alive"),  # the share of the larger domain
        (0.97, 0.97, 0.96, 1.9, "dead"),
    ],
)
def test_what_an_adversary_is(accuracy: float, frozen: float, chance: float, far: float | None, state: str) -> None:
    verdict = adversary(accuracy, chance, frozen, far)
    assert verdict.state == state
    for figure in (accuracy, frozen, chance):
        assert f"{figure:.2f}" in verdict.sentence
