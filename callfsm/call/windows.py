"""A call's audio between the socket and the engine: append samples, take windows.

Audio is held compact, and only as long as a window may still need it.
Positions count samples from the start of the call: the call's audio time. Any chunking of the same
audio gives the same windows; a property test says so.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from callfsm.audio import SAMPLE_RATE_HZ
from callfsm.call.clip import AudioStore, Clip
from callfsm.call.companding import to_pcm16
from callfsm.call.full_band import FullBandStore
from callfsm.call.segmenter import Cut, Segmenter, Span
from callfsm.call.settings import WindowSettings
from callfsm.call.speech import FRAME_BYTES, FRAME_S, FRAME_SAMPLES, SpeechDetector
from callfsm.call.telephone_band import TelephoneBandStore

SPEECH_CHUNK_S = 0.5  # senders with a speech detector send chunks at least this long
CHUNK_LIMIT_S = 32.0  # a whole chunk of the wire (2 000 000 bytes, 31.25 s) fits


@dataclass(frozen=True, slots=True)
class Window:
    """Audio to transcribe, and where it lies in the call's time."""

    number: int  # 1, 2, … within the call
    start_s: float
    audio: Clip
    cut: Cut
    overlaps: bool  # whether it begins with audio that the window before ended with
    fresh_s: float  # what lies before is context: utterances that earlier windows heard
    quiet_s: float = 0.0  # without speech, at its end
    is_young: bool = False  # a look at the beginning of an utterance, with little context

    @property
    def end_s(self) -> float:
        return self.start_s + self.audio.duration_s

    @property
    def speech_end_s(self) -> float:
        """When the last sound of speech in it ends."""
        return self.end_s - self.quiet_s

    @property
    def has_context(self) -> bool:
        """Whether it begins with audio that only helps to understand the rest."""
        return self.fresh_s > self.start_s

    @property
    def samples(self) -> NDArray[np.float32]:
        """float32, shape (n,), 16 kHz; made anew at each call."""
        return self.audio.samples


class WindowBuffer:
    """Cuts the audio of one call into windows, by `WindowSettings`."""

    __slots__ = (
        "_consumed",
        "_detector",
        "_end",
        "_limit_s",
        "_rest",
        "_segmenter",
        "_settings",
        "_spans",
        "_store",
        "_taken",
        "_unstarted",
        "overflows",
    )

    def __init__(self, settings: WindowSettings, detector: SpeechDetector) -> None:
        self._settings = settings
        self._detector = detector
        self._segmenter = Segmenter(settings)
        is_narrow = settings.telephone_band and settings.mode == "stream"
        self._store: AudioStore = TelephoneBandStore() if is_narrow else FullBandStore()
        self._end = 0  # samples heard
        self._rest = b""  # PCM of the frame that is not complete yet
        self._spans: list[Span] = []
        self._unstarted: Span | None = None  # taken last, and no context has begun with it
        self._taken = 0  # windows
        self._consumed = 0  # samples that are in a taken window
        self._limit_s = max(settings.buffer_s, CHUNK_LIMIT_S if settings.mode == "chunk" else 0.0)
        self.overflows = 0

    @property
    def buffered_s(self) -> float:
        """Seconds of audio that no window has taken yet."""
        return (self._end - self._buffered_from) / SAMPLE_RATE_HZ

    @property
    def unheard_s(self) -> float:
        """The same, and what is in a window that still waits for a context."""
        waiting = self._unstarted
        start = waiting.fresh if waiting is not None else self._buffered_from
        return (self._end - start) / SAMPLE_RATE_HZ

    @property
    def held_bytes(self) -> int:
        """Memory of the audio held, context included."""
        return self._store.held_bytes

    @property
    def heard_s(self) -> float:
        """The call's audio time: seconds appended so far."""
        return self._end / SAMPLE_RATE_HZ

    @property
    def is_full(self) -> bool:
        """Whether `buffer_s` is reached: flush what is here."""
        return self.buffered_s >= self._limit_s

    @property
    def is_behind(self) -> bool:
        """Whether the sender should wait: `buffer_s` have not been heard by any context."""
        return self.unheard_s >= self._limit_s

    @property
    def has_window(self) -> bool:
        """Whether a window is complete."""
        return bool(self._spans)

    @property
    def has_speech(self) -> bool:
        """Whether speech waits that no window holds yet."""
        return self._segmenter.has_speech

    def is_look_due(self, step_s: float) -> bool:
        """Whether the window that grows has something to look at: see `Segmenter`."""
        return self._segmenter.is_look_due(step_s)

    @property
    def hushed_from_s(self) -> float | None:
        """Since when nobody speaks, where the next window is complete and ends with that."""
        if not self._spans or self.is_full or self._spans[0].cut.in_speech:
            return None
        return self._spans[0].speech_end / SAMPLE_RATE_HZ

    @property
    def young_from_s(self) -> float | None:
        """Where the window that grows begins, while it is the beginning of an utterance."""
        if not self._segmenter.is_young:
            return None
        return self._segmenter.waits_from / SAMPLE_RATE_HZ

    def limit_context(self, context_s: float, soon_s: float) -> None:
        """From now on windows are at most `context_s` long together with their context, and
        `soon_s` where somebody waits for their words."""
        self._segmenter.limit_context(context_s, soon_s)

    def append(self, samples: NDArray[np.float32]) -> None:
        """Add float32 samples, shape (n,), -1..1, of any number."""
        pcm = to_pcm16(samples)
        self._end += len(pcm)
        if self._settings.mode == "chunk":
            self._store.append(pcm)
            return
        data = self._rest + pcm.astype("<i2", copy=False).tobytes()
        whole = len(data) - len(data) % FRAME_BYTES
        if whole:
            self._store.append(np.frombuffer(data, "<i2", whole // 2))
        for at in range(0, whole, FRAME_BYTES):
            is_speech = self._detector.is_speech(data[at : at + FRAME_BYTES])
            self._keep(self._segmenter.hear(is_speech))
        self._rest = data[whole:]
        self._forget()

    def end_chunk(self, chunk_s: float) -> None:
        """The sender's chunk, `chunk_s` long, is complete.

        Senders with a detector of their own send speech with a short hang-over and then nothing: a
        chunk of half a second or more that ends in silence ends in a pause, and one that ends in
        speech was as long as the sender allows: nothing comes before its next chunk is complete, so
        there is nothing to wait for. A 20 ms frame says neither.
        """
        if self._settings.mode == "chunk":
            self._keep_chunk()
        elif chunk_s >= SPEECH_CHUNK_S:
            self.pause()

    def pause(self) -> None:
        """No audio came for `pause_s`: cut what is here, in mid-speech if need be."""
        self._keep(self._segmenter.flush(Cut.PAUSE if self._ends_quietly() else Cut.STALL))

    def end(self) -> None:
        """No audio will come any more: cut what is here."""
        if self._settings.mode == "chunk":
            self._keep_chunk()
            return
        missing_samples = -(len(self._rest) // 2) % FRAME_SAMPLES
        self.append(np.zeros(missing_samples, np.float32))
        self._keep(self._segmenter.flush(Cut.END))

    def take(self) -> Window:
        """The next window, complete or else as far as it has grown. IndexError when there is none.

        When the buffer is full it is everything that waits, as one window: a longer window costs
        less per second than two.
        """
        if self.is_full:
            self._merge_all()
        elif not self._spans:
            self._keep(self._segmenter.look())
        return self._take(self._spans.pop(0))

    def skip(self) -> None:
        """Let go of the next window: all of it has been heard."""
        self._consumed = self._spans.pop(0).end
        self._forget()

    @property
    def can_grow(self) -> bool:
        """Whether the window taken last still waits, and a longer one could take its place."""
        return self._unstarted is not None and bool(self._spans) and self._grows(self._unstarted)

    def grow(self) -> Window:
        """In place of the window taken last, that and what has been cut since; of a look, the
        window that it looked ahead at. Only when it `can_grow`."""
        span = self._unstarted
        if span is None or span.cut.is_look:
            span = self._spans.pop(0)
        while self._spans and self._grows(span):
            span = _merged(span, self._spans.pop(0))
        return self._take(span)

    def begin(self) -> None:
        """A context has begun with the window taken last, or nobody waits for it any more: it
        cannot grow."""
        self._unstarted = None
        self._forget()

    @property
    def _buffered_from(self) -> int:
        """The first sample that no window has taken yet."""
        if self._spans:
            return self._spans[0].fresh
        if self._settings.mode == "chunk":
            return self._consumed
        return self._segmenter.waits_from

    def _grows(self, span: Span) -> bool:
        """Whether the next span can be had together with this one."""
        together_s = (self._spans[0].end - span.fresh) / SAMPLE_RATE_HZ
        return span.cut.is_look or together_s <= self._limit_s

    def _take(self, span: Span) -> Window:
        audio = self._store.clip(span.start, span.end)
        self._taken += 1
        self._consumed = span.end
        self._unstarted = span if self._settings.mode == "stream" else None
        self._forget()
        start_s, fresh_s, quiet_s = (
            at / SAMPLE_RATE_HZ for at in (span.start, span.fresh, span.quiet)
        )
        return Window(
            self._taken,
            start_s,
            audio,
            span.cut,
            span.overlaps,
            fresh_s,
            quiet_s,
            is_young=span.young,
        )

    def _ends_quietly(self) -> bool:
        return self._segmenter.silence * FRAME_S >= self._settings.chunk_tail_s

    def _keep(self, span: Span | None) -> None:
        if span is not None:
            self._spans.append(span)

    def _keep_chunk(self) -> None:
        """Make what came since the last chunk one window, if anything did."""
        start = self._spans[-1].end if self._spans else self._consumed
        if start < self._end:
            self._keep(Span(start, self._end, Cut.CHUNK, overlaps=False, fresh=start))

    def _merge_all(self) -> None:
        self._keep(self._segmenter.flush(Cut.OVERFLOW))
        self._spans = [_merged(self._spans[0], self._spans[-1])]
        self.overflows += 1

    def _forget(self) -> None:
        """Let go of audio that no window can need any more."""
        keep = self._consumed if self._settings.mode == "chunk" else self._segmenter.keeps_from
        needed = [keep, *(span.start for span in self._spans)]  # a later one may begin earlier
        if self._unstarted is not None:
            needed.append(self._unstarted.fresh)
        self._store.forget(min(needed))


def _merged(first: Span, last: Span) -> Span:
    """Both, and all between them. The context is the last one's, where that still is context."""
    start = min(last.start, first.fresh)
    return replace(first, start=start, end=last.end, cut=last.cut, quiet=last.quiet)
