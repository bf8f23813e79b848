"""The canary is silent where people are only alike, and sings where a recording is on both sides; the leak gap."""

import numpy as np
import pytest
from scipy.stats import binomtest

from affect.evaluation.canary import Neighbours, Projection, canary, neighbours, twins
from affect.evaluation.leak_gap import leak_gap

PEOPLE, TRIALS, WINDOWS = 6, 8, 5


def windows(seed: int, dims: int = 6) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(n, dims) windows that resemble their person, stimulus and trial; their trials and people."""
    g = np.random.default_rng(seed)
    person = np.repeat(np.arange(PEOPLE), TRIALS * WINDOWS)
    trial = np.repeat(np.arange(PEOPLE * TRIALS), WINDOWS)
    stimulus = trial % TRIALS
    x = g.normal(size=(PEOPLE, dims))[person] + 2 * g.normal(size=(TRIALS, dims))[stimulus]
    x += g.normal(size=(PEOPLE * TRIALS, dims))[trial] + 0.3 * g.normal(size=(len(trial), dims))
    return x, trial, person


def leave_one_out(x: np.ndarray, trial: np.ndarray, person: np.ndarray) -> list[Neighbours]:
    return [
        neighbours(x[person != p], trial[person != p], x[person == p], trial[person == p]) for p in np.unique(person)
    ]


def test_people_who_watch_the_same_do_not_alarm_the_canary() -> None:
    sang = [canary(leave_one_out(*windows(seed)), draws=100, seed=seed).sang for seed in range(80)]
    assert binomtest(sum(sang), len(sang), 1e-3, alternative="greater").pvalue > 0.01


@pytest.mark.parametrize("dims", [1, 2, 12])
def test_twins_are_not_seen_where_there_are_none(dims: int) -> None:
    """Least of all in few dimensions, where some window is always near."""
    assert not any(twins(leave_one_out(*windows(seed, dims))) for seed in range(20))


def test_a_trial_that_is_cut_before_it_is_split_is_found() -> None:
    x, trial, _ = windows(0)
    part = np.random.default_rng(1).permutation(len(x)) % 4  # windows at random
    song = canary(leave_one_out(x, trial, part))
    assert song.sang
    assert song.accuracy > 0.8
    assert not song.twins


@pytest.mark.parametrize("noise", [0.0, 1e-3])
def test_a_recording_under_two_names_is_found(noise: float) -> None:
    x, trial, person = windows(0)
    x[person == 5] = x[person == 0] + noise * np.random.default_rng(2).normal(size=(TRIALS * WINDOWS, x.shape[1]))
    song = canary(leave_one_out(x, trial, person))
    assert song.sang
    assert song.accuracy == pytest.approx(0.5 + 0.5 * 2 / 6, abs=0.02)  # two of six people are known
    assert set(song.twins) == {(a, b) for t in range(TRIALS) for a, b in ((t, 40 + t), (40 + t, t))}


def test_neighbours_survive_the_projection() -> None:
    """Of windows with more features than axes; the axes are principal components."""
    x = (windows(0, 6)[0] @ np.random.default_rng(0).normal(size=(6, 400))).astype(np.float32)
    project = Projection(x, 6)
    _, root, axes = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    expected, share = (x - x.mean(axis=0)) @ axes[:6].T, root[:6].astype(float) ** 2
    assert np.abs(project(x)) == pytest.approx(np.abs(expected), rel=1e-2, abs=1e-2)
    assert project.dimension == pytest.approx(share.sum() ** 2 / (share**2).sum(), rel=1e-3)


def test_the_leak_gap_is_what_each_split_knows() -> None:
    """Labels are the trial's own coin: windows know the trial; new trials and new people know nothing."""
    x, trial, person = windows(0, dims=40)
    label = np.random.default_rng(3).integers(0, 2, PEOPLE * TRIALS)[trial]
    gap = leak_gap(x.astype(np.float32), label, trial, person, 2)
    assert gap is not None
    scores = {name: split.interval.mean for name, split in gap.splits.items()}
    assert scores["windows"] > 0.85
    assert abs(scores["trials"] - 0.5) < 0.15
    assert abs(scores["people"] - 0.5) < 0.15
    assert gap.chance == 0.5
    assert gap.training <= (PEOPLE - 2) * TRIALS * WINDOWS


def test_the_leak_gap_where_people_sign_their_trials() -> None:
    """The sign of the effect is each person's own: known to who has met the person."""
    scores = []
    for seed in range(5):
        x, trial, person = windows(seed, dims=12)
        generator = np.random.default_rng(seed)
        label = generator.integers(0, 2, PEOPLE * TRIALS)[trial]
        own = generator.normal(size=(PEOPLE, 12))[person] * (2 * label[:, None] - 1)
        gap = leak_gap(np.concatenate([x, own], axis=1).astype(np.float32), label, trial, person, 2)
        assert gap is not None
        scores.append([gap.splits[name].interval.mean for name in ("trials", "people")])
    trials, people = np.mean(scores, axis=0)
    assert trials > 0.9
    assert people < 0.75


def test_a_split_of_trials_needs_a_second_one() -> None:
    """One trial of each class and person: known people would be known in the other class only."""
    x, trial, person = windows(0)
    kept = trial % TRIALS < 2
    gap = leak_gap(x[kept].astype(np.float32), trial[kept] % TRIALS, trial[kept], person[kept], 2)
    assert gap is not None
    assert list(gap.splits) == ["windows", "people"]
    assert "one trial of a class" in gap.without["trials"]
    assert leak_gap(x[:40].astype(np.float32), trial[:40] % 2, trial[:40], person[:40], 2) is None
