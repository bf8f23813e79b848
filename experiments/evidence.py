"""What a fitted model leaves for choosing and for judging an alignment, before anybody looks at a target label."""

import copy
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from affect.alignment import Alignment, AlignmentInput
from affect.evaluation.divergence import adversary, proxy_a_distance
from affect.evaluation.probe import every
from affect.evaluation.selection import VALIDATORS, Evidence, scores
from affect.learners.adaptive import Adaptive
from affect.learners.label_loss import labels
from affect.learners.network import Network
from datamodules.module import FoldData
from experiments.plan import Plan

Scores = dict[str, float | None]


def of_network(plan: Plan, network: Network, data: FoldData) -> Scores:
    """Every validator's score of a network."""
    train, held_out, target = (
        _read(network, data, every(rows)) for rows in (data.source_alone, data.source_val, data.target_unlabelled)
    )
    found = []
    for i, one in enumerate(plan.targets):
        known = ~held_out.label[:, i].isnan()
        found.append(
            Evidence(
                train_features=_array(train.features),
                validation_features=_array(held_out.features[known]),
                validation_probability=_predicted(network, held_out.outputs[known], i),
                validation_label=_array(held_out.label[known, i]),
                target_features=_array(target.features),
                target_probability=_predicted(network, target.outputs, i),
                classes=len(one.classes),
            )
        )
    return mean_scores(found)


def mean_scores(found: list[Evidence]) -> Scores:
    """Every validator's mean over targets, None where one of them has none."""
    rows = [scores(evidence) for evidence in found]
    means: Scores = {}
    for name in VALIDATORS:
        values = [value for row in rows if (value := row[name]) is not None]
        means[name] = float(np.mean(values)) if len(values) == len(rows) > 0 else None
    return means


def distance(network: Network, data: FoldData) -> float | None:
    """Proxy A-distance between source-train and target in the network's embedding, held out trial by trial."""
    source, target = every(data.source_alone), every(data.target_unlabelled)
    if not len(source) or not len(target):
        return None
    here, there = (_array(_read(network, data, rows).features) for rows in (source, target))
    return proxy_a_distance(here, there, data.trial_of(source), data.trial_of(target), data.seed)


def of_alignment(learner: Adaptive, data: FoldData, before: float | None) -> dict[str, Any]:
    """How far source and target are apart before and after training, and how the adversary fared if there is one."""
    after = distance(learner.network, data)
    told: dict[str, Any] = {"a_distance": {"before": before, "after": after}}
    last = learner.curves[-1] if learner.curves else {}
    if learner.alignment is not None and "train/domain_accuracy" in last:
        frozen = _against_frozen(learner.alignment, learner.network, data)
        accuracy, chance = last["train/domain_accuracy"], last["train/domain_chance"]
        state, sentence = adversary(accuracy, chance, frozen, after)
        told["adversary"] = {"state": state, "frozen": frozen, "sentence": sentence}
    return told


def _against_frozen(alignment: Alignment, network: Network, data: FoldData, steps: int = 50) -> float:
    """Domain accuracy that an adversary reaches when the encoder no longer moves; of a copy, trained on."""
    source, target = every(data.source_alone), every(data.target_unlabelled)
    size = min(len(source), len(target))
    even = [rows[np.linspace(0, len(rows) - 1, size).round().astype(int)] for rows in (source, target)]
    seen = _read(network, data, np.concatenate(even))
    batch = AlignmentInput(seen.features, seen.outputs, seen.label, seen.source, seen.domain, seen.weight, 1.0)
    alone, accuracy = copy.deepcopy(alignment), 0.0
    optimizer = torch.optim.Adam(alone.parameters(), lr=1e-2)
    for _ in range(steps):
        loss, numbers = alone(batch)
        accuracy = float(numbers["domain_accuracy"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return accuracy


@dataclass(frozen=True)
class _Read:
    """A network's embedding and outputs of n windows, and what may be known of them."""

    features: Tensor
    outputs: Tensor
    label: Tensor
    source: Tensor
    domain: Tensor
    weight: Tensor


def _read(network: Network, data: FoldData, rows: NDArray[np.int64]) -> _Read:
    """Of some windows, in evaluation mode."""
    was_training, device, parts = network.training, network.centre.device, []
    network.eval()
    with torch.no_grad():
        for batch in (batch.to(device) for batch in data.in_order(rows)):
            seen = network.read(batch)
            about = labels(network, batch), batch.source, batch.domain, batch.weight
            parts.append(_Read(seen.features, seen.outputs, *about))
    network.train(was_training)
    if not parts:
        targets, none = len(network.sizes), torch.zeros(0, dtype=torch.bool)
        features, outputs = torch.zeros(0, network.fusion.out_dim), torch.zeros(0, sum(network.sizes))
        return _Read(features, outputs, torch.zeros(0, targets), none, none.long(), torch.zeros(0, targets))
    return _Read(*(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(_Read)))


def _predicted(network: Network, outputs: Tensor, target: int) -> NDArray[np.float64]:
    """(n, K) probabilities of one target's classes, or (n, 1) standardised values."""
    classes = list(network.targets.values())[target]
    out = list(network.split(outputs).values())[target]
    return _array(out.softmax(dim=1) if classes else out)


def _array(values: Tensor) -> NDArray[np.float64]:
    found: NDArray[np.float64] = values.double().cpu().numpy()
    return found
