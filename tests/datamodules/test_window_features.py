"""Features of windows, and the moments normalisation is fitted from: computed once, and those of the signal."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from told_corpus import (
    CHANNELS,
    Apart,
    Case,
    Extent,
    Told,
    cases,
    noise,
    prepared,
    quick,
    trial_of,
)

import datamodules.windowing as windowing
from affect.batch import StreamShape
from affect.preprocessing import DifferentialEntropy, Features
from affect.preprocessing.normalisation import fit
from datamodules.cache import Recipe, Windowing, prepare
from datamodules.windows import StreamWindows, WindowSet, cut


@pytest.mark.parametrize("features", [Extent(), Apart(), DifferentialEntropy({"low": (1, 5), "high": (5, 20)})])
@pytest.mark.parametrize("short", ["drop", "repeat"])
def test_features_are_those_computed_directly(features: Features, short: str) -> None:
    """Of more windows than are computed at a time, in any order, one trial without the stream, one a little short."""
    rates = {"fast": 50.0, "slow": 10.0}
    trials = [
        trial_of(0, rates, 60.0, 1.0, noise),
        trial_of(1, {"slow": 10.0}, 9.0, 0.5, noise),
        trial_of(2, rates, 30.0, make=noise),
        trial_of(3, rates, 0.8, make=noise),
    ]
    # the slow stream has one channel, of which nothing is apart
    streams = ["fast"] if isinstance(features, Apart) else ["fast", "slow"]
    with prepared(trials, (1.0, 0.1), streams, features, short) as cache:
        table = cut(cache)
        stream = StreamWindows(cache, "fast", table)
        assert len(table) > windowing._CHUNK
        names = features.channels(CHANNELS["fast"])
        assert (stream.shape.channels, stream.shape.length, stream.shape.rate) == (names, len(features.names()), None)
        rows = np.random.default_rng(0).permutation(len(table))
        gathered, raw = stream.gather(rows), stream.raw(rows)
    kept = [trial for trial in trials if trial.subject in set(cache.trials["subject"])]
    for row, values, samples in zip(rows, gathered, raw, strict=True):
        signal = kept[table.trial[row]].streams.get("fast")
        if signal is None:
            assert not values.any()
            continue
        first = round(table.start[row] * 50)
        if table.length[row] == 1:
            np.testing.assert_array_equal(samples, signal.data[:, first : first + 50])
        expected = features(samples[None], StreamShape(signal.channels, 50, 50.0))[0]
        np.testing.assert_allclose(values, expected, atol=1e-4)  # an FFT of many rounds otherwise than one of one


def test_features_are_computed_once() -> None:
    """And for other windows, from the samples that are kept, without asking the corpus again."""
    with tempfile.TemporaryDirectory() as folder:
        corpus = Told(Path(folder), [trial_of(0, {"fast": 10.0}, 9.0)])
        recipes = {"fast": Recipe("fast", features=Extent())}
        Extent.calls.clear()
        first = prepare([corpus], recipes, Windowing(1, 1), Path(folder, "cache"))
        prepare([corpus], recipes, Windowing(1, 1), Path(folder, "cache"))
        assert Extent.calls == [9]
        corpus.told = {"s0": trial_of(0, {}, 9.0)}  # nothing to be found there any more
        other = prepare([corpus], recipes, Windowing(2, 1), Path(folder, "cache"))
        assert Extent.calls == [9, 8]  # other windows, other features
        ones = StreamWindows(first, "fast", cut(first)).gather(np.arange(9))
        twos = StreamWindows(other, "fast", cut(other)).gather(np.arange(8))
    np.testing.assert_array_equal(twos[:, :, 0], ones[:8, :, 0])
    np.testing.assert_array_equal(twos[:, :, 1], ones[1:, :, 1])


def test_features_kept_for_one_order_of_bands_do_not_serve_another() -> None:
    low, high = {"low": (1.0, 5.0)}, {"high": (5.0, 20.0)}
    found = []
    with tempfile.TemporaryDirectory() as folder:
        corpus = Told(Path(folder), [trial_of(0, {"fast": 50.0}, 9.0, make=noise)])
        for bands in ({**low, **high}, {**high, **low}):
            recipes = {"fast": Recipe("fast", features=DifferentialEntropy(bands))}
            cache = prepare([corpus], recipes, Windowing(1, 1), Path(folder, "cache"))
            found.append(StreamWindows(cache, "fast", cut(cache)).gather(np.arange(9)))
    np.testing.assert_array_equal(found[0][..., ::-1], found[1])


@quick
@given(cases(noise), st.booleans(), st.data())
def test_moments_are_those_of_the_pooled_windows(case: Case, featured: bool, data: st.DataObject) -> None:
    """Mean and deviation of any set of trials; of samples, each that lies between first and last window counts once."""
    made = Extent() if featured else None
    with prepared(case.trials, (case.seconds, case.step), features=made, short="repeat") as cache:
        table = cut(cache)
        stream = StreamWindows(cache, "slow", table)
        moments = stream.moments()
        subset = data.draw(st.lists(st.integers(0, len(case.trials) - 1), min_size=1, unique=True))
        pooled = []
        for trial in subset:
            rows = table.of_trials(np.array([trial]))
            if not len(rows) or not stream.present[rows[0]]:
                continue
            if featured:
                pooled.append(np.moveaxis(stream.gather(rows), 0, 1).astype(np.float64))  # (C, n, F)
                continue
            signal = np.asarray(cache.streams["slow"].signal(trial))
            last = stream.gather(rows[-1:])[0]
            first = np.flatnonzero((signal == stream.gather(rows[:1])[0][:, :1]).all(axis=0))[0]
            end = np.flatnonzero((signal == last[:, :1]).all(axis=0))[0] + last.shape[1]
            pooled.append(signal[:, first:end].astype(np.float64)[..., None])  # (C, T, 1)
        assume(pooled)
        values = np.concatenate(pooled, axis=1)
    mean, deviation = moments.pool(np.array(subset))
    np.testing.assert_allclose(mean, values.mean(axis=1), rtol=1e-9)
    np.testing.assert_allclose(deviation, values.std(axis=1), atol=1e-6)


def test_the_moments_of_a_trial_do_not_depend_on_other_trials() -> None:
    """Or a fold's source statistics would change, in their last digits, with the target's signals."""

    def loud(trial: int, stream: str, samples: int) -> NDArray[np.float32]:
        return noise(trial, stream, samples) * 1e4 + 1e5

    found = []
    for make in (noise, loud):
        quiet = trial_of(1, {"fast": 50.0}, 20.0, make=noise)
        with prepared([trial_of(0, {"fast": 50.0}, 20.0, make=make), quiet], streams=["fast"]) as cache:
            moments = StreamWindows(cache, "fast", cut(cache)).moments()
        found.append((moments.mean[1], moments.m2[1]))
    np.testing.assert_array_equal(found[0], found[1])


def test_baseline_normalisation_subtracts_the_baseline() -> None:
    """Then scales by how far source windows are from their trial's baseline."""
    trials = [trial_of(n, {"fast": 50.0}, 8.0, 2.0, noise) for n in range(3)]
    with prepared(trials, streams=["fast"]) as cache:
        stream = StreamWindows(cache, "fast", cut(cache))
        moments = stream.moments()
    baseline = np.stack([t.streams["fast"].data[:, :100].mean(axis=1) for t in trials])
    np.testing.assert_allclose(moments.baseline[..., 0], baseline, rtol=1e-5)
    source = np.array([0, 1])
    affine = fit("baseline", moments, np.arange(3), source, source)
    np.testing.assert_allclose(affine.shift[..., 0], baseline, rtol=1e-5)
    away = np.concatenate([trials[n].streams["fast"].data[:, 100:] - baseline[n][:, None] for n in source], axis=1)
    np.testing.assert_allclose(affine.scale[..., 0], np.tile(1 / away.std(axis=1), (3, 1)), rtol=1e-4)


def test_the_baseline_of_features_is_the_features_of_the_baseline() -> None:
    trial = trial_of(0, {"fast": 50.0}, 8.0, 2.0, noise)
    with prepared([trial], streams=["fast"], features=Extent()) as cache:
        moments = StreamWindows(cache, "fast", cut(cache)).moments()
    data = trial.streams["fast"].data[:, :100]
    np.testing.assert_array_equal(moments.baseline[0], np.stack([data.min(axis=1), data.max(axis=1)], axis=1))


def test_a_trial_without_the_stream_spoils_no_baseline() -> None:
    both = {"fast": 50.0, "slow": 10.0}
    trials = [trial_of(0, both, 8.0, 2.0, noise), trial_of(1, {"fast": 50.0}, 8.0, 2.0, noise)]
    with prepared([*trials, trial_of(2, both, 8.0, 2.0, noise)]) as cache:
        moments = StreamWindows(cache, "slow", cut(cache)).moments()
    everyone = np.arange(3)
    affine = fit("baseline", moments, everyone, everyone, everyone)
    assert np.isfinite(affine.shift[[0, 2]]).all()
    assert np.isfinite(affine.scale[[0, 2]]).all()


def test_people_are_numbered_in_the_order_of_the_corpus() -> None:
    trials = [trial_of(n, {"fast": 10.0}, 3.0) for n in (2, 0, 1)]
    with prepared(trials, streams=["fast"]) as cache:
        windows = WindowSet(cache, cut(cache))
    assert windows.people == ["s2", "s0", "s1"]
    assert windows.subject.tolist() == [0, 1, 2]
