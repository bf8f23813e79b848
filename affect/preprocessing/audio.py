"""Voice as frames: waveform → without the silence around it → log-mel bands, cepstrum."""

from dataclasses import dataclass, replace

import numpy as np
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt

from affect.batch import Signal
from affect.preprocessing.step import Step
from affect.preprocessing.timing import hertz


@dataclass(frozen=True)
class TrimSilence(Step):
    """Cuts silence before and after the voice (librosa). Moves time zero: not for streams aligned with others.

    Args:
        below_db: quieter than the loudest frame by this many dB is silence.
    """

    below_db: PositiveFloat = 30.0

    def __call__(self, signal: Signal, **beside: Signal | None) -> Signal:
        from librosa.effects import trim

        _, (start, end) = trim(signal.data.mean(axis=0), top_db=self.below_db)
        return replace(signal, data=signal.data[:, start:end])


@dataclass(frozen=True)
class LogMel(Step):
    """Waveform (C, T) → natural log of mel-band power (bands, frames) of the channels' mean, torchaudio.

    Args:
        bands: mel bands, spaced on the HTK scale from `low` to `high` Hz.
        window, hop: seconds.
        floor: added to the power before the log, full scale = 1.
    """

    bands: PositiveInt = 64
    window: PositiveFloat = 0.025
    hop: PositiveFloat = 0.010
    low: NonNegativeFloat = 50.0
    high: PositiveFloat = 8000.0
    floor: PositiveFloat = 1e-8

    def __call__(self, signal: Signal, **beside: Signal | None) -> Signal:
        import torch
        from torchaudio.transforms import MelSpectrogram

        rate = hertz(signal)
        if signal.data.shape[1] < self.window * rate:
            raise ValueError(f"{signal.seconds:.3g} s, shorter than one frame of {self.window:g} s")
        mel = MelSpectrogram(
            sample_rate=int(rate),
            n_fft=int(2 ** np.ceil(np.log2(self.window * rate))),
            win_length=round(self.window * rate),
            hop_length=round(self.hop * rate),
            f_min=self.low,
            f_max=min(self.high, rate / 2),
            n_mels=self.bands,
            norm="slaney",
        )
        power = mel(torch.from_numpy(np.ascontiguousarray(signal.data.mean(axis=0))))
        data = torch.log(power + self.floor).numpy()
        names = tuple(f"mel{i + 1}" for i in range(self.bands))
        return Signal(data, rate / round(self.hop * rate), names, "ln power")


@dataclass(frozen=True)
class MFCC(Step):
    """Waveform (C, T) → mel-frequency cepstrum (coefficients, frames) and how it moves (Davis & Mermelstein 1980).

    The orthonormal cosine transform of LogMel's bands, its first coefficients; the deltas are slopes over 9 frames
    (librosa), held at the ends.

    Args:
        coefficients: how many are kept, the first of which is the level.
        deltas: their slopes too, after them.
        bands, window, hop, low, high, floor: as in LogMel.
    """

    coefficients: PositiveInt = 13
    deltas: bool = True
    bands: PositiveInt = 40
    window: PositiveFloat = 0.025
    hop: PositiveFloat = 0.010
    low: NonNegativeFloat = 50.0
    high: PositiveFloat = 8000.0
    floor: PositiveFloat = 1e-8

    def __post_init__(self) -> None:
        if self.coefficients > self.bands:
            raise ValueError(f"{self.coefficients} coefficients of {self.bands} bands: at most as many")

    def __call__(self, signal: Signal, **beside: Signal | None) -> Signal:
        from librosa.feature import delta
        from scipy.fft import dct

        mel = LogMel(self.bands, self.window, self.hop, self.low, self.high, self.floor)(signal)
        cepstrum = dct(mel.data, axis=0, norm="ortho")[: self.coefficients]
        names = tuple(f"mfcc{i + 1}" for i in range(self.coefficients))
        if self.deltas:
            cepstrum = np.concatenate([cepstrum, delta(cepstrum, width=9, mode="nearest")])
            names += tuple(f"delta {name}" for name in names)
        return replace(mel, data=cepstrum.astype(np.float32), channels=names)
