"""Play the calls, collect what arrives everywhere, and judge it."""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gevent
from gevent import socket

from callfsm.errors import CallfsmError
from service.demo.server_process import ServerProcess
from service.engines.whispercpp import WhisperCppEngine
from service.peers.caller import Caller, CallerSettings, CallReport
from service.peers.sink import Sink
from service.speech.corpus import SpokenCall
from service.speech.latency import Arrival, first_text_s, timed_words, word_latencies_s
from service.speech.wer import WordErrors, word_errors
from service.weights.resolve import resolve

MODEL = "tiny.en"
WER_LIMIT = 0.20  # the demo's promise, pooled
VIEW_EVERY_S = 0.25
CLOSE_TIMEOUT_S = 30.0
STAGGER_S = 0.4  # callers do not dial in the same instant

Snapshot = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class CallResult:
    """One call, judged. `problems` is empty when nothing was lost."""

    call_id: int
    reference: str
    text: str
    stored_text: str
    state: str
    errors: WordErrors
    first_text_s: float | None
    word_latencies_s: list[float]

    @property
    def problems(self) -> list[str]:
        found = []
        if not self.text:
            found.append(f"call {self.call_id}: no text arrived")
        if self.text != self.stored_text:
            found.append(f"call {self.call_id}: LLaMA and the database have different texts")
        if self.state != "closed":
            found.append(f"call {self.call_id}: ended in state '{self.state}'")
        return found


def run_demo(
    calls: list[SpokenCall], directory: Path, show: Callable[[Snapshot], None]
) -> tuple[list[CallResult], list[str]]:
    """Play `calls` at once, in real time. Returns the results and what went wrong.

    `show` is given what the server's /calls says, a few times a second.
    """
    database = directory / "whisper_talk.db"
    sink = Sink(port=0)
    sink.start()
    base_port = free_base_port(len(calls))
    log = directory / "server.log"
    with ServerProcess(database, base_port, sink.port, log) as server:
        settings = CallerSettings(registration_port=server.udp_port, audio_base_port=base_port)
        callers = [
            gevent.spawn_later(i * STAGGER_S, Caller(i + 1, call.samples, settings).run)
            for i, call in enumerate(calls)
        ]
        while not all(caller.ready() for caller in callers):
            show(server.calls())
            gevent.joinall(callers, timeout=VIEW_EVERY_S)
        last = _wait_closed(server, show)
        exit_code = server.stop()
    sink.stop()
    problems = [str(caller.exception) for caller in callers if caller.exception is not None]
    if exit_code != 0:
        problems.append(f"the server ended with exit code {exit_code}; its log is {log}")
    if problems:
        raise CallfsmError("; ".join(problems))
    results = _judge(calls, [caller.get() for caller in callers], sink, database, last)
    return results, [problem for result in results for problem in result.problems]


def pooled(results: list[CallResult]) -> WordErrors:
    return sum((result.errors for result in results), WordErrors())


def free_base_port(calls: int) -> int:
    """A port after which `calls` ports are free on loopback.

    Raises CallfsmError when none of those tried has room.
    """
    for base in range(20_000, 60_000, 97):
        probes = [socket.socket() for _ in range(calls)]
        try:
            for call_id, probe in enumerate(probes, 1):
                probe.bind(("127.0.0.1", base + call_id))
        except OSError:
            continue
        else:
            return base
        finally:
            for probe in probes:
                probe.close()
    raise CallfsmError(f"no {calls} neighbouring ports are free on 127.0.0.1")


def _wait_closed(server: ServerProcess, show: Callable[[Snapshot], None]) -> Snapshot:
    with gevent.Timeout(CLOSE_TIMEOUT_S, CallfsmError("a call was not closed in time")):
        while True:
            snapshot = server.calls()
            show(snapshot)
            if all(call["state"] == "closed" for call in snapshot):
                return snapshot
            gevent.sleep(VIEW_EVERY_S)


def _judge(
    calls: list[SpokenCall],
    reports: list[CallReport],
    sink: Sink,
    database: Path,
    last: Snapshot,
) -> list[CallResult]:
    engine = WhisperCppEngine(resolve(MODEL))
    engine.load()
    states = {call["call_id"]: call["state"] for call in last}
    results = []
    for call, report in zip(calls, reports, strict=True):
        arrivals = [
            Arrival(message.text, message.at_monotonic_s - (report.spoken_from_s or 0.0))
            for message in sink.messages
            if message.call_id == report.call_id
        ]
        text = " ".join(arrival.text for arrival in arrivals)
        results.append(
            CallResult(
                call_id=report.call_id,
                reference=call.text,
                text=text,
                stored_text=stored_text(database, report.call_id),
                state=states.get(report.call_id, "unknown"),
                errors=word_errors(call.text, text),
                first_text_s=first_text_s(call, arrivals),
                word_latencies_s=word_latencies_s(timed_words(call, engine), arrivals),
            )
        )
    engine.close()
    return results


def stored_text(database: Path, call_id: int) -> str:
    """The call's transcription in the database, without the space before its first piece."""
    with sqlite3.connect(database) as connection:
        row = connection.execute(
            "SELECT transcription FROM calls WHERE id = ?", (call_id,)
        ).fetchone()
    return str(row[0]).strip() if row else ""
