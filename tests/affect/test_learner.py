"""The learner, its targets and the encoders: weight 0 is source-only, resumed is uninterrupted, a head each."""

from dataclasses import replace
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from affect.alignment import DANN
from affect.batch import Batch, StreamShape
from affect.encoders import BandMLP, Encoder, LogMelCNN, SpatialFirstEEGNet, TemporalCNN
from affect.fusion import Concatenation
from affect.learners.adaptive import Adaptive
from affect.learners.label_loss import label_loss
from affect.learners.network import Network

EEG = StreamShape(tuple(f"e{i}" for i in range(6)), 128, 64.0)
BANDS = StreamShape(tuple(f"e{i}" for i in range(6)), 4, None)
MEL = StreamShape(tuple(f"mel{i}" for i in range(20)), 50, 100.0)
ENCODERS = [(BandMLP, BANDS), (BandMLP, EEG), (SpatialFirstEEGNet, EEG), (LogMelCNN, MEL)]


def _batch(rows: int, seed: int, shapes: dict[str, StreamShape]) -> Batch:
    """Half source with labels, a class and a value, half target without; some source rows lack one of them."""
    generator = torch.Generator().manual_seed(seed)
    source = torch.arange(rows) < rows // 2
    streams = {n: torch.randn(rows, len(s.channels), s.length, generator=generator) for n, s in shapes.items()}
    label = torch.stack([torch.arange(rows) % 2.0, 5 + 2 * torch.randn(rows, generator=generator)], dim=1)
    label[~source] = torch.nan
    label[1, 0] = label[4, 1] = torch.nan
    return Batch(
        streams=streams,
        present=torch.ones(rows, len(shapes), dtype=torch.bool),
        label=label,
        source=source,
        domain=torch.where(source, torch.arange(rows) % 3, 3),
        weight=torch.rand(rows, 2, generator=generator) + 0.5,
        window=torch.arange(rows),
        trial=torch.arange(rows),
        subject=torch.arange(rows) % 4,
    )


class _Batches(Dataset[Batch]):
    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Batch:
        return _batch(32, index, {"eeg": BANDS})


TARGETS = {"happy": 2, "arousal": 0}


def _network() -> Network:
    torch.manual_seed(0)
    fusion = Concatenation({"eeg": 8})
    return Network({"eeg": BandMLP(BANDS, hidden=16, out=8)}, fusion, TARGETS, centre=[0.0, 5.0], spread=[1.0, 2.0])


def _learner(weight: float | None = None) -> Adaptive:
    """Source-only, or DANN with this weight, always from the same initial weights."""
    network = _network()
    alignment = None if weight is None else DANN(8, (2, 0), 4, weight=weight)
    return Adaptive(network, alignment, 1e-2, seed=3)


def _fit(learner: Adaptive, folder: Path, epochs: int = 4, resume: Path | None = None, stop: int | None = None) -> Path:
    class Stop(pl.Callback):
        def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            if stop is not None and trainer.current_epoch + 1 == stop:
                trainer.should_stop = True

    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        callbacks=[Stop()],
        default_root_dir=folder,
    )
    trainer.fit(learner, DataLoader(_Batches(), batch_size=None), ckpt_path=resume, weights_only=bool(resume) or None)
    checkpoint = folder / f"{stop or epochs}.ckpt"
    trainer.save_checkpoint(checkpoint)
    return checkpoint


def _same(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_weight_zero_is_source_only_to_the_bit_and_weight_one_is_not(tmp_path: Path) -> None:
    learners = [_learner(), _learner(0.0), _learner(1.0)]
    for learner in learners:
        _fit(learner, tmp_path)
    source_only, zero, one = (learner.network for learner in learners)
    assert _same(source_only, zero)
    assert not _same(source_only.encoders, one.encoders)


def test_resumed_is_uninterrupted_to_the_bit(tmp_path: Path) -> None:
    """Weights, optimiser, λ, dropout and the order of rows go on as if nothing had happened."""
    whole, first, second = (_learner(1.0) for _ in range(3))
    _fit(whole, tmp_path)
    halfway = _fit(first, tmp_path, stop=2)
    assert not _same(first, whole)
    _fit(second, tmp_path, resume=halfway)
    assert _same(second, whole)


def test_label_loss_ignores_target_rows_and_what_is_not_labelled() -> None:
    """Whatever stands in the label of a target row, the loss and its gradient are the same."""
    network = _network().eval()
    batch = _batch(16, 0, {"eeg": BANDS})
    losses, gradients = [], []
    for wrong in (float("nan"), 0.0, 1.0):
        batch.label = torch.where(batch.source[:, None], batch.label, wrong)
        outputs = network(batch)
        losses.append(label_loss(network, outputs, batch).loss)
        gradients.append(torch.autograd.grad(losses[-1].mean(), outputs)[0])
    assert torch.equal(losses[0], losses[1])
    assert torch.equal(losses[0], losses[2])
    assert torch.equal(gradients[0], gradients[2])
    assert not gradients[0][~batch.source].any()
    assert not gradients[0][1, :2].any()  # no class is known of this row
    assert gradients[0][1, 2] != 0
    assert gradients[0][4, 0] != 0
    assert gradients[0][4, 2] == 0


def test_each_target_has_its_own_loss() -> None:
    """Cross-entropy and squared error by hand, over the labelled source rows, by their weights."""
    network, batch = _network().eval(), _batch(16, 1, {"eeg": BANDS})
    outputs = network(batch).detach()
    found = label_loss(network, outputs, batch)
    known = ~batch.label.isnan()
    weight = torch.where(known, batch.weight, 0.0)
    happy, arousal = known[:, 0], known[:, 1]
    entropy = F.cross_entropy(outputs[happy, :2], batch.label[happy, 0].long(), reduction="none")
    error = (outputs[arousal, 2] - (batch.label[arousal, 1] - 5) / 2) ** 2
    right = outputs[happy, :2].argmax(dim=1) == batch.label[happy, 0]
    expected = [
        (entropy * weight[happy, 0]).sum() / weight[:, 0].sum(),
        (error * weight[arousal, 1]).sum() / weight[:, 1].sum(),
    ]
    torch.testing.assert_close(found.loss, torch.stack(expected))
    torch.testing.assert_close(found.weight, weight.sum(dim=0))
    torch.testing.assert_close(found.accuracy[0], (right * weight[happy, 0]).sum() / weight[:, 0].sum())


def test_a_target_without_a_label_in_the_batch_costs_nothing() -> None:
    network, batch = _network(), _batch(16, 1, {"eeg": BANDS})
    batch.label[:, 1] = torch.nan
    batch.weight[:, 1] = 0
    found = label_loss(network, network(batch), batch)
    assert found.loss[1] == 0
    found.loss.mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_one_target_more_leaves_the_others_loss_alone() -> None:
    network, batch = _network(), _batch(16, 2, {"eeg": BANDS})
    outputs = network(batch)
    both = label_loss(network, outputs, batch).loss
    alone = Network({"eeg": BandMLP(BANDS)}, Concatenation({"eeg": 64}), {"happy": 2})
    one = replace(batch, label=batch.label[:, :1], weight=batch.weight[:, :1])
    assert torch.equal(label_loss(alone, outputs[:, :2], one).loss[0], both[0])


def test_predictions_are_probabilities_and_values_on_their_own_scale() -> None:
    network, batch = _network().eval(), _batch(16, 3, {"eeg": BANDS})
    outputs = network(batch)
    found = network.predictions(outputs)
    torch.testing.assert_close(found["happy"], outputs[:, :2].softmax(dim=1))
    torch.testing.assert_close(found["arousal"], outputs[:, 2:] * 2 + 5)
    assert {"centre", "spread"} <= set(network.state_dict())  # weights alone predict on the native scale


def test_label_losses_map_over_folds() -> None:
    """Several folds as one stacked model: each gets the gradient it would get alone."""
    networks, batch = [_network() for _ in range(3)], _batch(16, 4, {"eeg": BANDS})
    for i, network in enumerate(networks):
        torch.manual_seed(i)
        torch.nn.init.normal_(network.head.weight)
        network.eval()
    parameters, buffers = torch.func.stack_module_state(networks)  # type: ignore[arg-type]
    masks = torch.stack([batch.source & (torch.arange(16) % 3 != fold) for fold in range(3)])

    def loss(weights: dict[str, Tensor], fixed: dict[str, Tensor], source: Tensor) -> Tensor:
        outputs = torch.func.functional_call(networks[0], (weights, fixed), (batch,))
        return label_loss(networks[0], outputs, replace(batch, source=source)).loss.mean()

    gradients = torch.func.vmap(torch.func.grad(loss))(parameters, buffers, masks)
    for i, network in enumerate(networks):
        alone = label_loss(network, network(batch), replace(batch, source=masks[i])).loss.mean()
        alone.backward()
        assert network.head.weight.grad is not None
        torch.testing.assert_close(gradients["head.weight"][i], network.head.weight.grad)


def test_an_epoch_is_scored_over_all_its_windows(tmp_path: Path) -> None:
    """Not by the mean over batches of unequal size, and each target over the windows it is known of."""

    class Uneven(_Batches):
        def __getitem__(self, index: int) -> Batch:
            return _batch((32, 8, 16)[index], index, {"eeg": BANDS})

    learner = _learner()
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, default_root_dir=tmp_path)
    (found,) = trainer.validate(learner, DataLoader(Uneven(), batch_size=None), verbose=False)
    learner.eval()
    with torch.no_grad():
        parts = [label_loss(learner.network, learner.network(b), b) for b in (Uneven()[i] for i in range(3))]
    weight = torch.stack([part.weight for part in parts])
    loss = (torch.stack([part.loss for part in parts]) * weight).sum(dim=0) / weight.sum(dim=0)
    assert found["source_val/loss_happy"] == pytest.approx(float(loss[0]), rel=1e-5)
    assert found["source_val/loss_arousal"] == pytest.approx(float(loss[1]), rel=1e-5)
    assert found["source_val/label_loss"] == pytest.approx(float(loss.mean()), rel=1e-5)
    assert "source_val/accuracy_arousal" not in found


@pytest.mark.parametrize(("kind", "shape"), ENCODERS)
def test_encoder_contract(kind: type[Encoder], shape: StreamShape) -> None:
    """(B, …) → (B, out_dim), gradients everywhere, and no row knows its neighbours."""
    torch.manual_seed(0)
    encoder = kind(shape)
    x = torch.randn(5, len(shape.channels), shape.length)
    encoder(x).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in encoder.parameters())
    encoder.eval()
    embedding: Tensor = encoder(x)
    assert embedding.shape == (5, encoder.out_dim)
    torch.testing.assert_close(encoder(x[2:3])[0], embedding[2], atol=1e-6, rtol=1e-5)
    assert not [name for name, _ in encoder.named_buffers()]


@pytest.mark.parametrize("seconds", [0.25, 1.0, 4.0])
def test_eegnet_takes_windows_of_any_length(seconds: float) -> None:
    shape = StreamShape(("a", "b"), round(seconds * 128), 128.0)
    encoder = SpatialFirstEEGNet(shape)
    assert encoder(torch.randn(2, 2, shape.length)).shape == (2, encoder.out_dim)


def test_concatenation_does_not_see_a_missing_stream() -> None:
    """What stands in the embedding of an absent stream changes nothing."""
    fusion = Concatenation({"eeg": 3, "audio": 2})
    present = torch.tensor([[True, True], [True, False]])
    embeddings = {"eeg": torch.randn(2, 3), "audio": torch.randn(2, 2)}
    fused = fusion(embeddings, present)
    embeddings["audio"][1] = 99.0
    assert torch.equal(fusion(embeddings, present), fused)
    assert fused.shape == (2, fusion.out_dim)


def test_source_and_target_go_through_batch_normalisation_apart() -> None:
    """As in AdaTime: in training what the target holds is nothing to the source; both move the running statistics."""
    network = Network({"eeg": TemporalCNN(EEG, 8, dropout=0.0, norm="batch")}, Concatenation({"eeg": 16}), {"v": 2})
    encoder = network.encoders["eeg"]
    batch = _batch(12, 0, {"eeg": EEG})
    batch.source = torch.arange(12) % 3 > 0
    batch.streams["eeg"][~batch.source] = 5 * batch.streams["eeg"][~batch.source] + 2

    def only(rows: Tensor) -> Tensor:
        part = replace(batch, streams={"eeg": batch.streams["eeg"][rows]}, source=batch.source[rows])
        return network.embed(part)["eeg"]

    network.train()
    together = network.embed(batch)["eeg"]
    assert [int(n) for name, n in encoder.named_buffers() if name.endswith("num_batches_tracked")] == [2, 2, 2]
    for rows in (batch.source, ~batch.source):
        torch.testing.assert_close(together[rows], only(rows))
    network.eval()
    torch.testing.assert_close(network.embed(batch)["eeg"], encoder(batch.streams["eeg"]))
