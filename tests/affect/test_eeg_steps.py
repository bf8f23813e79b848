"""Filters, channels and artefacts of EEG: against mne, against algebra, and with faults planted in a known truth."""

from dataclasses import replace

import mne
import numpy as np
import pytest
import scipy.signal
from numpy.typing import NDArray

from affect.batch import Signal
from affect.preprocessing import BadChannels, BandPass, Channels, Notch, Reference, RemoveEyes, Step

Array = NDArray[np.float32]
RATE = 128.0
CAP = (
    "Fp1",
    "Fp2",
    "F7",
    "F3",
    "Fz",
    "F4",
    "F8",
    "T7",
    "C3",
    "Cz",
    "C4",
    "T8",
    "P7",
    "P3",
    "Pz",
    "P4",
    "P8",
    "O1",
    "O2",
)


def noise(channels: int, samples: int, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).standard_normal((channels, samples))


def eeg(data: NDArray[np.float64], channels: tuple[str, ...] = CAP, rate: float = RATE) -> Signal:
    return Signal(data.astype(np.float32), rate, channels, "µV")


def directions(names: tuple[str, ...]) -> NDArray[np.float64]:
    """Unit vectors to the places of channels on a sphere."""
    places = mne.channels.make_standard_montage("biosemi64").get_positions()["ch_pos"]
    found = np.array([places[name] for name in names])
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True))


def brain(seconds: float, seed: int = 0) -> NDArray[np.float64]:
    """(19, T) µV of sources in the head, whose fields are as smooth over it as real ones; nothing moves the eyes."""
    generator = np.random.default_rng(seed)
    sources = generator.standard_normal((15, 3))
    sources /= np.linalg.norm(sources, axis=1, keepdims=True)
    fields = np.exp(2 * directions(CAP) @ sources.T - 2)
    band = scipy.signal.butter(2, [2, 30], "bandpass", fs=RATE, output="sos")
    activity = scipy.signal.sosfiltfilt(band, generator.laplace(size=(15, round(seconds * RATE))))
    return np.asarray(20 * fields @ activity + 0.3 * generator.standard_normal((len(CAP), activity.shape[1])))


def blinks(seconds: float) -> NDArray[np.float64]:
    """(T,) one about every 3 s, 0.3 s long, 1 high."""
    trace = np.zeros(round(seconds * RATE))
    trace[np.random.default_rng(3).choice(len(trace) - 64, round(seconds / 3), replace=False)] = 1
    return np.convolve(trace, np.hanning(round(0.3 * RATE)))[: len(trace)]


def correlation(a: Array, b: NDArray[np.float64]) -> float:
    return float(np.corrcoef(a, b)[0, 1])


@pytest.mark.parametrize("method", ["fir", "iir"])
@pytest.mark.parametrize(("low", "high"), [(4.0, 45.0), (1.0, None), (None, 30.0)])
def test_band_pass_keeps_the_passband_in_amplitude_and_phase_and_nothing_else(
    method: str, low: float | None, high: float | None
) -> None:
    """Inside to 1 % of the amplitude (so also in phase); at a tenth of the low edge, 1.4 times the high one, gone."""
    times = np.arange(round(40 * RATE)) / RATE
    inner = slice(round(10 * RATE), -round(10 * RATE))
    kept = 10.0
    lost = ([low / 10] if low else []) + ([high * 1.4] if high else [])
    for hertz in (kept, *lost):
        wave = np.sin(2 * np.pi * hertz * times)[None]
        found = BandPass(low, high, method)(eeg(wave, ("Cz",))).data  # type: ignore[arg-type]
        assert found.dtype == np.float32
        if hertz == kept:
            np.testing.assert_allclose(found[:, inner], wave[:, inner], atol=0.01)
        else:
            assert np.abs(found[:, inner]).max() < 0.1


def test_band_pass_is_mnes() -> None:
    """To a float32's rounding."""
    data = noise(3, 2000) * 20
    expected = mne.filter.filter_data(data, RATE, 4.0, 30.0, verbose="ERROR")
    np.testing.assert_allclose(BandPass(4.0, 30.0)(eeg(data, ("a", "b", "c"))).data, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("step", "seconds", "message"),
    [
        (BandPass(low=1.0), 2.0, r"2 s, shorter than its filter of 3\.3 s"),
        (Notch(50.0), 3.0, r"3 s, shorter than its filter of 6\.6 s"),
        (BandPass(high=64.0), 10.0, "128 Hz, which holds only"),
        (Notch(64.0), 10.0, "cannot hold a notch at 64 Hz"),
    ],
)
def test_a_filter_that_does_not_fit_is_refused(step: Step, seconds: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        step(eeg(noise(1, round(seconds * RATE)), ("Cz",)))


def test_a_short_trial_can_be_filtered_recursively() -> None:
    assert BandPass(low=1.0, method="iir")(eeg(noise(1, 256), ("Cz",))).data.shape == (1, 256)


@pytest.mark.parametrize("edges", [{}, {"low": 30.0, "high": 4.0}])
def test_a_band_without_edges_is_refused(edges: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="low"):
        BandPass(**edges)  # type: ignore[arg-type]


def test_notch_takes_mains_and_its_harmonics_and_leaves_the_rest() -> None:
    """Hum below 1 % of its amplitude, a 40 Hz wave to 1 %, away from the ends; at 500 Hz."""
    times, inner = np.arange(10_000) / 500, slice(2500, -2500)
    wave = np.sin(2 * np.pi * 40 * times)
    hum = np.sin(2 * np.pi * 50 * np.outer([1, 2, 3], times)).sum(axis=0)
    found = Notch(50.0)(eeg((wave + 10 * hum)[None], ("Cz",), 500.0)).data[0]
    np.testing.assert_allclose(found[inner], wave[inner], atol=0.1)
    once = Notch(50.0, harmonics=False)(eeg((10 * hum)[None], ("Cz",), 500.0)).data[0]
    assert once[inner].std() == pytest.approx(10.0, rel=0.02)  # two waves of amplitude 10 are left


def test_channels_are_picked_ordered_and_named() -> None:
    signal = eeg(np.arange(8.0)[:, None] * np.ones(4), ("FP1", "T3", "T4", "T5", "T6", "Cz", "O1", "O2"))
    found = Channels(("o1", "P7", "Fp1", "t7"))(signal)
    assert found.channels == ("o1", "P7", "Fp1", "t7")
    assert found.data[:, 0].tolist() == [6, 3, 0, 1]
    assert (found.rate, found.unit) == (RATE, "µV")


@pytest.mark.parametrize(
    ("names", "message"),
    [(("Fp1", "AF3", "Oz"), "no channel AF3, Oz among Fp1"), (("F3",), "more than one channel F3")],
)
def test_channels_that_are_not_there_once_are_named(names: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Channels(names)(eeg(noise(3, 10), ("Fp1", "F3", "f3")))


@pytest.mark.parametrize("names", [(), ("T3", "T7")])
def test_one_place_twice_is_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="each once"):
        Channels(names)


def test_average_reference_leaves_no_mean_and_all_differences() -> None:
    """Whatever the reference before: adding one signal to all channels changes nothing; to 1e-4 µV."""
    data = noise(5, 300) * 20
    found = Reference()(eeg(data, CAP[:5])).data
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(found[3] - found[1], data[3] - data[1], atol=1e-4)
    np.testing.assert_allclose(Reference()(eeg(data + noise(1, 300, 1) * 50, CAP[:5])).data, found, atol=1e-4)


def test_reference_to_named_channels_is_their_mean() -> None:
    data = noise(4, 300) * 20
    found = Reference(("m2", "M1"))(eeg(data, ("Cz", "M1", "M2", "Pz"))).data
    np.testing.assert_allclose(found, data - data[1:3].mean(axis=0), atol=1e-4)


@pytest.mark.parametrize(("to", "channels"), [("average", ("Cz",)), (("M1",), ("Cz", "Pz"))])
def test_a_reference_that_is_not_there_is_refused(to: str, channels: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"Cz"):
        Reference(to)(eeg(noise(len(channels), 10), channels))  # type: ignore[arg-type]


def test_broken_channels_are_found_and_rebuilt_from_their_neighbours() -> None:
    """One dead, one far too loud, one that measures something else: each correlates above 0.9 with the truth again."""
    truth = brain(20)
    broken = truth.copy()
    dead, loud, alone = (CAP.index(name) for name in ("C3", "P8", "F4"))
    broken[dead] = 0.001 * noise(1, truth.shape[1])
    broken[loud] += 300 * noise(1, truth.shape[1], 1)[0]
    broken[alone] = truth[alone].std() * noise(1, truth.shape[1], 2)
    step = BadChannels()
    assert step.find(eeg(broken)) == {"C3": "flat", "P8": "loud", "F4": "alone"}
    found = step(eeg(broken)).data
    for row in (dead, loud, alone):
        assert correlation(found[row], truth[row]) > 0.9
        assert 0.5 < found[row].std() / truth[row].std() < 1.5
    others = [i for i in range(len(CAP)) if i not in (dead, loud, alone)]
    np.testing.assert_array_equal(found[others], eeg(truth).data[others])


def test_a_whole_recording_is_left_as_it_is() -> None:
    signal = eeg(brain(10, seed=1))
    assert BadChannels()(signal) is signal


def test_old_names_have_places_too() -> None:
    truth = brain(10)
    truth[7] *= 1e-4
    old = tuple({"T7": "T3", "T8": "T4", "P7": "T5", "P8": "T6"}.get(name, name.upper()) for name in CAP)
    assert BadChannels()(eeg(truth, old)).data[7].std() > 1


def test_too_many_broken_channels_are_refused() -> None:
    broken = brain(10)
    broken[:6] *= 1e-6
    with pytest.raises(ValueError, match=r"6 of 19 channels are bad: .*Fp1 \(flat\)"):
        BadChannels()(eeg(broken))


def test_a_channel_without_a_place_is_named() -> None:
    broken = brain(10)
    broken[3] *= 1e-6
    with pytest.raises(ValueError, match="channels EXG1, whose place"):
        BadChannels()(eeg(broken, (*CAP[:-1], "EXG1")))


def contaminated(seconds: float) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Brain, blinks, and both together: 150 µV at the forehead, falling off towards the back."""
    truth, trace = brain(seconds), blinks(seconds)
    forehead = directions(("Fpz",))[0] - [0, 0, 0.5]
    field = np.exp(3 * (directions(CAP) @ forehead - directions(CAP)[0] @ forehead))
    return truth, trace, truth + 150 * np.outer(field, trace)


def test_planted_blinks_are_taken_out() -> None:
    """Of the error at the forehead less than a tenth of the power is left; at the back nothing gets worse."""
    truth, _, mixed = contaminated(40)
    found = RemoveEyes()(eeg(mixed)).data
    front, back = [0, 1], [CAP.index("O1"), CAP.index("O2")]
    assert np.square(found[front] - truth[front]).mean() < 0.1 * np.square(mixed[front] - truth[front]).mean()
    for row in back:
        assert correlation(found[row], truth[row]) > 0.98


def test_an_eog_stream_finds_what_frontal_channels_cannot() -> None:
    """At another rate, a little shorter, and where the forehead has no electrode."""
    truth, trace, mixed = contaminated(40)
    rows = [i for i, name in enumerate(CAP) if not name.startswith("Fp")]
    signal = eeg(mixed[rows], tuple(CAP[i] for i in rows))
    quick = np.interp(np.arange(39 * 256) / 256, np.arange(len(trace)) / RATE, 200 * trace)
    eog = Signal((quick + noise(1, len(quick))).astype(np.float32), 256.0, ("vEOG",), "µV")
    found = RemoveEyes()(signal, eog=eog).data
    assert np.square(found[:3] - truth[rows][:3]).mean() < 0.2 * np.square(mixed[rows][:3] - truth[rows][:3]).mean()
    with pytest.raises(ValueError, match="no channel Fp1, Fp2"):
        RemoveEyes()(signal)


def test_eyes_that_stay_still_change_nothing_and_the_search_is_repeatable() -> None:
    still = eeg(brain(20))
    assert RemoveEyes(correlation=0.95)(still) is still
    moving = eeg(contaminated(20)[2])
    np.testing.assert_array_equal(RemoveEyes()(moving).data, RemoveEyes()(replace(moving)).data)


def test_a_trial_too_short_for_components_is_refused() -> None:
    with pytest.raises(ValueError, match="10 s at least"):
        RemoveEyes()(eeg(brain(5)))


def test_channels_that_all_say_the_same_have_no_components() -> None:
    same = np.repeat(brain(20)[:1], len(CAP), axis=0)
    with pytest.raises(ValueError, match="no independent components in 19 channels"):
        RemoveEyes()(eeg(same))


@pytest.mark.parametrize(
    "step", [BandPass(4.0, 30.0), Notch(), Channels(CAP[::-1]), Reference(), BadChannels(), RemoveEyes()]
)
def test_a_step_leaves_its_input_as_it_was(step: Step) -> None:
    signal = eeg(contaminated(12)[2])
    before = signal.data.copy()
    found = step(signal)
    np.testing.assert_array_equal(signal.data, before)
    assert (found.rate, found.unit) == (RATE, "µV")
    assert found.data.dtype == np.float32


@pytest.mark.parametrize("step", [BandPass(4.0, 30.0), Notch(), BadChannels()])
def test_what_has_no_time_is_refused(step: Step) -> None:
    with pytest.raises(ValueError, match="without time"):
        step(eeg(noise(2, 1), ("Cz", "Pz"), 0.0))
