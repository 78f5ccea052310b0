"""Produces the tables of docs/engine-parameters.md: what the engines' parameters cost and give.

Run `nice python -m benchmarks.engine_parameters TABLE [--pieces N]`. The speech is that of the
Debian package asterisk-core-sounds-en-wav, one prompt a piece, trimmed to the speech and 0.25 s
around it, as a cut at a pause leaves it. Other work on the machine changes the times, never the
error rates.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from callfsm.audio import SAMPLE_RATE_HZ
from callfsm.inference.engine import AudioWindow
from callfsm.words import Word, as_text
from service.engines.context import ContextOptions
from service.engines.ctranslate2 import CTranslate2Engine
from service.engines.decoding import (
    Decoding,
    audio_context,
    feature_frames,
    padded,
    second_pass,
    token_cap,
)
from service.engines.guards import Reading, guarded, is_loop, without_annotations
from service.engines.reading_on import read_on
from service.engines.whispercpp import NativeContext, reading_of
from service.speech import prompts
from service.speech.audio_file import read_audio
from service.speech.corpus import QUIET
from service.speech.wer import WordErrors, normalize, word_errors
from service.weights.resolve import ctranslate2_directory, resolve

Samples = NDArray[np.float32]

DTW = ContextOptions(False, 0, False, "TINY_EN", 1, "en")
PLAIN = replace(DTW, alignment_heads=None)
FLASH = replace(PLAIN, flash_attention=True)
MARGIN_S = 0.25
SEED = 7


@dataclass(frozen=True)
class Piece:
    """One prompt: what is said, and the samples (float32, 16 kHz)."""

    text: str
    samples: Samples

    @property
    def duration_s(self) -> float:
        return len(self.samples) / SAMPLE_RATE_HZ


class Tuned(NativeContext):
    """A context of tiny.en in whose passes some parameters have other values than ours."""

    def __init__(self, options: ContextOptions, **fixed: Any) -> None:
        super().__init__(model_path(), options)
        self._fixed = fixed

    def _parameters(self, decoding: Decoding) -> Any:
        parameters = super()._parameters(decoding)
        for name, value in self._fixed.items():
            setattr(parameters, name, value)
        return parameters


def model_path() -> Path:
    return resolve("tiny.en")


def trimmed(path: Path, margin_s: float) -> Samples:
    """The speech in a recording and `margin_s` before and after it, if it has that much."""
    samples = read_audio(path)
    loud = np.flatnonzero(np.abs(samples) > QUIET)
    margin = round(margin_s * SAMPLE_RATE_HZ)
    return samples[max(0, loud[0] - margin) : loud[-1] + 1 + margin]


def pieces(count: int, shortest_s: float = 1.0, longest_s: float = 5.0) -> list[Piece]:
    """`count` prompts of that length, or all there are; the same on every run."""
    found: list[Piece] = []
    scorable = [prompt for prompt in prompts.prompts() if prompts.scorable(prompt)]
    for index in np.random.default_rng(SEED).permutation(len(scorable)):
        piece = Piece(scorable[index].text, trimmed(scorable[index].path, MARGIN_S))
        if shortest_s <= piece.duration_s <= longest_s and len(found) < count:
            found.append(piece)
    return found


def read(context: NativeContext, piece: Piece, decoding: Decoding, samples: Samples) -> Reading:
    """The text of `piece` to its end; `samples` are its own, and what is put after them."""
    part = reading_of(context.decode(samples, decoding, lambda: False), piece.duration_s)

    def read_rest(rest: AudioWindow) -> Reading:
        return read(context, Piece("", rest.samples), decoding, padded(rest.samples))

    return read_on(AudioWindow(piece.samples), part, read_rest)


def row(
    name: str,
    speech: list[Piece],
    context: NativeContext,
    *,
    floor: int = 384,
    step: int = 64,
    beam_size: int = 1,
    after: Callable[[Piece], Samples] = lambda piece: np.zeros(0, np.float32),
) -> None:
    """Print a table row: one pass without guards, then what guards and a second pass make of it."""
    once, twice, loops, retried, dropped = WordErrors(), WordErrors(), 0, 0, 0
    first_ms, all_ms = [], []
    for piece in speech:
        size = max(floor, audio_context(piece.duration_s, flash=step == 256, floor=0))
        decoding = Decoding(size, token_cap(piece.duration_s), beam_size)
        samples = padded(np.concatenate([piece.samples, after(piece)]).astype(np.float32))
        started_s = time.perf_counter()
        reading = read(context, piece, decoding, samples)
        first_ms.append(1000 * (time.perf_counter() - started_s))
        careful = second_pass(piece.duration_s, flash=step == 256)
        read_again = partial(read, context, piece, careful, padded(piece.samples))
        words, guards = guarded(reading, read_again)
        all_ms.append(1000 * (time.perf_counter() - started_s))
        text = as_text(without_annotations(reading.words))
        once += word_errors(piece.text, text)
        twice += word_errors(piece.text, as_text(words))
        loops += is_loop(normalize(text))
        retried += "retried" in guards
        dropped += "dropped" in guards
    context.free()
    print(
        f"| {name} | {100 * once.wer:.1f} % | {loops} | {100 * twice.wer:.1f} % "
        f"| {twice.substitutions} {twice.deletions} {twice.insertions} | {retried} | {dropped} "
        f"| {np.mean(first_ms):.0f} / {np.quantile(first_ms, 0.95):.0f} | {np.mean(all_ms):.0f} |",
        flush=True,
    )


def head(speech: list[Piece]) -> None:
    total_s = sum(piece.duration_s for piece in speech)
    words = sum(len(normalize(piece.text)) for piece in speech)
    print(f"{len(speech)} pieces, {total_s:.0f} s, {words} words\n")
    print(
        "| | WER, one pass | loops | WER, guarded | subst. del. ins. | read again | dropped "
        "| first pass ms mean / p95 | in all ms |\n|---|---|---|---|---|---|---|---|---|"
    )


def context_table(count: int) -> None:
    """The size of the audio context, for pieces of 1 to 5 s."""
    speech = pieces(count)
    head(speech)
    for floor in (0, 320, 384, 448, 512, 640, 768, 1500):
        row(f"floor {floor}", speech, Tuned(DTW), floor=floor)


def long_table(count: int) -> None:
    """The same for pieces of 4 to 9 s."""
    speech = pieces(count, 4.0, 9.0)
    head(speech)
    for floor in (384, 512, 1500):
        row(f"floor {floor}", speech, Tuned(DTW), floor=floor)


def padding_table(count: int) -> None:
    """What follows the speech inside the context."""
    rng = np.random.default_rng(SEED)

    def noise(piece: Piece, *, rms: float) -> Samples:
        missing = max(0, round(7.6 * SAMPLE_RATE_HZ) - len(piece.samples))
        return rng.normal(0.0, rms, missing).astype(np.float32)

    speech = pieces(count)
    head(speech)
    row("nothing (whisper.cpp pads)", speech, Tuned(DTW))
    row("zeros, 1.5 s", speech, Tuned(DTW), after=lambda piece: np.zeros(24_000, np.float32))
    for rms in (0.0003, 0.003):
        row(f"noise of {rms} to 7.6 s", speech, Tuned(DTW), after=partial(noise, rms=rms))
    cut = [Piece(p.text, p.samples[: -round(MARGIN_S * SAMPLE_RATE_HZ)]) for p in speech]
    row("speech to the last sample", cut, Tuned(DTW))


def decoding_table(count: int) -> None:
    """Timestamps, segments, suppression and beams."""
    speech = pieces(count)
    head(speech)
    row("ours", speech, Tuned(DTW))
    for name, value in (
        ("no_timestamps", True),
        ("single_segment", False),  # it can end the process (docs/engine-parameters.md)
        ("suppress_nst", False),
        ("suppress_blank", False),
    ):
        row(f"{name}={value}", speech, Tuned(DTW, **{name: value}))
    for beam_size in (2, 5):
        row(f"beam {beam_size}", speech, Tuned(DTW), beam_size=beam_size)


def attention_table(count: int) -> None:
    """DTW times and flash attention."""
    speech = pieces(count)
    head(speech)
    row("DTW, 384", speech, Tuned(DTW))
    row("no DTW, 384", speech, Tuned(PLAIN))
    row("flash, 512", speech, Tuned(FLASH), floor=512, step=256)
    row("flash, 768", speech, Tuned(FLASH), floor=768, step=256)


def words_table(count: int) -> None:
    """How far word ends are from where the recordings of single numbers end."""
    spoken = _number_windows(count)
    print("| | windows | end error 5 / 50 / 95 % | mean | start error 5 / 50 / 95 % |")
    print("|---|---|---|---|---|")
    for name, options, floor, fixed in (
        ("DTW, 384", DTW, 384, {}),
        ("DTW, 1500", DTW, 1500, {}),
        ("heuristic, one segment", PLAIN, 384, {"single_segment": True}),
        ("heuristic, segments", PLAIN, 384, {"single_segment": False}),
    ):
        context, ends, starts, windows = Tuned(options, **fixed), [], [], 0
        for said, piece in spoken:
            size = max(floor, audio_context(piece.duration_s, flash=False, floor=0))
            decoding = Decoding(size, token_cap(piece.duration_s))
            heard = read(context, piece, decoding, padded(piece.samples)).words
            if [normalize(word.text) for word in heard] != [normalize(w.text) for w in said]:
                continue
            windows += 1
            ends += [word.end_s - truth.end_s for word, truth in zip(heard, said, strict=True)]
            starts += [
                word.start_s - truth.start_s for word, truth in zip(heard, said, strict=True)
            ]
        context.free()
        print(
            f"| {name} | {windows} of {len(spoken)} | {_quantiles(ends)} "
            f"| {np.mean(np.abs(ends)):.2f} s | {_quantiles(starts)} |",
            flush=True,
        )


def ctranslate2_table(count: int) -> None:
    """CTranslate2 on windows cut without regard to the words: CPU time alone and in batches."""
    engine = CTranslate2Engine(ctranslate2_directory("tiny.en"), device="cpu")
    engine.load()
    speech = np.concatenate([piece.samples for piece in pieces(count)])
    print("| window | frames | windows | alone, CPU ms | of a batch of 8, CPU ms | texts differ |")
    print("|---|---|---|---|---|---|")
    for seconds in (5, 8, 12, 18):
        size = seconds * SAMPLE_RATE_HZ
        starts = range(0, min(len(speech) // size, 40) // 8 * 8 * size, size)
        windows = [AudioWindow(speech[start : start + size]) for start in starts]
        started_s = time.process_time()
        alone = [engine.transcribe([window])[0] for window in windows]
        middle_s = time.process_time()
        batches = [windows[first : first + 8] for first in range(0, len(windows), 8)]
        together = [transcript for batch in batches for transcript in engine.transcribe(batch)]
        ended_s = time.process_time()
        differ = sum(
            as_text(one.words) != as_text(other.words)
            for one, other in zip(alone, together, strict=True)
        )
        print(
            f"| {seconds} s | {feature_frames(seconds)} | {len(windows)} "
            f"| {1000 * (middle_s - started_s) / len(windows):.0f} "
            f"| {1000 * (ended_s - middle_s) / len(windows):.0f} | {differ} |",
            flush=True,
        )
    print("\n| pieces | WER | read again | dropped |\n|---|---|---|---|")
    errors, guards = WordErrors(), []
    for piece in pieces(count):
        (transcript,) = engine.transcribe([AudioWindow(piece.samples)])
        errors += word_errors(piece.text, as_text(transcript.words))
        guards += transcript.guards
    again, dropped = guards.count("retried"), guards.count("dropped")
    print(f"| {count} | {100 * errors.wer:.1f} % | {again} | {dropped} |")
    words = []
    for said, piece in _number_windows(60):
        (transcript,) = engine.transcribe([AudioWindow(piece.samples)])
        if [normalize(w.text) for w in transcript.words] == [normalize(w.text) for w in said]:
            words += list(zip(transcript.words, said, strict=True))
    ends = [word.end_s - truth.end_s for word, truth in words]
    starts = [word.start_s - truth.start_s for word, truth in words]
    print("\n| words | end error 5 / 50 / 95 % | mean | start error 5 / 50 / 95 % |")
    print("|---|---|---|---|")
    print(
        f"| {len(words)} | {_quantiles(ends)} | {np.mean(np.abs(ends)):.2f} s "
        f"| {_quantiles(starts)} |"
    )


def _quantiles(values: list[float]) -> str:
    return " / ".join(f"{q:+.2f}" for q in np.quantile(values, [0.05, 0.5, 0.95]))


def _number_windows(count: int) -> list[tuple[list[Word], Piece]]:
    """Windows of single spoken numbers 0.05 to 0.4 s apart, and when each is really said."""
    rng = np.random.default_rng(SEED)
    numbers = [f"digits/{n}" for n in (*range(21), 30, 40, 50, 60, 70, 80, 90)]
    recorded = {
        p.name: Piece(p.text, trimmed(p.path, 0.0)) for p in prompts.prompts() if p.name in numbers
    }
    windows = []
    for _ in range(count):
        parts: list[Samples] = []
        said: list[Word] = []
        position = 0
        while position < 4.2 * SAMPLE_RATE_HZ:
            piece = recorded[str(rng.choice(sorted(recorded)))]
            gap = np.zeros(round(rng.uniform(0.05, 0.4) * SAMPLE_RATE_HZ), np.float32)
            parts += [gap, piece.samples]
            start = position + len(gap)
            position = start + len(piece.samples)
            said.append(Word(piece.text, start / SAMPLE_RATE_HZ, position / SAMPLE_RATE_HZ))
        parts.append(np.zeros(round(MARGIN_S * SAMPLE_RATE_HZ), np.float32))
        windows.append((said, Piece(as_text(tuple(said)), np.concatenate(parts))))
    return windows


TABLES = {
    "context": context_table,
    "long": long_table,
    "padding": padding_table,
    "decoding": decoding_table,
    "attention": attention_table,
    "words": words_table,
    "ctranslate2": ctranslate2_table,
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", choices=TABLES)
    parser.add_argument("--pieces", type=int, default=200)
    arguments = parser.parse_args()
    TABLES[arguments.table](arguments.pieces)
