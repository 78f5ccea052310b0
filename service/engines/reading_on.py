"""Reads on where a text breaks off, which both engines do in the same way.

Whisper ends one in twelve texts with the time at which another segment begins, and without its
words (docs/engine-parameters.md): what is heard from there is read by itself.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from callfsm.audio import SAMPLE_RATE_HZ
from callfsm.inference.engine import AudioWindow
from callfsm.words import Word
from service.engines.decoding import is_silent
from service.engines.guards import Reading, followed

TIMESTAMP_S = 0.02  # the resolution of Whisper's timestamps
LEAST_REST_S = 0.5  # of audio, with hardly a word: less is neither read by itself nor left out


def more_from_s(tokens: Sequence[int], first_timestamp: int, words: Sequence[Word]) -> float | None:
    """Where a text of `tokens` says that more is to be heard, which it does not hold.

    A segment is a time, words, and a time; the time of another segment without its words stands
    at the end of a text that the decoder has broken off. The model rounds the times it says, and
    may name one amid its last word.
    """
    if len(tokens) < 2 or min(tokens[-2:]) < first_timestamp:
        return None
    said_s = (tokens[-1] - first_timestamp) * TIMESTAMP_S
    return max([said_s, *(word.end_s for word in words[-1:])])


def read_on(window: AudioWindow, part: Reading, read: Callable[[AudioWindow], Reading]) -> Reading:
    """`part` of `window`, and what `read` makes of the rest of it where it breaks off."""
    if part.more_from_s is None or part.no_speech or part.capped:
        return part
    if part.more_from_s < LEAST_REST_S:  # nearly the same again, and so it might go on
        return part
    rest = replace(window, samples=window.samples[round(part.more_from_s * SAMPLE_RATE_HZ) :])
    if rest.duration_s < LEAST_REST_S or is_silent(rest.samples):
        return part
    return followed(part, read(rest))
