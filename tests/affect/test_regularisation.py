"""Streams hidden in training, mixup within a person, heads of single streams, encoders that join later."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from affect.alignment import GroupDRO
from affect.alignment.adversary import domains_of
from affect.alignment.domain_risks import label_risk
from affect.alignment.domains import members
from affect.augmentation import Noise
from affect.batch import Batch, StreamShape
from affect.encoders import BandMLP
from affect.fusion import Concatenation, Decision
from affect.learners.adaptive import Adaptive
from affect.learners.network import Network
from affect.learners.regularisation import Regularisation, hide_streams, mix
from affect.transfer import GradualUnfreezing

SHAPES = {"eeg": StreamShape(("a", "b"), 3, None), "eda": StreamShape(("c",), 4, None)}


def batch(rows: int = 60) -> Batch:
    """Three source people and a target; every fifth row lacks eda."""
    torch.manual_seed(0)
    number = torch.arange(rows)
    source = number % 4 < 3
    label = torch.where(source, number % 2, torch.nan)[:, None].float()
    return Batch(
        streams={name: torch.randn(rows, len(s.channels), s.length) for name, s in SHAPES.items()},
        present=torch.stack([torch.ones(rows, dtype=torch.bool), number % 5 > 0], dim=1),
        label=label,
        source=source,
        domain=number % 4,
        weight=torch.rand(rows, 1) + 0.5,
        window=number,
        trial=number,
        subject=number % 4,
    )


@pytest.mark.parametrize("chance", [0.0, 0.3, 0.9])
def test_a_hidden_stream_is_never_the_last(chance: float) -> None:
    torch.manual_seed(0)
    present = torch.rand(20_000, 3) < 0.7
    kept = hide_streams(present, chance)
    assert not (kept & ~present).any()
    assert torch.equal(kept.any(dim=1), present.any(dim=1))
    if chance == 0:
        assert torch.equal(kept, present)
    full = hide_streams(torch.ones(20_000, 3, dtype=torch.bool), chance).float()
    # Each stays unless it was lost; of the rows that would lose all three, one stream comes back.
    assert full.mean().item() == pytest.approx(1 - chance + chance**3 / 3, abs=0.01)
    assert full.mean(dim=0).std() < 0.01


def test_mixup_stays_within_a_person() -> None:
    rows = batch()
    mixed, other = mix(rows, 0.4)
    assert torch.equal(mixed.label.isnan(), rows.label.isnan())
    assert torch.equal(mixed.streams["eeg"][~rows.source], rows.streams["eeg"][~rows.source])
    share = (mixed.weight / rows.weight)[0, 0]
    assert 0.5 <= share < 1  # the row's own label is the one that weighs more
    changed = 0
    for row in range(len(rows.window)):
        part = (mixed.streams["eeg"][row] - share * rows.streams["eeg"][row]) / (1 - share)
        distance = (rows.streams["eeg"] - part).abs().amax(dim=(1, 2))
        partner = int(distance.argmin())
        assert distance[partner] < 1e-4
        assert rows.domain[partner] == rows.domain[row]
        assert torch.equal(rows.present[partner], rows.present[row])
        torch.testing.assert_close(other.weight[row], (1 - share) * rows.weight[partner])
        assert torch.equal(other.label[row].nan_to_num(-1), rows.label[partner].nan_to_num(-1))
        changed += partner != row
    assert changed == 45 - 6  # one of each person and presence has no row behind it


def learner(rules: Regularisation, fusion: str = "concatenation") -> Adaptive:
    torch.manual_seed(1)
    encoders = {name: BandMLP(shape, hidden=8, out=4) for name, shape in SHAPES.items()}
    dims = dict.fromkeys(SHAPES, 4)
    joined = Concatenation(dims) if fusion == "concatenation" else Decision(dims, by=fusion)  # type: ignore[arg-type]
    made = Adaptive(
        Network(encoders, joined, {"x": 2}, stream_heads=rules.stream_heads > 0), None, regularisation=rules
    )
    return made.eval()


def loss(made: Adaptive, rows: Batch) -> Tensor:
    torch.manual_seed(2)
    return made.training_step(rows)


def test_the_heads_of_streams_are_learned_beside_the_fused_one() -> None:
    alone, beside = learner(Regularisation()), learner(Regularisation(stream_heads=0.5))
    assert loss(beside, batch()) > loss(alone, batch())
    loss(beside, batch()).backward()
    heads = beside.network.stream_heads
    assert heads is not None
    assert all(p.grad is not None and p.grad.any() for p in heads.parameters())


def test_rows_without_a_stream_do_not_teach_its_head() -> None:
    made, rows = learner(Regularisation(stream_heads=1.0)), batch()
    other = replace(rows, streams={**rows.streams, "eda": rows.streams["eda"].clone()})
    other.streams["eda"][~rows.present[:, 1]] = 1e6
    assert torch.equal(loss(made, rows), loss(made, other))


def test_with_labels_mixed_the_loss_is_the_mixture_of_both() -> None:
    made, rows = learner(Regularisation(mixup=0.4)), batch()
    torch.manual_seed(2)
    halves = mix(rows, 0.4)
    outputs = made.network(halves[0])
    each = torch.stack([made._label_loss(outputs, (half,)).loss[0] for half in halves])
    weight = torch.stack([half.weight[half.source].sum() for half in halves])
    torch.testing.assert_close(loss(made, rows), (each * weight).sum() / weight.sum())


def test_an_alignment_sees_the_risk_of_both_labels() -> None:
    """What GroupDRO puts in the place of the label loss, and takes away, is the label loss."""
    made, rows = learner(Regularisation(mixup=0.4)), batch()
    made.alignment = GroupDRO(8, (2,), 4)
    made._steps = 1
    rows.label[:9] = torch.nan
    rows.weight[rows.label.isnan()] = 0.0  # as FoldData has it
    torch.manual_seed(2)
    halves = mix(rows, 0.4)
    reading = made.network.read(halves[0])
    seen = made._seen(reading, halves)
    torch.testing.assert_close(label_risk(seen.risk, seen.weight), made._label_loss(reading.outputs, halves).loss[0])


def test_the_tested_persons_labelled_windows_are_the_targets() -> None:
    """They teach the heads, and are no source people to an alignment, whatever it is between."""
    made, rows = learner(Regularisation()), batch()
    made.alignment = GroupDRO(8, (2,), 4)
    made._steps = 1
    own = rows.domain == 3
    rows.source[own] = torch.arange(int(own.sum())) % 2 == 0
    rows.label[own & rows.source] = 1.0
    seen = made._seen(made.network.read(rows), (rows,))
    assert torch.equal(seen.source, ~own)
    assert torch.equal(seen.label.isnan()[:, 0], ~rows.source)
    assert torch.equal(domains_of(seen, "source-target"), own.long())
    assert torch.equal(members(seen, "source-target", 4)[:, 1], members(seen, "subjects", 4)[:, 3])


def test_augmentations_are_for_training_alone() -> None:
    made, rows = learner(Regularisation(augmentations={"eeg": [Noise(level=1.0)]})), batch()
    assert not torch.equal(loss(made, rows), loss(learner(Regularisation()), rows))
    assert torch.equal(made.network(rows), learner(Regularisation()).network(rows))


def test_decisions_by_validation_trust_the_better_stream() -> None:
    made, rows = learner(Regularisation(), "validation"), batch(400)
    rows.streams["eeg"][:, 0, 0] = 8 * (rows.label[:, 0].nan_to_num() - 0.5)
    optimizer = torch.optim.Adam(made.parameters(), 1e-2)
    made.train()
    for _ in range(100):
        optimizer.zero_grad()
        loss(made, rows).backward()
        optimizer.step()
    made.eval()
    made.on_validation_epoch_start()
    made.validation_step(rows)
    made.log_dict = lambda *_, **__: None  # type: ignore[assignment,method-assign]
    made.on_validation_epoch_end()
    shares = made.network.read(rows).shares
    assert shares is not None
    assert (shares[rows.present[:, 1], 0] > 0.7).all()
    torch.testing.assert_close(shares[~rows.present[:, 1]], torch.tensor([1.0, 0.0]).expand(80, 2))


def test_what_is_unfrozen_later_has_a_slower_rate() -> None:
    encoders = {"eeg": BandMLP(SHAPES["eeg"], hidden=8, out=4)}
    parts = GradualUnfreezing(decay=0.1).parts(encoders["eeg"])
    made = Adaptive(Network(encoders, Concatenation({"eeg": 4}), {"x": 2}), None, 1.0, parts=parts)
    rates = [group.get("lr", 1.0) for group in made.groups()]
    assert rates == [1.0, *(part.rate for part in parts)]
    named = [id(p) for group in made.groups() for p in group["params"]]
    assert sorted(named) == sorted(id(p) for p in made.parameters())
