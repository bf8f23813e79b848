"""What lies beside DEAP's recordings: ratings in the order of presentation, the questionnaire, the faces."""

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from affect.errors import UserError
from datamodules.corpora.deap import Deap
from datamodules.quality import check_rating
from datamodules.standin.deap import StandInDeap, write_deap

RATINGS = "metadata_csv/participant_ratings.csv"
QUESTIONNAIRE = "metadata_csv/participant_questionnaire.csv"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("deap")
    write_deap(folder, subjects=4, trials=6, seconds=2.0, faces=3)
    return folder


@pytest.fixture
def root(written: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return shutil.copytree(written, tmp_path / "deap")


def error_of(act: Callable[[], object]) -> UserError:
    with pytest.raises(UserError) as caught:
        act()
    return caught.value


def read(root: Path, subject: str = "s01", *streams: str) -> list[Any]:
    return list(Deap(str(root)).trials(subject, streams))


def rows(root: Path) -> list[dict[str, str]]:
    with (root / RATINGS).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def edit(root: Path, change: Callable[[list[dict[str, str]]], list[dict[str, str]]]) -> None:
    changed = change(rows(root))
    with (root / RATINGS).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, changed[0])
        writer.writeheader()
        writer.writerows(changed)


# ---- ratings and facts


@pytest.mark.parametrize("place", ["metadata_csv", "metadata", "."])
def test_familiarity_belongs_to_its_video(root: Path, place: str) -> None:
    official = {(int(r["Participant_id"]), int(r["Experiment_id"])): r for r in rows(root)}
    for name in (RATINGS, QUESTIONNAIRE):
        (root / place).mkdir(exist_ok=True)
        (root / name).rename(root / place / Path(name).name)
    assert len({tuple(official[p, v]["Trial"] for v in range(1, 7)) for p in (1, 2, 3, 4)}) == 4
    for participant in (1, 3, 4):
        trials = read(root, f"s{participant:02d}")
        for video, trial in enumerate(trials, start=1):
            row = official[participant, video]
            assert trial.ratings["familiarity"] == float(row["Familiarity"])
            assert abs(trial.ratings["valence"] - float(row["Valence"])) < 0.006
            check_rating("familiarity", trial.ratings["familiarity"], Deap.ratings["familiarity"], trial.where)
        assert trials[0].group["sex"] in ("male", "female")
        assert 18 < trials[0].group["age"] < 40
    assert all(np.isnan(trial.ratings["familiarity"]) for trial in read(root, "s02"))  # as in the real corpus


def test_without_them_there_is_no_familiarity_and_no_fact(root: Path) -> None:
    shutil.rmtree(root / "metadata_csv")
    for trial in read(root, "s01", "eeg"):
        assert np.isnan(trial.ratings["familiarity"])
        assert trial.group == {}
        assert trial.streams["eeg"].data.shape == (32, 640)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda table: [{**r, "Participant_id": str(5 - int(r["Participant_id"]))} for r in table], "video 1 of s01"),
        (lambda table: [{**r, "Experiment_id": str(7 - int(r["Experiment_id"]))} for r in table], "video 1 of s01"),
        (lambda table: table[1:], "5 rows for participant 1"),
        (lambda table: [table[0], *table], "7 rows for participant 1"),
        (lambda table: [{**r, "Trial": "1"} for r in table], "each trial"),
        (lambda table: [{**r, "Trial": ""} for r in table], "each trial"),
        (lambda table: [{**r, "Arousal": "high"} for r in table], "'high'"),
        (lambda table: [{k.replace("Trial", "Order"): v for k, v in r.items()} for r in table], "['trial']"),
    ],
)
def test_a_table_of_something_else_is_told(root: Path, change: Callable[..., Any], found: str) -> None:
    edit(root, change)
    error = error_of(lambda: read(root))
    assert found in error.found
    assert "participant_ratings.csv" in error.where


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("Participant_id;Age;Gender\nS01;31;Male\n", {"age": 31.0, "sex": "male"}),
        ('"Participant_id","Sex","Notes"\n"s01","F","two\nlines, quoted"\n', {"sex": "female"}),
        ("Participant_id,Age,Gender\nS01,,\n", {"age": float("nan"), "sex": "unknown"}),
        ("Participant_id,Age\nS02,31\nS010,4\n", {}),
    ],
)
def test_the_questionnaire_as_people_save_it(root: Path, text: str, facts: dict[str, Any]) -> None:
    (root / QUESTIONNAIRE).write_text(text, encoding="utf-8")
    np.testing.assert_equal(dict(read(root)[0].group), facts)


# ---- faces


def test_a_clip_is_found_by_the_order_of_presentation(written: Path) -> None:
    shown = {(r["Participant_id"], int(r["Experiment_id"])): int(r["Trial"]) for r in rows(written)}
    assert any(video != trial for (_, video), trial in shown.items())
    for number in (1, 2):
        for video, trial in enumerate(read(written, f"s0{number}", "face"), start=1):
            clip = trial.streams["face"]()
            assert clip.path == written / f"face_video/s0{number}/s0{number}_trial{shown[str(number), video]:02d}.avi"


def test_a_clip_starts_with_the_stimulus(written: Path) -> None:
    """All streams of a trial share time 0, 3 s before the video; the clip has no baseline."""
    trial = read(written, "s01", "face", "eeg")[0]
    clip = trial.streams["face"]()
    assert clip.seconds == pytest.approx(trial.streams["eeg"].seconds) == trial.onset + 2.0
    pictures = np.stack(list(clip.frames(10))).astype(float)
    assert pictures.shape == (50, 96, 96, 3)
    change = np.abs(np.diff(pictures, axis=0)).mean(axis=(1, 2, 3))
    assert not change[:30].any()  # the first picture stands in
    assert np.count_nonzero(change[30:]) > 5


def test_people_and_trials_that_were_not_filmed(root: Path) -> None:
    """s23 to s32 have no clips, and some people lack a few, as s03 does its last one."""
    assert [("face" in t.streams) for t in read(root, "s04", "face")] == [False] * 6
    last = next(int(r["Experiment_id"]) for r in rows(root) if (r["Participant_id"], r["Trial"]) == ("3", "6"))
    filmed = ["face" in t.streams for t in read(root, "s03", "face")]
    assert filmed == [video != last for video in range(1, 7)]
    assert "face" not in read(root, "s01", "eeg")[0].streams
    shutil.rmtree(root / "face_video")
    error = error_of(lambda: read(root, "s01", "face"))
    assert error.where == str(root / "face_video")
    assert len(read(root, "s01", "eeg")) == 6


def test_faces_need_the_order_of_presentation(root: Path) -> None:
    (root / RATINGS).unlink()
    error = error_of(lambda: read(root, "s01", "face"))
    assert "order of presentation" in error.expected
    (root / "metadata_xls").mkdir()
    (root / "metadata_xls/participant_ratings.xls").touch()
    error = error_of(lambda: read(root, "s01", "face"))
    assert "only participant_ratings.xls" in error.found
    assert ".csv" in error.remedy


def test_a_broken_clip_costs_its_trial_alone(root: Path) -> None:
    clip = sorted((root / "face_video/s01").iterdir())[2]
    clip.write_bytes(clip.read_bytes()[:500])
    read_well = 0
    for trial in read(root, "s01", "face"):
        source = trial.streams["face"]()
        if source.path == clip:
            assert error_of(lambda source=source: list(source.frames(5))).where == str(clip)
        else:
            read_well += len(list(source.frames(5))) == 25
    assert read_well == 5


def test_a_stream_is_read_from_its_own_files(written: Path) -> None:
    """The cache prepares a stream again when these change."""
    corpus = Deap(str(written))
    names = [path.name for path in corpus.files("s01")]
    assert names == ["s01.dat", "participant_ratings.csv", "participant_questionnaire.csv"]
    assert [path.name for path in corpus.files_of("s01", "eeg")] == ["s01.dat"]
    assert len(corpus.files_of("s01", "face")) == 1 + 6
    assert len(corpus.files_of("s04", "face")) == 1


def smile(film: np.ndarray) -> float:
    """By how many pixels the corners of the mouth, the reddest part, are above its middle."""
    region = film[:, 54:88, 38:59].astype(float)
    red = np.clip(region[..., 0] / (region[..., 1:].mean(axis=-1) + 30) - 1, 1e-3, None) ** 4
    rows = (red * np.arange(region.shape[1])[:, None]).sum(axis=1) / red.sum(axis=1)
    return float(rows[:, 7:14].mean() - rows[:, [0, 1, 2, 18, 19, 20]].mean())


def test_faces_show_valence_as_strong_as_asked(tmp_path: Path) -> None:
    relation = []
    for strength in (0.0, 1.0):
        corpus = StandInDeap(str(tmp_path), subjects=2, trials=12, seconds=3.0, strength=strength, faces=2)
        corpus.ensure()
        for subject in corpus.subjects():
            trials = list(corpus.trials(subject, ["face"]))
            smiles = [smile(np.stack(list(t.streams["face"]().frames(10)))[-15:]) for t in trials]
            relation.append(np.corrcoef(smiles, [t.ratings["valence"] for t in trials])[0, 1])
    assert max(np.abs(relation[:2])) < 0.58  # the 5 % point of 12 unrelated pairs
    assert min(relation[2:]) > 0.6
