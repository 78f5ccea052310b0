"""Windows whose text is known, as long as those that the service sends."""

from collections.abc import Sequence
from itertools import cycle

from benchmarks.engine_parameters import Piece
from callfsm.audio import SAMPLE_RATE_HZ
from service.bench.calls import speech
from service.speech.corpus import Phrase, SpokenCall

# Quantiles of the windows that simulated calls asked for (`service.trial.simulated`): with looks
# half are longer than 13 s, at full load half are of 4.5 to 5.5 s.
LENGTHS_S = (1.0, 2.8, 4.2, 5.0, 5.4, 7.7, 11.7, 13.1, 14.1, 15.0)
MARGIN_S = 0.1  # around the phrases of a window; the shortest pause is twice that
SPEECH_S = 900.0
SEED = 5


def windows_of(lengths_s: Sequence[float], count: int) -> list[Piece]:
    """At most `count` windows of as many whole phrases as fit these lengths, taken in turn.

    A phrase that is longer than the length is left out.
    """
    windows: list[Piece] = []
    lengths = cycle(lengths_s)
    length_s = next(lengths)
    for call in speech(SPEECH_S, SEED):
        taken: list[Phrase] = []
        for phrase in call.phrases:
            if taken and phrase.end_s - taken[0].start_s + 2 * MARGIN_S > length_s:
                windows.append(_window(call, taken))
                length_s = next(lengths)
                taken = []
            if phrase.end_s - phrase.start_s + 2 * MARGIN_S <= length_s:
                taken.append(phrase)
    return windows[:count]


def _window(call: SpokenCall, phrases: Sequence[Phrase]) -> Piece:
    start_s, end_s = phrases[0].start_s - MARGIN_S, phrases[-1].end_s + MARGIN_S
    start, end = (round(max(0.0, at_s) * SAMPLE_RATE_HZ) for at_s in (start_s, end_s))
    return Piece(" ".join(phrase.text for phrase in phrases), call.samples[start:end])
