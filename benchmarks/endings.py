"""On what ending a decoder stops most gracefully: how long, and of what, after the speech.

    python -m benchmarks.endings --pieces 200
    python -m benchmarks.endings --minutes 40

The first takes recorded prompts of 1 to 5 s, alone; the second the windows of so many minutes of
calls, as the call machine cuts them with 8 s of context, whose text is not known. One greedy pass
of CTranslate2 each, no second pass. A table row is a length of features and what fills them after
the speech; a runaway is a text that the guards doubt.
"""

import argparse
import time
from collections.abc import Callable, Sequence

import numpy as np

from benchmarks.engine_parameters import Piece, Samples, pieces
from callfsm.audio import SAMPLE_RATE_HZ
from callfsm.call.settings import CallSettings, WindowSettings
from callfsm.call.silero import SileroDetector, SileroNetwork
from callfsm.inference.engine import AudioWindow
from callfsm.words import as_text
from service.bench.calls import speech
from service.engines.ctranslate2 import CTranslate2Engine
from service.engines.guards import Reading, suspicion, without_annotations
from service.engines.log_mel import FRAMES_PER_S
from service.speech.wer import WordErrors, word_errors
from service.trial.simulated import simulate
from service.weights.resolve import ctranslate2_directory

FRAMES = (896, 1024, 1152, 1280, 1536, 2048, 3000)  # of 10 ms; the first holds 8 s just so
ENDINGS_AT = 1024
CONTEXT_S = 8.0
QUIET_S = 0.2

Ending = Callable[[Samples, int], Samples]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pieces", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    engine = OnePass(ctranslate2_directory("tiny.en"), device="cpu")
    engine.load()
    if arguments.minutes:
        heard = windows(arguments.minutes, arguments.seed, engine)
    else:
        heard = pieces(arguments.pieces)
    print(f"{len(heard)} pieces of {np.mean([piece.duration_s for piece in heard]):.1f} s (mean)\n")
    print(
        "| features | after the speech | WER | runaways | words | CPU |\n|---|---|---|---|---|---|"
    )
    for frames in FRAMES:
        for name, ending in (
            ENDINGS.items() if frames == ENDINGS_AT else [("digital silence", zeros)]
        ):
            _row(engine, heard, frames, name, ending)


def windows(minutes: float, seed: int, engine: CTranslate2Engine) -> list[Piece]:
    """What calls without looks ask the engine to hear."""
    settings = CallSettings(windows=WindowSettings(context_busy_s=CONTEXT_S))
    network = SileroNetwork.installed()
    return [
        Piece("", window.samples)
        for call in speech(minutes * 60, seed)
        for window in simulate(
            call.samples, engine, settings=settings, detector=SileroDetector(network)
        ).windows
    ]


class OnePass(CTranslate2Engine):
    """The engine without its guards, on features of any length."""

    def read(self, samples: Samples, frames: int) -> Reading:
        [reading] = self._read([AudioWindow(samples)], frames)
        return reading


def zeros(_: Samples, count: int) -> Samples:
    return np.zeros(count, np.float32)


def noise(rms: float) -> Ending:
    """White noise, as on a line."""

    def ending(_: Samples, count: int) -> Samples:
        return np.random.default_rng(0).normal(0.0, rms, count).astype(np.float32)

    return ending


def own_background(samples: Samples, count: int) -> Samples:
    """The quietest stretch of the piece, forwards and backwards in turn."""
    length = round(QUIET_S * SAMPLE_RATE_HZ)
    starts = range(0, max(1, len(samples) - length), length // 4)
    quiet = min(starts, key=lambda at: float(np.mean(samples[at : at + length] ** 2)))
    stretch = samples[quiet : quiet + length]
    return np.resize(np.concatenate([stretch, stretch[::-1]]), count)


ENDINGS: dict[str, Ending] = {
    "digital silence": zeros,
    "noise of RMS 0.0003": noise(0.0003),
    "noise of RMS 0.001": noise(0.001),
    "noise of RMS 0.003": noise(0.003),
    "the piece's own background": own_background,
}


def _row(engine: OnePass, heard: Sequence[Piece], frames: int, name: str, ending: Ending) -> None:
    errors, runaways, count = WordErrors(), 0, 0
    began_s = time.process_time()
    for piece in heard:
        missing = frames * SAMPLE_RATE_HZ // FRAMES_PER_S - len(piece.samples)
        samples = np.concatenate([piece.samples, ending(piece.samples, max(0, missing))])
        reading = engine.read(samples, frames)
        words = without_annotations(reading.words)
        runaways += suspicion(words, piece.duration_s, capped=reading.capped) is not None
        errors += word_errors(piece.text, as_text(words))
        count += len(words)
    ms = 1000 * (time.process_time() - began_s) / len(heard)
    wer = f"{100 * errors.wer:.1f} %" if errors.reference_words else "–"
    seconds = frames / FRAMES_PER_S
    print(f"| {seconds:g} s | {name} | {wer} | {runaways} | {count} | {ms:.0f} ms |", flush=True)


if __name__ == "__main__":
    main()
