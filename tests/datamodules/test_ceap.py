"""CEAP-360VR's reader, of the official and of the converted files, and its stand-in."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict

from affect.batch import Signal
from affect.errors import UserError
from datamodules.corpora.base import Trial
from datamodules.corpora.ceap import RATE, Ceap
from datamodules.corpora.ceap_files import PARTS
from datamodules.quality import check_rating, inspect
from datamodules.standin.ceap import StandInCeap, write_ceap

SECONDS = 6.0
BEHAVIOUR = ("head", "gaze", "annotation")
WRISTBAND = {"bvp": 64, "eda": 4, "temp": 4, "hr": 1, "acc": 32}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ceap")
    for layout in ("official", "converted"):
        (folder / layout).mkdir()
        write_ceap(folder / layout, subjects=3, seconds=SECONDS, layout=layout)
    return folder


@pytest.fixture
def official(written: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return shutil.copytree(written / "official", tmp_path / "official")


@pytest.fixture
def converted(written: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return shutil.copytree(written / "converted", tmp_path / "converted")


def error_of(act: Callable[[], object]) -> UserError:
    with pytest.raises(UserError) as caught:
        act()
    return caught.value


def read(root: Path, subject: str = "P01", *streams: str) -> list[Any]:
    trials = list(Ceap(str(root)).trials(subject, streams or Ceap.streams))
    assert all(isinstance(trial, Trial) for trial in trials)
    return trials


def signal(root: Path, stream: str, film: int = 0) -> Signal:
    found = read(root, "P01", stream)[film].streams[stream]()
    assert isinstance(found, Signal)
    return found


def edit(root: Path, stream: str, change: Callable[[Any], Any], film: int = 0) -> Path:
    """The rows of P1's film changed, in the official files."""
    part = PARTS[stream]
    path = root / part.file.format(1)
    content = json.loads(path.read_text())
    (people,) = content.values()
    (films,) = (value for value in people[0].values() if isinstance(value, list))
    films[film][part.rows] = change(films[film][part.rows])
    path.write_text(json.dumps(content))
    return path


# ---- both ways of keeping it


@pytest.mark.parametrize("layout", ["official", "converted"])
def test_eight_films_of_everyone(written: Path, layout: str) -> None:
    corpus = Ceap(str(written / layout))
    corpus.ensure()
    assert corpus.subjects() == ["P01", "P02", "P03"]
    trials = read(written / layout, "P02")
    assert [t.stimulus for t in trials] == [f"V{i}" for i in range(1, 9)]
    for trial in trials:
        for name, value in trial.ratings.items():
            check_rating(name, value, corpus.ratings[name], trial.where)
        assert trial.group["sex"] in ("female", "male")
        assert 20 <= trial.group["age"] < 34
        signals = {name: source() for name, source in trial.streams.items()}
        assert [*signals] == [*BEHAVIOUR, *(WRISTBAND if layout == "official" else ())]
        for name, found in signals.items():
            assert (found.rate, found.data.dtype) == (WRISTBAND.get(name, RATE), np.float32)
            assert found.seconds == pytest.approx(SECONDS, abs=1)
            assert inspect(found, name, trial.where).problem is None
    assert len({t.where for t in trials}) == 8


def test_both_ways_hold_the_same(written: Path) -> None:
    for one, other in zip(read(written / "official"), read(written / "converted"), strict=True):
        assert (dict(one.ratings), dict(one.group)) == (dict(other.ratings), dict(other.group))
        assert one.subject == other.subject == "P01"


def test_files_are_those_a_stream_is_read_from(written: Path) -> None:
    corpus = Ceap(str(written / "official"))
    names = [path.name for path in corpus.files_of("P02", "gaze")]
    assert names == ["P2_Questionnaire_Data.json", "VideoInfo.json", "P2_Behavior_FixationData.json"]
    assert {path.name for path in corpus.files("P02")} == {
        *names,
        "P2_Behavior_HeadScanPathData.json",
        "P2_Annotation_TransData.json",
        "P2_Physio_RawData.json",
    }
    corpus = Ceap(str(written / "converted"))
    assert [path.name for path in corpus.files("P02")] == ["metadata.csv", *(f"P02_V{i}.npz" for i in range(1, 9))]


def test_empty_and_absent_folder(tmp_path: Path) -> None:
    assert "no ceap recording" in error_of(Ceap(str(tmp_path)).subjects).found
    assert "no such folder" in error_of(Ceap(str(tmp_path / "none")).ensure).found


# ---- what becomes of the numbers


def test_yaw_goes_on_past_the_back_of_the_head(official: Path) -> None:
    turning = [{"ID": i, "Pitch": -0.5 * i, "Yaw": (50.0 * i + 180) % 360 - 180} for i in range(30)]
    edit(official, "head", lambda rows: turning)
    head = signal(official, "head")
    np.testing.assert_allclose(head.data, [-0.5 * np.arange(30), 50.0 * np.arange(30)], rtol=1e-5)
    assert (head.channels, head.unit) == (("pitch", "yaw"), "°")


def test_gaze_is_the_fixation_that_goes_on_or_was_the_last(official: Path) -> None:
    seen = ((10, 19, 1.0, 170.0), (25, 49, 2.0, -170.0), (60, 74, -3.0, 160.0))  # 25 frames a second
    edit(official, "gaze", lambda rows: [dict(zip(PARTS["gaze"].keys, row, strict=True)) for row in seen])
    gaze = signal(official, "gaze").data
    assert gaze.shape == (3, 30)  # a sample is 5 frames
    np.testing.assert_array_equal(gaze[0], [1.0] * 5 + [2.0] * 7 + [-3.0] * 18)
    np.testing.assert_array_equal(gaze[1], [170.0] * 5 + [190.0] * 7 + [160.0] * 18)
    share = [0, 0, 1, 1, 0, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1] + [0] * 15
    np.testing.assert_allclose(gaze[2], share, atol=1e-6)
    edit(official, "gaze", lambda rows: [{**rows[0], "StartFrame": 12, "EndFrame": 16}])
    np.testing.assert_allclose(signal(official, "gaze").data[2, :5], [0, 0, 0.6, 0.4, 0], atol=1e-6)


def test_annotation_and_wristband_are_brought_to_even_steps(official: Path) -> None:
    times = np.sort(np.random.default_rng(0).uniform(0, 6.1, 60))
    edit(
        official,
        "annotation",
        lambda rows: [{"TimeStamp": t, "Valence": 1 + t, "Arousal": 9 - t} for t in times.tolist()],
    )
    annotation = signal(official, "annotation")
    assert (annotation.channels, annotation.unit) == (("valence", "arousal"), "1–9")
    inside = slice(5, 25)
    np.testing.assert_allclose(annotation.data[0, inside], 1 + np.arange(30)[inside] / 5, rtol=1e-6)
    np.testing.assert_allclose(annotation.data[1, inside], 9 - np.arange(30)[inside] / 5, rtol=1e-6)
    late = 0.01  # the wristband's clock
    edit(
        official, "eda", lambda rows: [{"TimeStamp": row["TimeStamp"] + late, "EDA": row["TimeStamp"]} for row in rows]
    )
    eda = signal(official, "eda")
    assert (eda.rate, eda.unit) == (4, "µS")
    np.testing.assert_allclose(eda.data[0, 1:], np.arange(24)[1:] / 4 - late, atol=1e-6)
    raw = json.loads((official / PARTS["acc"].file.format(1)).read_text())["Physio_RawData"][0]["Video_Physio_RawData"]
    still = signal(official, "acc")
    assert (still.channels, still.unit) == (("x", "y", "z"), "g")
    assert still.data[2, 0] == np.float32(raw[0]["ACC_RawData"][0]["ACC_Z"] / 64)


# ---- bad input, official


def test_gaps_in_the_official_numbers_are_told_and_may_be_meant(official: Path) -> None:
    (official / "2_QuestionnaireData/P2_Questionnaire_Data.json").unlink()
    assert "['P02']" in error_of(Ceap(str(official)).subjects).found
    assert Ceap(str(official), subjects=["P03", "P01"]).subjects() == ["P01", "P03"]


def test_a_missing_file_is_a_missing_stream(official: Path) -> None:
    shutil.rmtree(official / "5_PhysioData")
    assert [*read(official)[0].streams] == list(BEHAVIOUR)


@pytest.mark.parametrize(
    ("stream", "change", "told"),
    [
        ("head", lambda rows: rows[:-9], "positions of the head"),
        ("head", lambda rows: [{**row, "Yaw": "left"} for row in rows], "left"),
        ("head", lambda rows: [{"Pitch": 1.0} for row in rows], "KeyError: 'Yaw'"),
        ("head", lambda rows: {}, "positions of the head"),
        ("head", lambda rows: None, "TypeError"),
        ("gaze", lambda rows: [], "no fixation"),
        ("gaze", lambda rows: rows[::-1], "not one after the other"),
        ("gaze", lambda rows: [{**row, "EndFrame": row["EndFrame"] + 900} for row in rows], "not one after the other"),
        ("annotation", lambda rows: [], "0 rows"),
        ("annotation", lambda rows: rows[:5] + rows[25:], "with a pause of"),
        ("annotation", lambda rows: rows[25:], "with a pause of"),
        ("annotation", lambda rows: rows[:-25], "with a pause of"),
        ("annotation", lambda rows: rows[::-1], "out of order"),
        ("eda", lambda rows: rows[:4] + rows[16:], "rows"),
        ("eda", lambda rows: [{**row, "TimeStamp": 1e3 * row["TimeStamp"]} for row in rows], "24 rows in 5750.0 s"),
        ("hr", lambda rows: rows[:1], "1 rows in 0.0 s"),
    ],
)
def test_broken_rows_cost_their_stream(official: Path, stream: str, change: Callable[[Any], Any], told: str) -> None:
    path = edit(official, stream, change)
    trials = read(official)
    error = error_of(lambda: trials[0].streams[stream]())
    assert str(path) in error.where
    assert told in error.found
    assert isinstance(trials[1].streams[stream](), Signal)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"a": 3}', '{"a": [], "b": []}', '{"Data": [{"ParticipantID": "P2"}]}']
)
def test_other_json(official: Path, text: str) -> None:
    path = official / PARTS["head"].file.format(1)
    path.write_text(text)
    error = error_of(lambda: read(official)[0].streams["head"]())
    assert error.where == str(path)
    assert "the corpus's own JSON" in error.expected
    for file in ("2_QuestionnaireData/P1_Questionnaire_Data.json", "1_Stimuli/VideoInfo.json"):
        good = (official / file).read_text()
        (official / file).write_text(text)
        assert error_of(lambda: read(official)).where == str(official / file)
        (official / file).unlink()
        assert error_of(lambda: read(official)).found == "no such file"
        (official / file).write_text("\ufeff" + good, encoding="utf-8")
        assert len(read(official)) == 8


# ---- bad input, converted


def test_metadata_from_a_spreadsheet(written: Path, converted: Path) -> None:
    path = converted / "metadata.csv"
    text = path.read_text().replace(",", ";").replace(";25;", ";25,0;")
    path.write_text(text.replace("\n", "\r\n"), encoding="utf-8-sig", newline="")
    for one, other in zip(read(converted), read(written / "converted"), strict=True):
        assert (one.ratings, one.group, one.stimulus) == (other.ratings, other.group, other.stimulus)
        assert np.array_equal(one.streams["head"]().data, other.streams["head"]().data)


def test_broken_metadata(converted: Path) -> None:
    path = converted / "metadata.csv"
    lines = path.read_text().splitlines()

    def told(text: str) -> UserError:
        path.write_text(text)
        error = error_of(Ceap(str(converted)).subjects)
        assert error.where.startswith(str(path))
        return error

    assert "not a table" in told("").found
    assert "no column ['sam_arousal']" in told("\n".join(lines).replace("sam_arousal", "arousal")).found
    assert "sam_valence 'high'" in told("\n".join([*lines[:1], "f,P01,V1,high,3,25,1501,20,M"])).found
    for row, odd in (
        ("f,P01,V1,3,3,0,1501,20,M", "video_fps 0"),
        ("f,P01,V1,3,3,,1501,20,M", "video_fps"),
        ("f,../P01,V1,3,3,25,1501,20,M", "../P01"),
        ("f,P01,first,3,3,25,1501,20,M", "first"),
        (lines[1], "subject P01, video V1"),
    ):
        error = told("\n".join([*lines, row]))
        assert odd in error.found
        assert f"row {len(lines) + 1}" in error.where


def test_a_rating_that_was_not_given(converted: Path) -> None:
    path = converted / "metadata.csv"
    lines = path.read_text().splitlines()
    cells = lines[1].split(",")
    path.write_text("\n".join([lines[0], ",".join([*cells[:3], "", *cells[4:]]), *lines[2:]]))
    first, second, *_ = read(converted)
    assert np.isnan(first.ratings["valence"])
    assert first.ratings["arousal"] == float(cells[4])
    assert second.ratings["valence"] > 0


def test_people_of_the_table_without_recordings_are_told(converted: Path) -> None:
    for film in range(1, 9):
        (converted / f"signals/P02_V{film}.npz").unlink()
    assert "['P02']" in error_of(Ceap(str(converted)).subjects).found
    text = (converted / "metadata.csv").read_text().splitlines(keepends=True)
    (converted / "metadata.csv").write_text("".join(line for line in text if ",P02," not in line))
    assert Ceap(str(converted)).subjects() == ["P01", "P03"]


def save(path: Path, **change: object) -> None:
    """The npz with some arrays changed; None takes one out."""
    with np.load(path) as arrays:
        content = {**arrays, **change}
    np.savez(path, **{name: array for name, array in content.items() if array is not None})


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (None, "no such array"),
        (np.array([{"yaw": 3}] * 30), "no such array"),  # objects are pickles
        (np.zeros((30, 3)), "shape (30, 3)"),
        (np.zeros(30), "shape (30,)"),
        (np.full((30, 2), "left"), "shape (30, 2)"),
        (np.zeros((3, 2)), "3 positions"),
    ],
)
def test_broken_arrays_cost_their_stream(converted: Path, array: object, told: str) -> None:
    path = converted / "signals/P01_V1.npz"
    save(path, head_pitch_yaw=array)
    streams = read(converted)[0].streams
    error = error_of(lambda: streams["head"]())
    assert error.where == str(path)
    assert told in error.found
    assert isinstance(streams["gaze"](), Signal)


def test_broken_npz(converted: Path) -> None:
    path = converted / "signals/P01_V1.npz"
    whole = path.read_bytes()
    for content in (b"", b"no zip", whole[: len(whole) // 2], whole[:-30], np.zeros((30, 2)).tobytes()):
        path.write_bytes(content)
        assert error_of(lambda: read(converted)[0].streams["head"]()).where == str(path)
    with path.open("wb") as file:
        np.save(file, np.zeros((30, 2)))
    assert error_of(lambda: read(converted)[0].streams["head"]()).where == str(path)
    path.unlink()
    assert error_of(lambda: read(converted)[0].streams["head"]()).where == str(path)
    assert isinstance(read(converted)[1].streams["head"](), Signal)


# ---- the stand-in


def test_stand_in_is_the_same_again_and_says_what_it_is(tmp_path: Path) -> None:
    few, same, more = (
        StandInCeap(str(tmp_path / at), subjects=n, seconds=3) for at, n in (("a", 2), ("b", 2), ("a", 3))
    )
    for corpus in (few, same, more):
        corpus.ensure()
    assert few.root != more.root
    assert few.root.name == same.root.name
    assert json.loads((few.root / "standin.json").read_text())["stand_in"] is True
    for path in few.files("P01") + few.files("P02"):
        place = path.relative_to(few.root)
        assert path.read_bytes() == (same.root / place).read_bytes() == (more.root / place).read_bytes()


def accuracy(corpus: Ceap) -> float:
    """Balanced accuracy on unseen people from how fast the head turns, standardised per person."""
    corpus.ensure()
    rows, label, person = [], [], []
    for subject in corpus.subjects():
        own = []
        for trial in read(corpus.root, subject, "head", "gaze"):
            head, gaze = (source().data for source in trial.streams.values())
            own.append([*np.log(np.abs(np.diff(head)).mean(axis=1)), gaze[2].mean()])
            label.append(trial.ratings["arousal"] > 5)
        rows.append((own - np.mean(own, axis=0)) / np.std(own, axis=0))
        person += [subject] * len(own)
    guess = cross_val_predict(
        LogisticRegression(class_weight="balanced"), np.concatenate(rows), label, groups=person, cv=LeaveOneGroupOut()
    )
    return float(balanced_accuracy_score(label, guess))


def test_strength_sets_the_effect(tmp_path: Path) -> None:
    def mean(strength: float, seeds: int) -> float:
        settings: dict[str, Any] = {"subjects": 10, "strength": strength, "layout": "converted"}
        return float(np.mean([accuracy(StandInCeap(str(tmp_path), seed=s, **settings)) for s in range(seeds)]))

    assert mean(1.0, 3) > 0.65
    assert 0.4 < mean(0.0, 8) < 0.6


@pytest.mark.real
def test_real_corpus(real_data: Path) -> None:
    corpus = Ceap(str(real_data / "ceap"))
    subjects = corpus.subjects()
    assert len(subjects) in (24, 32)  # trimmed copy, official download
    trials = [trial for subject in subjects for trial in read(real_data / "ceap", subject, *BEHAVIOUR)]
    assert [t.stimulus for t in trials] == [f"V{i}" for i in range(1, 9)] * len(subjects)
    for trial in trials:
        for name in BEHAVIOUR:
            found = trial.streams[name]()
            assert inspect(found, name, trial.where).problem is None
            assert found.seconds == pytest.approx(60, abs=0.5)
        assert np.abs(trial.streams["head"]().data[0]).max() < 90
        assert trial.streams["annotation"]().data.min() >= 1
        assert trial.streams["annotation"]().data.max() <= 9
    assert 0.3 < np.mean([t.ratings["arousal"] > 5 for t in trials]) < 0.7
    assert {t.group["sex"] for t in trials} == {"female", "male"}
