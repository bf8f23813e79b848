"""Voice: waveform → one rate → without the silence around it → log-mel bands."""

from dataclasses import dataclass

import numpy as np

from affect.batch import Signal
from affect.preprocessing.step import Step


@dataclass(frozen=True)
class Resample(Step):
    """Any rate → `rate` Hz, band-limited (soxr, high quality).

    Args:
        rate: Hz.
    """

    rate: float

    def __call__(self, signal: Signal, **beside: Signal | None) -> Signal:
        import soxr

        if signal.rate == self.rate:
            return signal
        data = soxr.resample(np.ascontiguousarray(signal.data.T), signal.rate, self.rate).T
        return Signal(np.ascontiguousarray(data, dtype=np.float32), self.rate, signal.channels, signal.unit)


@dataclass(frozen=True)
class TrimSilence(Step):
    """Cuts silence before and after the voice (librosa). Moves time zero: not for streams aligned with others.

    Args:
        below_db: quieter than the loudest frame by this many dB is silence.
    """

    below_db: float = 30.0

    def __call__(self, signal: Signal, **beside: Signal | None) -> Signal:
        from librosa.effects import trim

        _, (start, end) = trim(signal.data.mean(axis=0), top_db=self.below_db)
        return Signal(signal.data[:, start:end], signal.rate, signal.channels, signal.unit)


@dataclass(frozen=True)
class LogMel(Step):
    """Waveform (1, T) → natural log of mel-band power (bands, frames), torchaudio.

    Args:
        bands: mel bands, spaced on the HTK scale from `low` to `high` Hz.
        window, hop: seconds.
        floor: added to the power before the log, full scale = 1.
    """

    bands: int = 64
    window: float = 0.025
    hop: float = 0.010
    low: float = 50.0
    high: float = 8000.0
    floor: float = 1e-8

    def __call__(self, signal: Signal, **beside: Signal | None) -> Signal:
        import torch
        from torchaudio.transforms import MelSpectrogram

        if signal.data.shape[1] < self.window * signal.rate:
            raise ValueError(f"{signal.seconds:.3g} s, shorter than one frame of {self.window:g} s")
        mel = MelSpectrogram(
            sample_rate=int(signal.rate),
            n_fft=int(2 ** np.ceil(np.log2(self.window * signal.rate))),
            win_length=round(self.window * signal.rate),
            hop_length=round(self.hop * signal.rate),
            f_min=self.low,
            f_max=min(self.high, signal.rate / 2),
            n_mels=self.bands,
            norm="slaney",
        )
        power = mel(torch.from_numpy(np.ascontiguousarray(signal.data.mean(axis=0))))
        data = torch.log(power + self.floor).numpy()
        names = tuple(f"mel{i + 1}" for i in range(self.bands))
        return Signal(data, signal.rate / round(self.hop * signal.rate), names, "ln power")
