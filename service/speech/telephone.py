"""What a telephone line does to a voice, so that synthetic speech is as hard as the real thing.

A digital telephone line (ITU-T G.711) carries 300-3400 Hz at 8 kHz, each sample companded to eight
bits by the mu law.
"""

import numpy as np
import soxr
from numpy.typing import NDArray

from callfsm.audio import SAMPLE_RATE_HZ
from service.speech.audio_file import resample

LINE_RATE_HZ = 8_000
BAND_HZ = (300, 3_400)  # ITU-T G.712, the pass band of a telephone channel
FILTER_TAPS = 129  # Hamming window: 200 Hz from pass band to -50 dB
MU_LAW_BIAS, MU_LAW_CLIP = 132, 32_635  # G.711 in 16-bit steps


def telephone(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """`samples` as heard through a G.711 line; both float32 mono, -1..1, 16 kHz, same length."""
    if not len(samples):
        return samples
    line = soxr.resample(samples, SAMPLE_RATE_HZ, LINE_RATE_HZ, quality="HQ")
    line = np.convolve(line, _band_pass(), mode="full")[FILTER_TAPS // 2 :][: len(line)]
    heard = resample(mu_law_round_trip(line), LINE_RATE_HZ)
    missing = max(0, len(samples) - len(heard))  # resampling rounds an odd length
    return np.pad(heard, (0, missing))[: len(samples)]


def mu_law_round_trip(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """`samples` (-1..1) after G.711 mu-law coding and decoding, in the same shape.

    A magnitude keeps its leading five bits: segment number and four bits of mantissa.
    """
    pcm = np.rint(samples * 32_768).astype(np.int32)
    magnitude = np.minimum(np.abs(pcm), MU_LAW_CLIP) + MU_LAW_BIAS
    dropped_bits = np.frexp(magnitude)[1] - 5
    middle_of_step = 1 << (dropped_bits - 1)
    magnitude = (magnitude >> dropped_bits << dropped_bits) + middle_of_step - MU_LAW_BIAS
    heard: NDArray[np.float32] = (np.sign(pcm) * magnitude / 32_768).astype(np.float32)
    return heard


def _band_pass() -> NDArray[np.float64]:
    """Windowed-sinc FIR of FILTER_TAPS taps for BAND_HZ at LINE_RATE_HZ."""
    n = np.arange(FILTER_TAPS) - FILTER_TAPS // 2
    low, high = (2 * hz / LINE_RATE_HZ for hz in BAND_HZ)
    ideal: NDArray[np.float64] = high * np.sinc(high * n) - low * np.sinc(low * n)
    return ideal * np.hamming(FILTER_TAPS)
