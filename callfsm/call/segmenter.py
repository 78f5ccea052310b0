"""Where windows are cut: a pure function of the frames heard so far.

The segmenter counts 20 ms frames from the start of the call and is told of each whether it is
speech. It answers with spans: the samples that make one window, and why the window ends there.
Nothing depends on how the audio was chunked on its way here; only `flush`, for pauses seen on the
clock and for the end of the call, does.
"""

from collections import deque
from dataclasses import dataclass, replace
from enum import Enum
from math import inf

from callfsm.call.settings import HUSH_S, SOON_CONTEXT_S, YOUNG_S, WindowSettings
from callfsm.call.speech import FRAME_S, FRAME_SAMPLES

ONSET_FRAMES = 3  # 60 ms of unbroken speech: shorter is a click
EARLY_FRAMES = 10  # of 200 ms heard by themselves, engines guess: they count as looked at
TAIL_FRAMES = 10  # 200 ms kept after the last speech; the rest can lead in the next window


class Cut(Enum):
    """Why a window ends where it ends."""

    FULL = "full"  # the window's length is reached in mid-speech
    PAUSE = "pause"  # the speaker paused: no word can be cut here
    STALL = "stall"  # no audio comes any more, in mid-speech
    OVERFLOW = "overflow"  # the buffer is full: everything is taken
    END = "end"  # the call is over
    EAGER = "eager"  # not an end: a look at speech that goes on
    HUSH = "hush"  # not an end yet: a look at all of the speech, where it may have paused
    CHUNK = "chunk"  # mode "chunk": the chunk is complete

    @property
    def in_speech(self) -> bool:
        """Whether a word may be cut in two here: the next window then overlaps this one."""
        return self in {Cut.FULL, Cut.STALL, Cut.OVERFLOW}

    @property
    def is_look(self) -> bool:
        """Whether what is heard here will be heard again, unless it was all there is."""
        return self in {Cut.EAGER, Cut.HUSH}


@dataclass(frozen=True, slots=True)
class Span:
    """Samples `start` to before `end`, counted from the start of the call.

    `overlaps` tells that the span before ended after `fresh`, in speech. What lies before `fresh`
    is context: earlier windows, heard again so that a short one is not judged alone. `quiet` of
    its samples, at the end, are not speech. `young` is a look at the beginning of an utterance,
    with little context.
    """

    start: int
    end: int
    cut: Cut
    overlaps: bool
    fresh: int
    quiet: int = 0
    young: bool = False

    @property
    def speech_end(self) -> int:
        """The sample after the last that is speech."""
        return self.end - self.quiet


def _frames(seconds: float) -> int:
    return round(seconds / FRAME_S)


class Segmenter:
    """Turns speech flags into spans."""

    __slots__ = (
        "_context",
        "_earlier",
        "_lead_in",
        "_overlap",
        "_pause",
        "_soon_context",
        "_window",
        "eager_at",
        "floor",
        "heard",
        "overlaps",
        "run",
        "silence",
        "start",
        "unheard",
    )

    def __init__(self, settings: WindowSettings) -> None:
        self._window = _frames(settings.window_s)
        self._overlap = _frames(settings.overlap_s)
        self._pause = _frames(settings.pause_s)
        self._context = _frames(settings.context_s)
        self._soon_context = self._context  # of spans whose words somebody waits for
        self._lead_in = _frames(settings.lead_in_s)
        self._earlier: deque[int] = deque()  # starts of windows that can be context
        self.heard = 0  # frames so far
        self.floor = 0  # nothing before this frame is in a later span
        self.start: int | None = None  # of the speech that is not cut yet
        self.overlaps = False  # whether `start` lies in the span before
        self.unheard = False  # whether there was speech since the last cut
        self.run = 0  # frames of unbroken speech
        self.silence = 0  # frames since the last speech
        self.eager_at = 0  # the end of the last look, or cut; at first the onset, or a little after

    @property
    def keeps_from(self) -> int:
        """The first sample that a later span may need."""
        if self._earlier:
            return self._earlier[0] * FRAME_SAMPLES
        return self.waits_from

    @property
    def waits_from(self) -> int:
        """The first sample that is in no span yet, silence that nobody needs left out."""
        if self.start is not None:
            return self.start * FRAME_SAMPLES
        return max(self.floor, self.heard - self._lead_in - ONSET_FRAMES) * FRAME_SAMPLES

    @property
    def has_speech(self) -> bool:
        """Whether speech waits to be cut."""
        return self.start is not None and self.unheard

    def hear(self, is_speech: bool) -> Span | None:
        """One more frame; a span when a window ends with it."""
        self.heard += 1
        while self._earlier and self.heard - self._earlier[0] > self._context:
            self._earlier.popleft()
        self.run = self.run + 1 if is_speech else 0
        self.silence = 0 if is_speech else self.silence + 1
        if self.start is None:
            if self.run >= ONSET_FRAMES:
                onset = self.heard - self.run
                self.start = max(self.floor, onset - self._lead_in)
                self.overlaps, self.unheard = False, True
                is_alone = self._context_from(self.heard, self._young_context) is None
                self.eager_at = onset + EARLY_FRAMES if is_alone else onset
            return None
        self.unheard = self.unheard or is_speech
        if self.silence >= self._pause:
            return self.flush(Cut.PAUSE)
        if self.heard - self.start >= self._window:
            return self.flush(Cut.FULL)
        return None

    @property
    def is_young(self) -> bool:
        """Whether what is not cut yet is the beginning of an utterance."""
        if self.start is None or self.overlaps:
            return False
        return self.heard - self.start < _frames(YOUNG_S)

    def is_look_due(self, step_s: float) -> bool:
        """Whether there is something to look at, where looks are `step_s` of speech apart.

        What counts came since the last look, or the last cut. Where speech has ended, that is one
        look in the hush, which may be all there is; before it is one, none, which would be in its
        way.
        """
        if not self.has_speech or self.start is None:
            return False
        if self.silence:
            hushed_at = self.heard - self.silence + _frames(HUSH_S)
            return step_s < inf and self.eager_at < hushed_at <= self.heard
        return (self.heard - max(self.start, self.eager_at)) * FRAME_S >= step_s

    def limit_context(self, context_s: float, soon_s: float) -> None:
        """From now on spans are at most `context_s` long together with their context, and `soon_s`
        where somebody waits for their words: looks, and where no sound follows."""
        self._context, self._soon_context = _frames(context_s), _frames(soon_s)

    def look(self) -> Span | None:
        """The uncut speech so far, without cutting it.

        While an utterance is young and goes on, with as little context as can be: most of the time
        a look takes is for words that were heard long ago.
        """
        if self.start is None:
            return None
        self.eager_at = self.heard
        cut = Cut.HUSH if self.silence >= _frames(HUSH_S) else Cut.EAGER
        young = cut is Cut.EAGER and self.is_young
        context = self._young_context if young else self._soon_context
        span = self._span(self.start, self.heard, cut, self.overlaps, context)
        return replace(span, young=young)

    def flush(self, cut: Cut) -> Span | None:
        """Cut now; None when nothing was said since the last cut."""
        start, overlaps, unheard = self.start, self.overlaps, self.unheard
        if start is None:
            return None
        end = self.eager_at = self.heard
        if not cut.in_speech:
            end = max(start, end - max(0, self.silence - TAIL_FRAMES))
        goes_on = cut in {Cut.FULL, Cut.OVERFLOW}
        context = self._context if goes_on else self._soon_context
        span = self._span(start, end, cut, overlaps, context) if unheard else None
        if cut.in_speech:
            self.start = max(start, end - self._overlap)
            self.overlaps, self.unheard = True, False
        else:
            self.start, self.floor = None, end
            self.overlaps = self.unheard = False
        self._earlier.append(start)
        return span

    @property
    def _young_context(self) -> int:
        return min(self._soon_context, _frames(SOON_CONTEXT_S))

    def _context_from(self, end: int, context: int) -> int | None:
        """Where the context of a span to `end` begins, so that both are at most `context` long."""
        return next((e for e in self._earlier if end - e <= context), None)

    def _span(self, start: int, end: int, cut: Cut, overlaps: bool, context: int) -> Span:
        context_from = self._context_from(end, context)
        first = start if context_from is None else context_from
        quiet = max(0, self.silence - (self.heard - end))
        return Span(
            first * FRAME_SAMPLES,
            end * FRAME_SAMPLES,
            cut,
            overlaps,
            fresh=start * FRAME_SAMPLES,
            quiet=quiet * FRAME_SAMPLES,
        )
