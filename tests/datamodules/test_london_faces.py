"""The London faces' reader and their stand-in."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from affect.batch import StreamShape, Video
from affect.errors import UserError
from affect.preprocessing.face import FaceCrops
from affect.preprocessing.pictures import HOG
from datamodules.corpora.base import Trial
from datamodules.corpora.london_faces import LondonFaces
from datamodules.standin.london_faces import StandInLondonFaces, write_london_faces


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("london")
    write_london_faces(folder, people=4)
    return folder


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return shutil.copytree(written, tmp_path / "london")


def error_of(act: Callable[[], object]) -> UserError:
    with pytest.raises(UserError) as caught:
        act()
    return caught.value


def trials(corpus: LondonFaces, subject: str) -> list[Trial]:
    found = list(corpus.trials(subject, ["face"]))
    assert all(isinstance(trial, Trial) for trial in found)
    return [trial for trial in found if isinstance(trial, Trial)]


def face_of(trial: Trial) -> Video:
    video = trial.streams["face"]
    assert isinstance(video, Video)
    return video


def test_round_trip(written: Path) -> None:
    corpus = LondonFaces(str(written))
    corpus.ensure()
    assert corpus.subjects() == ["001", "002", "003", "004"]
    neutral, happy = trials(corpus, "002")
    for trial, emotion, name in ((neutral, "neutral", "002_03.jpg"), (happy, "happy", "002_08.jpg")):
        assert (trial.subject, trial.stimulus, dict(trial.ratings)) == ("002", emotion, {"emotion": emotion})
        assert Path(trial.where).name == name
        assert trial.group.keys() == {"age", "sex", "ethnicity"}
        assert 18 <= float(trial.group["age"]) < 55
        (picture,) = face_of(trial).frames(5.0)
        assert (picture.shape, face_of(trial).seconds) == ((128, 128, 3), float("inf"))
        assert FaceCrops()(face_of(trial)).data.shape == (3, 1, 64, 64)
    assert [p.name for p in corpus.files("002")] == ["002_03.jpg", "002_08.jpg", "london_faces_info.csv"]
    assert not next(corpus.trials("001", [])).streams


def test_copy_with_pictures_named_by_emotion(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    (copy / "images").mkdir(parents=True)
    rows: list[tuple[str, ...]] = [("file", "subject", "emotion", "age", "sex", "ethnicity")]
    for trial in (t for s in LondonFaces(str(folder)).subjects() for t in trials(LondonFaces(str(folder)), s)):
        name = f"images/{trial.subject}_{trial.stimulus}.jpg"
        shutil.copy(trial.where, copy / name)
        rows.append((name, trial.subject, trial.stimulus, *(str(value) for value in trial.group.values())))
    with (copy / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    official, own = LondonFaces(str(folder)), LondonFaces(str(copy))
    assert own.subjects() == official.subjects()
    for one, other in zip(trials(official, "003"), trials(own, "003"), strict=True):
        assert (one.group, one.ratings, one.stimulus) == (other.group, other.ratings, other.stimulus)
        np.testing.assert_array_equal(next(face_of(one).frames(1.0)), next(face_of(other).frames(1.0)))


def test_what_lies_beside_the_pictures_is_ignored(folder: Path) -> None:
    for name in ("neutral_front/001_03.tem", "neutral_front/._001_03.jpg", "smiling_front/Thumbs.db"):
        (folder / name).touch()
    (folder / "neutral_threequarters").mkdir()
    assert len(LondonFaces(str(folder)).files("001")) == 3


def test_facts_not_given_are_told_apart(folder: Path) -> None:
    table = folder / "london_faces_info.csv"
    lines = table.read_text().splitlines()
    table.write_text("\r\n".join([lines[0], "001,NA,male,", *lines[2:]]), encoding="utf-8-sig")
    group = next(LondonFaces(str(folder)).trials("001", [])).group
    assert np.isnan(float(group["age"]))
    assert (group["sex"], group["ethnicity"]) == ("male", "unknown")


def test_gaps_are_told_and_may_be_meant(folder: Path) -> None:
    (folder / "smiling_front" / "002_08.jpg").unlink()
    for path in folder.glob("*/003_*.jpg"):
        path.unlink()
    assert "['002', '003']" in error_of(LondonFaces(str(folder)).subjects).found
    assert LondonFaces(str(folder), ["004", "001"]).subjects() == ["001", "004"]
    shutil.rmtree(folder / "neutral_front")
    assert "no london_faces recording" in error_of(LondonFaces(str(folder)).subjects).found


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("face_gender", "gender", "no column"),
        ("\n002,", "\nX02,", "subjects"),
        ("\n002,", "\n001,", "subjects"),
        ("\n002,", "\n005,", "no row for 002"),
        ("\n003,", "\n003,old", "age"),
    ],
)
def test_a_table_that_does_not_fit(folder: Path, old: str, new: str, found: str) -> None:
    table = folder / "london_faces_info.csv"
    table.write_text(table.read_text().replace(old, new))
    error = error_of(lambda: list(LondonFaces(str(folder)).trials("002", [])))
    assert "london_faces_info.csv" in error.where
    assert found in error.found


def test_the_same_picture_twice(folder: Path) -> None:
    path = folder / "neutral_front" / "002_03.jpg"
    Image.open(path).save(path.with_suffix(".png"))
    assert "a second neutral picture of 002" in error_of(LondonFaces(str(folder)).subjects).found


def test_a_broken_picture_costs_its_trial_alone(folder: Path) -> None:
    path = folder / "neutral_front" / "002_03.jpg"
    path.write_bytes(path.read_bytes()[:1000])
    neutral, happy = trials(LondonFaces(str(folder)), "002")
    assert error_of(lambda: list(face_of(neutral).frames(5.0))).where == str(path)
    assert len(list(face_of(happy).frames(5.0))) == 1


def test_stand_in_is_the_same_again_and_says_what_it_is(tmp_path: Path) -> None:
    few, same, more = (StandInLondonFaces(str(tmp_path / at), people=n) for at, n in (("a", 1), ("b", 1), ("a", 2)))
    for corpus in (few, same, more):
        corpus.ensure()
        corpus.ensure()
    assert few.root.name == same.root.name != more.root.name
    assert json.loads((few.root / "standin.json").read_text())["corpus"] == "london_faces"
    for path in few.files("001")[:2]:
        assert path.read_bytes() == (same.root / path.relative_to(few.root)).read_bytes()
        assert path.read_bytes() == (more.root / path.relative_to(few.root)).read_bytes()


def recall(corpus: LondonFaces) -> float:
    """Of smiles, on people never seen, from histograms of oriented gradients."""
    corpus.ensure()
    own = [trial for subject in corpus.subjects() for trial in trials(corpus, subject)]
    faces = np.stack([FaceCrops()(face_of(trial)).data for trial in own])
    rows = HOG()(faces, StreamShape(("red", "green", "blue"), 1, 0.0, (64, 64)))[:, 0]
    label, people = [t.stimulus for t in own], [t.subject for t in own]
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300))
    return float(balanced_accuracy_score(label, cross_val_predict(model, rows, label, groups=people, cv=GroupKFold(4))))


def test_strength_sets_the_effect(tmp_path: Path) -> None:
    made = {s: [StandInLondonFaces(str(tmp_path), people=16, strength=s, seed=k) for k in range(2)] for s in (0, 1, 3)}
    nothing, usual, strong = (float(np.mean([recall(c) for c in corpora])) for corpora in made.values())
    assert 0.3 < nothing < 0.65
    assert 0.7 < usual < 0.97
    assert strong > usual


@pytest.mark.real
def test_real_corpus(real_data: Path) -> None:
    corpus = LondonFaces(str(real_data / "london_faces"))
    people = corpus.subjects()
    assert len(people) in (66, 102)  # trimmed copy, official download
    found = [trial for person in people for trial in trials(corpus, person)]
    assert len(found) == 2 * len(people)
    ages = np.array([float(t.group["age"]) for t in found])
    assert np.nanmin(ages) >= 18
    assert np.isnan(ages).sum() in (2, 4)
    assert {str(t.group["ethnicity"]).split("/")[0] for t in found} == {"white", "black", "east_asian", "west_asian"}
    assert {t.group["sex"] for t in found} == {"female", "male"}
    for trial in found[:20]:
        assert FaceCrops()(face_of(trial)).data.shape == (3, 1, 64, 64)
