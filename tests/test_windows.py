"""A call's audio cut into windows: nothing lost, nothing twice, however it was chunked."""

import struct
from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from callfsm.call.companding import compress, expand, to_pcm16
from callfsm.call.segmenter import ONSET_FRAMES, Cut
from callfsm.call.settings import WindowSettings
from callfsm.call.speech import FRAME_SAMPLES
from callfsm.call.windows import Window, WindowBuffer

Samples = NDArray[np.float32]
RATE = 16_000
PIECE = RATE // 2  # the reader hands over less at once
THRESHOLD = 3277  # 0.1 of full scale


class LoudIsSpeech:
    """A detector that a test can predict: a frame that starts loud is speech."""

    def is_speech(self, frame: bytes) -> bool:
        first: int = struct.unpack_from("<h", frame)[0]
        return abs(first) > THRESHOLD


def audio(runs: list[tuple[int, int]], extra: int = 0) -> Samples:
    """Frames of speech and of silence in turn, no two stretches alike, and some samples more."""
    flags = [flag for speech, silence in runs for flag in [True] * speech + [False] * silence]
    noise = np.random.default_rng(len(flags)).uniform(0.2, 0.9, len(flags) * FRAME_SAMPLES)
    loudness = np.where(np.repeat(flags, FRAME_SAMPLES), 1.0, 0.01)
    return np.append(noise * loudness, np.zeros(extra)).astype(np.float32)


def speech_samples(runs: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Where the speech of `audio(runs)` lies; runs too short to be speech are left out."""
    at = 0
    for speech, silence in runs:
        if speech >= ONSET_FRAMES:
            yield at * FRAME_SAMPLES, (at + speech) * FRAME_SAMPLES
        at += speech + silence


def as_held(samples: Samples) -> Samples:
    return expand(compress(to_pcm16(samples)))


def pieces(samples: Samples, sizes: list[int]) -> Iterator[Samples]:
    """The samples in pieces of these sizes, over and over."""
    at, number = 0, 0
    while at < len(samples):
        size = sizes[number % len(sizes)]
        yield samples[at : at + size]
        at, number = at + size, number + 1


def all_windows(buffer: WindowBuffer) -> Iterator[Window]:
    while buffer.has_window:
        yield buffer.take()


def cut(chosen: WindowSettings, samples: Samples, sizes: list[int]) -> list[Window]:
    """Every window of a call, each taken as soon as it is complete."""
    buffer = WindowBuffer(chosen, LoudIsSpeech())
    windows: list[Window] = []
    for piece in pieces(samples, sizes):
        buffer.append(piece)
        windows += all_windows(buffer)
    buffer.end()
    return windows + list(all_windows(buffer))


def position(seconds: float) -> int:
    return round(seconds * RATE)


def facts(window: Window) -> tuple[object, ...]:
    return (
        window.number,
        window.start_s,
        window.cut,
        window.overlaps,
        window.fresh_s,
        window.samples.tobytes(),
    )


def assert_all_speech_is_in(windows: list[Window], runs: list[tuple[int, int]]) -> None:
    heard = np.zeros(sum(s + q for s, q in runs) * FRAME_SAMPLES + RATE, bool)
    for window in windows:
        heard[position(window.fresh_s) : position(window.end_s)] = True
    for start, end in speech_samples(runs):
        assert heard[start:end].all(), f"speech of {start / RATE} to {end / RATE} s is in no window"


RUNS = st.lists(st.tuples(st.integers(0, 300), st.integers(1, 60)), min_size=1, max_size=6)
EXTRA = st.integers(0, FRAME_SAMPLES - 1)
SIZES = st.lists(st.integers(1, PIECE), min_size=1, max_size=4).filter(lambda s: sum(s) > 40)


@st.composite
def window_settings(draw: st.DrawFn) -> WindowSettings:
    """Any window, overlap and stride that fit, in a buffer that holds a window and a piece."""
    window = draw(st.integers(50, 400))
    overlap = draw(st.integers(0, window // 2))
    return WindowSettings(
        window_s=window * 0.02,
        overlap_s=overlap * 0.02,
        stride_s=(window - overlap) * 0.02,
        buffer_s=window * 0.02 + 2.5,
        pause_s=draw(st.sampled_from([0.1, 0.2, 0.3, 0.5])),
        lead_in_s=draw(st.sampled_from([0.0, 0.1, 0.3, 1.0])),
        context_s=draw(st.sampled_from([0.0, 2.0, 6.0])),
        telephone_band=False,
    )


EXACT = WindowSettings(telephone_band=False)  # one byte a sample: comparable to the byte
SETTINGS = st.one_of(st.just(EXACT), window_settings())


# ------------------------------------------------ any audio, any chunking
@settings(max_examples=60, deadline=None)
@given(RUNS, EXTRA, SIZES, SIZES, st.one_of(SETTINGS, st.just(WindowSettings())))
def test_any_chunking_gives_the_same_windows(
    runs: list[tuple[int, int]],
    extra: int,
    sizes: list[int],
    others: list[int],
    chosen: WindowSettings,
) -> None:
    """The windows depend on the audio alone, byte for byte."""
    samples = audio(runs, extra)
    once = cut(chosen, samples, sizes)
    assert [facts(w) for w in once] == [facts(w) for w in cut(chosen, samples, others)]


@example(
    runs=[(86, 15), (3, 1)],
    extra=0,
    sizes=[41],
    chosen=WindowSettings(
        window_s=1.0,
        overlap_s=0.0,
        stride_s=1.0,
        buffer_s=3.5,
        context_s=0.0,
        lead_in_s=0.1,
        telephone_band=False,
    ),
)
@settings(max_examples=60, deadline=None)
@given(runs=RUNS, extra=EXTRA, sizes=SIZES, chosen=SETTINGS)
def test_windows_hold_the_audio_of_their_place(
    runs: list[tuple[int, int]], extra: int, sizes: list[int], chosen: WindowSettings
) -> None:
    """Each window is exactly the call's audio from its start on: nothing shifted, nothing lost."""
    held = as_held(np.append(audio(runs, extra), np.zeros(FRAME_SAMPLES, np.float32)))
    for number, window in enumerate(cut(chosen, audio(runs, extra), sizes), start=1):
        start = position(window.start_s)
        assert window.number == number
        assert (window.samples == held[start : start + len(window.samples)]).all()


@settings(max_examples=60, deadline=None)
@given(RUNS, EXTRA, SIZES, SETTINGS)
def test_speech_is_in_one_window_or_in_an_overlap(
    runs: list[tuple[int, int]], extra: int, sizes: list[int], chosen: WindowSettings
) -> None:
    """All speech is in some window, and only an overlap of the chosen length hears it again."""
    windows = cut(chosen, audio(runs, extra), sizes)
    assert_all_speech_is_in(windows, runs)
    is_speech = np.abs(audio(runs, extra)) >= 0.1
    for before, after in pairwise(windows):
        again = slice(position(after.fresh_s), position(before.end_s))
        if after.overlaps:
            assert before.cut.in_speech
            assert again.stop - again.start == position(chosen.overlap_s)
        else:
            assert not is_speech[again].any()


@settings(deadline=None)
@given(st.integers(1, 3000), SIZES)
def test_silence_is_never_a_window(frames: int, sizes: list[int]) -> None:
    """No speech, no window, and hardly any audio kept."""
    buffer = WindowBuffer(WindowSettings(), LoudIsSpeech())
    for piece in pieces(audio([(0, frames)]), sizes):
        buffer.append(piece)
        assert buffer.held_bytes <= (0.36 + 0.5) * 8_000 + FRAME_SAMPLES
    buffer.end()
    assert not buffer.has_window


# ------------------------------------------------ any life of a call
OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("speech"), st.integers(1, 50)),
        st.tuples(st.just("silence"), st.integers(1, 50)),
        st.just(("chunk ends", 0)),
        st.just(("clock pause", 0)),
        st.just(("take", 0)),
        st.just(("begin", 0)),
        st.just(("grow", 0)),
        st.just(("look", 0)),
        st.tuples(st.just("soon"), st.integers(0, 6)),
    ),
    max_size=60,
)
SOUNDS = ("speech", "silence")
LONGER_CONTEXT_BEHIND = [
    *[("speech", 50), ("silence", 20), ("take", 0), ("begin", 0), ("soon", 1)],
    *[("speech", 50), ("silence", 20)],  # a window with no context waits,
    *[("speech", 50)] * 7,  # and behind it one that begins with the first second
    *[("take", 0), ("begin", 0), ("take", 0)],
]


@example(LONGER_CONTEXT_BEHIND, WindowSettings(context_s=9.0, telephone_band=False))
@settings(max_examples=100, deadline=None)
@given(OPERATIONS, SETTINGS)
def test_no_speech_is_lost_whatever_happens(
    operations: list[tuple[str, int]], chosen: WindowSettings
) -> None:
    """Pauses on the clock, chunk ends, late takes, windows that grow, looks, overflow and less
    context where somebody waits lose no speech in any order; every window holds the audio of its
    place, and the buffer is bounded once the sender waits."""
    runs = [(n, 0) if what == "speech" else (0, n) for what, n in operations if what in SOUNDS]
    samples = audio(runs)
    held = as_held(samples)
    buffer = WindowBuffer(chosen, LoudIsSpeech())
    windows: list[Window] = []
    at = 0
    for what, frames in [*operations, ("end", 0)]:
        match what:
            case "speech" | "silence":
                windows += _make_room(buffer)
                buffer.append(samples[at : at + frames * FRAME_SAMPLES])
                at += frames * FRAME_SAMPLES
            case "chunk ends":
                buffer.end_chunk(1.0)
            case "clock pause":
                buffer.pause()
            case "take" if buffer.has_window:
                windows.append(buffer.take())
            case "begin":
                buffer.begin()
            case "grow" if buffer.can_grow:
                windows[-1] = buffer.grow()
            case "look" if not buffer.has_window and buffer.is_look_due(0.2):
                windows.append(buffer.take())
                assert windows[-1].cut.is_look
            case "soon":
                buffer.limit_context(chosen.context_s, min(chosen.context_s, frames))
            case "end":
                buffer.end()
                windows += all_windows(buffer)
        assert buffer.buffered_s <= chosen.buffer_s + 1.0
        assert buffer.held_bytes <= (chosen.context_s + chosen.buffer_s + 1.0) * RATE
        assert buffer.heard_s == at / RATE
    assert not buffer.has_speech
    finals = [window for window in windows if not window.cut.is_look]
    assert_all_speech_is_in(finals, [(n, q) for n, q in _joined(runs)])
    for window in windows:
        start = position(window.start_s)
        assert (window.samples == held[start : start + len(window.samples)]).all()
        assert window.start_s <= window.fresh_s < window.end_s
        assert len(window.samples) <= (chosen.buffer_s + chosen.context_s + 1.0) * RATE


def _make_room(buffer: WindowBuffer) -> Iterator[Window]:
    """What the sender waits for: that a context begins with what fills the buffer."""
    while buffer.is_full:
        yield buffer.take()
    if buffer.is_behind:
        buffer.begin()


def _joined(runs: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Runs as heard: stretches of speech that touch are one."""
    speech = silence = 0
    for n, q in runs:
        if n and silence:
            yield speech, silence
            speech = silence = 0
        speech, silence = speech + n, silence + q
    yield speech, silence


# ------------------------------------------------ single facts
@pytest.fixture
def buffer() -> WindowBuffer:
    return WindowBuffer(EXACT, LoudIsSpeech())


def speech(seconds: float) -> Samples:
    return audio([(round(seconds * 50), 0)])


def silence(seconds: float) -> Samples:
    return audio([(0, round(seconds * 50))])


def test_a_speech_chunk_with_a_quiet_end_is_cut_at_once(buffer: WindowBuffer) -> None:
    """A sender with a detector of its own: its chunk's hang-over is the pause."""
    buffer.append(np.append(speech(2.0), silence(0.2)))
    assert not buffer.has_window
    buffer.end_chunk(2.2)
    window = buffer.take()
    assert (window.cut, window.start_s, window.end_s) == (Cut.PAUSE, 0.0, 2.2)


def test_a_speech_chunk_that_ends_loud_is_cut_in_speech(buffer: WindowBuffer) -> None:
    """A long utterance comes in several chunks: a chunk's end in mid-word is no pause."""
    buffer.append(speech(2.0))
    buffer.end_chunk(2.0)
    assert buffer.take().cut is Cut.STALL


def test_a_short_frame_is_no_chunk(buffer: WindowBuffer) -> None:
    """20 ms frames that end quietly are not each cut."""
    buffer.append(np.append(speech(0.5), silence(0.2)))
    buffer.end_chunk(0.02)
    assert not buffer.has_window


@pytest.mark.parametrize(("quiet_s", "expected"), [(0.0, Cut.STALL), (0.1, Cut.PAUSE)])
def test_a_pause_on_the_clock_cuts(buffer: WindowBuffer, quiet_s: float, expected: Cut) -> None:
    """No audio for a while: after quiet it was a pause, in mid-speech a stall."""
    buffer.append(np.append(speech(1.0), silence(quiet_s)))
    buffer.pause()
    assert buffer.take().cut is expected


@pytest.mark.parametrize("samples", [1, 319, 320, 321])
def test_the_last_samples_of_a_call_are_not_lost(buffer: WindowBuffer, samples: int) -> None:
    """A frame that is not complete at the end is filled up with silence and heard."""
    tail = np.full(samples, 0.5, np.float32)
    buffer.append(np.append(speech(0.2), tail))
    buffer.end()
    window = buffer.take()
    end = 3200 + samples
    assert window.cut is Cut.END
    assert (window.samples[3200:end] == as_held(tail)).all()
    assert (window.samples[end:] == 0).all()
    assert len(window.samples) % FRAME_SAMPLES == 0


def test_a_full_buffer_is_flushed_as_one_window(buffer: WindowBuffer) -> None:
    """Nothing taken for 10 s: all that waits is the next window, and is not dropped."""
    for _ in range(10):
        assert not buffer.is_full
        buffer.append(speech(1.0))
    assert buffer.is_full
    window = buffer.take()
    assert (window.start_s, window.end_s, window.cut) == (0.0, 10.0, Cut.OVERFLOW)
    assert (buffer.overflows, buffer.is_full, buffer.has_window) == (1, False, False)
    buffer.append(speech(0.5))
    buffer.end()
    after = buffer.take()
    assert (after.fresh_s, after.overlaps) == (9.0, True)


def test_there_is_nothing_to_take_from_silence(buffer: WindowBuffer) -> None:
    """Taking needs a window or speech that grows."""
    buffer.append(silence(1.0))
    with pytest.raises(IndexError):
        buffer.take()


def test_a_look_takes_the_speech_so_far_and_leaves_it(buffer: WindowBuffer) -> None:
    """An eager window starts where the final one will."""
    buffer.append(speech(1.5))
    assert buffer.is_look_due(1.3)
    look = buffer.take()
    buffer.append(np.append(speech(1.0), silence(0.3)))
    final = buffer.take()
    assert (look.cut, final.cut, look.start_s) == (Cut.EAGER, Cut.PAUSE, final.start_s)
    assert (final.samples[: len(look.samples)] == look.samples).all()


def test_a_look_in_a_hush_hears_all_that_the_window_would(buffer: WindowBuffer) -> None:
    """When the pause comes, speech has ended where it had for the look, and the window can go."""
    buffer.append(np.append(speech(1.5), silence(0.12)))
    look = buffer.take()
    assert (look.cut, look.speech_end_s, buffer.hushed_from_s) == (Cut.HUSH, 1.5, None)
    buffer.append(silence(0.2))
    assert buffer.hushed_from_s == 1.5
    buffer.skip()
    assert (buffer.has_window, buffer.has_speech, buffer.buffered_s) == (False, False, 0.12)


def test_speech_that_goes_on_is_no_hush(buffer: WindowBuffer) -> None:
    """A window that is full ends in mid-speech."""
    buffer.append(speech(5.0))
    assert (buffer.has_window, buffer.hushed_from_s) == (True, None)


@pytest.mark.parametrize(("telephone_band", "held_bytes"), [(True, 56_000), (False, 160_000)])
def test_what_waiting_audio_takes(telephone_band: bool, held_bytes: int) -> None:
    """Ten seconds of waiting audio are 56 KB, or 160 KB with everything up to 8 kHz."""
    buffer = WindowBuffer(WindowSettings(telephone_band=telephone_band), LoudIsSpeech())
    for _ in range(10):
        buffer.append(speech(1.0))
    assert buffer.held_bytes == held_bytes


# ------------------------------------------------ a window that waits grows
def test_a_waiting_window_grows(buffer: WindowBuffer) -> None:
    """A window that no context has begun with takes in what is cut meanwhile; nothing is lost."""
    buffer.append(speech(5.0))
    first = buffer.take()
    assert not buffer.can_grow
    buffer.append(np.append(speech(3.0), silence(0.3)))
    assert buffer.can_grow
    grown = buffer.grow()
    assert (grown.number, grown.start_s, grown.cut) == (2, 0.0, Cut.PAUSE)
    assert grown.end_s == pytest.approx(8.2)
    assert (grown.samples[: len(first.samples)] == first.samples).all()
    assert not buffer.can_grow


def test_a_window_that_a_context_has_does_not_grow(buffer: WindowBuffer) -> None:
    """Once a context has begun with it, what is cut afterwards is the next window."""
    buffer.append(speech(5.0))
    buffer.take()
    buffer.begin()
    buffer.append(np.append(speech(3.0), silence(0.3)))
    assert not buffer.can_grow
    assert buffer.take().fresh_s == 4.0


def test_a_waiting_look_gives_way(buffer: WindowBuffer) -> None:
    """A look that still waits when its window is complete is replaced by that window."""
    buffer.append(speech(2.0))
    assert buffer.take().cut is Cut.EAGER
    buffer.append(np.append(speech(1.0), silence(0.3)))
    final = buffer.grow()
    assert (final.cut, final.fresh_s) == (Cut.PAUSE, 0.0)


def test_a_window_grows_to_what_the_buffer_holds(buffer: WindowBuffer) -> None:
    """It has 10 s of news at most; what would make it longer waits for the next."""
    buffer.append(speech(5.0))
    window = buffer.take()
    for _ in range(7):
        buffer.append(speech(2.0))
        while buffer.can_grow:
            window = buffer.grow()
        assert window.end_s <= 10.0
    assert window.end_s == 9.0
    assert buffer.is_full
    buffer.begin()
    after = buffer.take()
    assert (after.fresh_s, after.end_s) == (8.0, 19.0)


def test_a_window_that_waits_counts_as_unheard(buffer: WindowBuffer) -> None:
    """The sender waits at 10 s that no context has begun with, wherever they are held."""
    buffer.append(speech(5.0))
    buffer.take()
    buffer.append(speech(4.9))
    assert not buffer.is_behind
    buffer.append(speech(0.1))
    assert buffer.is_behind
    assert not buffer.is_full
    buffer.begin()
    assert not buffer.is_behind


def test_a_grown_window_hears_its_context_or_none(buffer: WindowBuffer) -> None:
    """What was said before is heard again only while all of it stays within 15 s."""
    buffer.append(np.append(speech(4.0), silence(0.3)))
    buffer.take()
    buffer.begin()
    buffer.append(np.append(speech(4.0), silence(0.3)))
    buffer.take()
    buffer.begin()
    buffer.append(speech(5.0))
    assert buffer.take().start_s == 0.0
    buffer.append(speech(4.0))
    grown = buffer.grow()
    assert (grown.start_s, grown.fresh_s) == pytest.approx((4.2, 8.5))


# ------------------------------------------------ mode "chunk": the baseline
@pytest.fixture
def chunks() -> WindowBuffer:
    return WindowBuffer(WindowSettings(mode="chunk"), LoudIsSpeech())


def test_in_chunk_mode_what_overflows_is_one_window(chunks: WindowBuffer) -> None:
    """More than 32 s of waiting chunks, silent or not, are taken together."""
    for size_s, make in ((0.7, speech), (3.0, silence), (31.0, speech)):
        for piece in pieces(make(size_s), [PIECE]):
            chunks.append(piece)
        chunks.end_chunk(size_s)
    windows = list(all_windows(chunks))
    assert [(w.start_s, w.end_s, w.cut, w.overlaps) for w in windows] == [
        (0.0, 34.7, Cut.CHUNK, False)
    ]


@pytest.mark.parametrize("take_first", [True, False])
def test_in_chunk_mode_chunks_come_one_by_one(chunks: WindowBuffer, take_first: bool) -> None:
    """Each chunk is a window, whole and without overlap, while the buffer has room."""
    windows: list[Window] = []
    take: Callable[[], None] = lambda: windows.extend(all_windows(chunks))  # noqa: E731
    for size_s in (0.7, 3.0, 1.24):
        chunks.append(speech(size_s))
        chunks.end_chunk(size_s)
        if take_first:
            take()
    take()
    assert [(w.start_s, w.end_s) for w in windows] == [(0.0, 0.7), (0.7, 3.7), (3.7, 4.94)]
    assert chunks.held_bytes == 0


def test_in_chunk_mode_the_tail_is_not_lost(chunks: WindowBuffer) -> None:
    """A chunk that the end of the call cuts short is a window too."""
    chunks.append(speech(1.0))
    chunks.end()
    assert [(w.start_s, w.end_s) for w in all_windows(chunks)] == [(0.0, 1.0)]
    chunks.end()
    assert not chunks.has_window
