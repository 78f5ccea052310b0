"""How many calls the machine bears at once, in real time: the baseline and ours, in one run.

A call is conversational speech: about 60 % of its time somebody speaks. A number of calls is borne
when the p95 of word latency is at most 4 s, nothing is lost, and the word error rate is within 1.5
points of the same calls, as often each, with one call at a time. Every probe starts a server of its
own. The callers run in this process, the server in another; how late audio left tells whether they
kept up.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import inf
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from callfsm.errors import CallfsmError
from callfsm.inference.engine import Engine
from service.bench.bars import Bar, mean, percentile, print_bars, times_as_much
from service.bench.calls import conversations, copies, five_second_windows, voice_activity
from service.bench.pool_run import PoolUnderTest
from service.bench.search import largest
from service.bench.ways import BASELINE_CHUNKS, STREAM_FRAMES, Server, Way, timing_engine
from service.speech.corpus import SpokenCall
from service.speech.wer import WordErrors
from service.trial.play import Trial

WORD_P95_S, WER_POINTS = 4.0, 1.5
HUB_PERCENT = 99.0  # of its wakings the hub is at most 10 ms late
DIFFERENT_CALLS = 12  # each is one call alone, then as many copies as there are calls; 400 words
BASELINE_FROM = 4  # calls to begin with; it bears about so many
EVERYBODY_COMES_IN = ("--admission", "off", "--drain-s", "1")
RAMP_S = 4.0  # within which all calls begin
LATE_S = 20.0  # after the end of the audio a probe has failed
SATURATED_CALLS, SATURATED_S = 8, 10.0
BARS = {"whispercpp": (4.0, 4.0), "ctranslate2": (15.0, 12.0)}  # times the baseline
CALLS = {"ctranslate2": 40}  # and so many, whatever the baseline bears


@dataclass(frozen=True, slots=True)
class Probe:
    """So many calls at once: what came of them."""

    calls: int
    word_mean_s: float | None = None
    word_p95_s: float | None = None
    wer: float | None = None
    send_lag_max_s: float | None = None
    hub_on_time_percent: float | None = None
    server_cpu_s: float | None = None
    callers_cpu_s: float | None = None
    problems: Sequence[str] = field(default=())
    errors: Sequence[WordErrors] = field(default=(), repr=False)  # of each call

    def figures(self) -> dict[str, Any]:
        """By name, without the errors of every call."""
        return {name: value for name, value in asdict(self).items() if name != "errors"}

    def wer_of(self, calls: int) -> float:
        """The WER of so many calls, these again and again, if each went as it did here."""
        return sum(copies(self.errors, calls), WordErrors()).wer

    def is_borne(self, wer_alone: float) -> bool:
        if self.problems or self.word_p95_s is None or self.wer is None:
            return False
        return self.word_p95_s <= WORD_P95_S and 100 * (self.wer - wer_alone) <= WER_POINTS

    def verdict(self, wer_alone: float) -> str:
        """Borne, or why not."""
        if self.problems:
            return "; ".join(self.problems[:2])
        if self.is_borne(wer_alone):
            return "borne"
        return f"too many: p95 {self.word_p95_s} s, WER {self.wer} (alone {wer_alone:.4f})"


@dataclass(frozen=True, slots=True)
class Side:
    """What one way bears."""

    alone: Probe
    probes: Sequence[Probe]
    capacity: int
    windows_per_s: float

    def figures(self) -> dict[str, Any]:
        return {
            "capacity_calls": self.capacity,
            "wer_alone": self.alone.wer,
            "windows_per_s_8_calls": round(self.windows_per_s, 2),
            "alone": self.alone.figures(),
            "probes": [probe.figures() for probe in self.probes],
        }


@dataclass(frozen=True, slots=True)
class Capacity:
    """Both sides. The bars are those of `engine`, which is ours in this run."""

    sides: Mapping[str, Side]
    engine: str
    voice_activity: float

    def figures(self) -> dict[str, Any]:
        """Everything, by the names that --json uses."""
        return {
            "engine": self.engine,
            "voice_activity": round(self.voice_activity, 3),
            "sides": {name: side.figures() for name, side in self.sides.items()},
            "bars": [bar.figures() for bar in self.bars()],
        }

    def bars(self) -> list[Bar]:
        base, ours = self.sides[BASELINE_CHUNKS.name], self.sides[STREAM_FRAMES.name]
        calls, windows = BARS[self.engine]
        more_calls = times_as_much(base.capacity, ours.capacity)
        more_windows = times_as_much(base.windows_per_s, ours.windows_per_s)
        bars = [
            Bar("concurrent calls, times the baseline", more_calls, calls, at_least=True),
            Bar("windows/s with 8 calls, times the baseline", more_windows, windows, at_least=True),
        ]
        busiest = max(ours.probes, key=lambda probe: probe.calls)
        on_time = busiest.hub_on_time_percent
        bars.append(
            Bar("hub at most 10 ms late, most calls", on_time, HUB_PERCENT, "%", at_least=True)
        )
        if self.engine in CALLS:
            most = CALLS[self.engine]
            bars.append(Bar("concurrent calls", ours.capacity, most, at_least=True))
        return bars

    def p95_by_calls(self) -> dict[str, list[tuple[float, float]]]:
        """The points of the picture; without the probes whose calls did not end."""
        return {
            name: [(p.calls, p.word_p95_s) for p in side.probes if p.word_p95_s is not None]
            for name, side in self.sides.items()
        }


def measure(seconds: float, server: Server, *, start: int, most: int, seed: int) -> Capacity:
    """Search both sides, a probe of `seconds` at a time. Raises CallfsmError like `Trial.play`."""
    timing = timing_engine(server.model)
    speech = conversations(DIFFERENT_CALLS, seconds, seed)
    sides = {
        way.name: _side(way, speech, server, timing, start=first, most=most)
        for way, first in ((BASELINE_CHUNKS, min(start, BASELINE_FROM)), (STREAM_FRAMES, start))
    }
    spoken = [voice_activity(call) for call in speech]
    return Capacity(sides, server.choice().name, sum(spoken) / len(spoken))


def print_table(result: Capacity) -> None:
    """A row a probe, then the bars."""
    table = Table("", "calls", "word mean / p95", "WER", "sent late", "", box=None, pad_edge=False)
    for name, side in result.sides.items():
        for probe in (side.alone, *sorted(side.probes, key=lambda probe: probe.calls)):
            table.add_row(
                name if probe is not side.alone else f"{name}, alone",
                str(probe.calls),
                f"{probe.word_mean_s} / {probe.word_p95_s} s",
                "-" if probe.wer is None else f"{probe.wer:.1%}",
                "-" if probe.send_lag_max_s is None else f"{probe.send_lag_max_s:.2f} s",
                probe.verdict(side.alone.wer_of(probe.calls)),
            )
    Console().print(table)
    for name, side in result.sides.items():
        print(f"{name}: {side.capacity} calls, {side.windows_per_s:.2f} windows/s with 8 calls")
    print_bars(result.bars())


def _side(
    way: Way, speech: Sequence[SpokenCall], server: Server, timing: Engine, *, start: int, most: int
) -> Side:
    alone = _probe(way, speech, 1, server, timing)
    if alone.wer is None:
        raise CallfsmError(f"{way.name}: one call alone failed: {'; '.join(alone.problems)}")
    probes: list[Probe] = []

    def bears(count: int) -> bool:
        probe = _probe(way, copies(speech, count), count, server, timing)
        probes.append(probe)
        wer_alone = alone.wer_of(count)
        Console(stderr=True).print(f"{way.name}, {count} calls: {probe.verdict(wer_alone)}")
        return probe.is_borne(wer_alone)

    capacity = largest(bears, start, most)
    engine = server.choice(baseline=way.is_baseline)
    windows = five_second_windows(24, seed=1)
    with PoolUnderTest(engine, engine.contexts) as pool:
        run = pool.saturated(SATURATED_CALLS, SATURATED_S, windows)
    return Side(alone, probes, capacity, run.windows_per_s)


def _probe(
    way: Way, calls: Sequence[SpokenCall], at_once: int, server: Server, timing: Engine
) -> Probe:
    """Play `calls`, `at_once` side by side."""
    is_alone = at_once < len(calls)
    longest_s = max(call.duration_s for call in calls)
    with (
        tempfile.TemporaryDirectory(prefix="callfsm-bench-") as directory,
        Console(stderr=True).status(f"{way.name}: {at_once} at once"),
    ):
        trial = Trial(
            Path(directory),
            at_once,
            way.style,
            serve_options=(*way.options(server), *EVERYBODY_COMES_IN, "--log-level", "warning"),
            stagger_s=RAMP_S / at_once,
            timeout_s=inf if is_alone else RAMP_S + longest_s + LATE_S,
            view_every_s=1.0,
        )
        try:
            played = trial.play(calls, timing)
        except CallfsmError as error:
            return Probe(at_once, problems=(str(error),))
    return Probe(
        at_once,
        mean(played.word_latencies_s),
        percentile(95, played.word_latencies_s),
        round(played.errors.wer, 4),
        round(max(result.send_lag_s for result in played.results), 3),
        _hub_on_time_percent(played.metrics),
        round(played.cpu_s, 1),
        round(played.callers_cpu_s, 1),
        played.problems,
        [result.errors for result in played.results],
    )


def _hub_on_time_percent(metrics: Mapping[str, float]) -> float:
    """Of the hub's wakings, how many were at most 10 ms late."""
    on_time, all_of_them = (
        metrics[f"callfsm_hub_late_seconds_{name}"] for name in ("bucket[0.01]", "count")
    )
    return round(100 * on_time / all_of_them, 2)
