"""Recordings of one's own, by the ending of their files: what is read from each, and what is refused."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import edfio
import mne
import numpy as np
import pytest
import soundfile
from PIL import Image

from affect.batch import Signal, Video
from affect.errors import UserError
from datamodules.corpora.recording import Span, read
from datamodules.corpora.streams_yaml import Facts

EEG = Facts(rate=100, channels=("Fp1", "Fp2"), unit="µV")
ARRAY = np.arange(600, dtype=np.float32).reshape(2, 300)


def error_of(act: Callable[[], object]) -> UserError:
    with pytest.raises(UserError) as caught:
        act()
    return caught.value


def signal(path: Path, stream: str = "eeg", facts: Facts = EEG, start: float = 0.0, stop: float = np.inf) -> Signal:
    found = read(Span(path, start, stop), stream, facts)
    assert isinstance(found, Signal)
    assert found.data.dtype == np.float32
    return found


# ---- arrays


def test_spans(tmp_path: Path) -> None:
    np.save(path := tmp_path / "a.npy", ARRAY)
    whole = signal(path)
    np.testing.assert_array_equal(whole.data, ARRAY)
    assert (whole.rate, whole.channels, whole.unit) == (100, ("Fp1", "Fp2"), "µV")
    assert signal(path, start=0.5, stop=1.25).data[0].tolist() == list(range(50, 125))
    assert signal(path, start=2.98).data[0].tolist() == [298, 299]
    assert signal(path, stop=3.01).data.shape == (2, 300)  # a rounding more than there is
    assert "3 s" in error_of(lambda: signal(path, stop=3.5)).found
    assert "3 s" in error_of(lambda: signal(path, start=3)).found


@pytest.mark.parametrize(
    ("array", "found", "help_"),
    [
        (np.zeros((300, 2)), "samples first", "array.T"),
        (np.zeros((3, 300)), "(3, 300)", ""),
        (np.zeros((4, 2, 300)), "(4, 2, 300)", "one such array a trial"),
        (np.zeros(300), "(1, 300)", ""),
        (np.array([{}, {}], dtype=object), "allow_pickle", ""),
        (np.zeros((2, 300), dtype=complex), "complex128", ""),
        (np.array(["a", "b"]), "<U1", ""),
    ],
)
def test_arrays_that_are_no_recording(tmp_path: Path, array: Any, found: str, help_: str) -> None:
    np.save(tmp_path / "x.npy", array)
    error = error_of(lambda: signal(tmp_path / "x.npy"))
    assert error.where == str(tmp_path / "x.npy")
    assert found in error.found
    assert help_ in error.remedy


def test_arrays_of_other_kinds(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.asfortranarray(ARRAY.astype(">i2")))
    np.testing.assert_array_equal(signal(tmp_path / "x.npy").data, ARRAY)
    np.save(tmp_path / "y.npy", ARRAY[0])
    one = signal(tmp_path / "y.npy", facts=Facts(rate=100))
    assert (one.data.shape, one.channels, one.unit) == ((1, 300), ("eeg",), "a.u.")
    (tmp_path / "z.npy").write_bytes((tmp_path / "y.npy").read_bytes()[:200])
    assert error_of(lambda: signal(tmp_path / "z.npy")).where == str(tmp_path / "z.npy")
    assert "channels" in error_of(lambda: signal(tmp_path / "x.npy", facts=Facts(rate=100))).found


# ---- EDF, BDF, FIF


def write_edf(path: Path, more: Mapping[str, tuple[str, float]] | None = None) -> Path:
    """2 s: EEG Fp1 and Fp2, ECG, EDA at 4 Hz; channel k goes from 0 to k of its units."""
    channels = {"EEG Fp1": ("uV", 100), "EEG Fp2": ("mV", 100), "ECG": ("mV", 100), "EDA": ("uS", 4), **(more or {})}
    kinds: Any = (edfio.BdfSignal, edfio.Bdf) if path.suffix == ".bdf" else (edfio.EdfSignal, edfio.Edf)
    signals = [
        kinds[0](k * np.tile([0.0, 1.0], int(rate)), rate, label=label, physical_dimension=unit, physical_range=(-9, 9))
        for k, (label, (unit, rate)) in enumerate(channels.items(), start=1)
    ]
    kinds[1](signals, annotations=[edfio.EdfAnnotation(0.5, None, "start")]).write(path)
    return path


@pytest.mark.parametrize("name", ["x.edf", "x.bdf", "x.EDF"])
def test_one_file_serves_several_streams(tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    path = write_edf(tmp_path / name)
    eeg = signal(path, facts=Facts())  # by the type in the labels
    assert (eeg.channels, eeg.rate, eeg.unit, eeg.data.shape) == (("Fp1", "Fp2"), 100, "µV", (2, 200))
    np.testing.assert_allclose(eeg.data.max(axis=1), [1, 2000], rtol=1e-3)
    named = signal(path, facts=Facts(rate=100, channels=("EEG Fp2", "ECG"), unit="mV"))
    np.testing.assert_allclose(named.data.max(axis=1), [2, 3], rtol=1e-3)
    eda = signal(path, "eda", Facts(), start=0.5, stop=1.5)
    assert (eda.channels, eda.rate, eda.unit, eda.data.shape) == (("EDA",), 4, "uS", (1, 4))
    assert eda.data.max() == pytest.approx(4, rel=1e-3)
    assert "2 s" in error_of(lambda: signal(path, "ecg", Facts(), stop=2.5)).found
    assert capfd.readouterr() == ("", "")


def test_spans_of_an_edf_are_its_samples(tmp_path: Path) -> None:
    wave = np.sin(np.arange(1000) / 7)
    edfio.Edf([edfio.EdfSignal(wave, 100, label="ECG", physical_dimension="uV")]).write(tmp_path / "x.edf")
    part = signal(tmp_path / "x.edf", "ecg", Facts(), start=2.34, stop=7.89)
    np.testing.assert_allclose(part.data[0], wave[234:789], atol=1e-4)


@pytest.mark.parametrize(
    ("stream", "facts", "found"),
    [
        ("eeg", Facts(channels=("Fp1", "Cz")), "['Cz'] among ['EEG Fp1'"),
        ("eeg", Facts(channels=("Fp1", "EDA")), "[4.0, 100.0] Hz"),
        ("eeg", Facts(rate=256), "100 Hz"),
        ("eeg", Facts(unit="°C"), "['mV', 'uV']"),
        ("bvp", Facts(), "no channel of type bvp"),
        ("resp", Facts(channels=("belt", "hose")), "['%', 'mbar']"),
        ("eog", Facts(), "more than once"),
    ],
)
def test_channels_that_do_not_fit(tmp_path: Path, stream: str, facts: Facts, found: str) -> None:
    path = write_edf(tmp_path / "x.edf", {"belt": ("%", 100), "hose": ("mbar", 100)})
    if stream == "eog":
        path.write_bytes(path.read_bytes().replace(b"belt", b"EOG ").replace(b"hose", b"EOG "))
    error = error_of(lambda: signal(path, stream, facts))
    assert error.where == str(path)
    assert found in error.found


@pytest.mark.parametrize("size", [0, 200, 400, 1000, -1])
def test_a_truncated_edf_is_no_shorter_trial(tmp_path: Path, size: int) -> None:
    path = write_edf(tmp_path / "x.edf")
    path.write_bytes(path.read_bytes()[:size])
    assert error_of(lambda: signal(path, "ecg", Facts())).where == str(path)


def test_an_edf_with_gaps_or_never_closed(tmp_path: Path) -> None:
    path = write_edf(tmp_path / "x.edf")
    good = path.read_bytes()
    for at, text, found in ((192, b"EDF+D", "gaps"), (236, b"-1      ", "-1 records"), (244, b"x", "header")):
        path.write_bytes(good[:at] + text + good[at + len(text) :])
        assert found in error_of(lambda: signal(path, "ecg", Facts())).found


def test_fif_by_type_and_by_name(tmp_path: Path) -> None:
    info = mne.create_info(["Fp1", "Fp2", "heart", "skin"], 100, ["eeg", "eeg", "ecg", "gsr"])
    data = np.array([1e-6, 2e-6, 3e-3, 4.0])[:, None] * np.ones(500)
    mne.io.RawArray(data, info, verbose="ERROR").save(path := tmp_path / "x_raw.fif", verbose="ERROR")
    eeg = signal(path, facts=Facts(), start=1, stop=2)
    assert (eeg.channels, eeg.unit, eeg.rate, eeg.data.shape) == (("Fp1", "Fp2"), "µV", 100, (2, 100))
    np.testing.assert_allclose(eeg.data[:, 0], [1, 2], rtol=1e-5)
    assert signal(path, "eda", Facts(unit="S")).data.max() == pytest.approx(4)
    assert signal(path, "ecg", Facts(channels=("heart",), unit="mV")).data.max() == pytest.approx(3)
    path.write_bytes(path.read_bytes()[:900])
    assert error_of(lambda: signal(path)).where == str(path)


# ---- tables


@pytest.mark.parametrize(
    "text",
    [
        "time,Fp1,Fp2\n0,1.5,4\n1,2.5,5\n2,,6\n",
        "\ufefftime;Fp2;Fp1\n0;4;1,5\n1;5;2,5\n2;6;\n\n",
        "Fp2\tFp1\n4\t1.5\n5\t2.5\n6\t\n",
    ],
)
def test_tables_of_samples(tmp_path: Path, text: str) -> None:
    (path := tmp_path / "x.csv").write_text(text, encoding="utf-8")
    eeg = signal(path)
    np.testing.assert_array_equal(eeg.data, np.array([[1.5, 2.5, np.nan], [4, 5, 6]], dtype=np.float32))
    assert (eeg.rate, eeg.channels, eeg.unit) == (100, ("Fp1", "Fp2"), "µV")


def test_a_table_of_one_column(tmp_path: Path) -> None:
    """A sample that is missing is an empty line; decimal commas need no semicolon."""
    (path := tmp_path / "x.csv").write_text("BVP\n0,5\n\n-1,5\n")
    bvp = signal(path, "bvp", Facts(rate=64))
    np.testing.assert_array_equal(bvp.data, np.array([[0.5, np.nan, -1.5]], dtype=np.float32))
    assert bvp.channels == ("BVP",)


@pytest.mark.parametrize(
    ("text", "where", "found"),
    [
        (b"", "x.csv", "no table"),
        (b"\x00\xff\xfe", "x.csv", "no table"),
        (b"Fp1,Cz\n1,2\n", "x.csv", "no column ['Fp2']"),
        (b"Fp1,Fp2\n1,2\n3,x\n", "row 3", "'x'"),
        (b"Fp1;Fp2\n1,5;2,5\n3,5;lost\n", "row 3", "'lost'"),
        (b"Fp1,Fp2\n1,2,3\n4,5,6\n", "x.csv", "no table"),
        (b"1,2\n3,4\n", "x.csv", "no column"),
    ],
)
def test_tables_that_are_none(tmp_path: Path, text: bytes, where: str, found: str) -> None:
    (path := tmp_path / "x.csv").write_bytes(text)
    error = error_of(lambda: signal(path))
    assert where in error.where
    assert found in error.found


def test_a_table_without_facts_says_what_is_needed(tmp_path: Path) -> None:
    (path := tmp_path / "x.csv").write_text("Fp1,Fp2\n1,2\n")
    error = error_of(lambda: signal(path, facts=Facts()))
    assert "rate and channels" in error.found
    assert "eeg: {rate:" in error.remedy
    assert "['Fp1', 'Fp2']" in error.expected


def test_openface_is_known_by_its_header(tmp_path: Path) -> None:
    pytest.importorskip("datamodules.formats.openface")
    head = "frame, face_id, timestamp, confidence, success, AU01_r, AU02_r, AU01_c"
    rows = [f"{n + 1}, 0, {n / 25:.3f}, 0.98, 1, {n % 5}.00, 0.50, 1.00" for n in range(50)]
    (path := tmp_path / "x.csv").write_text("\n".join([head, *rows, ""]))
    units = signal(path, "au", Facts())
    assert units.rate == pytest.approx(25)
    assert units.data.shape[1] == 50
    assert signal(path, "au", Facts(), start=1).data.shape[1] == 25


# ---- sound, film, pictures


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".WAV"])
def test_sound(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    wave = 0.5 * np.sin(np.arange(16_000) / 9)
    soundfile.write(path, np.stack([wave, wave], axis=1), 8000, format=suffix[1:].upper())
    part = signal(path, "audio", Facts(), start=0.5, stop=1.25)
    assert (part.rate, part.data.shape, part.unit) == (8000, (1, 6000), "amplitude")
    np.testing.assert_allclose(part.data[0], wave[4000:10_000], atol=0.05)
    assert "8000 Hz" in error_of(lambda: signal(path, "audio", Facts(rate=16_000))).found


def write_film(path: Path) -> None:
    """2 s at 10 pictures a second that get lighter, with a tone."""
    import av

    with av.open(str(path), "w") as film:
        pictures, sound = film.add_stream("mpeg4", rate=10), film.add_stream("aac", rate=8000, layout="mono")
        pictures.width = pictures.height = 32
        for n in range(20):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 10 * n, dtype=np.uint8), format="rgb24")
            film.mux(pictures.encode(frame))
        tone = (0.5 * np.sin(np.arange(16_000) / 5)).astype(np.float32)[None]
        frame = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
        frame.rate = 8000
        film.mux([*sound.encode(frame), *sound.encode(None), *pictures.encode(None)])


def test_a_film_has_pictures_and_sound(tmp_path: Path) -> None:
    write_film(path := tmp_path / "x.mp4")
    film = read(Span(path, 1.0, 1.5), "face", Facts())
    assert isinstance(film, Video)
    assert film.seconds == 0.5
    shown = [float(frame.mean()) for frame in film.frames(10)]
    np.testing.assert_allclose(shown, [100, 110, 120, 130, 140], atol=6)
    sound = signal(path, "audio", Facts(), stop=1.0)
    assert (sound.rate, sound.data.shape) == (8000, (1, 8000))


def test_a_picture_is_a_still(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8, 3), 77, dtype=np.uint8)).save(path := tmp_path / "x.png")
    still = read(Span(path), "face", Facts())
    assert isinstance(still, Video)
    assert [frame.mean() for frame in still.frames(5)] == [77]
    assert still.seconds == np.inf
