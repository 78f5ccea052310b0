"""What the service costs beside the inference: processor time, and events without inference.

The service's processor seconds, everything included, are divided by what the very same windows cost
when the bare engine transcribes them, on as many threads. Both by turns, several times, and the
median ratio: a single one moves by a tenth. Which windows were transcribed is read from the
server's log: to record every event (`--record`) would cost more. Events come from
`benchmarks/machine.py`, which needs the source tree.
"""

import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from callfsm.audio import SAMPLE_RATE_HZ
from callfsm.call.segmenter import Cut
from callfsm.errors import ConfigError
from callfsm.inference.engine import AudioWindow, Engine
from service.bench.bars import Bar, print_bars
from service.bench.calls import conversations
from service.bench.ways import STREAM_FRAMES, Server, timing_engine
from service.speech.corpus import SpokenCall
from service.trial.play import Trial

RATIO, EVENTS_PER_S = 1.10, 30_000
SOURCE = Path(__file__).parents[2]
VIEW_EVERY_S = 2.0  # what the calls cost is what counts, not what is shown of them

# As `service/session.py` tells of a window that was transcribed. Times are whole 20 ms frames.
_WINDOW = re.compile(r"call (\d+): window \d+ \((thorough )?(\w+), (\d+\.\d\d) to (\d+\.\d\d) s\)")


@dataclass(frozen=True, slots=True)
class Round:
    """Processor seconds: of the service, and of its windows in the bare engine."""

    windows: int
    service_cpu_s: float
    bare_cpu_s: float

    @property
    def ratio(self) -> float:
        """The one over the other."""
        return self.service_cpu_s / self.bare_cpu_s

    def figures(self) -> dict[str, Any]:
        return {
            "windows": self.windows,
            "service_cpu_s": round(self.service_cpu_s, 2),
            "bare_engine_cpu_s": round(self.bare_cpu_s, 2),
            "ratio": round(self.ratio, 3),
        }


@dataclass(frozen=True, slots=True)
class Overhead:
    """What each round gave, and what `benchmarks/machine.py` measured."""

    calls: int
    rounds: Sequence[Round]
    machine: dict[str, float]

    def figures(self) -> dict[str, Any]:
        """Everything, by the names that --json uses."""
        return {
            "calls": self.calls,
            "rounds": [each.figures() for each in self.rounds],
            "machine": self.machine,
            "bars": [bar.figures() for bar in self.bars()],
        }

    def bars(self) -> list[Bar]:
        ratio = round(statistics.median(each.ratio for each in self.rounds), 3)
        events = self.machine["events_through_mailbox_per_s"]
        return [
            Bar("processor time of the service over bare inference", ratio, RATIO),
            Bar("events through mailbox and machine", events, EVENTS_PER_S, "/s", at_least=True),
        ]


def measure(calls: int, seconds: float, rounds: int, server: Server, *, seed: int) -> Overhead:
    """`calls` calls at once, live; then their windows alone; `rounds` times.

    Raises CallfsmError.
    """
    machine = _machine()
    timing = timing_engine(server.model)
    spoken = conversations(calls, seconds, seed)
    done = [_round(spoken, f"{n} of {rounds}", server, timing) for n in range(1, rounds + 1)]
    return Overhead(calls, done, machine)


def _round(spoken: Sequence[SpokenCall], number: str, server: Server, timing: Engine) -> Round:
    with (
        tempfile.TemporaryDirectory(prefix="callfsm-bench-") as name,
        Console(stderr=True).status(f"round {number}: {len(spoken)} calls at once"),
    ):
        trial = Trial(
            Path(name),
            len(spoken),
            STREAM_FRAMES.style,
            serve_options=(*server.options, "--log-level", "debug"),
            view_every_s=VIEW_EVERY_S,
        )
        cpu_s = trial.play(spoken, timing).cpu_s
        windows = windows_of(spoken, (Path(name) / "server.log").read_text())
    return Round(len(windows), cpu_s, _bare_cpu_s(windows, server))


def windows_of(calls: Sequence[SpokenCall], log: str) -> list[AudioWindow]:
    """The windows that the server transcribed, cut again out of what was spoken in frames.

    `calls`: those with the ids 1, 2, … in the server's `log`.
    """
    windows = []
    for call_id, thorough, cut, start_s, end_s in _WINDOW.findall(log):
        first, end = (round(float(at_s) * SAMPLE_RATE_HZ) for at_s in (start_s, end_s))
        samples = calls[int(call_id) - 1].samples[first:end]
        windows.append(AudioWindow(samples, cut == Cut.EAGER.value, bool(thorough)))
    return windows


def print_table(overhead: Overhead) -> None:
    """What was measured, then the bars."""
    table = Table("windows", "service, CPU s", "bare engine, CPU s", "ratio", box=None)
    for each in overhead.rounds:
        table.add_row(*(str(value) for value in each.figures().values()))
    Console().print(table)
    for name, value in overhead.machine.items():
        print(f"{name}: {value:,.1f}")
    print_bars(overhead.bars())


def _bare_cpu_s(windows: Sequence[AudioWindow], server: Server) -> float:
    """Processor seconds for the windows, one engine a thread, none loaded in that time."""
    choice = server.choice()
    engines = [choice.loaded() for _ in range(choice.contexts)]
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
