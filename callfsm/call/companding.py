"""Hold telephone audio at one byte a sample.

Ten seconds of float32 would be 640 KB a call; the user allows 100 KB. G.711's own answer is the
mu-law curve (ITU-T G.711: mu = 255): finer steps for soft samples, about 38 dB of signal to
quantisation noise at any level, which is the quality the caller's line had in the first place.
"""

import numpy as np
from numpy.typing import NDArray

_MU = 255.0

_LEVELS = np.arange(-127, 128, dtype=np.float64) / 127
_EXPANDED = np.sign(_LEVELS) * np.expm1(np.abs(_LEVELS) * np.log1p(_MU)) / _MU
_EXPAND = np.append(_EXPANDED, 0.0).astype(np.float32)  # byte 255 is never written

_PCM = np.arange(-32768, 32768, dtype=np.float64) / 32768
_CURVE = np.sign(_PCM) * np.log1p(_MU * np.abs(_PCM)) / np.log1p(_MU)
_COMPRESS = (np.rint(_CURVE * 127) + 127).astype(np.uint8)


def to_pcm16(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    """float32 -1..1 to 16-bit, same shape; what lies outside is clipped."""
    pcm: NDArray[np.int16] = np.clip(np.rint(samples * 32768.0), -32768, 32767).astype(np.int16)
    return pcm


def compress(pcm: NDArray[np.int16]) -> NDArray[np.uint8]:
    """16-bit samples to mu-law bytes, same shape."""
    companded: NDArray[np.uint8] = _COMPRESS[pcm.astype(np.int32) + 32768]
    return companded


def expand(companded: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Mu-law bytes to float32 -1..1, same shape."""
    return _EXPAND[companded]
