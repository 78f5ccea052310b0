"""The user's decision rule: measure how long calls wait for one context, then serialise or pool.

A window's wait share is the part of the time from its request to its text in which it waited for a
context. Windows are 5 s of speech; a call asks for one every 4 s, as it does while somebody speaks.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from service.bench.bars import percentile, times_as_much
from service.bench.calls import five_second_windows
from service.bench.pool_run import PoolRun, PoolUnderTest
from service.bench.ways import Server

CALLS = (2, 4, 8)
POOL_FROM = 0.20  # the user's plan: contention below is left serial, above gets a pool
WINDOWS = 24  # different ones


COLUMNS = {
    "windows": "windows",
    "wait_share": "all",
    "wait_share_p50": "p50",
    "wait_share_p95": "p95",
    "wait_share_max": "max",
    "wait_max_s": "longest, s",
}


@dataclass(frozen=True, slots=True)
class Contention:
    """Runs by number of calls, on one context and on the pool; and both with all they can do."""

    one: Mapping[int, PoolRun]
    pool: Mapping[int, PoolRun]
    contexts: int  # of the pool
    one_saturated: PoolRun
    pool_saturated: PoolRun

    def figures(self) -> dict[str, Any]:
        """Everything, by the names that --json uses."""
        return {
            "one_context": {str(calls): wait_figures(run) for calls, run in self.one.items()},
            "pool": {str(calls): wait_figures(run) for calls, run in self.pool.items()},
            "pool_contexts": self.contexts,
            "recommendation": {
                str(calls): recommended(run.wait_share) for calls, run in self.one.items()
            },
            "windows_per_s_one_context": round(self.one_saturated.windows_per_s, 2),
            "windows_per_s_pool": round(self.pool_saturated.windows_per_s, 2),
            "pool_gain": times_as_much(
                self.one_saturated.windows_per_s, self.pool_saturated.windows_per_s
            ),
        }


def recommended(wait_share: float) -> str:
    """What the rule says: "serial" below 20 % of waiting, else "pool"."""
    return "serial" if wait_share < POOL_FROM else "pool"


def wait_figures(run: PoolRun) -> dict[str, float | None]:
    """Shares of the time from request to text, of each window; and seconds."""
    shares = [one.wait_share for one in run.turnarounds]
    return {
        "windows": len(shares),
        "wait_share": round(run.wait_share, 3),
        "wait_share_p50": percentile(50, shares),
        "wait_share_p95": percentile(95, shares),
        "wait_share_max": round(max(shares), 3),
        "wait_max_s": round(max(one.waited_s for one in run.turnarounds), 3),
    }


def measure(seconds: float, server: Server, *, seed: int) -> Contention:
    """2, 4 and 8 calls for `seconds` each, on one context and then on the pool."""
    windows = five_second_windows(WINDOWS, seed)
    engine = server.choice()
    contexts = max(2, engine.contexts)
    runs = {}
    for count in (1, contexts):
        status = Console(stderr=True).status(f"{count} contexts, {CALLS} calls")
        with status, PoolUnderTest(engine, count) as pool:
            runs[count] = {calls: pool.in_real_time(calls, seconds, windows) for calls in CALLS}
            runs[count][0] = pool.saturated(max(CALLS), seconds, windows)
    saturated = {count: by_calls.pop(0) for count, by_calls in runs.items()}
    return Contention(runs[1], runs[contexts], contexts, saturated[1], saturated[contexts])


def print_table(result: Contention) -> None:
    """A row for each number of calls, the recommendation, the pool's gain."""
    figures = result.figures()
    pool = f"{result.contexts} contexts"
    for title, rows in (("one context", figures["one_context"]), (pool, figures["pool"])):
        heading = f"share of the time that windows wait, {title}"
        table = Table("calls", title=heading, title_justify="left", box=None)
        for name in next(iter(rows.values())):
            table.add_column(COLUMNS[name], justify="right")
        for calls, row in rows.items():
            table.add_row(calls, *(f"{value:g}" for value in row.values()))
        Console().print(table)
    for calls, what in figures["recommendation"].items():
        share = figures["one_context"][calls]["wait_share"]
        Console().print(f"{calls} calls wait {share:.0%} of the time on one context: {what}")
    Console().print(
        f"{max(CALLS)} calls at full speed: {figures['windows_per_s_one_context']} windows/s on "
        f"one context, {figures['windows_per_s_pool']} on {pool}: × {figures['pool_gain']}"
    )
