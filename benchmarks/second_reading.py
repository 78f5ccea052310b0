"""How much context the second reading of a doubted window needs.

    python -m benchmarks.second_reading --engine ctranslate2 --window-s 5 --seeds 11,12,13,14,15

Windows of conversation, cut without regard to the words, which sets the guards off most often. The
doubted ones are read again with each amount of context. Words that the cuts divide may be heard or
not; which words are in a window is known from an offline pass, good to about 0.1 s.
"""

import argparse
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np

from benchmarks.stream_settings import MODEL, loaded_engine
from callfsm.audio import SAMPLE_RATE_HZ
from callfsm.inference.engine import AudioWindow, Engine, Transcript
from callfsm.words import as_text
from service.bench.calls import conversations
from service.bench.ways import timing_engine
from service.engines import decoding
from service.speech.latency import TimedWord, timed_words
from service.speech.noise import Samples
from service.speech.wer import word_errors

CONTEXTS_S = (10.24, 12.8, 15.36, 20.48, 30.0)
CALLS, CALL_S = 3, 65.0  # for each seed
OVERLAP_S = 1.3
EDGE_S, LONGEST_WORD_S = 0.05, 0.5


@dataclass(frozen=True)
class CutWindow:
    """Samples, the words that are whole in them, and what the text may be."""

    samples: Samples
    words: int
    texts: frozenset[str]

    def errors(self, transcript: Transcript) -> int:
        found = (word_errors(text, as_text(transcript.words)) for text in self.texts)
        return min(one.errors for one in found)


def main() -> None:
    """Read every window, and what is doubted again; print a line for each amount of context."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", choices=["ctranslate2", "whispercpp"], default="ctranslate2")
    parser.add_argument("--window-s", type=float, default=5.0)
    parser.add_argument("--seeds", default="11,12,13,14,15")
    arguments = parser.parse_args()
    engine, timing = loaded_engine(arguments.engine), timing_engine(MODEL)
    windows = [
        window
        for seed in map(int, arguments.seeds.split(","))
        for window in _windows(seed, arguments.window_s, timing)
    ]
    firsts = [_read(engine, window, is_look=True) for window in windows]
    doubted = [
        (window, first.inference_s)
        for window, first in zip(windows, firsts, strict=True)
        if "look_dropped" in first.guards
    ]
    why = Counter(first.guards[-2] for first in firsts if "look_dropped" in first.guards)
    mean_ms = 1000 * float(np.mean([first.inference_s for first in firsts]))
    print(f"{len(windows)} windows, first reading {mean_ms:.0f} ms, doubted: {dict(why)}")
    words = sum(window.words for window, _ in doubted)
    for context_s in CONTEXTS_S:
        decoding.CAREFUL_FLOOR = round(context_s * decoding.POSITIONS_PER_S)
        decoding.CAREFUL_MARGIN = decoding.MARGIN
        again = [_read(engine, window, is_look=False) for window, _ in doubted]
        pairs = list(zip(doubted, again, strict=True))
        more_ms = [1000 * (second.inference_s - first_s) for (_, first_s), second in pairs]
        errors = sum(window.errors(second) for (window, _), second in pairs)
        dropped = sum("dropped" in second.guards for second in again)
        print(
            f"{context_s:.2f} s: {errors} errors of {words} words, {dropped} of {len(again)}",
            f"dropped, {np.mean(more_ms):.0f} ms",
        )


def _windows(seed: int, window_s: float, timing: Engine) -> Iterator[CutWindow]:
    for call in conversations(CALLS, CALL_S, seed):
        spoken = timed_words(call, timing)
        for start_s in np.arange(0.0, call.duration_s - window_s, window_s - OVERLAP_S):
            end_s = float(start_s) + window_s
            first, last = round(start_s * SAMPLE_RATE_HZ), round(end_s * SAMPLE_RATE_HZ)
            yield _window(call.samples[first:last], spoken, float(start_s), end_s)


def _window(samples: Samples, spoken: list[TimedWord], start_s: float, end_s: float) -> CutWindow:
    """A word begins where the one before ended, or half a second before its end."""
    ends_s = [-np.inf, *(word.end_s for word in spoken)]
    begins_s = [max(before, end - LONGEST_WORD_S) for before, end in pairwise(ends_s)]
    whole: list[str] = []
    left: list[str] = []
    right: list[str] = []
    for word, begin_s in zip(spoken, begins_s, strict=True):
        if begin_s < start_s + EDGE_S < word.end_s:
            left.append(word.text)
        elif begin_s < end_s - EDGE_S < word.end_s:
            right.append(word.text)
        elif start_s + EDGE_S <= begin_s and word.end_s <= end_s - EDGE_S:
            whole.append(word.text)
    texts = (" ".join([*a, *whole, *b]) for a, b in product((left, []), (right, [])))
    return CutWindow(samples, len(whole), frozenset(texts))


def _read(engine: Engine, window: CutWindow, *, is_look: bool) -> Transcript:
    [transcript] = engine.transcribe([AudioWindow(window.samples, is_look)])
    return transcript


if __name__ == "__main__":
    main()
