"""Twice the calls that the machine can bear, for two minutes: what becomes of them, and after.

A quarter of the calls speak all the time; the others only in the middle, which is the overload. All
of them are conversational speech through a server process, in real time. How late words came is
told before, during and after, for the calls that are there all the time.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from service.bench.bars import Bar, mean, percentile, print_bars
from service.bench.calls import conversations, copies, later
from service.bench.capacity import DIFFERENT_CALLS, RAMP_S
from service.bench.ways import STREAM_FRAMES, Server, timing_engine
from service.speech.latency import HeardWord
from service.trial.play import Played, Trial

BEFORE_S, AFTER_S = 20.0, 40.0  # with a quarter of the calls
SETTLED_S = 10.0  # after the overload, latency is to be what it was
SLACK_S = 0.5  # what is not told apart by a few hundred words
EVERY_S = 5.0  # of the picture


@dataclass(frozen=True, slots=True)
class Overload:
    """What came of all the calls, the first `steady` of which were there all the time."""

    steady: int
    overload_s: float
    played: Played

    def figures(self) -> dict[str, Any]:
        """Everything, by the names that --json uses."""
        metrics = self.played.metrics
        return {
            "calls": len(self.played.results),
            "steady_calls": self.steady,
            "overload_s": self.overload_s,
            "periods": self.periods(),
            "wer": round(self.played.errors.wer, 4),
            "send_lag_max_s": round(max(r.send_lag_s for r in self.played.results), 2),
            "windows_replaced": metrics.get("callfsm_windows_replaced_total", 0.0),
            "reading_paused": metrics.get("callfsm_notes_total[reading_paused]", 0.0),
            "windows_lost": self.played.windows_lost,
            "calls_refused": metrics.get("callfsm_calls_refused_total", 0.0),
            "problems": self.played.problems,
            "bars": [bar.figures() for bar in self.bars()],
        }

    def periods(self) -> dict[str, dict[str, Any]]:
        """Of each part of the time, how late the words were that were spoken in it."""
        end_s = BEFORE_S + self.overload_s
        middle_s = BEFORE_S + self.overload_s / 2
        parts = {
            "before": (0.0, BEFORE_S),
            "overload, first half": (BEFORE_S, middle_s),
            "overload, second half": (middle_s, end_s),
            f"from {SETTLED_S:g} s after": (end_s + SETTLED_S, end_s + AFTER_S),
        }
        words = self._words()
        late_s = {
            name: [w.latency_s for w in words if start_s <= w.end_s < stop_s]
            for name, (start_s, stop_s) in parts.items()
        }
        return {
            name: {"words": len(part), "mean_s": mean(part), "p95_s": percentile(95, part)}
            for name, part in late_s.items()
        }

    def bars(self) -> list[Bar]:
        before, *_, after = (part["p95_s"] for part in self.periods().values())
        limit_s = (before or 0.0) + SLACK_S
        return [
            Bar("calls with problems, or not closed", len(self.played.problems), 0),
            Bar("windows lost", self.played.windows_lost, 0),
            Bar(f"p95 of words from {SETTLED_S:g} s after the overload", after, limit_s, "s"),
        ]

    def p95_by_time(self) -> Mapping[str, list[tuple[float, float]]]:
        """The points of the picture: when words were spoken, and how late they were."""
        words = self._words()
        points = []
        for start_s in np.arange(0.0, BEFORE_S + self.overload_s + AFTER_S, EVERY_S):
            late_s = [w.latency_s for w in words if start_s <= w.end_s < start_s + EVERY_S]
            if late_s:
                points.append((float(start_s), float(np.percentile(late_s, 95))))
        return {f"{self.steady} calls that are there all the time": points}

    def _words(self) -> list[HeardWord]:
        results = self.played.results[: self.steady]
        return [word for result in results for word in result.words if word.right]


def measure(calls: int, overload_s: float, server: Server, *, seed: int) -> Overload:
    """`calls` calls at once for `overload_s`. Raises CallfsmError like `Trial.play`."""
    steady = max(1, calls // 4)
    whole_s = BEFORE_S + overload_s + AFTER_S
    talk = conversations(DIFFERENT_CALLS, whole_s, seed)
    crowd = [later(call, BEFORE_S) for call in conversations(DIFFERENT_CALLS, overload_s, seed + 1)]
    spoken = copies(talk, steady) + copies(crowd, calls - steady)
    with (
        tempfile.TemporaryDirectory(prefix="callfsm-bench-") as directory,
        Console(stderr=True).status(f"{calls} calls at once, {whole_s:.0f} s"),
    ):
        options = (*server.options, "--max-calls", str(calls), "--log-level", "warning")
        trial = Trial(
            Path(directory),
            calls,
            STREAM_FRAMES.style,
            serve_options=options,
            stagger_s=RAMP_S / calls,
            view_every_s=1.0,
        )
        return Overload(steady, overload_s, trial.play(spoken, timing_engine(server.model)))


def print_table(result: Overload) -> None:
    """A row a period, the counts, then the bars."""
    table = Table("words spoken", "words", "mean", "p95", box=None, pad_edge=False)
    for name, part in result.periods().items():
        table.add_row(name, str(part["words"]), f"{part['mean_s']} s", f"{part['p95_s']} s")
    Console().print(table)
    figures = result.figures()
    for name in ("wer", "send_lag_max_s", "windows_replaced", "reading_paused", "calls_refused"):
        print(f"{name}: {figures[name]}")
    print_bars(result.bars())
