"""What a telephone line carries that nobody says, to measure what it does to recognition.

Everything is made here from arithmetic and a seed: nothing is recorded, nothing needs a licence.
Sounds are float32 mono, shape (n,), -1..1, at 16 kHz, and come through a telephone line.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from callfsm.audio import SAMPLE_RATE_HZ
from service.speech.hold_music import hold_music
from service.speech.telephone import telephone

Samples = NDArray[np.float32]

# ITU-T Q.23: a key is a low and a high frequency.
DTMF_LOW_HZ, DTMF_HIGH_HZ = (697, 770, 852, 941), (1209, 1336, 1477, 1633)
DTMF_KEYS = "123A456B789C*0#D"
RINGBACK_HZ, BUSY_HZ = (440, 480), (480, 620)  # North American call progress tones
RINGBACK_S, BUSY_S = (2.0, 4.0), (0.5, 0.5)  # on, off
HUM_HZ = 60  # the mains; what passes a telephone are its harmonics
ACTIVE_FRAME = SAMPLE_RATE_HZ // 50  # 20 ms
ACTIVE_BELOW_PEAK_DB = 30  # frames quieter than this below the loudest are pauses


def silence(seconds: float) -> Samples:
    """Digital silence."""
    return np.zeros(round(seconds * SAMPLE_RATE_HZ), np.float32)


def white_noise(seconds: float, level_db: float = -60.0, seed: int = 1) -> Samples:
    """Line noise; `level_db` is its RMS in dB of full scale, before the line (-60: quiet)."""
    noise = np.random.default_rng(seed).standard_normal(round(seconds * SAMPLE_RATE_HZ))
    return telephone(_at_level(noise, level_db))


def pink_noise(seconds: float, level_db: float = -40.0, seed: int = 1) -> Samples:
    """Noise that falls by 3 dB an octave: ventilators, traffic, a badly shielded line."""
    count = round(seconds * SAMPLE_RATE_HZ)
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(count))
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    return telephone(_at_level(np.fft.irfft(spectrum, count), level_db))


def hum(seconds: float, level_db: float = -30.0) -> Samples:
    """Mains hum: harmonics of 60 Hz, each a little weaker than the one before."""
    parts = [_tone(HUM_HZ * k, seconds) / k for k in range(1, 30)]
    return telephone(_at_level(np.sum(parts, axis=0), level_db))


def dtmf(
    seconds: float, level_db: float = -16.0, *, on_s: float = 0.1, off_s: float = 0.1, seed: int = 1
) -> Samples:
    """Keys pressed at random, each `on_s` long."""
    rng = np.random.default_rng(seed)
    key_samples, gap = round(on_s * SAMPLE_RATE_HZ), round(off_s * SAMPLE_RATE_HZ)
    sound = np.zeros(round(seconds * SAMPLE_RATE_HZ))
    for start in range(0, len(sound) - key_samples + 1, key_samples + gap):
        row, column = divmod(DTMF_KEYS.index(rng.choice(list("0123456789*#"))), 4)
        key = _tone(DTMF_LOW_HZ[row], on_s) + _tone(DTMF_HIGH_HZ[column], on_s)
        sound[start : start + key_samples] = key
    return telephone(_at_level(sound, level_db))


def ringback(seconds: float, level_db: float = -19.0) -> Samples:
    """The tone that a caller hears while the other telephone rings."""
    return telephone(_at_level(_cadence(RINGBACK_HZ, RINGBACK_S, seconds), level_db))


def busy(seconds: float, level_db: float = -24.0) -> Samples:
    """The tone of a busy line."""
    return telephone(_at_level(_cadence(BUSY_HZ, BUSY_S, seconds), level_db))


def music(
    seconds: float, level_db: float = -20.0, *, timbre: str = "band", seed: int = 1
) -> Samples:
    """Music on hold; see `hold_music` for the timbres."""
    return telephone(_at_level(hold_music(seconds, timbre=timbre, seed=seed), level_db))


NON_SPEECH: Mapping[str, Callable[[float], Samples]] = {
    "silence": silence,
    "quiet line noise": white_noise,
    "loud line noise": lambda seconds: white_noise(seconds, -30.0),
    "pink noise": pink_noise,
    "hum": hum,
    "DTMF": dtmf,
    "long DTMF": lambda seconds: dtmf(seconds, on_s=0.6, off_s=0.4, seed=2),
    "ringback": ringback,
    "busy": busy,
    "hold music": music,
    "hold music, strings": lambda seconds: music(seconds, timbre="strings", seed=2),
    "hold music, piano": lambda seconds: music(seconds, timbre="piano", seed=3),
}
"""Sounds of a line on which nobody speaks, by name: each takes its length in seconds."""


def babble(
    voices: Sequence[Samples], seconds: float, *, talkers: int = 6, seed: int = 1
) -> Samples:
    """`talkers` people at once, equally loud, each saying `voices` in an order of their own."""
    rng = np.random.default_rng(seed)
    count = round(seconds * SAMPLE_RATE_HZ)
    mix = np.zeros(count)
    for _ in range(talkers):
        spoken: list[Samples] = []
        while sum(map(len, spoken)) < count + SAMPLE_RATE_HZ:
            spoken.append(voices[int(rng.integers(len(voices)))])
        offset = rng.integers(SAMPLE_RATE_HZ)
        one = np.concatenate(spoken)[offset : offset + count]
        mix += one / active_rms(one)
    return telephone(_at_level(mix, -30.0))


def mixed(speech: Samples, noise: Samples, snr_db: float) -> Samples:
    """`speech` with `noise` (as long or longer) `snr_db` below the level of its active frames.

    Where the sum would clip, speech and noise are both made quieter: the ratio stays.
    """
    under = noise[: len(speech)]
    rms = float(np.sqrt(np.mean(np.square(under))))
    both = speech + under * (active_rms(speech) / rms * 10 ** (-snr_db / 20))
    heard: Samples = (both / max(1.0, float(np.max(np.abs(both))))).astype(np.float32)
    return heard


def active_rms(samples: Samples) -> float:
    """RMS of the 20 ms frames in which something is said: pauses do not make speech quieter."""
    levels = frame_rms(samples)
    active = levels[levels > levels.max() * 10 ** (-ACTIVE_BELOW_PEAK_DB / 20)]
    return float(np.sqrt(np.mean(np.square(active)))) if len(active) else 0.0


def frame_rms(samples: Samples) -> NDArray[np.float64]:
    """RMS of each whole 20 ms frame, shape (n // 320,)."""
    whole = len(samples) // ACTIVE_FRAME * ACTIVE_FRAME
    frames = samples[:whole].astype(np.float64).reshape(-1, ACTIVE_FRAME)
    rms: NDArray[np.float64] = np.sqrt(np.mean(np.square(frames), axis=1))
    return rms


def _at_level(sound: NDArray[np.float64], level_db: float) -> Samples:
    """`sound` with its active frames at `level_db` of full scale, clipped to -1..1."""
    scale = 10 ** (level_db / 20) / active_rms(sound.astype(np.float32))
    return np.clip(sound * scale, -1.0, 1.0).astype(np.float32)


def _tone(frequency_hz: float, seconds: float) -> NDArray[np.float64]:
    at_s = np.arange(round(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    tone: NDArray[np.float64] = np.sin(2 * np.pi * frequency_hz * at_s)
    return tone


def _cadence(
    frequencies_hz: Sequence[int], on_off_s: tuple[float, float], seconds: float
) -> NDArray[np.float64]:
    tone = np.sum([_tone(frequency, seconds) for frequency in frequencies_hz], axis=0)
    at_s = np.arange(len(tone)) / SAMPLE_RATE_HZ
    sounding: NDArray[np.float64] = tone * (at_s % sum(on_off_s) < on_off_s[0])
    return sounding
