"""The mel filter bank every ggml Whisper file carries, computed because no wheel carries it."""

import numpy as np
from numpy.typing import NDArray

from callfsm.audio import SAMPLE_RATE_HZ

FFT_SAMPLES = 400  # 25 ms, Whisper's analysis window (`whisper/audio.py`, N_FFT)

# Slaney's mel scale (Auditory Toolbox, 1998): linear to 1 kHz, logarithmic above it.
HZ_PER_MEL = 200.0 / 3.0
BREAK_HZ = 1000.0
BREAK_MEL = BREAK_HZ / HZ_PER_MEL
MELS_PER_LOG = 27.0 / np.log(6.4)


def filter_bank(n_mels: int = 80) -> NDArray[np.float32]:
    """Triangular filters of equal area from 0 Hz to half the sample rate, one a row.

    Shape (`n_mels`, FFT_SAMPLES // 2 + 1): row times power spectrum is the energy of a mel band.
    """
    nyquist_hz = SAMPLE_RATE_HZ / 2
    bin_hz = np.linspace(0.0, nyquist_hz, FFT_SAMPLES // 2 + 1)
    corner_hz = _mel_to_hz(np.linspace(0.0, _hz_to_mel(nyquist_hz), n_mels + 2))
    low, centre, high = corner_hz[:-2, None], corner_hz[1:-1, None], corner_hz[2:, None]
    rising = (bin_hz - low) / (centre - low)
    falling = (high - bin_hz) / (high - centre)
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    return (triangles * 2.0 / (high - low)).astype(np.float32)


def _hz_to_mel(hz: float) -> float:
    return (
        float(BREAK_MEL + np.log(hz / BREAK_HZ) * MELS_PER_LOG)
        if hz > BREAK_HZ
        else hz / HZ_PER_MEL
    )


def _mel_to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    above = BREAK_HZ * np.exp((mel - BREAK_MEL) / MELS_PER_LOG)
    return np.where(mel > BREAK_MEL, above, mel * HZ_PER_MEL)
