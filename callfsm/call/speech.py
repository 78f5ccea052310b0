"""Tell speech from the rest, frame by frame; and the WebRTC detector, the cheapest that does.

It costs 2 us a frame, but takes music, tones and loud noise for speech: by itself it is the
roll-back, and otherwise the gate before `silero`. docs/speech-detection.md compares them.
"""

from typing import Protocol, runtime_checkable

import webrtcvad

from callfsm.audio import SAMPLE_RATE_HZ

FRAME_SAMPLES = 320  # 20 ms at 16 kHz: a length the WebRTC detector takes
FRAME_BYTES = 2 * FRAME_SAMPLES  # 16-bit
FRAME_S = 0.02
AGGRESSIVENESS = 2  # of 0 (keeps most) to 3 (drops most)


class SpeechDetector(Protocol):
    """Says of each 20 ms frame whether somebody speaks in it."""

    def is_speech(self, frame: bytes) -> bool:
        """`frame`: 320 samples of 16-bit little-endian mono PCM at 16 kHz."""


@runtime_checkable
class ForesightedDetector(SpeechDetector, Protocol):
    """One that can hear ahead, which costs less for many calls at once; it answers the same.

    But where a call is over with audio still on its way to it: its last frame, which is filled up
    with silence, may be answered from that audio.
    """

    def expect(self, pcm: bytes) -> None:
        """What `is_speech` will be asked about after all that was expected before: any number of
        samples of the same format."""


class WebRtcDetector:
    """The WebRTC voice activity detector; one per call, since it adapts to the line's noise."""

    __slots__ = ("_vad",)

    def __init__(self, aggressiveness: int = AGGRESSIVENESS) -> None:
        self._vad = webrtcvad.Vad(aggressiveness)

    def is_speech(self, frame: bytes) -> bool:
        return bool(self._vad.is_speech(frame, SAMPLE_RATE_HZ))
