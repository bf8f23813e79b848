"""Augmentations: shapes kept, a draw for each row, nothing changed in place, what does not fit refused."""

import inspect

import pytest
import torch
from torch import Tensor

import affect.augmentation
from affect.augmentation import (
    Augmentation,
    ChannelDrop,
    Noise,
    PictureJitter,
    Scale,
    SpecAugment,
    TimeMask,
    TimeShift,
)
from affect.batch import StreamShape
from affect.encoders import LogMelCNN

SIGNAL, PICTURES = (64, 6, 50), (64, 3, 2, 6, 5)
CASES = [
    (TimeMask(), SIGNAL),
    (TimeShift(), SIGNAL),
    (ChannelDrop(), SIGNAL),
    (Noise(), SIGNAL),
    (Noise(), PICTURES),
    (Scale(), SIGNAL),
    (Scale(), PICTURES),
    (SpecAugment(), SIGNAL),
    (PictureJitter(), PICTURES),
]


def _alike(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    """Rows that are all the same and nowhere 0."""
    row = torch.randn(1, *shape[1:], generator=torch.Generator().manual_seed(seed))
    return (row.sign() * (row.abs() + 0.1)).repeat(shape[0], *[1] * (len(shape) - 1))


@pytest.mark.parametrize(("augmentation", "shape"), CASES)
def test_contract(augmentation: Augmentation, shape: tuple[int, ...]) -> None:
    x = _alike(shape)
    before = x.clone()
    torch.manual_seed(1)
    first = augmentation(x)
    torch.manual_seed(1)
    again = augmentation(x)
    later = augmentation(x)
    assert first.shape == x.shape
    assert first.dtype == x.dtype
    assert first.isfinite().all()
    assert torch.equal(x, before), "changed in place"
    assert first.untyped_storage().data_ptr() != x.untyped_storage().data_ptr()
    assert torch.equal(first, again), "draws from another generator than torch's"
    assert not torch.equal(first, later)
    assert len(first.flatten(1).unique(dim=0)) > 10, "rows share a draw"
    torch.manual_seed(1)
    double = augmentation(x.double())
    assert double.dtype == torch.float64


def test_every_augmentation_has_a_row() -> None:
    room = {c for c in vars(affect.augmentation).values() if inspect.isclass(c) and not inspect.isabstract(c)}
    assert {type(augmentation) for augmentation, _ in CASES} == {c for c in room if issubclass(c, Augmentation)}


@pytest.mark.parametrize(
    ("augmentation", "shape", "told"),
    [(a, PICTURES, r"takes \(B, C, T\), not \(64, 3, 2, 6, 5\)") for a in (TimeMask(), TimeShift(), ChannelDrop())]
    + [(SpecAugment(), PICTURES, "SpecAugment takes"), (PictureJitter(), SIGNAL, r"takes \(B, C, T, H, W\)")],
)
def test_what_does_not_fit_is_refused(augmentation: Augmentation, shape: tuple[int, ...], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        augmentation(torch.zeros(shape))


@pytest.mark.parametrize("range_", [(0.0, 1.0), (1.2, 0.8), (0.5, float("inf"))])
def test_scale_needs_two_positive_factors(range_: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="two positive factors"):
        Scale(range_)


def test_time_mask_hides_one_run_in_all_channels() -> None:
    hidden = TimeMask(share=0.4)(_alike((2000, 3, 50))) == 0
    assert (hidden == hidden[:, :1]).all()
    runs = (hidden[:, 0].int().diff(dim=1) == 1).sum(dim=1) + hidden[:, 0, 0]
    assert runs.max() == 1
    length = hidden[:, 0].sum(dim=1)
    assert length.max() in range(18, 22)
    assert length.float().mean() == pytest.approx(10, abs=1.5)
    ends = hidden[:, 0].float().mean(dim=0)[[0, -1]]
    assert (ends > 0).all(), "the ends are never hidden"


def test_time_shift_rolls() -> None:
    x = _alike((200, 3, 50))
    found = TimeShift(share=0.2)(x)
    shifts = torch.stack([x.roll(k, dims=2) for k in range(-10, 11)])
    which = (found == shifts).flatten(2).all(dim=2)
    assert (which.sum(dim=0) == 1).all()
    assert which.any(dim=1).all(), "some shifts never happen"


def test_channel_drop_leaves_one() -> None:
    dropped = (ChannelDrop(share=0.3)(_alike((2000, 6, 4))) == 0).all(dim=2)
    assert dropped.float().mean() == pytest.approx(0.3, abs=0.02)
    nearly_all = (ChannelDrop(share=0.99)(_alike((500, 3, 4))) == 0).all(dim=2).sum(dim=1)
    assert nearly_all.max() == 2
    one = _alike((100, 1, 4))
    assert torch.equal(ChannelDrop(share=0.9)(one), one)


def test_noise_has_its_level() -> None:
    x = _alike((200, 6, 50))
    assert (Noise(level=0.3)(x) - x).std() == pytest.approx(0.3, rel=0.02)


def test_scale_is_one_factor_a_row() -> None:
    x = _alike((1000, 3, 8))
    factor = Scale((0.5, 2.0))(x) / x
    assert (factor.flatten(1).amax(dim=1) / factor.flatten(1).amin(dim=1)).max() < 1.0001
    logarithm = factor[:, 0, 0].log2()
    assert logarithm.min() >= -1.0001
    assert logarithm.max() <= 1.0001
    assert logarithm.mean() == pytest.approx(0, abs=0.06)  # as often larger as smaller


def test_spec_augment_hides_bands_and_frames() -> None:
    x = _alike((200, 20, 50))
    bands = (SpecAugment(bands=0.5, frames=0.0)(x) == 0).all(dim=2)
    frames = (SpecAugment(bands=0.0, frames=0.5)(x) == 0).all(dim=1)
    assert bands.any()
    assert bands.sum(dim=1).max() <= 11
    assert frames.any()
    assert frames.sum(dim=1).max() <= 26
    assert torch.equal(SpecAugment(0.0, 0.0)(x), x)


def test_log_mel_cnn_hides_by_spec_augment_in_training_only() -> None:
    encoder = LogMelCNN(StreamShape(tuple("abcdefgh"), 40, 100.0), dropout=0, mask_bands=0.4, mask_frames=0.3)
    x = torch.randn(5, 8, 40)
    torch.manual_seed(2)
    training = encoder.train()(x)
    torch.manual_seed(2)
    assert torch.equal(encoder.eval()(SpecAugment(0.4, 0.3)(x)), training)
    assert not torch.equal(encoder(x), training)


def test_picture_jitter_treats_all_pictures_of_a_row_alike() -> None:
    still = torch.rand(40, 3, 1, 6, 6)
    found = PictureJitter()(still.expand(-1, -1, 4, -1, -1))
    torch.testing.assert_close(found, found[:, :, :1].expand_as(found))


def test_picture_jitter_mirrors_half_of_the_rows() -> None:
    x = torch.rand(400, 3, 1, 6, 6)
    found = PictureJitter(brightness=0, contrast=0)(x)
    mirrored = ((found - x.flip(-1)).abs() < 1e-5).flatten(1).all(dim=1)
    kept = ((found - x).abs() < 1e-5).flatten(1).all(dim=1)
    assert (mirrored ^ kept).all()
    assert mirrored.float().mean() == pytest.approx(0.5, abs=0.08)


def test_picture_jitter_does_not_ask_for_the_scale() -> None:
    """Jittered and then normalised is normalised and then jittered."""
    native = 255 * torch.rand(20, 3, 2, 6, 6)
    torch.manual_seed(3)
    after = (PictureJitter()(native) - 120) / 60
    torch.manual_seed(3)
    torch.testing.assert_close(PictureJitter()((native - 120) / 60), after, atol=1e-5, rtol=1e-4)


def test_picture_jitter_keeps_to_its_bounds() -> None:
    x = torch.rand(300, 3, 2, 6, 6)
    found = PictureJitter(brightness=0.3, contrast=0.2)(x)
    mean, spread = x.flatten(1).mean(dim=1), x.flatten(1).std(dim=1, unbiased=False)
    shift = (found.flatten(1).mean(dim=1) - mean) / spread
    contrast = found.flatten(1).std(dim=1, unbiased=False) / spread
    assert shift.abs().max() == pytest.approx(0.3, abs=0.01)
    assert contrast.min() == pytest.approx(0.8, abs=0.01)
    assert contrast.max() == pytest.approx(1.2, abs=0.01)
