"""On what ending a decoder stops most gracefully: how long, and of what, after the speech.

    python -m benchmarks.endings --pieces 200

Recorded prompts of 1 to 5 s, alone, one greedy pass of CTranslate2 each, no second pass. A table
row is a length of features and what fills them after the speech.
"""

import argparse
from collections.abc import Callable

import numpy as np

from benchmarks.engine_parameters import Piece, Samples, pieces
from callfsm.audio import SAMPLE_RATE_HZ
from callfsm.inference.engine import AudioWindow
from callfsm.words import as_text
from service.engines.ctranslate2 import CTranslate2Engine
from service.engines.guards import Reading, suspicion, without_annotations
from service.engines.log_mel import FRAMES_PER_S
from service.speech.wer import WordErrors, word_errors
from service.weights.resolve import ctranslate2_directory

FRAMES = (512, 640, 768, 1024, 1280, 1536, 2048, 3000)  # of 10 ms; the first holds 5 s just so
QUIET_S = 0.2

Ending = Callable[[Piece, int], Samples]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pieces", type=int, default=200)
    speech = pieces(parser.parse_args().pieces)
    engine = OnePass(ctranslate2_directory("tiny.en"), device="cpu")
    engine.load()
    print(
        "| features | after the speech | WER | runaways | inserted words |\n|---|---|---|---|---|"
    )
    for frames in FRAMES:
        for name, ending in ENDINGS.items() if frames == 1024 else [("digital silence", zeros)]:
            _row(engine, speech, frames, name, ending)


class OnePass(CTranslate2Engine):
    """The engine without its guards, on features of any length."""

    def read(self, samples: Samples, frames: int) -> Reading:
        [reading] = self._read([AudioWindow(samples)], frames)
        return reading


def zeros(_: Piece, count: int) -> Samples:
    return np.zeros(count, np.float32)


def noise(rms: float) -> Ending:
    """White noise, as on a line."""

    def ending(_: Piece, count: int) -> Samples:
        return np.random.default_rng(0).normal(0.0, rms, count).astype(np.float32)

    return ending


def own_background(piece: Piece, count: int) -> Samples:
    """The quietest stretch of the piece, forwards and backwards in turn."""
    length = round(QUIET_S * SAMPLE_RATE_HZ)
    starts = range(0, len(piece.samples) - length, length // 4)
    quiet = min(starts, key=lambda at: float(np.mean(piece.samples[at : at + length] ** 2)))
    stretch = piece.samples[quiet : quiet + length]
    return np.resize(np.concatenate([stretch, stretch[::-1]]), count)


ENDINGS: dict[str, Ending] = {
    "digital silence": zeros,
    "noise of RMS 0.0003": noise(0.0003),
    "noise of RMS 0.003": noise(0.003),
    "the piece's own background": own_background,
}


def _row(engine: OnePass, speech: list[Piece], frames: int, name: str, ending: Ending) -> None:
    errors, runaways = WordErrors(), 0
    for piece in speech:
        missing = frames * SAMPLE_RATE_HZ // FRAMES_PER_S - len(piece.samples)
        samples = np.concatenate([piece.samples, ending(piece, max(0, missing))])
        reading = engine.read(samples, frames)
        words = without_annotations(reading.words)
        runaways += suspicion(words, piece.duration_s, capped=reading.capped) is not None
        errors += word_errors(piece.text, as_text(words))
    seconds = frames / FRAMES_PER_S
    print(
        f"| {seconds:g} s | {name} | {100 * errors.wer:.1f} % | {runaways} | {errors.insertions} |",
        flush=True,
    )


if __name__ == "__main__":
    main()
