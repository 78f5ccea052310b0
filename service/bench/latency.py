"""How soon words arrive: the field's way and ours, on the same calls in one run.

Three ways, one call at a time, in real time: the baseline (every chunk whole, padded to 30 s, one
context with all cores) fed with speech chunks as in the field; ours fed with the same chunks; ours
fed with 20 ms frames. The servers keep a log of every call, which says what each text waited for.
"""

import statistics
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from callfsm.audio import SAMPLE_RATE_HZ
from service.bench.bars import Bar, mean, percentile, print_bars, sooner_percent
from service.bench.calls import long_call, speech
from service.bench.lags import processing_lags_s
from service.bench.ways import (
    BASELINE_CHUNKS,
    STREAM_CHUNKS,
    STREAM_FRAMES,
    Run,
    Server,
    play,
    timing_engine,
)
from service.peers.chunking import cut
from service.speech.latency import HeardWord

WAYS = (BASELINE_CHUNKS, STREAM_CHUNKS, STREAM_FRAMES)
MINUTE_LATE = 10  # compared with the first minute of a long call


@dataclass(frozen=True, slots=True)
class Latency:
    """What each way gave for the same calls; and one long call, if it was asked for."""

    runs: dict[str, Run]
    long_call: Run | None

    def figures(self) -> dict[str, Any]:
        """Everything, by the names that --json uses."""
        calls = self.runs[STREAM_FRAMES.name].calls
        return {
            "calls": len(calls),
            "audio_s": round(sum(call.duration_s for call in calls), 1),
            "ways": {name: way_figures(run) for name, run in self.runs.items()},
            "long_call": None if self.long_call is None else drift(words(self.long_call)),
            "bars": [bar.figures() for bar in self.bars()],
        }

    def bars(self) -> list[Bar]:
        base, chunks, frames = (way_figures(self.runs[way.name]) for way in WAYS)

        def sooner(what: str, other: dict[str, Any], limit: float, figure: str) -> Bar:
            value = sooner_percent(base[figure], other[figure])
            return Bar(f"{what} sooner", value, limit, "%", at_least=True)

        bars = [
            sooner("first text of an utterance, frames,", frames, 60, "utterance_first_text_p50_s"),
            sooner("first text of a call, frames,", frames, 60, "call_first_text_p50_s"),
            sooner("chunk arrival to text, same chunks,", chunks, 50, "chunk_to_text_p50_s"),
            Bar("per word, frames: mean", frames["word_mean_s"], 1.3, "s"),
            Bar("per word, frames: p95", frames["word_p95_s"], 2.5, "s"),
            Bar("end of utterance to its final text: p95", frames["utterance_final_p95_s"], 1, "s"),
            Bar("end of call to its final text: p95", frames["call_final_p95_s"], 1, "s"),
        ]
        if self.long_call is not None:
            found = drift(words(self.long_call))
            name = f"minute {found['late_minute']:g} later than minute 1"
            bars.append(Bar(name, found["later_by_s"], found["noise_s"], "s"))
        return bars


def way_figures(run: Run) -> dict[str, Any]:
    """Every figure of one way. Lags are means over words."""
    results = run.played.results
    words_s = run.played.word_latencies_s
    spurts = [spurt for result in results for spurt in result.utterances]
    processing_s = _processing_s(run)
    word_mean_s, processing_mean_s = mean(words_s), mean(processing_s)
    policy_s = [all_s - part_s for all_s, part_s in zip(words_s, processing_s, strict=True)]
    return {
        "utterance_first_text_p50_s": percentile(50, [spurt.first_text_s for spurt in spurts]),
        "call_first_text_p50_s": percentile(50, [r.first_text_s for r in results]),
        "word_mean_s": word_mean_s,
        "word_p50_s": percentile(50, words_s),
        "word_p95_s": percentile(95, words_s),
        "word_policy_lag_mean_s": mean(policy_s),
        "word_processing_lag_mean_s": processing_mean_s,
        "chunk_to_text_p50_s": percentile(50, _chunk_to_text_s(run)),
        "utterance_final_p50_s": percentile(50, [spurt.final_text_s for spurt in spurts]),
        "utterance_final_p95_s": percentile(95, [spurt.final_text_s for spurt in spurts]),
        "call_final_p50_s": percentile(50, [r.final_text_s for r in results]),
        "call_final_p95_s": percentile(95, [r.final_text_s for r in results]),
        "utterances": len(spurts),
        "utterances_without_text": sum(spurt.first_text_at_s is None for spurt in spurts),
        "wer": round(run.played.errors.wer, 4),
        "problems": run.played.problems,
    }


def words(run: Run) -> list[HeardWord]:
    """Every word of a run that was understood."""
    return [word for result in run.played.results for word in result.words if word.right]


def drift(heard: Sequence[HeardWord]) -> dict[str, float]:
    """Word latency in minute 1 of a call and in minute 10, or the last whole one before.

    `noise_s` is two standard errors of the difference: what chance alone can make.
    """
    late = max(2, min(MINUTE_LATE, int(max(word.end_s for word in heard) // 60)))
    first_s, late_s = (
        [word.latency_s for word in heard if (minute - 1) * 60 <= word.end_s < minute * 60]
        for minute in (1, late)
    )
    variances = [statistics.variance(part) / len(part) for part in (first_s, late_s)]
    return {
        "late_minute": late,
        "minute_1_mean_s": round(statistics.fmean(first_s), 3),
        "late_mean_s": round(statistics.fmean(late_s), 3),
        "later_by_s": round(statistics.fmean(late_s) - statistics.fmean(first_s), 3),
        "noise_s": round(2 * sum(variances) ** 0.5, 3),
    }


def measure(
    total_s: float, server: Server, *, seed: int, synthetic: bool, long_call_minutes: float
) -> Latency:
    """Play the same calls each way, one at a time. Raises CallfsmError like `Trial.play`."""
    timing = timing_engine(server.model)
    calls = speech(total_s, seed, synthetic=synthetic)
    runs = {way.name: play(way, calls, server, timing) for way in WAYS}
    long_run = None
    if long_call_minutes:
        one = long_call(long_call_minutes * 60, seed, synthetic=synthetic)
        long_run = play(STREAM_FRAMES, [one], server, timing)
    return Latency(runs, long_run)


def print_table(latency: Latency) -> None:
    """A column a way, then the bars."""
    figures = latency.figures()
    table = Table("seconds", *figures["ways"], box=None, pad_edge=False)
    for row in next(iter(figures["ways"].values())):
        values = (way[row] for way in figures["ways"].values())
        table.add_row(row, *("-" if value is None else _shown(value) for value in values))
    Console().print(table)
    print_bars(latency.bars())


def _shown(value: float | list[str]) -> str:
    return f"{value:g}" if not isinstance(value, list) else "; ".join(value) or "none"


def _processing_s(run: Run) -> list[float]:
    """For each word that was understood: how long its text waited for a context and computing."""
    lags_s: list[float] = []
    for result in run.played.results:
        of_texts_s = processing_lags_s(run.logs[result.call_id])
        lags_s += [of_texts_s[word.text] for word in result.words if word.right]
    return lags_s


def _chunk_to_text_s(run: Run) -> list[float]:
    """From the moment the chunk that holds a word leaves the sender to the word's arrival."""
    waits_s = []
    for call, result in zip(run.calls, run.played.results, strict=True):
        ends_s = [piece.end / SAMPLE_RATE_HZ for piece in cut(call.samples, "chunks")]
        for word in result.words:
            leaves_s = ends_s[min(bisect_left(ends_s, word.end_s), len(ends_s) - 1)]
            waits_s.append(word.at_s - leaves_s)
    return waits_s
