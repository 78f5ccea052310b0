"""Read an audio file as the wire wants it, so that any recording can be played as a call."""

from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from callfsm.audio import SAMPLE_RATE_HZ
from callfsm.errors import ConfigError


def read_audio(path: str | Path) -> NDArray[np.float32]:
    """The file's sound as float32 mono, shape (n,), -1..1, at 16 kHz.

    Reads whatever libsndfile reads (WAV, FLAC, OGG, MP3, ...); channels are averaged.
    Raises ConfigError when the file is missing, is not audio, or holds no sample.
    """
    if not Path(path).is_file():
        raise ConfigError(f"{path} is not a file; give the path of a WAV, FLAC or OGG file.")
    try:
        channels, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.SoundFileError as error:
        raise ConfigError(f"{path} cannot be read as audio: {error}") from error
    if not len(channels):
        raise ConfigError(f"{path} holds no audio: it has 0 samples.")
    return resample(channels.mean(axis=1), rate_hz)


def resample(samples: NDArray[np.float32], rate_hz: int) -> NDArray[np.float32]:
    """Float32 mono at `rate_hz` as float32 mono at 16 kHz (soxr, high quality), within -1..1."""
    if rate_hz != SAMPLE_RATE_HZ:
        samples = soxr.resample(samples, rate_hz, SAMPLE_RATE_HZ, quality="HQ")
    return np.clip(samples, -1.0, 1.0)
