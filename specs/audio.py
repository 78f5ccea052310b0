"""Audio as specs need it: speech, silence, and a detector that knows which is which."""

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE_HZ = 16_000
LOUD = 0.1  # of -1..1; louder is speech


def speech(seconds: float) -> NDArray[np.float32]:
    """float32, shape (seconds * 16 000,): what `LoudIsSpeech` takes for speech."""
    return np.full(round(seconds * SAMPLE_RATE_HZ), 0.5, np.float32)


def silence(seconds: float) -> NDArray[np.float32]:
    """float32, shape (seconds * 16 000,), all zero."""
    return np.zeros(round(seconds * SAMPLE_RATE_HZ), np.float32)


class LoudIsSpeech:
    """A SpeechDetector for specs: a frame is speech when it is loud."""

    def is_speech(self, frame: bytes) -> bool:
        return bool(np.frombuffer(frame, "<i2").max() > LOUD * 32768)
