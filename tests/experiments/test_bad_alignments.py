"""What an alignment cannot work with is refused before training, and what goes wrong in training is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

from affect.errors import UserError

if TYPE_CHECKING:
    from tests.experiments.conftest import Place

METHOD = "--methods.dann={alignment: {class_path: affect.alignment.%s, init_args: {%s}}}"
VALUES = "--data.target={class_path: datamodules.targets.Value, init_args: {rating: valence}}"


@pytest.mark.parametrize(
    ("overrides", "where", "found", "do"),
    [
        ((METHOD % ("PrototypeHead", ""),), "methods.dann.alignment", "labels of the tested person", "calibration=1"),
        (
            (METHOD % ("GroupDRO", ""), "--data.corpus.subjects=[s01, s02]"),
            "methods.dann.alignment",
            "GroupDRO with 1 source subject",
            "take more",
        ),
        ((METHOD % ("MCC", ""), VALUES), "methods.dann.alignment", "", "see affect.alignment.MCC"),
        (
            (METHOD % ("MCC", ""), "--model.fusion=affect.fusion.Decision"),
            "methods.dann.alignment",
            "affect.alignment.MCC",
            "see affect.alignment.MCC",
        ),
        ((METHOD % ("AdaBN", ""),), "methods.dann.alignment", "AdaBN", "see affect.alignment.AdaBN"),
        ((METHOD % ("CORAL", "weight: 2"),), "methods.dann.alignment", "weight", "see affect.alignment.CORAL"),
        (
            ("--methods.dann={alignment: affect.alignment.DANN, classical: affect.classical.LogisticRegression}",),
            "methods.dann.alignment",
            "DANN, which trains a network, beside a classical model",
            "take methods.dann.classical out",
        ),
    ],
)
def test_what_an_alignment_cannot_serve_is_refused_before_training(
    place: Place, door: Any, overrides: tuple[str, ...], where: str, found: str, do: str
) -> None:
    door(place.arguments(*overrides)).refused(where, found, "", do)
    assert not (place.output / "runs").exists()


def test_an_alignment_of_streams_serves_a_classical_model(place: Place, door: Any) -> None:
    plain = "classical: affect.classical.LogisticRegression"
    both = f"--methods={{plain: {{{plain}}}, coral: {{alignment: affect.alignment.CORAL, {plain}}}}}"
    answer = door(place.arguments(both))
    assert answer.code == 0, answer.err
    rows = {line.split()[0]: line.split() for line in answer.out.splitlines() if line.startswith(("plain", "coral"))}
    assert rows["plain"][2] == "inductive"
    assert rows["coral"][2] == "transductive-stats"  # covariances
    assert rows["plain"][3] != rows["coral"][3]


def test_a_loss_that_is_no_number_stops_the_run_and_says_where(place: Place, door: Any) -> None:
    answer = door(place.arguments("--trainer.learning_rate=1e30", "--trainer.schedule=constant", "--seeds=[0]"))
    assert answer.code == 1
    assert "loss of" in answer.err
    assert "epoch 1, step" in answer.err
    assert "lower trainer.learning_rate" in answer.err
    assert not list(place.output.glob("runs/*/done"))


def test_lambda_is_not_resumed_on_the_way_to_another_length(place: Place) -> None:
    from test_hidden_labels import plan_of

    from affect.learners.adaptive import Adaptive
    from experiments.learn import learner_and_data

    plan = plan_of(place)
    learner, _ = learner_and_data(plan, next(run for run in plan.runs if run.method == "dann"))
    assert isinstance(learner, Adaptive)

    class Trainer:
        estimated_stepping_batches = 30

    learner.on_load_checkpoint({"curves": [], "steps": 20})
    learner._trainer = Trainer()  # type: ignore[assignment]
    with pytest.raises(UserError, match="30 steps in all, for a checkpoint on its way to 20"):
        learner.on_fit_start()


def test_a_target_of_one_trial_is_seen_in_every_batch(place: Place) -> None:
    """Fewer target windows than a batch: they are seen again, shuffled anew."""
    from test_hidden_labels import plan_of

    from experiments.learn import learner_and_data

    plan = plan_of(place, "--trainer.batch_size=64")
    run = next(run for run in plan.runs if run.method == "dann")
    _, data = learner_and_data(plan, run)
    data.target_unlabelled = data.target_unlabelled[:1]
    loader = data.train_dataloader()
    for batch in loader:
        assert int((~batch.source).sum()) == int(batch.source.sum())
        assert len(torch.unique(batch.window[~batch.source])) == 1
