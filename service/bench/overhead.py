"""What the service costs beside the inference: processor time, and events without inference.

The service's processor seconds, everything included, are divided by what the very same windows cost
when the bare engine transcribes them, on as many threads. Which windows there were is read from the
calls' logs. Events come from `benchmarks/machine.py`, which needs the source tree.
"""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from callfsm.errors import ConfigError
from callfsm.inference.engine import AudioWindow
from service.bench.bars import Bar, print_bars, times_as_much
from service.bench.calls import conversations
from service.bench.lags import spans
from service.bench.ways import STREAM_FRAMES, Run, Server, play, timing_engine

RATIO, EVENTS_PER_S = 1.10, 30_000
SOURCE = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Overhead:
    """Processor seconds, and what `benchmarks/machine.py` measured."""

    calls: int
    windows: int
    service_cpu_s: float
    bare_cpu_s: float
    machine: dict[str, float]

    def figures(self) -> dict[str, Any]:
        """Everything, by the names that --json uses."""
        return {
            "calls": self.calls,
            "windows": self.windows,
            "service_cpu_s": round(self.service_cpu_s, 2),
            "bare_engine_cpu_s": round(self.bare_cpu_s, 2),
            "machine": self.machine,
            "bars": [bar.figures() for bar in self.bars()],
        }

    def bars(self) -> list[Bar]:
        ratio = times_as_much(self.bare_cpu_s, self.service_cpu_s)
        events = self.machine["events_through_mailbox_per_s"]
        return [
            Bar("processor time of the service over bare inference", ratio, RATIO),
            Bar("events through mailbox and machine", events, EVENTS_PER_S, "/s", at_least=True),
        ]


def measure(calls: int, seconds: float, server: Server, *, seed: int) -> Overhead:
    """`calls` calls at once, live; then their windows alone. Raises CallfsmError."""
    machine = _machine()
    timing = timing_engine(server.model)
    run = play(STREAM_FRAMES, conversations(calls, seconds, seed), server, timing, calls)
    windows = windows_of(run)
    return Overhead(calls, len(windows), run.played.cpu_s, _bare_cpu_s(windows, server), machine)


def windows_of(run: Run) -> list[AudioWindow]:
    """The windows that the server transcribed, cut again out of what was spoken in frames."""
    by_id = dict(enumerate(run.calls, 1))
    return [
        AudioWindow(by_id[call_id].samples[first:end])
        for call_id, log in run.logs.items()
        for first, end in spans(log)
    ]


def print_table(overhead: Overhead) -> None:
    """What was measured, then the bars."""
    figures = overhead.figures()
    for name in ("calls", "windows", "service_cpu_s", "bare_engine_cpu_s"):
        print(f"{name}: {figures[name]}")
    for name, value in overhead.machine.items():
        print(f"{name}: {value:,.1f}")
    print_bars(overhead.bars())


def _bare_cpu_s(windows: Sequence[AudioWindow], server: Server) -> float:
    """Processor seconds for the windows, one engine a thread, none loaded in that time."""
    engines = [server.choice().loaded() for _ in range(server.settings().context_count())]
    with (
        Console(stderr=True).status(f"{len(windows)} windows in the bare engine"),
        ThreadPoolExecutor(len(engines)) as threads,
    ):
        began_s = time.process_time()
        shares = [
            threads.submit(lambda e, share: [e.transcribe([one]) for one in share], engine, share)
            for engine, share in zip(engines, _dealt(windows, len(engines)), strict=True)
        ]
        for one in shares:
            one.result()
        used_s = time.process_time() - began_s
    for engine in engines:
        engine.close()
    return used_s


def _dealt(windows: Sequence[AudioWindow], hands: int) -> list[Sequence[AudioWindow]]:
    return [windows[hand::hands] for hand in range(hands)]


def _machine() -> dict[str, float]:
    if not (SOURCE / "benchmarks" / "machine.py").is_file():
        raise ConfigError(f"bench overhead needs the source tree: no benchmarks in {SOURCE}")
    command = [sys.executable, "-m", "benchmarks.machine", "--json"]
    done = subprocess.run(command, cwd=SOURCE, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ConfigError(f"benchmarks.machine failed: {done.stderr.strip().splitlines()[-1]}")
    measured: dict[str, float] = json.loads(done.stdout)
    return measured
