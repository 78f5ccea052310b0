"""How much context, how many tokens and what padding a window gets: the numbers behind the speed.

Where a number is measured, the table and its command are in docs/engine-parameters.md.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from callfsm.audio import SAMPLE_RATE_HZ

POSITIONS_PER_S = 50  # the encoder's output rate, a property of Whisper
FULL_CONTEXT = 1_500  # 30 s, what Whisper was trained with
MARGIN = 64  # positions after the audio; with fewer the decoder loops
FLOOR = 384  # positions given to the shortest window; with 320 every tenth single word loops
CAREFUL_MARGIN, CAREFUL_FLOOR = 320, 1_024  # for a second reading; half of the cost of 1500
STEP, FLASH_STEP = 64, 256  # with flash attention other sizes mix in what was decoded before
SILENCE_PEAK = 0.001  # -60 dBFS, chosen, not measured: the prompts peak at 0.4 to 0.85
FULL_FRAMES = 3_000  # the same 30 s in frames of 10 ms, the input of CTranslate2
FRAMES_MARGIN, FRAMES_FLOOR, FRAMES_STEP = 128, 1_024, 64  # a coarse step makes equal lengths
TOKENS_PER_S, TOKENS_MORE = 8, 16  # no right text of the measured prompts reached it
TOKENS_MAX = 219  # the decoders stop one token later by themselves, and nobody could tell it


@dataclass(frozen=True, slots=True)
class Decoding:
    """One pass over one window: `audio_context` in positions of 20 ms."""

    audio_context: int
    max_tokens: int  # 0: no cap
    beam_size: int = 1
    temperature_step: float = 0.0  # 0: no second try inside whisper.cpp


def first_pass(duration_s: float, *, flash: bool) -> Decoding:
    """The cheap pass for a window of `duration_s`."""
    return Decoding(audio_context(duration_s, flash=flash), token_cap(duration_s))


def second_pass(duration_s: float, *, flash: bool) -> Decoding:
    """The careful pass for a window whose first text is doubted.

    It samples nothing: whisper.cpp's temperatures draw from a generator that remembers the windows
    before, so the text would depend on them.
    """
    context = audio_context(duration_s, flash=flash, floor=CAREFUL_FLOOR, margin=CAREFUL_MARGIN)
    return Decoding(context, token_cap(duration_s))


def baseline_pass() -> Decoding:
    """How the service in the field decodes: 30 s of context, whisper.cpp's own defaults."""
    return Decoding(FULL_CONTEXT, 0, temperature_step=0.2)


def audio_context(
    duration_s: float, *, flash: bool, floor: int = FLOOR, margin: int = MARGIN
) -> int:
    """Encoder positions for `duration_s` of audio, at most FULL_CONTEXT."""
    step = FLASH_STEP if flash else STEP
    wanted = max(floor, int(np.ceil(duration_s * POSITIONS_PER_S)) + margin)
    return min(-(-wanted // step) * step, FULL_CONTEXT)


def feature_frames(duration_s: float) -> int:
    """Frames of features that CTranslate2 hears for `duration_s` of audio, at most FULL_FRAMES."""
    return _frames(duration_s, FRAMES_FLOOR, FRAMES_MARGIN)


def careful_feature_frames(duration_s: float) -> int:
    """The same for a second reading; the encoder makes a position of two frames."""
    return _frames(duration_s, 2 * CAREFUL_FLOOR, 2 * CAREFUL_MARGIN)


def _frames(duration_s: float, floor: int, margin: int) -> int:
    wanted = max(floor, int(np.ceil(duration_s * 100)) + margin)
    return min(-(-wanted // FRAMES_STEP) * FRAMES_STEP, FULL_FRAMES)


def token_cap(duration_s: float) -> int:
    """Tokens after which decoding of `duration_s` ends, timestamps included."""
    return min(int(np.ceil(duration_s * TOKENS_PER_S)) + TOKENS_MORE, TOKENS_MAX)


def is_silent(samples: NDArray[np.float32]) -> bool:
    """Whether there is nothing to hear; Whisper hears "you" or "Thank you." in digital silence."""
    return not bool(np.any(np.abs(samples) > SILENCE_PEAK))


def padded(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """`samples` as whisper.cpp wants them: contiguous float32, and at least a second."""
    missing = max(0, SAMPLE_RATE_HZ - len(samples))
    return np.ascontiguousarray(np.pad(samples, (0, missing)), dtype=np.float32)
