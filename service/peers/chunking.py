"""Where an audio processor cuts a call: every 20 ms, or into chunks that hold speech.

PROTOCOL.md describes both kinds as they exist in the field; a server must do well with each.
"""

from typing import Literal, NamedTuple

import numpy as np
import webrtcvad

from callfsm.audio import SAMPLE_RATE_HZ
from service.wire import Samples

Style = Literal["frames", "chunks"]

FRAME_SAMPLES = SAMPLE_RATE_HZ // 50  # 20 ms
_MIN_CHUNK_SAMPLES = SAMPLE_RATE_HZ // 2  # 0.5 s, PROTOCOL.md
_MAX_CHUNK_SAMPLES = 3 * SAMPLE_RATE_HZ  # PROTOCOL.md
_HANGOVER_SAMPLES = SAMPLE_RATE_HZ // 5  # 200 ms, PROTOCOL.md
_LEAD_IN_SAMPLES = SAMPLE_RATE_HZ // 10  # 100 ms, so that soft first consonants are not cut off
_VAD_AGGRESSIVENESS = 2  # of WebRTC's 0..3


class Piece(NamedTuple):
    """The samples from `begin` up to `end` (positions in the call), sent as one message."""

    begin: int
    end: int


def cut(samples: Samples, style: Style) -> list[Piece]:
    """The pieces of a call, in order; `samples` is float32 mono, shape (n,), at 16 kHz."""
    return speech_chunks(samples) if style == "chunks" else frames(samples)


def frames(samples: Samples) -> list[Piece]:
    """All of the audio, silence included, in frames of 20 ms; the last may be shorter."""
    return [
        Piece(begin, min(begin + FRAME_SAMPLES, len(samples)))
        for begin in range(0, len(samples), FRAME_SAMPLES)
    ]


def speech_chunks(samples: Samples) -> list[Piece]:
    """Only the speech, as chunks that end 200 ms after it ended, or in the middle of it at 3 s.

    A chunk is at least 0.5 s long, except where the call ends.
    """
    chunks: list[Piece] = []
    begin: int | None = None
    speech_end = 0
    for frame, is_speech in zip(frames(samples), _speech_flags(samples), strict=True):
        if is_speech:
            speech_end = frame.end
            if begin is None:
                previous_end = chunks[-1].end if chunks else 0
                begin = max(previous_end, frame.begin - _LEAD_IN_SAMPLES)
        if begin is None:
            continue
        length = frame.end - begin
        is_over = frame.end - speech_end >= _HANGOVER_SAMPLES and length >= _MIN_CHUNK_SAMPLES
        if is_over or length >= _MAX_CHUNK_SAMPLES or frame.end == len(samples):
            chunks.append(Piece(begin, frame.end))
            begin = None
    return chunks


def _speech_flags(samples: Samples) -> list[bool]:
    """For each frame of 20 ms, whether WebRTC's voice activity detector hears speech in it."""
    vad = webrtcvad.Vad(_VAD_AGGRESSIVENESS)
    pcm = (np.clip(samples, -1, 1) * 32_767).astype("<i2")
    padded = np.pad(pcm, (0, -len(pcm) % FRAME_SAMPLES)).reshape(-1, FRAME_SAMPLES)
    return [vad.is_speech(frame.tobytes(), SAMPLE_RATE_HZ) for frame in padded]
