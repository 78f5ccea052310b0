"""One byte a sample: how little of a telephone voice is lost by it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from callfsm.call.companding import compress, expand, to_pcm16

Samples = NDArray[np.float32]
EVERY_PCM = np.arange(-32768, 32768, dtype=np.int16)
EVERY_BYTE = np.arange(255, dtype=np.uint8)
WORST_STEP = np.log1p(255.0) / 127 / 2  # half a level, relative to |x| + 1/255: mu-law's own bound


def voice(level: float, seed: int, seconds: float = 1.0) -> Samples:
    """Something like a voiced sound: harmonics of a gliding pitch under a syllable rhythm."""
    noise = np.random.default_rng(seed)
    t = np.arange(int(16_000 * seconds)) / 16_000
    pitch = 2 * np.pi * (110 + 30 * np.sin(2 * np.pi * 1.3 * t)) * t
    tone = sum(np.sin(n * pitch + noise.uniform(0, 6)) / n for n in range(1, 20))
    rhythm = 0.05 + np.sin(2 * np.pi * 2.1 * t) ** 2
    sound = tone * rhythm + 0.01 * noise.standard_normal(len(t))
    spoken: Samples = (level * sound / np.abs(sound).max()).astype(np.float32)
    return spoken


def test_a_sample_takes_one_byte() -> None:
    """Ten seconds at 16 kHz are 160 000 bytes, and the shape is kept."""
    held = compress(to_pcm16(np.zeros(160_000, np.float32)))
    assert (held.nbytes, held.shape) == (160_000, (160_000,))
    assert expand(held).dtype == np.float32


def test_every_sample_comes_back_within_half_a_step() -> None:
    """The error of each of the 65 536 samples is bounded by the mu-law step at its level."""
    exact = EVERY_PCM / 32768
    error = np.abs(expand(compress(EVERY_PCM)) - exact)
    assert (error <= WORST_STEP * (np.abs(exact) + 1 / 255) * 1.03 + 1e-7).all()
    assert error.max() <= 0.023


def test_companding_twice_changes_nothing_more() -> None:
    """Every byte that is ever written expands to a sample that is written as the same byte."""
    assert (compress(to_pcm16(expand(EVERY_BYTE))) == EVERY_BYTE).all()


def test_silence_stays_silence_and_louder_stays_louder() -> None:
    """Zero is exact, the order of samples is kept, and the curve is symmetric."""
    back = expand(compress(EVERY_PCM))
    assert back[EVERY_PCM == 0] == 0.0
    assert (np.diff(back) >= 0).all()
    assert (back[EVERY_PCM > 0] == -back[(EVERY_PCM < 0) & (EVERY_PCM > -32768)][::-1]).all()


@pytest.mark.parametrize("level", [1.0, 0.3, 0.1, 0.03])
@pytest.mark.parametrize("seed", range(3))
def test_a_voice_keeps_30_db_at_any_level(level: float, seed: int) -> None:
    """From a shout to 30 dB below it, the noise of companding is 30 dB under the voice."""
    spoken = voice(level, seed)
    noise = expand(compress(to_pcm16(spoken))) - spoken
    snr_db = 10 * np.log10(np.square(spoken).mean() / np.square(noise).mean())
    assert snr_db >= 30


@settings(deadline=None)
@given(st.lists(st.floats(-4, 4, width=32), max_size=50))
def test_what_is_too_loud_is_clipped(values: list[float]) -> None:
    """Nothing wraps round: the result is within -1..1 and on the same side of zero."""
    loud = np.array(values, np.float32)
    pcm = to_pcm16(loud)
    assert (pcm == np.clip(np.rint(loud.astype(np.float64) * 32768), -32768, 32767)).all()
    back = expand(compress(pcm))
    assert (np.abs(back) <= 1.0).all()
    assert (back * loud >= 0).all()
