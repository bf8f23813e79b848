"""What W&B is told: read back from what it wrote offline, with nobody called meanwhile; and `online` without a key."""

from __future__ import annotations

import json
import os
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from wandb_reader import Tracked, read, table

if TYPE_CHECKING:
    from tests.experiments.conftest import Door, Place, Start

VALUE = "{class_path: datamodules.targets.Value, init_args: {rating: arousal}}"
TARGETS = (
    "--data.target=[{class_path: datamodules.targets.Threshold, init_args: {rating: valence, above: 5}}, " + VALUE + "]"
)
HALVES = "--protocol={class_path: datamodules.protocols.SubjectGroups, init_args: {groups: 2, validation: 0.5}}"
METHODS = (
    "--methods={forest: {classical: {class_path: affect.classical.RandomForest, init_args: {trees: 3}}}, "
    "dann: {alignment: affect.alignment.DANN}}"
)


@pytest.fixture
def nobody_called(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Who was called: by Python's sockets, which refuse all but this machine, or by W&B's own process, by a proxy."""
    import wandb
    from wandb.analytics.opentelemetry import opentelemetry_proxy as telemetry

    monkeypatch.delenv("WANDB_ERROR_REPORTING", raising=False)
    for name in ("_singleton_telemetry_proxy", "_singleton_telemetry_recorder"):
        monkeypatch.setattr(telemetry, name, None)  # as in a process that has not met W&B before
    called: list[str] = []
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family == socket.AF_UNIX or address[0] in ("127.0.0.1", "::1", "localhost"):
            return connect(self, address)
        called.append(str(address))
        raise OSError("no network here")

    monkeypatch.setattr(socket.socket, "connect", guarded)
    proxy = socket.create_server(("127.0.0.1", 0))

    def listen() -> None:
        while True:
            try:
                connection, _ = proxy.accept()
            except OSError:
                return
            called.append(connection.recv(100).decode(errors="replace"))
            connection.close()

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.getsockname()[1]}")
    wandb.teardown()  # its process began with another environment
    yield called
    wandb.teardown()
    proxy.shutdown(socket.SHUT_RDWR)
    proxy.close()
    thread.join(timeout=5)


def runs(place: Place) -> dict[str, tuple[Path, Tracked]]:
    """Name of a W&B run → its folder and what is in it, once this process has done with W&B as if it ended."""
    import wandb
    from wandb.analytics.opentelemetry.opentelemetry_proxy import get_open_telemetry_proxy

    if proxy := get_open_telemetry_proxy():
        proxy.shutdown()  # sends what was gathered
    wandb.teardown()
    found = {folder: read(folder) for folder in place.output.glob("small-*/wandb/offline-run-*")}
    return {tracked.run.display_name: (folder, tracked) for folder, tracked in found.items()}


def test_an_offline_experiment_is_all_there_and_nobody_was_called(
    place: Place, door: Door, nobody_called: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = place.arguments(TARGETS, METHODS, HALVES, "--wandb.mode=offline")
    answer = door(arguments)
    assert (answer.code, answer.err) == (0, "")
    (folder,) = place.output.glob("small-*")
    names = json.loads((folder / "runs.json").read_text())
    found = runs(place)
    assert set(found) == {*names, "small: summary"}
    for label, (_, tracked) in found.items():
        assert (tracked.run.run_group, tracked.run.project, tracked.exit_code) == (folder.name, "affect", 0)
        assert tracked.config["experiment"]["trainer"]["max_epochs"] == 2
        if label != "small: summary":
            assert tracked.run.run_id == names[label]

    where, dann = found["group01 · dann · source · seed 0"]
    run = place.output / "runs" / dann.run.run_id
    assert dann.run.job_type == "dann"
    assert list(dann.run.tags) == ["transductive", "source", "deap", "valence", "arousal"]
    assert (dann.config["fold"], dann.config["setting"], dann.config["run"]["seed"]) == ("group01", "transductive", 0)
    assert dann.metrics["train/*"].step_metric == "epoch"
    assert dann.metrics["epoch"].step_metric == "trainer/global_step"
    curves = pd.read_csv(run / "curves.csv")
    losses = [row["train/label_loss"] for row in dann.history if "train/label_loss" in row]
    assert losses == pytest.approx(curves["train/label_loss"].tolist(), abs=1e-5)
    assert {row["epoch"] for row in dann.history if "train/label_loss" in row} == {0, 1}
    assert dann.summary["train/label_loss"]["min"] == min(losses)
    assert set(dann.summary["source_val/label_loss"]) == {"min", "max", "last"}
    scores = json.loads((run / "metrics.json").read_text())["targets"]
    assert dann.summary["test/balanced_accuracy_valence"] == scores["valence"]["window"]["mean"]["balanced_accuracy"]
    assert dann.summary["test/rmse_arousal"] == pytest.approx(scores["arousal"]["window"]["mean"]["rmse"])

    trials = logged(where, dann, "trials/valence")
    fold = json.loads((folder / "splits.json").read_text())["group01"]
    assert [row["trial"] for row in trials] == fold["target_test"]["trials"]
    assert [row["stimulus"] for row in trials] == 2 * [f"video{n:02d}" for n in range(1, 5)]
    for row in trials:
        assert f"deap/{row['subject']}" in fold["target_test"]["people"]
        assert row["predicted"] == max(("low", "high"), key=lambda name: row[name])
        assert row["low"] + row["high"] == pytest.approx(1, abs=1e-6)
    right = sum(row["label"] == row["predicted"] for row in trials) / len(trials)
    assert right == pytest.approx(scores["valence"]["trial"]["mean"]["accuracy"])
    assert set(logged(where, dann, "trials/arousal")[0]) == {"subject", "trial", "stimulus", "label", "predicted"}
    confusion = logged(where, dann, "confusion/valence_table")
    assert sum(row["nPredictions"] for row in confusion) == 16  # windows
    right = sum(row["nPredictions"] for row in confusion if row["Actual"] == row["Predicted"]) / 16
    assert right == pytest.approx(scores["valence"]["window"]["mean"]["accuracy"])
    assert any("visualize" in key and "confusion/valence" in key for key in dann.config)
    assert str(run / "weights.safetensors") in dann.files
    assert dann.artifacts["checkpoint"] == [f"small-{run.name}"]
    assert "checkpoint" not in found["group01 · forest · source · seed 0"][1].artifacts

    where, summary = found["small: summary"]
    assert (summary.run.run_id, summary.run.job_type) == (folder.name, "summary")
    written = json.loads((folder / "summary.json").read_text())["targets"]
    results = logged(where, summary, "results")
    people_of = logged(where, summary, "people")
    row = written["valence"]["methods"]["dann/source"]["window"]["accuracy"]
    wanted = {"target": "valence", "method": "dann", "level": "window", "metric": "accuracy"}
    (one,) = (r for r in results if wanted.items() <= r.items())
    assert (one["mean"], one["low"], one["high"], one["p"]) == (
        row["mean"],
        row["low"],
        row["high"],
        row["vs_source_only"]["p"],
    )
    assert {r["person"]: r["value"] for r in people_of if wanted.items() <= r.items()} == row["subjects"]
    assert {"ece", "coverage", "rmse"} <= {r["metric"] for r in results}
    assert summary.summary["valence/dann/source/window/accuracy"] == row["mean"]
    (html,) = (h["table/path"] for h in summary.history)
    assert "uncertainty on windows" in (where / "files" / html).read_text(encoding="utf-8")
    assert summary.artifacts["split"] == [f"{folder.name}-splits"]
    parts = [fold[part]["people"] for part in ("source_train", "source_val", "target_test")]
    assert sorted(person for part in parts for person in part) == ["deap/s01", "deap/s02", "deap/s03", "deap/s04"]
    assert [path for path in (*dann.files, *summary.files) if not Path(path).exists()] == []

    # The same command again tells nothing twice; without W&B the results are the same.
    assert door(arguments).code == 0
    assert set(runs(place)) == set(found)
    assert len(list(folder.glob("wandb/offline-run-*"))) == len(found)
    assert nobody_called == []


def logged(folder: Path, tracked: Tracked, key: str) -> list[dict[str, Any]]:
    (path,) = (row[f"{key}/path"] for row in tracked.history if f"{key}/path" in row)
    return table(folder, {"path": path})


def test_the_trap_would_have_told(nobody_called: list[str], tmp_path: Path) -> None:
    """The test above must be able to fail: all ways out are watched."""
    import urllib.request

    import wandb

    with pytest.raises(OSError):  # noqa: PT011 (urlopen itself keeps the proxies it met first)
        urllib.request.build_opener().open("http://wandb.invalid/", timeout=30)
    assert re.match(r"GET http://wandb\.invalid/", nobody_called[0])
    with pytest.raises(OSError, match="no network"):
        socket.create_connection(("192.0.2.1", 443), timeout=5)
    assert "192.0.2.1" in nobody_called[1]
    settings = wandb.Settings(api_key="0" * 40, init_timeout=2, silent=True, console="off")
    with pytest.raises(wandb.errors.CommError):
        wandb.init(mode="online", project="affect", dir=tmp_path, settings=settings)
    assert nobody_called[2].startswith("CONNECT")


def test_a_pretrained_encoder_is_an_artifact_with_its_card(place: Place, door: Door) -> None:
    everyone = ("--protocol=datamodules.protocols.Everyone", "--pretraining={}", "--methods={}")
    assert door(place.arguments("--wandb.mode=offline", *everyone)).code == 0
    found = {tracked.run.job_type: tracked for _, tracked in runs(place).values()}
    (run,) = (place.output / "runs").iterdir()
    assert found["pretraining"].artifacts == {"encoder": [f"small-{run.name}-eeg"]}
    assert found["pretraining"].files == [str(run / f"eeg.{end}") for end in ("json", "safetensors")]
    assert set(found["summary"].artifacts) == {"split", "summary"}


# ---- without a key


@pytest.fixture
def stranger(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Somebody who never logged in to W&B."""
    import wandb

    wandb.teardown()
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))
    yield
    wandb.teardown()


@pytest.mark.usefixtures("stranger")
def test_online_without_a_key_says_how_and_trains_nothing(place: Place, door: Door) -> None:
    answer = door(place.arguments("--wandb.mode=online"))
    answer.refused("wandb.mode", "'online', and nobody logged in", "a key", "uv run wandb login")
    assert "--wandb.mode=offline" in answer.err
    assert not place.output.exists()


@pytest.mark.usefixtures("stranger")
def test_it_goes_on_offline_only_when_asked(place: Place, door: Door) -> None:
    more = ("--data.corpus.subjects=[s01, s02]", "--methods={}", "--trainer.max_epochs=1", "--wandb.artifacts=false")
    answer = door(place.arguments("--wandb.mode=online", "--wandb.without_key=offline", *more))
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith("nobody is logged in to W&B: goes on offline")
    found = runs(place)
    assert len(found) == 3
    assert all("checkpoint" not in tracked.artifacts for _, tracked in found.values())


# ---- afterwards


@pytest.mark.slow
def test_the_documented_command_finds_every_run(place: Place, door: Door, start: Start) -> None:
    """`wandb sync` in a dry run, with a key that nobody has, names each of them and uploads nothing."""
    assert door(place.arguments("--wandb.mode=offline", "--methods={}")).code == 0
    folders = sorted(place.output.glob("small-*/wandb/offline-run-*"))
    arguments = ["sync", "--dry-run", *map(str, folders)]
    answer = start(arguments, script=Path(__import__("wandb").__file__).parent / "__main__.py").answer()
    assert answer.code == 0, answer.err
    said = answer.out + answer.err
    assert all(folder.name in said for folder in folders)
