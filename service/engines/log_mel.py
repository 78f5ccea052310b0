"""The log-mel spectrogram that Whisper hears, in numpy: 2 ms for a window of 5 s.

CTranslate2 takes features, not audio. This is `log_mel_spectrogram` of OpenAI's `whisper/audio.py`
on audio that is cut, or filled with silence, to the length asked for.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from callfsm.audio import SAMPLE_RATE_HZ
from service.weights.mel import FFT_SAMPLES, filter_bank

HOP_SAMPLES = 160
FRAMES_PER_S = SAMPLE_RATE_HZ // HOP_SAMPLES
FRAMES_AT_ONCE = 8  # of a larger product, OpenBLAS gives a share to every core, which then spin
QUIETEST, RANGE_BELS = 1e-10, 8.0  # power; what is 80 dB below the loudest band is silence

_HANN = np.hanning(FFT_SAMPLES + 1)[:-1].astype(np.float32)  # periodic
_filters = cache(filter_bank)


def log_mel(samples: NDArray[np.float32], frames: int, n_mels: int) -> NDArray[np.float32]:
    """The features of `samples` (float32, shape (n,), 16 kHz), shape (`n_mels`, `frames`).

    Contiguous float32; a frame is 10 ms, and `frames` a multiple of FRAMES_AT_ONCE.
    """
    length = frames * HOP_SAMPLES
    audio = np.pad(samples[:length], (0, max(0, length - len(samples)))).astype(np.float32)
    framed = np.pad(audio, FFT_SAMPLES // 2, mode="reflect")
    reached = 1 + (len(samples) + FFT_SAMPLES // 2) // HOP_SAMPLES  # the rest hears silence
    heard = min(frames, -(-reached // FRAMES_AT_ONCE) * FRAMES_AT_ONCE)
    slices = np.lib.stride_tricks.sliding_window_view(framed, FFT_SAMPLES)[::HOP_SAMPLES][:heard]
    spectrum = np.fft.rfft(slices * _HANN, axis=1)
    power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
    blocks = power.reshape(-1, FRAMES_AT_ONCE, power.shape[1])
    mel = np.zeros((frames, n_mels), np.float32)
    mel[:heard] = (blocks @ _filters(n_mels).T).reshape(heard, n_mels)
    bels = np.log10(np.maximum(mel.T, QUIETEST))
    bels = np.maximum(bels, bels.max() - RANGE_BELS)
    return np.ascontiguousarray((bels + 4.0) / 4.0, dtype=np.float32)
