"""Sounds at which Whisper invents, in small families: what sets off which guard.

All are made from text, arithmetic and seeds, and come through a telephone line. A family, and not
one sound, because processors round differently: a text at the edge of a guard may be on its other
side elsewhere.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from callfsm.audio import SAMPLE_RATE_HZ
from service.speech import noise
from service.speech.audio_file import resample
from service.speech.corpus import QUIET, demo_calls
from service.speech.telephone import telephone
from service.speech.voice import synthesize

Samples = NDArray[np.float32]

GRAIN, HOP, SEARCH = 480, 240, 160  # 30 ms grains, laid out every 15 ms, moved by 10 ms to fit


def over_and_over(text: str, times: int, gaps_s: Sequence[float]) -> Iterator[Samples]:
    """The synthetic voice says `text` so many times; one sound for each length of the gap."""
    voice = synthesize(text)
    loud = np.flatnonzero(np.abs(voice) > QUIET)
    once = voice[loud[0] : loud[-1] + 1]
    for gap_s in gaps_s:
        gap = np.zeros(round(gap_s * SAMPLE_RATE_HZ), np.float32)
        yield telephone(np.tile(np.concatenate([once, gap]), times))


def by_itself(
    before: str, words: Sequence[str], pauses_s: Sequence[float], after_s: float = 0.25
) -> Iterator[Samples]:
    """Each word by itself after `before` and a pause, as a window ends with it."""
    for word in words:
        for pause_s in pauses_s:
            parts = [synthesize(before), _silence(pause_s), synthesize(word), _silence(after_s)]
            yield telephone(np.concatenate(parts))


def hurried(factor: float, seconds: float) -> Iterator[Samples]:
    """Windows out of a synthetic call, spoken `factor` times as fast."""
    (call,) = demo_calls(1, 30.0, synthetic=True, seed=2)
    yield from _windows(telephone(_faster(call.samples, factor)), seconds)


def squeaked(factor: float, seconds: float) -> Iterator[Samples]:
    """Windows out of three synthetic calls played `factor` times as fast, so as much higher."""
    for call in demo_calls(3, 30.0, synthetic=True, seed=2):
        played = resample(call.samples, round(factor * SAMPLE_RATE_HZ))
        yield from _windows(telephone(played), seconds)


def hold_music(timbre: str, lengths_s: Sequence[float], seeds: Sequence[int]) -> Iterator[Samples]:
    """Each piece, played for each length."""
    for seed in seeds:
        for length_s in lengths_s:
            yield noise.music(length_s, timbre=timbre, seed=seed)


def ringing(lengths_s: Sequence[float], *, late_s: float) -> Iterator[Samples]:
    """The tone that a caller waits by, from `late_s` after its beginning on."""
    for length_s in lengths_s:
        yield noise.ringback(late_s + length_s)[round(late_s * SAMPLE_RATE_HZ) :]


def _silence(seconds: float) -> Samples:
    return np.zeros(round(seconds * SAMPLE_RATE_HZ), np.float32)


def _windows(samples: Samples, seconds: float) -> Iterator[Samples]:
    """All whole windows, one after the other."""
    size = round(seconds * SAMPLE_RATE_HZ)
    for start in range(0, len(samples) - size + 1, size):
        yield samples[start : start + size]


def _faster(samples: Samples, factor: float) -> Samples:
    """At the same pitch: grains, laid closer together where they fit best (WSOLA)."""
    count = int((len(samples) - 2 * (GRAIN + SEARCH)) / (factor * HOP))
    result = np.zeros((count + 1) * HOP, np.float32)
    start = 0
    for index in range(count):
        first = max(0, round(index * HOP * factor) - SEARCH)
        expected = samples[start + HOP : start + HOP + GRAIN]
        room = samples[first : first + GRAIN + 2 * SEARCH]
        start = first + int(np.argmax(np.correlate(room, expected, "valid")))
        grain = samples[start : start + GRAIN] * np.hanning(GRAIN)
        result[index * HOP : index * HOP + GRAIN] += grain.astype(np.float32)
    return result
