"""Music on hold, composed here so that no licence is needed: chords, a melody, bass and drums.

The same seed plays the same piece. Float64 mono, shape (n,), 16 kHz, of any loudness.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from callfsm.audio import SAMPLE_RATE_HZ

Sound = NDArray[np.float64]

BEAT_S = 0.55  # 109 beats a minute
CHORDS = ((0, 4, 7), (9, 12, 16), (5, 9, 12), (7, 11, 14))  # I vi IV V, in semitones
SCALE = (0, 2, 4, 7, 9, 12, 14, 16)  # pentatonic: any tune of it sounds composed
CHORD_ROOT_HZ, MELODY_ROOT_HZ = 220.0, 440.0


class Timbre(NamedTuple):
    """How an instrument sounds: partials, seconds of attack and of decay, vibrato, drums."""

    partials: tuple[float, ...]
    attack_s: float
    decay_s: float
    vibrato: float  # of the frequency
    drums: bool


TIMBRES = {
    "band": Timbre((1.0, 0.5, 0.35, 0.2, 0.1), 0.01, 0.6, 0.0, drums=True),
    "strings": Timbre((1.0, 0.7, 0.5, 0.4, 0.3, 0.2, 0.1), 0.12, 5.0, 0.006, drums=False),
    "piano": Timbre((1.0, 0.6, 0.25, 0.15), 0.004, 0.35, 0.0, drums=False),
}


def hold_music(seconds: float, *, timbre: str = "band", seed: int = 1) -> Sound:
    """A tune over four chords that come round; `timbre` is one of TIMBRES."""
    instrument, rng = TIMBRES[timbre], np.random.default_rng(seed)
    sound = np.zeros(round(seconds * SAMPLE_RATE_HZ))
    place = 3
    for beat in range(int(seconds / BEAT_S) + 1):
        chord = CHORDS[beat // 4 % len(CHORDS)]
        if beat % 4 == 0:
            for step in chord:
                _add(sound, beat, 0.3 * _note(CHORD_ROOT_HZ, step, 4 * BEAT_S, instrument))
        _add(sound, beat, 0.5 * _note(CHORD_ROOT_HZ / 2, chord[0], BEAT_S, instrument))
        for half in (0.0, 0.5):
            if rng.random() < 0.75:
                place = int(np.clip(place + rng.integers(-2, 3), 0, len(SCALE) - 1))
                length_s = BEAT_S * rng.choice((0.5, 1.0))
                note = _note(MELODY_ROOT_HZ, SCALE[place], length_s, instrument)
                _add(sound, beat + half, 0.7 * note)
        if instrument.drums:
            _add(sound, beat, _kick() if beat % 2 == 0 else 0.8 * _snare(rng))
            _add(sound, beat + 0.5, 0.3 * _snare(rng, 0.03))
    return sound


def _add(sound: Sound, beat: float, note: Sound) -> None:
    start = round(beat * BEAT_S * SAMPLE_RATE_HZ)
    room = max(0, len(sound) - start)
    sound[start : start + len(note)] += note[:room]


def _note(root_hz: float, semitones: int, seconds: float, instrument: Timbre) -> Sound:
    at_s = np.arange(round(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    frequency_hz = root_hz * 2 ** (semitones / 12)
    bend = instrument.vibrato * frequency_hz / 5.5 * np.sin(2 * np.pi * 5.5 * at_s)
    phase = 2 * np.pi * frequency_hz * at_s + bend
    wave = np.sum([a * np.sin(k * phase) for k, a in enumerate(instrument.partials, 1)], axis=0)
    fade_in = np.minimum(1.0, at_s / instrument.attack_s)
    fade_out = np.minimum(1.0, (seconds - at_s) / 0.02)
    note: Sound = wave * fade_in * fade_out * np.exp(-at_s / instrument.decay_s)
    return note


def _kick() -> Sound:
    at_s = np.arange(round(0.15 * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    kick: Sound = np.sin(2 * np.pi * 60 * at_s + 8 * np.exp(-at_s / 0.02)) * np.exp(-at_s / 0.05)
    return kick


def _snare(rng: np.random.Generator, decay_s: float = 0.06) -> Sound:
    at_s = np.arange(round(5 * decay_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    snare: Sound = rng.standard_normal(len(at_s)) * np.exp(-at_s / decay_s)
    return snare
