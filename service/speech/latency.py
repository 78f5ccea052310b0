"""When words were spoken, and how long after that their text arrived."""

from collections.abc import Sequence
from dataclasses import dataclass

import jiwer

from callfsm.audio import SAMPLE_RATE_HZ
from callfsm.inference.engine import AudioWindow, Engine
from service.speech.corpus import SpokenCall
from service.speech.wer import normalize

MARGIN_S = 0.25  # of the pauses around a phrase, heard with it


@dataclass(frozen=True, slots=True)
class TimedWord:
    """A normalised word and when its last sound was spoken, in seconds from the call's start."""

    text: str
    end_s: float


@dataclass(frozen=True, slots=True)
class Arrival:
    """A text and when it arrived, in seconds from the moment the call's first sample was spoken."""

    text: str
    at_s: float


def timed_words(call: SpokenCall, engine: Engine) -> list[TimedWord]:
    """The words of a call by an offline pass over each phrase, times good to about 0.1 s."""
    words: list[TimedWord] = []
    for phrase in call.phrases:
        start_s = max(0.0, phrase.start_s - MARGIN_S)
        first, last = (round(t * SAMPLE_RATE_HZ) for t in (start_s, phrase.end_s + MARGIN_S))
        [transcript] = engine.transcribe([AudioWindow(call.samples[first:last])])
        for word in transcript.words:
            end_s = min(start_s + word.end_s, phrase.end_s)
            words += [TimedWord(text, end_s) for text in normalize(word.text)]
    return words


def word_latencies(
    spoken: Sequence[TimedWord], arrivals: Sequence[Arrival]
) -> list[tuple[float, float]]:
    """(when it ended, how long after that it arrived), in seconds, of each word that arrived."""
    heard = [(text, arrival.at_s) for arrival in arrivals for text in normalize(arrival.text)]
    if not spoken or not heard:
        return []
    aligned = jiwer.process_words(
        " ".join(word.text for word in spoken), " ".join(text for text, _ in heard)
    )
    return [
        (word.end_s, heard[chunk.hyp_start_idx + i][1] - word.end_s)
        for chunk in aligned.alignments[0]
        if chunk.type == "equal"
        for i, word in enumerate(spoken[chunk.ref_start_idx : chunk.ref_end_idx])
    ]


def first_text_s(call: SpokenCall, arrivals: Sequence[Arrival]) -> float | None:
    """From the onset of speech to the first text; None when no text came."""
    texts = [arrival for arrival in arrivals if arrival.text.strip()]
    return texts[0].at_s - call.phrases[0].start_s if texts else None
