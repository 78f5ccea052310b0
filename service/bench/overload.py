"""Twice the calls that the machine can bear, for two minutes: what becomes of them, and after.

A quarter of the calls speak all the time. The others dial in the middle, within seconds, which is
the overload; who is refused tries again for a while, and then gives up. All of them are
conversational speech through a server process, in real time. How late words came is told before,
during and after, for the calls that are there all the time, and for those of the crowd that were
let in. It is over when the last of them has spoken.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from callfsm.inference.admission import Refusal
from service.bench.bars import Bar, mean, percentile, print_bars
from service.bench.calls import conversations, copies
from service.bench.capacity import DIFFERENT_CALLS, RAMP_S
from service.bench.ways import STREAM_FRAMES, Server, timing_engine
from service.trial.play import CallResult, Played, Trial

BEFORE_S, AFTER_S = 20.0, 40.0  # with a quarter of the calls
PATIENCE_S = 20.0  # of the crowd, with REGISTER once a second
SETTLED_S = 10.0  # after the overload, latency is to be what it was
SLACK_S = 0.5  # what is not told apart by a few hundred words
EVERY_S = 5.0  # of the picture
LET_IN_S = 1.0  # sooner is at once
SHOWN = (
    *("wer", "send_lag_max_s", "windows_replaced", "reading_paused"),
    *("let_in_at_once", "let_in_later", "never_let_in", "refused"),
)
REFUSED = "callfsm_calls_refused_total"


@dataclass(frozen=True, slots=True)
class Overload:
    """What came of all the calls, the first `steady` of which were there all the time."""

    steady: int
    overload_s: float  # that each of the others speaks
    played: Played

    def figures(self) -> dict[str, Any]:
        """Everything, by the names that --json uses."""
        results, metrics = self.played.results, self.played.metrics
        return {
            "calls": len(results) + len(self.played.refused),
            "steady_calls": self.steady,
            "overload_s": self.overload_s,
            "periods": self.periods(),
            "wer": round(self.played.errors.wer, 4),
            "send_lag_max_s": round(max(r.send_lag_s for r in results), 2),
            "windows_replaced": metrics.get("callfsm_windows_replaced_total", 0.0),
            "reading_paused": metrics.get("callfsm_notes_total[reading_paused]", 0.0),
            "windows_lost": self.played.windows_lost,
            "let_in_at_once": sum(result.refused_s < LET_IN_S for result in results),
            "let_in_later": sum(result.refused_s >= LET_IN_S for result in results),
            "never_let_in": len(self.played.refused),
            "refused": self._refused(),
            "problems": self.played.problems,
            "bars": [bar.figures() for bar in self.bars()],
        }

    @property
    def over_s(self) -> float:
        """When the last of the crowd had spoken."""
        return max((r.begun_s + r.duration_s for r in self._crowd), default=0.0) - self._began_s

    def periods(self) -> dict[str, dict[str, Any]]:
        """Of each part of the time, how late the words were that were spoken in it."""
        over_s = self.over_s
        middle_s = (BEFORE_S + over_s) / 2
        parts = {
            "before": (0.0, BEFORE_S),
            "overload, first half": (BEFORE_S, middle_s),
            "overload, second half": (middle_s, over_s),
            f"from {SETTLED_S:g} s after": (over_s + SETTLED_S, inf),
        }
        words = self._words(self._steady)
        late_s = {
            name: [late_s for at_s, late_s in words if start_s <= at_s < stop_s]
            for name, (start_s, stop_s) in parts.items()
        }
        late_s["those who were let in"] = [late_s for _, late_s in self._words(self._crowd)]
        return {
            name: {"words": len(part), "mean_s": mean(part), "p95_s": percentile(95, part)}
            for name, part in late_s.items()
        }

    def bars(self) -> list[Bar]:
        before, _, _, after, _ = (part["p95_s"] for part in self.periods().values())
        limit_s = (before or 0.0) + SLACK_S
        uncounted = len(self.played.refused) - sum(self._refused().values())
        return [
            Bar("calls with problems, or not closed", len(self.played.problems), 0),
            Bar("calls never let in that were not counted", max(0.0, uncounted), 0),
            Bar("windows lost", self.played.windows_lost, 0),
            Bar(f"p95 of words from {SETTLED_S:g} s after the overload", after, limit_s, "s"),
        ]

    def p95_by_time(self) -> Mapping[str, list[tuple[float, float]]]:
        """The points of the picture: when words were spoken, and how late they were."""
        words = self._words(self._steady)
        points = []
        for start_s in np.arange(0.0, self.over_s + AFTER_S, EVERY_S):
            late_s = [late_s for at_s, late_s in words if start_s <= at_s < start_s + EVERY_S]
            if late_s:
                points.append((float(start_s), float(np.percentile(late_s, 95))))
        return {f"{self.steady} calls that are there all the time": points}

    @property
    def _steady(self) -> list[CallResult]:
        return [result for result in self.played.results if result.call_id <= self.steady]

    @property
    def _crowd(self) -> list[CallResult]:
        return [result for result in self.played.results if result.call_id > self.steady]

    @property
    def _began_s(self) -> float:
        return min(result.begun_s for result in self.played.results)

    def _words(self, results: Sequence[CallResult]) -> list[tuple[float, float]]:
        """When each word was spoken, in the time of the trial, and how late it came."""
        return [
            (result.begun_s - self._began_s + word.end_s, word.latency_s)
            for result in results
            for word in result.words
            if word.right
        ]

    def _refused(self) -> dict[str, float]:
        """The calls that the server refused at first, by its reasons."""
        counts = {r: self.played.metrics.get(f"{REFUSED}[{r.value}]", 0.0) for r in Refusal}
        return {reason.value: count for reason, count in counts.items() if count}


def measure(
    calls: int, overload_s: float, server: Server, *, seed: int, admission: str = "auto"
) -> Overload:
    """`calls` calls at once for `overload_s`. Raises CallfsmError like `Trial.play`."""
    steady = max(1, calls // 4)
    others = calls - steady
    whole_s = BEFORE_S + RAMP_S + PATIENCE_S + overload_s + AFTER_S
    talk = conversations(DIFFERENT_CALLS, whole_s, seed)
    crowd = conversations(DIFFERENT_CALLS, overload_s, seed + 1)
    begins_s = [RAMP_S * n / steady for n in range(steady)]
    begins_s += [BEFORE_S + RAMP_S * n / others for n in range(others)]
    options = (*server.options, "--max-calls", str(calls), "--admission", admission)
    with (
        tempfile.TemporaryDirectory(prefix="callfsm-bench-") as directory,
        Console(stderr=True).status(f"{calls} calls at once, {whole_s:.0f} s"),
    ):
        trial = Trial(
            Path(directory),
            calls,
            STREAM_FRAMES.style,
            serve_options=(*options, "--log-level", "warning"),
            begins_s=tuple(begins_s),
            may_refuse=True,
            register_s=PATIENCE_S,
            view_every_s=1.0,
        )
        spoken = copies(talk, steady) + copies(crowd, others)
        return Overload(steady, overload_s, trial.play(spoken, timing_engine(server.model)))


def print_table(result: Overload) -> None:
    """A row a period, the counts, then the bars."""
    table = Table("words spoken", "words", "mean", "p95", box=None, pad_edge=False)
    for name, part in result.periods().items():
        table.add_row(name, str(part["words"]), f"{part['mean_s']} s", f"{part['p95_s']} s")
    Console().print(table)
    figures = result.figures()
    for name in SHOWN:
        print(f"{name}: {figures[name]}")
    print_bars(result.bars())
