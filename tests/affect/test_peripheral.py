"""Peripheral physiology against neurokit2's own functions and recordings made of known beats, breaths and responses."""

import neurokit2 as nk
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from affect.batch import Signal, StreamShape
from affect.preprocessing import (
    Beats,
    Clean,
    Conductance,
    HeartRate,
    HeartRateVariability,
    MuscleActivity,
    PhasicTonic,
    Respiration,
    SkinConductance,
    Step,
)

Array = NDArray[np.float64]


def noise(*shape: int) -> Array:
    return np.random.default_rng(0).standard_normal(shape)


def one(data: Array, rate: float, channel: str = "x", unit: str = "mV") -> Signal:
    return Signal(data[None].astype(np.float32), rate, (channel,), unit)


def rhythm(seconds: float, rate: float = 70.0, depth: float = 0.05) -> Array:
    """Times of beats whose interval swings by `depth` with the breath, at 0.25 Hz."""
    times = [0.4]
    while times[-1] < seconds:
        times.append(times[-1] + 60 / rate * (1 + depth * np.sin(2 * np.pi * 0.25 * times[-1])))
    return np.array(times[:-1])


def ecg(times: Array, seconds: float, rate: float) -> Signal:
    """A sharp R wave at each of the times, and a T wave after it."""
    at = np.arange(round(seconds * rate)) / rate
    waves = [np.exp(-(((at - t) / 0.012) ** 2)) + 0.25 * np.exp(-(((at - t - 0.25) / 0.05) ** 2)) for t in times]
    return one(np.sum(waves, axis=0) + 0.01 * noise(len(at)), rate)


@pytest.mark.parametrize("rate", [128.0, 256.0, 700.0])
def test_known_beats_of_an_ecg_are_found(rate: float) -> None:
    """Every beat but the first, its interval to half a sample and 3 ms; also at rates that are not 250 Hz."""
    times = rhythm(40)
    found = Beats("ecg")(ecg(times, 40, rate))
    intervals = found.data[found.data > 0]
    assert (found.rate, found.channels, found.unit) == (4.0, ("ibi",), "ms")
    np.testing.assert_allclose(intervals, 1000 * np.diff(times), atol=500 / rate + 3)
    np.testing.assert_allclose(np.flatnonzero(found.data[0]), (times[1:] * 4).astype(int), atol=1)


@pytest.mark.parametrize(("kind", "simulate"), [("ecg", nk.ecg_simulate), ("bvp", nk.ppg_simulate)])
@pytest.mark.parametrize(("bpm", "rate"), [(60, 64), (75, 128), (110, 250)])
def test_mean_heart_rate_of_neurokits_simulations(kind, simulate, bpm: int, rate: int) -> None:  # type: ignore[no-untyped-def]
    """To 1 beat a minute."""
    signal = one(simulate(60, sampling_rate=rate, heart_rate=bpm, random_state=2), float(rate))
    found = HeartRate(kind)(signal)
    assert found.data.shape == (1, 240)
    assert found.data.mean() == pytest.approx(bpm, abs=1)


def test_heart_rate_is_neurokits_between_the_beats() -> None:
    """Its own pipeline at 250 Hz, sampled at 4 Hz; to 0.5 a minute between the second and the last beat."""
    recording = nk.ecg_simulate(40, sampling_rate=250, heart_rate=80, random_state=1)
    _, info = nk.ecg_peaks(nk.ecg_clean(recording, sampling_rate=250), sampling_rate=250, correct_artifacts=True)
    peaks = info["ECG_R_Peaks"]
    expected = nk.signal_rate(peaks, 250, desired_length=10_000)[np.arange(160) * 250 // 4]
    inner = slice(8, -8)
    found = HeartRate("ecg")(one(recording, 250.0)).data[0]
    np.testing.assert_allclose(found[inner], expected[inner], atol=0.5)


def test_variability_is_neurokits() -> None:
    """Of the same beats: to 0.01 of each unit."""
    recording = nk.ecg_simulate(120, sampling_rate=250, heart_rate=70, heart_rate_std=5, random_state=3)
    _, info = nk.ecg_peaks(nk.ecg_clean(recording, sampling_rate=250), sampling_rate=250, correct_artifacts=True)
    expected = nk.hrv_time(info["ECG_R_Peaks"], sampling_rate=250).iloc[0]
    beats = Beats("ecg")(one(recording, 250.0))
    shape = StreamShape(beats.channels, beats.data.shape[1], beats.rate)
    found = dict(
        zip(HeartRateVariability().names(), HeartRateVariability()(beats.data[None], shape)[0, 0], strict=True)
    )
    assert found["mean HR"] == pytest.approx(60_000 / expected["HRV_MeanNN"], abs=0.01)
    assert found["SDNN"] == pytest.approx(expected["HRV_SDNN"], abs=0.01)
    assert found["RMSSD"] == pytest.approx(expected["HRV_RMSSD"], abs=0.01)
    assert found["pNN50"] == pytest.approx(expected["HRV_pNN50"] / 100, abs=1e-4)


def marks(times: Array, seconds: float, rate: float = 8.0) -> NDArray[np.float32]:
    """(1, 1, T) as Beats writes them."""
    data = np.zeros((1, 1, round(seconds * rate)), np.float32)
    data[0, 0, (times[1:] * rate).astype(int)] = 1000 * np.diff(times)
    return data


def test_the_spectrum_of_known_swings() -> None:
    """An interval that swings by 40 ms at 0.1 Hz and 25 ms at 0.25 Hz: powers 40²/2 and 25²/2 ms², to 15 %."""
    times = [0.0]
    while times[-1] < 300:
        slow, quick = np.sin(2 * np.pi * np.array([0.1, 0.25]) * times[-1])
        times.append(times[-1] + 0.7 + 0.040 * slow + 0.025 * quick)
    data = marks(np.array(times[:-1]), 300)
    found = HeartRateVariability(spectrum=True)(data, StreamShape(("ibi",), 0, 8.0))[0, 0, 4:]
    np.testing.assert_allclose(found[:2], np.log([40**2 / 2, 25**2 / 2]), atol=0.15)
    assert found[2] == pytest.approx(found[0] - found[1], abs=1e-5)


@settings(max_examples=25, deadline=None)
@given(bpm=st.floats(45, 160), depth=st.floats(0, 0.15), start=st.integers(0, 40))
def test_variability_of_a_window_is_that_of_the_beats_that_end_in_it(bpm: float, depth: float, start: int) -> None:
    """Wherever it is cut; to 1e-3 relative."""
    times = rhythm(60, bpm, depth)
    window = marks(times, 60)[..., start * 8 : (start + 15) * 8]
    inside = (times[1:] >= start) & (times[1:] < start + 15)
    intervals = 1000 * np.diff(times)[inside]
    found = HeartRateVariability()(window, StreamShape(("ibi",), 120, 8.0))[0, 0]
    expected = [60_000 / intervals.mean(), intervals.std(ddof=1), np.sqrt(np.mean(np.diff(intervals) ** 2))]
    np.testing.assert_allclose(found[:3], expected, rtol=1e-3, atol=1e-3)


def test_a_window_without_beats_stops_nothing() -> None:
    """A trial without this stream is computed too, from whatever is there, and masked later."""
    found = HeartRateVariability()(np.zeros((3, 1, 120), np.float32), StreamShape(("ibi",), 120, 8.0))
    assert not found.any()


@pytest.mark.parametrize(
    ("features", "seconds", "channels", "message"),
    [
        (HeartRateVariability(), 9, ("ibi",), "needs 10 s"),
        (HeartRateVariability(spectrum=True), 60, ("ibi",), "needs 120 s"),
        (HeartRateVariability(), 60, ("ECG",), "put the step Beats before it"),
    ],
)
def test_windows_that_hold_no_variability_are_refused(
    features: HeartRateVariability, seconds: int, channels: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        features(np.zeros((1, 1, seconds * 8), np.float32), StreamShape(channels, 0, 8.0))


def test_an_ecg_that_hangs_upside_down_has_the_same_beats() -> None:
    """Electrodes the other way round, as in one recording of eegmat; to 1 a minute."""
    signal = ecg(rhythm(40), 40, 250.0)
    turned = one(-signal.data[0], 250.0)
    np.testing.assert_allclose(HeartRate("ecg")(turned).data, HeartRate("ecg")(signal).data, atol=1)


@pytest.mark.parametrize("lost", [(20, 32), (0, 9), (50, 60)])
def test_a_gap_is_bridged_with_even_beats(lost: tuple[int, int]) -> None:
    """An electrode off for a while, at either end too: no pause, and a rate near 70 (the edge can pass for a beat)."""
    signal = ecg(rhythm(60), 60, 250.0)
    signal.data[0, lost[0] * 250 : lost[1] * 250] = 0
    found = Beats("ecg")(signal).data[0]
    assert np.diff(np.flatnonzero(found)).max() <= 2.5 * 4
    assert found.max() < 2500
    rate = HeartRate("ecg")(signal).data
    assert 50 < rate.min() < 70 < rate.max() < 100
    assert np.median(rate) == pytest.approx(70, abs=2)


@pytest.mark.parametrize("kind", ["ecg", "bvp"])
def test_no_heartbeat_is_refused(kind: str) -> None:
    with pytest.raises(ValueError, match="no regular heartbeat in 30 s"):
        Beats(kind)(one(np.zeros(30 * 128), 128.0))  # type: ignore[arg-type]


def test_beats_in_a_third_of_the_trial_are_too_few() -> None:
    signal = ecg(rhythm(20), 60, 250.0)
    signal.data[0, 20 * 250 :] = 0
    with pytest.raises(ValueError, match=r"none in 4\d(\.\d)? s of it"):
        HeartRate("ecg")(signal)


def test_two_leads_are_refused() -> None:
    with pytest.raises(ValueError, match="ECG_R, ECG_L: put Channels before it"):
        Beats("ecg")(Signal(noise(2, 5000).astype(np.float32), 128.0, ("ECG_R", "ECG_L"), "mV"))


@pytest.mark.parametrize(
    ("kind", "clean"),
    [
        ("ecg", nk.ecg_clean),
        ("bvp", nk.ppg_clean),
        ("eda", nk.eda_clean),
        ("resp", nk.rsp_clean),
        ("emg", nk.emg_clean),
    ],
)
def test_cleaning_is_neurokits_channel_by_channel(kind, clean) -> None:  # type: ignore[no-untyped-def]
    """To a float32's rounding."""
    data = noise(2, 5000)
    found = Clean(kind)(Signal(data.astype(np.float32), 500.0, ("a", "b"), "mV"))
    expected = [clean(row.astype(np.float32).astype(float), sampling_rate=500) for row in data]
    assert (found.rate, found.channels, found.unit) == (500.0, ("a", "b"), "mV")
    assert found.data.dtype == np.float32
    np.testing.assert_allclose(found.data, expected, atol=1e-5)


@pytest.mark.parametrize(("step", "rate"), [(Clean("emg"), 128.0), (Clean("eda"), 4.0), (HeartRate("bvp"), 4.0)])
def test_what_is_too_slow_is_refused(step: Step, rate: float) -> None:
    with pytest.raises(ValueError, match="too slow"):
        step(one(noise(5000), rate))


@pytest.mark.parametrize("rate", [25.0, 128.0, 700.0])
def test_breathing_of_known_rate_and_depth(rate: float) -> None:
    """A sine of 0.25 Hz and amplitude 2: 15 a minute to 2 %, 4 deep to 5 %, at any rate."""
    breath = 2 * np.sin(2 * np.pi * 0.25 * np.arange(round(80 * rate)) / rate)
    found = Respiration()(one(breath, rate))
    assert (found.channels, found.rate, found.unit) == (("rate", "amplitude"), 4.0, "1/min, mV")
    assert found.data.shape == (2, 320)
    np.testing.assert_allclose(found.data[0, 40:-40], 15, rtol=0.02)
    np.testing.assert_allclose(found.data[1, 40:-40], 4, rtol=0.05)


def test_breathing_is_neurokits() -> None:
    """Its own pipeline, sampled in the middle of each quarter second; to 1e-3 relative."""
    recording = nk.rsp_simulate(60, sampling_rate=40, respiratory_rate=18, random_state=0).astype(np.float32)
    signals, _ = nk.rsp_process(recording, sampling_rate=40)
    expected = signals[["RSP_Rate", "RSP_Amplitude"]].to_numpy().T[:, 5::10]
    found = Respiration()(one(recording, 40.0)).data
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_no_breath_is_refused() -> None:
    for data in (np.zeros(4000), np.sin(np.arange(4000) * 1e-3)):
        with pytest.raises(ValueError, match="no regular breathing in 31"):
            Respiration()(one(data, 128.0))


def test_muscle_activity_of_noise_is_its_deviation_above_the_edge() -> None:
    """White noise at 1000 Hz, 480 of its 500 Hz kept; loud in the second half; to 3 %."""
    loudness = np.repeat([5.0, 20.0], 20_000)
    found = MuscleActivity()(Signal((noise(2, 40_000) * loudness).astype(np.float32), 1000.0, ("a", "b"), "µV"))
    assert (found.rate, found.data.shape, found.unit) == (8.0, (2, 320), "µV")
    strength = np.sqrt(np.square(found.data.astype(float)).reshape(2, 2, 160)[..., 2:-2].mean(axis=-1))
    np.testing.assert_allclose(strength, [[5 * np.sqrt(0.96), 20 * np.sqrt(0.96)]] * 2, rtol=0.03)


def test_muscle_activity_ignores_slow_movements() -> None:
    slow = 100 * np.sin(2 * np.pi * 5 * np.arange(12_800) / 128)
    assert MuscleActivity()(one(slow, 128.0)).data[0, 8:-8].max() < 1


def test_conductance_is_the_inverse_of_resistance() -> None:
    ohms = one(np.array([1e5, 2e5, 1e6]), 128.0, "GSR", "Ohm")
    found = Conductance()(ohms)
    np.testing.assert_allclose(found.data[0], [10, 5, 1])
    assert (found.unit, found.channels) == ("µS", ("GSR",))
    assert Conductance()(one(np.array([100.0]), 4.0, unit="kΩ")).data == pytest.approx(10)
    assert Conductance()(found).data == pytest.approx(found.data)


@pytest.mark.parametrize(
    ("values", "unit", "message"), [([1e5, 0], "Ohm", "down to 0 Ohm"), ([1e5], "a.u.", "no unit of resistance")]
)
def test_what_has_no_conductance_is_refused(values: list[float], unit: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Conductance()(one(np.array(values), 4.0, unit=unit))


@pytest.mark.parametrize("rate", [4.0, 32.0])
@pytest.mark.parametrize("method", ["highpass", "smoothmedian"])
def test_tonic_and_phasic_parts_are_neurokits_and_add_up(method: str, rate: float) -> None:
    """Its values to a float32's rounding, their sum to 0.01 µS away from the ends."""
    recording = nk.eda_simulate(60, sampling_rate=int(rate), scr_number=5, drift=0.01, random_state=0).astype(
        np.float32
    )
    found = PhasicTonic(method)(one(recording, rate, "EDA", "µS"))  # type: ignore[arg-type]
    expected = nk.eda_phasic(recording.astype(float), sampling_rate=int(rate), method=method)
    assert found.channels == ("tonic", "phasic")
    np.testing.assert_allclose(found.data, expected[["EDA_Tonic", "EDA_Phasic"]].to_numpy().T, atol=1e-5)
    inner = slice(int(5 * rate), -int(5 * rate))
    np.testing.assert_allclose(found.data.sum(axis=0)[inner], recording[inner], atol=0.01)


@pytest.mark.parametrize("responses", [3, 8])
def test_responses_of_the_skin_are_counted(responses: int) -> None:
    """Those neurokit2 puts into 60 s, to one; their amplitude is of the size of what stands out."""
    recording = nk.eda_simulate(60, sampling_rate=32, scr_number=responses, drift=0, noise=0, random_state=1)
    parts = PhasicTonic()(one(recording, 32.0, "EDA", "µS"))
    features = SkinConductance()
    found = features(parts.data[None], StreamShape(parts.channels, 0, 32.0))
    assert features.channels(parts.channels) == ("skin",)
    assert found.shape == (1, 1, 5)
    named = dict(zip(features.names(), found[0, 0], strict=True))
    assert named["SCR/min"] == pytest.approx(responses, abs=1)
    assert 0.05 <= named["SCR amplitude"] <= np.ptp(recording)


def test_level_slope_and_calm_of_the_skin() -> None:
    """A level of 5 µS that rises by 0.6 a minute, without responses."""
    times = np.arange(40 * 8) / 8
    windows = np.stack([5 + 0.01 * times, 0.001 * np.sin(times)])[None].astype(np.float32)
    found = SkinConductance()(windows, StreamShape(("tonic", "phasic"), 0, 8.0))[0, 0]
    np.testing.assert_allclose(found[:2], [5 + 0.01 * times.mean(), 0.6], rtol=1e-3)
    assert found[3:].tolist() == [0, 0]


def test_skin_conductance_that_was_not_parted_is_refused() -> None:
    with pytest.raises(ValueError, match="put the step PhasicTonic before it"):
        SkinConductance()(np.zeros((1, 1, 80), np.float32), StreamShape(("GSR",), 80, 8.0))


@pytest.mark.parametrize(
    "step", [Clean("eda"), Beats("ecg"), HeartRate("ecg"), Respiration(), MuscleActivity(), PhasicTonic()]
)
def test_a_step_leaves_its_input_as_it_was_and_refuses_what_has_no_time(step: Step) -> None:
    signal = ecg(rhythm(30), 30, 128.0)
    before = signal.data.copy()
    assert step(signal).data.dtype == np.float32
    np.testing.assert_array_equal(signal.data, before)
    with pytest.raises(ValueError, match="without time"):
        step(one(np.ones(1), 0.0))
