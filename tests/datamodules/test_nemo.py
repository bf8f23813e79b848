"""nEMO's reader and its stand-in."""

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from affect.errors import UserError
from datamodules.corpora.base import Trial
from datamodules.corpora.nemo import EMOTIONS, Nemo
from datamodules.quality import check_rating, inspect
from datamodules.standin.nemo import SENTENCES, StandInNemo, write_nemo


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nemo")
    write_nemo(folder, subjects=4, sentences=2, seconds=0.4)
    return folder


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    """A copy to spoil, where paths are not plain."""
    return shutil.copytree(written, tmp_path / "zażółć gęślą jaźń")


def error_of(act: Callable[[], object]) -> UserError:
    with pytest.raises(UserError) as caught:
        act()
    return caught.value


def read(folder: Path, speaker: str = "AA0") -> list[Trial]:
    return list(Nemo(str(folder)).trials(speaker, ["audio"]))  # type: ignore[arg-type]


def table(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "data.tsv", sep="\t", dtype=str)


def test_round_trip(folder: Path) -> None:
    corpus = Nemo(str(folder))
    corpus.ensure()
    assert corpus.subjects() == ["AA0", "BA0", "CA0", "DA0"]  # without the spaces of the file
    rows = table(folder).assign(speaker_id=lambda t: t["speaker_id"].str.strip()).query("speaker_id == 'BA0'")
    trials = read(folder, "BA0")
    assert [Path(t.where).name for t in trials] == list(rows["file_id"])
    assert {t.stimulus for t in trials} == set(rows["normalized_text"])
    assert any("ą" in t.stimulus for t in trials)
    for trial, (_, row) in zip(trials, rows.iterrows(), strict=True):
        assert trial.ratings == {"emotion": row["emotion"]}
        assert trial.group == {"sex": "male", "age": 24.0}
        check_rating("emotion", trial.ratings["emotion"], corpus.ratings["emotion"], trial.where)
        audio = trial.streams["audio"]()
        assert (audio.rate, audio.channels) == (16_000.0, ("mono",))
        assert 0.2 < audio.seconds < 1
        assert inspect(audio, "audio", trial.where).problem is None
    assert Counter(t.ratings["emotion"] for t in trials) == dict.fromkeys(EMOTIONS, 2)
    assert {t.ratings["emotion"] for t in read(folder, "DA0")} == {*EMOTIONS} - {"surprised"}
    assert corpus.files("BA0")[1:] == sorted(Path(t.where) for t in trials) == corpus.files_of("BA0", "audio")
    assert corpus.files("BA0")[0] == folder / "data.tsv"
    assert not next(iter(corpus.trials("AA0", []))).streams


def test_other_formats_than_the_table_says(folder: Path) -> None:
    before = len(read(folder))
    for path in (folder / "samples").glob("AA0_*.wav"):
        samples, rate = soundfile.read(path)
        soundfile.write(path.with_suffix(".opus"), samples, rate, format="OGG", subtype="OPUS")
        path.unlink()
    assert [t.streams["audio"]().rate for t in read(folder)] == [16_000.0] * before


def test_a_broken_clip_is_named_and_costs_itself_alone(folder: Path) -> None:
    trials = read(folder)
    path = Path(trials[3].where)
    path.write_bytes(path.read_bytes()[:100])
    assert error_of(trials[3].streams["audio"]).where == str(path)
    assert all(t.streams["audio"]().seconds > 0.2 for t in trials if t is not trials[3])


def test_rows_and_files_that_do_not_fit(folder: Path) -> None:
    rows = table(folder)
    first, second, third = (rows["file_id"][i] for i in range(3))
    (folder / "samples" / first).unlink()
    shutil.copy(folder / "samples" / second, (folder / "samples" / second).with_suffix(".flac"))
    rows.loc[3, "file_id"] = third
    rows.loc[4, "emotion"] = "joy"
    rows.loc[5, "file_id"] = "../../x.wav"
    rows.to_csv(folder / "data.tsv", sep="\t", index=False)
    missing, twice, fine, again, odd, outside, *rest = read(folder)
    assert (missing.where, missing.found) == (f"{folder / 'data.tsv'}, row 2", f"{first}, which is not in samples/")
    assert "second file" in twice.found
    assert fine.streams["audio"]().seconds > 0.2
    assert f"a second row of {third}" in again.found
    assert "joy" in error_of(lambda: check_rating("emotion", odd.ratings["emotion"], EMOTIONS, odd.where)).found
    assert "../../x.wav" in outside.found
    assert all(isinstance(t, Trial) for t in rest)


def test_tables_as_people_save_them(folder: Path) -> None:
    rows, before = table(folder), [(t.where, t.stimulus, t.group) for t in read(folder)]
    path = folder / "data.tsv"
    path.write_text("\ufeff" + rows.to_csv(index=False, sep=";"), encoding="utf-8")
    assert [(t.where, t.stimulus, t.group) for t in read(folder)] == before
    rows.drop(columns="emotion").to_csv(path, sep="\t", index=False)
    assert "['emotion']" in error_of(lambda: read(folder)).found
    rows.assign(age="old").to_csv(path, sep="\t", index=False)
    assert "'old'" in error_of(lambda: read(folder)).found
    rows.loc[2, "speaker_id"] = None
    rows.to_csv(path, sep="\t", index=False)
    assert "row 4" in error_of(Nemo(str(folder)).subjects).where
    path.unlink()
    assert "no such file" in error_of(Nemo(str(folder)).subjects).found
    shutil.rmtree(folder / "samples")
    assert "samples" in error_of(Nemo(str(folder)).ensure).found
    assert "no such folder" in error_of(Nemo(str(folder / "nowhere")).ensure).found


def test_stand_in_is_the_same_again_and_strength_sets_the_effect(tmp_path: Path) -> None:
    few, same, more, flat = (
        StandInNemo(str(tmp_path / at), subjects=n, seconds=0.4, strength=strength)
        for at, n, strength in (("a", 2, 1), ("b", 2, 1), ("a", 3, 1), ("a", 3, 0))
    )
    for corpus in (few, same, more, flat):
        corpus.ensure()
        corpus.ensure()
    assert json.loads((few.root / "standin.json").read_text())["corpus"] == "nemo"
    assert few.root.name == same.root.name
    for path in few.files_of("AA0", "audio"):
        assert path.read_bytes() == (same.root / "samples" / path.name).read_bytes()
        assert path.read_bytes() == (more.root / "samples" / path.name).read_bytes()
    assert (more.root / "data.tsv").read_text().startswith((few.root / "data.tsv").read_text())
    assert len(set(SENTENCES)) == len(SENTENCES)
    level = {}
    for corpus in (more, flat):
        loud: dict[str, list[float]] = {emotion: [] for emotion in EMOTIONS}
        for trial in (t for s in corpus.subjects() for t in corpus.trials(s, ["audio"])):
            loud[trial.ratings["emotion"]].append(10 * np.log10(np.mean(trial.streams["audio"]().data ** 2)))
        level[corpus.root] = np.mean(loud["anger"]) - np.mean(loud["sadness"])
    assert level[more.root] > 8  # dB
    assert abs(level[flat.root]) < 2


@pytest.mark.real
def test_real_corpus(real_data: Path) -> None:
    corpus = Nemo(str(real_data / "nemo"))
    corpus.ensure()
    speakers = corpus.subjects()
    assert len(speakers) in (6, 9)  # trimmed copy, official download
    trials = [t for s in speakers for t in corpus.trials(s, ["audio"])]
    assert all(isinstance(t, Trial) for t in trials)
    assert len(trials) in (833, 4481)
    assert {t.ratings["emotion"] for t in trials} == {*EMOTIONS}
    assert len({t.stimulus for t in trials}) == 90
    assert {t.group["sex"] for t in trials} == {"female", "male"}
    for trial in trials[::40]:
        audio = trial.streams["audio"]()
        assert inspect(audio, "audio", trial.where).problem is None
        assert audio.rate in (16_000, 24_000, 48_000)
        assert 0.5 < audio.seconds < 8
