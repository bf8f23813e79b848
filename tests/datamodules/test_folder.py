"""A folder of one's own: its tables, what can be wrong with them, missing files, and the stand-in."""

import json
import pickle
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import edfio
import numpy as np
import pytest
import soundfile

from affect.batch import Signal
from affect.errors import UserError
from datamodules.corpora.folder import Folder
from datamodules.quality import check_rating, inspect
from datamodules.standin.own_folder import StandInFolder

ABOUT = """
streams:
  eeg: {rate: 100, channels: [Fp1, Fp2], unit: µV}
ratings: {valence: [1, 9]}
"""
ARRAY = np.arange(600, dtype=np.float32).reshape(2, 300)


def study(root: Path, table: str, about: str = ABOUT, encoding: str = "utf-8") -> Folder:
    """A folder with `a.npy`, `b.npy` … of (2, 300), and these two tables."""
    root.mkdir(parents=True, exist_ok=True)
    for index, name in enumerate("abcd"):
        np.save(root / f"{name}.npy", ARRAY + 1000 * index)
    (root / "trials.csv").write_text(table, encoding=encoding)
    (root / "streams.yaml").write_text(about, encoding="utf-8")
    return Folder(str(root))


def error_of(act: Callable[[], object]) -> UserError:
    with pytest.raises(UserError) as caught:
        act()
    return caught.value


# ---- trials.csv and streams.yaml

TABLE = """subject,trial,stimulus,session,onset,file.eeg,rating.valence,rating.mood,group.age,group.sex,note
P2,1,clip1,,1,a.npy,3.5,glad,31,f,
P10,1,clip2,2,0.5,b.npy,9,sad,,m,"left, early"
P2,2,clip2,,1.5,c.npy,,,31,,
"""


def test_a_study_is_read_as_its_table_says(tmp_path: Path) -> None:
    corpus = study(tmp_path, TABLE)
    corpus.ensure()
    assert corpus.subjects() == ["P2", "P10"]
    assert (corpus.streams, corpus.baseline_seconds) == (("eeg",), 0.5)
    assert dict(corpus.ratings) == {"valence": (1.0, 9.0), "mood": ("glad", "sad")}
    first, second = corpus.trials("P2", ["eeg"])
    assert (first.subject, first.stimulus, first.session, first.onset) == ("P2", "clip1", "1", 1.0)
    assert dict(first.ratings) == {"valence": 3.5, "mood": "glad"}
    assert dict(first.group) == {"age": 31.0, "sex": "f"}
    assert all(isinstance(v, float) and np.isnan(v) for v in second.ratings.values())
    assert second.group["sex"] == "unknown"
    assert second.where.endswith("trials.csv, row 4")
    (other,) = corpus.trials("P10", [])
    assert (other.session, other.streams) == ("2", {})
    assert np.isnan(other.group["age"])
    assert [p.name for p in corpus.files("P2")] == ["trials.csv", "streams.yaml", "a.npy", "c.npy"]
    eeg = first.streams["eeg"]()
    np.testing.assert_array_equal(eeg.data, ARRAY)
    assert (eeg.rate, eeg.channels, eeg.unit, eeg.data.dtype) == (100, ("Fp1", "Fp2"), "µV", np.float32)


@pytest.mark.parametrize(("separator", "encoding"), [(";", "utf-8-sig"), ("\t", "utf-8"), (";", "utf-8")])
def test_tables_as_other_programs_write_them(tmp_path: Path, separator: str, encoding: str) -> None:
    table = "Subject;Trial;File.EEG;Onset;rating.Valence;\n\nP1;1;a.npy;0,5;3,5;\n;;;;;\nP1;2;b.npy;0,5;4;\n"
    corpus = study(tmp_path, table.replace(";", separator), ABOUT.replace("valence", "Valence"), encoding)
    trials = list(corpus.trials("P1", ["eeg"]))
    assert [t.ratings["valence"] for t in trials] == [3.5, 4.0]
    assert [t.where.rsplit(" ", 1)[1] for t in trials] == ["3", "5"]
    assert corpus.baseline_seconds == 0.5


def test_two_studies_know_each_their_own_streams(tmp_path: Path) -> None:
    one = study(tmp_path / "one", TABLE)
    other = study(tmp_path / "two", "subject,trial,file.ecg\nP1,1,a.npy\n", "streams: {ecg: {rate: 9}}")
    assert (one.streams, other.streams, dict(other.ratings)) == (("eeg",), ("ecg",), {})
    assert pickle.loads(pickle.dumps(one)).subjects() == ["P2", "P10"]  # prepared by other processes


HEAD = "subject,trial,file.eeg,rating.valence\n"


@pytest.mark.parametrize(
    ("table", "where", "found"),
    [
        ("", "trials.csv", "not a table"),
        (HEAD, "trials.csv", "no rows"),
        ("trial,file.eeg\n1,a.npy\n", "trials.csv", "no column ['subject']"),
        ("subject,file.eeg\nP1,a.npy\n", "trials.csv", "trial or stimulus"),
        ("subject,trial\nP1,1\n", "trials.csv", "file.NAME"),
        ("subject,trial,file.eeg,ratings.valence\nP1,1,a.npy,3\n", "trials.csv", "'ratings.valence'"),
        ("subject,trial,file.eeg,onsett\nP1,1,a.npy,3\n", "trials.csv", "'onsett'"),
        ("subject,trial,file.eeg,File.EEG\nP1,1,a.npy,b.npy\n", "trials.csv", "file.eeg"),
        ("subject,trial,file.eeg,file.eeg\nP1,1,a.npy,b.npy\n", "trials.csv", "file.eeg.1"),
        ("subject,trial,file.eeg,start.ecg\nP1,1,a.npy,1\n", "trials.csv", "['ecg']"),
        (HEAD + "P1,1,a.npy,3\n,2,b.npy,4\n", "row 3", "no subject"),
        (HEAD + "P1,1,a.npy,3,5\n", "row 2", "5 cells"),
        (HEAD + "P1,1,,3\n", "row 2", "no file"),
        (HEAD + "P1,,a.npy,3\n", "row 2", "no stimulus"),
        (HEAD + "P1,1,a.npy,4\n\nP1,2,b.npy,three\n", "row 4", "'three'"),
        (HEAD + "P1,1,a.npy,3\nP1,1,b.npy,4\n", "row 3", "trial 1 of P1, as in row 2"),
        (HEAD + "P1,1,a.npy,3\nP2,1,a.npy,4\n", "row 3", "as in row 2"),
        (HEAD + "P1,1,a.npy,3\np01,1,b.npy,4\n", "subject", "'P1' and 'p01'"),
        ("subject,trial,file.eeg,rating.mood\nP1,1,a.npy,glad\nP1,2,b.npy,Glad\n", "rating.mood", "'Glad' and 'glad'"),
        ("subject,trial,file.eeg,rating.mood\nP1,1,a.npy,glad\nP1,2,b.npy,2\n", "rating.mood", "glad"),
        ("subject,trial,file.eeg,rating.age\nP1,1,a.npy,3\nP1,2,b.npy,7\n", "ratings.age", "nothing"),
        ("subject,trial,file.eeg,onset\nP1,1,a.npy,-1\n", "row 2", "onset -1"),
        ("subject,trial,file.eeg,onset\nP1,1,a.npy,soon\n", "row 2", "'soon'"),
        ("subject,trial,file.eeg,start,stop\nP1,1,a.npy,2,1\n", "row 2", "from 2 to 1 s"),
        ("subject,trial,file.eeg,start\nP1,1,a.npy,-1\n", "row 2", "from -1"),
        (HEAD + "P1,1,a.mat,3\n", "row 2", "'a.mat'"),
        (HEAD + "P1,1,/etc/a.npy,3\n", "row 2", "'/etc/a.npy'"),
        (HEAD + "P1,1,x/../../a.npy,3\n", "row 2", "'x/../../a.npy'"),
        (HEAD + "P1,1,..\\a.npy,3\n", "row 2", "a.npy"),
        (HEAD + "P1,1,C:\\data\\a.npy,3\n", "row 2", "C:"),
    ],
)
def test_what_is_wrong_in_the_table_is_named_at_once(tmp_path: Path, table: str, where: str, found: str) -> None:
    error = error_of(study(tmp_path, table, ABOUT if "valence" in table else ABOUT.split("ratings")[0]).check)
    assert where in error.where
    assert found in error.found
    assert error.remedy


def test_a_table_in_another_encoding(tmp_path: Path) -> None:
    table = TABLE.replace("clip1", "Löwe")
    assert "UTF-8" in error_of(study(tmp_path, table, encoding="cp1252").check).remedy
    assert next(study(tmp_path, table).trials("P2", [])).stimulus == "Löwe"


@pytest.mark.parametrize(
    ("about", "where", "found"),
    [
        ("streams: [", "streams.yaml", "no YAML"),
        ("- 1", "streams.yaml", "[1]"),
        ("stream: {}", "stream", "{}"),
        ("streams: {eeg: {rate: 0, channels: [a, b]}}\nratings: {valence: [1, 9]}", "streams.eeg.rate", "0"),
        ("streams: {eeg: {rate: 9, channels: [a, no]}}\nratings: {valence: [1, 9]}", "channels.1", "False"),
        ("streams: {eeg: {channels: [a, b]}}\nratings: {valence: [1, 9]}", "streams.eeg", "no rate"),
        ("streams: {eeg: {rate: 9, hz: 3}}\nratings: {valence: [1, 9]}", "streams.eeg.hz", "3"),
        ("streams: {eeg: {rate: 9}, ecg: {rate: 9}}\nratings: {valence: [1, 9]}", "streams.yaml", "['ecg']"),
        ("streams: {eeg: {rate: 9}}\nratings: {arousal: [1, 9], valence: [1, 9]}", "streams.yaml", "['arousal']"),
        ("streams: {eeg: {rate: 9}}\nratings: {valence: [9, 1]}", "ratings.valence", "[9, 1]"),
        ("streams: {eeg: {rate: 9}}\nratings: {valence: [1, 5, 9]}", "ratings.valence", "[1, 5, 9]"),
        ("streams: {eeg: {rate: 9}}\nratings: {valence: [true, false]}", "ratings.valence", "True"),
        ("streams: {eeg: {rate: 9}}\n", "ratings.valence", "nothing"),
        ("x: !!python/name:os.system", "streams.yaml", "no YAML"),
    ],
)
def test_what_is_wrong_in_streams_yaml_is_named_at_once(tmp_path: Path, about: str, where: str, found: str) -> None:
    error = error_of(study(tmp_path, TABLE, about).check)
    assert where in error.where
    assert found in error.found


def test_a_scale_that_is_not_said_is_asked_for_and_shown(tmp_path: Path) -> None:
    """The range that was answered is not the scale: −999 would be on it."""
    error = error_of(study(tmp_path, TABLE, ABOUT.split("ratings")[0]).check)
    assert "ratings: {valence: [lowest, highest]}  (here: 3.5 to 9)" in error.remedy
    corpus = study(tmp_path, TABLE.replace("P10,1,clip2,2,0.5,b.npy,9", "P10,1,clip2,2,0.5,b.npy,-999"))
    (trial,) = corpus.trials("P10", [])
    assert "-999" in error_of(lambda: check_rating("valence", -999.0, corpus.ratings["valence"], trial.where)).found


def test_classes_may_be_declared(tmp_path: Path) -> None:
    table = "subject,trial,file.eeg,rating.task\nP1,1,a.npy,1\nP1,2,b.npy,2\n"
    corpus = study(tmp_path, table, 'streams: {eeg: {rate: 9, channels: [a, b]}}\nratings: {task: ["0", "1", "2"]}')
    assert corpus.ratings["task"] == ("0", "1", "2")
    assert [t.ratings["task"] for t in corpus.trials("P1", [])] == ["1", "2"]


# ---- the folder and its files


def test_a_folder_that_is_not_one(tmp_path: Path) -> None:
    assert error_of(Folder(str(tmp_path / "none")).check).found == "no such folder"
    (tmp_path / "file").touch()
    assert error_of(Folder(str(tmp_path / "file")).check).found == "not a folder"
    assert error_of(Folder(str(tmp_path)).check).where.endswith("trials.csv")


def test_a_missing_file_costs_its_stream_alone(tmp_path: Path) -> None:
    corpus = study(tmp_path, TABLE)
    (tmp_path / "c.npy").rename(tmp_path / "cc.npy")
    corpus.check()
    first, second = corpus.trials("P2", ["eeg"])
    assert isinstance(first.streams["eeg"](), Signal)
    error = error_of(second.streams["eeg"])
    assert error.where.endswith("trials.csv, row 4, file.eeg")
    assert "no file c.npy" in error.found
    assert "cc.npy" in error.remedy
    assert [p.name for p in corpus.files_of("P2", "eeg")] == ["trials.csv", "streams.yaml", "a.npy"]


def test_many_missing_files_are_counted_up_front(tmp_path: Path) -> None:
    corpus = study(tmp_path, TABLE)
    (tmp_path / "c.npy").unlink()
    (tmp_path / "b.npy").unlink()
    assert "2 of the 3 files named in trials.csv not there: b.npy, c.npy" in error_of(corpus.check).found


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_names_that_look_alike_are_the_same_file(tmp_path: Path, form: Any) -> None:
    name = unicodedata.normalize(form, "zoë/é ü.npy")
    (tmp_path / name).parent.mkdir(parents=True)
    np.save(tmp_path / name, ARRAY)
    other = unicodedata.normalize("NFD" if form == "NFC" else "NFC", name)
    for written in (name, other, other.replace("/", "\\")):
        corpus = study(tmp_path, f"subject,trial,file.eeg,rating.valence\nP1,1,{written},5\n")
        corpus.check()
        assert next(corpus.trials("P1", ["eeg"])).streams["eeg"]().data.shape == (2, 300)


def test_a_link_to_recordings_elsewhere_is_followed(tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    np.save(tmp_path / "archive/x.npy", ARRAY)
    corpus = study(tmp_path / "study", "subject,trial,file.eeg,rating.valence\nP1,1,recordings/x.npy,5\n")
    (tmp_path / "study/recordings").symlink_to(tmp_path / "archive")
    corpus.check()
    assert next(corpus.trials("P1", ["eeg"])).streams["eeg"]().data.shape == (2, 300)


def test_a_stream_may_have_a_span_of_its_own(tmp_path: Path) -> None:
    table = "subject,trial,file.eeg,file.eda,onset,start,stop,start.eeg\n"
    table += "P1,1,a.npy,b.npy,0.2,0.5,1.5,1\nP1,2,a.npy,b.npy,,1.5,,\nP1,3,c.npy,d.npy,1,,1,\n"
    facts = "{rate: 100, channels: [x, y]}"
    corpus = study(tmp_path, table, f"streams: {{eeg: {facts}, eda: {facts}}}")
    first, second, third = corpus.trials("P1", ["eeg", "eda"])
    spans = [(s.data[0, 0] % 1000, s.data.shape[1]) for t in (first, second) for s in (f() for f in t.streams.values())]
    assert spans == [(100, 50), (50, 100), (150, 150), (150, 150)]
    assert "1 s of eeg" in error_of(third.streams["eeg"]).found  # all of it is baseline


def test_the_example_of_the_manual_works(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs/own_data.md").read_text(encoding="utf-8")
    table, about = re.findall(r"^```(?:yaml)?\n((?:subject,|streams:)[^`]*)```", page, re.MULTILINE)
    corpus = study(tmp_path, table, about)
    channels = re.findall(r"\w+", about.partition("[")[2].partition("]")[0])
    wave = np.random.default_rng(0).standard_normal(100 * 100)
    for person in ("P01", "P02"):
        (tmp_path / person).mkdir()
        signals = [edfio.EdfSignal(wave, 100, label=f"EEG {c}", physical_dimension="uV") for c in channels]
        edfio.Edf(signals).write(tmp_path / person / "eeg.edf")
    for answer in ("answer01", "answer02"):
        soundfile.write(tmp_path / f"P01/{answer}.wav", wave[:8000] / 9, 1000)
    corpus.check()
    trials = [t for s in corpus.subjects() for t in corpus.trials(s, corpus.streams)]
    assert [{n: f().data.shape for n, f in t.streams.items()} for t in trials] == [
        {"eeg": (8, 3200), "audio": (1, 8000)},
        {"eeg": (8, 3200), "audio": (1, 8000)},
        {"eeg": (8, 3200)},
    ]
    assert [t.ratings["valence"] for t in trials] == [7, 2.5, 4]


# ---- the stand-in


def test_stand_in_round_trip(tmp_path: Path) -> None:
    invented = StandInFolder(str(tmp_path), subjects=3, trials=4, seconds=3)
    invented.check()
    invented.ensure()
    corpus = Folder(str(invented.root))
    corpus.check()
    known = (invented.streams, invented.ratings, invented.baseline_seconds)
    assert (corpus.streams, dict(corpus.ratings), corpus.baseline_seconds) == known
    assert corpus.subjects() == ["P01", "P02", "P03"]
    for subject in corpus.subjects():
        trials = list(corpus.trials(subject, corpus.streams))
        assert ["audio" in t.streams for t in trials] == [True] * 3 + [subject != "P01"]
        for trial in trials:
            for name, value in trial.ratings.items():
                check_rating(name, value, corpus.ratings[name], trial.where)
            for name, source in trial.streams.items():
                signal = source()
                assert signal.seconds == pytest.approx(5)
                assert inspect(signal, name, trial.where).problem is None
            eeg, ecg = trial.streams["eeg"](), trial.streams["ecg"]()
            assert (eeg.unit, eeg.data.shape, ecg.unit, ecg.data.shape) == ("µV", (8, 640), "µV", (1, 640))
            assert 3 < eeg.data.std() < 40
            assert 500 < ecg.data.max() < 1200
    assert json.loads((invented.root / "standin.json").read_text())["stand_in"] is True


def test_stand_in_is_the_same_again(tmp_path: Path) -> None:
    few, same, more = (StandInFolder(str(tmp_path / at), n, 2, 2) for at, n in (("a", 1), ("b", 1), ("a", 2)))
    for corpus in (few, same, more):
        corpus.ensure()
    for path in (p for p in few.root.rglob("P01/*") if p.suffix != ".edf"):  # which holds the date
        assert path.read_bytes() == (same.root / path.relative_to(few.root)).read_bytes()
        assert path.read_bytes() == (more.root / path.relative_to(few.root)).read_bytes()


def correlations(corpus: Folder) -> dict[str, float]:
    """Of ratings with what they move, mean over people: valence with frontal alpha, arousal with EDA, pulse, voice."""
    corpus.ensure()
    found: dict[str, list[float]] = {}
    for subject in corpus.subjects():
        rows = []
        for trial in corpus.trials(subject, corpus.streams):
            if "audio" not in trial.streams:
                continue
            of = {name: source() for name, source in trial.streams.items()}
            after = {name: s.data[:, round(3 * s.rate) :] for name, s in of.items()}
            power = np.abs(np.fft.rfft(after["eeg"][:4])) ** 2
            f = np.fft.rfftfreq(after["eeg"].shape[1], 1 / 128)
            beats = np.flatnonzero(np.diff((after["ecg"][0] > 450).astype(int)) == 1)
            rows.append(
                [
                    *(float(trial.ratings[name]) for name in ("valence", "arousal")),
                    np.log(power[:, (f > 8) & (f < 12)].mean()),
                    after["eda"].mean(),
                    1 / np.diff(beats).mean(),
                    np.log(after["audio"].std()),
                ]
            )
        table = np.corrcoef(np.array(rows).T)
        for name, value in zip(("eeg", "eda", "ecg", "audio"), (table[0, 2], *table[1, 3:]), strict=True):
            found.setdefault(name, []).append(value)
    return {name: float(np.mean(values)) for name, values in found.items()}


def test_strength_sets_the_effect(tmp_path: Path) -> None:
    there, nothing = (correlations(StandInFolder(str(tmp_path), 5, 12, strength=s)) for s in (1.0, 0.0))
    assert there["eeg"] < -0.5
    assert min(there["eda"], there["ecg"], there["audio"]) > 0.4
    assert max(map(abs, nothing.values())) < 0.4
