"""Files as they come: every corpus damaged, saved by other programs, under any name, and prepared through the door."""

from __future__ import annotations

import csv
import io
import json
import os
import pickle
import re
import shutil
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import soundfile
import soxr
import yaml
from corpus_files import MAIN, STREAM
from test_every_config import small
from test_every_corpus import FEATURES, STAND_INS, WITH_FILMS

import datamodules.corpora
import datamodules.standin
from datamodules.standin import epoc
from datamodules.standin.drawn_face import draw_face, write_video

if TYPE_CHECKING:
    from tests.experiments.conftest import Answer, Door

AGAIN = "download the file again"
Prepare = Callable[..., "Answer"]
Copy = Callable[[str], Path]


def config(corpus: str, arguments: dict[str, Any], streams: tuple[str, ...], folder: Path) -> dict[str, Any]:
    """An experiment on these streams, summed up, that writes below `folder`."""
    known = getattr(datamodules.standin, f"StandIn{corpus.removeprefix('StandIn')}")
    rating, scale = next(iter(known.ratings.items()))
    target = {"class_path": "datamodules.targets.Threshold", "init_args": {"rating": rating, "above": scale[0]}}
    if isinstance(scale[0], str):
        target = {"class_path": "datamodules.targets.Classes", "init_args": {"rating": rating, "classes": [*scale]}}
    room = "standin" if corpus.startswith("StandIn") else "corpora"
    return {
        "name": "bad",
        "data": {
            "corpus": {"class_path": f"datamodules.{room}.{corpus}", "init_args": arguments},
            "streams": {s: FEATURES["face" if s == "face" else "other"] for s in streams},
            "target": target,
            "window": {"seconds": 1, "short": "repeat"},
            "cache": str(folder / "cache"),
        },
        "protocol": "datamodules.protocols.LeaveOneSubjectOut",
        "model": {"encoders": dict.fromkeys(streams, "affect.encoders.BandMLP")},
        "launcher": {"local": {"workers": 1}},
    }


@pytest.fixture
def prepare(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, tmp_path: Path) -> Prepare:
    """scripts/prepare.py through the door of run.py: prepare(corpus, arguments or root, stream, …, --more, cache=…)."""
    from scripts.prepare import main

    monkeypatch.setattr("experiments.run.main", main)
    door: Door = request.getfixturevalue("door")

    def knock(corpus: str, arguments: dict[str, Any] | Path, *more: str, folder: Path = tmp_path) -> Answer:
        given = {"root": str(arguments)} if isinstance(arguments, Path) else arguments
        streams = tuple(name for name in more if not name.startswith("--"))
        folder.mkdir(exist_ok=True)
        own = config(corpus, given, streams or (STREAM[corpus.removeprefix("StandIn")],), folder)
        (path := folder / "bad.yaml").write_text(yaml.safe_dump(own, sort_keys=False), encoding="utf-8")
        return door([f"--config={path}", *(option for option in more if option.startswith("--"))])

    return knock


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """Two or three invented people in a corpus's layout, never to be changed."""

    @cache
    def write(name: str) -> Path:
        component = small(name, tmp_path_factory.mktemp(name), 3.0)
        more = {"layout": "converted"} if name == "Ceap" else {"dead_leads": 0} if name == "Amigos" else {}
        made = getattr(datamodules.standin, f"StandIn{name}")(
            **component["init_args"] | WITH_FILMS.get(name, {}) | more
        )
        made.ensure()
        root: Path = made.root
        return root

    return write


@pytest.fixture
def copy(written: Copy, tmp_path: Path) -> Copy:
    """The same to be changed: links, so unlink a file before writing it."""
    return lambda name: shutil.copytree(written(name), tmp_path / name, copy_function=os.link)


def one(root: Path, pattern: str) -> Path:
    return min(root.glob(pattern))


def rewrite(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


def prepared(folder: Path) -> tuple[list[bytes], str]:
    """All numbers of a cache, and its trials without the place they are from."""
    numbers = [path.read_bytes() for path in sorted(folder.rglob("data.bin"), key=lambda path: len(path.parts))]
    entries = sorted(folder.glob("cache/*/trials-*/people/*.json"), key=lambda path: path.name.rpartition("-")[0])
    trials = [trial for path in entries for trial in json.loads(path.read_text(encoding="utf-8"))["trials"]]
    return numbers, json.dumps([{k: v for k, v in trial.items() if k != "where"} for trial in trials])


# ---- cut off, or empty


@pytest.mark.parametrize("name", STAND_INS)
def test_half_a_file_and_none_are_named(name: str, copy: Copy, prepare: Prepare) -> None:
    path = one(root := copy(name), MAIN[name])
    streams = ("eeg",) if name == "Folder" else ()
    for content in (path.read_bytes()[: path.stat().st_size // 2], b""):
        rewrite(path, content)
        answer = prepare(name, root, *streams)
        answer.refused(path.name, "", "", "")
        assert AGAIN in answer.err or "correct the file" in answer.err


# ---- under any name


@pytest.mark.parametrize("name", STAND_INS)
def test_folders_may_have_any_name(name: str, prepare: Prepare, tmp_path: Path) -> None:
    folder = tmp_path / "Körper 測定, d'été №1"
    component = small(name, folder / "корпус", 3.0)["init_args"] | WITH_FILMS.get(name, {})
    stream = "face" if name in ("CremaD", "Deap") else STREAM[name]
    answer = prepare(f"StandIn{name}", component, stream, folder=folder)
    assert (answer.code, answer.err) == (0, "")
    assert str(folder / "cache") in answer.out


@pytest.mark.parametrize("stem", ["участник исследования номер", "x" * 150], ids=["Cyrillic", "long"])
def test_people_may_have_long_names(prepare: Prepare, tmp_path: Path, stem: str) -> None:
    """All recorded in one file, of which each has a part."""
    root = tmp_path / "own"
    root.mkdir()
    samples = np.random.default_rng(0).standard_normal((1, 6 * 320)).astype(np.float32)
    np.save(root / "all.npy", samples)
    rows = [(f"{stem} {n:02d}", "film", "all.npy", 5 * n, 5 * n + 5, 1 + n) for n in range(6)]
    names = ["subject", "trial", "file.eda", "start", "stop", "rating.valence"]
    pd.DataFrame(rows, columns=names).to_csv(root / "trials.csv", index=False)
    about = "streams: {eda: {rate: 64, channels: [EDA], unit: µS}}\nratings: {valence: [1, 9]}\n"
    (root / "streams.yaml").write_text(about, encoding="utf-8")
    assert "6 people, 6 trials" in prepare("Folder", root).out
    assert prepared(tmp_path)[0][0] == samples.tobytes()
    assert len([*tmp_path.glob("cache/folder/eda-*/people/*.json")]) == 6


# ---- saved by another program


def european(path: Path) -> None:
    """As spreadsheets save a table where the comma is the decimal sign."""
    text = path.read_text(encoding="utf-8")
    rows = list(csv.reader(io.StringIO(text), delimiter="\t" if path.suffix == ".tsv" else ","))
    number = re.compile(r"\s*-?\d+\.\d+\s*")
    saved = io.StringIO(newline="")
    changed = [[cell.replace(".", ",") if number.fullmatch(cell) else cell for cell in row] for row in rows]
    csv.writer(saved, delimiter=";", lineterminator="\r\n").writerows(changed)
    rewrite(path, saved.getvalue().encode("utf-8-sig"))


@pytest.mark.parametrize(
    ("name", "streams", "tables"),
    [
        ("StressPredict", (), "*/*.csv Raw_data/*/[ABEHT]*.csv"),
        ("Ceap", (), "metadata.csv"),
        ("LondonFaces", (), "*.csv"),
        ("Ravdess", ("au",), "*.csv"),
        ("Nemo", (), "data.tsv"),
        ("CremaD", (), "*.csv"),
        ("Folder", (), "trials.csv */*.csv"),
        ("Eegmat", (), "*.csv"),
        ("Deap", (), "metadata_csv/*.csv"),
    ],
)
def test_a_table_may_be_saved_with_semicolons_and_decimal_commas(
    name: str, streams: tuple[str, ...], tables: str, copy: Copy, prepare: Prepare, tmp_path: Path
) -> None:
    root = copy(name)
    before = prepare(name, root, *streams, folder=tmp_path / "before")
    assert (before.code, before.err) == (0, "")
    paths = [path for pattern in tables.split() for path in root.glob(pattern)]
    assert paths
    for path in paths:
        european(path)
    after = prepare(name, root, *streams, folder=tmp_path / "after")
    assert (after.code, after.err) == (0, "")
    assert prepared(tmp_path / "after") == prepared(tmp_path / "before")


def matlab(value: Any) -> Any:
    """What scipy gives of a MATLAB variable, as matlab73 takes it."""
    if value.dtype.names:
        return {name: matlab(value[name].flat[0]) for name in value.dtype.names}
    if value.dtype.kind == "U":
        return str(value.item()) if value.size else ""
    if value.dtype == object:
        cells = np.empty(value.shape, dtype=object)
        for at in np.ndindex(value.shape):
            cells[at] = matlab(value[at])
        return cells
    return value


def variables(path: Path) -> dict[str, Any]:
    from scipy.io import loadmat

    return {name: value for name, value in loadmat(path).items() if not name.startswith("__")}


@pytest.mark.parametrize("name", ["Amigos", "Dreamer"])
def test_matlab_files_may_be_of_either_kind(
    name: str, copy: Copy, prepare: Prepare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Version 7.3 beside version 5 (of AMIGOS, which has a file a person)."""
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "datamodules")
    from matlab73 import write_mat73

    root = copy(name)
    assert prepare(name, root, folder=tmp_path / "before").code == 0
    path = one(root, MAIN[name])
    content = {key: matlab(value) for key, value in variables(path).items()}
    path.unlink()
    write_mat73(path, content)
    after = prepare(name, root, folder=tmp_path / "after")
    assert (after.code, after.err) == (0, "")
    assert prepared(tmp_path / "after") == prepared(tmp_path / "before")


# ---- bad trials


def test_an_amigos_trial_of_nans(copy: Copy, prepare: Prepare) -> None:
    path = one(root := copy("Amigos"), MAIN["Amigos"])
    content = variables(path)
    content["joined_data"][0, 2][:] = np.nan
    content["joined_data"][0, 3][5, 14] = np.nan
    path.unlink()
    epoc.save(path, content)
    lost, worse = f"{path.name}, video 9: ", f"{path.name}, video 10: 1 NaN or infinite samples in ecg"
    answer = prepare("Amigos", root, "eeg", "ecg")
    answer.refused(f"{path.name}, video 9", "NaN or infinite samples in eeg", "finite", "--data.bad_trials=drop")
    answer = prepare("Amigos", root, "eeg", "ecg", "--data.bad_trials=drop")
    assert "3 people, 45 trials" in answer.out  # a cell is empty
    assert lost in answer.out
    assert worse in answer.out
    answer = prepare("Amigos", root, "eeg", "ecg", "--data.bad_trials=absent")
    assert "3 people, 46 trials" in answer.out
    assert lost in answer.out  # nothing is left of it
    assert worse not in answer.out
    assert re.search(r"^ *eeg +14 +128 +µV +46 +0 ", answer.out, re.M)
    assert re.search(r"^ *ecg +2 +128 +a\.u\. +45 +1 ", answer.out, re.M)


@pytest.mark.parametrize(("name", "pattern"), [("EmoDB", "wav/03a01Fa.wav"), ("Ravdess", "Actor_02/03*.wav")])
def test_sound_of_another_rate(name: str, pattern: str, copy: Copy, prepare: Prepare) -> None:
    """And of two channels, which become one."""
    root = copy(name)
    for path in root.glob(pattern):
        samples, rate = soundfile.read(path)
        again = soxr.resample(samples, rate, 44_100)
        path.unlink()
        soundfile.write(path, np.stack([again, again], axis=1), 44_100, subtype="PCM_16")
    first = one(root, pattern).name
    prepare(name, root).refused(first, "audio at 44100 Hz", "16000 Hz", "Resample")
    dropped = prepare(name, root, "--data.bad_trials=drop")
    if "*" in pattern:  # a person's trials are all alike
        dropped.refused(first, "audio at 44100 Hz", "16000 Hz", "Resample")
    else:
        assert f"left out:\n  {pattern}: audio at 44100 Hz" in dropped.out
    resample = '[{"class_path": "affect.preprocessing.Resample", "init_args": {"rate": 16000}}]'
    answer = prepare(name, root, f"--data.streams.audio.steps={resample}")
    assert (answer.code, answer.err) == (0, "")
    assert "quality: nothing missing" in answer.out


def uneven(path: Path) -> None:
    """Three seconds of film whose pictures are 40 ms apart, and some 300."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=100)
        stream.width = stream.height = 96
        stream.pix_fmt = "yuv420p"
        at = 0
        for i in range(33):
            frame = av.VideoFrame.from_ndarray(draw_face(96, 0, 0, 3), format="rgb24")
            frame.pts, frame.time_base = at // 10, Fraction(1, 100)
            container.mux(stream.encode(frame))
            at += 300 if i % 5 == 4 else 40
        container.mux(stream.encode(None))


GREY = np.full((96, 96, 3), 128, np.uint8)
DAMAGES: dict[str, Callable[[Path], object]] = {
    "no face": lambda path: write_video(path, [GREY] * 30, 10),
    "do not last alike": lambda path: write_video(path, [draw_face(96, 0, 0, 3)] * 5, 10),
    "no readable": lambda path: path.write_bytes(b"no film" * 99),
    "": uneven,
}
FILMS = {"Deap": ("face_video/s02/*", "eda"), "Ravdess": ("Actor_02/01*.mp4", "audio")}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", FILMS)
def test_a_film_like_no_other(name: str, damage: str, copy: Copy, prepare: Prepare) -> None:
    pattern, other = FILMS[name]
    path = one(root := copy(name), pattern)
    path.unlink()
    DAMAGES[damage](path)
    answer = prepare(name, root, "face", other)
    if not damage:
        assert (answer.code, answer.err) == (0, "")
        return
    named = path.name if damage != "do not last alike" else ""  # one of the two is to blame
    answer.refused(named, damage, "", "")
    dropped = prepare(name, root, "face", other, "--data.bad_trials=drop")
    assert (dropped.code, dropped.err) == (0, "")
    assert "left out:\n" in dropped.out
    assert "Empty DataFrame" not in dropped.out


@pytest.mark.parametrize("damage", ["no face", "no readable"])
def test_a_photograph_like_no_other(damage: str, copy: Copy, prepare: Prepare) -> None:
    from PIL import Image

    path = one(root := copy("LondonFaces"), "smiling_front/002*")
    rewrite(path, b"\0\1")
    if damage == "no face":
        Image.fromarray(GREY).save(path)
    prepare("LondonFaces", root).refused(path.name, damage, "", "")
    assert "3 people, 5 trials" in prepare("LondonFaces", root, "--data.bad_trials=drop").out


def test_streams_that_do_not_last_alike(copy: Copy, prepare: Prepare, tmp_path: Path) -> None:
    path = one(root := copy("Folder"), "P02/*_eda.csv")
    lines = path.read_text().splitlines(keepends=True)
    rewrite(path, "".join(lines[: len(lines) // 2]).encode())
    prepare("Folder", root, "eeg", "eda").refused(
        "trials.csv, row 8", "eeg 5.0 s, eda 2.4 s", "within a second", "drop"
    )
    report = tmp_path / "report.csv"
    dropped = prepare("Folder", root, "eeg", "eda", "--data.bad_trials=drop", f"--report={report}")
    assert "trials.csv, row 8: streams that do not last alike: eeg 5.0 s, eda 2.4 s\n" in dropped.out
    assert pd.read_csv(report)["where"].tolist() == ["trials.csv, row 8"]


def test_what_was_asked_before_changes_nothing(copy: Copy, prepare: Prepare, tmp_path: Path) -> None:
    """One person has no pulse; whether that matters is for each experiment to say."""
    path = one(root := copy("Wesad"), MAIN["Wesad"])
    content = pickle.loads(path.read_bytes(), encoding="latin1")
    del content["signal"]["wrist"]["BVP"]
    rewrite(path, pickle.dumps(content, protocol=2))
    for order in ([("ecg",), ("ecg", "bvp"), ("ecg",)], [("ecg", "bvp"), ("ecg",), ("bvp",)]):
        for streams in order:
            answer = prepare("Wesad", root, *streams, "--data.bad_trials=drop", folder=tmp_path / "-".join(order[0]))
            assert answer.code == 0
            assert ("2 people, 10 trials" if "bvp" in streams else "3 people, 15 trials") in answer.out
            assert ("signal of the wrist, 'BVP': missing" in answer.out) == ("bvp" in streams)
