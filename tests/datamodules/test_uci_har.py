"""UCI HAR's reader and its stand-in."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from affect.batch import Signal
from affect.errors import UserError
from datamodules.corpora.base import Trial
from datamodules.corpora.uci_har import ACTIVITIES, FILE, UciHar
from datamodules.quality import check_rating, inspect
from datamodules.standin.uci_har import StandInUciHar, write_uci_har


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("uci_har")
    write_uci_har(folder, subjects=11, trials=4)
    return folder


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return shutil.copytree(written, tmp_path / "har")


def trials(corpus: UciHar, subject: str) -> list[Trial]:
    found = list(corpus.trials(subject, ["motion"]))
    assert all(isinstance(trial, Trial) for trial in found)
    return [trial for trial in found if isinstance(trial, Trial)]


def signal_of(trial: Trial) -> Signal:
    signal = trial.streams["motion"]
    assert isinstance(signal, Signal)
    return signal


def arrays(folder: Path) -> dict[str, Any]:
    with np.load(folder / FILE, allow_pickle=False) as file:
        return dict(file)


def test_round_trip(written: Path) -> None:
    """Every window of the file is a trial, with its own samples, person, activity and session."""
    corpus, file = UciHar(str(written)), arrays(written)
    corpus.ensure()
    assert corpus.subjects() == [str(n) for n in range(1, 12)]  # by number
    for subject in ("2", "11"):
        own = trials(corpus, subject)
        assert len(own) == (file["subject"] == int(subject)).sum()
        for trial in own:
            row, signal = int(trial.where.rpartition(" ")[2]), signal_of(trial)
            assert (trial.subject, int(file["subject"][row])) == (subject, int(subject))
            assert trial.ratings == {"activity": ACTIVITIES[file["y"][row]]}
            assert trial.session == ("test" if file["is_test"][row] else "train")
            np.testing.assert_array_equal(signal.data, file["x"][row].astype(np.float32))
            assert (str(signal.data.dtype), signal.rate, len(signal.channels)) == ("float32", 50.0, 9)
            assert inspect(signal, "motion", trial.where).problem is None
        told = {trial.session: {str(t.stimulus) for t in own if t.session == trial.session} for trial in own}
        assert told == {"train": set(ACTIVITIES), "test": set(ACTIVITIES)}
    assert next(iter(trials(corpus, "1"))).streams
    assert not next(t for t in corpus.trials("1", []) if isinstance(t, Trial)).streams


SPOILT: dict[str, tuple[str, Callable[[dict[str, Any]], dict[str, Any]]]] = {
    "missing": ("no such arrays", lambda f: {k: v for k, v in f.items() if k != "subject"}),
    "turned": ("x: float16 of shape", lambda f: f | {"x": f["x"].swapaxes(1, 2)}),
    "short": ("subject: int8 of shape", lambda f: f | {"subject": f["subject"][1:]}),
    "numbers": ("is_test: int64", lambda f: f | {"is_test": f["is_test"].astype(np.int64)}),
    "objects": ("no such arrays", lambda f: f | {"x": f["x"].astype(object)}),
}


@pytest.mark.parametrize("how", SPOILT)
def test_a_file_that_is_not_what_it_should_be(folder: Path, how: str) -> None:
    found, change = SPOILT[how]
    np.savez(folder / FILE, allow_pickle=True, **change(arrays(folder)))
    with pytest.raises(UserError) as caught:
        UciHar(str(folder)).subjects()
    assert caught.value.where == str(folder / FILE)
    assert found in caught.value.found


def test_a_file_cut_short_and_no_file(folder: Path) -> None:
    path = folder / FILE
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(UserError, match="no such arrays"):
        UciHar(str(folder)).subjects()
    path.unlink()
    with pytest.raises(UserError, match="no uci_har recording"):
        UciHar(str(folder)).subjects()


def test_an_activity_that_does_not_exist_is_told_by_its_number(folder: Path) -> None:
    file = arrays(folder)
    file["y"][0] = 6
    np.savez(folder / FILE, **file)
    first = trials(UciHar(str(folder)), "1")[0]
    with pytest.raises(UserError, match="y = 6"):
        check_rating("activity", first.ratings["activity"], ACTIVITIES, first.where)


def test_stand_in_is_the_same_again(tmp_path: Path) -> None:
    few, same, more = (StandInUciHar(str(tmp_path / at), people, 3) for at, people in (("a", 1), ("b", 1), ("a", 2)))
    for corpus in (few, same, more):
        corpus.ensure()
    assert few.root.name == same.root.name != more.root.name
    for one, other in ((few, same), (few, more)):
        for a, b in zip(trials(one, "1"), trials(other, "1"), strict=True):
            np.testing.assert_array_equal(signal_of(a).data, signal_of(b).data)


def recall(corpus: UciHar, own_statistics: bool = False) -> float:
    """Of activities, on people never seen, from means and deviations of the channels."""
    corpus.ensure()
    found = [trials(corpus, subject) for subject in corpus.subjects()]
    data = [np.stack([signal_of(trial).data for trial in own]) for own in found]
    rows = [np.concatenate([d.mean(axis=2), np.log(d.std(axis=2) + 0.01)], axis=1) for d in data]
    if own_statistics:
        rows = [(r - r.mean(axis=0)) / r.std(axis=0) for r in rows]
    label = [trial.stimulus for own in found for trial in own]
    people = np.repeat(np.arange(len(found)), [len(own) for own in found])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300))
    told = cross_val_predict(model, np.concatenate(rows), label, groups=people, cv=GroupKFold(4))
    return float(balanced_accuracy_score(label, told))


def test_strength_is_the_effect_and_shift_what_people_differ_by(tmp_path: Path) -> None:
    def made(**settings: float) -> UciHar:
        return StandInUciHar(str(tmp_path), subjects=8, trials=10, **settings)  # type: ignore[arg-type]

    assert recall(made(strength=0)) < 0.3
    usual, alike = recall(made()), recall(made(shift=0))
    assert 0.5 < usual < alike
    assert recall(made(), own_statistics=True) > usual + 0.03


@pytest.mark.real
def test_real_corpus(real_data: Path) -> None:
    """Counts of the official release and of AdaTime's split; gravity is where the channels say."""
    corpus = UciHar(str(real_data / "uci_har"))
    people = corpus.subjects()
    assert people == [str(n) for n in range(1, 31)]
    found = [trial for person in people for trial in trials(corpus, person)]
    counts = [sum(trial.stimulus == activity for trial in found) for activity in ACTIVITIES]
    assert counts == [1722, 1544, 1406, 1777, 1906, 1944]
    assert 0.29 < np.mean([trial.session == "test" for trial in found]) < 0.31
    assert all(inspect(signal_of(trial), "motion", trial.where).problem is None for trial in found[::10])
    upright = np.mean([signal_of(t).data.mean(axis=1) for t in found if t.stimulus == "standing"], axis=0)
    gravity = dict(zip(signal_of(found[0]).channels, upright.tolist(), strict=True))
    assert gravity["total_acc_x"] == pytest.approx(1.0, abs=0.05)  # g
    assert abs(gravity["body_acc_x"]) < 0.01
