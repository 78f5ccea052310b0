"""When words were spoken, and how long after that their text arrived."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import jiwer
import numpy as np

from callfsm.audio import SAMPLE_RATE_HZ
from callfsm.inference.engine import AudioWindow, Engine, Transcript
from service.speech.corpus import QUIET, SpokenCall
from service.speech.noise import ACTIVE_FRAME, frame_rms
from service.speech.wer import normalize

MARGIN_S = 0.25  # of the pauses around a phrase, heard with it
PAUSE_S = 0.5  # between phrases; after less nobody can say that the speaker has ended


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


@dataclass(frozen=True, slots=True)
class HeardWord:
    """A spoken word that a text stands for: when it ended, and the text, counted from 0."""

    end_s: float
    at_s: float
    text: int
    right: bool  # else another word was understood

    @property
    def latency_s(self) -> float:
        return self.at_s - self.end_s


@dataclass(frozen=True, slots=True)
class Utterance:
    """Speech between two pauses, and when its first and its last text came; None: no text did."""

    onset_s: float
    end_s: float
    first_text_at_s: float | None
    last_text_at_s: float | None

    @property
    def first_text_s(self) -> float | None:
        """From the onset to the first text that holds a word of it."""
        return None if self.first_text_at_s is None else self.first_text_at_s - self.onset_s

    @property
    def final_text_s(self) -> float | None:
        """From the end to the last text that holds a word of it."""
        return None if self.last_text_at_s is None else self.last_text_at_s - self.end_s


class RememberingEngine:
    """An engine that hears the same audio once: the same calls are timed for every way of a run."""

    def __init__(self, engine: Engine) -> None:
        self.max_batch = engine.max_batch
        self._engine = engine
        self._known: dict[bytes, Transcript] = {}

    def load(self) -> None:
        self._engine.load()

    def transcribe(self, windows: Sequence[AudioWindow]) -> list[Transcript]:
        """As the engine does, one window at a time."""
        return [self._one(window) for window in windows]

    def abort(self) -> None:
        self._engine.abort()

    def close(self) -> None:
        self._engine.close()

    def _one(self, window: AudioWindow) -> Transcript:
        key = window.samples.tobytes()
        if key not in self._known:
            [self._known[key]] = self._engine.transcribe([window])
        return self._known[key]


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


def heard_words(spoken: Sequence[TimedWord], arrivals: Sequence[Arrival]) -> list[HeardWord]:
    """The spoken words that texts stand for, right or misheard; missing words are left out."""
    heard = [
        (word, number) for number, each in enumerate(arrivals) for word in normalize(each.text)
    ]
    if not spoken or not heard:
        return []
    aligned = jiwer.process_words(
        " ".join(word.text for word in spoken), " ".join(text for text, _ in heard)
    )
    found = []
    for chunk in aligned.alignments[0]:
        if chunk.type not in {"equal", "substitute"}:
            continue
        for i, word in enumerate(spoken[chunk.ref_start_idx : chunk.ref_end_idx]):
            number = heard[chunk.hyp_start_idx + i][1]
            right = chunk.type == "equal"
            found.append(HeardWord(word.end_s, arrivals[number].at_s, number, right))
    return found


def utterances(call: SpokenCall, heard: Sequence[HeardWord]) -> list[Utterance]:
    """Every utterance of a call, and when its texts came.

    A word belongs to the utterance that it ends in. The onset and the end are those of the sound,
    not of the phrase with the quiet around it.
    """
    spurts: list[tuple[float, float]] = []
    for phrase in call.phrases:
        if spurts and phrase.start_s - spurts[-1][1] < PAUSE_S:
            spurts[-1] = (spurts[-1][0], phrase.end_s)
        else:
            spurts.append((phrase.start_s, phrase.end_s))
    starts_s = [start_s for start_s, _ in spurts]
    texts_at_s: list[list[float]] = [[] for _ in spurts]
    for word in heard:
        texts_at_s[max(0, bisect_left(starts_s, word.end_s) - 1)].append(word.at_s)
    return [
        Utterance(
            *sound_bounds_s(call, *spurt),
            min(at_s, default=None),
            max(at_s, default=None),
        )
        for spurt, at_s in zip(spurts, texts_at_s, strict=True)
    ]


def sound_bounds_s(call: SpokenCall, start_s: float, end_s: float) -> tuple[float, float]:
    """Where the first and the last sound between two times is, to 20 ms."""
    first = round(start_s * SAMPLE_RATE_HZ)
    levels = frame_rms(call.samples[first : round(end_s * SAMPLE_RATE_HZ)])
    loud = np.flatnonzero(levels > QUIET)
    if not len(loud):
        return start_s, end_s
    frame_s = ACTIVE_FRAME / SAMPLE_RATE_HZ
    return start_s + float(loud[0]) * frame_s, start_s + float(loud[-1] + 1) * frame_s
