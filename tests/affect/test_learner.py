"""The learner and the encoders: weight 0 is source-only, resumed is uninterrupted, windows do not touch each other."""

from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from affect.alignment import DANN
from affect.batch import Batch, StreamShape
from affect.encoders import BandMLP, Encoder, LogMelCNN, SpatialFirstEEGNet
from affect.fusion import Concatenation
from affect.learners.adaptive import Adaptive
from affect.learners.network import Network

EEG = StreamShape(tuple(f"e{i}" for i in range(6)), 128, 64.0)
BANDS = StreamShape(tuple(f"e{i}" for i in range(6)), 4, None)
MEL = StreamShape(tuple(f"mel{i}" for i in range(20)), 50, 100.0)
ENCODERS = [(BandMLP, BANDS), (BandMLP, EEG), (SpatialFirstEEGNet, EEG), (LogMelCNN, MEL)]


def _batch(rows: int, seed: int, shapes: dict[str, StreamShape]) -> Batch:
    """Half source with labels, half target without."""
    generator = torch.Generator().manual_seed(seed)
    source = torch.arange(rows) < rows // 2
    streams = {n: torch.randn(rows, len(s.channels), s.length, generator=generator) for n, s in shapes.items()}
    return Batch(
        streams=streams,
        present=torch.ones(rows, len(shapes), dtype=torch.bool),
        label=torch.where(source, torch.arange(rows) % 2, -1),
        source=source,
        domain=torch.where(source, torch.arange(rows) % 3, 3),
        weight=torch.ones(rows),
        window=torch.arange(rows),
        trial=torch.arange(rows),
        subject=torch.arange(rows) % 4,
    )


class _Batches(Dataset[Batch]):
    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Batch:
        return _batch(32, index, {"eeg": BANDS})


def _learner(weight: float | None = None) -> Adaptive:
    """Source-only, or DANN with this weight, always from the same initial weights."""
    torch.manual_seed(0)
    network = Network({"eeg": BandMLP(BANDS, hidden=16, out=8)}, Concatenation({"eeg": 8}), 2)
    alignment = None if weight is None else DANN(8, 2, 4, weight=weight)
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


def test_label_loss_ignores_target_rows() -> None:
    """Whatever stands in the label of a target row, the loss and its gradient are the same."""
    learner = _learner().eval()
    batch = _batch(16, 0, {"eeg": BANDS})
    losses = []
    for wrong in (-1, 0, 1):
        batch.label = torch.where(batch.source, batch.label, wrong)
        losses.append(learner._label_loss(learner.network(batch), batch)[0])
    assert losses[0] == losses[1] == losses[2]


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
