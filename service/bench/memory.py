"""What a call costs in memory: many calls that have been heard and wait to be transcribed.

Real server processes. Every caller sends its speech as fast as the server takes it and stays on the
line. Two figures:

* What a call holds: resident memory when no call is read on, since each has a full buffer, less
  that of the same server without calls. No context ever ends with a window, so nothing else grows.
* What it costs beside inference: resident memory at its highest, less its highest while fewer
  calls, one round after the other, kept every context busy with full batches of the windows that
  full buffers give, the longest there are, shared by the calls that are more. Both are watched
  equally long: what inference takes varies, and the highest is the higher the longer one looks.
"""

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gevent
from gevent.event import Event as Signal
from rich.console import Console

from callfsm.audio import SAMPLE_RATE_HZ
from callfsm.errors import CallfsmError
from service.bench.bars import Bar, print_bars
from service.bench.calls import conversations
from service.bench.ways import Server
from service.peers.caller import Caller, CallerSettings
from service.peers.chunking import cut
from service.peers.ports import free_base_port
from service.peers.sink import Sink
from service.speech.corpus import SpokenCall
from service.speech.noise import Samples
from service.trial.server_process import ServerProcess

HEARD_S = 15.0  # of speech, in every call
FIRST_CALLS = 64  # at once, before the memory of calls is counted: enough to fill their buffers
LIMIT_KB = 100.0
LOOK_EVERY_S = 0.1  # what a batch takes is there for half a second
STILL_S = 3.0  # no call is read in that time: all of them have full buffers
CLOSED_WITHIN_S = 120.0


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes by what they are for; kB are 1000 of them."""

    calls: int
    held_bytes: int  # by all of them, with full buffers
    calls_open: int  # when the most memory was held
    heard_s_mean: float  # audio that the server had taken from each by then
    base_bytes: int  # the most with the first calls
    most_bytes: int  # with all calls
    context_bytes: int  # what one more context takes

    @property
    def held_kb(self) -> float:
        return self.held_bytes / self.calls / 1000

    @property
    def call_kb(self) -> float:
        return (self.most_bytes - self.base_bytes) / (self.calls - FIRST_CALLS) / 1000

    def figures(self) -> dict[str, Any]:
        """Everything, by the names that --json uses."""
        bars = [bar.figures() for bar in self.bars()]
        kb = {"held_kb": round(self.held_kb, 1), "call_kb": round(self.call_kb, 1)}
        return {**asdict(self), **kb, "bars": bars}

    def bars(self) -> list[Bar]:
        return [
            Bar("held by a call that is buffering", self.held_kb, LIMIT_KB, "kB"),
            Bar("a call's cost beside inference", self.call_kb, LIMIT_KB, "kB"),
        ]


def measure(calls: int, seconds: float, server: Server, *, seed: int) -> Memory:
    """`calls` calls, watched for `seconds`, as the fewer are before them.

    Raises CallfsmError when the server does not start, when calls crash, and when there are too
    few calls for their memory to show.
    """
    if calls <= FIRST_CALLS:
        raise CallfsmError(f"{calls} calls are too few: {FIRST_CALLS} are there before they count")
    call = _spoken(seed)
    status = Console(stderr=True).status(f"{calls} calls of {call.duration_s:.0f} s")
    with status:
        held = _held_bytes(server, call.samples, calls)
        one, two = (_loaded_bytes(server, contexts) for contexts in (1, 2))
        with _running(server, calls + FIRST_CALLS) as (process, settings):
            base_bytes = _with_first_calls(process, settings, call.samples, seconds)
            most = _with_calls(process, settings, call.samples, calls, seconds)
    if most[0] <= base_bytes:
        raise CallfsmError(
            f"{calls} calls took no more memory than {FIRST_CALLS} did before, nearly all of it "
            "the contexts': measure more calls"
        )
    return Memory(calls, held, most[1], most[2], base_bytes, most[0], two - one)


def print_table(memory: Memory) -> None:
    """What there was, then the bar."""
    megabytes = {
        "held by all calls": memory.held_bytes,
        "server with the first calls": memory.base_bytes,
        "with all calls": memory.most_bytes,
    }
    for name, count in (megabytes | {"one more context": memory.context_bytes}).items():
        print(f"{name}: {count / 1e6:.1f} MB")
    print(f"{memory.calls_open} calls were open, {memory.heard_s_mean:.1f} s heard of each")
    print_bars(memory.bars())


def _spoken(seed: int) -> SpokenCall:
    """A call that holds at least `HEARD_S` of speech."""
    seconds = HEARD_S
    while True:
        [call] = conversations(1, seconds, seed)
        if sum(b - a for a, b in cut(call.samples, "chunks")) >= HEARD_S * SAMPLE_RATE_HZ:
            return call
        seconds += 1.0


@contextmanager
def _running(
    server: Server, calls: int, *options: str, module: str = "service"
) -> Iterator[tuple[ServerProcess, CallerSettings]]:
    """A server, and how callers reach it."""
    with tempfile.TemporaryDirectory(prefix="callfsm-bench-") as name:
        directory = Path(name)
        sink, base_port = Sink(port=0), free_base_port(calls)
        sink.start()
        told = (*server.options, "--drain-s", "1", "--log-level", "warning", *options)
        if calls > 1:
            told += ("--max-calls", str(calls), "--admission", "off")
        log = directory / "server.log"
        with ServerProcess(
            directory / "db", base_port, sink.port, log, told, module=module
        ) as process:
            yield (
                process,
                CallerSettings(
                    registration_port=process.udp_port,
                    audio_base_port=base_port,
                    style="chunks",
                    realtime=False,
                    connect_timeout_s=120.0,
                ),
            )
        sink.stop()


def _held_bytes(server: Server, samples: Samples, calls: int) -> int:
    """What all calls hold when none of them takes more."""
    with _running(server, calls, module="service.bench.standing") as (process, settings):
        base_bytes = process.resident_bytes()
        heard_s = -1.0
        on_line = _callers(settings, samples, range(1, calls + 1))
        with gevent.Timeout(CLOSED_WITHIN_S):
            while heard_s < (heard_s := _metrics(process)["callfsm_audio_seconds_total"]):
                gevent.sleep(STILL_S)
        held_bytes = process.resident_bytes() - base_bytes
        gevent.killall(on_line)
    return held_bytes


def _loaded_bytes(server: Server, contexts: int) -> int:
    with _running(server, 1, "--contexts", str(contexts)) as (process, _):
        return process.resident_bytes()


def _with_first_calls(
    process: ServerProcess, settings: CallerSettings, samples: Samples, seconds: float
) -> int:
    """The most, in as many rounds as take `seconds`."""
    most, until_s = 0, time.monotonic() + seconds
    while time.monotonic() < until_s:
        most = max(most, _in_a_round(process, settings, samples))
    return most


def _in_a_round(process: ServerProcess, settings: CallerSettings, samples: Samples) -> int:
    """The most, until all of the first calls are closed."""
    numbers = range(1, FIRST_CALLS + 1)
    callers = [gevent.spawn(Caller(number, samples, settings).run) for number in numbers]
    most = 0
    with gevent.Timeout(CLOSED_WITHIN_S):
        # Callers wait for their last texts for so long only: they can be gone before their calls.
        while process.metrics()["callfsm_calls_active"] or not all(
            caller.ready() for caller in callers
        ):
            most = max(most, process.resident_bytes())
            gevent.sleep(LOOK_EVERY_S)
    gevent.joinall(callers, raise_error=True)
    return most


def _with_calls(
    process: ServerProcess, settings: CallerSettings, samples: Samples, calls: int, seconds: float
) -> tuple[int, int, float]:
    """At the moment of the most memory: the bytes, the calls that are open, seconds of each."""
    heard_before_s = process.metrics()["callfsm_audio_seconds_total"]
    numbers = range(FIRST_CALLS + 1, FIRST_CALLS + calls + 1)
    on_line = _callers(settings, samples, numbers)
    most = (0, 0, 0.0)
    try:
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            held = process.resident_bytes()
            metrics = _metrics(process)
            heard_s = metrics["callfsm_audio_seconds_total"] - heard_before_s
            seen = (held, int(metrics["callfsm_calls_active"]), round(heard_s / calls, 2))
            most = max(most, seen)
            gevent.sleep(LOOK_EVERY_S)
    finally:
        gevent.killall(on_line)
    return most


def _callers(
    settings: CallerSettings, samples: Samples, numbers: Iterable[int]
) -> "list[gevent.Greenlet[..., Any]]":
    """They say all of it, and then stay on the line until they are killed."""
    over = Signal()
    return [
        gevent.spawn(Caller(number, samples, settings, on_progress=_hold(samples, over)).run)
        for number in numbers
    ]


def _metrics(process: ServerProcess) -> dict[str, float]:
    """Raises CallfsmError when calls have crashed."""
    metrics = process.metrics()
    if crashed := metrics.get("callfsm_calls_crashed_total", 0.0):
        raise CallfsmError(f"{crashed:.0f} calls crashed, which leaves their memory out")
    return metrics


def _hold(samples: Samples, over: Signal) -> Callable[[float], None]:
    """Keep the line open once everything was said."""
    last_s = cut(samples, "chunks")[-1].end / SAMPLE_RATE_HZ

    def progress(spoken_s: float) -> None:
        if spoken_s >= last_s:
            over.wait()

    return progress
