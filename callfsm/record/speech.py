"""What a speech detector said, written down and said again.

A call's windows follow from which frames are speech and from how many samples there are, not from
what the samples are. So these flags and silence of the same length cut the same windows, and a log
without audio still replays.
"""

from collections import deque

from callfsm.call.speech import SpeechDetector


class HeardSpeech:
    """A SpeechDetector that passes on what `detector` says and remembers it until it is taken."""

    __slots__ = ("_detector", "_flags")

    def __init__(self, detector: SpeechDetector) -> None:
        self._detector = detector
        self._flags: list[str] = []

    def is_speech(self, frame: bytes) -> bool:
        is_speech = self._detector.is_speech(frame)
        self._flags.append("1" if is_speech else "0")
        return is_speech

    def take(self) -> str:
        """What was said since the last time: a "1" for each frame of speech, else a "0"."""
        flags = "".join(self._flags)
        self._flags.clear()
        return flags


class RecordedSpeech:
    """A SpeechDetector that says what it was given to say, whatever the frame is."""

    __slots__ = ("_flags",)

    def __init__(self) -> None:
        self._flags: deque[str] = deque()

    def hear(self, flags: str) -> None:
        """Say these next: "1" for speech, "0" for none."""
        self._flags.extend(flags)

    def is_speech(self, frame: bytes) -> bool:
        """Raises EOFError when it is asked about more frames than it was given."""
        if not self._flags:
            raise EOFError("the detector is asked about more frames than were recorded")
        return self._flags.popleft() == "1"

    @property
    def left(self) -> int:
        """Frames that nobody asked about yet."""
        return len(self._flags)
