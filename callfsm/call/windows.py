"""A call's audio between the socket and the engine: append samples, take windows.

Audio is held companded, one byte a sample, and only as long as a window may still need it.
Positions count samples from the start of the call: the call's audio time. Any chunking of the same
audio gives the same windows; a property test says so.
"""

from collections import deque
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from callfsm.audio import SAMPLE_RATE_HZ
from callfsm.call.companding import compress, expand, to_pcm16
from callfsm.call.segmenter import Cut, Segmenter, Span
from callfsm.call.settings import WindowSettings
from callfsm.call.speech import FRAME_S, FRAME_SAMPLES, SpeechDetector

FRAME_BYTES = 2 * FRAME_SAMPLES
SPEECH_CHUNK_S = 0.5  # senders with a speech detector send chunks at least this long
CHUNK_LIMIT_S = 32.0  # a whole chunk of the wire (2 000 000 bytes, 31.25 s) fits


@dataclass(frozen=True, slots=True)
class Window:
    """Audio to transcribe: float32, shape (n,), 16 kHz, and where it lies in the call's time."""

    number: int  # 1, 2, … within the call
    start_s: float
    samples: NDArray[np.float32]
    cut: Cut
    overlaps: bool  # whether it begins with audio that the window before ended with
    fresh_s: float  # what lies before is context: utterances that earlier windows heard

    @property
    def end_s(self) -> float:
        return self.start_s + len(self.samples) / SAMPLE_RATE_HZ


class WindowBuffer:
    """Cuts the audio of one call into windows, by `WindowSettings`."""

    __slots__ = (
        "_base",
        "_bytes",
        "_consumed",
        "_detector",
        "_limit_s",
        "_rest",
        "_segmenter",
        "_settings",
        "_spans",
        "_taken",
        "overflows",
    )

    def __init__(self, settings: WindowSettings, detector: SpeechDetector) -> None:
        self._settings = settings
        self._detector = detector
        self._segmenter = Segmenter(settings)
        self._bytes = bytearray()  # companded samples from position `_base` on
        self._base = 0
        self._rest = b""  # PCM of the frame that is not complete yet
        self._spans: deque[Span] = deque()
        self._taken = 0  # windows
        self._consumed = 0  # samples that are in a taken window
        self._limit_s = max(settings.buffer_s, CHUNK_LIMIT_S if settings.mode == "chunk" else 0.0)
        self.overflows = 0

    @property
    def buffered_s(self) -> float:
        """Seconds of audio that no window has taken yet."""
        if self._spans:
            start = self._spans[0].fresh
        elif self._settings.mode == "chunk":
            start = self._consumed
        else:
            start = self._segmenter.waits_from
        return (self._end - start) / SAMPLE_RATE_HZ

    @property
    def held_bytes(self) -> int:
        """Memory of the audio held, context included."""
        return len(self._bytes)

    @property
    def heard_s(self) -> float:
        """The call's audio time: seconds appended so far."""
        return self._end / SAMPLE_RATE_HZ

    @property
    def is_full(self) -> bool:
        """Whether `buffer_s` is reached: flush what is here, and let the sender wait."""
        return self.buffered_s >= self._limit_s

    @property
    def has_window(self) -> bool:
        """Whether a window is complete."""
        return bool(self._spans)

    @property
    def has_speech(self) -> bool:
        """Whether speech waits that no window holds yet."""
        return self._segmenter.has_speech

    @property
    def unseen_s(self) -> float:
        """Seconds of speech that no pass has seen, of the window that still grows."""
        return self._segmenter.unseen_s()

    def limit_context(self, context_s: float) -> None:
        """From now on windows are at most this long together with their context."""
        self._segmenter.limit_context(context_s)

    def append(self, samples: NDArray[np.float32]) -> None:
        """Add float32 samples, shape (n,), -1..1, of any number."""
        pcm = to_pcm16(samples)
        self._bytes += compress(pcm).tobytes()
        if self._settings.mode == "chunk":
            return
        data = self._rest + pcm.astype("<i2", copy=False).tobytes()
        whole = len(data) - len(data) % FRAME_BYTES
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
        span = self._spans.popleft()
        held = np.frombuffer(self._bytes, np.uint8)[span.start - self._base : span.end - self._base]
        samples = expand(held)
        del held  # a bytearray that is looked at cannot shrink
        self._taken += 1
        self._consumed = span.end
        self._forget()
        start_s, fresh_s = span.start / SAMPLE_RATE_HZ, span.fresh / SAMPLE_RATE_HZ
        return Window(self._taken, start_s, samples, span.cut, span.overlaps, fresh_s)

    @property
    def _end(self) -> int:
        return self._base + len(self._bytes)

    def _ends_quietly(self) -> bool:
        return self._segmenter.silence * FRAME_S >= self._settings.chunk_tail_s

    def _keep(self, span: Span | None) -> None:
        if span is not None:
            self._spans.append(span)

    def _keep_chunk(self) -> None:
        """Make what came since the last chunk one window, if anything did."""
        start = self._spans[-1].end if self._spans else self._base
        if start < self._end:
            self._keep(Span(start, self._end, Cut.CHUNK, overlaps=False, fresh=start))

    def _merge_all(self) -> None:
        self._keep(self._segmenter.flush(Cut.OVERFLOW))
        first, last = self._spans[0], self._spans[-1]
        self._spans.clear()
        self._spans.append(replace(first, end=last.end, cut=last.cut))
        self.overflows += 1

    def _forget(self) -> None:
        """Let go of audio that no window can need any more."""
        keep = self._consumed if self._settings.mode == "chunk" else self._segmenter.keeps_from
        if self._spans:
            keep = min(keep, self._spans[0].start)
        drop = max(0, min(keep - self._base, len(self._bytes)))
        del self._bytes[:drop]
        self._base += drop
