"""How soon words arrive: the field's way and ours, on the same calls in one run.

Three ways, one call at a time, in real time: the baseline (every chunk whole, padded to 30 s, one
context with all cores) fed with speech chunks as in the field; ours fed with the same chunks; ours
fed with 20 ms frames.
"""

import statistics
import tempfile
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from callfsm.audio import SAMPLE_RATE_HZ
from service.bench.accuracy import speech
from service.engines.whispercpp import WhisperCppEngine
from service.peers.chunking import Style, cut
from service.speech.corpus import SpokenCall
from service.trial.play import CallResult, Played, Trial
from service.weights.resolve import resolve

BASELINE = ("--mode", "chunk", "--contexts", "1")


@dataclass(frozen=True, slots=True)
class Way:
    """One way to transcribe, and what it was fed with."""

    name: str
    style: Style
    serve_options: tuple[str, ...]


WAYS = (
    Way("baseline, chunks", "chunks", BASELINE),
    Way("callfsm, chunks", "chunks", ()),
    Way("callfsm, frames", "frames", ()),
)


@dataclass(frozen=True, slots=True)
class Latency:
    """What each way gave for the same calls."""

    calls: Sequence[SpokenCall]
    played: dict[str, Played]

    def figures(self) -> dict[str, Any]:
        """Everything, by the names that --json uses."""
        ways = {name: self._of(played) for name, played in self.played.items()}
        base, chunks, frames = (ways[way.name] for way in WAYS)
        return {
            "calls": len(self.calls),
            "audio_s": round(sum(call.duration_s for call in self.calls), 1),
            "ways": ways,
            "first_text_sooner": _sooner(base, frames, "first_text_p50_s"),
            "chunk_to_text_sooner": _sooner(base, chunks, "chunk_to_text_p50_s"),
        }

    def _of(self, played: Played) -> dict[str, float | None]:
        results, words_s = played.results, played.word_latencies_s
        processing_s = _processing_s(played.metrics)
        mean_s = statistics.fmean(words_s)
        return {
            "first_text_p50_s": _p(50, [r.first_text_s for r in results]),
            "word_mean_s": round(mean_s, 3),
            "word_p50_s": _p(50, words_s),
            "word_p95_s": _p(95, words_s),
            "word_policy_lag_mean_s": round(mean_s - processing_s, 3),
            "word_processing_lag_mean_s": round(processing_s, 3),
            "chunk_to_text_p50_s": _p(50, self._chunk_to_text_s(results)),
            "final_text_p50_s": _p(50, [r.final_text_s for r in results]),
            "final_text_p95_s": _p(95, [r.final_text_s for r in results]),
            "wer": round(played.errors.wer, 4),
        }

    def _chunk_to_text_s(self, results: Sequence[CallResult]) -> list[float]:
        """From the moment the chunk that holds a word leaves the sender to the word's arrival."""
        waits = []
        for call, result in zip(self.calls, results, strict=True):
            ends_s = [piece.end / SAMPLE_RATE_HZ for piece in cut(call.samples, "chunks")]
            for end_s, latency_s in result.words:
                leaves_s = ends_s[min(bisect_left(ends_s, end_s), len(ends_s) - 1)]
                waits.append(end_s + latency_s - leaves_s)
        return waits


def measure(total_s: float, *, model: str, seed: int) -> Latency:
    """Play the same calls each way, one at a time. Raises CallfsmError like `Trial.play`."""
    engine = WhisperCppEngine(resolve(model))
    engine.load()
    calls = speech(total_s, seed)
    played = {}
    for way in WAYS:
        with (
            tempfile.TemporaryDirectory(prefix="callfsm-bench-") as directory,
            Console(stderr=True).status(f"{way.name}: {len(calls)} calls in real time"),
        ):
            options = ("--model", model, *way.serve_options)
            trial = Trial(Path(directory), 1, way.style, serve_options=options)
            played[way.name] = trial.play(calls, engine)
    return Latency(calls, played)


def print_table(latency: Latency) -> None:
    """A column a way."""
    figures = latency.figures()
    table = Table("seconds", *figures["ways"], box=None, pad_edge=False)
    for row in next(iter(figures["ways"].values())):
        values = (way[row] for way in figures["ways"].values())
        table.add_row(row, *("-" if value is None else f"{value:g}" for value in values))
    Console().print(table)
    for name in ("first_text_sooner", "chunk_to_text_sooner"):
        Console().print(f"{name}: {figures[name]:.0%}")


def plot(latency: Latency, directory: Path) -> Path:
    """The share of words that arrived within so many seconds, as `latency.png`; its path."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for name, played in latency.played.items():
        waits_s = sorted(played.word_latencies_s)
        shares = [(n + 1) / len(waits_s) for n in range(len(waits_s))]
        axes.plot(waits_s, shares, label=name)
    axes.set(xlabel="seconds after the word was spoken", ylabel="share of words that have arrived")
    axes.set_xlim(left=0)
    axes.grid(alpha=0.3)
    axes.legend()
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "latency.png"
    figure.savefig(path, dpi=120)
    return path


def _processing_s(metrics: dict[str, float]) -> float:
    """Mean wait for a context plus mean inference of a window."""
    return sum(
        metrics[f"callfsm_{name}_sum"] / max(1.0, metrics[f"callfsm_{name}_count"])
        for name in ("inference_wait_seconds", "inference_seconds")
    )


def _sooner(base: dict[str, Any], other: dict[str, Any], figure: str) -> float:
    """How much sooner, as a share of the baseline."""
    sooner: float = 1 - other[figure] / base[figure]
    return round(sooner, 3)


def _p(percent: int, values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return round(known[0], 3) if known else None
    return round(statistics.quantiles(known, n=100, method="inclusive")[percent - 1], 3)
