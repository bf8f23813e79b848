"""A run → its data, its network with its weights, and the learner that trains it."""

from functools import partial
from pathlib import Path

import pandas as pd
import torch
import xxhash
from safetensors.torch import save
from torch import Tensor

from affect.encoders import Encoder
from affect.learners.adaptive import Adaptive
from affect.learners.base import Learner
from affect.learners.regularisation import Regularisation
from affect.transfer import FrozenEncoder
from datamodules.atomic import replacing
from datamodules.module import FoldData
from experiments.network import build_alignment, build_augmentations, build_network, native_streams, streams_of
from experiments.plan import Plan, Run


def fold_data(plan: Plan, run: Run) -> FoldData:
    """The windows of a run's fold, as its method sees them."""
    experiment, training = run.experiment, run.experiment.trainer
    is_network = experiment.methods[run.method].classical is None
    return FoldData(
        plan.windows,
        plan.labels,
        plan.classes,
        run.fold,
        run.normalisation,
        training.batch_size,
        run.seed,
        joint=run.joint,
        balanced=training.class_weights == "balanced",
        domain=experiment.domain,
        streams=streams_of(experiment, run.method),
        native=native_streams(experiment, run.method) if is_network else (),
        calibration_weight=training.calibration_weight,
        labelled=not (experiment.pretraining and experiment.pretraining.objective),
    )


def learner_and_data(plan: Plan, run: Run) -> tuple[Adaptive, FoldData]:
    """What `fit` trains, on what; frozen encoders have made their embeddings."""
    experiment, training = run.experiment, run.experiment.trainer
    data = fold_data(plan, run)
    torch.manual_seed(run.seed)
    built = build_network(
        experiment, run.method, plan.windows.shapes, plan.targets, run.weights, data.centre, data.spread
    )
    alignment = build_alignment(experiment, run.method, built.network, data.domains)
    learns = {}  # the windows of frozen encoders are embedded once, as they are
    device = {"cpu": "cpu", "gpu": "cuda", "mps": "mps"}[experiment.compute.accelerator]
    for name, encoder in built.network.encoders.items():
        if isinstance(encoder, FrozenEncoder):
            embed = partial(_embed, encoder.to(device), device)
            data.embed(name, embed, encoder.encoder.out_dim, _digest(encoder.encoder))
            encoder.to("cpu").embedded = True
        else:
            learns[name] = plan.windows.shapes[name]
    if alignment and alignment.maps:
        data.map_streams(alignment.map_stream, alignment.weight)
    regularisation = Regularisation(
        experiment.model.stream_dropout,
        experiment.model.stream_heads,
        build_augmentations(experiment.model.augmentations, "model.augmentations", learns),
        training.mixup,
        training.label_smoothing,
    )
    learner = Adaptive(
        built.network,
        alignment,
        training.learning_rate,
        training.weight_decay,
        training.schedule,
        regularisation,
        built.parts,
        run.seed,
    )
    return learner, data


def keep_learner(learner: Learner, folder: Path) -> None:
    """Leave curves and weights in a run's folder."""
    with replacing(folder / "curves.csv") as temporary:
        pd.DataFrame(learner.curves).to_csv(temporary, index=False)
    weights = {name: tensor.contiguous() for name, tensor in learner.state_dict().items()}
    with replacing(folder / "weights.safetensors") as temporary:
        temporary.write_bytes(save(weights))


def _embed(encoder: FrozenEncoder, device: str, x: Tensor) -> Tensor:
    return encoder.embed(x.to(device))


def _digest(encoder: Encoder) -> str:
    state = xxhash.xxh3_128()
    for tensor in encoder.state_dict().values():
        state.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return str(state.hexdigest())
