"""Audio held at 8 kHz and, when it is older, four bits a sample: what it takes, what it costs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from callfsm.call.companding import to_pcm16
from callfsm.call.telephone_band import (
    BLOCK_SAMPLES,
    DELAY_SAMPLES,
    FRESH,
    PACKED,
    TelephoneBandStore,
)
from tests.test_companding import voice

RATE = 16_000
FRAME = 320


def held(samples: NDArray[np.float32], frames: int = 1) -> TelephoneBandStore:
    """All of it, `frames` at a time."""
    store = TelephoneBandStore()
    for at in range(0, len(samples), frames * FRAME):
        store.append(to_pcm16(samples[at : at + frames * FRAME]))
    return store


def snr_db(samples: NDArray[np.float32], back: NDArray[np.float32]) -> float:
    """Of what came back; the edges, where the filter hears silence, left out."""
    sent = samples[RATE // 10 : -RATE // 10]
    noise = back[RATE // 10 + DELAY_SAMPLES :][: len(sent)] - sent
    return float(10 * np.log10(np.square(sent).mean() / np.square(noise).mean()))


def tone(frequency_hz: float, seconds: float = 2.0) -> NDArray[np.float32]:
    t = np.arange(round(seconds * RATE)) / RATE
    return (0.3 * np.sin(2 * np.pi * frequency_hz * t)).astype(np.float32)


def test_what_a_second_takes() -> None:
    """8 KB while it is news, 4 KB when it is context: 72 KB for fifteen seconds."""
    store = held(np.zeros(15 * RATE, np.float32))
    assert store.held_bytes == 4 * 8_000 + 11 * 4_000
    store.clip(0, 15 * RATE)
    assert store.held_bytes == 3 * 8_000 + 12 * 4_000


def test_what_is_new_keeps_30_db() -> None:
    """The last three seconds of a clip are G.711: no worse than the caller's line."""
    spoken = held(voice(0.5, seed=1, seconds=3.0)).clip(0, 3 * RATE).samples
    assert snr_db(spoken, held(spoken).clip(0, 3 * RATE).samples) >= 30


@pytest.mark.parametrize("level", [0.9, 0.3, 0.1, 0.03])
def test_context_keeps_20_db_at_any_level(level: float) -> None:
    """From a shout to 30 dB below it, the noise is 20 dB under a voice in the telephone band."""
    spoken = held(voice(level, seed=1, seconds=3.0)).clip(0, 3 * RATE).samples  # band-limited
    store = held(np.append(spoken, np.zeros(4 * RATE, np.float32)))
    assert snr_db(spoken, store.clip(0, 3 * RATE).samples) >= 20


@pytest.mark.parametrize("frequency_hz", [200, 1000, 3000, 3400])
def test_the_telephone_band_passes(frequency_hz: float) -> None:
    """All of it comes back as loud as it was, to half a decibel."""
    back = held(tone(frequency_hz)).clip(RATE // 2, 3 * RATE // 2).samples
    assert np.square(back).mean() == pytest.approx(0.045, rel=0.125)


def test_what_lies_above_is_gone() -> None:
    """A tone of 5 kHz does not come back as one of 3 kHz."""
    back = held(tone(5000)).clip(RATE // 2, 3 * RATE // 2).samples
    assert np.abs(back).max() < 0.001


def test_silence_stays_silence() -> None:
    """No idle noise."""
    back = held(np.zeros(RATE, np.float32)).clip(0, RATE).samples
    assert np.abs(back).max() < 0.0005


FRAMES = st.integers(0, 400)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 50), FRAMES, FRAMES, FRAMES, st.integers(0, 8 * RATE))
def test_a_clip_depends_on_the_audio_alone(
    frames: int, one: int, other: int, waiting: int, forgotten: int
) -> None:
    """Its samples are the same to the bit, however the audio came, whatever was forgotten, and
    whether a clip of before still waits for a context."""
    spoken = voice(0.5, seed=2, seconds=8.0)
    start, end = sorted((one * FRAME, other * FRAME))
    until = -(-end // (frames * FRAME)) * frames * FRAME  # the piece in which it ends has come
    before = min(end, waiting * FRAME) // (frames * FRAME) * frames * FRAME
    store = held(spoken[:before], frames)
    kept = store.clip(0, before)
    for at in range(before, until, frames * FRAME):
        store.append(to_pcm16(spoken[at : at + frames * FRAME]))
    store.forget(min(start, forgotten))
    clip = store.clip(start, end)
    assert len(clip) == len(clip.samples) == end - start
    assert (clip.samples == held(spoken[:end]).clip(start, end).samples).all()
    assert len(kept) == before


def test_what_waits_is_held_once() -> None:
    """While a clip waits for a context, its newest blocks stay as they are: packed, they would be
    there twice. When it is gone, they are packed."""
    before = taken_bytes()
    store = held(np.zeros(5 * RATE, np.float32))
    clip = store.clip(0, 5 * RATE)
    for _ in range(0, 4 * RATE, FRAME):
        store.append(np.zeros(FRAME, np.int16))
    assert store.held_bytes == 2 * 4_000 + 7 * 8_000
    assert taken_bytes() - before == store.held_bytes + BLOCK_SAMPLES  # and one to be filled
    del clip
    store.append(np.zeros(FRAME, np.int16))
    assert store.held_bytes == 5 * 4_000 + 4 * 8_000 + FRAME // 2


def taken_bytes() -> int:
    """Of all calls, in memory that tracemalloc does not see."""
    return sum(blocks.taken * blocks.size for blocks in (FRESH, PACKED))


def test_a_clip_lies_where_it_should() -> None:
    """Each of its samples is that of its place, older and newer ones alike."""
    spoken = held(voice(0.5, seed=2, seconds=8.0)).clip(0, 8 * RATE).samples
    store = held(spoken)
    for start_s in (0.0, 1.3, 4.0, 6.5):
        start = round(start_s * RATE)
        assert snr_db(spoken[start:], store.clip(start, len(spoken)).samples) >= 20


@pytest.mark.parametrize("end_s", [1.9, 2.0])
def test_a_clip_outlives_its_audio(end_s: float) -> None:
    """What was cut out stays, whatever the store forgets, and hears nothing that comes later,
    though the block that it ends in may be filled on."""
    spoken, end = voice(0.5, seed=3, seconds=8.0), round(end_s * RATE)
    store = held(spoken[:end])
    clip = store.clip(RATE // 2, end)
    before = clip.samples
    for at in range(end, len(spoken), FRAME):
        store.append(to_pcm16(spoken[at : at + FRAME]))
        assert (clip.samples == before).all()
    store.forget(7 * RATE)
    assert (clip.samples == before).all()
    assert store.held_bytes == 8_000


def test_a_shout_does_not_wrap_round() -> None:
    """The loudest square wave there is stays within -1..1, and on its side of zero."""
    square = np.where(np.arange(RATE) % 160 < 80, 1.0, -1.0).astype(np.float32)
    back = held(square).clip(0, RATE).samples
    assert np.abs(back).max() <= 1.0
    middle = back[DELAY_SAMPLES + 40 :: 160]
    assert (middle[2:] > 0.5).all()
